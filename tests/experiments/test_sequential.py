"""Boundaries against published tables, exact integrals and simulation; always-valid inference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from mlsd._validation import UndefinedMetricWarning
from mlsd.experiments._mixture import half_width, log_ratio
from mlsd.experiments._recursion import crossings
from mlsd.experiments.comparison import compare_means, compare_ratios
from mlsd.experiments.moments import Moments
from mlsd.experiments.planning import sample_size
from mlsd.experiments.sequential import GroupSequential, always_valid, always_valid_path

NAMES = ("obrien-fleming", "pocock", "hwang-shih-decani")
SPENDING = st.sampled_from(NAMES)
FRACTIONS = st.lists(st.floats(0.02, 0.95), min_size=0, max_size=6, unique=True).map(
    lambda times: [*sorted(times), 1.0]
)


def apart(times: list[float]) -> bool:
    return bool((np.diff(times) >= 0.01).all())


# --- the integration ----------------------------------------------------------------------------


def flat(looks: int, bound: float, drift: float = 0.0) -> float:
    below, above = crossings(
        np.arange(1, looks + 1) / looks, [-bound] * looks, [bound] * looks, drift
    )
    return float(below.sum() + above.sum())


# Armitage, McPherson and Rowe (1969), table 2; Jennison and Turnbull (2000), table 1.1: the chance
# of a false alarm when every one of K equal looks is tested at 5 %.
@pytest.mark.parametrize(
    ("looks", "published"),
    [(1, 0.050), (2, 0.083), (3, 0.107), (4, 0.126), (5, 0.142), (10, 0.193), (20, 0.248)],
)
def test_naive_peeking_against_the_published_table(looks, published):
    assert flat(looks, stats.norm.ppf(0.975)) == pytest.approx(published, abs=0.0005)


# Jennison and Turnbull (2000), tables 2.1 and 2.3: constants of Pocock and of O'Brien and Fleming
# for a two-sided test at 5 %.
@pytest.mark.parametrize(
    ("looks", "pocock", "obrien_fleming"),
    [
        (2, 2.178, 1.977),
        (3, 2.289, 2.004),
        (4, 2.361, 2.024),
        (5, 2.413, 2.040),
        (10, 2.555, 2.087),
    ],
)
def test_constants_against_the_published_tables(looks, pocock, obrien_fleming):
    t = np.arange(1, looks + 1) / looks

    def alarms(bounds):
        below, above = crossings(t, -bounds, bounds)
        return float(below.sum() + above.sum())

    found = optimize.brentq(lambda c: alarms(np.full(looks, c)) - 0.05, 1.5, 4)
    assert found == pytest.approx(pocock, abs=0.0006)
    found = optimize.brentq(lambda c: alarms(c / np.sqrt(t)) - 0.05, 1.5, 4)
    assert found == pytest.approx(obrien_fleming, abs=0.0006)


def test_sample_sizes_against_those_sas_publishes():
    # SAS/STAT 14.2, SEQDESIGN, example 103.3, Pocock, 4 stages, two-sided 5 %, power 90 %: greatest
    # and expected information in percent of one look.
    bound = optimize.brentq(lambda c: flat(4, c) - 0.05, 2, 3)

    def found(drift):  # a rejection on the wrong side is no power
        return crossings(np.arange(1, 5) / 4, [-bound] * 4, [bound] * 4, drift)[1].sum()

    drift = optimize.brentq(lambda d: found(d) - 0.9, 2, 5)
    one = stats.norm.ppf(0.975) + stats.norm.ppf(0.9)
    ratio = (drift / one) ** 2
    # Theirs is good to a millionth: finer nodes do not move a digit of ours.
    assert 100 * ratio == pytest.approx(118.3143, rel=1e-6)
    for effect, published in ((0.0, 115.6074), (drift, 69.74805)):
        below, above = crossings(np.arange(1, 5) / 4, [-bound] * 4, [bound] * 4, effect)
        stop = below + above
        stop[-1] = 1 - stop[:-1].sum()
        mean = (stop @ np.arange(1, 5)) / 4
        assert 100 * ratio * mean == pytest.approx(published, rel=1e-6)


@pytest.mark.parametrize("drift", [0.0, 2.5])
@pytest.mark.parametrize("t", [0.001, 0.2, 0.5, 0.999])
def test_two_looks_against_one_integral(t, drift):
    one, two = (-2.2, 2.7), (-1.9, 2.0)
    below, above = crossings([t, 1.0], [one[0], two[0]], [one[1], two[1]], drift)

    def density(z, bound, side):
        mean = math.sqrt(t) * z + drift * (1 - t)
        beyond = stats.norm.cdf(side * (mean - bound) / math.sqrt(1 - t))
        return stats.norm.pdf(z - drift * math.sqrt(t)) * beyond

    for got, bound, side in ((above[1], two[1], 1), (below[1], two[0], -1)):
        places = [bound / math.sqrt(t)] if abs(bound / math.sqrt(t)) < 2 else None
        exact = integrate.quad(
            density, *one, args=(bound, side), points=places, epsabs=1e-12, limit=500
        )[0]
        assert got == pytest.approx(exact, abs=1e-10)
    assert above[0] == pytest.approx(stats.norm.sf(one[1] - drift * math.sqrt(t)), abs=1e-14)


def test_three_looks_against_a_multivariate_normal():
    t = np.array([0.2, 0.35, 1.0])
    bounds = np.array([3.0, 2.5, 2.1])
    below, above = crossings(t, -bounds, bounds, 1.3)
    stay = stats.multivariate_normal(
        1.3 * np.sqrt(t), np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    ).cdf(bounds, lower_limit=-bounds, rng=np.random.default_rng(0))
    assert 1 - below.sum() - above.sum() == pytest.approx(stay, abs=2e-5)


# --- boundaries ---------------------------------------------------------------------------------

# Computed by the programs of Reboussin, DeMets, Kim and Lan (2000, Controlled Clinical Trials
# 21(3)), as R's ldbounds and gsDesign print them: two-sided 5 %, equal looks. They integrate on
# coarse grids: their last digit may be off by one.
PUBLISHED = {
    ("obrien-fleming", 2): [2.9626, 1.9686],
    ("obrien-fleming", 3): [3.7103, 2.5114, 1.9930],
    ("obrien-fleming", 4): [4.3326, 2.9631, 2.3590, 2.0141],
    ("obrien-fleming", 5): [4.8769, 3.3569, 2.6803, 2.2898, 2.0310],
    ("pocock", 5): [2.4380, 2.4268, 2.4101, 2.3966, 2.3859],
}


@pytest.mark.parametrize(("which", "published"), PUBLISHED.items(), ids=str)
def test_boundaries_against_the_published(which, published):
    np.testing.assert_allclose(
        GroupSequential(which[1], spending=which[0]).bounds, published, atol=1.6e-4
    )


def test_a_one_sided_boundary_against_the_published():
    # The README of SeqBounds.jl: one-sided 5 %, O'Brien-Fleming spending, step 0.05.
    design = GroupSequential([0.25, 0.5, 0.75, 1.0], alternative="greater")
    np.testing.assert_allclose(design.bounds, [3.74955, 2.53993, 2.01604, 1.72014], atol=5e-5)
    np.testing.assert_allclose(design.spent, [8.85754e-5, 0.0055746, 0.0236251, 0.05], rtol=1e-5)


def spent_by_formula(name, t, alpha, gamma):
    """Return the alpha spent by time t, both sides, as the papers write it."""
    if name == "obrien-fleming":
        return 2 * (2 - 2 * stats.norm.cdf(stats.norm.ppf(1 - alpha / 4) / math.sqrt(t)))
    if name == "pocock":
        return alpha * math.log(1 + (math.e - 1) * t)
    if gamma == 0:
        return alpha * t
    return alpha * (1 - math.exp(-gamma * t)) / (1 - math.exp(-gamma))


@settings(max_examples=60, deadline=None)
@given(
    times=FRACTIONS.filter(apart),
    name=SPENDING,
    alpha=st.floats(0.005, 0.3),
    gamma=st.sampled_from([-8.0, -4.0, 0.0, 1.0]),
)
def test_each_look_spends_what_its_function_says(times, name, alpha, gamma):
    design = GroupSequential(times, alpha=alpha, spending=name, gamma=gamma)
    expected = [spent_by_formula(name, t, alpha, gamma) for t in times]
    np.testing.assert_allclose(design.spent, expected, rtol=1e-9, atol=1e-15)
    below, above = crossings(times, -design.bounds, design.bounds)
    np.testing.assert_allclose(np.cumsum(below + above), expected, atol=1e-10)
    assert design.power(0.0) == pytest.approx(alpha / 2, abs=1e-10)
    one = GroupSequential(times, alpha=alpha / 2, spending=name, gamma=gamma, alternative="less")
    np.testing.assert_allclose(one.spent, np.array(expected) / 2, rtol=1e-9, atol=1e-15)
    _, above = crossings(times, np.full(len(times), -np.inf), one.bounds)
    np.testing.assert_allclose(np.cumsum(above), one.spent, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(times=FRACTIONS.filter(apart), name=SPENDING, drift=st.floats(0.5, 4))
def test_looks_cost_power_and_save_time(times, name, drift):
    design = GroupSequential(times, spending=name)
    assert 0.025 < design.power(drift) <= GroupSequential(1).power(drift) + 1e-9
    assert design.power(-drift) == pytest.approx(design.power(drift), abs=1e-10)
    assert design.expected_fraction(drift) <= design.expected_fraction(0.0) + 1e-12
    assert design.inflation(0.8) >= 1 - 1e-9
    assert design.power(design.drift(0.8)) == pytest.approx(0.8, abs=1e-9)


def test_one_look_is_the_test_without_looks():
    design = GroupSequential(1)
    assert design.bounds.tolist() == pytest.approx([stats.norm.ppf(0.975)], abs=1e-12)
    got = design.test(2.5, 1, stderr=0.2)
    assert (got.verdict, got.p_value) == ("reject", pytest.approx(2 * stats.norm.sf(2.5)))
    assert got.estimate == got.adjusted == pytest.approx(0.5)
    half = stats.norm.ppf(0.975) * 0.2
    for low, high in ((got.lower, got.upper), (got.adjusted_lower, got.adjusted_upper)):
        assert (low, high) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half))


def test_an_interval_far_out():
    got = GroupSequential(2, alpha=1e-7).test(1.0, 2)
    half = stats.norm.isf(5e-8)
    # One look in all but name: the first may spend next to nothing.
    assert got.adjusted_upper == pytest.approx(1 + half, abs=1e-3)
    assert got.adjusted_lower == pytest.approx(1 - half, abs=1e-3)


# --- what was in fact looked at -----------------------------------------------------------------


def test_bounds_of_looks_gone_by_do_not_change():
    plan = GroupSequential(4)
    np.testing.assert_allclose(plan.observed([0.25]).bounds, plan.bounds[:1])
    np.testing.assert_allclose(plan.observed([0.25, 0.5]).bounds, plan.bounds[:2])
    np.testing.assert_allclose(plan.observed([0.25, 0.5, 0.75, 1.0]).bounds, plan.bounds)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("times", "final"),
    [([0.25, 0.75, 1.0], False), ([0.1, 0.6, 1.3], False), ([0.3, 0.8], True), ([0.8], True)],
    ids=["skipped", "overrun", "stopped short", "one look"],
)
def test_looks_other_than_planned_keep_alpha(name, times, final):
    design = GroupSequential(4, spending=name).observed(times, final=final)
    assert design.ended
    below, above = crossings(times, -design.bounds, design.bounds)
    assert below.sum() + above.sum() == pytest.approx(0.05, abs=1e-10)
    assert design.spent[-1] == 0.05
    rng = np.random.default_rng(2)
    steps = rng.normal(size=(60_000, len(times))) * np.sqrt(np.diff(times, prepend=0))
    z = steps.cumsum(axis=1) / np.sqrt(times)
    share = float((np.abs(z) >= design.bounds).any(axis=1).mean())
    assert share == pytest.approx(0.05, abs=3 * math.sqrt(0.0475 / 60_000))


def test_looks_that_have_not_ended_go_on():
    so_far = GroupSequential(4).observed([0.25, 0.6])
    assert not so_far.ended
    assert so_far.spent[-1] < 0.05
    assert so_far.test(0.0, 2).verdict == "continue"
    assert so_far.observed([0.25, 0.6], final=True).test(0.0, 2).verdict == "end"


# --- a look ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alternative", "z", "verdict"),
    [
        ("two-sided", 2.69, "reject"),
        ("two-sided", -2.69, "reject"),
        ("two-sided", 2.67, "continue"),
        ("greater", 2.4, "reject"),
        ("greater", -5.0, "continue"),
        ("less", -2.4, "reject"),
        ("less", 5.0, "continue"),
    ],
)
def test_the_side_of_a_look(alternative, z, verdict):
    got = GroupSequential(5, alternative=alternative).test(z, 3)
    assert got.verdict == verdict
    if alternative != "two-sided":
        assert math.isinf(got.lower if alternative == "less" else got.upper)
    assert math.isnan(got.p_value) == (verdict == "continue")
    assert math.isnan(got.adjusted) == (verdict == "continue")


def test_less_mirrors_greater():
    up = GroupSequential(4, alternative="greater").test(2.6, 3, stderr=0.1)
    down = GroupSequential(4, alternative="less").test(-2.6, 3, stderr=0.1)
    assert up.p_value == pytest.approx(down.p_value, abs=1e-14)
    assert up.adjusted == pytest.approx(-down.adjusted)
    assert up.adjusted_lower == pytest.approx(-down.adjusted_upper)
    assert (up.adjusted_upper, down.adjusted_lower) == (math.inf, -math.inf)
    assert up.lower == pytest.approx(-down.upper)


def test_a_comparison_has_its_statistic():
    rng = np.random.default_rng(3)
    comparison = compare_means(rng.normal(0, 1, 500), rng.normal(0.3, 1, 500))
    got = GroupSequential(3).test(comparison, 2)
    assert got.estimate == pytest.approx(comparison.difference)
    assert got.z == pytest.approx(comparison.difference / comparison.stderr)
    assert got.lower == pytest.approx(comparison.difference - got.bound * comparison.stderr)


def simulated(design, drift, runs, seed):
    """Return the z of all looks, and the look at which each run stops."""
    step = np.diff(design.fractions, prepend=0)
    steps = (
        np.random.default_rng(seed).normal(size=(runs, step.size)) * np.sqrt(step) + drift * step
    )
    z = steps.cumsum(axis=1) / np.sqrt(design.fractions)
    crossed = (np.abs(z) if design.alternative == "two-sided" else z) >= design.bounds
    return z, np.where(crossed.any(axis=1), crossed.argmax(axis=1), step.size - 1)


@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
@pytest.mark.parametrize(("look", "z"), [(1, 3.0), (2, 2.6), (2, -2.7), (3, 2.5), (3, 0.4)])
def test_intervals_at_the_stop_against_simulated_outcomes(alternative, look, z):
    if alternative == "greater" and z < 0:
        return
    design = GroupSequential([0.3, 0.5, 1.0], spending="pocock", alternative=alternative)
    got = design.test(z, look, stderr=1 / math.sqrt(design.fractions[look - 1]))
    assert got.verdict != "continue"
    runs = 100_000

    def beyond(drift):
        """Return the share of runs whose outcome is at least as far up, in the stagewise order."""
        values, at = simulated(design, drift, runs, seed=4)
        end = np.take_along_axis(values, at[:, None], axis=1)[:, 0]
        if z < 0:  # stopped below: all but those who did so earlier, or now and lower
            lower = ((at < look - 1) & (end < 0)) | ((at == look - 1) & (end < z))
            return float(1 - lower.mean())
        return float((((at < look - 1) & (end > 0)) | ((at == look - 1) & (end >= z))).mean())

    if design.alternative == "greater":
        tail = got.p_value
    else:
        tail = got.p_value / 2 if z > 0 else 1 - got.p_value / 2
    each = 0.05 if alternative == "greater" else 0.025
    places = [(0.0, tail), (got.adjusted_lower, each), (got.adjusted, 0.5)]
    if alternative == "two-sided":
        places.append((got.adjusted_upper, 1 - each))
    for drift, share in places:
        error = math.sqrt(share * (1 - share) / runs)
        assert beyond(drift) == pytest.approx(share, abs=4 * error)


@pytest.mark.parametrize("drift", [0.0, 3.0])
def test_repeated_intervals_cover_at_all_looks_at_once(drift):
    design = GroupSequential(4)
    z, at = simulated(design, drift, 60_000, seed=5)
    off = np.abs(z - drift * np.sqrt(design.fractions)) > design.bounds
    error = 4 * math.sqrt(0.0475 / 60_000)
    assert off.any(axis=1).mean() == pytest.approx(0.05, abs=error)
    assert np.take_along_axis(off, at[:, None], axis=1).mean() <= 0.05 + error
    rejected = np.take_along_axis(np.abs(z) >= design.bounds, at[:, None], axis=1).mean()
    two_sided = 0.05 if drift == 0 else design.power(drift)
    assert rejected == pytest.approx(two_sided, abs=4 * math.sqrt(0.25 / 60_000))
    stopped = design.fractions[at].mean()
    assert stopped == pytest.approx(design.expected_fraction(drift), abs=0.003)


def test_the_table_of_a_design():
    table = GroupSequential(3).to_frame()
    assert table.index.tolist() == [1, 2, 3]
    assert table["nominal_p"].iloc[-1] == pytest.approx(2 * stats.norm.sf(1.9930), abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"looks": 0}, ValueError, "looks must be at least 1"),
        ({"looks": 5_000}, ValueError, "looks must be from 1 to 1000; got 5000.*always_valid"),
        ({"looks": True}, TypeError, "looks"),
        ({"looks": 2.5}, TypeError, "looks must be array-like"),
        ({"looks": []}, ValueError, "looks must be from 1 to 1000; got 0"),
        ({"looks": [0.5, 0.9]}, ValueError, "looks must rise to 1.*got 0.9 last.*observed"),
        ({"looks": [0.5, 0.4, 1.0]}, ValueError, "looks must rise"),
        ({"looks": [0.5, 0.50001, 1.0]}, ValueError, "looks must rise, by at least 1e-4"),
        ({"looks": [0.0, 1.0]}, ValueError, "looks must be finite fractions above 0"),
        ({"looks": [math.nan, 1.0]}, ValueError, "looks holds 1 NaN"),
        ({"alpha": 1.0}, ValueError, "alpha must lie strictly"),
        ({"spending": "obf"}, ValueError, "spending must be one of 'obrien-fleming'"),
        ({"gamma": math.inf}, ValueError, "gamma must be finite"),
        ({"alternative": "both"}, ValueError, "alternative must be one of"),
    ],
)
def test_bad_designs(arguments, error, match):
    with pytest.raises(error, match=match):
        GroupSequential(**({"looks": 3} | arguments))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda d: d.test(1.0, 0), ValueError, "look must be at least 1"),
        (lambda d: d.test(1.0, 4), ValueError, "look must be at most 3; got 4"),
        (lambda d: d.test(math.nan, 1), ValueError, "z must be finite"),
        (lambda d: d.test("2", 1), TypeError, "z must be a number"),
        (lambda d: d.test(1.0, 1, stderr=0), ValueError, "stderr must be finite and above 0"),
        (lambda d: d.power(math.nan), ValueError, "drift must be finite"),
        (lambda d: d.drift(0.025), ValueError, "power must be above the chance"),
        (lambda d: d.inflation(1.0), ValueError, "power must lie strictly"),
        (lambda d: d.observed([0.5, 1.0, 1.2]), ValueError, "the test has ended at 1"),
        (lambda d: d.observed([0.5, 0.5]), ValueError, "looks must rise"),
        (lambda d: d.observed([]), ValueError, "looks must be from 1"),
    ],
)
def test_bad_looks(call, error, match):
    with pytest.raises(error, match=match):
        call(GroupSequential(3))


# --- always valid ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("difference", [-0.05, 0.0, 0.02, 0.3])
@pytest.mark.parametrize("stderr", [0.01, 0.2])
def test_the_ratio_is_the_mean_over_the_prior(sides, difference, stderr):
    tau = 0.1

    def integrand(effect):
        weight = stats.norm.pdf(effect, 0, tau) * (2 if sides == 1 else 1)
        return weight * math.exp((difference * effect - effect**2 / 2) / stderr**2)

    peak = difference * tau**2 / (stderr**2 + tau**2)
    spread = stderr * tau / math.hypot(stderr, tau)
    low = max(0.0, peak - 12 * spread) if sides == 1 else peak - 12 * spread
    high = max(peak, 0.0) + 12 * spread
    exact = integrate.quad(integrand, low, high, epsabs=0, limit=200)[0]
    got = log_ratio(np.array([difference]), np.array([stderr]), tau, sides)[0]
    assert got == pytest.approx(math.log(exact), abs=1e-8)


@settings(max_examples=150, deadline=None)
@given(
    stderr=st.floats(1e-4, 1e3),
    tau=st.floats(1e-3, 1e3),
    alpha=st.floats(1e-6, 0.9),
    sides=st.sampled_from([1, 2]),
)
def test_at_the_bound_the_ratio_is_one_over_alpha(stderr, tau, alpha, sides):
    half = half_width(np.array([stderr]), tau, alpha, sides)
    assert log_ratio(half, np.array([stderr]), tau, sides)[0] == pytest.approx(
        -math.log(alpha), rel=1e-9, abs=1e-9
    )
    # By name: the asymptotic confidence sequence of Waudby-Smith et al., sigma = 1, n = 1/stderr².
    if sides == 2:
        n, rho = 1 / stderr**2, tau
        paper = math.sqrt(
            2 * (n * rho**2 + 1) / (n**2 * rho**2) * math.log(math.sqrt(n * rho**2 + 1) / alpha)
        )
        assert half[0] == pytest.approx(paper, rel=1e-9)


def test_the_least_effect_as_prior_is_near_the_best():
    size = sample_size(1.0, 0.1, relative=False, variance=1.0).control
    stderr = np.array([math.sqrt(2 / size)])
    grid = 0.1 * np.geomspace(0.1, 10, 2_001)
    widths = np.array([half_width(stderr, tau, 0.05, 2)[0] for tau in grid])
    assert half_width(stderr, 0.1, 0.05, 2)[0] <= 1.0001 * widths.min()
    fixed = stats.norm.ppf(0.975) * stderr[0]
    assert half_width(stderr, 0.1, 0.05, 2)[0] / fixed == pytest.approx(1.55, abs=0.005)


def looks_of(rng, looks, step, effect=0.0):
    """Return the arms up to each look."""
    arms = rng.normal([[0.0], [effect]], 1.0, (2, looks * step))
    return [tuple(arm[: step * (k + 1)] for arm in arms) for k in range(looks)]


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_the_path_is_the_looks_one_by_one(alternative):
    data = looks_of(np.random.default_rng(5), 12, 60, effect=0.2)
    margin = 0.0 if alternative == "two-sided" else 0.05
    options = {"mde": 0.2, "alternative": alternative, "margin": margin}
    results = []
    for control, treatment in data:
        results.append(
            always_valid(control, treatment, previous=results[-1] if results else None, **options)
        )
    differences = [result.difference for result in results]
    errors = [result.stderr if result.ready else math.nan for result in results]
    path = always_valid_path(differences, errors, **options)
    for name in ("lower", "upper", "p_value", "rejected"):
        assert path[name].tolist() == [getattr(result, name) for result in results]
    assert [result.ready for result in results] == [False] + [True] * 11
    assert (results[0].p_value, results[0].lower, results[0].upper) == (1.0, -math.inf, math.inf)
    assert [result.look for result in results] == list(range(1, 13))
    assert (np.diff(path["p_value"]) <= 0).all()


def test_inputs_that_say_the_same():
    control, treatment = looks_of(np.random.default_rng(6), 1, 300, effect=0.3)[0]
    expected = always_valid(control, treatment, mde=0.1)
    assert always_valid(Moments.of(control), Moments.of(treatment), tau=0.1) == expected
    assert always_valid(compare_means(control, treatment), tau=0.1) == expected
    with_past = compare_means(control, treatment, covariate=(control + 1, treatment * 0.5))
    narrower = always_valid(with_past, tau=0.1)
    assert narrower.upper - narrower.lower < expected.upper - expected.lower


def test_a_ratio_and_a_lift():
    rng = np.random.default_rng(7)
    views = rng.poisson(5, 4_000) + 1
    clicks = rng.binomial(views, np.where(np.arange(4_000) < 2_000, 0.2, 0.25))
    arm = np.where(np.arange(4_000) < 2_000, "control", "treatment")
    comparison = compare_ratios(clicks, views, arm)
    got = always_valid(comparison, mde=0.1, relative=True)
    assert got.difference == pytest.approx(comparison.lift)
    # The bootstrap over users knows nothing of the delta method.
    lifts = []
    for _ in range(400):
        one = rng.integers(0, 2_000, 2_000)
        two = rng.integers(2_000, 4_000, 2_000)
        lifts.append(
            clicks[two].sum() / views[two].sum() / (clicks[one].sum() / views[one].sum()) - 1
        )
    assert got.stderr == pytest.approx(np.std(lifts), rel=0.12)
    assert got.rejected
    less = always_valid(comparison, mde=0.1, relative=True, alternative="less", margin=0.02)
    assert not less.rejected
    assert (less.lower, less.p_value) == (-math.inf, 1.0)


@pytest.mark.parametrize(
    ("alternative", "effect", "margin"),
    [("two-sided", 0.0, 0.0), ("greater", -0.03, 0.03), ("less", 0.03, 0.03)],
)
def test_false_alarms_and_coverage_over_all_looks(alternative, effect, margin):
    rng = np.random.default_rng(8)
    runs, looks, step = 2_000, 120, 100
    n = step * np.arange(1, looks + 1)
    clicks = rng.binomial(step, [[[0.10]], [[0.10 + effect]]], (2, runs, looks)).cumsum(axis=2)
    mean = clicks / n
    difference = mean[1] - mean[0]
    stderr = np.sqrt((mean * (1 - mean) / (n - 1)).sum(axis=0))
    paths = [
        always_valid_path(d, s, mde=0.03, alternative=alternative, margin=margin)
        for d, s in zip(difference[:300], stderr[:300], strict=True)
    ]
    ever = np.mean([path["rejected"].iloc[-1] for path in paths])
    sides = 2 if alternative == "two-sided" else 1
    half = half_width(stderr, 0.03, 0.05, sides)
    off = {
        "two-sided": np.abs(difference - effect),
        "greater": difference - effect,
        "less": effect - difference,
    }[alternative]
    misses = (off > half).any(axis=1)
    assert misses[:300].mean() == ever  # at the edge of the null both are one event
    assert misses.mean() <= 0.05
    assert misses.mean() > 0.002  # it is a test, not a refusal
    peeking = (off > stats.norm.ppf(1 - 0.05 / sides) * stderr).any(axis=1)
    assert peeking.mean() > 0.25


@pytest.mark.parametrize(("sizes", "rate"), [((4_900, 100), 0.01), ((100, 900), 0.002)])
@pytest.mark.parametrize("relative", [False, True])
def test_a_small_arm_without_events_gives_no_alarm(sizes, rate, relative):
    rng = np.random.default_rng(10)
    runs, looks = 300, 15
    units = np.multiply.outer(np.array(sizes), np.arange(1, looks + 1))
    events = np.stack([rng.binomial(size, rate, (runs, looks)).cumsum(axis=1) for size in sizes])
    mean = events / units[:, None]
    variance = mean * (1 - mean) * (units / (units - 1))[:, None]
    error = np.sqrt((variance / units[:, None]).sum(axis=0))
    gap = mean[1] - mean[0]
    welch = (log_ratio(gap, error, rate, 2).max(axis=1) >= math.log(20)).mean()
    assert welch > 0.2  # it is a trap
    alarms = 0
    for run in range(runs):
        result = None
        for look in range(looks):
            if not variance[:, run, look].any():
                continue  # no event at all: the comparison would warn
            arms = [
                Moments(int(size), float(value), float(spread))
                for size, value, spread in zip(
                    units[:, look], mean[:, run, look], variance[:, run, look], strict=True
                )
            ]
            mde = 1.0 if relative else rate
            result = always_valid(*arms, mde=mde, relative=relative, previous=result)
        alarms += result is not None and result.rejected
    assert alarms / runs <= 0.05


def test_a_lift_waits_for_a_control_above_0():
    def say(events, relative):
        rate = events / 10_000
        control = Moments(10_000, rate, rate * (1 - rate) * 10_000 / 9_999)
        treatment = Moments(10_000, 3 * rate, 3 * rate * (1 - 3 * rate))
        return always_valid(
            control, treatment, mde=rate if not relative else 1.0, relative=relative
        )

    assert not say(90, relative=True).ready
    assert say(90, relative=True).upper == math.inf
    assert say(90, relative=False).ready
    assert say(110, relative=True).ready
    assert say(110, relative=True).rejected
    nothing = Moments(10_000, 0.0, 0.0)
    got = always_valid(nothing, Moments(10_000, 0.01, 0.0099), mde=0.1, relative=True)
    assert (got.ready, got.p_value) == (False, 1.0)
    assert math.isnan(got.difference)


def test_the_error_is_no_less_than_the_pooled_one():
    rng = np.random.default_rng(11)
    past = rng.normal(5, 2, 30_000)
    values = 0.8 * past + rng.normal(0, 1, past.size)
    control, treatment = (values[:27_000], past[:27_000]), (values[27_000:], past[27_000:])
    plain = compare_means(control[0], treatment[0])
    got = always_valid(plain, mde=0.1)
    pooled = np.var(values, ddof=1) * (1 / 27_000 + 1 / 3_000)
    assert got.stderr >= plain.stderr
    assert got.stderr == pytest.approx(math.sqrt(pooled), rel=0.02)
    # A covariate keeps what it gains: the pooled variance is that of what it leaves.
    adjusted = compare_means(control[0], treatment[0], covariate=(control[1], treatment[1]))
    assert adjusted.variance_reduction > 0.6
    got = always_valid(adjusted, mde=0.1)
    assert adjusted.stderr <= got.stderr <= 1.03 * adjusted.stderr
    # Arms of one size: Welch's error and the pooled one are the same.
    even = compare_means(values[:500], 3 * values[500:1_000])
    assert always_valid(even, mde=0.1).stderr == pytest.approx(even.stderr, rel=1e-12)


def test_it_finds_what_is_there():
    data = looks_of(np.random.default_rng(9), 40, 100, effect=0.2)
    result = None
    for control, treatment in data:
        result = always_valid(control, treatment, mde=0.2, previous=result)
    assert result.rejected
    assert result.lower > 0
    assert result.lower < 0.2 < result.upper


def test_nothing_is_said_without_variance():
    with pytest.warns(UndefinedMetricWarning, match="constant in both arms"):
        got = always_valid(np.zeros(200), np.zeros(200), mde=0.1)
    assert (got.ready, got.p_value, got.lower, got.upper) == (False, 1.0, -math.inf, math.inf)
    path = always_valid_path([0.0, math.nan, 0.4, 0.1], [0.0, 0.1, 0.1, math.nan], mde=0.1)
    assert path["p_value"].iloc[1] == 1.0
    assert path["p_value"].iloc[2] == path["p_value"].iloc[3] < 0.05
    assert np.isinf(path["lower"].iloc[[0, 1, 3]]).all()
    assert always_valid_path([], [], mde=0.1).empty


ARM = np.arange(200.0)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((ARM, ARM), {}, ValueError, "pass one of mde and tau; got mde=None, tau=None"),
        ((ARM, ARM), {"mde": 1, "tau": 1}, ValueError, "pass one of mde and tau"),
        ((ARM, ARM), {"mde": -0.1}, ValueError, "mde must be finite and above 0"),
        ((ARM, ARM), {"tau": 0.0}, ValueError, "tau must be finite and above 0"),
        ((ARM, ARM), {"tau": "a"}, TypeError, "tau must be a number"),
        ((ARM, ARM), {"tau": 1, "alpha": 0}, ValueError, "alpha must lie"),
        ((ARM, ARM), {"tau": 1, "alternative": "x"}, ValueError, "alternative must be one of"),
        ((ARM, ARM), {"tau": 1, "margin": 0.1}, ValueError, "margin is 0.1, which goes with"),
        ((ARM, ARM), {"tau": 1, "relative": 1}, TypeError, "relative must be True or False"),
        ((ARM, ARM), {"tau": 1, "min_units": 0}, ValueError, "min_units must be at least 1"),
        ((ARM, ARM), {"tau": 1, "previous": 0.2}, TypeError, "previous must be an AlwaysValid"),
        ((ARM,), {"tau": 1}, TypeError, "treatment is missing"),
        ((compare_means(ARM, ARM), ARM), {"tau": 1}, TypeError, "treatment must be left out"),
        (([], ARM), {"tau": 1}, ValueError, "control"),
        ((ARM, [1.0, math.nan]), {"tau": 1}, ValueError, "treatment"),
    ],
)
def test_bad_always_valid(arguments, options, error, match):
    with pytest.raises(error, match=match):
        always_valid(*arguments, **options)


def test_a_previous_look_of_something_else():
    before = always_valid(ARM, ARM, tau=1.0)
    with pytest.raises(ValueError, match=r"previous is of another test, with {'tau': 1.0}"):
        always_valid(ARM, ARM, tau=2.0, previous=before)
    with pytest.raises(ValueError, match="previous has 200 and 200 units, this look 150 and 200"):
        always_valid(ARM[:150], ARM, tau=1.0, previous=before)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (([0.1], [0.1, 0.2]), ValueError, "lengths differ"),
        (([0.1], [-0.1]), ValueError, "stderr must not be negative"),
        (([[0.1]], [0.1]), ValueError, "difference must be one-dimensional"),
        ((["a"], [0.1]), TypeError, "difference"),
    ],
)
def test_bad_paths(arguments, error, match):
    with pytest.raises(error, match=match):
        always_valid_path(*arguments, mde=0.1)


@settings(max_examples=60, deadline=None)
@given(
    effects=st.lists(st.floats(-1, 1), min_size=1, max_size=20),
    first=st.floats(0.05, 2),
    alternative=st.sampled_from(["two-sided", "greater", "less"]),
    alpha=st.floats(0.001, 0.4),
)
def test_p_value_and_interval_agree_at_every_look(effects, first, alternative, alpha):
    errors = first / np.sqrt(np.arange(1, len(effects) + 1))
    path = always_valid_path(effects, errors, tau=0.3, alternative=alternative, alpha=alpha)
    out = (path["lower"] > 0) | (path["upper"] < 0)
    assume(not np.isclose(path["lower"], 0, atol=1e-12).any())
    assume(not np.isclose(path["upper"], 0, atol=1e-12).any())
    assert path["rejected"].tolist() == np.maximum.accumulate(out).tolist()


@pytest.mark.parametrize("sizes", [(4_999, 6_000), (6_000, 4_999)])
def test_neither_arm_may_have_fewer_units_than_before(sizes):
    first = always_valid(Moments(5_000, 1.0, 1.0), Moments(5_000, 1.0, 1.0), mde=0.1)
    later = [Moments(n, 1.0, 1.0) for n in sizes]
    with pytest.raises(ValueError, match="each look takes all data so far"):
        always_valid(*later, mde=0.1, previous=first)
