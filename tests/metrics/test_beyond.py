"""Coverage, exposure, novelty and diversity: against loops, exact fractions and what must hold."""

from __future__ import annotations

import itertools
import json
import math
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd.metrics import UndefinedMetricWarning
from mlsd.metrics._beyond import intra_list_diversity, novelty
from mlsd.metrics._catalog import catalog_coverage, exposure_gini

CATALOG = [f"i{number}" for number in range(30)]


def lists(rows):
    return pd.DataFrame(rows, columns=["user_id", "item_id"])


def random_lists(seed, n_users=15):
    """Return shuffled lists of 2 to 9 items with scores, the items of which half are popular."""
    rng = np.random.default_rng(seed)
    parts = []
    for user in range(n_users):
        items = rng.choice(CATALOG, rng.integers(2, 10), replace=False)
        parts.append(
            pd.DataFrame({"user_id": user, "item_id": items, "score": rng.random(len(items))})
        )
    return pd.concat(parts).sample(frac=1, random_state=seed)


def top(table, k):
    """Return the items of each user in order, by loops."""
    return {
        user: part.sort_values("score", ascending=False)["item_id"].tolist()[:k]
        for user, part in table.groupby("user_id")
    }


@pytest.mark.parametrize("k", [None, 1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_coverage_and_exposure_agree_with_loops(seed, k):
    table = random_lists(seed)
    catalog = [*CATALOG[5:], "never"]
    shown = top(table, k)
    distinct = set().union(*shown.values())
    result = catalog_coverage(table, catalog, k=k)
    assert result.n_shown == len(distinct & set(catalog))
    assert result.value == result.n_shown / 26
    assert result.outside_items == len(distinct - set(catalog))
    assert result.outside_rows == sum(item not in catalog for row in shown.values() for item in row)
    assert result.n_rows == sum(map(len, shown.values()))
    for discount in ("none", "log2"):
        exposure = dict.fromkeys(catalog, 0.0)
        for row in shown.values():
            for place, item in enumerate(row, start=1):
                if item in exposure:
                    exposure[item] += 1.0 if discount == "none" else 1.0 / math.log2(place + 1)
        values = list(exposure.values())
        # The mean difference of all pairs, over twice the mean.
        pairs = sum(abs(a - b) for a, b in itertools.product(values, values))
        wanted = pairs / (2 * len(values) * sum(values))
        got = exposure_gini(table, catalog, k=k, discount=discount)
        assert got.value == pytest.approx(wanted, abs=1e-12)
        assert (got.n_shown, got.outside_rows) == (result.n_shown, result.outside_rows)


def test_exposure_by_hand():
    table = lists([(1, "a"), (1, "b"), (2, "a"), (2, "c"), (3, "a")])
    # Exposures 0, 1, 1, 3: (-3·0 - 1·1 + 1·1 + 3·3) / (4·5).
    assert exposure_gini(table, ["a", "b", "c", "d"]).value == float(Fraction(9, 20))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_exposure_is_0_for_equals_and_largest_for_one_item(n):
    catalog = CATALOG[:n]
    everyone = lists([(user, item) for user in range(3) for item in catalog])
    assert exposure_gini(everyone, catalog).value == 0.0
    one = exposure_gini(lists([(user, "i0") for user in range(3)]), catalog)
    assert one.value == one.maximum == (n - 1) / n


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any))
def test_exposure_is_exact_and_the_same_for_every_item_taken_twice(counts):
    catalog = list(range(len(counts)))
    rows = [(user, item) for item, count in enumerate(counts) for user in range(count)]
    n = len(counts)
    wanted = Fraction(
        sum((2 * i - n - 1) * x for i, x in enumerate(sorted(counts), start=1)), n * sum(counts)
    )
    assert exposure_gini(lists(rows), catalog).value == float(wanted)
    twice = rows + [(user, item + n) for user, item in rows]
    assert exposure_gini(lists(twice), list(range(2 * n))).value == pytest.approx(
        float(wanted), abs=1e-15
    )


def test_nothing_of_the_catalogue_shown():
    table = lists([(1, "x"), (2, "y")])
    with pytest.warns(UndefinedMetricWarning, match="none of the 2 rows") as caught:
        result = exposure_gini(table, ["a", "b"])
    assert caught[0].filename == __file__
    assert math.isnan(result.value)
    assert (result.outside_items, result.outside_rows, result.n_shown) == (2, 2, 0)
    assert catalog_coverage(table, ["a", "b"]).value == 0.0


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
@pytest.mark.parametrize("n_users", [None, 60])
@pytest.mark.parametrize("k", [None, 2])
def test_novelty_agrees_with_loops(k, n_users, smoothing):
    table = random_lists(1)
    rng = np.random.default_rng(0)
    counts = dict(zip([*CATALOG[2:], "other"], rng.integers(0, 50, 29).tolist(), strict=True))
    counts["i7"] = 0
    total = sum(counts.values()) + smoothing * len({*counts, *table["item_id"]})
    if n_users is not None:
        total = n_users + smoothing
    wanted, unseen = [], []
    for row in top(table, k).values():
        unseen += [item for item in row if not counts.get(item)]
        amounts = [counts.get(item, 0) + smoothing for item in row]
        bits = [-math.log2(amount / total) for amount in amounts if amount]
        wanted.append(math.fsum(bits) / len(bits) if bits else math.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        result = novelty(table, counts, k=k, n_users=n_users, smoothing=smoothing)
    np.testing.assert_allclose(result.per_user, wanted, rtol=0, atol=1e-12)
    assert (result.unseen_rows, result.unseen_items) == (len(unseen), len(set(unseen)))
    assert result.undefined_users == np.isnan(wanted).sum()
    assert result.n == len(wanted) - result.undefined_users
    assert result.value == pytest.approx(np.nanmean(wanted), abs=1e-12)
    assert result.lower < result.value < result.upper


def test_novelty_by_hand():
    table = lists([("u", "a"), ("u", "b"), ("v", "a"), ("w", "c")])
    counts = {"a": 8, "b": 2, "d": 6}
    with pytest.warns(UndefinedMetricWarning, match="1 of 4 rows .* 1 of 3 users") as caught:
        result = novelty(table, counts)
    assert caught[0].filename == __file__
    assert result.per_user["u":"v"].tolist() == [2.0, 1.0]  # shares 1/2 and 1/8
    assert (result.value, result.n, result.undefined_users) == (1.5, 2, 1)
    assert (result.unseen_rows, result.unseen_items) == (1, 1)
    # With 4 added to each of the four items: shares 12/32, 6/32 and 4/32.
    smooth = novelty(table, counts, smoothing=4)
    assert smooth.per_user["w"] == 3.0
    assert smooth.unseen_rows == 1
    assert novelty(table[:3], counts, n_users=32).per_user["u"] == 3.0
    assert novelty(lists([("u", "a")]), {"a": 3}, n_users=3).value == 0.0


def test_counts_as_mapping_series_and_tables_are_the_same():
    table = random_lists(2)
    rows = pd.DataFrame({"item_id": np.repeat(CATALOG, np.arange(1, 31))}).sample(frac=1)
    series = rows["item_id"].value_counts()
    by_count = series.rename_axis("item_id").reset_index(name="count")
    halves = pd.concat([by_count, by_count]).assign(count=lambda frame: frame["count"] / 2)
    wanted = novelty(table, series.to_dict()).per_user
    for counts in (series, rows, by_count, halves, pl.from_pandas(by_count)):
        pd.testing.assert_series_equal(novelty(table, counts).per_user, wanted)


def cosine_distance(a, b):
    return 1.0 - sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def squared_distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("distance", "pair"), [("cosine", cosine_distance), ("sqeuclidean", squared_distance)]
)
@pytest.mark.parametrize("k", [None, 3])
def test_diversity_agrees_with_all_pairs(k, distance, pair, monkeypatch):
    table = random_lists(3)
    vectors = dict(zip(CATALOG, np.random.default_rng(1).normal(0.3, 1, (30, 5)), strict=True))
    wanted = [
        np.mean(
            [
                pair(vectors[a].tolist(), vectors[b].tolist())
                for a, b in itertools.combinations(row, 2)
            ]
        )
        for row in top(table, k).values()
    ]
    result = intra_list_diversity(table, vectors, k=k, distance=distance)
    np.testing.assert_allclose(result.per_user, wanted, rtol=0, atol=1e-12)
    assert result.value == pytest.approx(np.mean(wanted), abs=1e-12)
    assert (result.n, result.undefined_users) == (15, 0)
    as_matrix = intra_list_diversity(
        table, np.stack(list(vectors.values())), items=CATALOG, k=k, distance=distance
    )
    pd.testing.assert_series_equal(as_matrix.per_user, result.per_user)
    monkeypatch.setattr("mlsd.metrics._lists._CHUNK", 7)  # a list or less at once
    pieces = intra_list_diversity(table, vectors, k=k, distance=distance)
    np.testing.assert_allclose(pieces.per_user, result.per_user, rtol=1e-14)


def test_diversity_by_hand():
    # Directions east, north, west: pairs at 1, 1 and 2.
    table = lists([(1, 0), (1, 1), (1, 2), (2, 0), (2, 2), (3, 0), (3, 3)])
    vectors = [[2, 0], [0, 5], [-3, 0], [9, 0]]
    result = intra_list_diversity(table, vectors)
    np.testing.assert_allclose(result.per_user, [4 / 3, 2.0, 0.0], rtol=0, atol=1e-15)
    squared = intra_list_diversity(table, vectors, distance="sqeuclidean").per_user
    np.testing.assert_allclose(squared, [(29 + 25 + 34) / 3, 25.0, 49.0], rtol=1e-15)


def test_diversity_keeps_its_digits_for_items_nearly_alike_and_for_any_scale():
    angle = 1e-9  # one minus a cosine of 1 - 5e-19 would be 0
    vectors = np.array([[1.0, 0.0], [1.0, angle]])
    table = lists([(1, 0), (1, 1)])
    for scale in (1.0, 1e-300, 1e300):
        value = intra_list_diversity(table, vectors * scale).value
        assert value == pytest.approx(angle**2 / 2, rel=1e-6)


def test_a_list_of_one_is_undefined():
    table = lists([(1, 0), (2, 0), (2, 1)])
    with pytest.warns(UndefinedMetricWarning, match="1 of 2 users have a list of one") as caught:
        result = intra_list_diversity(table, [[1, 0], [0, 1]])
    assert caught[0].filename == __file__
    assert np.isnan(result.per_user[1])
    assert (result.value, result.n, result.undefined_users) == (1.0, 1, 1)
    assert math.isnan(result.lower)


def every_metric(table, **options):
    vectors = dict(zip(CATALOG, np.random.default_rng(1).normal(0, 1, (30, 3)), strict=True))
    return [
        catalog_coverage(table, CATALOG, **options),
        exposure_gini(table, CATALOG, discount="log2", **options),
        novelty(table, dict.fromkeys(CATALOG, 2) | {"i3": 9}, **options),
        intra_list_diversity(table, vectors, **options),
    ]


def test_order_of_rows_index_names_and_kind_of_table_do_not_matter():
    table = random_lists(4)
    before = table.copy()
    wanted = [result.to_dict() for result in every_metric(table, k=4)]
    pd.testing.assert_frame_equal(table, before)
    json.dumps(wanted)
    rank = table["score"].groupby(table["user_id"]).rank(ascending=False)
    renamed = table.rename(columns={"user_id": "query_id", "item_id": "doc_id"})
    same = [
        (table.sort_values("score"), {}),
        (table.assign(rank=rank), {}),
        (table.drop(columns="score").assign(rank=rank), {}),
        (renamed, {"user": "query_id", "item": "doc_id"}),
        (table.astype({"item_id": "category"}), {}),
        (pl.from_pandas(table), {}),
        (pa.Table.from_pandas(table, preserve_index=False), {}),
    ]
    for other, options in same:
        got = [result.to_dict() for result in every_metric(other, k=4, **options)]
        for a, b in zip(got, wanted, strict=True):
            assert a == pytest.approx(b, rel=1e-12)


def test_of_equal_scores_the_earlier_row_comes_first():
    table = lists([(1, "b"), (1, "a"), (1, "c")]).assign(score=[0.5, 0.5, 0.9])
    assert catalog_coverage(table, ["c", "b"], k=2).value == 1.0
    assert catalog_coverage(table, ["a"], k=2).value == 0.0


GOOD = lists([(1, "a"), (1, "b")])


@pytest.mark.parametrize(
    ("table", "options", "error", "message"),
    [
        ([1, 2], {}, TypeError, "recommendations must be a table"),
        (GOOD.drop(columns="item_id"), {}, ValueError, r"recommendations lacks .*item_id"),
        (GOOD.iloc[:0], {}, ValueError, "recommendations is empty"),
        (GOOD, {"k": 1}, ValueError, "lacks a column 'rank' or 'score'"),
        (GOOD, {"k": 0}, ValueError, "k must be at least 1; got 0"),
        (GOOD.iloc[[0, 1, 1]], {}, ValueError, "1 duplicate rows"),
        (GOOD.assign(rank=1), {"k": 1}, ValueError, "one rank to several items"),
        (GOOD.assign(rank=[1, 2], score=[0, 1]), {"k": 1}, ValueError, "contradicts"),
        (GOOD.assign(score=[np.nan, 1]), {"k": 1}, ValueError, "'score' holds 1 NaN"),
        (GOOD.assign(item_id=[1, 2]), {}, TypeError, "convert one of them"),
        (GOOD.assign(item_id=["a", None]), {}, ValueError, "1 missing identifiers"),
    ],
)
def test_bad_recommendations(table, options, error, message):
    for call in (
        lambda: catalog_coverage(table, ["a", "b"], **options),
        lambda: exposure_gini(table, ["a", "b"], **options),
        lambda: novelty(table, {"a": 1, "b": 1}, **options),
        lambda: intra_list_diversity(table, {"a": [1, 0], "b": [0, 1]}, **options),
    ):
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: catalog_coverage(GOOD, []), ValueError, "catalog is empty"),
        (lambda: catalog_coverage(GOOD, ["a", "a"]), ValueError, "catalog holds 1 items more"),
        (lambda: exposure_gini(GOOD, ["a"], discount="ln"), ValueError, "discount must be one of"),
        (lambda: exposure_gini(GOOD, ["a"], discount="log2"), ValueError, "'rank' or 'score'"),
        (lambda: novelty(GOOD, {"a": -1}), ValueError, "at least 0; 1 of 1 are not, such as -1"),
        (lambda: novelty(GOOD, {"a": 5}, n_users=4), ValueError, "holds 5, more than n_users 4"),
        (lambda: novelty(GOOD, {"a": 5}, smoothing=-1), ValueError, "smoothing .* got -1"),
        (lambda: novelty(GOOD, 3), TypeError, "item_counts must be a table"),
        (lambda: intra_list_diversity(GOOD, {"a": [1, 0]}), ValueError, "lacks 1 of 2 .*'b'"),
        (lambda: intra_list_diversity(GOOD, {"a": [1], "b": [0]}), ValueError, "0 everywhere.*'b'"),
        (lambda: intra_list_diversity(GOOD, {"a": [1], "b": [1, 2]}), ValueError, "one length"),
        (lambda: intra_list_diversity(GOOD, {"a": [1], "b": [np.inf]}), ValueError, "not finite"),
        (lambda: intra_list_diversity(GOOD, [["x"]], items=["a"]), TypeError, "numeric"),
        (lambda: intra_list_diversity(GOOD, [1, 2]), ValueError, r"shape \(n_items, d\)"),
        (lambda: intra_list_diversity(GOOD, [[1]], items=["a", "b"]), ValueError, "lengths differ"),
        (
            lambda: intra_list_diversity(GOOD, [[1]] * 2, items=["a"] * 2),
            ValueError,
            "more than once",
        ),
        (lambda: intra_list_diversity(GOOD, {}, items=["a"]), ValueError, "must be None"),
        (lambda: intra_list_diversity(GOOD, {}, distance="l1"), ValueError, "distance must be"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
