"""Expected reciprocal rank and rank-biased precision, against every order in exact fractions."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd import metrics
from mlsd.metrics._arrays_users import RBP, err, rbp

P = Fraction(3, 4)


def all_orders(scores):
    by_score = sorted(set(scores), reverse=True)
    groups = [[i for i, s in enumerate(scores) if s == value] for value in by_score]
    for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield tuple(itertools.chain.from_iterable(parts))


def err_of(ranked, k, max_rel):
    """Straight from Chapelle et al.: the user stops at place i after passing all before."""
    total, reached = Fraction(0), Fraction(1)
    for place, rel in enumerate(ranked[:k], start=1):
        stop = Fraction(2 ** max(rel or 0, 0) - 1, 2**max_rel)
        total += reached * stop / place
        reached *= 1 - stop
    return total


def rbp_of(ranked, k):
    return (1 - P) * sum(P**i for i, rel in enumerate(ranked[:k]) if rel is not None and rel >= 1)


def residual_of(ranked, k):
    return 1 - (1 - P) * sum(P**i for i, rel in enumerate(ranked[:k]) if rel is not None)


@st.composite
def rankings(draw):
    n = draw(st.integers(1, 6))
    scores = draw(st.lists(st.sampled_from([-1.0, 0.0, 2.0]), min_size=n, max_size=n))
    relevance = draw(st.lists(st.sampled_from([None, -1, 0, 1, 2, 3]), min_size=n, max_size=n))
    return scores, relevance


@given(rankings())
def test_average_is_the_mean_over_all_orders(ranking):
    scores, relevance = ranking
    judged = [(f"d{i}", rel) for i, rel in enumerate(relevance) if rel is not None]
    qrels = pd.DataFrame([*judged, ("missed", 1)], columns=["doc_id", "relevance"])
    run = pd.DataFrame({"doc_id": [f"d{i}" for i in range(len(scores))], "score": scores})
    cuts = ["", "@1", "@2", "@3", "@5", "@9"]
    names = [name + cut for name in ("err", "rbp", "rbp_residual") for cut in cuts]
    got = metrics.evaluate_ranking(
        qrels.assign(query_id=7), run.assign(query_id=7), names, max_rel=3, p=float(P)
    ).mean()
    orders = [[relevance[i] for i in order] for order in all_orders(scores)]
    for label in names:
        name, _, cut = label.partition("@")
        k = int(cut or 99)
        values = {
            "err": lambda o, k=k: err_of(o, k, 3),
            "rbp": lambda o, k=k: rbp_of(o, k),
            "rbp_residual": lambda o, k=k: residual_of(o, k),
        }[name]
        exact = sum(map(values, orders), Fraction(0)) / len(orders)
        assert got[label] == pytest.approx(float(exact), abs=1e-15), label


def test_a_worked_example_of_each():
    # 3/4 at once; 1/4 goes on, sees nothing, and a quarter of it stops at the third.
    assert err([2, 0, 1], [3, 2, 1], max_rel=2) == float(Fraction(3, 4) + Fraction(1, 48))
    assert err([2, 0, 1], [3, 2, 1], max_rel=2, k=2) == 0.75
    assert err([1, 0], [5, 5], max_rel=1) == 0.375  # half of 1/2 and half of 1/4
    assert rbp([1, 0, 1], [3, 2, 1], p=0.5) == RBP(0.625, 0.125)
    assert rbp([1, 0, 1], [3, 2, 1], p=0.5, k=2) == RBP(0.5, 0.25)
    assert float(rbp([2, 1], [2, 1], p=0.5, min_relevance=2)) == 0.5
    assert rbp([1, 0], [1, 1], p=0.5).to_dict() == {"value": 0.375, "residual": 0.25}


@pytest.mark.parametrize(("e", "r", "k"), [(40, 1, None), (60, 12, 7), (300, 40, None)])
def test_a_large_group_matches_elementary_symmetric_polynomials(e, r, k):
    levels = [1 + i % 3 for i in range(r)]
    chances = [1 - Fraction(2**rel - 1, 8) for rel in levels] + [Fraction(1)] * (e - r)
    symmetric = [Fraction(1)]  # e_i of the chances so far
    for chance in chances:
        symmetric = [
            (symmetric[i] if i < len(symmetric) else 0) + (symmetric[i - 1] * chance if i else 0)
            for i in range(len(symmetric) + 1)
        ]
    passed = [value / math.comb(e, i) for i, value in enumerate(symmetric)]
    depth = e if k is None else min(e, k - 1)
    tail = sum((passed[i - 1] - passed[i]) / (i + 1) for i in range(1, depth + 1))
    exact = Fraction(1, 8) + Fraction(7, 8) * tail  # one document of relevance 1 stands above
    y_true = [1, *levels, *[0] * (e - r)]
    got = err(y_true, [1, *[0] * e], max_rel=3, k=k)
    assert got == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize("ties", ["average", "first", "worst"])
def test_arrays_agree_with_frames(ties):
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "query_id": rng.integers(0, 40, 900),
            "doc_id": np.arange(900),
            "relevance": rng.integers(-1, 4, 900),
            "score": rng.integers(0, 9, 900),
        }
    )
    names = ["err", "err@4", "rbp", "rbp@4", "rbp_residual", "rbp_residual@4"]
    expected = metrics.evaluate_ranking(frame, frame, names, ties=ties, max_rel=5, p=0.9).mean()
    data, rest = (frame["relevance"], frame["score"]), {"query": frame["query_id"], "ties": ties}
    for k, suffix in ((None, ""), (4, "@4")):
        both = rbp(*data, p=0.9, k=k, **rest)
        got = [err(*data, max_rel=5, k=k, **rest), both.value, both.residual]
        wanted = [expected[name + suffix] for name in ("err", "rbp", "rbp_residual")]
        assert got == pytest.approx(wanted, abs=1e-15)


def test_the_scale_belongs_to_the_metric_not_to_the_data():
    qrels = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b"], "relevance": [2, 1]})
    run = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b"], "score": [2, 1]})

    def value(**options):
        return metrics.evaluate_ranking(qrels, run, "err", **options).mean()["err"]

    assert value() == value(max_rel=2) == 0.75 + 0.25 * 0.25 / 2
    assert value(max_rel=4) == 3 / 16 + 13 / 16 / 16 / 2
    with pytest.raises(ValueError, match="qrels holds the relevance 2, above max_rel 1"):
        value(max_rel=1)
    with pytest.raises(ValueError, match="y_true holds the relevance 3, above max_rel 2"):
        err([3], [1], max_rel=2)


def test_no_relevance_overflows():
    # 2**2000 is no float; the chance to stop is.
    assert err([2000, 1999], [2, 1], max_rel=2000) == pytest.approx(1.0, abs=1e-15)
    assert err([1999, 0], [2, 1], max_rel=2000) == 0.5


def test_undefined_queries():
    frame = pd.DataFrame({"query_id": ["a", "b"], "doc_id": "d", "relevance": [0.5, 0], "score": 1})
    with pytest.warns(metrics.UndefinedMetricWarning) as caught:
        got = metrics.evaluate_ranking(frame, frame, ["err", "rbp", "rbp_residual"]).per_query
    # Half a grade can satisfy, but is not relevant; what is judged leaves p of the weight open.
    assert [str(w.message).split(":")[0] for w in caught] == [
        "err is undefined",
        "rbp is undefined",
    ]
    assert {w.filename for w in caught} == {__file__}
    assert got["err"].isna().tolist() == [False, True]
    assert got["rbp"].isna().tolist() == [True, True]
    assert got["rbp_residual"].tolist() == pytest.approx([0.8, 0.8])
    with pytest.warns(metrics.UndefinedMetricWarning, match="1 of 2 queries") as caught:
        part = rbp([1, 0], [1, 1], query=["a", "b"], p=0.5)
    assert (part, caught[0].filename) == (RBP(0.5, 0.5), __file__)
    with pytest.warns(metrics.UndefinedMetricWarning, match="1 of 1 queries"):
        nothing = rbp([0], [1])
    assert np.isnan([nothing.value, nothing.residual]).all()
    with pytest.warns(metrics.UndefinedMetricWarning, match="1 of 1 queries"):
        assert np.isnan(err([-1], [1], max_rel=1))


def test_a_missing_query_is_all_residual():
    qrels = pd.DataFrame({"query_id": ["a", "b"], "doc_id": "d", "relevance": 1})
    run = pd.DataFrame({"query_id": ["a"], "doc_id": ["d"], "score": [1.0]})
    got = metrics.evaluate_ranking(qrels, run, ["rbp", "rbp_residual"], p=0.5).per_query
    assert got.to_numpy().tolist() == [[0.5, 0.5], [0.0, 1.0]]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=12))
def test_value_and_residual_bound_what_any_judgement_could_give(rows):
    relevance, score = map(list, zip(*rows, strict=True))
    if not any(relevance):
        relevance[0] = 1
    low = rbp(relevance, score)
    high = rbp([1] * len(rows), score)
    assert 0 <= low.value <= high.value + 1e-15
    assert high.value + high.residual == pytest.approx(1.0, abs=1e-14)
    assert low.residual == pytest.approx(0.8 ** len(rows), abs=1e-14)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: err([1], [1], max_rel=0), ValueError, "max_rel must be above 0 and finite; got 0"),
        (lambda: err([1], [1], max_rel=np.inf), ValueError, "finite; got inf"),
        (lambda: err([1], [1], max_rel="4"), TypeError, r"max_rel must be a number; got '4' \(str"),
        (lambda: err([1], [1], max_rel=True), TypeError, "max_rel must be a number; got True"),
        (lambda: rbp([1], [1], p=1), ValueError, "p must lie strictly between 0 and 1; got 1"),
        (lambda: rbp([1], [1], p="x"), TypeError, "p must be a number"),
        (lambda: rbp([1], [1], min_relevance=0), ValueError, "min_relevance must be above 0"),
        (lambda: err([], [], max_rel=1), ValueError, "y_true is empty"),
    ],
)
def test_refuses(call, error, match):
    with pytest.raises(error, match=match):
        call()
