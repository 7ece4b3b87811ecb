"""Policies: what they see, in what shapes they answer, and how several share the requests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlsd.experiments import assign
from mlsd.funnel import Funnel, Popularity, Rank, Retrieve
from mlsd.world._log import LOG_COLUMNS
from mlsd.world.interleave import Interleave
from mlsd.world.world import World

SMALL = {"n_users": 150, "n_items": 60}


def test_what_a_policy_sees():
    world = World("ads", **SMALL, start="2024-01-05")
    world.serve(lambda requests, candidates: candidates["bid"], 1)
    items, users = world.items, world.users
    seen = []

    def policy(requests, candidates):
        seen.append((requests, candidates))
        return candidates["bid"]

    log = world.serve(policy, 1, chunk_rows=2_400)
    assert len(seen) > 24  # hour by hour
    assert max(len(candidates) for _, candidates in seen) <= 2_400
    requests, candidates = (
        pd.concat(frames, ignore_index=True) for frames in zip(*seen, strict=True)
    )
    assert list(requests) == [
        "request_id", "user_id", "time", "hour", "weekday", "segment", "tenure",
    ]  # fmt: skip
    assert list(candidates) == [
        "request_id", "user_id", "doc_id", "topic", "age", "price", "bid",
    ]  # fmt: skip
    assert (requests["weekday"] == 5).all()
    assert (requests["hour"] == requests["time"].dt.hour).all()
    assert (requests["time"].dt.day_of_week == requests["weekday"]).all()
    of_user = users.set_index("user_id").loc[requests["user_id"]].reset_index(drop=True)
    assert (of_user["segment"] == requests["segment"]).all()
    assert (
        requests["tenure"] == (requests["time"].dt.floor("D") - of_user["joined"]).dt.days
    ).all()
    n = world.preset.candidates
    assert (candidates.groupby("request_id").size() == n).all()
    assert (candidates["request_id"] == np.repeat(requests["request_id"].to_numpy(), n)).all()
    assert (candidates["user_id"] == np.repeat(requests["user_id"].to_numpy(), n)).all()
    assert not candidates.duplicated(["request_id", "doc_id"]).any()
    of_item = items.set_index("doc_id").loc[candidates["doc_id"]].reset_index()
    assert of_item["live"].all()
    for column in ("topic", "price", "bid"):
        assert (of_item[column] == candidates[column]).all()
    age = (pd.Timestamp("2024-01-06", tz="UTC") - of_item["born"]) / pd.Timedelta(days=1)
    assert np.abs(age - candidates["age"]).max() < 2e-5  # a second
    assert set(log["doc_id"]) <= set(candidates["doc_id"])


def newest(requests, candidates):
    return -candidates["age"]


def sort(frame, by):
    order = frame[by].argsort().to_numpy()
    for name in list(frame):
        frame[name] = frame[name].to_numpy()[order]


def rewrites(requests, candidates):
    score = -candidates["age"].to_numpy()
    candidates.loc[candidates["age"] > 1, ["doc_id", "user_id"]] = 0
    requests.loc[:, "user_id"] = 0
    return score


def sorts(requests, candidates):
    candidates["known"] = True
    score = -candidates["age"]
    sort(candidates, "doc_id")
    return score


@pytest.mark.parametrize("policy", [rewrites, sorts])
def test_what_a_policy_writes_into_its_frames_is_nobody_elses(policy):
    def second(requests, candidates):
        assert "known" not in candidates
        assert (candidates["request_id"].diff().dropna() >= 0).all()
        return newest(requests, candidates)

    expected = World("feed", **SMALL).serve(newest, 1)
    log = World("feed", **SMALL).serve(policy, 1)
    pd.testing.assert_frame_equal(log.drop(columns="policy"), expected.drop(columns="policy"))
    expected = World("feed", **SMALL).serve(Interleave(newest, newest), 1)
    log = World("feed", **SMALL).serve(Interleave(policy, second), 1)
    pd.testing.assert_frame_equal(log, expected)


def test_a_frame_in_another_order_is_refused_even_if_the_candidates_were_sorted_with_it():
    def policy(requests, candidates):
        sort(candidates, "price")
        return candidates[["doc_id"]].assign(score=1.0)

    with pytest.raises(ValueError, match="returned another doc_id than that of the candidates"):
        World("feed", **SMALL).serve(policy, 1)


@pytest.mark.parametrize("answer", [lambda frame: frame["price"], lambda frame: frame])
def test_scores_whose_index_tells_another_order_are_refused(answer):
    def policy(requests, candidates):
        return answer(candidates[["price"]].assign(score=0.0).sort_values("price"))

    with pytest.raises(ValueError, match=r"policy 'policy' returned its rows in another order"):
        World("feed", **SMALL).serve(policy, 1)


class Adds:
    """A ranker that writes into its queries."""

    def rank(self, queries):
        assert "mine" not in queries
        queries["mine"] = 1
        return queries.loc[:, ["query_id"]].assign(doc_id=0, score=1.0)


def test_two_rankers_do_not_share_what_they_write():
    log = World("feed", **SMALL, lifetime=1e9).serve(Interleave(Adds(), Adds()), 1)
    assert (log["doc_id"] == 0).all()


class Model:
    """A policy of many shapes."""

    def scores(self, requests, candidates):
        return candidates["price"].to_numpy() - candidates["age"].to_numpy()

    def as_series(self, requests, candidates):
        return pd.Series(self.scores(requests, candidates), index=candidates["doc_id"])

    def as_list(self, requests, candidates):
        return self.scores(requests, candidates).tolist()

    def as_frame(self, requests, candidates):
        return candidates.assign(
            score=self.scores(requests, candidates), version="m1", shadow=candidates["age"] * 2
        )


def test_shapes_of_a_policy():
    model = Model()
    plain = World(**SMALL).serve(model.scores, 2)
    for policy in (model.as_series, model.as_list, model.as_frame):
        log = World(**SMALL).serve(policy, 2)
        pd.testing.assert_frame_equal(
            log[list(LOG_COLUMNS)].drop(columns="policy"), plain.drop(columns="policy")
        )
    assert list(log.columns) == [*LOG_COLUMNS, "topic", "age", "price", "version", "shadow"]
    assert (log["version"] == "m1").all()
    assert (log["shadow"] == 2 * log["age"]).all()
    assert np.allclose(log["score"], log["price"] - log["age"])


def test_a_column_of_one_arm_is_missing_in_the_other(cheap):
    model = Model()
    for rows in (300, 1_000_000):
        log = World(**SMALL).serve({"old": cheap, "new": model.as_frame}, 2, chunk_rows=rows)
        for column in ("version", "shadow", "topic"):
            assert (log[column].isna() == (log["policy"] == "old")).all()
        both = World(**SMALL).serve({"old": cheap, "new": model.as_frame}, 2)
        pd.testing.assert_frame_equal(log, both)


def by_price(items, size):
    """Return a ranker of live items, dearest first."""

    class Dear:
        def rank(self, queries):
            assert "query_id" in queries
            best = items[items["live"]].nlargest(size, "price")
            run = queries[["query_id"]].merge(best[["doc_id", "price"]], how="cross")
            run = run.rename(columns={"price": "score"}).assign(source="dear")
            run["rank"] = run.groupby("query_id")["score"].rank(ascending=False, method="first")
            return run.sample(frac=1, random_state=0)

    return Dear()


@pytest.mark.parametrize("size", [4, 25])
def test_a_ranker_shows_documents_of_its_own(size):
    world = World(**SMALL)
    items = world.items
    log = world.serve(by_price(items, size), 1)
    best = items.nlargest(min(size, 10), "price")["doc_id"].tolist()
    slates = log.groupby("request_id")["doc_id"].agg(list)
    assert all(slate == best for slate in slates)
    assert (log["source"] == "dear").all()
    assert (log["policy"] == "Dear").all()
    assert (log["propensity"] == 1).all()
    assert log["click"].any()


def test_a_ranker_in_an_auction_leaves_out_who_sits_it_out():
    world = World("ads", **SMALL)
    log = world.serve(by_price(world.items, 30), 1)
    assert (log["position"] == log.groupby("request_id").cumcount() + 1).all()
    assert (log.groupby("request_id")["score"].diff().dropna() <= 0).all()
    assert log.groupby("request_id").size().max() <= world.preset.slate
    assert log["doc_id"].nunique() > 4


def test_arms(flat, cheap):
    arms = {"control": flat, "treatment": cheap}
    log = World(**SMALL).serve(arms, 3)
    assert log["policy"].cat.categories.tolist() == ["control", "treatment"]
    of_user = log.groupby("user_id")["policy"].first()
    labels = assign(of_user.index.to_numpy(), salt="world", weights=dict.fromkeys(arms, 0.5))
    assert (of_user.astype(str) == labels).all()
    assert (log["policy"].astype(str) == of_user.astype(str).loc[log["user_id"]].to_numpy()).all()
    assert set(log["policy"]) == set(arms)


@pytest.mark.parametrize("unit", ["user_id", "community", "request_id"])
def test_what_is_assigned_to_arms(unit, flat, cheap):
    world = World(**SMALL, community_size=10)
    calls = []

    def odd(units):
        calls.append(units)
        return np.where(units % 2 == 1, "odd", "even")

    log = world.serve({"even": flat, "odd": cheap}, 2, assign=odd, unit=unit)
    values = log if unit != "community" else world.users.set_index("user_id").loc[log["user_id"]]
    assert ((values[unit].to_numpy() % 2 == 1) == (log["policy"] == "odd").to_numpy()).all()
    assert all(len(np.unique(units)) == len(units) for units in calls)
    # The two arms are served as if each were alone.
    alone = World(**SMALL, community_size=10).serve(flat, 1)
    first = log[log["time"] < pd.Timestamp("2024-01-02", tz="UTC")]
    even = first[first["policy"] == "even"]
    same = alone[alone["request_id"].isin(even["request_id"])]
    pd.testing.assert_frame_equal(
        even.drop(columns="policy").reset_index(drop=True),
        same.drop(columns="policy").reset_index(drop=True),
    )


def test_a_funnel_of_the_book_is_a_policy():
    world = World(**SMALL, base_rate=0.2)
    events = world.serve(lambda requests, candidates: candidates["price"], 1)
    live = world.items.query("live").set_index("doc_id")
    events = events[(events["click"] == 1) & events["doc_id"].isin(live.index)]
    funnel = Funnel(
        [
            Retrieve("popular", Popularity().fit(events), k=20),
            Rank("cheap", lambda _, found: -live["price"].loc[found["doc_id"]].to_numpy(), k=5),
        ]
    )
    log = world.serve(funnel, 1)
    popular = events["doc_id"].value_counts().rename("n").reset_index()
    popular = popular.sort_values(["n", "doc_id"], ascending=[False, True])["doc_id"]
    slates = log.groupby("request_id")["doc_id"].agg(list)
    assert all(slate == slates.iloc[0] for slate in slates)
    assert len(slates.iloc[0]) == 5
    assert set(slates.iloc[0]) <= set(popular[: 20 + 10])  # ties of popularity aside
    assert (log["score"] == -live["price"].loc[log["doc_id"]].to_numpy()).all()
    assert (log["policy"] == "Funnel").all()
