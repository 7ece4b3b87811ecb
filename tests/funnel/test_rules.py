"""Rules of a slate against a loop over places and a search over all slates."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlsd.funnel._slate as module
from mlsd.funnel.rules import AtLeast, AtMost, Pin, SlateRules, UnmetRuleWarning

CORE = ["query_id", "doc_id", "score", "rank"]


def matches(rule, doc):
    """Return whether a rule counts a document."""
    if isinstance(rule, Pin) and rule.doc_ids is not None:
        return doc["doc_id"] in rule.doc_ids
    return getattr(rule, "equals", None) is None or doc[rule.by] == rule.equals


def window(rule):
    """Return how many places a rule looks at."""
    return rule.positions if rule.positions is not None else 10**9


def may_stand(doc, place, slate, pinned, rules):
    """Return whether no AtMost forbids a document at a place, beside those placed and pinned."""
    standing = {**dict(enumerate(slate)), **pinned}
    for rule in rules:
        if isinstance(rule, AtMost) and place < window(rule) and matches(rule, doc):
            alike = [
                other
                for at, other in standing.items()
                if at < window(rule) and matches(rule, other) and other[rule.by] == doc[rule.by]
            ]
            if len(alike) >= rule.n:
                return False
    return True


def must_serve(rules, place, slate, pinned, allowed, k):
    """Return which documents minimums leave to choose from."""
    floors = [rule for rule in rules if isinstance(rule, AtLeast) and window(rule) > place]
    standing = {**dict(enumerate(slate)), **pinned}
    kept = allowed
    for end in sorted({window(rule) for rule in floors}):
        open_floors, lacking = [], 0
        for rule in floors:
            if window(rule) > end:
                continue
            have = sum(at < window(rule) and matches(rule, doc) for at, doc in standing.items())
            lacks = min(max(rule.n - have, 0), sum(matches(rule, doc) for doc in allowed))
            lacking += lacks
            if lacks:
                open_floors.append(rule)
        left = sum(at not in pinned for at in range(place, min(end, k)))
        if lacking and lacking >= left:
            serves = [sum(matches(rule, doc) for rule in open_floors) for doc in kept]
            least = max(serves) if lacking > left else 1
            kept = [doc for doc, number in zip(kept, serves, strict=True) if number >= least]
    return kept


def naive_slate(docs, rules, k):
    """Fill the slate of one query place by place; `docs` come in the order of score."""
    asked, k = k, min(k, len(docs))
    free, pinned, slate = list(docs), {}, []
    for pin in sorted((r for r in rules if isinstance(r, Pin)), key=lambda r: r.position):
        place = pin.position - 1
        fit = [d for d in free if matches(pin, d) and may_stand(d, place, [], pinned, rules)]
        if place < k and fit:
            pinned[place] = fit[0]
            free.remove(fit[0])
    while len(slate) < k:
        place = len(slate)
        if place in pinned:
            slate.append(pinned.pop(place))
            continue
        for attempt in (1, 2):
            allowed = [d for d in free if may_stand(d, place, slate, pinned, rules)]
            if allowed or attempt == 2 or not pinned:
                break
            free = [d for d in docs if d in free or d in pinned.values()]
            pinned = {}
        if not allowed:
            break
        slate.append(must_serve(rules, place, slate, pinned, allowed, asked)[0])
        free.remove(slate[-1])
    return slate


def naive(run, rules, k):
    """Fill one slate after the other."""
    rows = []
    for query in run["query_id"].unique():
        part = run[run["query_id"] == query]
        part = part.sort_values("score", ascending=False, kind="stable")
        slate = naive_slate(part.to_dict("records"), rules, k)
        for rank, doc in enumerate(slate, start=1):
            score = max(other["score"] for other in slate[rank - 1 :])
            rows.append({**doc, "score": score, "rank": rank, "score_before": doc["score"]})
    return pd.DataFrame(rows, columns=[*CORE, "seller", "topic", "ad", "score_before"])


def candidates(rng, sizes, n_sellers=4):
    """Return a run with the columns that rules look at, in a mixed order of rows."""
    parts = [
        pd.DataFrame(
            {
                "query_id": f"q{number}",
                "doc_id": [f"d{doc}" for doc in rng.permutation(size)],
                "score": rng.integers(0, 12, size=size) / 4,
                "seller": rng.integers(0, n_sellers, size=size),
                "topic": rng.choice(["news", "sport", "art"], size=size),
                "ad": rng.random(size) < 0.3,
            }
        )
        for number, size in enumerate(sizes)
    ]
    return pd.concat(parts, ignore_index=True).sample(frac=1, random_state=int(rng.integers(2**31)))


def quietly(rules, run, k=None):
    """Re-rank without the warning of what could not be had."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnmetRuleWarning)
        return SlateRules(rules).rerank(run, k)


SETS = [
    [],
    [AtMost(1, "seller")],
    [AtMost(0, "ad", equals=True, positions=3)],
    [AtMost(1, "seller", positions=3), AtMost(2, "topic", positions=5), AtMost(2, "ad")],
    [AtLeast(2, "topic", "art")],
    [AtLeast(1, "topic", "art", positions=2), AtLeast(2, "topic", "news", positions=5)],
    [AtLeast(2, "ad", True, positions=4), AtLeast(3, "topic", "sport", positions=4)],
    [AtLeast(2, "topic", "art", positions=4), AtMost(1, "seller")],
    [AtLeast(1, "ad", True, positions=1), AtLeast(2, "topic", "art", positions=2)],
    [Pin(3, by="ad", equals=True)],
    [Pin(4, by="ad", equals=True), AtMost(1, "ad", equals=True, positions=2)],
    [Pin(4, by="ad", equals=True), AtLeast(1, "ad", True, positions=2)],
    [Pin(1, doc_ids=["d5", "d2"]), Pin(4, doc_ids=["d2", "d0"]), AtMost(1, "ad", equals=True)],
    [
        Pin(2, by="ad", equals=True),
        Pin(5, by="topic", equals="art"),
        AtMost(1, "ad", equals=True, positions=3),
        AtMost(2, "seller"),
        AtLeast(2, "topic", "news", positions=4),
    ],
]


@pytest.mark.parametrize("rules", SETS, ids=str)
@pytest.mark.parametrize("k", [1, 4, 6, 50])
@pytest.mark.parametrize("room", [1, 60, 500_000])
def test_against_the_naive_loop(rules, k, room, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", room)  # one query at a time, some, all
    run = candidates(np.random.default_rng(k), [9, 1, 14, 6, 2, 9, 9, 12, 3])
    got = quietly(rules, run, k)
    pd.testing.assert_frame_equal(got, naive(run, rules, k), check_dtype=False)


columns = st.sampled_from(["seller", "topic", "ad"])
values = {"seller": st.integers(0, 3), "topic": st.sampled_from(["news", "art"])}
places = st.none() | st.integers(1, 6)


@st.composite
def rule(draw):
    """Draw any rule."""
    by = draw(columns)
    value = draw(values.get(by, st.booleans()))
    kind = draw(st.sampled_from(["most", "value", "least", "pin", "documents"]))
    if kind == "most":
        return AtMost(draw(st.integers(0, 3)), by, positions=draw(places))
    if kind == "value":
        return AtMost(draw(st.integers(0, 3)), by, positions=draw(places), equals=value)
    if kind == "least":
        positions = draw(places)
        return AtLeast(draw(st.integers(0, min(3, positions or 3))), by, value, positions=positions)
    if kind == "pin":
        return Pin(draw(st.integers(1, 6)), by=by, equals=value)
    ids = draw(st.lists(st.integers(0, 9), min_size=1, max_size=3))
    return Pin(draw(st.integers(1, 6)), doc_ids=[f"d{one}" for one in ids])


def together(rules):
    """Keep of the rules those that do not contradict the ones before."""
    kept = []
    for one in rules:
        try:
            SlateRules([*kept, one])
        except ValueError:
            continue
        kept.append(one)
    return kept


@given(st.integers(0, 2**32 - 1), st.lists(rule(), max_size=5), st.integers(1, 8))
def test_any_rules_against_the_naive_loop(seed, drawn, k):
    rules = together(drawn)
    rng = np.random.default_rng(seed)
    run = candidates(rng, rng.integers(1, 12, size=3))
    got = quietly(rules, run, k)
    pd.testing.assert_frame_equal(got, naive(run, rules, k), check_dtype=False)
    # Each query as if it were alone.
    alone = quietly(rules, run[run["query_id"] == "q1"], k)
    mine = got[got["query_id"] == "q1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, mine, check_exact=True, check_dtype=False)
    # A subset without repeats, by scores and ranks that give it back.
    assert not got.duplicated(["query_id", "doc_id"]).any()
    both = got.merge(run, on=["query_id", "doc_id"], suffixes=("", "_run"))
    assert len(both) == len(got)
    assert both["score_before"].tolist() == both["score_run"].tolist()
    top = SlateRules([]).rerank(got)
    pd.testing.assert_frame_equal(top[CORE], got[CORE])
    assert (got["score"] >= got["score_before"]).all()
    # Quotas hold, and the check says what a count by hand says.
    report = SlateRules(rules).check(got, k).set_index("rule")
    slates = [part.to_dict("records") for _, part in got.groupby("query_id")]
    for one in rules:
        short = [missed(one, slate) for slate in slates]
        assert report.loc[[repr(one)], "shortfall"].tolist()[0] == sum(short)
        assert report.loc[[repr(one)], "violations"].tolist()[0] == np.count_nonzero(short)
        if isinstance(one, AtMost):
            assert sum(short) == 0


def missed(one, slate):
    """Return by how many documents a slate misses a rule."""
    if isinstance(one, Pin):
        return 1 - sum(matches(one, doc) for doc in slate[one.position - 1 : one.position])
    counted = [doc for doc in slate[: window(one)] if matches(one, doc)]
    if isinstance(one, AtLeast):
        return max(one.n - len(counted), 0)
    return sum(max(n - one.n, 0) for n in Counter(doc[one.by] for doc in counted).values())


def best_score(docs, rules, k):
    """Return length and sum of scores of the best slate that keeps all rules, by trying all."""
    best = (0, 0.0)
    for size in range(1, min(k, len(docs)) + 1):
        for slate in itertools.permutations(docs, size):
            if all(missed(one, slate) == 0 for one in rules):
                best = max(best, (size, sum(doc["score"] for doc in slate)))
    return best


@pytest.mark.parametrize(
    "rules",
    [
        [AtMost(1, "seller")],
        [AtMost(2, "topic")],
        [AtMost(1, "ad", equals=True), AtMost(2, "ad", equals=False)],
        [AtLeast(2, "topic", "art", positions=3)],
        [AtLeast(1, "ad", True)],
    ],
    ids=str,
)
def test_where_the_greedy_way_is_the_best(rules):
    rng = np.random.default_rng(7)
    for _ in range(8):
        run = candidates(rng, [6])
        slate = quietly(rules, run, 4)
        report = SlateRules(rules).check(slate)
        found = (len(slate), slate["score_before"].sum())
        best = best_score(run.to_dict("records"), rules, 4)
        if best[0]:  # else no slate keeps the minimum
            assert report["violations"].sum() == 0
            assert found == pytest.approx(best)


def test_where_the_greedy_way_is_not():
    # The only art is of seller 1, whose quota the first place has used.
    run = pd.DataFrame(
        {
            "query_id": 1,
            "doc_id": ["a", "b", "c"],
            "score": [3.0, 2.0, 1.0],
            "seller": [1, 2, 1],
            "topic": ["news", "news", "art"],
        }
    )
    rules = SlateRules([AtMost(1, "seller"), AtLeast(1, "topic", "art")])
    with pytest.warns(UnmetRuleWarning, match=r"AtLeast\(1, 'topic', 'art'\) is unmet in 1 of 1"):
        assert rules(run, 2)["doc_id"].tolist() == ["a", "b"]
    assert best_score(run.to_dict("records"), rules.rules, 2) == (2, 3.0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(0, 4))
def test_a_minimum_that_can_be_had_is_had(seed, k, n):
    rng = np.random.default_rng(seed)
    run = candidates(rng, rng.integers(1, 12, size=4))
    positions = int(rng.integers(max(n, 1), max(n, 1) + 4))
    least = AtLeast(n, "topic", "art", positions=positions)
    slate = quietly([least], run, k)
    assert len(slate) == np.minimum(run["query_id"].value_counts(), k).sum()  # it shortens none
    for query, part in slate.groupby("query_id"):
        had = int((run[run["query_id"] == query]["topic"] == "art").sum())
        shown = int((part[part["rank"] <= positions]["topic"] == "art").sum())
        assert shown >= min(n, had, k)
        # Those that match keep their order, and so do the others.
        for _, kind in part.groupby(part["topic"] == "art"):
            assert kind["score_before"].is_monotonic_decreasing


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_without_rules_it_is_the_top(seed, k):
    rng = np.random.default_rng(seed)
    run = candidates(rng, rng.integers(1, 12, size=4))
    slate = SlateRules([]).rerank(run, k)
    first = run["query_id"].drop_duplicates().reset_index(drop=True)
    top = run.sort_values("score", ascending=False, kind="stable").groupby("query_id").head(k)
    top = top.sort_values("query_id", key=lambda q: q.map(pd.Index(first).get_loc), kind="stable")
    assert slate["doc_id"].tolist() == top["doc_id"].tolist()
    assert slate["score"].tolist() == slate["score_before"].tolist() == top["score"].tolist()


SMALL = pd.DataFrame(
    {
        "query_id": ["x"] * 5 + ["y"] * 2,
        "doc_id": ["a", "b", "c", "d", "e", "a", "b"],
        "score": [5.0, 4.0, 3.0, 2.0, 1.0, 2.0, 1.0],
        "seller": ["s", "s", "s", "t", None, "s", "s"],
        "adult": [True, True, False, False, False, True, True],
    }
)


def docs(slate, query="x"):
    return slate[slate["query_id"] == query]["doc_id"].tolist()


def test_a_quota_makes_slates_shorter_and_says_so():
    rules = SlateRules([AtMost(0, "adult", equals=True, positions=4)])
    with pytest.warns(UnmetRuleWarning, match="^AtMost makes 2 of 2 slates shorter$") as caught:
        slate = rules.rerank(SMALL, 5)
    assert caught[0].filename == __file__
    assert docs(slate) == ["c", "d", "e"]
    assert docs(slate, "y") == []
    assert rules.check(slate, 5).to_dict("list") == {
        "rule": ["AtMost(0, 'adult', positions=4, equals=True)", "k=5"],
        "queries": [1, 1],
        "violations": [0, 1],
        "shortfall": [0, 2],
    }
    # A slate that is longer lacks nothing.
    assert rules.check(slate, 2)["shortfall"].tolist() == [0, 0]
    # Past its window the rule is silent.
    first = SlateRules([AtMost(0, "adult", equals=True, positions=2)])
    with pytest.warns(UnmetRuleWarning, match="makes 1 of 2 slates shorter"):
        slate = first(SMALL)
    assert docs(slate) == ["c", "d", "a", "b", "e"]
    assert slate["score"].tolist() == [5, 5, 5, 4, 1]
    assert slate["score_before"].tolist() == [3, 2, 5, 4, 1]


def test_what_is_missing_is_a_value_of_its_own():
    run = SMALL.head(5).assign(seller=["s", None, None, np.nan, "t"])
    slate = SlateRules([AtMost(1, "seller")]).rerank(run, 3)
    assert slate["doc_id"].tolist() == ["a", "b", "e"]
    for column in (
        pd.array([1, None, None, None, 2], dtype="Int64"),
        pd.Categorical(["s", None, None, None, "t"]),
        pd.array(["s", None, None, None, "t"], dtype="string"),
    ):
        again = SlateRules([AtMost(1, "seller")]).rerank(run.assign(seller=column), 3)
        assert again["doc_id"].tolist() == ["a", "b", "e"]
    # In every query: with codes of -1, the missing one of y would be counted with the t of x.
    two = pd.DataFrame(
        {
            "query_id": ["x", "x", "y", "y"],
            "doc_id": list("abcd"),
            "score": [4.0, 3.0, 2.0, 1.0],
            "seller": ["s", "t", None, "s"],
        }
    )
    slate = SlateRules([AtMost(1, "seller")]).rerank(two)
    assert slate["doc_id"].tolist() == ["a", "b", "c", "d"]
    # And equals nothing that is named.
    flags = run.assign(adult=pd.array([None, None, True, False, True], dtype="boolean"))
    slate = SlateRules([AtMost(0, "adult", equals=True)]).rerank(flags, 3)
    assert slate["doc_id"].tolist() == ["a", "b", "d"]


def test_pins():
    one = SMALL.head(5)
    assert docs(SlateRules([Pin(1, doc_ids=["e"])])(one, 3)) == ["e", "a", "b"]
    assert docs(SlateRules([Pin(3, doc_ids=["a"])])(one, 4)) == ["b", "c", "a", "d"]
    assert docs(SlateRules([Pin(2, by="seller", equals="s")])(one, 2)) == ["b", "a"]
    # The quota counts what is pinned from the beginning, so the pin is not lost to it.
    both = SlateRules([AtMost(1, "adult", equals=True), Pin(3, by="adult", equals=True)])
    assert docs(both(one, 4)) == ["c", "d", "a", "e"]
    # Two pins on one document: the upper place has it, the other takes the next.
    pins = [Pin(4, doc_ids=["a", "c"]), Pin(2, doc_ids=["a"])]
    assert docs(SlateRules(pins)(one)) == ["b", "a", "d", "c", "e"]


def test_a_pin_beyond_the_candidates_moves_up_and_is_unmet():
    rules = SlateRules([Pin(2, by="adult", equals=True), AtMost(1, "seller", positions=2)])
    few = SMALL.iloc[[0, 5, 6]]
    message = (
        r"^Pin\(2, by='adult', equals=True\) is unmet in 2 of 2 queries, in 0 of them for want of "
        "candidates; AtMost makes 1 of 2 slates shorter$"
    )
    with pytest.warns(UnmetRuleWarning, match=message):
        slate = rules(few)
    assert (docs(slate), docs(slate, "y")) == (["a"], ["a"])
    with pytest.warns(UnmetRuleWarning, match="unmet in 1 of 1 queries, in 1 of them for want"):
        assert docs(SlateRules([Pin(1, doc_ids=["z"])])(SMALL.head(5), 2)) == ["a", "b"]
    with pytest.warns(
        UnmetRuleWarning, match=r"AtLeast\(4, 'seller', 's'\) is unmet in 2 of 2.* 2"
    ):
        SlateRules([AtLeast(4, "seller", "s")])(SMALL, 3)


def test_ranks_settle_equal_scores():
    run = SMALL.head(5).assign(score=1.0, rank=[5, 4, 3, 2, 1])
    slate = SlateRules([AtMost(1, "seller")]).rerank(run, 3)
    assert slate["doc_id"].tolist() == ["e", "d", "c"]
    assert slate["rank"].tolist() == [1, 2, 3]


def test_the_run_is_not_changed_and_columns_are_carried():
    run = SMALL.head(5).assign(price=np.arange(5), score_before="old")
    run.index += 7
    before = run.copy()
    slate = SlateRules([AtMost(1, "seller")]).rerank(run, 2)
    pd.testing.assert_frame_equal(run, before)
    assert list(slate) == [*CORE, "seller", "adult", "price", "score_before"]
    assert slate["price"].tolist() == [0, 3]
    assert slate["score_before"].tolist() == [5, 2]
    again = SlateRules([AtMost(1, "seller")]).rerank(slate)
    pd.testing.assert_frame_equal(again, slate)


def test_empty_run():
    rules = SlateRules([AtMost(1, "seller"), AtLeast(1, "adult", True), Pin(1, doc_ids=["a"])])
    slate = rules.rerank(SMALL.head(0), 3)
    assert slate.empty
    assert list(slate) == [*CORE, "seller", "adult", "score_before"]
    assert rules.check(slate, 3)[["queries", "violations", "shortfall"]].to_numpy().sum() == 0
    assert SlateRules([]).check(SMALL).empty


def test_rules_are_values():
    assert AtMost(2, "seller") == AtMost(2, "seller", positions=None)
    assert len({Pin(1, doc_ids=["a"]), Pin(1, doc_ids=("a",))}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        AtMost(2, "seller").n = 3
    rules = SlateRules(iter([AtMost(2, "seller"), AtLeast(1, "topic", "art", positions=3)]))
    assert repr(rules) == (
        "SlateRules([AtMost(2, 'seller'), AtLeast(1, 'topic', 'art', positions=3)])"
    )


@pytest.mark.parametrize(
    "rules",
    [
        [AtLeast(3, "seller", "s"), AtMost(2, "seller", positions=5)],
        [AtLeast(3, "seller", "s", positions=4), AtMost(2, "seller", positions=3)],
        [AtLeast(3, "seller", "s"), AtMost(2, "seller", equals="t")],
        [AtLeast(3, "seller", "s"), AtMost(2, "adult")],
        [AtLeast(2, "seller", "s"), AtMost(2, "seller")],
        [AtLeast(2, "seller", "s", positions=3), AtLeast(1, "seller", "t", positions=3)],
        [AtLeast(2, "seller", "s", positions=2), AtLeast(2, "seller", "s", positions=2)],
        [AtLeast(2, "seller", "s", positions=2), AtLeast(2, "adult", True, positions=2)],
        [
            AtMost(1, "seller", positions=3),
            Pin(2, by="seller", equals="s"),
            Pin(4, by="seller", equals="s"),
        ],
        [AtMost(1, "seller"), Pin(1, by="seller", equals="s"), Pin(2, by="seller", equals="t")],
    ],
    ids=str,
)
def test_rules_that_can_stand_together(rules):
    assert SlateRules(rules).rules == tuple(rules)
    assert SlateRules(rules[::-1]).rules == tuple(rules[::-1])


def slate_of(*rules):
    return SlateRules(rules).rerank(SMALL)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: AtMost(-1, "seller"), ValueError, "n must be at least 0; got -1"),
        (lambda: AtMost(1.5, "seller"), TypeError, "n must be an integer; got 1.5"),
        (lambda: AtMost(True, "seller"), TypeError, "n must be an integer; got True"),
        (lambda: AtLeast(-1, "seller", "s"), ValueError, "n must be at least 0; got -1"),
        (lambda: AtMost(1, 3), TypeError, "by must be the name of a column; got 3"),
        (lambda: AtMost(1, "seller", positions=0), ValueError, "positions must be at least 1"),
        (lambda: AtMost(1, "seller", positions=2.0), TypeError, "positions must be an integer"),
        (lambda: AtMost(1, "seller", equals=["s"]), TypeError, r"equals must be one value; got \["),
        (lambda: AtMost(1, "seller", equals=np.nan), ValueError, "equals must be a value, .* nan"),
        (lambda: AtLeast(1, "seller", None), ValueError, "equals of AtLeast must be a value"),
        (lambda: AtLeast(1, "seller", pd.NA), ValueError, "equals must be a value"),
        (
            lambda: AtLeast(3, "seller", "s", positions=2),
            ValueError,
            r"AtLeast\(3, 'seller', 's', positions=2\) contradicts itself: 3 in 2 places",
        ),
        (lambda: Pin(0, doc_ids=["a"]), ValueError, "position must be at least 1; got 0"),
        (lambda: Pin(1), ValueError, "Pin needs doc_ids, or by and equals, and not both"),
        (lambda: Pin(1, by="seller"), ValueError, "Pin needs doc_ids, or by and equals"),
        (lambda: Pin(1, equals="s", doc_ids=["a"]), ValueError, "Pin needs doc_ids, or by"),
        (lambda: Pin(1, doc_ids=["a"], by="seller", equals="s"), ValueError, "and not both"),
        (lambda: Pin(1, doc_ids="ab"), TypeError, "doc_ids must be a sequence .* got 'ab'"),
        (lambda: Pin(1, doc_ids=7), TypeError, "doc_ids must be a sequence .* got 7"),
        (lambda: Pin(1, by="seller", equals={"s"}), TypeError, "equals must be one value"),
        (lambda: SlateRules(AtMost(1, "seller")), TypeError, "rules must be a list of rules"),
        (lambda: SlateRules([AtMost]), TypeError, "rules must be AtMost, AtLeast or Pin; got"),
        (lambda: SlateRules(3), TypeError, "rules must be a list of rules; got 3"),
        (
            lambda: slate_of(AtLeast(3, "seller", "s"), AtMost(2, "seller")),
            ValueError,
            r"AtLeast\(3, 'seller', 's'\) contradicts AtMost\(2, 'seller'\)",
        ),
        (
            lambda: slate_of(
                AtMost(0, "adult", equals=True, positions=3),
                AtLeast(2, "adult", True, positions=4),
            ),
            ValueError,
            r"AtLeast\(2, .* contradicts AtMost\(0, 'adult'",
        ),
        (
            lambda: slate_of(
                AtLeast(2, "seller", "s", positions=3), AtLeast(2, "seller", "t", positions=2)
            ),
            ValueError,
            "the minimums of 'seller' ask for 4 documents in the first 3 places",
        ),
        (
            lambda: slate_of(Pin(1, doc_ids=["a"]), Pin(1, by="seller", equals="s")),
            ValueError,
            "claim the same place",
        ),
        (
            lambda: slate_of(
                AtMost(1, "seller", positions=2),
                Pin(1, by="seller", equals="s"),
                Pin(2, by="seller", equals="s"),
            ),
            ValueError,
            r"Pin\(2, by='seller', equals='s'\) contradicts AtMost\(1, 'seller', positions=2\)",
        ),
        (
            lambda: slate_of(AtMost(1, "topic")),
            ValueError,
            r"run lacks the columns \['topic'\]",
        ),
        (
            lambda: SlateRules([AtMost(1, "topic")]).check(SMALL),
            ValueError,
            r"slate lacks the columns \['topic'\]",
        ),
        (
            lambda: SlateRules([]).check(SMALL.assign(score=np.nan)),
            ValueError,
            r"slate\['score'\] holds 7 missing",
        ),
        (lambda: SlateRules([]).check(SMALL, 0), ValueError, "k must be at least 1; got 0"),
        (lambda: SlateRules([]).rerank(SMALL, 0), ValueError, "k must be at least 1; got 0"),
        (lambda: SlateRules([]).rerank([1]), TypeError, "run must be a pandas DataFrame; got list"),
        (
            lambda: SlateRules([]).rerank(SMALL.assign(rank=range(7, 0, -1))),
            ValueError,
            r"run\['rank'\] contradicts run\['score'\]",
        ),
        (
            lambda: SlateRules([AtMost(1, "n", equals="1")]).rerank(SMALL.assign(n=1)),
            TypeError,
            r"n is the string '1' and run\['n'\] holds integers",
        ),
        (
            lambda: slate_of(Pin(1, doc_ids=[1, 2])),
            TypeError,
            r"run\['doc_id'\] holds strings and doc_ids of Pin\['doc_id'\] integers",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()
