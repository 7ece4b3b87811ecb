"""What must be true of a simulator, or its lessons are lies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mlsd.experiments import assign
from mlsd.world._presets import PRESETS
from mlsd.world.world import World

STILL = {"churn": 0.0, "new_users": 0.0, "return_strength": 0.0}
EVEN = {"weekday": (1.0,) * 7, "monthly": (1.0,) * 12}


def expect_mean(hits, chances, what=""):
    """Hits of independent events with known chances are as many as they should be."""
    z = (hits.sum() - chances.sum()) / np.sqrt((chances * (1 - chances)).sum())
    assert abs(z) < 4, what


class Recorder:
    """Scores by price and noise of the document, and keeps what it was asked."""

    def __init__(self, scale=1.0):
        self.scale = scale
        self.seen = []

    def __call__(self, requests, candidates):
        score = self.scale * np.log(candidates["price"]) + candidates["doc_id"] % 7 / 7
        self.seen.append(candidates.assign(own=score))
        return score

    def by_request(self):
        frame = pd.concat(self.seen, ignore_index=True)
        n = frame["request_id"].eq(frame["request_id"].iloc[0]).sum()
        return (
            frame["request_id"].to_numpy()[::n],
            frame["doc_id"].to_numpy().reshape(-1, n),
            frame["own"].to_numpy().reshape(-1, n),
        )


def shown(log, k):
    return log["doc_id"].to_numpy().reshape(-1, k), log["propensity"].to_numpy().reshape(-1, k)


def test_propensities_of_sampled_slates_are_frequencies():
    world, policy, temperature = World("feed", n_users=1_500), Recorder(), 0.7
    k = world.preset.slate
    log = world.serve(policy, 1, temperature=temperature)
    _, docs, scores = policy.by_request()
    slate, propensity = shown(log, k)
    left = np.ones(docs.shape, dtype=bool)
    for place in range(k):
        # The chances of all candidates at this place, by the definition.
        weight = np.where(left, np.exp(scores / temperature), 0.0)
        chance = weight / weight.sum(axis=1, keepdims=True)
        assert np.allclose(chance.sum(axis=1), 1)
        hit = docs == slate[:, [place]]
        np.testing.assert_allclose(chance[hit], propensity[:, place], rtol=1e-9)
        for low, high in [(0, 0.01), (0.01, 0.05), (0.05, 0.2), (0.2, 1)]:
            cell = left & (chance > low) & (chance <= high)
            expect_mean(hit[cell], chance[cell], f"place {place}, chances above {low}")
        left &= ~hit


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 1.0])
def test_propensities_of_explored_slates_are_frequencies(epsilon):
    world, policy = World("feed", n_users=1_500), Recorder()
    k, n = world.preset.slate, world.preset.candidates
    log = world.serve(policy, 1, explore=epsilon)
    _, docs, scores = policy.by_request()
    order = np.argsort(-scores, axis=1, kind="stable")
    slate, propensity = shown(log, k)
    for place in range(k):
        greedy = docs == np.take_along_axis(docs, order[:, [place]], axis=1)
        chance = epsilon / n + (1 - epsilon) * greedy
        assert np.allclose(chance.sum(axis=1), 1)
        hit = docs == slate[:, [place]]
        np.testing.assert_allclose(chance[hit], propensity[:, place], rtol=1e-12)
        expect_mean(hit[greedy], chance[greedy], f"greedy at {place}")
        for rank in (n - 1, k + 1, 0 if place else 1):  # one of the others a request
            other = docs == np.take_along_axis(docs, order[:, [rank]], axis=1)
            expect_mean(hit[other], chance[other], f"rank {rank} at {place}")


@pytest.mark.parametrize("preset", PRESETS)
def test_without_examination_the_click_rate_is_the_attractiveness(preset, flat):
    world = World(preset, examination="none", base_rate=0.2, activity_sigma=0.0, n_users=1_500)
    log = world._serve(flat, 2, reveal=True)
    a, click = log["attractiveness"].to_numpy(), log["click"].to_numpy()
    assert (log["click_probability"] == a).all()
    expect_mean(click, a)
    for cell in np.array_split(np.argsort(a), 10):
        expect_mean(click[cell], a[cell])
    for place in range(1, world.preset.slate + 1):
        at = (log["position"] == place).to_numpy()
        expect_mean(click[at], a[at], f"place {place}")
    if preset != "ads":  # where those who bid decide who is seen
        assert abs(a.mean() - 0.2) < 0.01


@pytest.mark.parametrize("preset", PRESETS)
def test_clicks_are_as_frequent_as_the_truth_says(preset, cheap):
    log = World(preset, base_rate=0.15)._serve(cheap, 2, reveal=True)
    by_place = log.groupby("position")[["click", "click_probability"]].agg(["sum", "size"])
    p = log["click_probability"].to_numpy()
    slates = log.groupby("request_id")[["click", "click_probability"]].sum()
    spread = (slates["click"] - slates["click_probability"]).std() * np.sqrt(len(slates))
    assert abs(log["click"].sum() - p.sum()) < 4 * spread
    for place, row in by_place.iterrows():
        assert abs(row["click"]["sum"] - row["click_probability"]["sum"]) < 4.5 * np.sqrt(
            row["click_probability"]["sum"]
        ), place


def test_random_slates_show_the_examination_curve_and_ranked_ones_do_not(flat):
    world = World("feed", n_users=6_000, base_rate=0.2, eta=1.0, trust_minus=0.0)
    twin = world.copy()
    curves = {}
    for name, log in {
        "random": world.serve(flat, 3),
        "ranked": twin.serve(twin.truth.oracle, 3),
    }.items():
        clicks = log.groupby("position")["click"].sum().to_numpy()
        curves[name] = clicks / clicks[0], np.sqrt(1 / clicks + 1 / clicks[0])
    truth = 1 / np.arange(1, 11)
    ratio, error = curves["random"]
    assert (np.abs(np.log(ratio / truth)) < 4 * error).all()
    ratio, error = curves["ranked"]
    assert (np.log(ratio / truth)[3:] < -6 * error[3:]).all()
    assert ratio[9] < 0.08


def test_weights_by_propensity_judge_another_policy_and_plain_rates_do_not(flat):
    world = World("feed", n_users=6_000, base_rate=0.1)
    k = world.preset.slate
    twin = world.copy()
    best = twin._serve(twin.truth.oracle, 1, reveal=True)
    first = best[best["position"] == 1]
    value = first["click_probability"].mean()
    log = world.serve(flat, 1, temperature=1.0)[::k].reset_index(drop=True)
    assert (log["request_id"] == first["request_id"].to_numpy()).all()
    same = log["doc_id"] == first["doc_id"].to_numpy()
    weighted = log["click"] * same / log["propensity"]
    error = weighted.std() / np.sqrt(len(weighted))
    assert abs(weighted.mean() - value) < 4 * error
    assert value - log["click"].mean() > 8 * error


def test_the_same_policy_twice_differs_as_often_as_the_level_says(flat):
    one, other = flat, lambda requests, candidates: flat(requests, candidates)
    p = []
    for seed in range(200):
        world = World("feed", n_users=160, n_items=50, base_rate=0.2, random_state=seed)
        log = world.serve({"a": one, "b": other}, 1)
        clicks = np.bincount(log["user_id"], log["click"], len(world.users))[:160]
        arm = assign(np.arange(160), salt="world", weights={"a": 0.5, "b": 0.5})
        p.append(stats.ttest_ind(clicks[arm == "a"], clicks[arm == "b"], equal_var=False).pvalue)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_of_one_log_the_users_split_fairly_and_the_rows_do_not(flat):
    world = World("feed", n_users=2_000, base_rate=0.2, taste_core=1.0, taste_scale=1.5)
    log = world.serve(flat, 4)
    clicks = np.bincount(log["user_id"], log["click"], len(world.users))
    seen = np.bincount(log["user_id"], minlength=len(world.users))
    by_user, by_row = [], []
    for salt in range(400):
        arm = assign(np.arange(clicks.size), salt=f"split {salt}") == "treatment"
        by_user.append(stats.ttest_ind(clicks[arm], clicks[~arm], equal_var=False).pvalue)
        hits = np.array([clicks[arm].sum(), clicks[~arm].sum()])
        rows = np.array([seen[arm].sum(), seen[~arm].sum()])
        rate = hits.sum() / rows.sum()
        z = np.diff(hits / rows)[0] / np.sqrt(rate * (1 - rate) * (1 / rows).sum())
        by_row.append(2 * stats.norm.sf(abs(z)))
    assert stats.kstest(by_user, "uniform").pvalue > 0.01
    assert stats.kstest(by_row, "uniform").pvalue < 1e-6  # rows of a user are not independent


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_drifts_when_nothing_is_drifting(preset, flat):
    world = World(preset, n_users=1_500, requests_per_day=0.3, **EVEN)
    sizes, catalogues, spreads, rates, appeal = [], [], [], [], []
    for _ in range(60):
        log = world._serve(flat, 1, reveal=True)
        people, items = world._population, world._catalogue
        sizes.append(people.alive.sum())
        catalogues.append(items.live.size)
        spreads.append(people.taste[people.alive].std())
        rates.append(log["attractiveness"].mean())
        appeal.append(items.appeal[items.live].mean())
        assert (items.expires[items.live] > world.day).all()
    # Poisson joins and leaves: the level wanders by the root of their number.
    assert abs(np.mean(sizes[-20:]) - 1_500) < 4 * np.sqrt(2 * 0.01 * 1_500 * 60)
    assert set(catalogues) == {500}
    p = world.preset
    assert abs(np.mean(spreads) - p.taste_scale) < 0.02
    turned = 500 * (1 - np.exp(-60 / p.lifetime))
    assert len(world.items) - 500 > 0.8 * turned
    ages = (world.now - world.items.loc[world.items["live"], "born"]) / pd.Timedelta(days=1)
    assert stats.kstest(ages, stats.expon(scale=p.lifetime).cdf).pvalue > 0.005
    # The mean item changes with the draw of the catalogue, by no more than its appeal does.
    drift = np.log(np.mean(rates[-20:]) / np.mean(rates[:20]))
    assert abs(drift) < 0.15 + 2 * abs(np.mean(appeal[-20:]) - np.mean(appeal[:20]))


def test_delays_follow_their_law_and_nothing_else(flat):
    log = World("shop", n_users=8_000, base_rate=0.3, conversion_rate=0.4, delay_hours=24.0).serve(
        flat, 2
    )
    bought = log.dropna(subset="conversion_time")
    hours = (bought["conversion_time"] - bought["time"]) / pd.Timedelta(hours=1)
    assert len(hours) > 2_000
    assert stats.kstest(hours + 0.5 / 3_600, stats.expon(scale=24).cdf).pvalue > 0.01
    early = (hours < 6).mean()
    assert abs(early - (1 - np.exp(-6 / 24))) < 4 * np.sqrt(0.25 / len(hours))
    for other in ("dwell", "position", "value"):
        assert stats.spearmanr(hours, bought[other]).pvalue > 0.001


def test_satisfaction_by_hand(flat):
    world = World("feed", n_users=80, n_items=60, base_rate=0.3, new_users=0.0)
    mood = dict.fromkeys(range(80), world.truth.reference)
    keep = 0.5 ** (1 / world.preset.satisfaction_half_life)
    for _ in range(4):
        log = world._serve(flat, 1, reveal=True)
        for user, rows in log.groupby("user_id"):
            utility = (rows["click"] * (2 * rows["good"] - 1)).sum() / rows["request_id"].nunique()
            mood[user] = keep * mood[user] + (1 - keep) * utility
    np.testing.assert_allclose(world.truth.users["satisfaction"], list(mood.values()))
    assert len(set(mood.values())) > 40


def test_the_reference_is_the_mean_under_random_slates(flat):
    world = World("feed", n_users=3_000, base_rate=0.2, activity_sigma=0.0)
    log = world._serve(flat, 1, reveal=True)
    utility = log["click_probability"] * (2 * log["good"] - 1)
    of_request = utility.groupby(log["request_id"]).sum()
    assert abs(of_request.mean() - world.truth.reference) < 5 * of_request.sem()


def test_retention_answers_to_the_policy_only_if_it_may(flat):
    kept = {}
    for strength in (0.0, 6.0):
        world = World(
            "feed", requests_per_day=1.0, churn_strength=strength, return_strength=strength / 6
        )
        twin = world.copy()
        log = world.serve(flat, 30)
        better = twin.serve(twin.truth.satisfier, 30)
        kept[strength] = [one.truth.users["alive"][:2_000].mean() for one in (world, twin)]
        same = log["time"].nunique() == better["time"].nunique()
        assert same == (strength == 0.0)
        if strength == 0.0:
            requests = [one.drop_duplicates("request_id")["user_id"] for one in (log, better)]
            assert requests[0].reset_index(drop=True).equals(requests[1].reset_index(drop=True))
    assert kept[0.0][0] == kept[0.0][1]
    error = np.sqrt(2 * 0.25 / 2_000)
    assert abs(kept[0.0][0] - 0.99**30) < 4 * error
    assert kept[6.0][1] - kept[6.0][0] > 4 * error


def test_tastes_forget_at_the_stated_pace():
    world = World(n_users=4_000, taste_half_life=10.0, taste_core=0.25, **STILL)
    first = world._population.taste.copy()
    for _ in range(20):
        world.serve(lambda requests, candidates: candidates["price"], 1)
    last = world._population.taste
    expected = 0.25 + 0.75 * 0.25
    got = np.corrcoef(first.ravel(), last.ravel())[0, 1]
    assert abs(got - expected) < 4 / np.sqrt(first.size)
    assert abs(last.std() / first.std() - 1) < 0.02


def test_an_old_model_of_tastes_gets_worse_and_a_new_one_does_not(flat):
    world = World("feed", n_users=3_000, taste_half_life=5.0, base_rate=0.1, **STILL)

    def model(taste):
        def score(requests, candidates):
            return taste[candidates["user_id"].to_numpy(), candidates["topic"].to_numpy()]

        return score

    frozen = model(world._population.taste.copy())
    gain = {}
    for day in (0, 21):
        random = world.truth.expect(flat).clicks_per_request
        fresh = world.truth.expect(model(world._population.taste)).clicks_per_request
        gain[day] = world.truth.expect(frozen).clicks_per_request / random - 1, fresh / random - 1
        world.serve(flat, 21)
    assert gain[0][0] == gain[0][1]
    assert gain[21][0] < 0.6 * gain[0][0]
    assert gain[21][1] > 0.85 * gain[0][1]
    assert gain[21][0] > 0.05 * gain[0][0]  # what never changes of a taste is still known


def test_interference_is_what_the_control_feels_of_the_treatment(flat):
    of_control = {}
    for interference in (0.0, 4.0):
        world = World("feed", interference=interference, base_rate=0.15)
        alone, beside = world.copy(), world.copy()
        arms = {"control": flat, "treatment": beside.truth.oracle}

        def half(units):
            return np.where(units % 2 == 0, "control", "treatment")

        mixed = beside.serve(arms, 6, assign=half)
        control = alone.serve(flat, 6)
        of_control[interference] = [len(log[log["user_id"] % 2 == 0]) for log in (control, mixed)]
    assert of_control[0.0][0] == of_control[0.0][1]  # without it they do not notice
    alone, beside = of_control[4.0]
    assert beside > 1.1 * alone


def test_novelty_is_felt_by_those_whose_policy_changed_and_fades(flat, cheap):
    def served(novelty, policies):
        world = World("feed", n_users=400, novelty=novelty, novelty_half_life=2.0, **STILL)
        logs = [world._serve(policy, 1, reveal=True) for policy in policies]
        return [np.log(a) - np.log1p(-a) for a in (log["attractiveness"] for log in logs)]

    for policies in (
        [flat, flat, flat, flat],
        [flat, cheap, cheap, cheap],
        [flat, cheap, flat, cheap],
        [flat, cheap, lambda requests, candidates: cheap(requests, candidates), flat],
    ):
        world = World("feed", n_users=400, **STILL)
        days = [world.serve(policy, 1)["user_id"] for policy in policies]
        without, having = served(0.0, policies), served(0.8, policies)
        first, last, since = {}, {}, {}
        for day, (policy, users) in enumerate(zip(policies, days, strict=True)):
            expected = {}
            for user in users.unique():
                if last.setdefault(user, policy) is not policy:
                    last[user], since[user] = policy, day
                if first.setdefault(user, policy) is not policy:
                    expected[user] = 0.8 * 0.5 ** ((day - since[user]) / 2.0)
            np.testing.assert_allclose(
                having[day] - without[day], users.map(expected).fillna(0.0), atol=1e-9
            )
        assert bool(expected) == (len(set(policies)) > 1)


def test_requests_follow_the_profiles():
    world = World("shop", n_users=20_000, requests_per_day=1.0, **STILL)
    p = world.preset
    log = world.serve(lambda requests, candidates: candidates["price"], 7)
    times = log.drop_duplicates("request_id")["time"]
    for got, profile in [
        (times.dt.hour.value_counts(), p.hourly),
        (times.dt.day_of_week.value_counts(), p.weekday),
    ]:
        share = np.array(profile) / np.sum(profile)
        count = got.reindex(range(len(share)), fill_value=0).to_numpy()
        assert count[share == 0].sum() == 0
        some = share > 0
        assert stats.chisquare(count[some], count.sum() * share[some]).pvalue > 0.005
    # Each user's own rate, on a mean day of the year, is that of the truth.
    month, week = np.array(p.monthly) / np.mean(p.monthly), np.array(p.weekday) / np.mean(p.weekday)
    expected = world.truth.users["rate"].sum() * month[0] * week.sum()
    assert abs(len(times) - expected) < 4 * np.sqrt(expected)
    of_hour = (times - times.dt.floor("h")).dt.total_seconds() / 3_600
    assert stats.kstest(of_hour, "uniform").pvalue > 1e-4  # evenly within an hour


def test_activity_and_dwell_follow_their_laws(flat):
    world = World("feed", n_users=5_000, base_rate=0.3)
    p, rate = world.preset, world.truth.users["rate"]
    assert stats.kstest(np.log(rate), stats.norm(
        np.log(p.requests_per_day) - p.activity_sigma**2 / 2, p.activity_sigma
    ).cdf).pvalue > 0.01  # fmt: skip
    log = world._serve(flat, 1, reveal=True)
    clicked = log[log["click"] == 1]
    centre = np.log(p.dwell_median) + p.dwell_lift * (clicked["good"] - 0.5)
    z = (np.log(clicked["dwell"]) - centre) / p.dwell_sigma
    assert stats.kstest(z, "norm").pvalue > 0.01
    bought = clicked["conversion_time"].notna().to_numpy()
    expect_mean(bought, clicked["conversion_probability"].to_numpy())
