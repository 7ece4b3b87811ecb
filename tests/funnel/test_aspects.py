"""XQuAD against the naive greedy loop in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlsd.funnel._slate as blocks
from mlsd.funnel import XQuAD


def naive(run, aspects, trade_off, k, importance=None):
    """Pick one document after the other, in fractions: a tie here is a tie of the mathematics."""
    share = Fraction(trade_off)
    rows = []
    for query in run["query_id"].unique():
        part = run[run["query_id"] == query].sort_values("score", ascending=False, kind="stable")
        docs = part["doc_id"].tolist()
        score = [Fraction(value) for value in part["score"]]
        low, width = min(score), max(score) - min(score)
        relevance = [(value - low) / width if width else Fraction(1) for value in score]
        listed = aspects[aspects["query_id"] == query]
        serves = {
            (row.doc_id, row.aspect): Fraction(row.score) for row in listed.itertuples(index=False)
        }
        weights = dict.fromkeys(listed["aspect"], Fraction(1))
        if importance is not None:
            own = importance[importance["query_id"] == query]
            weights = {row.aspect: Fraction(row.weight) for row in own.itertuples(index=False)}
        total = sum(weights.values())
        picked = []
        while len(picked) < min(k, len(docs)):
            best, best_value = None, -1
            for one in range(len(docs)):
                if one in picked:
                    continue
                gain = Fraction(0)
                for aspect, weight in weights.items():
                    still_open = Fraction(1)
                    for two in picked:
                        still_open *= 1 - serves.get((docs[two], aspect), 0)
                    gain += weight / total * serves.get((docs[one], aspect), 0) * still_open
                value = share * relevance[one] + (1 - share) * gain
                if value > best_value:
                    best, best_value = one, value
            picked.append(best)
            rows.append((query, docs[best], float(best_value), len(picked)))
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "score", "rank"])


def candidates(rng, sizes, n_aspects, *, ties=False, n_docs=60):
    """Return a run and aspects of the given numbers a query, also for documents not in the run.

    With `ties` scores have few levels, and aspects are served wholly, half or not at all.
    """
    runs, rows = [], []
    for query, (size, n) in enumerate(zip(sizes, n_aspects, strict=True)):
        docs = rng.choice(n_docs, size=size + 5, replace=False)
        score = rng.integers(0, 3, size=size) / 2 if ties else rng.normal(size=size)
        runs.append(
            pd.DataFrame(
                {
                    "query_id": f"q{query}",
                    "doc_id": [f"d{doc}" for doc in docs[:size]],
                    "score": np.sort(score)[::-1],
                    "rank": np.arange(1, size + 1),
                }
            )
        )
        doc, aspect = np.nonzero(rng.random((size + 5, n)) < 0.4)
        level = rng.choice([0.0, 0.5, 1.0], size=doc.size) if ties else rng.random(doc.size)
        rows.append(
            pd.DataFrame(
                {
                    "query_id": f"q{query}",
                    "aspect": [f"a{one}" for one in aspect],
                    "doc_id": [f"d{docs[one]}" for one in doc],
                    "score": level,
                }
            )
        )
    aspects = pd.concat(rows, ignore_index=True)
    strange = aspects.head(3).assign(query_id="not in the run")
    return pd.concat(runs, ignore_index=True), pd.concat([aspects, strange], ignore_index=True)


def weigh(rng, aspects):
    """Return an importance for all aspects, and for one of each query that nothing serves."""
    pairs = aspects[["query_id", "aspect"]].drop_duplicates()
    unserved = pairs.drop_duplicates("query_id").assign(aspect="unserved")
    pairs = pd.concat([pairs, unserved], ignore_index=True)
    return pairs.assign(
        weight=rng.integers(0, 4, size=len(pairs)) + (pairs["aspect"] == "unserved")
    )


SIZES, N_ASPECTS = [12, 1, 30, 7, 12, 3, 9], [5, 3, 17, 0, 1, 9, 4]


@pytest.mark.parametrize("trade_off", [0.0, 0.37, 0.61, 1.0])
@pytest.mark.parametrize("k", [1, 5, 200])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_against_the_naive_loop(trade_off, k, ties, weighted):
    rng = np.random.default_rng(1)
    run, aspects = candidates(rng, SIZES, N_ASPECTS, ties=ties)
    importance = weigh(rng, aspects) if weighted else None
    got = XQuAD(trade_off).rerank(run, aspects, k, importance=importance)
    expected = naive(run, aspects, trade_off, k, importance)
    pd.testing.assert_frame_equal(
        got.drop(columns="score"), expected.drop(columns="score"), check_dtype=False
    )
    np.testing.assert_allclose(got["score"], expected["score"], rtol=0, atol=1e-15)


@pytest.mark.parametrize("room", [1, 300, 1500])
def test_blocks_do_not_matter(room, monkeypatch):
    run, aspects = candidates(np.random.default_rng(2), SIZES, N_ASPECTS)
    expected = XQuAD().rerank(run, aspects)
    monkeypatch.setattr(blocks, "_BLOCK_NUMBERS", room)  # one query at a time, some
    pd.testing.assert_frame_equal(XQuAD().rerank(run, aspects), expected, check_exact=True)


def test_equally_many_equal_aspects_tie():
    # Seven of n aspects each, wherever these stand: sevenths, tenths and so on do not add up
    # exactly, so a sum of shares would put a candidate first by its last digit.
    rng = np.random.default_rng(3)
    docs = [f"d{n}" for n in range(20)]
    queries = np.arange(7, 107)
    run = pd.DataFrame({"query_id": np.repeat(queries, 20), "doc_id": docs * 100, "score": 1.0})
    chosen = [rng.choice(n, size=7, replace=False) for n in np.repeat(queries, 20)]
    aspects = run.loc[run.index.repeat(7)].assign(aspect=np.concatenate(chosen), score=1.0)
    slate = XQuAD(0.3).rerank(run, aspects, 1)
    assert set(slate["doc_id"]) == {"d0"}
    n_listed = aspects.groupby("query_id")["aspect"].nunique().to_numpy()
    np.testing.assert_allclose(slate["score"], 0.3 + 0.7 * 7 / n_listed, rtol=1e-15)
    ranked = run.assign(rank=np.tile(np.arange(20, 0, -1), 100))
    assert set(XQuAD(0.3).rerank(ranked, aspects, 1)["doc_id"]) == {"d19"}


def test_a_query_does_not_depend_on_its_company():
    run, aspects = candidates(np.random.default_rng(7), [20] * 8, [5, 9, 13, 21, 22, 30, 50, 99])
    whole = XQuAD().rerank(run, aspects)
    for query, together in whole.groupby("query_id"):
        alone = XQuAD().rerank(run[run["query_id"] == query], aspects)
        pd.testing.assert_frame_equal(alone, together.reset_index(drop=True), check_exact=True)


def test_every_aspect_is_served_once_before_any_twice():
    docs = ["a0", "a1", "b0", "b1", "c0", "c1"]
    run = pd.DataFrame({"query_id": 1, "doc_id": docs, "score": [6, 5, 4, 3, 2, 1]})
    aspects = pd.DataFrame(
        {"query_id": 1, "aspect": [doc[0] for doc in docs], "doc_id": docs, "score": 1.0}
    )
    slate = XQuAD(trade_off=0.1)(run, aspects)
    assert slate["doc_id"].tolist() == ["a0", "b0", "c0", "a1", "b1", "c1"]
    # What matters most comes first.
    importance = pd.DataFrame({"query_id": 1, "aspect": list("abc"), "weight": [1, 2, 7]})
    slate = XQuAD(trade_off=0.1)(run, aspects, 3, importance=importance)
    assert slate["doc_id"].tolist() == ["c0", "b0", "a0"]
    rel = np.array([1 / 5, 3 / 5, 1])
    np.testing.assert_allclose(slate["score"], 0.1 * rel + 0.9 * np.array([0.7, 0.2, 0.1]))


def test_aspects_that_nothing_serves_count():
    run = pd.DataFrame({"query_id": 1, "doc_id": ["x", "y"], "score": [2.0, 1.0]})
    aspects = pd.DataFrame(
        {"query_id": 1, "aspect": [10, 20, 30], "doc_id": ["y", "x", "z"], "score": [1.0, 0.0, 1.0]}
    )
    slate = XQuAD(0).rerank(run, aspects)
    assert slate["doc_id"].tolist() == ["y", "x"]
    assert slate["score"].tolist() == [1 / 3, 0]


def test_without_aspects_the_order_stays():
    run, aspects = candidates(np.random.default_rng(4), [5, 8], [3, 3])
    for trade_off in (0.0, 0.5):
        kept = XQuAD(trade_off).rerank(run, aspects.head(0))
        assert kept["doc_id"].tolist() == run["doc_id"].tolist()
    np.testing.assert_array_equal(kept.groupby("query_id")["score"].first(), 0.5)


def test_other_columns_are_carried_and_nothing_is_changed():
    run, aspects = candidates(np.random.default_rng(4), [5, 5], [3, 4])
    importance = weigh(np.random.default_rng(5), aspects)
    run.insert(0, "price", np.arange(10.0))
    run.index += 100
    before = run.copy(), aspects.copy(), importance.copy()
    slate = XQuAD().rerank(run, aspects, 3, importance=importance)
    for now, then in zip((run, aspects, importance), before, strict=True):
        pd.testing.assert_frame_equal(now, then)
    assert list(slate.columns) == ["query_id", "doc_id", "score", "rank", "price"]
    joined = slate.merge(run, on=["query_id", "doc_id"], validate="one_to_one")
    assert len(joined) == 6
    assert joined["price_x"].tolist() == joined["price_y"].tolist()


def test_empty_run():
    run, aspects = candidates(np.random.default_rng(4), [5], [3])
    assert XQuAD().rerank(run.head(0), aspects).empty
    assert XQuAD().rerank(run.head(0), aspects.head(0)).empty


def test_names_of_any_kind():
    run, aspects = candidates(np.random.default_rng(6), [9, 9], [6, 3])
    expected = XQuAD().rerank(run, aspects)
    text = aspects["aspect"].astype(object)
    mixed = [int(name[1:]) if name < "a3" else name for name in text]
    for names in (aspects["aspect"].astype("category"), mixed, [(name, 1) for name in text]):
        got = XQuAD().rerank(run, aspects.assign(aspect=pd.Series(names)))
        pd.testing.assert_frame_equal(got, expected)


SLATE = ["query_id", "doc_id", "rank"]
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(0, 1), st.integers(1, 6), st.booleans())
def test_properties(seed, trade_off, k, ties):
    rng = np.random.default_rng(seed)
    run, aspects = candidates(
        rng, rng.integers(1, 15, size=4), rng.integers(0, 12, size=4), ties=ties
    )
    importance = weigh(rng, aspects)
    xquad = XQuAD(trade_off)
    whole = xquad.rerank(run, aspects, importance=importance)
    # Nothing is lost or invented, and sorting by score reproduces the slate.
    assert set(zip(whole["query_id"], whole["doc_id"], strict=True)) == set(
        zip(run["query_id"], run["doc_id"], strict=True)
    )
    assert len(whole) == len(run)
    assert (whole.groupby("query_id")["score"].diff().dropna() <= 0).all()
    assert whole["score"].between(0, 1 + 1e-15).all()
    # And so the slate is a run: ranks that go against its scores would raise.
    pd.testing.assert_frame_equal(XQuAD(1).rerank(whole, aspects)[SLATE], whole[SLATE])
    # A short slate is the head of a long one.
    head = whole[whole["rank"] <= k].reset_index(drop=True)
    short = xquad.rerank(run, aspects, k, importance=importance)
    pd.testing.assert_frame_equal(short, head, check_exact=True)
    # The order of the rows of aspects and importance does not matter.
    mixed = xquad.rerank(
        run,
        aspects.sample(frac=1, random_state=rng),
        importance=importance.sample(frac=1, random_state=rng),
    )
    pd.testing.assert_frame_equal(mixed, whole, check_exact=True)
    # A query does not depend on its company.
    alone = xquad.rerank(run[run["query_id"] == "q2"], aspects, importance=importance)
    together = whole[whole["query_id"] == "q2"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, together, check_exact=True)
    # Equal weights are no weights; doubling them changes nothing.
    plain = xquad.rerank(run, aspects)
    equal = aspects[["query_id", "aspect"]].drop_duplicates().assign(weight=2.0)
    pd.testing.assert_frame_equal(
        xquad.rerank(run, aspects, importance=equal), plain, check_exact=True
    )


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_trade_off_one_keeps_the_order(seed):
    rng = np.random.default_rng(seed)
    run, aspects = candidates(rng, rng.integers(1, 15, size=3), [4, 0, 9], ties=True)
    kept = XQuAD(trade_off=1).rerank(run, aspects)
    pd.testing.assert_frame_equal(
        kept[["query_id", "doc_id", "rank"]], run[["query_id", "doc_id", "rank"]]
    )


RUN = pd.DataFrame({"query_id": 1, "doc_id": ["x", "y"], "score": [2.0, 1.0]})
ASPECTS = pd.DataFrame(
    {"query_id": 1, "aspect": ["a", "b"], "doc_id": ["x", "y"], "score": [1.0, 0.5]}
)
IMPORTANCE = pd.DataFrame({"query_id": 1, "aspect": ["a", "b"], "weight": [1.0, 3.0]})


def rerank(run=RUN, aspects=ASPECTS, k=None, importance=None):
    return XQuAD().rerank(run, aspects, k, importance=importance)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: XQuAD(-0.5), ValueError, r"trade_off must be in \[0, 1\]; got -0.5"),
        (
            lambda: rerank(RUN.assign(rank=[2, 1])),
            ValueError,
            r"run\['rank'\] contradicts run\['score'\] in 1 queries",
        ),
        (
            lambda: rerank(importance=IMPORTANCE.assign(query_id="1")),
            TypeError,
            r"run\['query_id'\] holds integers and importance\['query_id'\] strings",
        ),
        (lambda: XQuAD(np.nan), ValueError, r"trade_off must be in \[0, 1\]; got nan"),
        (lambda: rerank(k=0), ValueError, "k must be at least 1; got 0"),
        (
            lambda: rerank(RUN.assign(score=[np.inf, 0])),
            ValueError,
            r"run\['score'\] holds infinite values",
        ),
        (
            lambda: rerank(RUN.drop(columns="score")),
            ValueError,
            r"run lacks the columns \['score'\]",
        ),
        (lambda: rerank(aspects={}), TypeError, "aspects must be a pandas DataFrame; got dict"),
        (
            lambda: rerank(aspects=ASPECTS.drop(columns=["aspect", "score"])),
            ValueError,
            r"aspects lacks the columns \['aspect', 'score'\]",
        ),
        (
            lambda: rerank(aspects=ASPECTS.assign(aspect=["a", None])),
            ValueError,
            r"aspects\['aspect'\] holds 1 missing among 2",
        ),
        (
            lambda: rerank(aspects=ASPECTS.assign(score=[0.5, np.nan])),
            ValueError,
            r"aspects\['score'\] holds 1 NaN among 2 values",
        ),
        (
            lambda: rerank(aspects=ASPECTS.assign(score=[0.5, 1.5])),
            ValueError,
            r"aspects\['score'\] must be in \[0, 1\]; 1 of 2 are not, the first being 1.5",
        ),
        (
            lambda: rerank(aspects=ASPECTS.assign(score=[-0.1, -0.2])),
            ValueError,
            r"in \[0, 1\]; 2 of 2 are not, the first being -0.1",
        ),
        (
            lambda: rerank(aspects=pd.concat([ASPECTS, ASPECTS.tail(1)])),
            ValueError,
            r"aspects holds 1 repeated \(query_id, aspect, doc_id\) rows, the first being "
            r"\(1, 'b', 'y'\)",
        ),
        (
            lambda: rerank(aspects=pd.concat([ASPECTS, *[ASPECTS.tail(1).assign(doc_id="z")] * 2])),
            ValueError,
            r"aspects holds 1 repeated .* the first being \(1, 'b', 'z'\)",
        ),
        (
            lambda: rerank(aspects=ASPECTS.assign(query_id="1")),
            TypeError,
            r"run\['query_id'\] holds integers and aspects\['query_id'\] strings",
        ),
        (
            lambda: rerank(aspects=ASPECTS.assign(doc_id=[1, 2])),
            TypeError,
            r"run\['doc_id'\] holds strings and aspects\['doc_id'\] integers",
        ),
        (
            lambda: rerank(importance=[1, 2]),
            TypeError,
            "importance must be a pandas DataFrame; got list",
        ),
        (
            lambda: rerank(importance=IMPORTANCE.drop(columns="weight")),
            ValueError,
            r"importance lacks the columns \['weight'\]",
        ),
        (
            lambda: rerank(importance=IMPORTANCE.assign(query_id=[None, 1])),
            ValueError,
            r"importance\['query_id'\] holds 1 missing among 2",
        ),
        (
            lambda: rerank(importance=IMPORTANCE.assign(weight=[1, np.nan])),
            ValueError,
            r"importance\['weight'\] holds 1 NaN",
        ),
        (
            lambda: rerank(importance=IMPORTANCE.assign(weight=[1, -2])),
            ValueError,
            r"importance\['weight'\] must be finite and at least 0; 1 of 2 are not, "
            "the first being -2.0",
        ),
        (
            lambda: rerank(importance=IMPORTANCE.assign(weight=0)),
            ValueError,
            r"importance\['weight'\] is 0 for all aspects of 1 queries",
        ),
        (
            lambda: rerank(importance=IMPORTANCE.head(1)),
            ValueError,
            r"importance lacks 1 \(query_id, aspect\) pairs of aspects, the first being \(1, 'b'\)",
        ),
        (
            lambda: rerank(importance=pd.concat([IMPORTANCE] * 2)),
            ValueError,
            r"importance holds 2 repeated \(query_id, aspect\) rows, the first being \(1, 'a'\)",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_repr():
    assert repr(XQuAD()) == "XQuAD(trade_off=0.5)"
