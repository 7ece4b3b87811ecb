"""The truth against what is simulated, against formulas written out, and against itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlsd._validation import UndefinedMetricWarning
from mlsd.world import World
from mlsd.world.interleave import Interleave

FEED = {"n_users": 400, "n_items": 80, "random_state": 3}


def cheap(requests, candidates):
    return -candidates["price"].to_numpy()


def fresh(requests, candidates):
    return -candidates["age"].to_numpy()


def by_number(requests, candidates):
    return candidates["doc_id"].to_numpy() % 7


class Funnel:
    """Ranks the documents that were cheapest when it was made."""

    def __init__(self, world, k=10):
        live = world.items[world.items["live"]]
        self.docs = live.sort_values("price")["doc_id"].to_numpy()[:k]

    def rank(self, queries):
        n, k = len(queries), self.docs.size
        return pd.DataFrame(
            {
                "query_id": np.repeat(queries["query_id"].to_numpy(), k),
                "doc_id": np.tile(self.docs, n),
                "score": np.tile(-np.arange(float(k)), n),
                "rank": np.tile(np.arange(1, k + 1), n),
            }
        )


def written_out(world, user, doc):
    """Return the attractiveness of pairs from the hidden frames, by the stated formula."""
    p, users, items = world.preset, world.truth.users, world.truth.items
    start = pd.Timestamp(p.start, tz="UTC")
    logits = []
    for one, other in zip(user, doc, strict=True):
        item = items.loc[other]
        age = max(world.day - (item["born"] - start) / pd.Timedelta(days=1), 0.0)
        effect = p.segment_effect[p.segments.index(users.loc[one, "segment"])]
        logits.append(
            users.loc[one, f"taste_{item['topic']}"]
            + item["appeal"]
            + p.freshness * 2.0 ** (-age / p.freshness_half_life)
            + effect
        )
    return np.array(logits)


def test_attractiveness_against_the_formula_written_out():
    world = World("feed", **FEED)
    world.serve(cheap, 2)
    rng = np.random.default_rng(1)
    user, doc = rng.integers(0, 400, 60), rng.integers(0, 80, 60)
    got = world.truth.attractiveness(user, doc)
    logit = np.log(got / (1 - got))
    base = logit - written_out(world, user, doc)  # the intercept, one number
    np.testing.assert_allclose(base, base[0], atol=1e-5)  # births are cut to seconds
    # and it is what makes the base rate that of the candidates on the first day
    young = World("feed", **FEED)
    seen = []
    young.serve(lambda r, c: seen.append(c) or np.zeros(len(c)), 2)
    first = seen[0]
    mean = young.copy().truth  # after two days: other tastes, so near the rate and not at it
    rate = mean.attractiveness(first["user_id"], first["doc_id"]).mean()
    assert rate == pytest.approx(young.preset.base_rate, rel=0.2)


def test_good_against_the_formula_written_out():
    world = World("feed", **FEED)
    user, doc = np.array([3, 17, 200]), np.array([5, 5, 79])
    users, items = world.truth.users, world.truth.items
    taste = [users.loc[u, f"taste_{items.loc[d, 'topic']}"] for u, d in zip(user, doc, strict=True)]
    logit = np.array(taste) + items.loc[doc, "quality"].to_numpy()
    np.testing.assert_allclose(world.truth.good(user, doc), 1 / (1 + np.exp(-logit)), rtol=1e-12)


def test_conversions_against_the_formula_written_out():
    world = World("shop", **FEED, conversion_rate=0.2)
    twin, p = world.copy(), world.preset
    log = twin._serve(cheap, 1, reveal=True)
    user, doc = log["user_id"].to_numpy(), log["doc_id"].to_numpy()
    items, users = world.truth.items, world.truth.users
    tastes = users[[f"taste_{topic}" for topic in range(p.n_topics)]].to_numpy()
    logit = items["quality"].to_numpy()[doc] + tastes[user, items["topic"].to_numpy()[doc]] / 2
    logit -= p.price_effect * np.log(items["price"].to_numpy()[doc] / np.exp(p.price_log_mean))
    got = log["conversion_probability"].to_numpy()
    intercept = np.log(got / (1 - got)) - logit
    np.testing.assert_allclose(intercept, intercept[0], atol=1e-9)
    # and it is what gives the clicks of random slates their rate
    many = world._serve(by_number, 1, explore=1.0, reveal=True)
    weight = many["click_probability"]
    mean = np.average(many["conversion_probability"], weights=weight)
    assert mean == pytest.approx(p.conversion_rate, rel=0.1)


def test_pairs_broadcast():
    truth = World("feed", **FEED).truth
    grid = truth.attractiveness(np.arange(4)[:, None], np.arange(6))
    assert grid.shape == (4, 6)
    assert truth.attractiveness(2, 5) == grid[2, 5]
    np.testing.assert_array_equal(truth.attractiveness([1, 2], 3), grid[1:3, 3])


def test_with_examination_off_the_click_rate_is_the_attractiveness():
    world = World("feed", examination="none", taste_half_life=1e9, freshness=0.0, **FEED)
    truth = world.truth
    before = {
        "user": np.repeat(np.arange(400), 80),
        "doc": np.tile(np.arange(80), 400),
    }
    a = truth.attractiveness(before["user"], before["doc"]).reshape(400, 80)
    log = world.serve(cheap, 1)
    expected = a[log["user_id"], log["doc_id"]]
    band = np.digitize(expected, np.quantile(expected, [0.25, 0.5, 0.75]))
    for part in range(4):
        rows = band == part
        error = np.sqrt((expected[rows] * (1 - expected[rows])).sum())
        assert abs(log["click"][rows].sum() - expected[rows].sum()) < 4 * error


@pytest.mark.parametrize("preset", ["feed", "shop", "ads"])
def test_expectation_is_the_mean_of_what_is_simulated(preset):
    # Worlds of one truth and other luck: the same users on one day, many times.
    world = World(preset, n_users=1500, n_items=100, random_state=4)
    expected = world.truth.expect(by_number)
    log = world.serve(by_number, 1)
    requests = world._n_requests
    assert (expected.n_requests, expected.n_impressions) == (requests, len(log))
    clicks = log.groupby("request_id")["click"].sum().reindex(range(requests), fill_value=0)
    error = clicks.std() / np.sqrt(requests)
    assert abs(clicks.mean() - expected.clicks_per_request) < 4 * error
    assert expected.click_rate == pytest.approx(
        expected.clicks_per_request * requests / len(log), rel=1e-12
    )


def test_expected_conversions_value_and_utility_over_many_days():
    # Light tails, so that a mean of the simulated baskets is near that of the law.
    baskets = {"quantities": (1.0, 2.0, 5.0), "quantity_share": (5, 3, 2), "price_log_sd": 0.5}
    world = World("shop", n_users=3000, n_items=100, random_state=5, conversion_rate=0.3, **baskets)
    expected = world.truth.expect(cheap, days=6)
    twin = world.copy()
    logs = [twin._serve(cheap, 1, reveal=True) for _ in range(6)]
    log = pd.concat(logs, ignore_index=True)
    n = expected.n_requests
    assert n == twin._n_requests
    log["conversion"] = log["conversion_time"].notna()
    log["utility"] = log["click"] * (2 * log["good"] - 1)
    for found, said in (
        ("conversion", expected.conversions_per_request),
        ("value", expected.value_per_request),
        ("utility", expected.utility_per_request),
        ("click", expected.clicks_per_request),
    ):
        of_request = log.groupby("request_id")[found].sum().reindex(range(n), fill_value=0)
        assert abs(of_request.mean() - said) < 4 * of_request.std() / np.sqrt(n), found
    assert expected.value_per_request > expected.conversions_per_request  # baskets are money


@pytest.mark.parametrize("preset", ["feed", "shop"])
def test_no_policy_expects_more_clicks_than_the_oracle(preset):
    world = World(preset, n_users=400, n_items=80, random_state=6)
    truth = world.truth
    best = truth.expect(truth.oracle).clicks_per_request
    for other in (cheap, fresh, by_number, truth.satisfier, Interleave(truth.oracle, cheap)):
        assert truth.expect(other).clicks_per_request < best
    assert truth.expect(truth.oracle, explore=0.5).clicks_per_request < best
    # The satisfier gives the most utility, of which the oracle gives less.
    content = truth.expect(truth.satisfier).utility_per_request
    assert content > truth.expect(truth.oracle).utility_per_request


def test_the_oracle_orders_by_attractiveness():
    world = World("feed", **FEED)
    truth = world.truth
    log = world.copy()._serve(truth.oracle, 1, reveal=True)
    np.testing.assert_array_equal(log["score"], log["attractiveness"])
    assert (log.groupby("request_id")["attractiveness"].diff().dropna() <= 0).all()


@pytest.mark.parametrize("preset", ["feed", "shop", "ads"])
def test_the_effect_of_nothing_is_nothing(preset):
    world = World(preset, n_users=300, n_items=60, random_state=7, interference=0.5, novelty=0.5)
    world.serve(cheap, 2)
    for policy in (by_number, world.truth.oracle, Interleave(cheap, fresh)):
        if preset == "ads" and isinstance(policy, Interleave):
            continue
        effect = world.truth.effect(policy, policy, days=3)
        assert set(effect.difference.values()) == {0.0}
        assert effect.control["clicks_per_request"] > 0
    explored = world.truth.effect(cheap, cheap, 2, explore=0.3)
    assert set(explored.difference.values()) == {0.0}
    assert explored.control != world.truth.effect(cheap, cheap, 2).control


def test_effect_against_two_copies_served_and_counted():
    world = World("shop", n_users=300, n_items=60, random_state=8, conversion_rate=0.4, churn=0.05)
    world.drift("new_users", at=5, strength=0.2)
    world.serve(by_number, 3)
    effect = world.truth.effect(fresh, cheap, days=10)
    there = set(np.flatnonzero(world.truth.users["alive"]))
    for policy, got in ((cheap, effect.control), (fresh, effect.treatment)):
        twin = world.copy()
        log = twin.serve(policy, 9)
        n_users = len(there) + len(twin.users) - len(world.users)  # who joined by the last day
        log = pd.concat([log, twin.serve(policy, 1)], ignore_index=True)
        assert effect.n_users == n_users
        requests = log["request_id"].nunique()
        week = log[log["time"] >= twin.now - pd.Timedelta(days=7)]
        alive = twin.truth.users["alive"].to_numpy()
        assert got == pytest.approx(
            {
                "clicks_per_request": log["click"].sum() / requests,
                "requests_per_user": requests / n_users,
                "conversions_per_user": log["conversion_time"].notna().sum() / n_users,
                "value_per_user": log["value"].sum() / n_users,
                "retention": len(there & set(week["user_id"])) / len(there),
                "staying": np.mean([alive[user] for user in there]),
            },
            rel=1e-12,
        )
    frame = effect.to_frame()
    np.testing.assert_allclose(frame["difference"], frame["treatment"] - frame["control"])
    np.testing.assert_allclose(frame["relative"], frame["treatment"] / frame["control"] - 1)
    assert effect.to_dict()["control"] == effect.control
    assert f"{effect.n_users} users over 10 days" in effect._repr_html_()


def test_without_requests_what_is_per_request_is_undefined():
    world = World("feed", weekday=(0.0,) * 6 + (1.0,), n_users=50, n_items=40)
    message = "there are 0 requests in 1 days: what is per request is undefined"
    with pytest.warns(UndefinedMetricWarning, match=message):
        nothing = world.truth.expect(cheap)
    assert (nothing.n_requests, nothing.n_impressions) == (0, 0)
    assert np.isnan(nothing.clicks_per_request)
    with pytest.warns(UndefinedMetricWarning, match=message):
        effect = world.truth.effect(cheap, fresh, 1)
    assert effect.control["requests_per_user"] == 0.0
    assert np.isnan(effect.difference["clicks_per_request"])
    assert world.truth.expect(cheap, days=7).n_requests > 0  # with the Sunday


def test_effects_have_opposite_signs_and_a_better_policy_keeps_more():
    world = World("feed", n_users=500, n_items=80, random_state=9)
    truth = world.truth
    up, down = truth.effect(truth.oracle, cheap, 12), truth.effect(cheap, truth.oracle, 12)
    assert up.difference == {name: -value for name, value in down.difference.items()}
    assert up.difference["clicks_per_request"] > 0
    content = truth.effect(truth.satisfier, cheap, 12)
    assert content.difference["staying"] > 0
    assert content.difference["requests_per_user"] > 0


def test_a_funnel_is_expected_and_has_an_effect():
    world = World("feed", **FEED)
    funnel = Funnel(world)
    assert world.truth.expect(funnel).n_impressions == 10 * world.truth.expect(cheap).n_requests
    assert set(world.truth.effect(funnel, funnel, 1).difference.values()) == {0.0}


@pytest.mark.parametrize("preset", ["feed", "ads"])
def test_looking_at_the_truth_changes_nothing(preset):
    looked_at, other = (World(preset, n_users=200, n_items=60, random_state=2) for _ in range(2))
    for world in (looked_at, other):
        world.serve(cheap, 1)
    truth = looked_at.truth
    truth.expect(cheap, days=2)
    truth.effect(truth.oracle, fresh, 2)
    users, items, trust = truth.users, truth.items, truth.trust
    users.loc[:, "satisfaction"] = 9.0
    users.loc[:, "taste_0"] = 9.0
    items.loc[:, "quality"] = 9.0
    truth.examination[:] = 9.0
    trust.loc[:, "attracted"] = 9.0
    truth.attractiveness([1], [2])[:] = 9.0
    assert (looked_at.day, looked_at.now) == (other.day, other.now)
    pd.testing.assert_frame_equal(looked_at.serve(fresh, 3), other.serve(fresh, 3))
    pd.testing.assert_frame_equal(looked_at.truth.users, other.truth.users)
    pd.testing.assert_frame_equal(looked_at.truth.items, other.truth.items)


def test_an_oracle_is_for_its_own_world():
    world = World("feed", **FEED)
    oracle = world.truth.oracle
    assert world.truth.oracle is oracle
    twin = world.copy()
    twin.serve(cheap, 1)
    with pytest.raises(ValueError, match=r"policy 'oracle' knows another world .* world\.truth"):
        twin.serve(oracle, 1)
    log = twin.serve(twin.truth.oracle, 1)
    assert len(log)
    assert twin.truth.oracle is not oracle


@pytest.mark.parametrize("name", ["oracle", "satisfier", "draft"])
def test_novelty_goes_by_the_policy_and_not_by_the_copy(name):
    # Who has had the oracle of a world from the first meets nothing new in that of its copy.
    def served(novelty):
        world = World("feed", novelty=novelty, **FEED)
        truth = world.truth
        policy = Interleave(truth.oracle, cheap) if name == "draft" else getattr(truth, name)
        world.serve(policy, 1)
        expected = world.truth.expect(policy, days=2).clicks_per_request
        twin = world.copy()
        own = policy if name == "draft" else getattr(twin.truth, name)
        by_hand = np.nan
        if name != "draft":  # that of the copy has to be made anew by hand
            by_hand = twin._serve(own, 2, reveal=True)["attractiveness"].mean()
        return expected, by_hand, world.truth.expect(fresh).clicks_per_request

    known, known_by_hand, surprising = served(3.0)
    plain, plain_by_hand, usual = served(0.0)
    assert known == plain
    np.testing.assert_equal(known_by_hand, plain_by_hand)
    assert surprising > 2 * usual


def test_arms_may_be_expected_together():
    world = World("feed", **FEED)
    truth = world.truth
    one, two = truth.expect(cheap), truth.expect(truth.oracle)
    both = truth.expect(
        {"a": cheap, "b": truth.oracle}, assign=lambda user: np.where(user < 200, "a", "b")
    )
    low, high = sorted([one.clicks_per_request, two.clicks_per_request])
    assert low < both.clicks_per_request < high
    only = truth.expect({"a": cheap, "b": truth.oracle}, assign=lambda user: ["b"] * len(user))
    assert only.clicks_per_request == two.clicks_per_request


def test_examination_and_trust_are_those_of_the_preset():
    truth = World("feed", eta=0.7, trust_plus=0.9, trust_minus=0.1, **FEED).truth
    place = np.arange(1, 11)
    np.testing.assert_allclose(truth.examination, place**-0.7)
    np.testing.assert_allclose(truth.trust["attracted"], 0.9)
    np.testing.assert_allclose(truth.trust["not_attracted"], 0.1 / place)
    assert truth.trust["position"].tolist() == place.tolist()
    changes = {"cascade_stop": 0.5, "cascade_continue": 0.9, "base_rate": 0.05}
    trust = {"trust_plus": 1.0, "trust_minus": 0.0}
    cascade = World("feed", examination="cascade", **changes, **trust, **FEED).truth
    on = 0.05 * 0.5 + 0.95 * 0.9
    np.testing.assert_allclose(cascade.examination, on ** np.arange(10))


def test_hidden_frames_extend_the_public_ones():
    world = World("ads", n_users=50, n_items=40)
    users, items = world.truth.users, world.truth.items
    pd.testing.assert_frame_equal(users[world.users.columns], world.users)
    pd.testing.assert_frame_equal(items[world.items.columns], world.items)
    assert {"rate", "satisfaction", "alive", "taste_0", "taste_11"} <= set(users)
    assert {"appeal", "quality", "weight", "expires", "worth"} <= set(items)
    assert not {"appeal", "quality", "worth", "weight", "expires"} & set(world.items)
    assert (users["satisfaction"] == world.truth.reference).all()


def test_bad_input():
    truth = World("feed", **FEED).truth
    with pytest.raises(TypeError, match="user_id must be integers; got float64"):
        truth.attractiveness(1.0, 1)
    with pytest.raises(ValueError, match="user_id must be below 400, the number there is; got 400"):
        truth.attractiveness([1, 400], 1)
    with pytest.raises(ValueError, match="doc_id must be below 80, the number there is; got -1"):
        truth.good(1, [-1])
    with pytest.raises(ValueError, match="days must be at least 1"):
        truth.expect(cheap, days=0)
    with pytest.raises(TypeError, match="days must be an integer"):
        truth.effect(cheap, fresh, days=1.5)
    with pytest.raises(TypeError, match=r"control must be one policy; got a mapping of \['a'\]"):
        truth.effect(cheap, {"a": fresh}, days=1)
    with pytest.raises(ValueError, match="explore must lie between 0 and 1"):
        truth.expect(cheap, explore=2.0)
