from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from mlsd._clusters import ratio_of_sums
from mlsd._validation import UndefinedMetricWarning
from mlsd.experiments.comparison import Comparison, compare_means, compare_ratios
from mlsd.experiments.moments import Moments, RatioMoments

WHOLE = st.integers(-1000, 1000)
SAMPLE = st.lists(WHOLE, min_size=2, max_size=20).filter(lambda x: len(set(x)) > 1)
ROWS = st.lists(st.tuples(WHOLE, WHOLE), min_size=3, max_size=20).filter(
    lambda rows: len({y for y, _ in rows}) > 1 and len({x for _, x in rows}) > 1
)
ESTIMATES = ("difference", "lower", "upper", "stderr", "p_value", "df", "lift_lower", "lift_upper")


def sample(seed, n_control=60, n_treatment=90):
    rng = np.random.default_rng(seed)
    x = rng.lognormal(1, 1, n_control), rng.lognormal(1.1, 1, n_treatment)
    y = x[0] + rng.exponential(2, n_control), 0.7 * x[1] + rng.exponential(3, n_treatment)
    return y, x


def close(found: Comparison, other: Comparison, names=ESTIMATES, rel=1e-9, scale=1.0):
    for name in names:
        assert getattr(found, name) == pytest.approx(
            getattr(other, name), rel=rel, abs=1e-9 * scale, nan_ok=True
        ), name


# --- against others ----------------------------------------------------------------------------


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("shape", [(60, 90), (2, 5), (400, 7)])
def test_means_against_scipy(alternative, level, shape):
    (control, treatment), _ = sample(1, *shape)
    found = compare_means(control, treatment, alternative=alternative, level=level)
    other = stats.ttest_ind(treatment, control, equal_var=False, alternative=alternative)
    interval = other.confidence_interval(level)
    assert found.difference == pytest.approx(treatment.mean() - control.mean(), rel=1e-12)
    assert (found.p_value, found.df) == pytest.approx((other.pvalue, other.df), rel=1e-9)
    assert (found.lower, found.upper) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.method == "Welch"
    assert (found.n_control, found.n_treatment) == shape
    assert (found.theta, found.variance_reduction, found.covariance) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("alternative", "shift"), [("greater", 0.4), ("less", -0.4)])
def test_margin_against_a_shifted_sample(alternative, shift):
    (control, treatment), _ = sample(2)
    found = compare_means(control, treatment, alternative=alternative, margin=0.4)
    other = stats.ttest_ind(treatment + shift, control, equal_var=False, alternative=alternative)
    assert found.p_value == pytest.approx(other.pvalue, rel=1e-9)
    plain = compare_means(control, treatment, alternative=alternative)
    assert found.p_value < plain.p_value
    assert (found.lower, found.upper) == (plain.lower, plain.upper)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("alternative", ["greater", "less"])
def test_relative_margin_against_a_scaled_control(alternative, sign):
    (control, treatment), _ = sample(3)
    control, treatment = sign * control, sign * treatment
    found = compare_means(control, treatment, alternative=alternative, margin=0.1, relative=True)
    moved = 1 + (-0.1 if alternative == "greater" else 0.1) * sign
    other = stats.ttest_ind(treatment, moved * control, equal_var=False, alternative=alternative)
    statistic = stats.t.isf(found.p_value, found.df)
    statistic = statistic if alternative == "greater" else -statistic
    assert statistic == pytest.approx(other.statistic, rel=1e-9)


def test_cuped_against_a_naive_loop():
    (yc, yt), (xc, xt) = sample(4, 40, 130)

    def covariance(a, b):
        return sum((p - a.mean()) * (q - b.mean()) for p, q in zip(a, b, strict=True)) / (
            len(a) - 1
        )

    theta = (covariance(yc, xc) / 40 + covariance(yt, xt) / 130) / (
        covariance(xc, xc) / 40 + covariance(xt, xt) / 130
    )
    pooled = np.concatenate([xc, xt]).mean()
    c, t = yc - theta * (xc - pooled), yt - theta * (xt - pooled)
    other = stats.ttest_ind(t, c, equal_var=False)
    found = compare_means(yc, yt, covariate=(xc, xt))
    assert found.method == "Welch, CUPED"
    assert found.theta == pytest.approx(theta)
    assert (found.control, found.treatment) == pytest.approx((c.mean(), t.mean()))
    assert (found.p_value, found.df) == pytest.approx((other.pvalue, other.df))
    plain = stats.ttest_ind(yt, yc, equal_var=False)
    stderr = (yt.mean() - yc.mean()) / plain.statistic
    assert found.variance_reduction == pytest.approx(1 - found.stderr**2 / stderr**2)


def test_the_slope_of_cuped_has_the_least_variance():
    (yc, yt), (xc, xt) = sample(5, 15, 300)
    found = compare_means(yc, yt, covariate=(xc, xt))

    def variance(theta):
        return (yc - theta * xc).var(ddof=1) / 15 + (yt - theta * xt).var(ddof=1) / 300

    pooled = np.cov(np.r_[yc, yt], np.r_[xc, xt])
    assert found.stderr**2 == pytest.approx(variance(found.theta))
    assert found.stderr**2 < min(variance(found.theta + step) for step in (-0.01, 0.01))
    assert found.stderr**2 < variance(pooled[0, 1] / pooled[1, 1])


def test_adjusted_values_vary_as_stated():
    # The covariance matrix of both values over fresh experiments, whose slope hardly varies.
    rng = np.random.default_rng(6)
    values, told = [], []
    for _ in range(1500):
        xc, xt = rng.normal(size=150), rng.normal(size=50)
        yc, yt = 2 * xc + rng.normal(size=150), 2 * xt + rng.normal(size=50)
        one = compare_means(yc, yt, covariate=(xc, xt))
        values.append((one.control, one.treatment))
        told.append((one.control_stderr**2, one.treatment_stderr**2, one.covariance))
    seen = np.cov(np.array(values).T)
    # 1500 draws know a variance to 3.7 %.
    assert np.mean(told, axis=0) == pytest.approx([seen[0, 0], seen[1, 1], seen[0, 1]], rel=0.15)


@pytest.mark.parametrize("seed", range(3))
def test_ratios_against_cluster_robust_least_squares(seed):
    rng = np.random.default_rng(seed)
    n = 120
    views = 1 + rng.poisson(rng.lognormal(1, 0.8, n))
    clicks = rng.binomial(views, rng.beta(2, 8, n))
    arm = np.where(rng.random(n) < 0.4, "control", "treatment")
    found = compare_ratios(clicks, views, arm)
    # One row a view: the slope on the arm, its error robust to clusters of users.
    user = np.repeat(np.arange(n), views)
    row = np.concatenate(
        [np.repeat([1, 0], [k, v - k]) for k, v in zip(clicks, views, strict=True)]
    )
    treated = (arm[user] == "treatment").astype(float)
    stderrs = []
    for side in ("control", "treatment"):
        inside = arm[user] == side
        fit = sm.OLS(row[inside], np.ones(inside.sum())).fit(
            cov_type="cluster", cov_kwds={"groups": user[inside], "use_correction": False}
        )
        users = np.unique(user[inside]).size
        stderrs.append(fit.bse[0] * math.sqrt(users / (users - 1)))
    slope = sm.OLS(row, sm.add_constant(treated)).fit().params[1]
    assert found.difference == pytest.approx(slope)
    assert (found.control_stderr, found.treatment_stderr) == pytest.approx(stderrs)
    assert found.stderr == pytest.approx(math.hypot(*stderrs))
    house = ratio_of_sums(clicks[arm == "control"], views[arm == "control"])
    assert (found.control, found.control_stderr) == pytest.approx((house.value, house.stderr))
    assert found.method == "delta"


@pytest.mark.parametrize("kind", ["plain", "ratio"])
def test_ratios_with_cuped_against_a_naive_loop(kind):
    rng = np.random.default_rng(7)
    n = 90
    rate = rng.beta(2, 8, n)
    views, earlier = 1 + rng.poisson(6, n), 1 + rng.poisson(5, n)
    clicks, before = rng.binomial(views, rate), rng.binomial(earlier, rate)
    treated = rng.random(n) < 0.3
    covariate = (before, earlier) if kind == "ratio" else rate
    found = compare_ratios(clicks, views, treated.astype(int), control=0, covariate=covariate)

    def linear(top, bottom, rows):
        ratio = top[rows].sum() / bottom[rows].sum()
        return ratio + (top[rows] - ratio * bottom[rows]) / bottom[rows].mean()

    arms = []
    for rows in (~treated, treated):
        x = linear(before, earlier, rows) if kind == "ratio" else rate[rows]
        arms.append((linear(clicks, views, rows), x))
    other = compare_means(arms[0][0], arms[1][0], covariate=(arms[0][1], arms[1][1]))
    close(found, other, names=(*ESTIMATES, "control", "treatment", "theta", "variance_reduction"))
    assert found.variance_reduction > 0.05
    assert found.method == "delta, CUPED"


def test_ratios_where_each_denominator_is_1_are_means():
    (control, treatment), (xc, xt) = sample(8)
    y, x = np.r_[control, treatment], np.r_[xc, xt]
    arm = np.repeat(["a", "b"], [control.size, treatment.size])
    close(compare_ratios(y, np.ones(y.size), arm), compare_means(control, treatment))
    close(
        compare_ratios(y, np.ones(y.size), arm, covariate=x),
        compare_means(control, treatment, covariate=(xc, xt)),
    )


# --- by hand -----------------------------------------------------------------------------------


def test_means_by_hand():
    found = compare_means([1, 2, 3], [4, 6])
    assert (found.control, found.treatment, found.difference, found.lift) == (2.0, 5.0, 3.0, 1.5)
    assert found.stderr == pytest.approx(math.sqrt(1 / 3 + 2 / 2))
    assert found.df == pytest.approx((4 / 3) ** 2 / ((1 / 3) ** 2 / 2 + 1))


def test_ratios_by_hand():
    # Residuals y - R x with R = 1/2: 0, -1/2, 1/2; mean denominator 2.
    found = compare_ratios([1, 0, 2, 1, 1], [2, 1, 3, 1, 1], [0, 0, 0, 1, 1])
    assert (found.control, found.treatment, found.lift) == (0.5, 1.0, 1.0)
    assert found.control_stderr == pytest.approx(math.sqrt(0.25 / 4 / 3))
    assert found.treatment_stderr == 0.0
    assert found.df == pytest.approx(2.0)


# --- lift --------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_covariate", [False, True])
@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_the_ends_of_the_lift_are_where_the_test_turns(with_covariate, alternative):
    y, x = sample(9)
    found = compare_means(*y, covariate=x if with_covariate else None, alternative=alternative)
    q = stats.t.ppf(0.975 if alternative == "two-sided" else 0.95, found.df)
    ends = [end for end in (found.lift_lower, found.lift_upper) if math.isfinite(end)]
    assert len(ends) == (2 if alternative == "two-sided" else 1)
    for end in ends:
        ratio = 1 + end
        variance = (
            found.treatment_stderr**2
            - 2 * ratio * found.covariance
            + ratio**2 * found.control_stderr**2
        )
        assert abs(found.treatment - ratio * found.control) == pytest.approx(
            q * math.sqrt(variance)
        )
    assert found.lift_lower < found.lift < found.lift_upper
    # A test against the very end has the p-value of the level.
    side = "greater" if math.isfinite(found.lift_lower) else "less"
    end = found.lift_lower if side == "greater" else found.lift_upper
    again = found.test(alternative=side, margin=-end if side == "greater" else end, relative=True)
    assert again.p_value == pytest.approx(0.025 if alternative == "two-sided" else 0.05)


@given(SAMPLE, SAMPLE)
def test_lift_and_difference_tell_the_same(control, treatment):
    found = compare_means(control, treatment)
    assume(found.control != 0)
    assume(abs(found.p_value - 0.05) > 1e-9)
    if math.isfinite(found.lift_lower):  # the control is told from 0
        assert (found.lift_lower <= 0 <= found.lift_upper) == (found.p_value > 0.05)
    assert (found.lower <= 0 <= found.upper) == (found.p_value > 0.05)
    assert found.lift_lower <= found.lift <= found.lift_upper


def test_a_control_that_may_be_0_bounds_no_lift():
    found = compare_means([-1.0, 2.0, 0.5, -1.0], [5.0, 6.0, 7.0, 5.5])
    assert (found.lift_lower, found.lift_upper) == (-math.inf, math.inf)
    assert found.p_value < 0.05


def test_a_negative_control():
    (control, treatment), _ = sample(10)
    up, down = compare_means(control, treatment), compare_means(-control, -treatment)
    assert down.lift == pytest.approx(-up.lift)
    assert (down.lift_lower, down.lift_upper) == pytest.approx((-up.lift_upper, -up.lift_lower))


def test_coverage_of_the_lift():
    # 3,000 experiments with a control known to 10 %: the share has a standard error of 0.4 %.
    rng = np.random.default_rng(11)
    inside = 0
    for _ in range(3000):
        found = compare_means(rng.exponential(1.0, 100), rng.exponential(1.3, 80))
        inside += found.lift_lower <= 0.3 <= found.lift_upper
    assert 0.935 < inside / 3000 < 0.965


# --- properties --------------------------------------------------------------------------------


@given(ROWS, ROWS)
def test_swapping_the_arms_negates(control, treatment):
    (yc, xc), (yt, xt) = (zip(*rows, strict=True) for rows in (control, treatment))
    found = compare_means(yc, yt)
    back = compare_means(yt, yc)
    assert back.difference == pytest.approx(-found.difference)
    assert (back.lower, back.upper) == pytest.approx((-found.upper, -found.lower))
    assert back.p_value == pytest.approx(found.p_value)
    assert back.control == found.treatment
    with warnings.catch_warnings():  # the covariate may be the outcome
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        found = compare_means(yc, yt, covariate=(xc, xt))
        back = compare_means(yt, yc, covariate=(xt, xc))
    assert back.difference == pytest.approx(-found.difference, abs=1e-9)
    assert back.stderr == pytest.approx(found.stderr, rel=1e-6, abs=1e-6)
    assert back.theta == pytest.approx(found.theta)


@given(SAMPLE, SAMPLE, st.integers(-500, 500), st.sampled_from([0.25, 2.0, 8.0]))
def test_shift_and_scale(control, treatment, shift, scale):
    found = compare_means(control, treatment)
    moved = compare_means(
        scale * (np.array(control) + shift), scale * (np.array(treatment) + shift)
    )
    assert (moved.difference, moved.lower, moved.upper, moved.stderr) == pytest.approx(
        (scale * found.difference, scale * found.lower, scale * found.upper, scale * found.stderr),
        abs=1e-9,
    )
    assert (moved.p_value, moved.df) == pytest.approx((found.p_value, found.df), abs=1e-12)
    scaled = compare_means(scale * np.array(control), scale * np.array(treatment))
    if found.control:
        assert (scaled.lift, scaled.lift_lower, scaled.lift_upper) == pytest.approx(
            (found.lift, found.lift_lower, found.lift_upper)
        )


@given(ROWS, ROWS, st.randoms())
def test_order_of_units(control, treatment, random):
    def run(first, second):
        (yc, xc), (yt, xt) = (zip(*rows, strict=True) for rows in (first, second))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            return compare_means(yc, yt, covariate=(xc, xt)).to_dict()

    shuffled = [random.sample(rows, len(rows)) for rows in (control, treatment)]
    np.testing.assert_equal(run(*shuffled), run(control, treatment))


@given(st.lists(ROWS, min_size=1, max_size=3), st.lists(ROWS, min_size=1, max_size=3))
def test_aggregates_tell_what_arrays_tell(control, treatment):
    whole = [[row for part in arm for row in part] for arm in (control, treatment)]
    (yc, xc), (yt, xt) = (zip(*rows, strict=True) for rows in whole)
    merged = [
        sum(Moments.of(*zip(*part, strict=True)) for part in arm) for arm in (control, treatment)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        found = compare_means(yc, yt, covariate=(xc, xt))
        assume(found.variance_reduction < 0.999)  # what is left is more than rounding
        assume(abs(found.control) > 1e-3 * max(map(abs, yc)))
        close(compare_means(*merged), found, rel=1e-6, scale=1e3)


def test_ratio_aggregates_tell_what_arrays_tell():
    rng = np.random.default_rng(12)
    y, x, bx, by = rng.poisson(3, (4, 80)) + 1.0
    arm = rng.choice(["b", "a", "c"], 80)
    for covariate in (None, by, (by, bx)):
        direct = compare_ratios(y, x, arm, control="b", covariate=covariate)
        assert list(direct) == ["a", "c"]

        def part(rows, covariate=covariate):
            if covariate is None:
                return RatioMoments.of(y[rows], x[rows])
            cut = by[rows] if covariate is by else (by[rows], bx[rows])
            return RatioMoments.of(y[rows], x[rows], cut)

        early = np.arange(80) < 30
        parts = {name: part((arm == name) & early) + part((arm == name) & ~early) for name in "cba"}
        merged = compare_ratios(parts, control="b")
        for name in direct:
            close(merged[name], direct[name])
            assert (merged[name].control_name, merged[name].treatment_name) == ("b", name)


@given(SAMPLE, SAMPLE, WHOLE)
def test_a_constant_covariate_changes_nothing(control, treatment, constant):
    pair = [constant] * len(control), [constant] * len(treatment)
    found = compare_means(control, treatment, covariate=pair)
    plain = compare_means(control, treatment)
    assert found.test().to_dict() | {"method": ""} == plain.to_dict() | {"method": ""}
    assert found.theta == 0.0


@given(SAMPLE, SAMPLE)
def test_the_outcome_as_covariate_leaves_nothing(control, treatment):
    with pytest.warns(UndefinedMetricWarning, match="the covariate leaves no variance"):
        found = compare_means(control, treatment, covariate=(control, treatment))
    assert found.variance_reduction == pytest.approx(1.0)
    assert found.theta == pytest.approx(1.0)
    assert found.difference == pytest.approx(0.0, abs=1e-9)
    assert math.isnan(found.p_value)


@given(ROWS, ROWS)
def test_a_covariate_never_adds_variance(control, treatment):
    (yc, xc), (yt, xt) = (zip(*rows, strict=True) for rows in (control, treatment))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        found = compare_means(yc, yt, covariate=(xc, xt))
    assert found.stderr <= compare_means(yc, yt).stderr * (1 + 1e-9)
    assert 0 <= found.variance_reduction <= 1


def test_another_hypothesis_of_the_same_estimates():
    (control, treatment), x = sample(13)
    first = compare_means(control, treatment, covariate=x)
    options = {"level": 0.9, "alternative": "greater", "margin": 0.05, "relative": True}
    assert first.test(**options) == compare_means(control, treatment, covariate=x, **options)
    assert first.test() == first


# --- false positives ---------------------------------------------------------------------------


def test_false_positives_of_ratios_by_user_and_by_view():
    # 2,000 experiments without an effect: the share has a standard error of 0.5 %.
    rng = np.random.default_rng(14)
    alarms = {"by user": 0, "by view": 0}
    for _ in range(2000):
        views = 1 + rng.poisson(rng.lognormal(1, 0.8, 200))
        clicks = rng.binomial(views, rng.beta(0.5, 4.5, 200))
        arm = np.arange(200) % 2
        alarms["by user"] += compare_ratios(clicks, views, arm).p_value < 0.05
        k, n = (np.bincount(arm, weights=x) for x in (clicks, views))
        share = k.sum() / n.sum()
        z = (k[1] / n[1] - k[0] / n[0]) / math.sqrt(share * (1 - share) * (1 / n).sum())
        alarms["by view"] += abs(z) > 1.96
    assert 0.035 < alarms["by user"] / 2000 < 0.065
    assert alarms["by view"] / 2000 > 0.15


@pytest.mark.parametrize("seed", range(12))
def test_a_covariate_that_explains_all_leaves_nothing_but_rounding(seed):
    rng = np.random.default_rng(seed)
    control, treatment = rng.normal(100, 1, 30), rng.normal(100, 1, 25)
    with pytest.warns(UndefinedMetricWarning, match="the covariate leaves no variance"):
        found = compare_means(
            control, treatment, covariate=(control / 3 + 7.1, treatment / 3 + 7.1)
        )
    assert math.isnan(found.p_value)


def test_a_margin_may_be_a_numpy_number():
    arms = [1.0, 2.0, 4.0], [3.0, 4.0, 4.0]
    found = compare_means(*arms, alternative="greater", margin=np.int64(1))
    assert found.p_value == compare_means(*arms, alternative="greater", margin=1.0).p_value
    assert type(found.margin) is float
