"""Co-occurrence against sets and loops, scikit-learn's cosine, and by its properties."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

import mlsd.funnel.co_occurrence as module
from mlsd.funnel import CoOccurrence

quick = settings(max_examples=50, deadline=None)
seeds = st.integers(0, 2**32 - 1)
SIMILARITIES = ["cosine", "count", "jaccard", "lift"]


def some_events(rng, n_baskets=40, n_docs=25, longest=8):
    """Return baskets with repeats; the documents of small numbers are in many."""
    sizes = rng.integers(1, longest, size=n_baskets)
    docs = rng.zipf(1.4, size=sizes.sum()) % n_docs
    events = pd.DataFrame(
        {"basket_id": np.repeat(np.arange(n_baskets), sizes), "doc_id": [f"d{doc}" for doc in docs]}
    )
    return events.sample(frac=1, random_state=int(rng.integers(1000)), ignore_index=True)


def some_queries(rng, events, n=12):
    """Return histories with repeats and unknown documents; one is empty, one holds all."""
    docs = events["doc_id"].unique()
    lists = [[], list(docs)]
    lists += [[*rng.choice(docs, size=rng.integers(1, 6)), "new"] for _ in range(n - 2)]
    return pd.DataFrame({"query_id": rng.permutation(n), "history": lists})


def naive_similarities(events, similarity, min_count=1, n_neighbours=None):
    """Compare the sets of baskets of all pairs."""
    order = list(dict.fromkeys(events["doc_id"]))
    holding = {doc: set(events["basket_id"][events["doc_id"] == doc]) for doc in order}
    n = events["basket_id"].nunique()
    found = {}
    for one in order:
        row = {}
        for other in order:
            both = len(holding[one] & holding[other])
            a, b = len(holding[one]), len(holding[other])
            if one != other and both >= min_count:
                row[other] = {
                    "count": float(both),
                    "cosine": both / math.sqrt(a * b),
                    "jaccard": both / len(holding[one] | holding[other]),
                    "lift": n * both / (a * b),
                }[similarity]
        kept = sorted(row, key=lambda doc: -row[doc])[:n_neighbours]  # stable
        found[one] = {doc: row[doc] for doc in kept}
    return order, found


def naive_search(events, queries, k, *, exclude_seen=False, **options):
    """Add up similarity by similarity, in the order of the documents."""
    order, alike = naive_similarities(events, **options)
    rows = []
    for query, history in zip(queries["query_id"], queries["history"], strict=True):
        seen = [doc for doc in order if doc in history]
        totals = {}
        for one in seen:
            for other, value in alike[one].items():
                totals[other] = totals.get(other, 0.0) + value
        docs = [d for d in order if d in totals and not (exclude_seen and d in seen)]
        docs.sort(key=lambda doc: -totals[doc])
        rows += [(query, doc, totals[doc], rank) for rank, doc in enumerate(docs[:k], 1)]
    return rows


def as_rows(run):
    assert list(run.columns) == ["query_id", "doc_id", "score", "rank"]
    return list(run.itertuples(index=False, name=None))


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize(("n_neighbours", "min_count"), [(None, 1), (3, 1), (None, 2), (2, 3)])
@pytest.mark.parametrize("k", [2, 100])
def test_against_a_loop(similarity, exclude_seen, n_neighbours, min_count, k):
    rng = np.random.default_rng(1)
    events = some_events(rng)
    queries = some_queries(rng, events)
    options = {"similarity": similarity, "n_neighbours": n_neighbours, "min_count": min_count}
    source = CoOccurrence(exclude_seen=exclude_seen, **options).fit(events)
    assert source.n_docs == events["doc_id"].nunique()
    assert source.doc_ids.tolist() == events["doc_id"].unique().tolist()
    expected = naive_search(events, queries, k, exclude_seen=exclude_seen, **options)
    # The same additions in the same order: the same scores to the bit, and so the same ties.
    assert as_rows(source.search(queries, k)) == expected
    assert expected


@pytest.mark.parametrize("options", [{}, {"n_neighbours": 4}, {"exclude_seen": True}])
@pytest.mark.parametrize("batch", [1, 60, 4_000_000])
@pytest.mark.parametrize("full", [0.0, 2.0])
def test_neither_batches_nor_storage_change_anything(options, batch, full, monkeypatch):
    rng = np.random.default_rng(2)
    events = some_events(rng)
    queries = some_queries(rng, events)
    expected = CoOccurrence(**options).fit(events).search(queries, 6)
    monkeypatch.setattr(module, "_BATCH", batch)
    monkeypatch.setattr(module, "_FULL", full)
    source = CoOccurrence(**options).fit(events)
    assert isinstance(source._alike, np.ndarray) == (full == 0.0)
    pd.testing.assert_frame_equal(source.search(queries, 6), expected, check_exact=True)
    pairs = expected.sample(frac=1, random_state=1)
    got = source.score_pairs(queries, pairs)
    pd.testing.assert_series_equal(got, pairs["score"], check_exact=True)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("full", [0.0, 2.0])
def test_pairs_are_the_scores_of_search(similarity, exclude_seen, full, monkeypatch):
    monkeypatch.setattr(module, "_FULL", full)
    rng = np.random.default_rng(3)
    events = some_events(rng, n_baskets=15)
    queries = some_queries(rng, events)
    source = CoOccurrence(similarity=similarity, exclude_seen=exclude_seen).fit(events)
    run = source.search(queries, 1000)
    every = pd.MultiIndex.from_product([queries["query_id"], source.doc_ids]).to_frame(index=False)
    every.columns = ["query_id", "doc_id"]
    pairs = every.sample(frac=0.8, random_state=1)
    got = source.score_pairs(queries, pairs)
    assert got.index.equals(pairs.index)
    expected = pairs.merge(run, how="left", on=["query_id", "doc_id"])["score"].fillna(0.0)
    np.testing.assert_array_equal(got, expected)
    assert (got == 0).any()
    assert source.score_pairs(queries, pairs.head(0)).empty


def test_cosine_against_scikit_learn():
    events = some_events(np.random.default_rng(4), n_baskets=90)
    table = pd.crosstab(events["basket_id"], events["doc_id"]).clip(upper=1)
    expected = cosine_similarity(table.T.to_numpy())
    np.fill_diagonal(expected, 0.0)
    source = CoOccurrence().fit(events)
    queries = pd.DataFrame({"query_id": table.columns, "history": [[doc] for doc in table.columns]})
    run = source.search(queries, 1000)
    got = run.pivot_table(index="query_id", columns="doc_id", values="score", fill_value=0.0)
    got = got.reindex(index=table.columns, columns=table.columns, fill_value=0.0)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert run["rank"].max() > 5


def test_by_hand():
    # tea is in 3 baskets of 4, mug in 2, jam in 2; tea and mug meet twice, tea and jam once.
    baskets = {1: ["tea", "mug"], 2: ["tea", "mug", "mug"], 3: ["tea", "jam"], 4: ["jam"]}
    events = pd.Series(baskets).explode().rename_axis("basket_id").reset_index(name="doc_id")
    queries = pd.DataFrame({"query_id": ["q"], "history": [["tea"]]})
    for similarity, mug, jam in (
        ("count", 2, 1),
        ("cosine", 2 / math.sqrt(6), 1 / math.sqrt(6)),
        ("jaccard", 2 / 3, 1 / 4),
        ("lift", 4 * 2 / 6, 4 * 1 / 6),
    ):
        found = CoOccurrence(similarity=similarity).fit(events).search(queries, 5)
        assert as_rows(found) == [("q", "mug", mug, 1), ("q", "jam", jam, 2)]


def test_ways_to_give_a_history():
    rng = np.random.default_rng(5)
    events = some_events(rng)
    queries = some_queries(rng, events)
    expected = CoOccurrence().fit(events).search(queries, 5)
    counts = CoOccurrence().fit(events).history_counts(queries)
    ids = queries[["query_id"]]
    table = queries.explode("history").rename(columns={"history": "doc_id"}).dropna()
    others = pd.DataFrame({"query_id": [77, 78], "doc_id": ["d0", "new"]})
    table = pd.concat([others, table.sample(frac=1, random_state=1)], ignore_index=True)

    source = CoOccurrence().fit(events)
    pd.testing.assert_frame_equal(source.search(ids, 5, histories=table), expected)
    pd.testing.assert_frame_equal(source.history_counts(ids, histories=table), counts)
    pairs = expected[["query_id", "doc_id"]]
    score = source.score_pairs(ids, pairs, histories=table)
    pd.testing.assert_series_equal(score, expected["score"])

    source = CoOccurrence(histories=table).fit(events)
    pd.testing.assert_frame_equal(source.search(ids, 5), expected)
    pd.testing.assert_frame_equal(source.history_counts(ids), counts)
    pd.testing.assert_series_equal(source.score_pairs(ids, pairs), expected["score"])
    # What the call brings goes first.
    assert source.search(ids, 5, histories=table.head(0)).empty
    assert source.search(ids.assign(history=[[]] * len(ids)), 5).empty

    for kind in (tuple, set, np.array, pd.Series, pd.Index, lambda docs: np.array(docs, object)):
        given = ids.assign(history=pd.Series(list(map(kind, queries["history"]))))
        pd.testing.assert_frame_equal(CoOccurrence().fit(events).search(given, 5), expected)


def test_unknown_documents_are_counted():
    events = pd.DataFrame({"basket_id": [1, 1], "doc_id": ["a", "b"]})
    lists = [["a", "a", "x"], None, ["x", "y"], [], float("nan")]
    queries = pd.DataFrame({"query_id": list("pqrst"), "history": lists})
    source = CoOccurrence().fit(events)
    counts = source.history_counts(queries)
    assert counts["query_id"].tolist() == list("pqrst")
    assert counts["n_events"].tolist() == [3, 0, 2, 0, 0]
    assert counts["n_unknown"].tolist() == [1, 0, 2, 0, 0]
    assert as_rows(source.search(queries, 5)) == [("p", "b", 1.0, 1)]


def test_kinds_of_identifiers_are_kept_and_input_is_not_changed():
    events = pd.DataFrame({"user": list("xxyy"), "item": pd.Categorical([3, 5, 3, 9])})
    queries = pd.DataFrame({"query_id": pd.Categorical(["u"]), "history": [[3]]})
    befores = events.copy(), queries.copy(deep=True)
    found = CoOccurrence().fit(events, basket="user", doc="item").search(queries, 5)
    assert isinstance(found["query_id"].dtype, pd.CategoricalDtype)
    assert isinstance(found["doc_id"].dtype, pd.CategoricalDtype)
    assert found["doc_id"].tolist() == [5, 9]
    pd.testing.assert_frame_equal(events, befores[0])
    pd.testing.assert_frame_equal(queries, befores[1])


def test_nothing_in_common_and_no_queries():
    events = pd.DataFrame({"basket_id": [1, 2, 2], "doc_id": ["a", "b", "c"]})
    queries = pd.DataFrame({"query_id": [1], "history": [["a"]]})
    for one in (queries, queries.head(0)):
        found = CoOccurrence().fit(events).search(one, 5)
        assert found.empty
        assert found.dtypes[["score", "rank"]].tolist() == [np.dtype(float), np.dtype("int64")]
    alone = CoOccurrence(min_count=2, exclude_seen=True).fit(events)
    assert alone.search(queries.assign(history=[["b"]]), 5).empty


@pytest.mark.parametrize("full", [0.0, 2.0])
def test_memory_of_a_search_is_that_of_a_batch(full, monkeypatch):
    # 3,000 queries by 500 documents are 18 MB as a sparse matrix; a batch is 120 kB.
    monkeypatch.setattr(module, "_FULL", full)
    monkeypatch.setattr(module, "_BATCH", 10_000)
    docs = np.arange(500)
    events = pd.DataFrame({"basket_id": docs // 100, "doc_id": docs})
    events = pd.concat([events, events.assign(basket_id=99)])
    source = CoOccurrence().fit(events)
    queries = pd.DataFrame({"query_id": np.arange(3000)})
    table = pd.DataFrame({"query_id": np.arange(3000), "doc_id": np.arange(3000) % 500})
    tracemalloc.start()
    try:
        found = source.search(queries, 1, histories=table)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == 3000
    assert peak < 6_000_000


@quick
@given(seeds, st.sampled_from(SIMILARITIES), st.booleans())
def test_order_and_names_of_baskets_do_not_matter(seed, similarity, exclude_seen):
    rng = np.random.default_rng(seed)
    events = some_events(rng, n_baskets=12, n_docs=8)
    queries = some_queries(rng, events, n=5)
    source = CoOccurrence(similarity=similarity, exclude_seen=exclude_seen)
    there = source.fit(events).search(queries, 100)
    renamed = events.assign(basket_id=rng.permutation(12)[events["basket_id"]])
    pd.testing.assert_frame_equal(source.fit(renamed).search(queries, 100), there, check_exact=True)
    # Another order of the events is another order of the additions: the same but for rounding.
    shuffled = events.sample(frac=1, random_state=seed)
    key = ["query_id", "doc_id"]
    back = source.fit(shuffled).search(queries, 100).sort_values(key)
    there = there.sort_values(key)
    np.testing.assert_array_equal(back[key].to_numpy(), there[key].to_numpy())
    np.testing.assert_allclose(back["score"], there["score"], rtol=1e-12)


@quick
@given(seeds, st.sampled_from(SIMILARITIES))
def test_repeats_count_once_and_the_order_of_a_history_does_not_matter(seed, similarity):
    rng = np.random.default_rng(seed)
    events = some_events(rng, n_baskets=12, n_docs=8)
    queries = some_queries(rng, events, n=5)
    source = CoOccurrence(similarity=similarity)
    expected = source.fit(events).search(queries, 100)
    doubled = pd.concat([events, events.sample(frac=0.5, random_state=seed)])
    turned = queries.assign(history=[[*one[::-1], *one] for one in queries["history"]])
    pd.testing.assert_frame_equal(
        source.fit(doubled).search(turned, 100), expected, check_exact=True
    )


@quick
@given(seeds, st.integers(1, 5), st.booleans())
def test_short_lists_neighbourhoods_and_company(seed, k, exclude_seen):
    rng = np.random.default_rng(seed)
    events = some_events(rng, n_baskets=12, n_docs=8)
    queries = some_queries(rng, events, n=5)
    source = CoOccurrence(exclude_seen=exclude_seen).fit(events)
    long = source.search(queries, k + 2)
    head = long[long["rank"] <= k].reset_index(drop=True)
    pd.testing.assert_frame_equal(source.search(queries, k), head, check_exact=True)
    # A query does not depend on its company.
    alone = source.search(queries[3:4], k)
    together = head[head["query_id"] == queries["query_id"][3]].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, together, check_exact=True)
    # What is seen is what is left out.
    if exclude_seen:
        seen = queries.explode("history").rename(columns={"history": "doc_id"})
        assert long.merge(seen, on=["query_id", "doc_id"]).empty
    # As many neighbours as there are documents are all of them.
    every = CoOccurrence(n_neighbours=source.n_docs, exclude_seen=exclude_seen).fit(events)
    pd.testing.assert_frame_equal(every.search(queries, k), head, check_exact=True)


EVENTS = pd.DataFrame({"basket_id": [1, 1], "doc_id": ["a", "b"]})
QUERIES = pd.DataFrame({"query_id": ["q"], "history": [["a"]]})


def fitted(**options):
    return CoOccurrence(**options).fit(EVENTS)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: CoOccurrence(similarity="dice"),
            ValueError,
            "similarity must be one of 'cosine', 'count', 'jaccard', 'lift'; got 'dice'",
        ),
        (lambda: CoOccurrence(n_neighbours=0), ValueError, "n_neighbours must be at least 1"),
        (lambda: CoOccurrence(min_count=1.5), TypeError, "min_count must be an integer; got 1.5"),
        (
            lambda: CoOccurrence(histories=EVENTS),
            ValueError,
            r"histories lacks the columns \['query_id'\]",
        ),
        (lambda: CoOccurrence().search(QUERIES, 1), ValueError, "this CoOccurrence has no docum"),
        (lambda: CoOccurrence().fit(EVENTS.head(0)), ValueError, "events is empty"),
        (
            lambda: CoOccurrence().fit(EVENTS.assign(basket_id=[1, None])),
            ValueError,
            r"events\['basket_id'\] holds 1 missing among 2",
        ),
        (
            lambda: CoOccurrence().fit(EVENTS.assign(doc_id=[None, "a"])),
            ValueError,
            r"events\['doc_id'\] holds 1 missing among 2",
        ),
        (
            lambda: CoOccurrence().fit(EVENTS, basket="user"),
            ValueError,
            r"events lacks the columns \['user'\]",
        ),
        (lambda: fitted().search(QUERIES, 0), ValueError, "k must be at least 1; got 0"),
        (
            lambda: fitted().search(QUERIES[["query_id"]], 1),
            ValueError,
            "there are no histories: queries has no column history",
        ),
        (
            lambda: fitted().search(QUERIES, 1, histories=QUERIES.assign(doc_id="a")),
            ValueError,
            "queries has a column history, and histories is given too",
        ),
        (
            lambda: fitted().search(QUERIES.assign(history="a"), 1),
            TypeError,
            r"queries\['history'\] must hold lists .* 1 of 1 are none, the first being 'a'",
        ),
        (
            lambda: fitted().search(QUERIES.assign(history=[["a", None]]), 1),
            ValueError,
            r"queries\['history'\] holds 1 missing documents among 2",
        ),
        (
            lambda: fitted().search(QUERIES.assign(history=[[1, 2]]), 1),
            TypeError,
            r"events\['doc_id'\] holds strings and queries\['history'\]\['doc_id'\] integers",
        ),
        (
            lambda: fitted(histories=pd.DataFrame({"query_id": [1], "doc_id": ["a"]})).search(
                QUERIES[["query_id"]], 1
            ),
            TypeError,
            r"histories\['query_id'\] holds integers and queries\['query_id'\] strings",
        ),
        (
            lambda: fitted(histories=pd.DataFrame({"query_id": ["q", None], "doc_id": "a"})),
            ValueError,
            r"histories\['query_id'\] holds 1 missing among 2",
        ),
        (
            lambda: fitted().search(pd.concat([QUERIES, QUERIES]), 1),
            ValueError,
            r"queries\['query_id'\] must be unique; 1 are repeated",
        ),
        (
            lambda: fitted().score_pairs(QUERIES, pd.DataFrame({"query_id": "q", "doc_id": ["z"]})),
            ValueError,
            r"pairs\['doc_id'\] holds 1 unknown identifiers, the first 'z'",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_a_failed_fit_leaves_what_was_there():
    source = fitted()
    expected = source.search(QUERIES, 5)
    with pytest.raises(ValueError, match="events is empty"):
        source.fit(EVENTS.head(0))
    pd.testing.assert_frame_equal(source.search(QUERIES, 5), expected)


def test_repr():
    assert repr(fitted(n_neighbours=7)) == (
        "CoOccurrence(similarity='cosine', n_neighbours=7, min_count=1, exclude_seen=False)"
        " of 2 documents"
    )
