"""The closed forms for ties, against every order of the tied documents in exact fractions."""

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

K = (1, 2, 3, 5, 9)


def all_orders(scores):
    """Every order of the documents that respects the scores, each as a tuple of indices."""
    by_score = sorted(set(scores), reverse=True)
    groups = [[i for i, s in enumerate(scores) if s == value] for value in by_score]
    for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield tuple(itertools.chain.from_iterable(parts))


def value(name, order, relevance, all_relevance, k):
    """One metric of one order, straight from its definition; None in `relevance`: unjudged."""
    ranked = [relevance[i] for i in order]
    top = ranked[:k]
    hits = [rel is not None and rel >= 1 for rel in ranked]
    n_relevant = sum(rel >= 1 for rel in all_relevance)
    if name == "ndcg":
        ideal = sorted((max(rel, 0) for rel in all_relevance), reverse=True)[:k]
        gain = [max(rel or 0, 0) for rel in top]
        # Irrational discounts: as fractions of their floats, so that only they are rounded.
        discount = [Fraction(1 / math.log2(i + 2)) for i in range(max(len(gain), len(ideal)))]
        total = sum(g * d for g, d in zip(ideal, discount, strict=False))
        return sum(g * d for g, d in zip(gain, discount, strict=False)) / total
    if name == "map":
        found = [Fraction(sum(hits[: i + 1]), i + 1) for i in range(len(top)) if hits[i]]
        return sum(found, Fraction(0)) / n_relevant
    if name == "mrr":
        return next((Fraction(1, i + 1) for i in range(len(top)) if hits[i]), Fraction(0))
    if name == "recall":
        return Fraction(sum(hits[:k]), n_relevant)
    if name == "precision":
        return Fraction(sum(hits[:k]), k)
    if name == "hit_rate":
        return Fraction(any(hits[:k]))
    if name == "r_precision":
        return Fraction(sum(hits[:n_relevant]), n_relevant)
    assert name == "judged"
    return Fraction(sum(rel is not None for rel in top), len(top))


def evaluate(scores, relevance, missed, names, **options):
    docs = [f"d{i}" for i in range(len(scores))]
    judged = [(doc, rel) for doc, rel in zip(docs, relevance, strict=True) if rel is not None]
    judged += [(f"missed{i}", rel) for i, rel in enumerate(missed)]
    qrels = metrics.Qrels(
        pd.DataFrame(judged, columns=["doc_id", "relevance"]).assign(query_id="q")
    )
    run = pd.DataFrame({"query_id": "q", "doc_id": docs, "score": scores})
    return metrics.evaluate_ranking(qrels, run, names, **options).mean()


@st.composite
def rankings(draw):
    n = draw(st.integers(1, 6))
    scores = draw(st.lists(st.sampled_from([-1.0, 0.0, 2.0]), min_size=n, max_size=n))
    levels = st.sampled_from([None, -1, 0, 1, 2])
    relevance = draw(st.lists(levels, min_size=n, max_size=n))
    missed = draw(st.lists(st.integers(-1, 2), max_size=2))
    judged = [rel for rel in relevance if rel is not None] + missed
    if not any(rel >= 1 for rel in judged):
        missed = [*missed, 1]
    return scores, relevance, missed


@given(rankings())
def test_average_is_the_mean_over_all_orders(ranking):
    scores, relevance, missed = ranking
    everything = [rel for rel in relevance if rel is not None] + missed
    cut = ["ndcg", "map", "mrr", "recall", "precision", "hit_rate", "judged"]
    names = [f"{name}@{k}" for name in cut for k in K] + ["r_precision"]
    got = evaluate(scores, relevance, missed, names)
    orders = list(all_orders(scores))
    for label in names:
        name, _, k = label.partition("@")
        values = [value(name, o, relevance, everything, int(k or 0)) for o in orders]
        assert got[label] == pytest.approx(float(sum(values) / len(orders)), abs=1e-14), label


@given(rankings())
def test_worst_is_the_least_over_all_orders(ranking):
    scores, relevance, missed = ranking
    everything = [rel for rel in relevance if rel is not None] + missed
    names = [f"{name}@{k}" for name in ("ndcg", "map", "mrr", "recall", "hit_rate") for k in K]
    got = evaluate(scores, relevance, missed, names, ties="worst")
    orders = list(all_orders(scores))
    for label in names:
        name, _, k = label.partition("@")
        least = min(value(name, o, relevance, everything, int(k)) for o in orders)
        assert got[label] == pytest.approx(float(least), abs=1e-14), label


@given(rankings())
def test_first_is_the_order_of_the_rows(ranking):
    scores, relevance, missed = ranking
    everything = [rel for rel in relevance if rel is not None] + missed
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    names = [f"{name}@{k}" for name in ("ndcg", "map", "mrr", "recall", "judged") for k in K]
    got = evaluate(scores, relevance, missed, names, ties="first")
    for label in names:
        name, _, k = label.partition("@")
        expected = value(name, order, relevance, everything, int(k))
        assert got[label] == pytest.approx(float(expected), abs=1e-14), label


@pytest.mark.parametrize(("e", "r"), [(50, 1), (200, 7), (1000, 500), (1500, 1500)])
def test_first_hit_in_a_large_group_matches_exact_binomials(e, r):
    relevance = np.zeros(e)
    relevance[:r] = 1
    # The chance that the first hit is at place i, as exact fractions.
    chance = [Fraction(math.comb(e - i, r - 1), math.comb(e, r)) for i in range(1, e - r + 2)]
    exact = sum(c / i for i, c in enumerate(chance, start=1))
    got = metrics.reciprocal_rank(relevance, np.zeros(e))
    assert got == pytest.approx(float(exact), rel=1e-12)
    at_10 = metrics.hit_rate(relevance, np.zeros(e), k=10)
    assert at_10 == pytest.approx(float(sum(chance[:10])), rel=1e-12)


def test_one_tie_lies_halfway():
    assert metrics.ndcg([1, 0], [0.5, 0.5]) == pytest.approx((1 + 1 / math.log2(3)) / 2, abs=1e-15)
    assert metrics.reciprocal_rank([1, 0], [0.5, 0.5]) == 0.75
