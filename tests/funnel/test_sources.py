"""Popularity and recency against plain loops, and by their properties."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd._validation import UndefinedMetricWarning
from mlsd.funnel import Popularity, Recency

quick = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)
START = pd.Timestamp("2024-01-01")
RUN = ["query_id", "doc_id", "score", "rank"]


def some_events(rng, n=300, n_docs=25):
    """Return events with weights that are exact in binary, and times to the minute."""
    return pd.DataFrame(
        {
            "doc_id": [f"d{doc}" for doc in rng.zipf(1.3, size=n) % n_docs],
            "country": rng.choice(["UK", "FR", "DE"], p=[0.7, 0.2, 0.1], size=n),
            "weight": rng.integers(0, 9, size=n) / 4,
            "time": START + pd.to_timedelta(rng.integers(0, 100_000, size=n), unit="min"),
        }
    )


def ranked(totals, order, k):
    """Sort documents by total, then by the place where they first came up."""
    found = [doc for doc in order if totals.get(doc, 0.0) > 0]
    found.sort(key=lambda doc: -totals[doc])  # stable
    return [(doc, totals[doc]) for doc in found[:k]]


def naive_popularity(events, queries, k, *, worth=None, by=None):
    """Add up event by event, query by query."""
    worth = [1.0] * len(events) if worth is None else list(worth)
    order = list(dict.fromkeys(events["doc_id"]))
    rows = []
    for query in queries.itertuples(index=False):
        segment = getattr(query, by) if by else None
        if by and segment not in set(events[by]):
            segment = None
        totals = {}
        for event, one in zip(events.itertuples(index=False), worth, strict=True):
            if segment is None or getattr(event, by) == segment:
                totals[event.doc_id] = totals.get(event.doc_id, 0.0) + one
        for rank, (doc, total) in enumerate(ranked(totals, order, k), 1):
            rows.append((query.query_id, doc, total, rank))
    return rows


def as_rows(run):
    assert list(run.columns) == RUN
    return list(run.itertuples(index=False, name=None))


QUERIES = pd.DataFrame({"query_id": ["q2", "q1", "q3"], "country": ["FR", "IT", "UK"]})


@pytest.mark.parametrize("k", [1, 4, 1000])
@pytest.mark.parametrize("by", [None, "country"])
@pytest.mark.parametrize("weight", [None, "weight"])
def test_popularity_against_a_loop(k, by, weight):
    events = some_events(np.random.default_rng(1))
    got = Popularity(by=by).fit(events, weight=weight).search(QUERIES, k)
    worth = None if weight is None else events[weight]
    assert as_rows(got) == naive_popularity(events, QUERIES, k, worth=worth, by=by)


@pytest.mark.parametrize("half_life", ["7D", pd.Timedelta(hours=36), np.timedelta64(20, "D")])
@pytest.mark.parametrize("now", [None, "2024-06-01"])
def test_half_life_against_a_loop(half_life, now):
    events = some_events(np.random.default_rng(2))
    seen_from = events["time"].max() if now is None else pd.Timestamp(now)
    worth = [
        0.5 ** ((seen_from - time) / pd.Timedelta(half_life)) * weight
        for time, weight in zip(events["time"], events["weight"], strict=True)
    ]
    source = Popularity(half_life=half_life, by="country")
    got = source.fit(events, weight="weight", time="time", now=now).search(QUERIES, 1000)
    expected = naive_popularity(events, QUERIES, 1000, worth=worth, by="country")
    assert got[["query_id", "rank"]].to_numpy().tolist() == [[q, r] for q, _, _, r in expected]
    np.testing.assert_allclose(got["score"], [score for *_, score, _ in expected], rtol=1e-12)
    score = {(query, doc): score for query, doc, score, _ in expected}
    for row in got.itertuples():
        np.testing.assert_allclose(row.score, score[row.query_id, row.doc_id], rtol=1e-12)


def test_by_hand_half_lives():
    events = pd.DataFrame(
        {"doc_id": ["old", "old", "new"], "time": START + pd.to_timedelta([0, 10, 20], unit="D")}
    )
    found = Popularity(half_life="10D").fit(events, time="time").search(QUERIES[:1], 9)
    assert as_rows(found) == [("q2", "new", 1.0, 1), ("q2", "old", 0.75, 2)]


def test_time_zones_and_units_do_not_matter():
    events = some_events(np.random.default_rng(3))
    source = Popularity(half_life="9D")
    expected = source.fit(events, time="time", now="2024-07-01").search(QUERIES, 50)
    local = events.assign(time=events["time"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    now = pd.Timestamp("2024-07-01", tz="UTC").tz_convert("America/Lima")
    pd.testing.assert_frame_equal(
        source.fit(local, time="time", now=now).search(QUERIES, 50), expected
    )
    coarse = events.assign(time=events["time"].astype("datetime64[s]"))
    pd.testing.assert_frame_equal(
        source.fit(coarse, time="time", now="2024-07-01").search(QUERIES, 50), expected
    )


def test_unseen_segments_get_the_overall_ranking():
    events = some_events(np.random.default_rng(4))
    source = Popularity(by="country").fit(events)
    queries = pd.DataFrame({"query_id": [1, 2, 3], "country": ["IT", None, "FR"]})
    found = source.search(queries, 30)
    overall = Popularity().fit(events).search(queries, 30)
    fallen = overall["query_id"] < 3
    pd.testing.assert_frame_equal(found[found["query_id"] < 3], overall[fallen])
    expected = pd.Series([True, True, False], index=[1, 2, 3], name="unseen")
    pd.testing.assert_series_equal(source.unseen(queries), expected, check_names=False)
    assert source.unseen(queries).index.name == "query_id"
    assert not Popularity().fit(events).unseen(queries).any()


def test_documents_without_weight_are_not_found():
    events = pd.DataFrame({"doc_id": ["a", "b"], "weight": [0.0, 2.0]})
    source = Popularity().fit(events, weight="weight")
    assert source.n_docs == 2
    assert source.doc_ids.tolist() == ["a", "b"]
    assert source.search(QUERIES[:1], 5)["doc_id"].tolist() == ["b"]
    pairs = pd.DataFrame({"query_id": "q2", "doc_id": ["a", "b"]})
    assert source.score_pairs(QUERIES, pairs).tolist() == [0.0, 2.0]
    for days, found in ((1074, ["b", "a"]), (1075, ["b"])):
        times = [START, START + pd.Timedelta(days, "D")]
        aged = pd.DataFrame({"doc_id": ["a", "b"], "time": times})
        fading = Popularity(half_life="1D").fit(aged, time="time")
        assert fading.search(QUERIES[:1], 5)["doc_id"].tolist() == found


@pytest.mark.parametrize("by", [None, "country"])
def test_popularity_pairs_are_the_scores_of_search(by):
    events = some_events(np.random.default_rng(5))
    source = Popularity(half_life="5D", by=by).fit(events, weight="weight", time="time")
    run = source.search(QUERIES, 1000)
    every = pd.MultiIndex.from_product([QUERIES["query_id"], source.doc_ids]).to_frame(index=False)
    every.columns = ["query_id", "doc_id"]
    pairs = every.sample(frac=1, random_state=1)
    got = source.score_pairs(QUERIES, pairs)
    assert got.index.equals(pairs.index)
    expected = pairs.merge(run, how="left", on=["query_id", "doc_id"])["score"].fillna(0.0)
    np.testing.assert_array_equal(got, expected)
    assert (got > 0).sum() == len(run)
    assert source.score_pairs(QUERIES, pairs.head(0)).empty


def test_names_of_columns_and_input_is_not_changed():
    events = some_events(np.random.default_rng(6))
    renamed = events.rename(columns={"doc_id": "product"})
    before = renamed.copy()
    source = Popularity().fit(renamed, doc="product")
    run = source.search(QUERIES, 5)
    pd.testing.assert_frame_equal(run, Popularity().fit(events).search(QUERIES, 5))
    pd.testing.assert_frame_equal(renamed, before)
    run["score"] = -1.0  # a run is the caller's
    run.iloc[:, run.columns.get_loc("rank")] = 0
    pd.testing.assert_frame_equal(
        source.search(QUERIES, 5), Popularity().fit(events).search(QUERIES, 5)
    )


def test_kinds_of_identifiers_are_kept():
    events = pd.DataFrame({"doc_id": pd.Categorical(["x", "y", "x"]), "seg": [1, 1, 2]})
    queries = pd.DataFrame({"query_id": np.array([5, 4], dtype=np.int32), "seg": [2, 1]})
    found = Popularity(by="seg").fit(events).search(queries, 5)
    assert found["query_id"].dtype == np.int32
    assert isinstance(found["doc_id"].dtype, pd.CategoricalDtype)
    assert as_rows(found) == [(5, "x", 1.0, 1), (4, "x", 1.0, 1), (4, "y", 1.0, 2)]


def test_events_of_polars():
    polars = pytest.importorskip("polars")
    events = some_events(np.random.default_rng(7))
    table = polars.DataFrame({column: events[column].to_numpy() for column in ("doc_id", "weight")})
    pd.testing.assert_frame_equal(
        Popularity().fit(table, weight="weight").search(QUERIES, 9),
        Popularity().fit(events, weight="weight").search(QUERIES, 9),
        check_dtype=False,
    )


def test_no_queries():
    events = some_events(np.random.default_rng(8))
    none = QUERIES.head(0)
    for found in (
        Popularity().fit(events).search(none, 3),
        Recency().fit(events.drop_duplicates("doc_id")).search(none, 3),
    ):
        assert found.empty
        assert found.dtypes[["score", "rank"]].tolist() == [np.dtype(float), np.dtype("int64")]


@quick
@given(seeds)
def test_order_of_events_only_moves_ties(seed):
    rng = np.random.default_rng(seed)
    events = some_events(rng, n=40, n_docs=12)
    shuffled = events.sample(frac=1, random_state=seed)
    source = Popularity(by="country")
    key = ["query_id", "score", "doc_id"]
    there, back = (
        source.fit(one, weight="weight").search(QUERIES, 100)[key].sort_values(key)
        for one in (events, shuffled)
    )
    # The weights are exact in binary, and so are their sums.
    np.testing.assert_array_equal(there.to_numpy(), back.to_numpy())


@quick
@given(seeds, st.integers(-20, 20))
def test_scaling_the_weights_scales_the_scores(seed, power):
    events = some_events(np.random.default_rng(seed), n=40)
    events["weight"] += 0.25
    source = Popularity(half_life="3D")
    one = source.fit(events, weight="weight", time="time").search(QUERIES, 100)
    scaled = events.assign(weight=events["weight"] * 2.0**power)
    other = source.fit(scaled, weight="weight", time="time").search(QUERIES, 100)
    pd.testing.assert_frame_equal(one.assign(score=one["score"] * 2.0**power), other)


@quick
@given(seeds, st.integers(1, 6))
def test_short_list_is_the_head_of_the_long_one(seed, k):
    events = some_events(np.random.default_rng(seed), n=40)
    items = events.drop_duplicates("doc_id")
    queries = QUERIES.assign(time=START + pd.to_timedelta([0, 30, 60], unit="D"))
    for source in (Popularity(by="country").fit(events), Recency().fit(items)):
        long = source.search(queries, k + 3)
        head = long[long["rank"] <= k].reset_index(drop=True)
        pd.testing.assert_frame_equal(source.search(queries, k), head)


def some_items(rng, n=60):
    """Return documents, some of which came together."""
    minutes = rng.integers(0, n // 2, size=n)
    return pd.DataFrame(
        {
            "doc_id": rng.permutation(n),
            "time": START + pd.to_timedelta(minutes, unit="min"),
        }
    )


@pytest.mark.parametrize("k", [1, 7, 1000])
@pytest.mark.parametrize("timed", [False, True])
def test_recency_against_a_loop(k, timed):
    rng = np.random.default_rng(9)
    items = some_items(rng)
    minutes = [-1, 0, 5, 5, 29, 1000]
    times = START + pd.to_timedelta(minutes, unit="min")
    queries = pd.DataFrame({"query_id": list("fabcde"), "time": times})
    if not timed:
        queries = queries.drop(columns="time")
    source = Recency().fit(items)
    found = source.search(queries, k)
    expected = []
    for at, query in enumerate(queries["query_id"]):
        known = [
            (-(time - START).total_seconds(), place, doc)
            for place, (doc, time) in enumerate(zip(items["doc_id"], items["time"], strict=True))
            if not timed or time <= times[at]
        ]
        newest = (items["time"].max() - START).total_seconds()
        for rank, (age, _, doc) in enumerate(sorted(known)[:k], 1):
            expected.append((query, doc, -age - newest, rank))
    assert as_rows(found) == expected
    assert ("f" in set(found["query_id"])) == (not timed)
    pd.testing.assert_series_equal(
        source.score_pairs(queries, found), found["score"], check_exact=True
    )


def test_a_document_newer_than_the_query_has_no_score():
    items = pd.DataFrame({"doc_id": ["a", "b"], "time": [START, START + pd.Timedelta("2s")]})
    queries = pd.DataFrame({"query_id": ["q"], "time": [START + pd.Timedelta("1s")]})
    source = Recency().fit(items)
    pairs = pd.DataFrame({"query_id": "q", "doc_id": ["b", "a"]}, index=[7, 3])
    with pytest.warns(UndefinedMetricWarning, match="1 of 2 pairs hold a document newer than its"):
        got = source.score_pairs(queries, pairs)
    pd.testing.assert_series_equal(got, pd.Series([np.nan, -2.0], index=[7, 3], name="score"))
    timeless = source.score_pairs(queries.drop(columns="time"), pairs)
    assert timeless.tolist() == [0.0, -2.0]


def test_nanoseconds_are_told_apart_and_zones_compared():
    times = pd.DatetimeIndex([10, 12, 11], dtype="datetime64[ns, UTC]")
    source = Recency().fit(pd.DataFrame({"doc_id": ["a", "b", "c"], "time": times}))
    until = pd.DatetimeIndex([11], dtype="datetime64[ns, UTC]").tz_convert("Asia/Kolkata")
    queries = pd.DataFrame({"query_id": ["q"], "time": until})
    assert source.search(queries, 5)["doc_id"].tolist() == ["c", "a"]
    assert source.search(queries[["query_id"]], 5)["score"].tolist() == [0.0, -1e-9, -2e-9]


@quick
@given(seeds)
def test_order_of_items_only_moves_ties_and_the_clock_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    items = some_items(rng, 20)
    there = Recency().fit(items).search(QUERIES, 100)
    later = items.assign(time=items["time"] + pd.Timedelta("77D")).sample(frac=1, random_state=seed)
    back = Recency().fit(later).search(QUERIES, 100)
    key = ["query_id", "score", "doc_id"]
    np.testing.assert_array_equal(
        there.sort_values(key)[key].to_numpy(), back.sort_values(key)[key].to_numpy()
    )
    assert there["score"].max() == 0.0


EVENTS = pd.DataFrame({"doc_id": ["a", "b"], "country": ["UK", "FR"], "time": [START, START]})


def popular(**options):
    return Popularity(**options).fit(EVENTS, time="time")


def recent():
    return Recency().fit(EVENTS)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: Popularity(half_life=7), TypeError, "half_life must be a Timedelta or a string"),
        (lambda: Popularity(half_life="-1D"), ValueError, "half_life must be above 0; got '-1D'"),
        (lambda: Popularity(half_life="NaT"), ValueError, "half_life must be above 0; got 'NaT'"),
        (lambda: Popularity(half_life="soon"), ValueError, "half_life: .*; got 'soon'"),
        (lambda: Popularity(by=["a"]), TypeError, r"by must be the name of a column; got \['a'\]"),
        (lambda: Popularity().search(QUERIES, 1), ValueError, "this Popularity has no documents"),
        (lambda: Popularity().unseen(QUERIES), ValueError, "call fit first"),
        (lambda: Popularity().fit(EVENTS.head(0)), ValueError, "events is empty"),
        (lambda: Popularity().fit(["a"]), TypeError, "events must be a table .* got list"),
        (
            lambda: Popularity().fit(EVENTS, doc="item"),
            ValueError,
            r"events lacks the columns \['item'\]",
        ),
        (
            lambda: Popularity().fit(EVENTS.assign(doc_id=["a", None])),
            ValueError,
            r"events\['doc_id'\] holds 1 missing among 2",
        ),
        (
            lambda: Popularity(by="country").fit(EVENTS.assign(country=[None, None])),
            ValueError,
            r"events\['country'\] holds 2 missing among 2",
        ),
        (
            lambda: Popularity().fit(EVENTS.assign(w=[1, -2]), weight="w"),
            ValueError,
            r"events\['w'\] must be finite and not negative; 1 of 2 .* -2.0 at position 1",
        ),
        (
            lambda: Popularity().fit(EVENTS.assign(w=0), weight="w"),
            ValueError,
            r"events\['w'\] is 0 everywhere",
        ),
        (
            lambda: Popularity(half_life="7D").fit(EVENTS),
            ValueError,
            "half_life='7 days 00:00:00' needs time",
        ),
        (
            lambda: Popularity(half_life="7D").fit(EVENTS, time="country"),
            TypeError,
            r"events\['country'\] must hold datetimes",
        ),
        (
            lambda: Popularity(half_life="7D").fit(EVENTS, time="time", now="2023-12-31"),
            ValueError,
            r"events\['time'\] holds 2 of 2 events after now='2023-12-31'",
        ),
        (
            lambda: Popularity(half_life="7D").fit(EVENTS, time="time", now="soon"),
            ValueError,
            "now: .*; got 'soon'",
        ),
        (
            lambda: Popularity(half_life="7D").fit(EVENTS, time="time", now="2025-01-01T00:00Z"),
            TypeError,
            r"now has a time zone and events\['time'\] has none",
        ),
        (
            lambda: Popularity(half_life="1s").fit(EVENTS, time="time", now="2025-01-01"),
            ValueError,
            "so short that no event counts by now",
        ),
        (
            lambda: Popularity(half_life="1D").fit(
                EVENTS.assign(time=pd.to_datetime(["2024-01-01", None])), time="time"
            ),
            ValueError,
            r"events\['time'\] holds 1 missing times among 2",
        ),
        (
            lambda: Popularity(half_life="1D").fit(
                EVENTS.assign(time=np.array(["1500-01-01", "2024-01-01"], "datetime64[s]")),
                time="time",
            ),
            ValueError,
            r"events\['time'\] holds times outside the years 1678 to 2261",
        ),
        (
            lambda: popular(by="country").search(QUERIES[["query_id"]], 1),
            ValueError,
            r"queries lacks the columns \['country'\]",
        ),
        (
            lambda: popular(by="country").search(QUERIES.assign(country=7), 1),
            TypeError,
            r"events\['country'\] holds strings and queries\['country'\] integers",
        ),
        (lambda: popular().search(["q"], 1), TypeError, "queries must be a pandas DataFrame"),
        (lambda: popular().search(QUERIES, 0), ValueError, "k must be at least 1; got 0"),
        (
            lambda: popular().search(QUERIES.assign(query_id="q"), 1),
            ValueError,
            r"queries\['query_id'\] must be unique; 2 are repeated",
        ),
        (
            lambda: popular().score_pairs(QUERIES, pd.DataFrame({"query_id": "q1", "doc_id": [9]})),
            ValueError,
            r"pairs\['doc_id'\] holds 1 unknown identifiers, the first 9",
        ),
        (lambda: Recency().search(QUERIES, 1), ValueError, "this Recency has no documents"),
        (
            lambda: Recency().fit(EVENTS.assign(time=[1, 2])),
            TypeError,
            r"items\['time'\] must hold",
        ),
        (
            lambda: Recency().fit(EVENTS.assign(doc_id="a")),
            ValueError,
            r"items\['doc_id'\] must be unique",
        ),
        (lambda: Recency().fit(EVENTS.head(0)), ValueError, "items is empty"),
        (
            lambda: recent().search(QUERIES.assign(time=pd.NaT), 1),
            ValueError,
            r"queries\['time'\] holds 3 missing times",
        ),
        (
            lambda: recent().search(QUERIES.assign(time=pd.Timestamp("2024", tz="UTC")), 1),
            TypeError,
            r"queries\['time'\] has a time zone and the time of the items has none",
        ),
        (
            lambda: recent().score_pairs(QUERIES, pd.DataFrame({"query_id": [1]})),
            ValueError,
            r"pairs lacks the columns \['doc_id'\]",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_repr():
    assert repr(Popularity(half_life="7D")) == "Popularity(half_life='7 days 00:00:00', by=None)"
    assert repr(popular(by="country")) == "Popularity(half_life=None, by='country') of 2 documents"
    assert repr(Recency()) == "Recency()"
    assert repr(recent()) == "Recency() of 2 documents"
