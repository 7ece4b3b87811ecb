"""BM25 against a plain-Python reference, by hand, and by its properties."""

from __future__ import annotations

import math
import re
import tracemalloc
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlsd.funnel.bm25 as module
from mlsd.funnel import BM25, tokenize

WORDS = [f"w{number}" for number in range(8)]
texts_of_words = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join), min_size=1, max_size=12
)
quick = settings(max_examples=60, deadline=None)


def reference(texts, weights, *, k1=1.2, b=0.75, variant="lucene"):
    """Score every text, one loop inside the other, straight from the papers."""
    documents = [text.lower().split() for text in texts]
    mean = sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        total = 0.0
        for term, weight in weights.items():
            tf = document.count(term)
            if not tf:
                continue
            df = sum(term in other for other in documents)
            n = len(documents)
            idf = {
                "lucene": math.log(1 + (n - df + 0.5) / (df + 0.5)),
                "robertson": max(0.0, math.log((n - df + 0.5) / (df + 0.5))),
                "atire": math.log(n / df) * (k1 + 1),
            }[variant]
            total += weight * idf * tf / (tf + k1 * (1 - b + b * len(document) / mean))
        scores.append(total)
    return scores


def random_texts(rng, n, vocabulary=300, longest=30):
    """Return texts whose words follow a Zipf-like law."""
    share = 1 / np.arange(1, vocabulary + 1)
    words = np.array([f"t{number}" for number in range(vocabulary)])
    return [
        " ".join(rng.choice(words, size=rng.integers(0, longest), p=share / share.sum()))
        for _ in range(n)
    ]


def test_by_hand():
    # N = 2, df(red) = 2, df(sofa) = 1, lengths 1 and 2, mean 1.5.
    found = BM25().fit(["red", "red sofa"], ["a", "b"]).search(["red sofa"], k=5)
    red, sofa = math.log(1.2), math.log(2.0)
    long = 1 / (1 + 1.2 * (0.25 + 0.75 * 2 / 1.5))
    short = 1 / (1 + 1.2 * (0.25 + 0.75 * 1 / 1.5))
    assert found["doc_id"].tolist() == ["b", "a"]
    assert found["rank"].tolist() == [1, 2]
    np.testing.assert_allclose(found["score"], [(red + sofa) * long, red * short], rtol=1e-14)


@pytest.mark.parametrize("variant", ["lucene", "robertson", "atire"])
@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.0, 0.75), (2.0, 0.0), (0.9, 1.0)])
def test_against_reference(variant, k1, b):
    rng = np.random.default_rng(3)
    texts = random_texts(rng, 80)
    queries = random_texts(rng, 25, longest=6)
    index = BM25(k1=k1, b=b, variant=variant).fit(texts)
    got = index.scores(queries).toarray()
    expected = [
        reference(texts, Counter(query.split()), k1=k1, b=b, variant=variant) for query in queries
    ]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)
    assert got.max() > 0


@pytest.mark.parametrize("k", [1, 3, 10, 500])
@pytest.mark.parametrize("batch", [50, 4_000_000])
def test_search_is_the_sorted_scores(k, batch, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", batch)  # many batches, and one
    rng = np.random.default_rng(5)
    index = BM25().fit(random_texts(rng, 200, vocabulary=40))
    queries = pd.DataFrame({"query_id": np.arange(30) * 7, "text": random_texts(rng, 30, 40, 5)})
    found = index.search(queries, k)
    dense = index.scores(queries).toarray()
    expected = []
    for row, query in enumerate(queries["query_id"]):
        order = np.argsort(-dense[row], kind="stable")
        order = order[dense[row, order] > 0][:k]
        expected += [(query, doc, dense[row, doc], at + 1) for at, doc in enumerate(order)]
    assert list(found.itertuples(index=False, name=None)) == expected
    assert list(found.columns) == ["query_id", "doc_id", "score", "rank"]


@pytest.mark.parametrize("k", [1, 7, 2000])
@pytest.mark.parametrize("variant", ["lucene", "robertson", "atire"])
def test_common_and_rare_terms_score_alike(k, variant):
    # Queries of common terms are scored over all documents, others over the postings alone.
    rng = np.random.default_rng(8)
    index = BM25(variant=variant).fit(random_texts(rng, 600, vocabulary=2000))
    asked = [
        " ".join(f"t{word}" for word in rng.integers(low, high, 4))
        for low, high in [(0, 8), (900, 2000), (0, 60), (0, 2000)] * 10
    ]
    asked += [{f"t{word}": float(rng.random()) for word in range(9)}, "", "unknown"]
    matrix = index._query_matrix(asked)
    for ours, others in zip(
        index._best_of_all(matrix, k), index._best_of_few(matrix, k), strict=True
    ):
        np.testing.assert_array_equal(ours, others)
    found = index.search(asked, k)
    expected = index._best_of_few(matrix, k)
    for column, values in zip(["query_id", "doc_id", "score"], expected, strict=True):
        np.testing.assert_array_equal(found[column], values)


@pytest.mark.parametrize(("batch", "n_batches"), [(1, 3), (700, 2), (4_000_000, 1)])
def test_every_query_is_scored_the_cheaper_way(batch, n_batches, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", batch)
    ways = {"_best_of_all": [], "_best_of_few": []}
    for way, seen in ways.items():
        real = getattr(BM25, way)
        monkeypatch.setattr(
            BM25,
            way,
            lambda self, matrix, k, seen=seen, real=real: (
                seen.append(matrix.indices.tolist()) or real(self, matrix, k)
            ),
        )
    # "a" and "b" stand in every document, "x" and "y" in one each.
    index = BM25().fit(["a b x", "a b y", *["a b"] * 98])
    found = index.search(["a b", "x", "b a", "a x", "y", ""], k=1)
    assert found["query_id"].tolist() == [0, 1, 2, 3, 4]
    assert found["doc_id"].tolist() == [2, 0, 2, 0, 1]
    flat = {way: [term for part in seen for term in part] for way, seen in ways.items()}
    assert flat == {"_best_of_all": [0, 1, 0, 1, 0, 2], "_best_of_few": [2, 3]}
    assert len(ways["_best_of_all"]) == n_batches  # a query takes three rows of 100 numbers


@pytest.mark.parametrize("k1", [1.2, 0.5])
def test_against_bm25s(k1):
    bm25s = pytest.importorskip("bm25s")
    rng = np.random.default_rng(10)
    texts = random_texts(rng, 400, vocabulary=500)
    queries = random_texts(rng, 60, vocabulary=500, longest=6)
    peer = bm25s.BM25(k1=k1, b=0.75, method="lucene", dtype="float64")
    peer.index([text.split() for text in texts], show_progress=False)
    # Words repeated in a query count as often with both; the peer refuses a query without words.
    asked = [query for query in queries if query]
    docs, scores = peer.retrieve([query.split() for query in asked], k=20, show_progress=False)
    index = BM25(k1=k1).fit(texts)
    found = index.search(asked, 20)
    for row in range(len(asked)):
        ours = found[found["query_id"] == row]
        np.testing.assert_allclose(ours["score"], scores[row][: len(ours)], rtol=1e-6)
        assert (scores[row][len(ours) :] == 0).all()
    every = index.scores(asked).toarray()
    np.testing.assert_allclose(np.take_along_axis(every, docs, axis=1), scores, rtol=1e-6)


def test_score_pairs_are_the_scores_of_search():
    rng = np.random.default_rng(7)
    index = BM25().fit(pd.Series(random_texts(rng, 100), index=[f"d{n}" for n in range(100)]))
    queries = pd.Series(random_texts(rng, 20, longest=6), index=list("abcdefghijklmnopqrst"))
    every = pd.MultiIndex.from_product([queries.index, index.doc_ids]).to_frame(index=False)
    every.columns = ["query_id", "doc_id"]
    shuffled = every.sample(frac=1, random_state=1)
    got = index.score_pairs(queries, shuffled)
    assert got.index.equals(shuffled.index)
    expected = index.scores(queries).toarray().ravel()[shuffled.index]
    np.testing.assert_allclose(got, expected, rtol=1e-14)
    assert index.score_pairs(queries, every.head(0)).empty


def test_unknown_terms_have_no_rows_and_score_zero():
    index = BM25().fit(["red chair", "lamp", ""])
    found = index.search(["zzz", "", "lamp"], k=3)
    assert found[["query_id", "doc_id"]].to_numpy().tolist() == [[2, 1]]
    none = index.search(["zzz"], k=3)
    assert none.empty
    assert none.dtypes[["score", "rank"]].tolist() == [np.dtype(float), np.dtype("int64")]
    pairs = pd.DataFrame({"query_id": [0, 2], "doc_id": [1, 0]})
    assert index.score_pairs(["zzz", "", "lamp"], pairs).tolist() == [0.0, 0.0]
    assert index.search([], k=3).empty


def test_texts_without_any_term():
    assert BM25().fit(["", "..."]).search(["a"], k=1).empty


def test_weighted_terms():
    texts = ["red sofa", "couch", "green couch sofa"]
    index = BM25().fit(texts)
    weights = {"couch": 1.0, "sofa": 0.25, "unknown": 3.0, "red": 0.0}
    np.testing.assert_allclose(
        index.scores([weights]).toarray()[0], reference(texts, weights), rtol=1e-13
    )
    both = pd.DataFrame({"query_id": [9], "text": ["red"], "terms": [weights]})
    pd.testing.assert_frame_equal(index.search(both, 5), index.search(both.drop(columns="text"), 5))
    # A text is its counted terms, and the terms of a mapping are not analysed.
    np.testing.assert_array_equal(
        index.scores(["Sofa sofa red"]).toarray(), index.scores([{"sofa": 2, "red": 1}]).toarray()
    )
    assert index.search([{"Sofa": 1.0}], 5).empty


def test_queries_in_any_sequence():
    index = BM25().fit(["red sofa", "couch"])
    texts = ["couch", "red"]
    expected = index.search(texts, 5)
    for queries in (np.array(texts), pd.Index(texts), tuple(texts), np.array(texts, dtype=object)):
        pd.testing.assert_frame_equal(index.search(queries, 5), expected)


def test_fit_does_not_keep_the_tokens():
    # A million tokens of five terms: in a list the references alone take 8 MB, as numbers 4 MB.
    words = ["alpha", "beta", "gamma", "delta", "epsilon"]
    held = []

    def analyzer(text):
        held.append(tracemalloc.get_traced_memory()[0])
        return words * 2000

    texts = ["x"] * 100
    tracemalloc.start()
    try:
        BM25(analyzer=analyzer).fit(texts)
    finally:
        tracemalloc.stop()
    assert held[-1] - held[0] < 6_000_000


def test_repeated_query_words_count():
    index = BM25().fit(["red sofa", "blue sofa"])
    once, twice = index.scores(["red", "red red"]).toarray()
    np.testing.assert_array_equal(twice, 2 * once)


def test_analyzer_is_used_for_both_sides():
    def stem(text):
        return [word.rstrip("s") for word in tokenize(text)]

    index = BM25(analyzer=stem).fit(["red sofas", "lamp"])
    assert index.search(["SOFA"], 2)["doc_id"].tolist() == [0]
    assert list(index.vocabulary) == ["lamp", "red", "sofa"]
    np.testing.assert_allclose(index.idf, math.log(2.0))


def test_common_terms_add_nothing_under_robertson_and_atire():
    texts = ["a b", "a c"]
    assert BM25(variant="robertson").fit(texts).search(["a"], 5).empty
    assert BM25(variant="atire").fit(texts).search(["a"], 5).empty
    assert len(BM25().fit(texts).search(["a"], 5)) == 2


def test_ids_keep_their_kind_and_input_is_not_changed():
    queries = pd.DataFrame({"query_id": pd.Categorical(["x"]), "text": ["red"]})
    before = queries.copy()
    found = BM25().fit(["red"], doc_ids=np.array([7], dtype=np.int32)).search(queries, 1)
    assert isinstance(found["query_id"].dtype, pd.CategoricalDtype)
    assert found["doc_id"].dtype == np.int32
    pd.testing.assert_frame_equal(queries, before)


@quick
@given(texts_of_words, st.lists(st.sampled_from(WORDS), max_size=5), st.randoms())
def test_order_of_documents_and_words_does_not_matter(texts, query, random):
    ids = list(range(len(texts)))
    shuffled = ids[:]
    random.shuffle(shuffled)
    there = BM25().fit(texts, ids).search([" ".join(query)], len(texts))
    back = BM25().fit([texts[i] for i in shuffled], shuffled)
    random.shuffle(query)
    again = back.search([" ".join(query)], len(texts))
    # Exactly the same scores; only ties may change places.
    key = ["score", "doc_id"]
    pd.testing.assert_frame_equal(
        there[key].sort_values(key, ignore_index=True),
        again[key].sort_values(key, ignore_index=True),
        check_exact=True,
    )


@quick
@given(texts_of_words, texts_of_words, st.integers(1, 6))
def test_short_list_is_the_head_of_the_long_one(texts, queries, k):
    index = BM25().fit(texts)
    long = index.search(queries, k + 3)
    short = index.search(queries, k)
    pd.testing.assert_frame_equal(
        short, long[long["rank"] <= k].reset_index(drop=True), check_exact=True
    )


@quick
@given(texts_of_words, st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
def test_equal_documents_tie_in_their_order(texts, query):
    found = BM25().fit(texts + texts).search([" ".join(query)], 2 * len(texts))
    half = len(texts)
    score = found.set_index("doc_id")["score"]
    place = found.set_index("doc_id")["rank"]
    for doc in found["doc_id"][found["doc_id"] < half]:
        assert score[doc] == score[doc + half]
        assert place[doc] < place[doc + half]


@quick
@given(texts_of_words, st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
def test_irrelevant_document_is_never_found(texts, query):
    index = BM25().fit([*texts, "nothing of the kind"])
    assert len(texts) not in set(index.search([" ".join(query)], 50)["doc_id"])


def test_tokenize():
    assert tokenize("Crème BRÛLÉE 2x; don't_stop") == ["creme", "brulee", "2x", "don", "t_stop"]
    assert tokenize("ﬁne Ｗｉｄｅ Ёлка") == ["fine", "wide", "елка"]
    assert tokenize("が か") == ["が", "か"]
    assert tokenize("") == []


@given(st.text())
def test_terms_are_terms_of_themselves(text):
    terms = tokenize(text)
    assert all(re.fullmatch(r"\w+", term) for term in terms)
    assert [tokenize(term) for term in terms] == [[term] for term in terms]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: BM25(k1=-1), ValueError, r"k1 must be finite and at least 0; got -1"),
        (lambda: BM25(b=1.5), ValueError, r"b must be in \[0, 1\]; got 1.5"),
        (lambda: BM25(variant="plus"), ValueError, r"variant must be one of .* got 'plus'"),
        (lambda: BM25(analyzer="x"), TypeError, "analyzer must be callable; got str"),
        (lambda: BM25(analyzer=str.lower).fit(["Ab"]), TypeError, "got the text 'ab'"),
        (lambda: BM25().search(["a"], 1), ValueError, "call fit first"),
        (lambda: BM25().fit([]), ValueError, "texts is empty"),
        (lambda: BM25().fit("abc"), TypeError, "got one str"),
        (lambda: BM25().fit(pd.DataFrame({"text": ["a"]})), TypeError, "got one DataFrame"),
        (lambda: BM25().fit({"d": "a"}), TypeError, "got one dict"),
        (lambda: BM25().fit({"a", "b"}), TypeError, "got one set"),
        (lambda: BM25().fit(["a"], [("d", 1)]), TypeError, r"tuples, such as .\('d', 1\)"),
        (
            lambda: BM25().fit(["a"]).search(np.array([["a"]]), 1),
            ValueError,
            r"queries must be one-dimensional; got shape \(1, 1\)",
        ),
        (lambda: BM25().fit(["a", None, 3]), TypeError, "2 of 3 are not, .* None at position 1"),
        (lambda: BM25().fit(["a", "b"], [1, 1]), ValueError, "doc_ids must be unique; 1 are"),
        (lambda: BM25().fit(["a", "b"], [1]), ValueError, "1 identifiers for 2 items"),
        (lambda: BM25().fit(["a"], [None]), ValueError, "1 missing identifiers among 1"),
        (lambda: BM25().fit(["a"], "a"), TypeError, "must be a sequence of identifiers; got 'a'"),
        (lambda: BM25().fit(["a"]).search("a", 1), TypeError, "queries must be a DataFrame"),
        (lambda: BM25().fit(["a"]).search(["a"], 0), ValueError, "k must be at least 1; got 0"),
        (lambda: BM25().fit(["a"]).search([3], 1), TypeError, "the one at position 0 is 3"),
        (lambda: BM25().fit(["a"]).search([{"a": -1}], 1), ValueError, "at least 0; got -1"),
        (
            lambda: BM25().fit(["a"]).search(pd.DataFrame({"query_id": [1]}), 1),
            ValueError,
            r"queries lacks the columns \['text'\]",
        ),
        (
            lambda: BM25().fit(["a"]).search(pd.Series(["a", "a"], index=[4, 4]), 1),
            ValueError,
            "the index of queries must be unique; 1 are repeated, the first being 4",
        ),
        (
            lambda: (
                BM25()
                .fit(["a"])
                .score_pairs(["a"], pd.DataFrame({"query_id": [0, 0], "doc_id": [0, 5]}))
            ),
            ValueError,
            r"pairs\['doc_id'\] holds 1 unknown identifiers, the first 5",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_repr():
    assert repr(BM25().fit(["a"])) == "BM25(k1=1.2, b=0.75, variant='lucene') of 1 documents"
