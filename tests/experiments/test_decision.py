"""Guardrails against scipy's one-sided tests, and every branch of the rule."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlsd._results import plain
from mlsd._validation import UndefinedMetricWarning
from mlsd.experiments._report import make_report
from mlsd.experiments.assignment import sample_ratio_test
from mlsd.experiments.comparison import compare_means
from mlsd.experiments.decision import Decision, DecisionRule, guardrail
from mlsd.experiments.moments import Moments
from mlsd.experiments.planning import sample_size
from mlsd.experiments.report import compare
from mlsd.experiments.sequential import GroupSequential, always_valid

N = 10_000
ERROR = math.sqrt(2 / N)  # of a difference of two means of N values with variance 1


def named(metric, difference, *, base=10.0, n=N, arm="treatment", var=1.0):
    """Return a comparison whose difference has the standard error ``sqrt(2 var / n)``."""
    found = compare_means(Moments(n, base, var), Moments(n, base + difference, var))
    return dataclasses.replace(found, metric=metric, treatment_name=arm)


def report(*comparisons, counts=None, primary=None):
    counts = counts or {"control": N, "treatment": N}
    return make_report(
        list(comparisons),
        srm=sample_ratio_test(counts),
        dropped={},
        n_rows=2 * N,
        control="control",
        primary=primary,
        margins={},
        lower=set(),
        adjust="holm",
        level=0.95,
        relative=False,
    )


def ctr(errors, **options):
    """Return a primary metric whose difference is so many standard errors."""
    return named("ctr", errors * ERROR, **options)


def sessions(errors, **options):
    return named("sessions", errors * ERROR, **options)


# --- guardrails -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    margin=st.floats(0, 1),
    lower_is_better=st.booleans(),
    alpha=st.floats(0.001, 0.3),
)
def test_against_one_sided_tests_of_scipy(seed, margin, lower_is_better, alpha):
    rng = np.random.default_rng(seed)
    control, treatment = rng.normal(3, 1, 30), rng.normal(3, 2, 50)
    got = guardrail(
        compare_means(control, treatment), margin, alpha=alpha, lower_is_better=lower_is_better
    )
    # Shift the treatment by the margin in its favour: is it still better?
    moved = treatment - margin if lower_is_better else treatment + margin
    sides = ("less", "greater") if lower_is_better else ("greater", "less")
    held, broken = (
        stats.ttest_ind(moved, control, equal_var=False, alternative=side).pvalue for side in sides
    )
    assert got.p_held == pytest.approx(held, abs=1e-9)
    assert got.p_broken == pytest.approx(broken, abs=1e-9)
    expected = "held" if held <= alpha else "broken" if broken <= alpha else "unclear"
    assert got.verdict == expected
    assert got.passed == (expected == "held")
    assert got.least_loss < got.loss < got.most_loss
    assert (got.most_loss <= margin) == (expected == "held")
    assert (got.least_loss >= margin) == (expected == "broken")
    sign = 1 if lower_is_better else -1
    assert got.loss == pytest.approx(sign * (treatment.mean() - control.mean()))


@pytest.mark.parametrize("lower_is_better", [False, True])
@pytest.mark.parametrize(
    ("errors", "verdict"), [(1.0, "held"), (-1.0, "unclear"), (-3.9, "unclear"), (-5.0, "broken")]
)
def test_a_margin_of_two_standard_errors(errors, verdict, lower_is_better):
    shift = -errors if lower_is_better else errors
    got = guardrail(sessions(shift), 2 * ERROR, lower_is_better=lower_is_better)
    assert got.verdict == verdict
    assert got.reason.startswith(f"sessions {'is ' if verdict != 'held' else ''}{verdict}")


def test_a_margin_in_shares_of_the_control():
    one = sessions(-3.0, base=2.0)
    assert guardrail(one, 0.04, relative=True).verdict == "held"
    assert guardrail(one, 0.04).verdict == "unclear"
    got = guardrail(one.test(relative=True), 0.05)
    assert got.relative
    assert got.loss == pytest.approx(3 * ERROR / 2)
    assert "5 %" in got.reason
    # A negative control: a loss is a value further down.
    below = named("profit", -10 * ERROR, base=-2.0)
    assert guardrail(below, 0.03, relative=True).verdict == "broken"
    assert guardrail(below, 0.03, relative=True, lower_is_better=True).verdict == "held"


def test_a_guardrail_that_gained_says_so():
    gained = compare_means(Moments(40_000, 3.00, 4.0), Moments(40_000, 3.30, 4.0))
    found = guardrail(gained, 0.03, relative=True)
    least = -100 * found.most_loss
    assert 8 < least < 10
    assert found.reason == (
        f"the metric held: a gain of at least {least:.3g} %, where a loss of 3 % is tolerated"
    )


def test_how_often_a_guardrail_is_wrong_and_how_often_it_holds():
    rng = np.random.default_rng(1)
    runs, margin = 2_000, 0.1
    size = sample_size(
        5.0, -margin, relative=False, variance=1.0, alternative="less", alpha=0.025
    ).control
    means = rng.normal(5, math.sqrt(1 / size), (2, runs))
    for loss, expected in ((margin, 0.025), (0.0, 0.8)):
        held = np.mean(
            [
                guardrail(
                    compare_means(Moments(size, c, 1.0), Moments(size, t, 1.0)), margin
                ).passed
                for c, t in zip(means[0], means[1] - loss, strict=True)
            ]
        )
        error = 3.5 * math.sqrt(expected * (1 - expected) / runs)
        assert held == pytest.approx(expected, abs=error)


def test_a_guardrail_without_an_interval_is_unclear():
    with pytest.warns(UndefinedMetricWarning, match="constant in both arms"):
        got = guardrail(compare_means([1.0, 1.0], [1.0, 1.0]), 0.1)
    assert got.verdict == "unclear"
    assert got.reason == "the metric is unclear: its loss has no interval"


@pytest.mark.parametrize(
    ("margin", "options", "error", "match"),
    [
        (-0.1, {}, ValueError, "margin must be at least 0.*got -0.1"),
        (math.nan, {}, ValueError, "margin must be finite"),
        ("1%", {}, TypeError, "margin must be a number"),
        (0.1, {"alpha": 0}, ValueError, "alpha must lie strictly"),
    ],
)
def test_bad_guardrails(margin, options, error, match):
    with pytest.raises(error, match=match):
        guardrail(sessions(0), margin, **options)
    with pytest.raises(TypeError, match="comparison must be a Comparison; got float"):
        guardrail(0.3, 0.1)


# --- the rule -------------------------------------------------------------------------------------

RULE = DecisionRule("ctr", least=2 * ERROR, guardrails={"sessions": 3 * ERROR})


@pytest.mark.parametrize(
    ("primary", "guard", "days", "action", "says"),
    [
        (4.0, 1.0, 14, "ship", "ctr gains 0.05657, interval 0.02885 to 0.08429: at least 0.02828"),
        (4.0, 1.0, 30, "ship", "ctr gains"),
        (4.0, 1.0, 13, "hold", "13 days of data, the rule asks for 14"),
        (4.0, -1.5, 14, "hold", "sessions is unclear: the loss is 0.02121"),
        (4.0, -6.0, 14, "stop", "sessions is broken: the loss is at least 0.05713"),
        (4.0, -6.0, 2, "stop", "sessions is broken"),  # harm does not wait
        (
            1.9,
            1.0,
            14,
            "stop",
            "it holds 0, so a gain is not shown, and the experiment is at its end",
        ),
        (-1.0, 1.0, 14, "stop", "ctr gains -0.01414.*0.02828 would be worth shipping"),
        (-3.0, 1.0, 14, "stop", "the change makes it worse"),
        (-3.0, 1.0, 3, "hold", "3 days of data"),
    ],
)
def test_the_fixed_test(primary, guard, days, action, says):
    got = RULE.decide(report(ctr(primary), sessions(guard)), days=days)
    assert got.action == action
    assert re.search(says, got.reasons[0]), got.reasons
    assert got.days == days
    assert got.gain == pytest.approx(primary * ERROR)
    assert [guard.metric for guard in got.guardrails] == ["sessions"]


def test_a_gain_too_small_to_ship():
    # Shown to be above 0, and not shown to be worth it.
    rule = dataclasses.replace(RULE, least=4 * ERROR, guardrails={})
    got = rule.decide(report(ctr(3.0)), days=14)
    assert got.action == "stop"
    assert "a gain below 0.05657, the least worth shipping, is not ruled out" in got.reasons[0]


def test_a_mismatch_refuses_all():
    bad = report(ctr(9.0), sessions(9.0), counts={"control": N, "treatment": N + 900})
    got = RULE.decide(bad, days=14)
    assert got.action == "invalid"
    assert got.reasons == (bad.srm.message,)
    assert math.isnan(got.gain)
    broken = report(ctr(9.0), sessions(-9.0), counts={"control": N, "treatment": N + 900})
    assert RULE.decide(broken, days=14).action == "invalid"


def test_a_primary_metric_without_an_interval_is_invalid():
    with pytest.warns(UndefinedMetricWarning):
        constant = named("ctr", 0.0, var=0.0)
    got = RULE.decide(report(constant, sessions(0.0)), days=14)
    assert got.action == "invalid"
    assert got.reasons == ("ctr has no interval in these data: nothing can be decided on it",)
    with pytest.warns(UndefinedMetricWarning):
        of_zero = dataclasses.replace(
            compare_means(Moments(N, 0.0, 1.0), Moments(N, 1.0, 1.0), relative=True), metric="ctr"
        )
    assert DecisionRule("ctr", relative=True).decide(report(of_zero), days=14).action == "invalid"
    assert DecisionRule("ctr").decide(report(of_zero), days=14).action == "ship"


def test_too_few_units():
    rule = dataclasses.replace(RULE, min_units=N + 1)
    got = rule.decide(report(ctr(4.0), sessions(1.0)), days=1)
    assert got.action == "hold"
    assert got.reasons == (
        "1 days of data, the rule asks for 14",
        "10000 units in the smaller arm, the rule asks for 10001",
    )
    assert rule.decide(report(ctr(4.0, n=N + 1), sessions(1.0)), days=14).action == "ship"


def test_less_is_better():
    rule = DecisionRule(
        "latency", guardrails={"errors": 3 * ERROR}, lower_is_better=["latency", "errors"]
    )
    good = report(named("latency", -4 * ERROR), named("errors", -ERROR))
    got = rule.decide(good, days=14)
    assert (got.action, got.gain) == ("ship", pytest.approx(4 * ERROR))
    assert got.lower == pytest.approx((4 - 1.96) * ERROR, rel=1e-3)
    worse = report(named("latency", 4 * ERROR), named("errors", -ERROR))
    assert rule.decide(worse, days=14).action == "stop"
    harm = report(named("latency", -4 * ERROR), named("errors", 6 * ERROR))
    assert rule.decide(harm, days=14).action == "stop"


def test_shares_of_the_control():
    rule = DecisionRule("ctr", least=0.01, guardrails={"sessions": 0.01}, relative=True)
    got = rule.decide(report(ctr(4.0, base=2.0), sessions(1.0, base=2.0)), days=14)
    assert (got.action, got.gain) == ("ship", pytest.approx(2 * ERROR))
    assert "ctr gains 2.83 %, interval 1.43 % to" in got.reasons[0]
    assert (
        rule.decide(report(ctr(4.0), sessions(1.0)), days=14).action == "stop"
    )  # of 10: too small


def test_several_treatments_share_alpha():
    counts = {"control": N, "a": N, "b": N}
    both = report(ctr(2.1, arm="a"), ctr(4.0, arm="b"), counts=counts)
    rule = DecisionRule("ctr")
    assert rule.decide(both, days=14, arm="a").action == "stop"  # 2.1 is above 1.96, not 2.24
    assert rule.decide(both, days=14, arm="b").action == "ship"
    assert rule.decide(report(ctr(2.1)), days=14).action == "ship"
    with pytest.raises(ValueError, match=r"report: 'ctr' is of several arms: ask for"):
        rule.decide(both, days=14)
    wide = DecisionRule("ctr", looks=GroupSequential(2), min_days=1)
    found = wide.decide(both, days=14, look=2, arm="a")
    bound = GroupSequential(2, alpha=0.025).bounds[1]
    assert found.upper == pytest.approx((2.1 + bound) * ERROR)


# --- looks before the end -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("errors", "look", "days", "action"),
    [
        (4.0, 1, 7, "hold"),  # below 4.33
        (4.5, 1, 7, "ship"),
        (2.5, 3, 21, "ship"),
        (2.3, 3, 21, "hold"),
        (2.01, 4, 28, "stop"),  # below 2.014, and the last
        (2.02, 4, 28, "ship"),
        (-2.5, 3, 21, "stop"),
        (0.0, 4, 28, "stop"),
        (4.5, 1, 6, "hold"),  # less than a week
    ],
)
def test_boundaries(errors, look, days, action):
    rule = DecisionRule("ctr", looks=GroupSequential(4), min_days=7)
    got = rule.decide(report(ctr(errors)), days=days, look=look)
    assert got.action == action
    bound = GroupSequential(4).bounds[look - 1]
    assert got.lower == pytest.approx((errors - bound) * ERROR)
    relative = DecisionRule("ctr", looks=GroupSequential(4), min_days=7, relative=True)
    far = relative.decide(report(ctr(errors, base=1e4)), days=days, look=look)
    assert far.action == action  # far from 0 the lift is the difference by another unit
    assert far.lower == pytest.approx(got.lower / 1e4, abs=1e-4 * ERROR / 1e4)


def test_looks_that_were_in_fact_made():
    design = GroupSequential(4).observed([0.25, 0.8])
    rule = DecisionRule("ctr", looks=design, min_days=7)
    assert rule.decide(report(ctr(2.0)), days=20, look=2).action == "hold"
    ended = dataclasses.replace(rule, looks=GroupSequential(4).observed([0.25, 0.8], final=True))
    assert ended.decide(report(ctr(1.9)), days=20, look=2).action == "stop"
    assert ended.decide(report(ctr(2.0)), days=20, look=2).action == "ship"


@pytest.mark.parametrize(
    ("errors", "days", "action"),
    [(2.5, 7, "hold"), (4.0, 7, "ship"), (-4.0, 7, "stop"), (2.5, 28, "stop"), (4.0, 6, "hold")],
)
def test_always_valid(errors, days, action):
    rule = DecisionRule("ctr", mde=3 * ERROR, min_days=7, max_days=28)
    got = rule.decide(report(ctr(errors)), days=days)
    assert got.action == action
    expected = always_valid(ctr(errors), mde=3 * ERROR)
    assert (got.lower, got.upper) == (expected.lower, expected.upper)


@pytest.mark.parametrize("lower_is_better", [False, True])
@pytest.mark.parametrize(
    ("errors", "verdict"),
    [(2.0, "held"), (-0.5, "unclear"), (-4.0, "unclear"), (-9.0, "broken")],
)
def test_always_valid_guardrails(errors, verdict, lower_is_better):
    rule = DecisionRule(
        "ctr",
        guardrails={"sessions": 3 * ERROR},
        mde=3 * ERROR,
        lower_is_better=["sessions"] if lower_is_better else [],
    )
    found = rule.decide(report(ctr(4.0), sessions(-errors if lower_is_better else errors)), days=14)
    guard = found.guardrails[0]
    assert guard.verdict == verdict
    assert found.action == {"held": "ship", "unclear": "hold", "broken": "stop"}[verdict]
    assert guard.loss == pytest.approx(-errors * ERROR)
    one = always_valid(
        sessions(errors), tau=3 * ERROR, alpha=0.025, alternative="greater", margin=3 * ERROR
    )
    assert one.rejected == (verdict == "held")
    assert -guard.most_loss == pytest.approx(one.lower)


def test_how_often_the_rule_ships_what_is_worth_nothing():
    rng = np.random.default_rng(2)
    runs = 1_500
    fixed = DecisionRule("ctr", guardrails={"sessions": 4 * ERROR})
    shipped = [
        fixed.decide(report(ctr(one), sessions(two)), days=14).action
        for one, two in rng.normal(size=(runs, 2))
    ]
    # Half of alpha, the side of the gain, and the guardrail must hold as well: 98 % of the time.
    expected = 0.025 * stats.norm.cdf(4 - stats.norm.ppf(0.975))
    error = 3.5 * math.sqrt(expected / runs)
    assert np.mean([action == "ship" for action in shipped]) == pytest.approx(expected, abs=error)
    harmed = [
        fixed.decide(report(ctr(one + 8), sessions(two - 4)), days=14).action
        for one, two in rng.normal(size=(runs, 2))
    ]
    assert np.mean([action == "ship" for action in harmed]) == pytest.approx(
        0.025, abs=3.5 * math.sqrt(0.025 / runs)
    )
    looks = DecisionRule("ctr", looks=GroupSequential(4, spending="pocock"), min_days=1)
    ever = 0
    for path in rng.normal(size=(runs, 4)).cumsum(axis=1) / np.sqrt(np.arange(1, 5)):
        for look, z in enumerate(path, start=1):
            action = looks.decide(report(ctr(z)), days=7 * look, look=look).action
            if action != "hold":
                ever += action == "ship"
                break
    assert ever / runs == pytest.approx(0.025, abs=3.5 * math.sqrt(0.025 / runs))


def test_from_the_rows_of_a_log():
    rng = np.random.default_rng(3)
    users = 4_000
    arm = np.where(np.arange(users) % 2, "treatment", "control")
    views = rng.poisson(6, users) + 1
    clicks = rng.binomial(views, np.where(arm == "treatment", 0.24, 0.20))
    log = pd.DataFrame({"user_id": np.arange(users), "arm": arm, "click": clicks, "view": views})
    log["errors"] = rng.poisson(1.0, users)
    found = compare(
        log,
        unit="user_id",
        arm="arm",
        metrics={"ctr": ("click", "view"), "errors": "errors"},
        primary="ctr",
        guardrails={"errors": 0.1},
        lower_is_better=["errors"],
    )
    rule = DecisionRule("ctr", guardrails={"errors": 0.1}, lower_is_better=["errors"])
    got = rule.decide(found, days=14)
    assert got.action == "ship"
    # The table of the report and the rule read the same bounds.
    assert found.row("errors").verdict == "held"
    assert got.lower == pytest.approx(found["ctr"].lower)
    assert got.guardrails[0].most_loss == pytest.approx(found["errors"].upper)
    lost = log.drop(index=log.index[(arm == "treatment") & (np.arange(users) % 10 == 1)])
    refused = compare(lost, unit="user_id", arm="arm", metrics={"ctr": ("click", "view")})
    assert DecisionRule("ctr").decide(refused, days=14).action == "invalid"


def test_a_rule_is_not_changed_by_its_callers_mapping():
    margins = {"sessions": 0.1}
    rule = DecisionRule("ctr", guardrails=margins)
    margins["sessions"] = 5.0
    assert rule.guardrails == {"sessions": 0.1}
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.least = 0.0


def test_a_decision_is_a_table_and_a_sentence():
    got = RULE.decide(report(ctr(4.0), sessions(1.0)), days=14)
    assert isinstance(got, Decision)
    assert json.loads(json.dumps(plain(got)))["action"] == "ship"
    assert got.to_frame().loc["action", "value"] == "ship"
    assert "ship: ctr gains" in got._repr_html_()
    assert "sessions held: the loss is at most" in got.guardrails[0]._repr_html_()
    assert DecisionRule("ctr").to_dict()["min_days"] == 14


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"primary": None}, TypeError, "primary must be a string"),
        ({"least": -0.1}, ValueError, "least must be at least 0"),
        ({"least": math.inf}, ValueError, "least must be finite"),
        ({"guardrails": ["a"]}, TypeError, "guardrails must map metrics to margins"),
        ({"guardrails": {"a": -1}}, ValueError, r"guardrails\['a'\] must be at least 0"),
        ({"guardrails": {"ctr": 1}}, ValueError, "primary 'ctr' is among the guardrails"),
        ({"lower_is_better": "ctr"}, TypeError, "lower_is_better must be a collection"),
        ({"lower_is_better": ["x"]}, ValueError, r"lower_is_better names \['x'\]"),
        ({"relative": "yes"}, TypeError, "relative must be True or False"),
        ({"min_days": 0}, ValueError, "min_days must be at least 1"),
        ({"min_units": 1.5}, TypeError, "min_units must be an integer"),
        ({"max_days": 7}, ValueError, "max_days=7 is below min_days=14"),
        ({"max_days": 28}, ValueError, "max_days=28 is above min_days=14: a fixed test is read"),
        ({"alpha": 0}, ValueError, "alpha must lie"),
        ({"guardrail_alpha": 1}, ValueError, "guardrail_alpha must lie"),
        ({"mde": 0}, ValueError, "mde must be finite and above 0"),
        ({"mde": 1, "guardrails": {"a": 0}}, ValueError, r"guardrails\['a'\] must be above 0"),
        ({"mde": 1, "looks": GroupSequential(2)}, ValueError, "pass looks or mde, not both"),
        ({"looks": 4}, TypeError, "looks must be a GroupSequential; got 4"),
        (
            {"looks": GroupSequential(2, alternative="greater")},
            ValueError,
            "looks must be two-sided with alpha=0.05; it is greater",
        ),
        ({"looks": GroupSequential(2, alpha=0.1)}, ValueError, "it is two-sided with alpha=0.1"),
    ],
)
def test_bad_rules(change, error, match):
    with pytest.raises(error, match=match):
        DecisionRule(**({"primary": "ctr"} | change))


@pytest.mark.parametrize(
    ("rule", "given_report", "options", "error", "match"),
    [
        (DecisionRule("ctr"), 0.3, {"days": 14}, TypeError, "report must be an ExperimentReport"),
        (DecisionRule("x"), report(ctr(1)), {"days": 14}, ValueError, "report: no row for 'x'"),
        (RULE, report(ctr(1)), {"days": 14}, ValueError, "no row for 'sessions'"),
        (DecisionRule("ctr"), report(ctr(1)), {"days": 0}, ValueError, "days must be at least 1"),
        (DecisionRule("ctr"), report(ctr(1)), {"days": 1.5}, TypeError, "days must be an integer"),
        (
            DecisionRule("ctr"),
            report(ctr(1)),
            {"days": 14, "look": 1},
            ValueError,
            "look goes with a rule that has looks",
        ),
        (
            DecisionRule("ctr", looks=GroupSequential(2)),
            report(ctr(1)),
            {"days": 14},
            ValueError,
            "look goes with a rule that has looks",
        ),
        (
            DecisionRule("ctr", looks=GroupSequential(2)),
            report(ctr(1)),
            {"days": 14, "look": 3},
            ValueError,
            "look must be at most 2",
        ),
        (
            DecisionRule("ctr"),
            report(ctr(1)),
            {"days": 14, "arm": "b"},
            ValueError,
            r"no row for \('ctr', 'b'\)",
        ),
        (
            DecisionRule("ctr"),
            report(ctr(1), sessions(1), primary="sessions"),
            {"days": 14},
            ValueError,
            "report has the primary metric 'sessions', the rule 'ctr'",
        ),
    ],
)
def test_bad_reports(rule, given_report, options, error, match):
    with pytest.raises(error, match=match):
        rule.decide(given_report, **options)
