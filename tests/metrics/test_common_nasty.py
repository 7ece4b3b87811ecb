"""What every metric of the table does with input that is wrong, odd or of another type.

Each case states what must happen: an error whose message is this pattern and names the argument;
nan with a warning at the caller's line; a value, with a warning or without; the value of the data
as they were. Nothing else may come out, least of all an error of NumPy.
"""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from common_changes import (
    NAN,
    RAGGED,
    SAME,
    VALUE,
    WARNS,
    cast,
    column,
    double,
    each,
    empty,
    masked,
    mixed,
    of_numbers,
    of_probabilities,
    of_recommendations,
    of_scores,
    of_table,
    only,
    put,
    text,
)
from common_data import KINDS
from common_table import ROWS

from mlsd.metrics import UndefinedMetricWarning

CASES = {
    "scores": of_scores("y_score"),
    "two scores": of_scores("score_a"),
    "probabilities": of_probabilities("y_proba"),
    "two probabilities": of_probabilities("proba_a"),
    "lists": {
        name: case
        for name, case in of_scores("y_score").items()
        if name not in ("three labels", "labels 1 and 2", "labels -1 and 1", "labels bool")
    }
    | {
        # Relevance is a number, and a matrix has a row a query.
        "text labels": (only("y_true", text), "y_true must be numeric; got"),
        "mixed labels": (only("y_true", put("1", object)), "y_true must be numeric; got '1'"),
        "matrix": (only("y_score", lambda a: np.stack([a, a], 1)), "lengths differ: .*y_score"),
        "matrix of labels": (only("y_true", lambda a: a[:, None]), "y_true and y_score differ in"),
        "all positive": (only("y_true", np.ones_like), VALUE),
        "ragged": (only("y_score", lambda _: RAGGED), "y_score"),
        "negative relevance": (only("y_true", lambda a: np.where(a == 0, -5.0, a)), SAME),
        "infinite relevance": (only("y_true", put(np.inf)), "y_true holds an infinite relevance"),
        "fewer queries": (only("query", lambda a: a[1:]), "lengths differ: .*query"),
        "queries of floats": (only("query", cast(float)), "query must hold strings or integers"),
        "matrix of queries": (only("query", lambda a: a[:, None]), "query must be one-dimensional"),
        "None query": (
            only("query", lambda a: put(None)(text(a))),
            "query has 1 missing identifiers among",
        ),
        "matrix and queries": (
            lambda d: {**d, "y_true": d["y_true"][None], "y_score": d["y_score"][None]},
            "query must be None when y_true is a matrix",
        ),
        "queries without documents": (
            lambda _: {"y_true": np.zeros((3, 0)), "y_score": np.zeros((3, 0))},
            "y_true is empty: there is nothing to evaluate",
        ),
    },
    "class scores": {
        "NaN score": (
            only("y_score", lambda a: np.where(a == a[0, 0], np.nan, a)),
            "{score} holds",
        ),
        "text scores": (only("y_score", cast(str)), "{score} must be numeric; got"),
        "too few columns": (
            only("y_score", lambda a: a[:, :2]),
            "holds 3 classes and {score} has 2",
        ),
        "no columns": (only("y_score", lambda a: a[:, :0]), "holds 3 classes and {score} has 0"),
        "one column": (only("y_score", lambda a: a[:, 0]), "{score} must have a column for each"),
        "fewer labels": (only("y_true", lambda y: y[1:]), "lengths differ: .*{score}"),
        "a class is missing": (
            only("y_true", lambda y: np.minimum(y, 1)),
            "y_true holds 2 classes",
        ),
        "NaN label": (only("y_true", put(np.nan, float)), "y_true has 1 missing labels among"),
        "None label": (only("y_true", put(None, object)), "y_true has 1 missing labels among"),
        "mixed labels": (only("y_true", put("1", object)), "y_true mixes labels"),
        "matrix of labels": (
            only("y_true", lambda y: y[:, None]),
            "y_true must be one-dimensional",
        ),
        "empty": (each(lambda a: a[:0]), "y_true is empty: there is nothing to evaluate"),
        "text labels": (only("y_true", lambda y: np.array(list("abc"))[y]), SAME),
        "labels uint8": (only("y_true", cast(np.uint8)), SAME),
        "inf": (only("y_score", lambda a: np.where(a == a[0, 0], np.inf, a)), VALUE),
    },
    "classes": {
        "NaN": (only("y_pred", put(np.nan, float)), "y_pred has 1 missing labels among"),
        "None": (only("y_pred", put(None, object)), "y_pred has 1 missing labels among"),
        "NA label": (only("y_true", masked), "y_true has 1 missing labels among"),
        "mixed": (only("y_pred", put("1", object)), "y_pred mixes labels"),
        "text on one side": (
            only("y_pred", text),
            "y_true and y_pred hold labels without a common",
        ),
        "shorter": (only("y_pred", lambda a: a[1:]), "lengths differ: .*y_pred"),
        "matrix": (each(lambda a: a[:, None]), "y_true must be one-dimensional"),
        "empty": (each(lambda a: a[:0]), "y_true is empty: there is nothing to evaluate"),
        "a class is not predicted": (only("y_pred", lambda a: np.minimum(a, 1)), NAN),
        "one class": (each(np.zeros_like), VALUE),
        "text": (each(text), SAME),
        "uint8": (each(cast(np.uint8)), SAME),
    },
    "runs": {
        **of_table("qrels", "query_id", "doc_id"),
        **of_table("run", "query_id", "doc_id"),
        **mixed("qrels", "doc_id", "run"),
        **mixed("run", "doc_id", "qrels"),
        **mixed("run", "query_id", "qrels"),
        **of_numbers("qrels", "relevance", "qrels column 'relevance' holds an infinite relevance"),
        **of_numbers("run", "score", VALUE),
        "a judgement twice": (double("qrels"), r"qrels holds 1 duplicate \(query, document\)"),
        "a document twice": (double("run"), r"run holds 1 duplicate \(query, document\)"),
        "no judgements": (empty("qrels"), "qrels is empty: there is nothing to evaluate against"),
        "other queries": (
            column("run", "query_id", lambda a: np.full_like(a, "other")),
            "none of the 1 queries of the run is judged: the run has 'other', qrels has 'q0'",
        ),
        "nothing relevant": (column("qrels", "relevance", np.zeros_like), NAN),
        "no run": (empty("run"), VALUE),
    },
    "aspects": {
        **of_table("run", "query_id", "doc_id"),
        **of_table("subtopics", "query_id", "doc_id"),
        **mixed("run", "doc_id", "subtopics"),
        **mixed("subtopics", "query_id", "run"),
        **of_numbers("run", "score", VALUE),
        "a subtopic is missing": (
            column("subtopics", "subtopic", put(None)),
            "subtopics column 'subtopic' has missing values",
        ),
        "a subtopic twice": (double("subtopics"), "subtopics holds 1 duplicate rows"),
        "a document twice": (double("run"), "run holds 1 duplicate rows"),
        "no subtopics": (empty("subtopics"), "subtopics is empty: there is nothing to evaluate"),
        "no run": (empty("run"), VALUE),
    },
    "catalogs": {
        **of_recommendations("catalog"),
        **of_numbers("recommendations", "score", VALUE),
        "no catalog": (only("catalog", lambda a: a[:0]), "catalog is empty"),
        "an item twice": (only("catalog", lambda a: np.r_[a, a[:1]]), "catalog holds 1 items more"),
        "None": (only("catalog", put(None)), "catalog has 1 missing identifiers among"),
        "a number": (only("catalog", lambda _: 3), "catalog must be array-like; got int"),
        "another catalog": (only("catalog", lambda a: a + "'"), VALUE),
    },
    "popularity": {
        **of_recommendations("item_counts"),
        **of_table("item_counts"),
        **of_numbers("item_counts", "count", "item_counts must hold finite counts of at least 0"),
        "a negative count": (
            column("item_counts", "count", put(-1)),
            "item_counts must hold finite",
        ),
        "nothing was taken": (column("item_counts", "count", np.zeros_like), NAN),
    },
    "embeddings": {
        **of_recommendations("items"),
        "NaN": (only("vectors", lambda a: a * np.nan), "vectors holds values that are not finite"),
        "inf": (only("vectors", lambda a: a * np.inf), "vectors holds values that are not finite"),
        "zero": (only("vectors", np.zeros_like), "vectors holds .* whose vector is 0 everywhere"),
        "one vector": (only("vectors", lambda a: a[0]), r"vectors must have shape \(n_items, d\)"),
        "text": (only("vectors", cast(str)), "vectors must be numeric; got"),
        "ragged": (only("vectors", lambda _: RAGGED), "vectors"),
        "an item twice": (
            only("items", lambda a: np.r_[a[:1], a[:-1]]),
            "items holds 1 items more",
        ),
        "fewer items": (only("items", lambda a: a[1:]), "lengths differ: .*items"),
        "None": (only("items", put(None)), "items has 1 missing identifiers among"),
        "an item lacks": (
            lambda d: {**d, **{k: d[k][1:] for k in ("vectors", "items")}},
            "vectors lacks",
        ),
        "lists of one": (
            column("recommendations", "user_id", lambda a: np.arange(a.size)),
            NAN,
        ),
        "float32": (only("vectors", lambda a: a.astype("f4").astype(float)), VALUE),
    },
    "images": {
        "NaN": (
            only("y_pred", lambda a: a * np.nan),
            "y_pred must hold integer labels; got float64",
        ),
        "None": (only("y_pred", lambda _: None), "y_pred must hold integer labels; got object"),
        "text": (only("y_pred", cast(str)), "y_pred must hold integer labels; got <U"),
        "a label below": (only("y_pred", lambda a: a - 1), "y_pred must hold labels from 0 to 1"),
        "a label above": (only("y_true", lambda a: a + 1), "y_true must hold labels from 0 to 1"),
        "other shapes": (only("y_pred", lambda a: a[:, 1:]), "y_true and y_pred differ in shape"),
        "empty": (each(lambda a: a[:0]), "y_true is empty: there is nothing to evaluate"),
        "ragged": (only("y_true", lambda _: RAGGED), "y_true"),
        "an absent class": (each(np.zeros_like), WARNS),
        **{t: (each(cast(t)), SAME) for t in ("bool", "uint8", "int8")},
    },
    "boxes": {
        **of_table("ground_truth", "image_id", "category_id"),
        **of_table("detections", "image_id", "category_id"),
        **of_numbers("detections", "score", VALUE),
        **of_numbers("ground_truth", "width", "ground_truth holds 1 boxes that are not finite"),
        "a negative side": (
            column("detections", "height", put(-1)),
            "detections holds 1 boxes with a negative width or height",
        ),
        "no true box": (empty("ground_truth"), NAN),
        "no detection": (empty("detections"), VALUE),
    },
    "two boxes": {
        "NaN": (only("a", put(np.nan)), "a holds 1 boxes that are not finite"),
        "inf": (only("b", put(np.inf)), "b holds 1 boxes that are not finite"),
        "a negative side": (only("b", lambda a: -a), "b holds 4 boxes with a negative width"),
        "three columns": (
            only("a", lambda a: a[:, :3]),
            r"a must have shape \(n, 4\); got \(4, 3\)",
        ),
        "None": (only("a", lambda _: None), r"a must have shape \(n, 4\); got \(\)"),
        "text": (only("a", cast(str)), "a must be numeric; got"),
        "ragged": (only("a", lambda _: RAGGED), "^a "),
        "no area": (each(np.zeros_like), NAN),
        "int8": (each(cast(np.int8)), SAME),
    },
    "events": {
        "a list": (only("events", lambda _: [1, 2]), "events must be a table of"),
        "None": (only("events", lambda _: None), "events must be a table of"),
        "without user_id": (
            only("events", lambda t: {k: v for k, v in t.items() if k != "user_id"}),
            r"events lacks the columns \['user_id'\]",
        ),
        **{
            f"user {value}": (
                column("events", "user_id", put(value)),
                r"events\['user_id'\] is missing in 1 of",
            )
            for value in (None, np.nan, pd.NA)
        },
        "empty": (empty("events"), NAN),
        "users of integers": (
            column("events", "user_id", lambda a: np.unique(a.astype(str), return_inverse=True)[1]),
            SAME,
        ),
    },
}


def of_flag(key):
    wrong = rf"events\['{key}'\] must be 0 or 1 in each row; 1 of"
    return {
        **{
            f"{key} {value}": (
                column("events", key, put(value, object)),
                rf"events\['{key}'\] holds 1 NaN among",
            )
            for value in (None, np.nan, pd.NA)
        },
        **{f"{key} {v}": (column("events", key, put(v, float)), wrong) for v in (0.5, -1, np.inf)},
        f"{key} text": (column("events", key, put("x", object)), rf"events\['{key}'\] must be num"),
        **{f"{key} as {t}": (column("events", key, cast(t)), SAME) for t in ("bool", "uint8", "O")},
    }


OF_TIME = {
    "no time": (
        column("events", "time", put(np.datetime64("NaT"))),
        r"events\['time'\] is missing",
    ),
    "time None": (column("events", "time", put(None, object)), r"events\['time'\] is missing in 1"),
    "time as text": (column("events", "time", text), r"events\['time'\] must hold times"),
    "time as numbers": (column("events", "time", cast(int)), r"events\['time'\] must hold times"),
}
OF_WINDOW = {
    "no exposure": (
        column("events", "exposed_at", put(np.datetime64("NaT"))),
        r"events\['exposed_at'\] is missing in 1 of",
    ),
    "times as text": (
        column("events", "converted_at", text),
        r"events\['converted_at'\] must hold",
    ),
    "a conversion before": (
        column("events", "converted_at", lambda a: np.full_like(a, np.datetime64("2023-01-01"))),
        r"events\['converted_at'\] is before events\['exposed_at'\] in",
    ),
    "nobody converts": (
        column("events", "converted_at", lambda a: np.full_like(a, np.datetime64("NaT"))),
        VALUE,
    ),
}
ONE_USER = {"one user": (column("events", "user_id", lambda a: np.full_like(a, "u")), WARNS)}
# Cases of one function, beside those of its kind; an outcome alone replaces that of the kind.
DEFINED = {"all negative": VALUE, "all positive": VALUE}
OWN = {
    "average_precision": {"all positive": VALUE},
    "max_f1_threshold": {"all positive": VALUE},
    # Strings are labels; where a share of nothing is 0, nothing is undefined.
    "precision_recall_f1": DEFINED | {"text scores": "y_pred must hold two classes"},
    "brier": DEFINED,
    "brier_decomposition": DEFINED,
    "calibration_error": DEFINED,
    "calibration_ratio": {"all positive": VALUE},
    "reliability_curve": DEFINED,
    "cost_optimal_threshold": DEFINED,
    "exposure_gini": {"another catalog": NAN},
    "click_through_rate": of_flag("click") | ONE_USER,
    "conversion_rate": of_flag("converted"),
    "session_success": of_flag("success") | OF_TIME | ONE_USER,
    "retention": OF_TIME | {"empty": "empty"},
    "sessions": OF_TIME | {"empty": VALUE},
}
LOSS = {
    "probabilities": DEFINED | {"matrix": "rows of y_proba must sum to 1 within 1e-05; .* do not"},
    "class scores": {
        "inf": "y_proba must lie between 0 and 1",
        "one column": "y_true must hold two classes",
    },
}
# Of 12 metrics only the share of judged documents is undefined where nothing is shown.
LISTED = {"no run": NAN}


def cases_of(row):
    cases = dict(CASES[row.kind])
    own = LOSS[row.kind] if row.name == "log_loss" else OWN.get(row.name, {})
    if "window" in row.options:
        own = OF_WINDOW
    if row.name == "evaluate_ranking" and "judged@3" in row.options["metrics"]:
        own = LISTED
    for name, case in own.items():
        cases[name] = case if isinstance(case, tuple) else (cases[name][0], case)
    return cases


ALL = [
    pytest.param(row, change, outcome, id=f"{row.label}-{row.kind}-{name}")
    for row in ROWS
    for name, (change, outcome) in cases_of(row).items()
]


@pytest.mark.parametrize(("row", "change", "outcome"), ALL)
def test_odd_input_does_what_is_stated(row, change, outcome):
    data = KINDS[row.kind].make(np.random.default_rng(3))
    if outcome not in (NAN, WARNS, VALUE, SAME, "empty"):
        pattern = outcome.replace("{score}", "y_score")
        for argument, name in row.arguments.items():
            pattern = re.sub(rf"\b{argument}\b", name, pattern)
        with pytest.raises((ValueError, TypeError), match=pattern):
            row(change(data))
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = np.asarray(row.value(row(change(data))), dtype=np.float64)
    assert {warning.category for warning in caught} <= {UndefinedMetricWarning}
    # The warning points at the line that calls the metric, which is in the table.
    assert all(warning.filename.endswith("common_table.py") for warning in caught)
    assert bool(caught) == (outcome in (NAN, WARNS, "empty"))
    assert np.isnan(values).any() == (outcome == NAN)
    if outcome == SAME:
        np.testing.assert_allclose(values, row.value(row(data)), rtol=1e-12, atol=1e-12)
    if outcome == "empty":
        assert values.size == 0
