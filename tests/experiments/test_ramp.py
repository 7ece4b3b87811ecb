"""Ramp: its evidence against integrals, its rules one by one, and simulated launches."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from mlsd._validation import UndefinedMetricWarning
from mlsd.experiments._arms import Arm
from mlsd.experiments._guards import harm_of
from mlsd.experiments._ramp_test import (
    as_arm,
    harm_of_events,
    harm_of_means,
    log_ratio_of_split,
)
from mlsd.experiments.moments import Moments, RatioMoments
from mlsd.experiments.ramp import Guard, Ramp, RampState, ShadowLimits, shadow_report

# Evidence ------------------------------------------------------------------------------------


@given(st.floats(-4, 6), st.floats(0.01, 0.5), st.floats(0.02, 0.5), st.sampled_from([1, -1]))
def test_evidence_of_means_is_the_likelihood_ratio_over_half_a_normal_prior(z, v, scale, sign):
    """Average of the likelihood ratio over harms above 0, by quadrature."""
    margin, base = 0.1, 2.0
    of_t, of_c = v**2 * 0.8, v**2 * 0.2
    tolerated = 1 - sign * margin
    treatment = base * (tolerated - sign * z * v)
    control = Arm(1000, base, base**2 * of_c * 1000 / tolerated**2)
    harm = harm_of_means(
        control,
        Arm(1000, treatment, base**2 * of_t * 1000),
        sign=sign,
        margin=margin,
        scale=scale,
    )
    pooled = (control.var + base**2 * of_t * 1000) / 2 * (1 + tolerated**2) / 1000
    stderr = max(v, math.sqrt(pooled) / base)
    estimate = z * v
    assert harm.z == pytest.approx(estimate / stderr, abs=1e-9)

    def ratio(theta):
        likelihood = math.exp((theta * estimate - theta * theta / 2) / stderr**2)
        return likelihood * 2 * stats.norm.pdf(theta, scale=scale)

    top = 10 * scale
    found, _ = integrate.quad(ratio, 0, top, points=[min(max(estimate, 0), top)], limit=200)
    assert harm.log_ratio == pytest.approx(math.log(found), abs=1e-6)


@settings(deadline=None)
@given(
    st.integers(0, 60),
    st.integers(0, 400),
    st.floats(0.02, 0.98),
    st.sampled_from([1, -1]),
    st.floats(0, 0.4),
    st.floats(0.1, 0.6),
)
def test_evidence_of_events_is_the_likelihood_ratio_over_half_a_beta_prior(
    bad, other, share, sign, margin, scale
):
    exposure = {True: share, False: 1 - share}
    worse, better = (bad, exposure[sign < 0]), (other, exposure[sign > 0])
    control, treatment = (worse, better) if sign > 0 else (better, worse)
    harm = harm_of_events(control, treatment, dispersion=1.0, sign=sign, margin=margin, scale=scale)
    # The share of events that the worse arm has if the tolerated loss is just there.
    rate = {True: 1 / (1 - margin), False: 1 + margin}[sign > 0]
    null = worse[1] * rate / (worse[1] * rate + better[1])
    size = max(1 / (scale**2 * null * (1 - null)) - 1, 1)
    prior = stats.beta(size * null, size * (1 - null))

    def ratio(p):
        log = bad * np.log(p / null) + other * np.log((1 - p) / (1 - null))
        return np.exp(log) * prior.pdf(p) / prior.sf(null)

    middle = min(max((bad + 1) / (bad + other + 2), null + 1e-6), 1 - 1e-6)
    found, _ = integrate.quad(ratio, null, 1, points=[middle], limit=500)
    assert harm.log_ratio == pytest.approx(math.log(found), abs=1e-4)
    if bad + other:
        n = bad + other
        spread = math.sqrt(n * null * (1 - null))
        assert harm.z == pytest.approx((bad - n * null) / spread)


@given(st.lists(st.booleans(), max_size=80), st.floats(0.05, 0.95))
def test_evidence_of_the_split_is_a_product_of_predictions(treated, share):
    """Each next unit is predicted from those before it: by Pólya's urn, and by the plan."""
    size = 1 / (0.05**2 * share * (1 - share)) - 1
    urn = [size * (1 - share), size * share]
    log = 0.0
    for one in treated:
        log += math.log(urn[one] / sum(urn)) - math.log(share if one else 1 - share)
        urn[one] += 1
    n_treated = sum(treated)
    found = log_ratio_of_split(len(treated) - n_treated, n_treated, share)
    assert found == pytest.approx(log, abs=1e-6)


def test_bunches_of_events_count_once():
    rng = np.random.default_rng(1)
    units = [(rng.random(n) < 0.02) * 6 for n in (40_000, 10_000)]
    guard = Guard(better="lower", kind="events")
    harm = harm_of(guard, *(as_arm(values) for values in units))
    counts = [float(values.sum()) / 6 for values in units]
    single = harm_of_events(
        (counts[0], 4.0), (counts[1], 1.0), dispersion=1.0, sign=-1, margin=0.0, scale=0.1
    )
    # Variance over mean of a unit is 6 (1 - 0.02): each bunch is a little more than one event.
    assert harm.z == pytest.approx(single.z / math.sqrt(0.98), rel=0.01)
    # And of a ratio it is that of the same events, whatever they are divided by.
    ratio = [RatioMoments.of(values, np.full(values.size, 3.0)) for values in units]
    of_ratio = harm_of(guard, *map(as_arm, ratio))
    assert of_ratio.z == pytest.approx(harm.z)
    assert of_ratio.log_ratio == pytest.approx(harm.log_ratio)


def bernoulli(n, k):
    return Moments(n, k / n, k * (n - k) / n / (n - 1))


def test_a_small_arm_without_a_purchase_is_no_proof():
    """Its own variance would be 0: the spread is that of both arms."""
    guard = Guard(harm=0.5, min_units=50)
    harm = harm_of(guard, as_arm(bernoulli(9900, 500)), as_arm(bernoulli(60, 0)))
    assert 1.5 < harm.z < 2.5
    assert harm.log_ratio < math.log(20)


@pytest.mark.parametrize(
    ("guard", "rate", "share"),
    [
        (Guard(harm=0.1), 0.05, 0.5),
        (Guard(harm=0.1, margin=0.02), 0.05, 0.05),
        (Guard(harm=0.5, better="lower", kind="events"), 0.001, 0.01),
        (Guard(harm=0.5, better="lower", kind="events", margin=0.1), 0.001, 0.5),
        (Guard(harm=0.3, kind="events"), 0.002, 0.2),
    ],
)
def test_looking_every_day_keeps_alpha(guard, rate, share):
    """At the edge of what is tolerated: 30 looks, false alarms at most 5 % (400 launches)."""
    rng = np.random.default_rng(2)
    sign = 1 if guard.better == "higher" else -1
    alarms = 0
    for _ in range(400):
        control, treatment = np.zeros(2, dtype=int), np.zeros(2, dtype=int)
        for _ in range(30):
            n = rng.binomial(20_000, share)
            control += (20_000 - n, rng.binomial(20_000 - n, rate))
            treatment += (n, rng.binomial(n, rate * (1 - sign * guard.margin)))
            harm = harm_of(guard, as_arm(bernoulli(*control)), as_arm(bernoulli(*treatment)))
            if harm.log_ratio >= math.log(20):
                alarms += 1
                break
    assert stats.binomtest(alarms, 400, 0.05, alternative="greater").pvalue > 0.001


# Rules ----------------------------------------------------------------------------------------

QUIET = Moments(8_000, 1.0, 2.0), Moments(2_000, 1.0, 2.0)


def ramp_of(**changes):
    options = {"steps": (0.2, 0.5, 1), "min_days": 0, "min_units": 1000}
    return Ramp({"clicks": Guard()}, **{**options, **changes})


def arms(z, n=2_000, share=0.2):
    """Arms whose treatment is worse by z standard errors."""
    n_control = round(n * (1 - share) / share)
    stderr = math.sqrt(2.0 * (1 / n + 1 / n_control))
    return {"clicks": (Moments(n_control, 1.0, 2.0), Moments(n, 1.0 - z * stderr, 2.0))}


def test_a_launch_from_shadow_to_full_through_json():
    ramp = Ramp({"clicks": Guard(margin=0.01)}, min_units=200, shadow=ShadowLimits(min_requests=1))
    scored = pd.DataFrame({"request_id": np.arange(4000), "score": 1.0, "shadow_score": 2.0})
    state, shares, now = ramp.start("2026-03-01"), [], pd.Timestamp("2026-03-01")
    for share in ramp.steps[:-1]:
        state = RampState.from_dict(json.loads(json.dumps(state.to_dict())))
        now += pd.Timedelta(days=1)
        if share == 0:
            action = ramp.look(state, shadow=shadow_report(scored), time=now)
        else:
            pair = (
                Moments(round(20_000 * (1 - share)), 1.0, 2.0),
                Moments(round(20_000 * share), 1.0, 2.0),
            )
            action = ramp.look(state, {"clicks": pair}, time=now)
        assert action.action == "advance", action.reasons
        shares.append(action.share)
        state = action.state
    assert shares == [0.01, 0.05, 0.2, 0.5, 1.0]
    assert state.status == "full"
    after = ramp.look(state, time=now)
    assert (after.action, after.share, after.state) == ("hold", 1.0, state)
    assert "ramp is over" in after.reasons[0]


def test_a_look_is_a_pure_function():
    ramp = ramp_of()
    state = ramp.start()
    before = json.dumps(state.to_dict())
    first, second = (ramp.look(state, arms(2.5)) for _ in range(2))
    assert json.dumps(state.to_dict()) == before
    assert first == second
    assert RampState.from_dict(json.loads(json.dumps(first.state.to_dict()))) == first.state


def test_a_step_needs_units_days_and_clean_looks():
    ramp = ramp_of(min_units=2_500, min_days=2, clean_looks=3)
    state = ramp.start("2026-03-01 00:00+00:00")
    seen = []
    for day, n in enumerate((2_000, 2_600, 3_000), start=2):
        action = ramp.look(state, arms(0, n), time=f"2026-03-0{day} 00:00+00:00")
        state = action.state
        seen.append((action.action, action.reasons))
    assert [what for what, _ in seen] == ["hold", "hold", "advance"]
    assert seen[0][1] == (
        "The step is 1.00 days old, of at least 2.",
        "The treatment has 2,000 units in this step, of at least 2,500.",
        "1 clean looks in a row, of at least 3.",
    )
    assert seen[1][1] == ("2 clean looks in a row, of at least 3.",)
    assert state.entered == "2026-03-04T00:00:00+00:00"
    assert (state.step, state.looks, state.clean, state.evidence) == (1, 0, 0, {})


def test_a_warning_ends_lower_than_it_begins():
    ramp = ramp_of(warn_at=2.0, clear_at=1.0)
    state, verdicts, n = ramp.start(), [], 2_000
    for z in (1.9, 2.1, 1.5, 0.9, 1.5):
        action = ramp.look(state, arms(z, n))
        verdicts.append((action.action, action.checks[0].verdict))
        state, n = replace(action.state, step=0), n + 5
        if action.action == "advance":
            state = replace(state, evidence={}, n_control=0, n_treatment=0)
    assert verdicts == [
        ("advance", "fine"),
        ("hold", "warning"),
        ("hold", "warning"),
        ("advance", "fine"),
        ("advance", "fine"),
    ]
    warned = ramp.look(ramp.start(), arms(2.1))
    assert warned.state.clean == 0
    assert warned.state.warned == ("clicks",)
    assert "2.1 standard errors worse than tolerated" in warned.reasons[0]
    assert "until it is below 1." in warned.reasons[0]


def test_rollback_is_final_and_says_why():
    ramp = ramp_of(alpha=0.05)
    action = ramp.look(ramp.start(), arms(6), time="2026-03-02")
    assert (action.action, action.share) == ("rollback", 0.0)
    (check,) = action.checks
    assert check.verdict == "harm"
    assert check.alpha == 0.05 / 2  # two steps have a control
    assert check.p_value < check.alpha
    assert action.reasons[0].startswith("clicks is 21.2% below the control (0.7879 against 1; 2,0")
    assert "2,000 and 8,000 units), 6.0 standard errors: always-valid p" in action.reasons[0]
    assert action.reasons[0].endswith("so the share goes from 0.2 to 0.")
    again = ramp.look(action.state, arms(-6))
    assert (again.action, again.share, again.state) == ("rollback", 0.0, action.state)
    assert "rolled back on 2026-03-02T00:00:00 from 0.2" in again.reasons[0]


def test_alpha_is_divided_by_guards_and_live_steps():
    guards = {name: Guard() for name in "abc"}
    ramp = Ramp(guards, steps=(0, 0.1, 0.2, 0.5, 1), min_days=0, alpha=0.09)
    state = replace(ramp.start(), step=2)
    action = ramp.look(state, dict.fromkeys(guards, QUIET))
    assert {check.alpha for check in action.checks} == {0.09 / 9}
    # The threshold is that number, on both sides.
    for limit, expected in ((0.0101, "fine"), (0.0099, "harm")):
        held = replace(state, evidence={"a": -math.log(limit)})
        assert ramp.look(held, dict.fromkeys(guards, QUIET)).checks[0].verdict == expected


def test_evidence_of_a_step_does_not_fade_and_a_new_step_starts_anew():
    ramp = ramp_of()
    first = ramp.look(ramp.start(), arms(3))
    assert first.action == "hold"
    p_value = first.checks[0].p_value
    second = ramp.look(first.state, arms(0, 4_000))
    assert second.checks[0].p_value == p_value
    assert second.action == "advance"
    third = ramp.look(second.state, arms(0, 2_000, 0.5))
    assert third.checks[0].p_value == 1.0


def test_a_wrong_split_holds_for_good_but_harm_goes_first():
    ramp = ramp_of()
    wrong = {"clicks": (Moments(8_000, 1.0, 2.0), Moments(1_500, 1.0, 2.0))}
    first = ramp.look(ramp.start(), wrong)
    assert first.action == "hold"
    assert "1,500 of 9,500 units have the treatment, 15.79% and not 20.00%" in first.reasons[0]
    right = {"clicks": (Moments(80_000, 1.0, 2.0), Moments(20_000, 1.0, 2.0))}
    assert ramp.look(ramp.start(), right).action == "advance"
    second = ramp.look(first.state, right)
    assert second.action == "hold"
    assert "no comparison holds until that is explained" in second.reasons[0]
    harmful = {"clicks": (Moments(8_000, 1.0, 2.0), Moments(1_500, 0.5, 2.0))}
    assert ramp.look(first.state, harmful).action == "rollback"
    # Counts of what was randomised go before units of the metric.
    assert ramp.look(ramp.start(), wrong, counts=(8_000, 2_000)).action == "advance"


def test_alpha_of_the_split_is_divided_by_live_steps():
    ramp = ramp_of(split_alpha=0.01)
    for limit, action in ((0.0051, "advance"), (0.0049, "hold")):
        state = replace(ramp.start(), split=-math.log(limit))
        assert ramp.look(state, {"clicks": QUIET}).action == action


def test_too_little_to_judge_holds():
    ramp = Ramp({"clicks": Guard(min_units=3_000)}, steps=(0.2, 1), min_days=0)
    action = ramp.look(ramp.start(), {"clicks": QUIET})
    assert action.action == "hold"
    assert action.checks[0].verdict == "unknown"
    assert "clicks cannot be judged yet" in action.reasons[0]
    none = {"clicks": (Moments.of([]), Moments.of([]))}
    assert ramp_of().look(ramp_of().start(), none).action == "hold"
    zero = {"clicks": (Moments(8_000, 0.0, 0.0), Moments(2_000, 0.0, 0.0))}
    assert ramp_of().look(ramp_of().start(), zero).checks[0].verdict == "unknown"
    # No crash in either arm is good news.
    crashes = Ramp({"clicks": Guard(better="lower", kind="events")}, steps=(0.2, 1), min_days=0)
    assert crashes.look(crashes.start(), zero).action == "advance"
    # A metric that does not vary: equal is fine, and anything else is held.
    same = {"clicks": (Moments(8_000, 1.0, 0.0), Moments(2_000, 1.0, 0.0))}
    assert ramp_of().look(ramp_of().start(), same).action == "advance"
    other = {"clicks": (Moments(8_000, 1.0, 0.0), Moments(2_000, 0.9, 0.0))}
    assert ramp_of().look(ramp_of().start(), other).checks[0].verdict == "warning"


def test_a_last_step_below_one_waits_for_a_person():
    ramp = ramp_of(steps=(0.2,))
    action = ramp.look(ramp.start(), {"clicks": QUIET})
    assert (action.action, action.share) == ("hold", 0.2)
    assert action.reasons == ("No harm is seen: clicks +0.0%. 0.2 is the last step.",)


def test_lower_is_better_and_margins():
    pair = Moments(8_000, 1.0, 2.0), Moments(2_000, 1.2, 2.0)
    up = Ramp({"latency": Guard(better="lower")}, steps=(0.2, 1), min_days=0)
    action = up.look(up.start(), {"latency": pair})
    assert action.action == "rollback"
    assert "latency is 20.0% above the control" in action.reasons[0]
    assert ramp_of().look(ramp_of().start(), {"clicks": pair}).action == "advance"
    tolerant = Ramp({"latency": Guard(better="lower", margin=0.2)}, steps=(0.2, 1), min_days=0)
    action = tolerant.look(tolerant.start(), {"latency": pair})
    assert action.action == "advance"
    assert action.checks[0].z == pytest.approx(0.0, abs=1e-9)
    assert action.checks[0].change == pytest.approx(0.2)


def test_arrays_ratios_and_moments_agree():
    rng = np.random.default_rng(3)
    control, treatment = rng.poisson(1.0, 8_000), rng.poisson(1.0, 2_000)
    ramp = ramp_of()
    found = [
        ramp.look(ramp.start(), {"clicks": pair}).checks[0]
        for pair in (
            (control, treatment),
            (pd.Series(control), treatment.tolist()),
            (Moments.of(control), Moments.of(treatment)),
            tuple(RatioMoments.of(x, np.full(x.size, 2.0)) for x in (control, treatment)),
        )
    ]
    assert found[0] == found[1] == found[2]
    assert found[3].z == pytest.approx(found[0].z)
    assert found[3].control == found[0].control / 2


def test_action_as_a_table():
    ramp = ramp_of()
    action = ramp.look(ramp.start(), {"clicks": QUIET})
    assert action.to_frame().loc["clicks", "verdict"] == "fine"
    assert "advance, 0.5 of the units: No harm is seen" in action._repr_html_()
    assert ramp.look(replace(action.state, status="full")).to_frame().empty


# Shadow ---------------------------------------------------------------------------------------


def scored_of(rng, n=60, n_failed=7):
    size = rng.integers(1, 9, n)
    frame = pd.DataFrame({"request_id": np.repeat(np.arange(n), size)})
    frame["score"] = rng.integers(0, 5, len(frame)).astype(float)
    frame["shadow_score"] = frame["score"] + rng.integers(0, 3, len(frame))
    bad = frame.drop_duplicates("request_id").index[:n_failed]
    frame.loc[bad, "shadow_score"] = np.resize([np.nan, np.inf, -np.inf], n_failed)
    return frame.sample(frac=1, random_state=1)


@pytest.mark.parametrize("k", [1, 3, 20])
def test_shadow_report_by_hand(k):
    frame = scored_of(np.random.default_rng(4))
    found = shadow_report(frame, k=k)
    overlaps, same = [], []
    for _, part in frame.groupby("request_id"):
        if not np.isfinite(part["shadow_score"]).all():
            continue
        top = [
            part.sort_values(column, ascending=False, kind="stable").index[:k].tolist()
            for column in ("score", "shadow_score")
        ]
        overlaps.append(len(set(top[0]) & set(top[1])) / min(k, len(part)))
        same.append(top[0] == top[1])
    assert found.agreement == pytest.approx(np.mean(overlaps))
    assert found.identical == pytest.approx(np.mean(same))
    assert (found.n_requests, found.n_failed_requests, found.n_scores) == (60, 7, len(frame))
    upper = stats.binomtest(7, 60, alternative="less").proportion_ci(0.95).high
    assert found.failed_upper == pytest.approx(upper)
    assert math.isnan(found.latency_ratio)
    renamed = pl.from_pandas(frame.rename(columns={"request_id": "q", "shadow_score": "new"}))
    theirs = shadow_report(renamed, request="q", shadow="new", k=k).to_dict()
    assert theirs == pytest.approx(found.to_dict(), nan_ok=True)


def test_shadow_latency_is_a_ratio_of_quantiles():
    frame = scored_of(np.random.default_rng(5), n_failed=0)
    rng = np.random.default_rng(6)
    old, new = rng.exponential(size=500), 1.5 * rng.exponential(size=400)
    found = shadow_report(frame, latency=(old, new), quantile=0.9)
    assert found.latency_ratio == pytest.approx(np.quantile(new, 0.9) / np.quantile(old, 0.9))


def test_a_shadow_that_always_fails():
    frame = scored_of(np.random.default_rng(7)).assign(shadow_score=np.nan)
    with pytest.warns(UndefinedMetricWarning, match="failed in all 60 requests"):
        found = shadow_report(frame)
    assert (found.failed, found.failed_upper) == (1.0, 1.0)
    assert math.isnan(found.agreement)


def test_the_shadow_step_holds_on_each_limit():
    ramp = Ramp({"clicks": Guard()}, min_days=0, shadow=ShadowLimits(min_agreement=0.3))
    good = replace(
        shadow_report(scored_of(np.random.default_rng(8), n_failed=0), latency=([1.0], [1.0])),
        n_requests=9_000,
        failed_upper=0.0005,
        agreement=0.9,
    )
    assert ramp.look(ramp.start(), shadow=good).action == "advance"
    for change, sentence in (
        ({"n_requests": 4_000}, "Shadow: 4,000 requests in shadow, of at least 5,000."),
        ({"failed_upper": 0.002}, "up to 0.200% may, and 0.100% is the limit"),
        ({"latency_ratio": 1.31}, "is 1.31 times the old one, and 1.20 is the limit"),
        ({"agreement": 0.2}, "slates share 20.0% of their first 10, and 30.0% is the least"),
        ({"agreement": math.nan}, "slates share nan%"),
    ):
        action = ramp.look(ramp.start(), shadow=replace(good, **change))
        assert (action.action, action.share) == ("hold", 0.0)
        assert len(action.reasons) == 1
        assert sentence in action.reasons[0]
    # Without latencies, and without a wish to agree, there is nothing to hold against.
    free = Ramp({"clicks": Guard()}, min_days=0)
    unknown = replace(good, latency_ratio=math.nan, agreement=math.nan)
    assert free.look(free.start(), shadow=unknown).action == "advance"


# Launches -------------------------------------------------------------------------------------

LAUNCH = {
    "conversion": Guard(harm=0.1),
    "errors": Guard(better="lower", harm=0.5, kind="events"),
}


def launch(rng, loss, days=30):
    """Simulate a launch with 20,000 new units a day; return how it ended and who was exposed."""
    ramp = Ramp(LAUNCH, steps=(0.01, 0.05, 0.2, 0.5, 1), min_units=500)
    state, share, exposed = ramp.start("2026-01-01"), 0.01, 0
    sums = np.zeros((2, 3), dtype=int)
    for day in range(1, days + 1):
        n = rng.binomial(20_000, share)
        for arm, size, worse in ((0, 20_000 - n, 0.0), (1, n, loss)):
            sums[arm] += (
                size,
                rng.binomial(size, 0.05 * (1 - worse)),
                rng.binomial(size, 0.001 * (1 + 10 * worse)),
            )
        exposed += n
        observed = {
            name: tuple(bernoulli(size, counts[at]) for size, *counts in sums)
            for at, name in enumerate(LAUNCH)
        }
        action = ramp.look(
            state, observed, time=pd.Timestamp("2026-01-01") + pd.Timedelta(days=day)
        )
        state = action.state
        if action.action == "advance":
            share, sums = action.share, np.zeros_like(sums)
        if state.status != "running":
            break
    return state.status, exposed


def test_harmless_launches_go_through():
    ends = [launch(np.random.default_rng([9, seed]), 0.0)[0] for seed in range(200)]
    # At most alpha = 5 % are rolled back, and few are still held after 30 days.
    assert (
        stats.binomtest(ends.count("rolled back"), 200, 0.05, alternative="greater").pvalue > 0.01
    )
    assert ends.count("full") > 180


def test_harmful_launches_are_rolled_back_early():
    found = [launch(np.random.default_rng([10, seed]), 0.5) for seed in range(40)]
    assert [status for status, _ in found] == ["rolled back"] * 40
    # Of 20,000 users a day, under a quarter of one day's saw it.
    assert np.median([exposed for _, exposed in found]) < 5_000


# Bad input ------------------------------------------------------------------------------------

RAMP = ramp_of()
START = RAMP.start()
OK = {"clicks": QUIET}
TIMED = ramp_of(min_days=1)
SHADOW = Ramp({"clicks": Guard()}, min_days=0)
SCORED = pd.DataFrame({"request_id": [1], "score": [1.0], "shadow_score": [1.0]})


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: Guard(margin=1), ValueError, r"margin must lie in \[0, 1\); got 1"),
        (lambda: Guard(margin="a"), TypeError, "margin must be a number; got 'a'"),
        (lambda: Guard(better="up"), ValueError, "better must be one of 'higher', 'lower'"),
        (lambda: Guard(harm=0), ValueError, "harm must be finite and above 0"),
        (lambda: Guard(kind="x"), ValueError, "kind must be one of 'mean', 'events'"),
        (lambda: Guard(min_units=0), ValueError, "min_units must be at least 1"),
        (lambda: ShadowLimits(max_failed=0), ValueError, "max_failed must lie strictly"),
        (lambda: ShadowLimits(max_latency_ratio=-1), ValueError, "max_latency_ratio must be fin"),
        (lambda: ShadowLimits(min_agreement=2), ValueError, r"min_agreement must lie in \[0, 1\]"),
        (lambda: ShadowLimits(min_requests=0), ValueError, "min_requests must be at least 1"),
        (lambda: Ramp({}), ValueError, "guards must name at least one metric"),
        (lambda: Ramp({"a": 0.1}), TypeError, r"guards\['a'\] must be a Guard; got float"),
        (lambda: ramp_of(steps=(0.2, 0.1)), ValueError, r"steps must rise .* \(0.2, 0.1\)"),
        (lambda: ramp_of(steps=(0.2, 2)), ValueError, "steps must rise within 0 to 1"),
        (lambda: ramp_of(steps=(-0.1, 1)), ValueError, "steps must rise within 0 to 1"),
        (lambda: ramp_of(steps=()), ValueError, "steps must rise within 0 to 1"),
        (lambda: ramp_of(steps=(1,)), ValueError, "steps must begin below 1"),
        (lambda: ramp_of(alpha=0), ValueError, "alpha must lie strictly"),
        (lambda: ramp_of(split_alpha=1), ValueError, "split_alpha must lie strictly"),
        (lambda: ramp_of(min_units=0), ValueError, "min_units must be at least 1"),
        (lambda: ramp_of(clean_looks=0), ValueError, "clean_looks must be at least 1"),
        (lambda: ramp_of(min_days=-1), ValueError, "min_days must be finite and not negative"),
        (lambda: ramp_of(clear_at=3), ValueError, "clear_at must not be above warn_at; got 3"),
        (lambda: ramp_of(shadow=1), TypeError, "shadow must be ShadowLimits; got int"),
        (lambda: TIMED.start(), ValueError, "time is needed, since a step lasts 1 days"),
        (lambda: TIMED.start("soon"), ValueError, "time must be a date and time"),
        (lambda: TIMED.start(pd.NaT), ValueError, "time must be a date and time; got NaT"),
        (
            lambda: TIMED.look(TIMED.start("2026-01-02"), OK, time="2026-01-01"),
            ValueError,
            "time runs backwards: 2026-01-01",
        ),
        (
            lambda: TIMED.look(TIMED.start("2026-01-02"), OK, time="2026-01-03 00:00+01:00"),
            ValueError,
            "one has a time zone",
        ),
        (lambda: RAMP.look({}, OK), TypeError, "state must be a RampState; got dict"),
        (lambda: RAMP.look(TIMED.start("2026-01-02"), OK), ValueError, "state is of the ramp"),
        (lambda: RAMP.look(START), TypeError, "observed must map guards .* got NoneType"),
        (lambda: RAMP.look(START, {}), ValueError, r"exactly the guards \['clicks'\]; got \[\]"),
        (
            lambda: RAMP.look(START, {"clicks": 1}),
            TypeError,
            r"observed\['clicks'\] must be a pair",
        ),
        (lambda: RAMP.look(START, {"clicks": ([np.nan], [1])}), ValueError, "values holds 1 NaN"),
        (lambda: RAMP.look(START, OK, counts=5), TypeError, "counts must be a pair"),
        (lambda: RAMP.look(START, OK, counts=(5, -1)), ValueError, r"counts\[1\] must be a whole"),
        (
            lambda: RAMP.look(replace(START, n_control=9_000), OK),
            ValueError,
            "counts fell from 9000 and 0 to 8000 and 2000",
        ),
        (
            lambda: Ramp({"a": Guard(), "b": Guard()}, steps=(0.2, 1), min_days=0).look(
                Ramp({"a": Guard(), "b": Guard()}, steps=(0.2, 1), min_days=0).start(),
                {"a": QUIET, "b": (QUIET[0], Moments(5, 1.0, 1.0))},
            ),
            ValueError,
            "counts are needed",
        ),
        (
            lambda: RAMP.look(START, OK, shadow=shadow_report(SCORED)),
            ValueError,
            "shadow goes with a step of share 0; this one is 0.2",
        ),
        (lambda: SHADOW.look(SHADOW.start(), OK), ValueError, "observed must be left out"),
        (lambda: SHADOW.look(SHADOW.start()), TypeError, "shadow must be a ShadowReport"),
        (
            lambda: Ramp({"a": Guard(kind="events")}, steps=(0.2, 1), min_days=0).look(
                Ramp({"a": Guard(kind="events")}, steps=(0.2, 1), min_days=0).start(),
                {"a": (Moments(9, -1.0, 1.0), Moments(9, 1.0, 1.0))},
            ),
            ValueError,
            "kind 'events' takes counts of at least 0",
        ),
        (lambda: RampState.from_dict({}), ValueError, "values must have exactly the fields"),
        (
            lambda: RampState.from_dict({**START.to_dict(), "status": "lost"}),
            ValueError,
            "status must be one of .* got 'lost'",
        ),
        (lambda: shadow_report(SCORED, k=0), ValueError, "k must be at least 1"),
        (lambda: shadow_report(SCORED, quantile=1), ValueError, "quantile must lie strictly"),
        (
            lambda: shadow_report(SCORED, shadow="x"),
            ValueError,
            r"scored lacks the columns \['x'\]",
        ),
        (lambda: shadow_report(SCORED.head(0)), ValueError, "0 missing among 0 rows"),
        (
            lambda: shadow_report(SCORED.assign(request_id=None)),
            ValueError,
            "1 missing among 1 rows",
        ),
        (
            lambda: shadow_report(SCORED.assign(score=np.inf)),
            ValueError,
            r"scored\['score'\] must be finite",
        ),
        (lambda: shadow_report(SCORED, latency=[1]), ValueError, "latency must be a pair"),
        (
            lambda: shadow_report(SCORED, latency=([1], [-1])),
            ValueError,
            r"latency\[1\] must hold finite latencies",
        ),
        (
            lambda: shadow_report(SCORED, latency=([0], [1])),
            ValueError,
            r"latency\[0\] is 0 at its quantile 0.95",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_the_fingerprint_is_of_every_rule():
    plans = {
        ramp.plan
        for ramp in (
            RAMP,
            ramp_of(alpha=0.04),
            ramp_of(steps=(0.2, 1)),
            ramp_of(min_units=2),
            ramp_of(shadow=ShadowLimits(min_requests=1)),
            Ramp({"clicks": Guard(margin=0.01)}, steps=(0.2, 0.5, 1), min_days=0),
        )
    }
    assert len(plans) == 6
    assert ramp_of().plan == RAMP.plan


def crashes(control, treatment, n=(990_000, 10_000)):
    return tuple(
        Moments(units, events / units, events / units)
        for units, events in zip(n, (control, treatment), strict=True)
    )


def test_a_gross_harm_is_found_in_a_few_events():
    """Crashes 5 times as frequent: with the prior of 10 % alone it took 42 of them."""
    guard = Guard(better="lower", kind="events")
    seen = []
    for scale in (0.1, 1.0):
        arms = (180.0, 990_000.0), (10.0, 10_000.0)
        seen.append(
            harm_of_events(*arms, dispersion=1.0, sign=-1, margin=0.0, scale=scale).log_ratio
        )
    found = harm_of(guard, *(as_arm(arm) for arm in crashes(180, 10)))
    assert found.log_ratio == pytest.approx(math.log(sum(map(math.exp, seen)) / 2))
    ramp = Ramp({"crash": guard}, steps=(0.01, 0.1, 0.5, 1), min_days=0)
    action = ramp.look(ramp.start(), {"crash": crashes(180, 12)})
    assert action.action == "rollback"


def test_a_control_without_a_crash_has_no_percent():
    ramp = Ramp({"crash": Guard(better="lower", kind="events")}, steps=(0.5, 1), min_days=0)
    action = ramp.look(ramp.start(), {"crash": crashes(0, 60, n=(100_000, 100_000))})
    assert action.action == "rollback"
    assert action.reasons[0].startswith("crash is above the control (0.0006 against 0; 100,000")


def test_a_warning_outlasts_a_look_that_cannot_judge():
    """It ends below `clear_at`, not when the control happens to be 0."""
    ramp = Ramp({"net": Guard()}, steps=(0.5, 1), min_days=0)
    state, verdicts = ramp.start(), []
    for n, control, treatment in ((10_000, 1.0, 0.969), (10_001, 0.0, 0.0), (10_002, 1.0, 0.976)):
        pair = Moments(n, control, 1.0), Moments(n, treatment, 1.0)
        action = ramp.look(state, {"net": pair})
        state = action.state
        verdicts.append(action.checks[0].verdict)
    assert verdicts == ["warning", "unknown", "warning"]
    assert 1.5 < action.checks[0].z < 2.0
