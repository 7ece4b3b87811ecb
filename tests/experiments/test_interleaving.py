"""Team draft: against the algorithm as printed, against all tosses, and for fairness.

What a biased variant would do, and which test would catch it:

- `a` always picks first, or a coin is not fair: `test_each_place_goes_to_either_half_of_the_time`;
- one toss for the whole list: `test_all_tosses_give_the_distribution_of_the_paper`, where the teams
  of later rounds would depend on the first;
- a document that both have goes to neither, or costs its team the turn: the naive loop;
- rows as units although users have many: `test_units_keep_the_false_positives`.
"""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlsd._validation import UndefinedMetricWarning
from mlsd.experiments.interleaving import interleaving_test, team_draft, team_draft_orders

seeds = st.integers(0, 2**32 - 1)


def printed(a, b, bits, k=None):
    """Algorithm 2 of Radlinski, Kurup and Joachims, line by line; `bits` are its RandBit()."""
    shown, team_a, team_b, bits = [], set(), set(), iter(bits)
    while any(d not in shown for d in a) and any(d not in shown for d in b):
        if k is not None and len(shown) == k:
            break
        if len(team_a) < len(team_b) or (len(team_a) == len(team_b) and next(bits)):
            pick = next(d for d in a if d not in shown)
            team_a.add(pick)
        else:
            pick = next(d for d in b if d not in shown)
            team_b.add(pick)
        shown.append(pick)
    return shown, ["a" if d in team_a else "b" for d in shown]


@st.composite
def pairs(draw):
    docs = st.lists(st.integers(0, 9), unique=True, max_size=8)
    return draw(docs), draw(docs)


@given(pairs(), seeds, st.one_of(st.none(), st.integers(1, 9)))
def test_one_pair_is_the_printed_algorithm(pair, seed, k):
    a, b = pair
    merged = team_draft(a, b, seed, k)
    places = len(a) + len(b) if k is None else min(k, len(a) + len(b))
    bits = np.random.default_rng(seed).random((places + 1) // 2) < 0.5
    shown, teams = printed(a, b, bits, k)
    assert merged.ranking == tuple(shown)
    assert merged.teams == tuple(teams)
    same = [x == y for x, y in zip(a, b, strict=False)]
    leading = len(list(itertools.takewhile(bool, same)))
    assert merged.n_shared == min(leading, len(shown))
    assert merged.ranking[: merged.n_shared] == tuple(a[: merged.n_shared])


@settings(max_examples=50, deadline=None)
@given(seeds, st.integers(1, 7), st.integers(1, 7), st.integers(1, 9))
def test_rows_are_the_printed_algorithm(seed, width_a, width_b, k):
    rng = np.random.default_rng(seed)
    a, b = (rng.random((20, 9)).argsort(axis=1)[:, :width] for width in (width_a, width_b))
    for lists in (a, b):
        lists[np.arange(lists.shape[1]) >= rng.integers(0, lists.shape[1] + 1, 20)[:, None]] = -1
    coin = rng.random((20, 5)) < 0.5
    order, team = team_draft_orders(a, b, coin, k=k)
    assert order.shape == team.shape == (20, k)
    for row in range(20):
        shown, teams = printed(a[row][a[row] >= 0], b[row][b[row] >= 0], coin[row], k)
        pad = [-1] * (k - len(shown))
        assert order[row].tolist() == shown + pad
        assert team[row].tolist() == ["ab".index(t) for t in teams] + pad


def test_the_arguments_stay_as_they_are():
    a, b, coin = np.array([[0, 1]]), np.array([[1, 0]]), np.array([[True]])
    team_draft_orders(a, b, coin)
    assert (a.tolist(), b.tolist(), coin.tolist()) == ([[0, 1]], [[1, 0]], [[True]])


def every_toss(n_rounds):
    return np.array(list(itertools.product([True, False], repeat=n_rounds)))


def lists_of(n_docs, width):
    return list(itertools.permutations(range(n_docs), width))


@pytest.mark.parametrize(("n_docs", "width"), [(3, 3), (4, 2), (4, 3)])
def test_all_tosses_give_the_distribution_of_the_paper(n_docs, width):
    coin = every_toss(width)  # more tosses than rounds: those left over change nothing
    for a, b in itertools.product(lists_of(n_docs, width)[:6], lists_of(n_docs, width)):
        ours = team_draft_orders([a] * len(coin), [b] * len(coin), coin, k=2 * width)
        found = Counter(map(tuple, np.concatenate(ours, axis=1).tolist()))
        expected: Counter[tuple[int, ...]] = Counter()
        for bits in coin:
            shown, teams = printed(a, b, bits)
            pad = [-1] * (2 * width - len(shown))
            expected[(*shown, *pad, *["ab".index(t) for t in teams], *pad)] += 1
        assert found == expected


@given(seeds, st.integers(1, 6))
def test_each_place_goes_to_either_half_of_the_time(seed, k):
    """Over all tosses; so clicks that do not depend on the documents give equal credit."""
    rng = np.random.default_rng(seed)
    a, b = rng.permutation(8)[:k], rng.permutation(8)[:k]
    coin = every_toss((k + 1) // 2)
    _, team = team_draft_orders(np.tile(a, (len(coin), 1)), np.tile(b, (len(coin), 1)), coin)
    assert (team >= 0).all()
    np.testing.assert_array_equal(team.mean(axis=0), np.full(k, 0.5))
    assert (np.abs((team == 0).sum(axis=1) - (team == 1).sum(axis=1)) <= 1).all()


@given(seeds, st.integers(1, 6))
def test_equal_rankings_give_every_document_to_either(seed, k):
    same = np.random.default_rng(seed).permutation(k)
    coin = every_toss((k + 1) // 2)
    rows = np.tile(same, (len(coin), 1))
    order, team = team_draft_orders(rows, rows, coin)
    np.testing.assert_array_equal(order, rows)
    np.testing.assert_array_equal(team.mean(axis=0), np.full(k, 0.5))


@given(seeds)
def test_swapping_the_rankings_swaps_the_teams(seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.random((30, 9)).argsort(axis=1)[:, :6] for _ in range(2))
    coin = rng.random((30, 3)) < 0.5
    order, team = team_draft_orders(a, b, coin)
    other, teams = team_draft_orders(b, a, ~coin)
    np.testing.assert_array_equal(order, other)
    np.testing.assert_array_equal(team, 1 - teams)


def test_what_the_draft_cannot_see():
    """The two weaknesses that the docstring tells of."""
    coin = every_toss(2)
    order, team = team_draft_orders([[0, 1, 2]] * 4, [[1, 2, 0]] * 4, coin)
    assert team[order == 2].mean() == 0.5
    order, team = team_draft_orders([[0, -1]] * 2, [[1, 2]] * 2, every_toss(1))
    assert order.tolist() == [[0, -1], [1, 0]]
    assert team.tolist() == [[0, -1], [1, 0]]


def runs(rng, n_queries, prefix="d"):
    """Two runs with lists of many lengths, some empty, rows in any order."""
    frames = []
    for _ in range(2):
        parts = [
            pd.DataFrame(
                {
                    "query_id": f"q{query}",
                    "doc_id": [f"{prefix}{doc}" for doc in rng.permutation(40)[:size]],
                    "rank": np.arange(1, size + 1),
                    "score": -np.arange(size) // 2 + 7.0,
                }
            )
            for query, size in enumerate(rng.integers(0, 30, n_queries))
        ]
        frames.append(pd.concat(parts).sample(frac=1, random_state=int(rng.integers(99))))
    return frames


@pytest.mark.parametrize("k", [None, 1, 5])
def test_runs_are_drafted_query_by_query(k):
    a, b = runs(np.random.default_rng(3), 40)
    before = a.copy()
    merged = team_draft(a, b, 11, k)
    pd.testing.assert_frame_equal(a, before)
    by_query = {
        name: {
            q: part.sort_values("rank")["doc_id"].tolist() for q, part in run.groupby("query_id")
        }
        for name, run in (("a", a), ("b", b))
    }
    both = set(by_query["a"]) & set(by_query["b"])
    assert merged.n_queries == len(both)
    assert merged.n_unmatched == len(set(by_query["a"]) | set(by_query["b"])) - len(both) > 0
    assert f"{merged.n_unmatched} queries are answered by one run only" in merged._repr_html_()
    seen = merged.ranking.groupby("query_id", sort=False)
    assert set(seen.groups) == both
    for query, part in seen:
        lists = by_query["a"][query], by_query["b"][query]
        assert part["rank"].tolist() == list(range(1, len(part) + 1))
        # The tosses can be read from the teams: who has each first place of a round.
        bits = [team == "a" for team in part["team"][::2]] + [True]
        shown, teams = printed(*lists, bits, k)
        assert (part["doc_id"].tolist(), part["team"].tolist()) == (shown, teams)
        leading = list(itertools.takewhile(lambda two: two[0] == two[1], zip(*lists, strict=False)))
        assert part["shared"].sum() == min(len(leading), len(part))
    firsts = merged.ranking[merged.ranking["rank"] % 2 == 1]["team"] == "a"
    assert stats.binomtest(int(firsts.sum()), len(firsts)).pvalue > 0.001
    order = [query for query in a["query_id"].unique() if query in both]
    assert merged.ranking["query_id"].unique().tolist() == order


def test_runs_by_score_rank_both_and_from_polars():
    a, b = runs(np.random.default_rng(4), 20)
    expected = team_draft(a, b, 0).ranking
    no_score = team_draft(a.drop(columns="score"), b.drop(columns="score"), 0)
    pd.testing.assert_frame_equal(no_score.ranking, expected)
    # Equal scores keep the order of the rows.
    sorted_a, sorted_b = (run.sort_values(["query_id", "rank"]) for run in (a, b))
    by_rank = team_draft(sorted_a, sorted_b, 0).ranking
    by_score = team_draft(sorted_a.drop(columns="rank"), sorted_b.drop(columns="rank"), 0)
    pd.testing.assert_frame_equal(by_score.ranking, by_rank)
    theirs = team_draft(pl.from_pandas(a), pl.from_pandas(b), 0)
    pd.testing.assert_frame_equal(theirs.ranking, expected, check_dtype=False)


def test_credit_of_a_list():
    merged = team_draft(["x", "y", "z"], ["x", "w", "y"], random_state=1)
    assert merged.n_shared == 1
    for clicks in itertools.product([0, 1], repeat=len(merged.ranking)):
        won = Counter(team for team, click in zip(merged.teams, clicks, strict=True) if click)
        assert merged.credit(clicks) == (won["a"], won["b"])
        own = Counter(t for t, c in list(zip(merged.teams, clicks, strict=True))[1:] if c)
        assert merged.credit(np.array(clicks, dtype=bool), count_shared=False) == (
            own["a"],
            own["b"],
        )
    frame = merged.to_frame()
    assert frame["doc_id"].tolist() == list(merged.ranking)
    assert frame["team"].tolist() == list(merged.teams)
    assert frame["shared"].tolist() == [True] + [False] * (len(frame) - 1)


def test_credit_of_runs_is_that_of_each_list():
    rng = np.random.default_rng(5)
    merged = team_draft(*runs(rng, 60), rng, 6)
    shown = merged.ranking
    clicks = shown[rng.random(len(shown)) < 0.3][["query_id", "doc_id"]]
    clicks = pd.concat([clicks, clicks.head(7)]).sample(frac=1, random_state=1)  # some twice
    for count_shared in (True, False):
        found = merged.credit(clicks, count_shared=count_shared)
        assert found["query_id"].tolist() == shown["query_id"].unique().tolist()
        joined = clicks.merge(shown, on=["query_id", "doc_id"])
        if not count_shared:
            joined = joined[~joined["shared"]]
        for team in "ab":
            own = joined[joined["team"] == team].groupby("query_id").size()
            expected = own.reindex(found["query_id"], fill_value=0)
            assert found[f"credit_{team}"].tolist() == expected.tolist()
    counted = clicks.groupby(["query_id", "doc_id"], as_index=False).size()
    counted = counted.rename(columns={"size": "click"})
    pd.testing.assert_frame_equal(merged.credit(counted), merged.credit(clicks))
    assert merged.credit(pl.from_pandas(counted)).equals(merged.credit(clicks))
    none = merged.credit(clicks.head(0))
    assert len(none) == merged.n_queries
    assert not none[["credit_a", "credit_b"]].to_numpy().any()


def test_empty_runs():
    empty = pd.DataFrame({"query_id": [], "doc_id": [], "rank": []})
    some = pd.DataFrame({"query_id": ["q"], "doc_id": ["d"], "rank": [1]})
    merged = team_draft(empty, some, 0)
    assert (merged.n_queries, merged.n_unmatched, len(merged.ranking)) == (0, 1, 0)
    assert team_draft([], ["x"], 0).ranking == ()
    assert team_draft([], [], 0).teams == ()


# The test of a preference ---------------------------------------------------------------------


@given(seeds, st.integers(2, 60), st.floats(0.5, 0.99))
def test_preference_is_that_of_scipy(seed, n, level):
    rng = np.random.default_rng(seed)
    a, b = rng.poisson(0.6, n), rng.poisson(0.9, n)
    if (a == b).all():
        b[0] += 1
    found = interleaving_test(a, b, level=level)
    wins, losses = int((b > a).sum()), int((a > b).sum())
    sign = stats.binomtest(wins, wins + losses)
    assert found.p_value == pytest.approx(sign.pvalue, rel=1e-9)
    exact = sign.proportion_ci(level)
    assert (found.lower, found.upper) == pytest.approx((exact.low, exact.high), rel=1e-7, abs=1e-9)
    assert (found.p_value < 1 - level) == (not found.lower <= 0.5 <= found.upper)
    assert found.share == wins / (wins + losses)
    silent = int(((a == 0) & (b == 0)).sum())
    ties = int(((a == b) & (a > 0)).sum())
    assert (found.wins, found.ties, found.losses, found.n_silent) == (wins, ties, losses, silent)
    assert wins + ties + losses + silent == found.n_units == n
    assert found.delta == pytest.approx((wins + ties / 2) / (wins + ties + losses) - 0.5)
    size = stats.ttest_rel(b, a)
    ends = size.confidence_interval(level)
    assert found.difference == pytest.approx((b - a).mean())
    if np.ptp(b - a):
        assert found.difference_p_value == pytest.approx(size.pvalue)
        assert (found.difference_lower, found.difference_upper) == pytest.approx(
            (ends.low, ends.high)
        )
    mirrored = interleaving_test(b, a, level=level)
    assert mirrored.share == pytest.approx(1 - found.share)
    assert mirrored.p_value == pytest.approx(found.p_value)
    assert mirrored.difference == -found.difference


def test_units_are_summed_and_rows_without_one_counted():
    unit = ["u", "v", None, "u", "w", "v"]
    found = interleaving_test([1, 0, 5, 0, 0, 0], [0, 1, 0, 2, 0, 1], unit=unit)
    alone = interleaving_test([1, 0, 0], [2, 2, 0])
    assert found.n_dropped == 1
    assert found.to_dict() == {**alone.to_dict(), "n_dropped": 1}


def rejected(rng, by_user, n=1000):
    """Return the share of experiments without a difference that the two tests call one.

    Each user has a favourite topic, and of the two rankings always the same serves it better: no
    ranking is better overall, but the lists of a user agree.
    """
    hits = np.zeros(2)
    user = np.repeat(np.arange(60), 8)
    for _ in range(n):
        lean = np.repeat(rng.choice([0.15, 0.85], 60), 8)
        b = rng.random(user.size) < lean
        found = interleaving_test(~b, b, unit=user if by_user else None)
        hits += [found.p_value < 0.05, found.difference_p_value < 0.05]
    return hits / n


def test_units_keep_the_false_positives():
    rng = np.random.default_rng(6)
    clustered, rows = rejected(rng, by_user=True), rejected(rng, by_user=False, n=200)
    # 0.05 and four standard errors; the sign test is exact, so at most that.
    assert clustered[0] <= 0.05 + 0.028
    assert 0.05 - 0.028 < clustered[1] < 0.05 + 0.028
    assert (rows > 0.2).all()


def test_random_clicks_prefer_nobody():
    """An A/B without a difference for users: different documents, clicks at random by place."""
    rng = np.random.default_rng(7)
    n = 20_000
    a, b = (rng.random((n, 20)).argsort(axis=1)[:, :10] for _ in range(2))
    _, team = team_draft_orders(a, b, rng.random((n, 5)) < 0.5)
    click = rng.random((n, 10)) < 0.5 / np.arange(1, 11)
    found = interleaving_test((click & (team == 0)).sum(axis=1), (click & (team == 1)).sum(axis=1))
    assert found.p_value > 0.001
    assert found.difference_p_value > 0.001
    # And a biased draft, where `a` picks first in every round, is caught at this size.
    _, team = team_draft_orders(a, b, np.ones((n, 5), dtype=bool))
    found = interleaving_test((click & (team == 0)).sum(axis=1), (click & (team == 1)).sum(axis=1))
    assert found.p_value < 1e-9


def test_undefined():
    with pytest.warns(UndefinedMetricWarning, match=r"none of 3 units prefers .* \(1 ties, 2 with"):
        found = interleaving_test([1, 0, 0], [1, 0, 0])
    assert np.isnan([found.share, found.lower, found.upper, found.p_value]).all()
    assert (found.delta, found.difference, found.difference_p_value) == (0.0, 0.0, 1.0)
    with pytest.warns(UndefinedMetricWarning, match="there is one unit"):
        found = interleaving_test([0, 0], [1, 1], unit=[5, 5])
    assert (found.share, found.difference, found.n_units) == (1.0, 2.0, 1)
    assert np.isnan(found.difference_p_value)


RUN = pd.DataFrame({"query_id": ["q", "q"], "doc_id": ["x", "y"], "rank": [1, 2]})
MERGED = team_draft(RUN, RUN, 0)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: team_draft("xy", ["x"]), TypeError, "ranking_a must be a sequence .* got 'xy'"),
        (lambda: team_draft(["x"], 3), TypeError, "ranking_b must be a sequence .* got 3"),
        (lambda: team_draft(["x", "x"], ["x"]), ValueError, "ranking_a must not repeat .* 'x'"),
        (
            lambda: team_draft(["x"], [None]),
            ValueError,
            "ranking_b holds 1 missing ident.* among 1",
        ),
        (lambda: team_draft(["x"], RUN), TypeError, "both be tables; got list and DataFrame"),
        (lambda: team_draft(["x"], ["x"], k=0), ValueError, "k must be at least 1; got 0"),
        (lambda: team_draft(["x"], ["x"], -1), ValueError, "random_state: .*; got -1"),
        (
            lambda: team_draft(RUN, RUN.drop(columns="rank")),
            ValueError,
            r"ranking_b needs a column score or rank; it has \['query_id', 'doc_id'\]",
        ),
        (
            lambda: team_draft(RUN.drop(columns="doc_id"), RUN),
            ValueError,
            r"ranking_a lacks the columns \['doc_id'\]",
        ),
        (
            lambda: team_draft(pd.concat([RUN, RUN]), RUN),
            ValueError,
            r"ranking_a holds 2 repeated \(query_id, doc_id\) pairs, such as \('q', 'x'\)",
        ),
        (
            lambda: team_draft(RUN, RUN.assign(score=[1.0, 2.0])),
            ValueError,
            r"ranking_b\['rank'\] contradicts ranking_b\['score'\]",
        ),
        (
            lambda: team_draft(RUN, RUN.assign(doc_id=[1, 2])),
            TypeError,
            r"ranking_a\['doc_id'\] holds strings and ranking_b\['doc_id'\] holds integers",
        ),
        (
            lambda: team_draft(RUN.assign(query_id=["q", None]), RUN),
            ValueError,
            r"ranking_a\['query_id'\] holds 1 missing among 2",
        ),
        (
            lambda: team_draft(RUN, RUN.assign(rank=[1, np.nan])),
            ValueError,
            r"ranking_b\['rank'\] holds 1 NaN",
        ),
        (lambda: team_draft_orders([0], [[0]], [[True]]), ValueError, r"order_a .* shape \(1,\)"),
        (lambda: team_draft_orders([[0.5]], [[0]], [[True]]), TypeError, "order_a .* float64"),
        (lambda: team_draft_orders([[0]], [[0]], [[1]]), TypeError, "coin must be boolean"),
        (
            lambda: team_draft_orders([[0, 1, 2]], [[0, 1, 2]], [[True]]),
            ValueError,
            r"coin must have 1 rows of at least 2 rounds; its shape is \(1, 1\)",
        ),
        (
            lambda: team_draft_orders([[0]], [[0], [0]], [[True]]),
            ValueError,
            "lengths differ: order_a has 1 rows, order_b 2",
        ),
        (
            lambda: team_draft(["x"], ["x"]).credit([1, 0]),
            ValueError,
            "clicks must have one value a place, 1; got 2",
        ),
        (
            lambda: team_draft(["x"], ["x"]).credit([-1]),
            ValueError,
            "clicks must be finite .* -1.0",
        ),
        (
            lambda: MERGED.credit(pd.DataFrame({"query_id": ["q"], "doc_id": ["z"]})),
            ValueError,
            r"clicks holds 1 clicks on documents that were not shown, such as \('q', 'z'\)",
        ),
        (
            lambda: MERGED.credit(pd.DataFrame({"query_id": ["q"], "doc_id": [1]})),
            TypeError,
            r"ranking\['doc_id'\] holds strings and clicks\['doc_id'\] holds integers",
        ),
        (
            lambda: MERGED.credit(RUN.assign(click=[1, -2])),
            ValueError,
            r"clicks\['click'\] must be finite and not negative; 1 of 2 .* such as -2.0",
        ),
        (lambda: MERGED.credit([1]), TypeError, "clicks must be a table"),
        (lambda: interleaving_test([1], [1, 2]), ValueError, "credit_a has 1, credit_b has 2"),
        (
            lambda: interleaving_test([1], [1], unit=[1, 2]),
            ValueError,
            "credit_a has 1, unit has 2",
        ),
        (lambda: interleaving_test([], []), ValueError, "credit_a has no rows"),
        (lambda: interleaving_test([1], [1], unit=[None]), ValueError, r"\(1 dropped\)"),
        (lambda: interleaving_test([np.nan], [1]), ValueError, "credit_a holds 1 NaN"),
        (lambda: interleaving_test([1], [-1]), ValueError, "credit_b must be finite .* -1.0"),
        (lambda: interleaving_test([1], [1], level=1), ValueError, "level must lie strictly"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_messages_show_identifiers_as_they_are():
    run = pd.DataFrame({"query_id": [1, 1], "doc_id": ["x", "y"], "rank": [1, 2]})
    merged = team_draft(run, run, random_state=0)
    with pytest.raises(ValueError, match=r"not shown, such as \(1, 'q'\)"):
        merged.credit(pd.DataFrame({"query_id": [1], "doc_id": ["q"]}))
    with pytest.raises(ValueError, match=r"pairs, such as \(1, 'x'\)"):
        team_draft(run.assign(doc_id="x"), run)
