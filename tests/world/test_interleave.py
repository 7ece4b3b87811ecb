"""Interleaving in the world against a draft by hand, and what its clicks say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlsd._keyed import keyed_bits
from mlsd.experiments.interleaving import interleaving_test
from mlsd.world import World
from mlsd.world.interleave import Interleave

FEED = {"n_users": 200, "n_items": 60, "random_state": 5}


def cheap(requests, candidates):
    return -candidates["price"].to_numpy()


def fresh(requests, candidates):
    return -candidates["age"].to_numpy()


class Listed:
    """Ranks the same documents for all, in a given order."""

    def __init__(self, docs, scores_only=False):
        self.docs, self.scores_only = np.asarray(docs), scores_only

    def rank(self, queries):
        n, k = len(queries), self.docs.size
        frame = pd.DataFrame(
            {
                "query_id": np.repeat(queries["query_id"].to_numpy(), k),
                "doc_id": np.tile(self.docs, n),
                "score": np.tile(-np.arange(float(k)), n),
                "rank": np.tile(np.arange(1, k + 1), n),
            }
        ).sample(frac=1.0, random_state=1)
        return frame.drop(columns="rank") if self.scores_only else frame


def tosses(seed, request, n_rounds):
    return [bool(keyed_bits(seed, "draft", request, turn) >> 63 == 0) for turn in range(n_rounds)]


def draft(ranking_a, ranking_b, a_first, k):
    """Draft by the words of the paper: a toss in each round, each side its best that is left.

    It goes on while both have something left.
    """
    merged, teams = [], []
    for first in a_first:
        for side in ("a", "b") if first else ("b", "a"):
            left = {
                name: [doc for doc in one if doc not in merged]
                for name, one in (("a", ranking_a), ("b", ranking_b))
            }
            if len(merged) == k or not left["a"] or not left["b"]:
                return merged, teams
            merged.append(left[side][0])
            teams.append(side)
    return merged, teams


def ranking(frame, column):
    return frame.sort_values(column, ascending=False, kind="stable")["doc_id"].tolist()


def test_slates_against_a_draft_by_hand():
    world = World("feed", **FEED)
    seen = []

    def noted(requests, candidates):
        seen.append(candidates)
        return fresh(requests, candidates)

    log = world.serve(Interleave(cheap, noted, random_state=7), 1)
    candidates = pd.concat(seen, ignore_index=True)
    candidates["a"], candidates["b"] = -candidates["price"], -candidates["age"]
    groups = dict(tuple(candidates.groupby("request_id")))
    firsts = []
    for request, shown in log.groupby("request_id"):
        a_first = tosses(7, request, 15)
        own = groups[request]
        merged, teams = draft(ranking(own, "a"), ranking(own, "b"), a_first, 10)
        assert shown["doc_id"].tolist() == merged
        assert shown["team"].tolist() == teams
        firsts.append(a_first)
    share = np.mean(firsts)
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(np.size(firsts))
    assert (log["propensity"] == 1.0).all()
    assert (log["policy"] == "Interleave").all()


def test_each_team_has_half_of_a_slate_and_the_log_is_that_of_chunks():
    one, two = (World("feed", **FEED).serve(Interleave(cheap, fresh), 2) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    small = World("feed", **FEED).serve(Interleave(cheap, fresh), 2, chunk_rows=500)
    pd.testing.assert_frame_equal(one, small)
    by_team = pd.crosstab(one["request_id"], one["team"])
    assert (by_team == 5).all(axis=None)
    # Other tosses; the requests of the first day are the same.
    other = World("feed", **FEED).serve(Interleave(cheap, fresh, random_state=1), 1)
    first = one.iloc[: len(other)]
    assert other["request_id"].equals(first["request_id"])
    assert 0.4 < (other["team"] != first["team"]).mean() < 0.6


def test_a_policy_against_itself_is_a_tie():
    world = World("feed", n_users=2000, n_items=100)
    alone = world.copy().serve(cheap, 1)
    log = world.serve(Interleave(cheap, cheap), 1)
    assert log["doc_id"].tolist() == alone["doc_id"].tolist()
    assert log["click"].tolist() == alone["click"].tolist()
    credit = credits(log)
    assert interleaving_test(credit["a"], credit["b"], unit=credit["user_id"]).p_value > 0.01


def credits(log):
    credit = log.pivot_table(
        index=["request_id", "user_id"],
        columns="team",
        values="click",
        aggfunc="sum",
        observed=True,
    )
    return credit.reset_index()


def test_the_better_policy_gets_the_clicks():
    for swapped in (False, True):
        world = World("feed", n_users=1500, n_items=100)
        pair = (cheap, world.truth.oracle) if swapped else (world.truth.oracle, cheap)
        credit = credits(world.serve(Interleave(*pair), 1))
        found = interleaving_test(credit["a"], credit["b"], unit=credit["user_id"])
        assert (found.share > 0.5) == swapped
        assert found.p_value < 1e-4


def test_further_columns_of_both_are_logged():
    def scored(version):
        def policy(requests, candidates):
            return pd.DataFrame({"score": cheap(requests, candidates), "model": version})

        return policy

    log = World("feed", **FEED).serve(Interleave(scored("x"), scored("y")), 1)
    assert set(log["model_a"]) == {"x"}
    assert set(log["model_b"]) == {"y"}
    assert list(log.columns[-3:]) == ["team", "model_a", "model_b"]
    assert (log.groupby("request_id")["score"].diff().dropna() == -1).all()


def test_a_draft_may_be_an_arm_and_explored():
    world = World("feed", **FEED)
    arms = {"plain": cheap, "mixed": Interleave(cheap, fresh)}
    log = world.serve(arms, 1, explore=0.5, assign=lambda u: np.where(u % 2, "mixed", "plain"))
    mixed = log["policy"] == "mixed"
    assert log.loc[mixed, "team"].isin(["a", "b"]).all()
    assert log.loc[~mixed, "team"].isna().all()
    assert set(log["propensity"].round(6)) == {round(0.5 / 30 + half, 6) for half in (0.0, 0.5)}


@pytest.mark.parametrize("scores_only", [False, True])
def test_rankers_against_a_draft_by_hand(scores_only):
    world = World("feed", **FEED)
    live = world.items.loc[world.items["live"], "doc_id"].to_numpy()
    of_a, of_b = live[:14], live[8:22][::-1]
    policy = Interleave(Listed(of_a, scores_only), Listed(of_b, scores_only), random_state=2)
    log = world.serve(policy, 1)
    for request, shown in log.groupby("request_id"):
        merged, teams = draft(of_a.tolist(), of_b.tolist(), tosses(2, request, 7), 10)
        assert shown["doc_id"].tolist() == merged
        assert shown["team"].tolist() == teams


def test_a_short_ranking_ends_the_draft():
    world = World("feed", **FEED)
    live = world.items.loc[world.items["live"], "doc_id"].to_numpy()
    of_a, of_b = live[:2], live[:9]
    log = world.serve(Interleave(Listed(of_a), Listed(of_b)), 1)
    for request, shown in log.groupby("request_id"):
        merged, teams = draft(of_a.tolist(), of_b.tolist(), tosses(0, request, 5), 10)
        assert shown["doc_id"].tolist() == merged
        assert shown["team"].tolist() == teams


def nan_scores(requests, candidates):
    return np.full(len(candidates), np.nan)


def too_few(requests, candidates):
    return np.zeros(len(candidates) - 1)


class Stranger(Listed):
    def rank(self, queries):
        return super().rank(queries).assign(query_id=-5)


class Strings(Listed):
    def rank(self, queries):
        return super().rank(queries).assign(doc_id="d1")


class Unscored(Listed):
    def rank(self, queries):
        return super().rank(queries)[["query_id", "doc_id"]]


@pytest.mark.parametrize(
    ("a", "b", "error", "message"),
    [
        (cheap, nan_scores, ValueError, r"policy 'Interleave\.b' holds \d+ NaN"),
        (too_few, cheap, ValueError, r"policy 'Interleave\.a' returned \d+ scores for \d+ cand"),
        (
            Stranger([1]),
            Listed([1]),
            ValueError,
            r"'Interleave\.a' returned the query_id -5, which",
        ),
        (Listed([1]), Strings([1]), TypeError, r"'Interleave\.b' must return the doc_id of world"),
        (Listed([-1]), Listed([1]), TypeError, r"'Interleave\.a' must return the doc_id of world"),
        (Listed([1]), Unscored([1]), ValueError, r"'Interleave\.b' returned lacks .*'score'"),
        (
            Listed([10**6]),
            Listed([1]),
            ValueError,
            r"'Interleave' returned \d+ documents that do no",
        ),
    ],
)
def test_what_a_policy_returns_wrongly_is_said_with_its_side(a, b, error, message):
    with pytest.raises(error, match=message):
        World("feed", **FEED).serve(Interleave(a, b), 1)


def test_bad_pairs():
    with pytest.raises(TypeError, match=r"a must be callable as policy.*; got int"):
        Interleave(3, cheap)
    with pytest.raises(TypeError, match=r"b must be callable as policy.*; got NoneType"):
        Interleave(cheap, None)
    with pytest.raises(TypeError, match=r"a and b must both score .*; b ranks and the other does"):
        Interleave(cheap, Listed([1]))
    with pytest.raises(TypeError, match="random_state must be an integer"):
        Interleave(cheap, fresh, random_state=0.5)


def test_an_auction_has_no_price_for_a_draft():
    world = World("ads", n_users=50, n_items=40)
    with pytest.raises(ValueError, match="policy: the candidates have bids, and an interleaved"):
        world.serve(Interleave(cheap, fresh), 1)
