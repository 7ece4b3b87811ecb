"""IPS, clipped IPS and SNIPS: by hand, by loops, over all logs that can happen."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from mlsd.ope import Estimate, SupportWarning, clipped_ips, doubly_robust, ips, snips, switch_dr

PL, PT, Q = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1]), np.array([0.5, 0.25, 0.75])
TRUTH = float(PT @ Q)


def random_log(seed=0, n=25):
    rng = np.random.default_rng(seed)
    pscore = rng.uniform(0.2, 1.0, n)
    return rng.normal(size=n), pscore, rng.uniform(size=n), rng.integers(0, 6, n)


def all_logs(n):
    """Yield every log of n decisions among three actions, and its probability."""
    for outcome in itertools.product(itertools.product(range(3), (0, 1)), repeat=n):
        action = np.array([a for a, _ in outcome])
        reward = np.array([r for _, r in outcome], dtype=float)
        chance = np.prod(PL[action] * np.where(reward == 1, Q[action], 1 - Q[action]))
        yield action, reward, float(chance)


def loop(reward, pscore, target, unit, clip=math.inf, normalize=False):
    """The value and standard error, row by row and unit by unit."""
    top, base = {}, {}
    for r, p, t, u in zip(reward, pscore, target, unit, strict=True):
        w = min(t / p, clip)
        top[u] = top.get(u, 0.0) + w * r
        base[u] = base.get(u, 0.0) + (w if normalize else 1.0)
    value = sum(top.values()) / sum(base.values())
    n = len(top)
    spread = sum((top[u] - value * base[u]) ** 2 for u in top) * n / (n - 1)
    return value, math.sqrt(spread) / sum(base.values()), n


def test_four_decisions_by_hand():
    log = [1, 0, 1, 0], [0.5, 0.5, 0.25, 0.25], [1.0, 0.0, 0.5, 0.5]  # weights 2, 0, 2, 2
    result = ips(*log)
    assert isinstance(result, Estimate)
    assert result.value == 1.0
    # Rows 2, 0, 2, 0: variance 4/3, over 4.
    assert result.stderr == pytest.approx(math.sqrt(1 / 3))
    half = student.ppf(0.975, 3) * math.sqrt(1 / 3)
    assert result.ci == pytest.approx((1 - half, 1 + half))
    assert (result.n, result.n_units, result.max_weight, result.mean_weight) == (4, 4, 2.0, 1.5)
    assert result.ess == pytest.approx(3.0)
    assert result.n_unsupported is None
    assert result.method == "ips"
    normalised = snips(*log)
    assert normalised.value == pytest.approx(2 / 3)
    # Σ w² (r - 2/3)² = 4/9 + 4/9 + 16/9 = 24/9, times 4/3, over 6².
    assert normalised.stderr == pytest.approx(math.sqrt(24 / 9 * 4 / 3) / 6)


def test_a_clip_by_hand():
    result = clipped_ips([1, 0, 4, 1], [0.1, 0.5, 0.5, 1.0], [1.0, 0.0, 0.5, 0.5], clip=2)
    assert result.value == pytest.approx((2 + 0 + 4 + 0.5) / 4)
    assert (result.n_clipped, result.max_weight) == (1, 10.0)
    assert result.ess == pytest.approx(3.5**2 / (4 + 1 + 0.25))
    assert result.max_bias == pytest.approx((1 - 3.5 / 4) * 4)  # 1/8 of the weight, rewards to 4


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (ips, {}),
        (snips, {"normalize": True}),
        (clipped_ips, {"clip": 1.5}),
    ],
)
@pytest.mark.parametrize("grouped", [False, True])
def test_loops_agree(function, options, grouped):
    reward, pscore, target, unit = random_log()
    expected = loop(reward, pscore, target, unit if grouped else range(reward.size), **options)
    clip = {"clip": 1.5} if function is clipped_ips else {}
    result = function(reward, pscore, target, unit=unit if grouped else None, level=0.9, **clip)
    assert (result.value, result.stderr, result.n_units) == pytest.approx(expected)
    half = student.ppf(0.95, expected[2] - 1) * expected[1]
    assert result.ci == pytest.approx((expected[0] - half, expected[0] + half))


def test_over_all_logs_ips_is_unbiased_and_so_is_its_variance():
    mean = square = error = total = 0.0
    for action, reward, chance in all_logs(3):
        result = ips(reward, PL[action], PT[action])
        total += chance
        mean += chance * result.value
        square += chance * result.value**2
        error += chance * result.stderr**2
    assert total == pytest.approx(1.0)
    assert mean == pytest.approx(TRUTH, abs=1e-12)
    assert error == pytest.approx(square - mean**2)


def test_over_all_logs_the_bias_of_a_clip_is_as_stated():
    clip = 2.0
    mean = sum(
        chance * clipped_ips(reward, PL[action], PT[action], clip=clip).value
        for action, reward, chance in all_logs(2)
    )
    cut = np.maximum(PT / PL - clip, 0)
    assert mean - TRUTH == pytest.approx(-float(PL @ (cut * Q)))
    assert abs(mean - TRUTH) <= float(PL @ cut)
    # A log in the exact proportions: the weight cut off is known exactly.
    action = np.repeat([0, 1, 2], [2, 3, 5])
    reward = np.ones(10)
    stated = clipped_ips(reward, PL[action], PT[action], clip=clip).max_bias
    assert stated == pytest.approx(float(PL @ cut))


@pytest.mark.filterwarnings("ignore::mlsd._validation.UndefinedMetricWarning")
def test_over_all_logs_the_bias_of_snips_is_the_loggers_at_one_decision_and_falls():
    bias = [
        sum(
            chance * snips(reward, PL[action], PT[action]).value
            for action, reward, chance in all_logs(n)
        )
        - TRUTH
        for n in (1, 2, 4)
    ]
    assert bias[0] == pytest.approx(float(PL @ Q) - TRUTH)
    assert 0 < bias[2] < bias[1] < bias[0]


@given(seed=st.integers(0, 10_000), n=st.integers(2, 25))
@settings(max_examples=40, deadline=None)
def test_properties(seed, n):
    reward, pscore, target, unit = random_log(seed, n)
    # The logging policy itself has the mean of its log.
    for function in (ips, snips):
        same = function(reward, pscore, pscore)
        assert same.value == pytest.approx(reward.mean())
        assert same.stderr == pytest.approx(reward.std(ddof=1) / math.sqrt(n))
        assert same.ess == pytest.approx(n)
    first = ips(reward, pscore, target, unit=unit if np.unique(unit).size > 1 else None)
    # Units of the reward.
    assert ips(3 * reward, pscore, target).value == pytest.approx(3 * first.value)
    ratio = snips(reward, pscore, target)
    moved = snips(reward + 7, pscore, target)
    assert (moved.value, moved.stderr) == pytest.approx((ratio.value + 7, ratio.stderr), rel=1e-6)
    assert reward.min() - 1e-9 <= ratio.value <= reward.max() + 1e-9
    assert clipped_ips(reward, pscore, target, clip=np.inf).to_dict() == {
        **ips(reward, pscore, target).to_dict(),
        "method": "clipped_ips",
    }
    # The order of rows does not matter.
    order = np.random.default_rng(seed).permutation(n)
    again = snips(reward[order], pscore[order], target[order])
    assert (again.value, again.stderr) == pytest.approx((ratio.value, ratio.stderr))
    # A clip of positive rewards undervalues, the more the lower it is.
    values = [clipped_ips(np.abs(reward), pscore, target, clip=c).value for c in (0.5, 1, 2, 9)]
    assert values == sorted(values)


def test_columns_of_actions_are_the_same_as_the_logged_ones():
    action = np.array([0, 2, 1, 2])
    reward = np.array([1.0, 0.0, 1.0, 1.0])
    plain = ips(reward, PL[action], PT[action])
    wide = ips(reward, np.tile(PL, (4, 1)), np.tile(PT, (4, 1)), action=action)
    assert wide.n_unsupported == 0
    assert {**wide.to_dict(), "n_unsupported": None} == plain.to_dict()
    half = ips(pd.Series(reward), PL[action], pd.DataFrame(np.tile(PT, (4, 1))), action=action)
    assert half == plain


def test_a_target_that_leaves_the_support_is_refused_or_counted():
    logged = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    target = np.array([[0.5, 0.1, 0.4], [0.2, 0.3, 0.5]])
    log = [1, 1], logged, target
    with pytest.raises(ValueError, match=r"leaves the support of pscore in 1 of 2 rows, with 0\.2"):
        ips(*log, action=[0, 1])
    with pytest.warns(SupportWarning, match="1 of 2 rows") as caught:
        result = ips(*log, action=[0, 1], unsupported="warn")
    assert caught[0].filename == __file__
    assert result.n_unsupported == 1
    q = np.full((2, 3), 0.5)
    for function, more in ((doubly_robust, {}), (switch_dr, {"threshold": 9})):
        with pytest.warns(SupportWarning, match="1 of 2 rows") as caught:
            function(*log, q, action=[0, 1], unsupported="warn", **more)
        assert caught[0].filename == __file__


def test_weights_that_cannot_have_mean_1_are_said():
    rng = np.random.default_rng(0)
    action = rng.choice(3, 400, p=PL)
    reward = np.ones(400)
    target = np.array([0.1, 0.1, 0.1])  # the rest of its choices are outside
    with pytest.warns(SupportWarning, match=r"mean weight is 0\.2.*should be 1") as caught:
        ips(reward, PL[action], target[action])
    assert caught[0].filename == __file__
    with pytest.warns(SupportWarning):  # by unit
        ips(reward, PL[action], target[action], unit=np.arange(400) // 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ips(reward, PL[action], PT[action])
        ips(reward[:29], PL[action[:29]], target[action[:29]])
