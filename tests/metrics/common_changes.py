"""Changes that make data odd or wrong, and what must come of them for one kind of argument.

A case is a change of the data and an outcome: a pattern of the message of an error, or one of
``NAN`` (undefined, with a warning), ``WARNS`` (a value and a warning), ``VALUE`` (no warning) and
``SAME`` (the value of the data as they were).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

NAN, WARNS, VALUE, SAME = "nan", "warns", "value", "same"


def only(name, change):
    return lambda data: {**data, name: change(data[name])}


def column(name, key, change):
    return only(name, lambda table: {**table, key: change(table[key])})


def put(value, dtype=None):
    """Return a change of an array: this value in its second place."""

    def change(array):
        array = array.astype(dtype or array.dtype).copy()
        array[1] = value
        return array

    return change


def masked(array):
    values = pd.Series(array).astype("Float64")
    values[1] = pd.NA
    return values


def cast(dtype):
    return lambda array: array.astype(dtype)


def each(change):
    return lambda data: {name: change(part) for name, part in data.items()}


def text(array):
    return array.astype(str).astype(object)


RAGGED = [[1, 2], [3]]


def of_labels(score):
    """Return the cases of functions of labels and scores, with the name of the scores."""
    return {
        "NaN score": (only(score, put(np.nan)), f"{score} holds 1 NaN among"),
        "None score": (only(score, put(None, object)), f"{score} holds 1 NaN among"),
        "NA score": (only(score, masked), f"{score} holds 1 NaN among"),
        "text scores": (only(score, text), f"{score} must be numeric; got"),
        "complex scores": (only(score, cast(complex)), f"{score} must be numeric; got complex128"),
        "times as scores": (only(score, cast("datetime64[s]")), f"{score} must be numeric; got"),
        "one score": (only(score, lambda _: 0.5), f"{score} must be array-like; got float"),
        "None": (only(score, lambda _: None), f"{score} must be array-like; got NoneType"),
        "a string": (only(score, lambda _: "abc"), f"{score} must be array-like; got str"),
        "no dimension": (only(score, lambda _: np.array(0.5)), f"{score} must be one-dimensional"),
        "matrix": (only(score, lambda a: np.stack([a, a], 1)), f"{score} must be one-dimensional"),
        "ragged": (
            only(score, lambda _: RAGGED),
            f"{score} must (be one-dim|have rows of one len)",
        ),
        "fewer scores": (
            only(score, lambda a: a[1:]),
            rf"lengths differ: y_true has \d+, .*{score}",
        ),
        "NaN label": (only("y_true", put(np.nan, float)), "y_true holds 1 NaN among"),
        "None label": (only("y_true", put(None, object)), "y_true holds 1 NaN among"),
        "NA label": (only("y_true", masked), "y_true holds 1 NaN among"),
        "text labels": (
            only("y_true", lambda y: np.where(y == 1, "yes", "no").astype(object)),
            "y_true holds the strings 'no', 'yes': name the positive one with pos_label",
        ),
        "three labels": (only("y_true", put(2)), "y_true must hold two classes"),
        "labels 1 and 2": (only("y_true", lambda y: y + 1), "y_true holds the labels 1, 2: name"),
        "mixed labels": (only("y_true", put("1", object)), "y_true must hold two classes"),
        "matrix of labels": (
            only("y_true", lambda y: y[:, None]),
            "y_true must be one-dimensional",
        ),
        "fewer labels": (only("y_true", lambda y: y[1:]), "lengths differ: y_true has"),
        "empty": (each(lambda a: a[:0]), "y_true is empty: there is nothing to evaluate"),
        "all negative": (only("y_true", np.zeros_like), NAN),
        "all positive": (only("y_true", np.ones_like), NAN),
        **{
            f"labels {t}": (only("y_true", cast(t)), SAME)
            for t in ("int8", "uint8", "bool", "f4", "O")
        },
        "labels -1 and 1": (only("y_true", lambda y: 2 * y - 1), SAME),
        **{f"scores {t}": (only(score, cast(t)), SAME) for t in ("f4", "O")},
    }


def of_scores(score):
    return of_labels(score) | {
        "inf": (only(score, put(np.inf)), VALUE),
        "-inf": (only(score, put(-np.inf)), VALUE),
        "scores int8": (only(score, cast(np.int8)), SAME),
    }


def of_probabilities(score):
    outside = f"{score} must lie between 0 and 1; 1 of .* values do not, such as"
    return of_labels(score) | {
        name: (only(score, put(value)), f"{outside} {name} at position 1")
        for name, value in {"inf": np.inf, "-inf": -np.inf, "-0.25": -0.25, "1.25": 1.25}.items()
    }


def of_table(name, *identifiers):
    """Return the cases of a table with columns of identifiers."""
    cases = {
        f"{name}: a list": (only(name, lambda _: [1, 2]), f"{name} must be a table of"),
        f"{name}: None": (only(name, lambda _: None), f"{name} must be a table of"),
    }
    for key in identifiers:
        where = f"{name} column '{key}'"
        cases |= {
            f"{name} without {key}": (
                only(name, lambda t, key=key: {k: v for k, v in t.items() if k != key}),
                rf"{name} lacks the columns \['{key}'\]",
            ),
            **{
                f"{name}, {key}: {value}": (
                    column(name, key, put(value, object)),
                    f"{where} has 1 missing identifiers among",
                )
                for value in (None, np.nan, pd.NA)
            },
            f"{name}, {key} of floats": (
                column(name, key, lambda a: np.arange(a.size) + 0.5),
                f"{where} must hold strings or integers; got float64",
            ),
            f"{name}, {key} of booleans": (
                column(name, key, lambda a: np.arange(a.size) > 1),
                f"{where} must hold strings or integers; got booleans",
            ),
        }
    return cases


def of_numbers(name, key, infinite):
    where = f"{name} column '{key}'"
    cases = {
        f"{name}, {key}: {value}": (column(name, key, put(value, object)), f"{where} holds 1 NaN")
        for value in (None, np.nan, pd.NA)
    }
    cases[f"{name}, {key}: text"] = (
        column(name, key, put("x", object)),
        f"{where} must be numeric; got 'x'",
    )
    for value in (np.inf, -np.inf):
        cases[f"{name}, {key}: {value}"] = (column(name, key, put(value, float)), infinite)
    for dtype in ("int8", "f4", "O"):
        cases[f"{name}, {key} as {dtype}"] = (column(name, key, cast(dtype)), SAME)
    return cases


def mixed(name, key, other=None):
    """Return the cases of strings and integers in one column, and on two sides."""
    where = f"{name} column '{key}'"
    cases = {
        f"{name}, {key} mixed": (
            column(name, key, put(1, object)),
            f"{where} mixes strings with other types, such as 1",
        )
    }
    if other:
        sides = rf"(?=.*{where} holds integers)(?=.*{other}.* holds strings)"
        cases[f"{name}, {key} of integers"] = (
            column(name, key, lambda a: np.arange(a.size)),
            sides,
        )
    return cases


def double(name):
    return only(name, lambda t: {k: v[np.r_[0, np.arange(v.size)]] for k, v in t.items()})


def empty(name):
    return only(name, lambda t: {k: v[:0] for k, v in t.items()})


def of_recommendations(other):
    name = "recommendations"
    return (
        of_table(name, "user_id", "item_id")
        | mixed(name, "user_id")
        | mixed(name, "item_id", other)
        | {
            "no recommendations": (empty(name), f"{name} is empty: there is nothing to evaluate"),
            "a row twice": (double(name), f"{name} holds 1 duplicate rows of"),
        }
    )
