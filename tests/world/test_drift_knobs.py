"""What drifts in the world, and what only breaks in the policy's view of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd.world import World
from mlsd.world._breakage import active, apply, check_strength, renumbered_topics


def columns(n=4000, n_topics=6):
    rng = np.random.default_rng(1)
    return {
        "doc_id": rng.integers(0, 99, n),
        "price": rng.lognormal(size=n),
        "topic": rng.integers(0, n_topics, n).astype(np.int16),
    }


def never():
    raise AssertionError("no uniform numbers are needed")


def test_nothing_is_touched_before_its_day():
    seen = columns()
    got = apply(seen, [("nulls", 5, 0.5), ("units", 5, 100.0)], 4, u=never, n_topics=6)
    assert got == seen  # the very same arrays
    assert got is not seen


def test_nulls_take_that_share_of_the_prices_and_nothing_else():
    before = columns()
    kept = {name: column.copy() for name, column in before.items()}
    u = np.random.default_rng(2).random(4000)
    got = apply(before, [("nulls", 5, 0.3)], 5, u=lambda: u, n_topics=6)
    np.testing.assert_array_equal(np.isnan(got["price"]), u < 0.3)
    np.testing.assert_array_equal(got["price"][u >= 0.3], before["price"][u >= 0.3])
    assert got["topic"] is before["topic"]
    for name, column in kept.items():
        np.testing.assert_array_equal(before[name], column)


def test_units_and_schema_by_hand():
    seen = {"price": np.array([1.0, 2.5]), "topic": np.array([5, 1], dtype=np.int16)}
    got = apply(seen, [("units", 0, 100.0), ("schema", 0, 1.0)], 9, u=never, n_topics=6)
    assert got["price"].tolist() == [100.0, 250.0]
    assert got["topic"].tolist() == [0, 2]
    assert got["topic"].dtype == np.int16


def test_breakages_meet_in_one_day():
    got = apply(
        {"price": np.array([1.0, 2.0]), "topic": np.array([0, 1])},
        [("nulls", 1, 0.5), ("taste", 1, 0.5), ("units", 1, 10.0)],
        1,
        u=lambda: np.array([0.4, 0.6]),
        n_topics=2,
    )
    np.testing.assert_array_equal(got["price"], [np.nan, 20.0])


@given(st.integers(2, 40), st.floats(0.001, 1.0))
def test_renumbered_codes_are_a_permutation_of_that_share(n_topics, strength):
    codes = renumbered_topics(n_topics, strength)
    assert sorted(codes.tolist()) == list(range(n_topics))
    moved = int((codes != np.arange(n_topics)).sum())
    assert moved == max(2, round(strength * n_topics))
    assert renumbered_topics(n_topics, 0.0).tolist() == list(range(n_topics))


def test_the_latest_of_a_kind_holds_and_a_repair_ends_it():
    schedule = [("units", 8, 1.0), ("units", 3, 100.0), ("nulls", 3, 0.5), ("nulls", 3, 0.1)]
    assert active(schedule, 2) == {}
    assert active(schedule, 3) == {"units": 100.0, "nulls": 0.1}
    assert active(schedule, 8) == {"nulls": 0.1}


@pytest.mark.parametrize(
    ("kind", "strength", "error", "message"),
    [
        ("nulls", 1.5, ValueError, "strength of 'nulls' must lie between 0 and 1; got 1.5"),
        ("schema", -0.1, ValueError, "strength of 'schema' must lie between 0 and 1; got -0.1"),
        ("schema", np.nan, ValueError, "strength of 'schema' must lie between 0 and 1; got nan"),
        ("units", 0.0, ValueError, "strength of 'units' must be finite and above 0; got 0.0"),
        ("units", np.inf, ValueError, "strength of 'units' must be finite"),
        ("units", "100", TypeError, r"strength must be a number; got '100' \(str\)"),
        ("nulls", True, TypeError, r"strength must be a number; got True \(bool\)"),
    ],
)
def test_bad_strengths(kind, strength, error, message):
    with pytest.raises(error, match=message):
        check_strength(kind, strength)


def test_good_strengths_come_back_as_floats():
    assert [check_strength("nulls", 1), check_strength("units", np.float32(0.5))] == [1.0, 0.5]


# What follows is served by a world.

FEED = {"n_users": 300, "n_items": 80, "random_state": 11}


def cheap(requests, candidates):
    return -candidates["price"].fillna(0.0).to_numpy()


def by_number(requests, candidates):
    return candidates["doc_id"].to_numpy() % 7


def other_policy(requests, candidates):
    return by_number(requests, candidates)


def twins(**changes):
    world = World("feed", **{**FEED, **changes})
    return world, world.copy()


@pytest.mark.parametrize(
    ("kind", "strength"),
    [
        ("taste", 0.5),
        ("season", 0.0),
        ("catalogue", 0.5),
        ("new_users", 0.3),
        ("nulls", 0.5),
        ("units", 100.0),
        ("schema", 1.0),
    ],
)
def test_the_past_is_the_same_with_or_without_a_change_to_come(kind, strength):
    # A year in which January has twice the requests of the other months.
    changed, plain = twins(monthly=(2.0,) + (1.0,) * 11)
    assert changed.drift(kind, at=2, strength=strength) is changed
    pd.testing.assert_frame_equal(changed.serve(cheap, 2), plain.serve(cheap, 2))
    after, before = changed.serve(cheap, 2), plain.serve(cheap, 2)
    if kind in ("units", "schema"):  # all prices alike, and topics that the policy does not read
        same = [name for name in before if name != "score"]
        pd.testing.assert_frame_equal(after[same], before[same])
        ratio = after["score"] / before["score"]
        np.testing.assert_allclose(ratio, 100.0 if kind == "units" else 1.0)
    else:
        assert not after.equals(before)


def test_new_tastes_reach_that_share_of_the_users_and_no_items():
    changed, plain = twins()
    changed.drift("taste", at=1, strength=0.4)
    for world in (changed, plain):
        world.serve(by_number, 1)
    one, two = changed.truth.users, plain.truth.users
    tastes = [name for name in one if name.startswith("taste_")]
    moved = (one[tastes] != two[tastes]).any(axis=1).to_numpy()
    assert abs(moved.mean() - 0.4) < 4 * np.sqrt(0.24 / len(moved))
    # Those tastes are new, not pushed: unrelated to the old, and as wide.
    old, new = two.loc[moved, tastes].to_numpy().ravel(), one.loc[moved, tastes].to_numpy().ravel()
    assert abs(np.corrcoef(old, new)[0, 1]) < 4 / np.sqrt(old.size)
    assert new.std() == pytest.approx(old.std(), rel=0.1)
    pd.testing.assert_frame_equal(changed.truth.items, plain.truth.items)


def test_a_turnover_expires_that_share_at_once_and_keeps_the_size():
    changed, plain = twins(lifetime=1e9)
    changed.drift("catalogue", at=1, strength=0.3)
    for world in (changed, plain):
        world.serve(by_number, 1)
    before, after = plain.items, changed.items
    gone = before["live"] & ~after["live"].iloc[: len(before)]
    assert abs(gone.mean() - 0.3) < 4 * np.sqrt(0.21 / len(before))
    assert after["live"].sum() == before["live"].sum() == 80
    assert len(after) == len(before) + gone.sum()
    assert (after["born"].iloc[len(before) :] == changed.now).all()
    shown = changed.serve(by_number, 1)["doc_id"]
    assert not shown.isin(before.loc[gone, "doc_id"]).any()
    assert shown.isin(after["doc_id"].iloc[len(before) :]).any()


def test_new_users_come_at_once_and_nobody_else_changes():
    changed, plain = twins(churn=0.0)
    changed.drift("new_users", at=1, strength=0.5)
    for world in (changed, plain):
        world.serve(by_number, 1)
    assert len(changed.users) == len(plain.users) + 150
    assert (changed.users["joined"].iloc[-150:] == changed.now).all()
    one, two = changed.serve(by_number, 2), plain.serve(by_number, 2)
    old = one[one["user_id"] < 300].drop(columns="request_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(old, two.drop(columns="request_id"))
    assert one["user_id"].max() >= 300


def test_the_season_is_that_of_the_months():
    quiet, plain = twins(n_users=3000, monthly=(3.0,) + (1.0,) * 11, season_amplitude=1.0)
    quiet.drift("season", at=0, strength=0.0)
    wide = plain.copy().drift("season", at=0, strength=0.5)
    n = {}
    for name, world in (("quiet", quiet), ("plain", plain), ("half", wide)):
        n[name] = world.serve(by_number, 1)["request_id"].nunique()
    mean = 14 / 12  # January has 3 of 14 parts of the year
    assert n["plain"] / n["quiet"] == pytest.approx(3 / mean, rel=0.06)
    assert n["half"] / n["quiet"] == pytest.approx(1 + 0.5 * (3 / mean - 1), rel=0.06)


def test_a_breakage_is_seen_by_the_policy_and_by_nothing_else():
    seen = []

    def looking(requests, candidates):
        seen.append(candidates)
        return by_number(requests, candidates)

    broken, whole = twins()
    for kind, strength in (("nulls", 0.25), ("units", 100.0), ("schema", 1.0)):
        broken.drift(kind, at=0, strength=strength)
    pd.testing.assert_frame_equal(broken.serve(looking, 2), whole.serve(looking, 2))
    half = len(seen) // 2
    one, two = (pd.concat(part, ignore_index=True) for part in (seen[:half], seen[half:]))
    missing = one["price"].isna()
    assert abs(missing.mean() - 0.25) < 4 * np.sqrt(0.1875 / len(one))
    np.testing.assert_allclose(one["price"][~missing], 100 * two["price"][~missing])
    np.testing.assert_array_equal(one["topic"], (two["topic"] + 1) % 12)
    pd.testing.assert_frame_equal(broken.items, whole.items)  # the product's tables are whole


def test_a_policy_that_reads_what_is_broken_gets_fewer_clicks():
    def topical(requests, candidates):
        best = truth.users.set_index("user_id").filter(like="taste_").to_numpy()
        return best[candidates["user_id"], candidates["topic"]]

    broken, whole = twins(n_users=800)
    truth = whole.truth
    broken.drift("schema", at=0, strength=1.0)
    good, bad = (world.truth.expect(topical).clicks_per_request for world in (whole, broken))
    assert bad < 0.8 * good


def test_tastes_wander_as_stated_and_do_not_widen():
    world = World("feed", n_users=1500, n_items=40, taste_core=0.3, taste_half_life=4.0, churn=0.0)
    tastes = [f"taste_{topic}" for topic in range(12)]
    first = world.truth.users[tastes].to_numpy().ravel()
    world.serve(by_number, 8)
    later = world.truth.users[tastes].to_numpy().ravel()
    error = 1 / np.sqrt(first.size)
    assert abs(np.corrcoef(first, later)[0, 1] - (0.3 + 0.7 * 0.25)) < 4 * error
    for values in (first, later):
        assert values.std() == pytest.approx(world.preset.taste_scale, rel=0.03)


def of_users(log, users):
    rows = log[log["user_id"].isin(users)].drop(columns=["request_id", "policy"])
    return rows.reset_index(drop=True)


@pytest.mark.parametrize("interference", [0.0, 3.0])
def test_others_matter_to_a_user_only_with_interference(interference):
    alone, among = twins(interference=interference, community_size=20.0)
    control = np.arange(0, 300, 10)
    oracle = among.truth.oracle

    def mostly_treated(users):
        return np.where(users % 10 == 0, "control", "treated")

    one = alone.serve(by_number, 4)
    two = among.serve({"control": by_number, "treated": oracle}, 4, assign=mostly_treated)
    same = of_users(one, control).equals(of_users(two, control))
    assert same == (interference == 0.0)


def test_interference_follows_the_mean_of_the_community():
    world = World("feed", interference=2.0, community_size=20.0, **FEED)
    world.serve(by_number, 3)
    plain = world.copy()  # of which the state stays that of before the day
    users = world.truth.users
    mood = users[users["alive"]].groupby("community")["satisfaction"].mean() - world.truth.reference
    log = world._serve(by_number, 1, reveal=True)
    # Two users of one taste would differ by it: take the known parts of the logit off.
    logit = np.log(log["attractiveness"] / (1 - log["attractiveness"])).to_numpy()
    users = users.set_index("user_id")
    items = plain.truth.items.set_index("doc_id")
    p, doc, user = world.preset, log["doc_id"].to_numpy(), log["user_id"].to_numpy()
    topic = items.loc[doc, "topic"].to_numpy()
    taste = users.filter(like="taste_").to_numpy()[user, topic]
    midnight = plain.now
    age = (midnight - items.loc[doc, "born"]) / pd.Timedelta(days=1)
    fresh = p.freshness * 0.5 ** (age.clip(lower=0).to_numpy() / p.freshness_half_life)
    segment = users.loc[user, "segment"].cat.codes.map(dict(enumerate(p.segment_effect))).to_numpy()
    rest = logit - taste - items.loc[doc, "appeal"].to_numpy() - fresh - segment
    expected = 2.0 * mood.loc[users.loc[user, "community"]].to_numpy()
    np.testing.assert_allclose(rest - rest[0], expected - expected[0], atol=1e-4)
    assert np.ptp(expected) > 0.01


def test_novelty_is_added_at_a_change_and_fades():
    def logits(novelty):
        world = World("feed", novelty=novelty, novelty_half_life=2.0, return_strength=0.0, **FEED)
        world.serve(by_number, 3)
        met = set(np.flatnonzero(world._population.first >= 0))
        logs = [world._serve(other_policy, 1, reveal=True) for _ in range(3)]
        back = world._serve(by_number, 1, reveal=True)
        return met, logs, back

    def logit(log):
        return np.log(log["attractiveness"] / (1 - log["attractiveness"]))

    met, with_it, back = logits(0.8)
    _, without, plain_back = logits(0.0)
    known = set()
    for day, (one, two) in enumerate(zip(with_it, without, strict=True)):
        key = ["user_id", "time", "doc_id", "position"]
        # Satisfaction differs after the first day, and with it who has left: compare what meets.
        both = one.assign(logit=logit(one)).merge(two.assign(logit=logit(two)), on=key)
        added = (both["logit_x"] - both["logit_y"]).to_numpy()
        had_another = both["user_id"].isin(met).to_numpy()
        np.testing.assert_allclose(added[~had_another], 0.0, atol=1e-9)
        # It fades from the day on which this user first met the change.
        repeat = both["user_id"].isin(known).to_numpy()
        fresh = had_another & ~repeat
        np.testing.assert_allclose(added[fresh], 0.8, atol=1e-9)
        assert fresh.any()
        if day == 1:
            np.testing.assert_allclose(added[had_another & repeat], 0.8 * 0.5**0.5, atol=1e-9)
        known |= set(one["user_id"]) & met
    both = back.assign(logit=logit(back)).merge(
        plain_back.assign(logit=logit(plain_back)), on=["user_id", "time", "doc_id", "position"]
    )
    first = both["user_id"].isin(met)  # back to their first policy: nothing is new
    np.testing.assert_allclose(both["logit_x"][first], both["logit_y"][first], atol=1e-9)
