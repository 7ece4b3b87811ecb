"""How often tests alarm without a reason, and intervals hold the truth: small, with fixed seeds.

`benchmarks/experiments.py` does the same with thousands of experiments. Here a count must lie where
the binomial law puts all but one in a million: a test that is off by a factor of two fails, and a
right one does not flake.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr
from scipy.stats import binom, ttest_ind

from mlsd.experiments import (
    DecisionRule,
    GroupSequential,
    Guard,
    Moments,
    Ramp,
    always_valid,
    assign,
    benjamini_hochberg,
    bucket,
    compare,
    compare_clusters,
    compare_means,
    compare_ratios,
    guardrail,
    holm,
    interleaving_test,
    sample_ratio_test,
    sample_size,
    team_draft_orders,
)
from mlsd.world import World

N = 500
TAIL = 1e-6


def is_about(hits, p: float) -> bool:
    """Return whether a count is one that the binomial law allows."""
    found = np.asarray(hits)
    low, high = binom.ppf(TAIL, found.size, p), binom.isf(TAIL, found.size, p)
    return bool(low <= found.sum() <= high)


def is_at_most(hits, p: float) -> bool:
    found = np.asarray(hits)
    return bool(found.sum() <= binom.isf(TAIL, found.size, p))


def test_the_bounds_can_fail():
    """A share twice too large is seen in so many experiments, and so is one of nothing."""
    assert not is_about(np.arange(N) < 0.11 * N, 0.05)
    assert not is_about(np.zeros(N), 0.05)
    assert not is_at_most(np.arange(N) < 0.11 * N, 0.05)
    assert is_about(np.arange(N) < 0.05 * N, 0.05)
    assert is_at_most(np.zeros(N), 0.05)


# Means and ratios


def test_means_of_unequal_arms():
    rng = np.random.default_rng(0)
    alarms, held, lifts, pooled = [], [], [], []
    for _ in range(N):
        control, treatment = 1 + rng.normal(0, 3, 60), 1 + rng.normal(0, 1, 540)
        found = compare_means(control, treatment)
        alarms.append(found.p_value < 0.05)
        pooled.append(ttest_ind(control, treatment).pvalue < 0.05)
        found = compare_means(control, treatment + 0.5)
        held.append(found.lower <= 0.5 <= found.upper)
        lifts.append(found.lift_lower <= 0.5 <= found.lift_upper)
    assert is_about(alarms, 0.05)
    assert is_about(held, 0.95)
    assert is_about(lifts, 0.95)
    assert not is_about(pooled, 0.05)


@pytest.mark.parametrize("sizes", [(300, 300), (80, 720)])
def test_a_covariate_keeps_the_level_and_gains_power(sizes):
    rng = np.random.default_rng(1)
    alarms, held, found_effect, plain = [], [], [], []
    for _ in range(N):
        before = [rng.gamma(2.0, 1.0, n) for n in sizes]
        values = [2 + 0.8 * (x - 2) + 0.85 * rng.standard_normal(x.size) for x in before]
        pair = tuple(before)
        found = compare_means(*values, covariate=pair)
        alarms.append(found.p_value < 0.05)
        values[1] += 0.25
        found = compare_means(*values, covariate=pair)
        held.append(found.lower <= 0.25 <= found.upper)
        found_effect.append(found.p_value < 0.05)
        plain.append(compare_means(*values).p_value < 0.05)
    assert is_about(alarms, 0.05)
    assert is_about(held, 0.95)
    assert sum(found_effect) > 1.3 * sum(plain)


def test_ratios_by_user_and_not_by_impression():
    rng = np.random.default_rng(2)
    n = 400
    arm = np.repeat(["control", "treatment"], n)
    alarms, adjusted, held, naive = [], [], [], []
    for _ in range(N):
        rate = rng.beta(1.0, 9.0, 2 * n)
        views, before = rng.poisson(rng.gamma(1.0, 8.0, 2 * n), (2, 2 * n))
        clicks, past = rng.binomial(views, rate), rng.binomial(before, rate)
        alarms.append(compare_ratios(clicks, views, arm).p_value < 0.05)
        found = compare_ratios(clicks, views, arm, covariate=(past, before))
        adjusted.append(found.p_value < 0.05)
        held.append(found.lift_lower <= 0 <= found.lift_upper)
        sums, sizes = ([part[:n].sum(), part[n:].sum()] for part in (clicks, views))
        share = sum(sums) / sum(sizes)
        spread = np.sqrt(share * (1 - share) * sum(1 / size for size in sizes))
        z = (sums[1] / sizes[1] - sums[0] / sizes[0]) / spread
        naive.append(2 * ndtr(-abs(z)) < 0.05)
    assert is_about(alarms, 0.05)
    assert is_about(adjusted, 0.05)
    assert is_about(held, 0.95)
    assert not is_about(naive, 0.05)


def test_a_guardrail_at_its_margin():
    rng = np.random.default_rng(3)
    verdicts = [
        guardrail(
            compare_means(rng.normal(2, 1, 200), rng.normal(1.9, 1, 200)), 0.05, relative=True
        ).verdict
        for _ in range(N)
    ]
    assert is_about([verdict == "held" for verdict in verdicts], 0.025)
    assert is_about([verdict == "broken" for verdict in verdicts], 0.025)


def test_the_size_that_was_asked_for_has_the_power():
    rng = np.random.default_rng(4)
    size = sample_size(2.0, 0.1, variance=4.0, power=0.8)
    found = [
        compare_means(
            Moments.of(rng.normal(2, 2, size.control)), Moments.of(rng.normal(2.2, 2, size.control))
        ).p_value
        < 0.05
        for _ in range(N)
    ]
    assert is_about(found, 0.8)


# Assignment


def test_salts_split_evenly_and_independently():
    units = np.arange(2_000)
    treated = np.array([assign(units, salt=f"salt {i}") == "treatment" for i in range(N)])
    share = treated.mean(axis=1)
    even = 2 * ndtr(-np.abs(2 * share - 1) * np.sqrt(units.size))
    assert is_about(even < 0.05, 0.05)
    both = np.array([np.corrcoef(one, other)[0, 1] for one, other in itertools.pairwise(treated)])
    assert is_about(2 * ndtr(-np.abs(both) * np.sqrt(units.size)) < 0.05, 0.05)
    parity = np.array([np.corrcoef(one, units % 2)[0, 1] for one in treated])
    assert is_about(2 * ndtr(-np.abs(parity) * np.sqrt(units.size)) < 0.05, 0.05)


def test_units_fall_evenly_into_buckets():
    counts = np.bincount(bucket(np.arange(200_000), salt="layer", n_buckets=N), minlength=N)
    z = (counts - 400) / np.sqrt(400 * (1 - 1 / N))
    assert is_about(np.abs(z) > 1.96, 0.05)


def test_sample_ratios():
    rng = np.random.default_rng(5)
    for shares in ([0.5, 0.5], [0.1, 0.9], [0.5, 0.25, 0.25]):
        counts = rng.multinomial(8_000, shares, N)
        alarms = [sample_ratio_test(row, shares).p_value < 0.05 for row in counts.tolist()]
        assert is_about(alarms, 0.05)
    few = rng.multinomial(25, [0.5, 0.5], N).tolist()
    assert is_at_most([sample_ratio_test(row).p_value < 0.05 for row in few], 0.05)
    lost = [[row[0], row[1] - 600] for row in rng.multinomial(8_000, [0.5, 0.5], 50).tolist()]
    assert all(sample_ratio_test(row).mismatch for row in lost)


# Looking again and again


@pytest.fixture(scope="module")
def looks():
    """Differences and standard errors up to each of 25 looks, one row an experiment."""
    rng = np.random.default_rng(6)
    steps = rng.standard_normal((N, 25)) * np.sqrt(2 / 100)
    size = np.arange(1, 26)
    return steps.cumsum(axis=1) / size, np.sqrt(2 / (100 * size))


@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_always_valid_may_be_looked_at_every_day(looks, alternative):
    difference, stderr = looks
    alarms, held = [], []
    for path in difference[:200]:
        now, inside = None, True
        for day, gap in enumerate(path):
            n = 100 * (day + 1)
            arms = (
                Moments(n, 1.0, n * stderr[day] ** 2 / 2),
                Moments(n, 1.0 + gap, n * stderr[day] ** 2 / 2),
            )
            now = always_valid(*arms, mde=0.1, alternative=alternative, previous=now)
            inside &= now.lower <= 0 <= now.upper
        alarms.append(now.rejected)
        held.append(inside)
    assert is_at_most(alarms, 0.05)
    assert is_at_most(~np.array(held), 0.05)


def test_a_fixed_test_may_not(looks):
    difference, stderr = looks
    assert not is_at_most((np.abs(difference / stderr) > 1.96).any(axis=1), 0.05)
    assert is_about(np.abs(difference[:, -1] / stderr[-1]) > 1.96, 0.05)


@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock"])
def test_planned_looks_together_have_the_level(looks, spending):
    difference, stderr = looks
    design = GroupSequential(5, spending=spending)
    rejected = []
    for path in difference:
        z = path[4::5] / stderr[4::5]
        crossed = np.flatnonzero(np.abs(z) >= design.bounds)
        rejected.append(crossed.size > 0)
        if crossed.size:
            assert design.test(float(z[crossed[0]]), int(crossed[0]) + 1).verdict == "reject"
    assert is_about(rejected, 0.05)


def test_a_harmless_change_is_seldom_rolled_back():
    """Exactly as bad as the margin lets it be, which is the worst that is harmless."""
    rng = np.random.default_rng(7)
    ramp = Ramp({"clicks": Guard(margin=0.1)}, steps=(0.1, 0.5, 1), min_days=3, min_units=50)
    back = {0.9: [], 0.6: []}
    for change, ended in back.items():
        for _ in range(150):
            day = pd.Timestamp("2026-03-01")
            state, share, seen, action = ramp.start(day), 0.1, None, None
            for _ in range(20):
                day += pd.Timedelta(days=1)
                treated = int(rng.binomial(600, share))
                new = (
                    Moments.of(rng.poisson(1.0, 600 - treated)),
                    Moments.of(rng.poisson(change, treated)),
                )
                seen = new if seen is None else (seen[0] + new[0], seen[1] + new[1])
                action = ramp.look(state, {"clicks": seen}, time=day)
                state = action.state
                if action.action == "advance":
                    share, seen = action.share, None
                if state.status != "running":
                    break
            ended.append(action.action == "rollback")
    assert is_at_most(back[0.9], 0.05)
    assert sum(back[0.6]) > 140


# Many metrics


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_families_of_metrics(correlation):
    rng = np.random.default_rng(8)
    common = np.sqrt(correlation) * rng.standard_normal((N, 1))
    z = common + np.sqrt(1 - correlation) * rng.standard_normal((N, 12))
    z[:, :3] += 3.0
    p = 2 * ndtr(-np.abs(z))
    strict = np.array([holm(row) for row in p]) < 0.05
    loose = np.array([benjamini_hochberg(row) for row in p]) < 0.05
    assert is_at_most(strict[:, 3:].any(axis=1), 0.05)
    assert not is_at_most((p[:, 3:] < 0.05).any(axis=1), 0.05)
    false = loose[:, 3:].sum(axis=1) / np.maximum(loose.sum(axis=1), 1)
    # A mean of shares varies less than one of coins with the same chance.
    assert false.sum() <= binom.isf(TAIL, N, 0.05)
    assert loose[:, :3].sum() > strict[:, :3].sum()


def test_whole_reports_and_the_rule():
    rng = np.random.default_rng(9)
    n, users = 150, 300
    rule = DecisionRule("ctr", min_days=7)
    decided, secondary, shipped = [], [], []
    for _ in range(n):
        user = np.repeat(np.arange(users), 1 + rng.poisson(3.0, users))
        log = pd.DataFrame(
            {
                "user": user,
                "arm": np.where(rng.random(users) < 0.5, "control", "treatment")[user],
                "click": rng.random(user.size) < rng.beta(2.0, 8.0, users)[user],
                "dwell": rng.gamma(2.0, 1.0, users)[user] + rng.normal(size=user.size),
            }
        )
        metrics = {"ctr": ("click", 1), "views": 1, "dwell": "dwell", "each": ("dwell", 1)}
        report = compare(log, unit="user", arm="arm", metrics=metrics, primary="ctr")
        decided.append(report.row("ctr").verdict != "unclear")
        others = [row.verdict for row in report.rows if row.role == "secondary"]
        secondary.append(any(verdict != "unclear" for verdict in others))
        shipped.append(rule.decide(report, days=7).action == "ship")
    assert is_at_most(decided, 0.05)
    assert is_at_most(secondary, 0.05)
    assert is_at_most(shipped, 0.025)


# Interleaving and clusters


def test_interleaving_of_users_who_have_their_own_taste():
    """Half of them like one ranking, half the other; lists of one user are alike."""
    rng = np.random.default_rng(10)
    users = 40
    signs, sizes, alone = [], [], []
    for _ in range(N):
        user = np.repeat(np.arange(users), rng.geometric(0.25, users))
        orders = rng.random((2, users, 6)).argsort(axis=2)
        coin = rng.random((user.size, 3)) < 0.5
        order, team = team_draft_orders(orders[0][user], orders[1][user], coin)
        likes = rng.random((users, 6)) < 0.3
        liked = np.take_along_axis(likes[user], order, axis=1)
        click = rng.random(order.shape) < 0.8 * liked / np.arange(1, 7)
        credit = [(click & (team == side)).sum(axis=1) for side in (0, 1)]
        found = interleaving_test(*credit, unit=user)
        signs.append(found.p_value < 0.05)
        sizes.append(found.difference_p_value < 0.05)
        alone.append(interleaving_test(*credit).difference_p_value < 0.05)
    assert is_at_most(signs, 0.05)
    assert is_about(sizes, 0.05)
    assert not is_about(alone, 0.05)


@pytest.mark.parametrize(("size", "permutations"), [(12, 0), (4, 70)])
def test_clusters(size, permutations):
    rng = np.random.default_rng(11)
    arm_of = np.repeat(["control", "treatment"], size)
    alarms, held, naive = [], [], []
    for _ in range(N):
        cluster = np.repeat(np.arange(2 * size), 5 + rng.poisson(15, 2 * size))
        arm = arm_of[cluster]
        value = 0.4 * rng.standard_normal(2 * size)[cluster] + rng.standard_normal(cluster.size)
        if permutations:
            found = compare_clusters(value, cluster, arm, n_permutations=permutations)
            assert found.exact
            alarms.append(found.permutation_p_value <= 0.05)
        else:
            found = compare_clusters(value, cluster, arm)
            alarms.append(found.comparison.p_value < 0.05)
            moved = value + 0.3 * (arm == "treatment")
            found = compare_clusters(moved, cluster, arm)
            held.append(found.comparison.lower <= 0.3 <= found.comparison.upper)
        naive.append(
            compare_means(value[arm == "control"], value[arm == "treatment"]).p_value < 0.05
        )
    assert is_at_most(alarms, 0.05)
    assert sum(alarms) > 0
    if not permutations:
        assert is_about(alarms, 0.05)
        assert is_about(held, 0.95)
    assert not is_about(naive, 0.05)


# The world


def only(policy: float):
    """Return a policy that ranks by the price, up or down."""
    return lambda requests, candidates: policy * candidates["price"].to_numpy()


def test_an_experiment_on_the_world_shows_what_its_twins_show():
    """Without interference a user does in an arm what the user does where all are in it."""
    world = World("feed", n_users=300, random_state=12)
    world.serve(only(1.0), 2)
    arms = {"control": only(1.0), "treatment": only(-1.0)}
    twins = {name: world.copy().serve(policy, 3) for name, policy in arms.items()}
    log = world.copy().serve(arms, 3, assign=lambda users: assign(users, salt="twins"))
    for name, twin in twins.items():
        users = log.loc[log["policy"] == name, "user_id"].unique()
        assert users.size > 20
        columns = ["user_id", "time", "doc_id", "position", "click", "dwell", "value"]
        mine, theirs = (
            part.loc[part["user_id"].isin(users), columns].reset_index(drop=True)
            for part in (log, twin)
        )
        pd.testing.assert_frame_equal(mine, theirs)


def test_splits_of_a_log_of_the_world():
    world = World("feed", n_users=400, random_state=13)
    log = world.serve(only(1.0), 4)
    sums = log.groupby("user_id").agg(clicks=("click", "sum"), views=("click", "size"))
    ratios, means = [], []
    for i in range(N):
        arm = assign(sums.index, salt=f"A/A {i}")
        ratios.append(compare_ratios(sums["clicks"], sums["views"], arm).p_value < 0.05)
        clicks, treated = sums["clicks"].to_numpy(), arm == "treatment"
        means.append(compare_means(clicks[~treated], clicks[treated]).p_value < 0.05)
    assert is_about(ratios, 0.05)
    assert is_about(means, 0.05)
