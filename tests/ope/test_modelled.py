"""Estimates with a model: by hand, over all logs that can happen, and their limits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd.ope import direct_method, doubly_robust, ips, sndr, snips, switch_dr

# Two contexts, two actions.
PL = np.array([[0.2, 0.8], [0.5, 0.5]])
PT = np.array([[0.7, 0.3], [0.1, 0.9]])
Q = np.array([[0.5, 0.25], [0.75, 0.125]])
TRUTH = float((PT * Q).sum(axis=1).mean())
WRONG = np.array([[0.9, 0.0], [0.3, 0.4]])


def random_log(seed, n=20, n_actions=3):
    rng = np.random.default_rng(seed)
    logged = 0.7 * rng.dirichlet(np.ones(n_actions), n) + 0.1
    target = rng.dirichlet(np.ones(n_actions), n)
    action = rng.integers(0, n_actions, n)
    return rng.normal(size=n), logged, target, rng.normal(size=(n, n_actions)), action


def all_logs():
    """Yield every log of two decisions, and its probability; contexts are alike in chance."""
    one = list(itertools.product((0, 1), (0, 1), (0, 1)))
    for pair in itertools.product(one, repeat=2):
        x, a, r = (np.array(column) for column in zip(*pair, strict=True))
        chance = np.prod(0.5 * PL[x, a] * np.where(r == 1, Q[x, a], 1 - Q[x, a]))
        yield x, a, r, float(chance)


def expected(function):
    """The mean of the value and of the squared error over all logs, and the value's variance."""
    mean = square = error = 0.0
    for x, a, r, chance in all_logs():
        result = function(x, a, r)
        mean += chance * result.value
        square += chance * result.value**2
        error += chance * result.stderr**2
    return mean, error, square - mean**2


def test_two_decisions_by_hand():
    target, q = [[0.0, 1.0], [0.5, 0.5]], [[0.5, 0.25], [0.5, 1.0]]
    log = [1, 0], [0.5, 0.25], target, q
    # Predictions of the target: 0.25, 0.75. Weights 2, 2; errors 0.75, -0.5.
    assert direct_method(q, target).value == 0.5
    assert doubly_robust(*log, action=[1, 0]).value == pytest.approx(0.5 + (1.5 - 1.0) / 2)
    assert sndr(*log, action=[1, 0]).value == pytest.approx(0.5 + 0.5 / 4)
    result = switch_dr([1, 0], [0.5, 0.1], target, q, threshold=2, action=[1, 0])
    assert result.value == pytest.approx(0.5 + 1.5 / 2)
    assert (result.n_clipped, result.max_weight, result.ess) == (1, 5.0, 1.0)
    assert result.max_bias == 0.0  # the weights kept have mean 1
    result = switch_dr([1, 0], [1.0, 0.1], target, q, threshold=2, action=[1, 0])
    assert result.max_bias == pytest.approx(0.5 * 1.0)  # half the choices, rewards from 0 to 1


def test_sndr_error_by_hand():
    # z_i = q_i + w_i (e_i - m) / w̄ with m = 0.125: 0.25 + .625, 0.75 - .625 and their spread.
    target, q = [[0.0, 1.0], [0.5, 0.5]], [[0.5, 0.25], [0.5, 1.0]]
    result = sndr([1, 0], [0.5, 0.25], target, q, action=[1, 0])
    assert result.stderr == pytest.approx((0.875 - 0.125) / 2)


@pytest.mark.parametrize("model", [Q, WRONG, np.zeros((2, 2))], ids=["right", "wrong", "zero"])
def test_over_all_logs_doubly_robust_is_unbiased_whatever_the_model(model):
    mean, error, variance = expected(
        lambda x, a, r: doubly_robust(r, PL[x], PT[x], model[x], action=a)
    )
    assert mean == pytest.approx(TRUTH, abs=1e-12)
    assert error == pytest.approx(variance)


def test_over_all_logs_a_right_model_mends_wrong_propensities():
    wrong = np.array([[0.5, 0.5], [0.9, 0.1]])
    mean, _, _ = expected(lambda x, a, r: doubly_robust(r, wrong[x], PT[x], Q[x], action=a))
    assert mean == pytest.approx(TRUTH, abs=1e-12)
    biased, _, _ = expected(lambda x, a, r: ips(r, wrong[x], PT[x], action=a))
    assert abs(biased - TRUTH) > 0.05


def test_over_all_logs_the_bias_of_a_switch_is_the_models_above_it():
    weight = PT / PL  # 3.5, .375, .2, 1.8
    mean, _, _ = expected(
        lambda x, a, r: switch_dr(r, PL[x], PT[x], WRONG[x], threshold=1.8, action=a)
    )
    bias = float((PT * (WRONG - Q) * (weight > 1.8)).sum(axis=1).mean())
    assert mean - TRUTH == pytest.approx(bias)
    assert abs(bias) <= float((PT * (weight > 1.8)).sum(axis=1).mean())


def test_over_all_logs_the_direct_method_has_the_models_bias():
    mean, _, _ = expected(lambda x, a, r: direct_method(WRONG[x], PT[x]))
    assert mean == pytest.approx(float((PT * WRONG).sum(axis=1).mean()))


def test_a_perfect_model_leaves_the_spread_of_the_targets_values():
    _, logged, target, q, action = random_log(1)
    exact = q[np.arange(20), action]  # rewards without noise, and predicted exactly
    result = doubly_robust(exact, logged, target, q, action=action)
    direct = direct_method(q, target)
    assert (result.value, result.stderr) == pytest.approx((direct.value, direct.stderr))
    spread = (target * q).sum(axis=1).std(ddof=1) / math.sqrt(20)
    assert result.stderr == pytest.approx(spread)
    assert sndr(exact, logged, target, q, action=action).ci == pytest.approx(direct.ci)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_limits(seed):
    reward, logged, target, q, action = random_log(seed)
    log = reward, logged, target
    unit = np.arange(20) // 3
    for options in ({}, {"unit": unit}):
        options["action"] = action

        def same(one, other):
            assert (one.value, one.stderr) == pytest.approx((other.value, other.stderr), rel=1e-6)

        same(doubly_robust(*log, 0 * q, **options), ips(*log, **options))
        same(sndr(*log, 0 * q, **options), snips(*log, **options))
        same(sndr(*log, 0 * q + 3, **options), snips(*log, **options))
        whole = doubly_robust(*log, q, **options)
        same(switch_dr(*log, q, threshold=np.inf, **options), whole)
        low = switch_dr(*log, q, threshold=1e-12, **options)
        direct = direct_method(q, target, unit=options.get("unit"))
        same(low, direct)
        # Columns, or what follows from them.
        rows = np.arange(20)
        narrow = doubly_robust(
            reward,
            logged[rows, action],
            target[rows, action],
            q[rows, action],
            q_target=(target * q).sum(axis=1),
            unit=options.get("unit"),
        )
        same(narrow, whole)
        order = np.random.default_rng(seed).permutation(20)
        mixed = {name: values[order] for name, values in options.items()}
        again = sndr(reward[order], logged[order], target[order], q[order], **mixed)
        same(again, sndr(*log, q, **options))


def test_the_error_of_units_by_a_loop():
    reward, logged, target, q, action = random_log(5)
    unit = np.arange(20) // 4
    result = doubly_robust(reward, logged, target, q, action=action, unit=unit)
    rows = [
        target[i] @ q[i] + target[i, a] / logged[i, a] * (reward[i] - q[i, a])
        for i, a in enumerate(action)
    ]
    sums = [sum(rows[4 * u : 4 * u + 4]) / 4 for u in range(5)]
    assert result.value == pytest.approx(np.mean(sums))
    assert result.stderr == pytest.approx(np.std(sums, ddof=1) / math.sqrt(5))
    assert result.n_units == 5
