"""The rule for stages in a row against simulation and exact quantiles, and where it fails."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma

from mlsd.funnel.capacity import StageLoad, mm1_quantile, plan, tail_rule

times = st.floats(0, 1e6)
stages_ = st.lists(st.tuples(times, times), min_size=1, max_size=8)  # mean, and what is above it


def test_worked_by_hand():
    # 30 and 40 above means of 10 and 20: the root of 900 + 1600 is 50.
    assert tail_rule([10, 20], [40, 60]) == 80
    assert tail_rule((2,), (9,)) == 9
    assert tail_rule(iter([1, 0, 2]), np.array([3.0, 0.0, 2.0])) == 5
    assert tail_rule([0], [0]) == 0


@given(stages_)
def test_between_the_sum_of_the_tails_and_the_worst_single_stage(stages):
    means, tails = [mean for mean, _ in stages], [mean + above for mean, above in stages]
    found = tail_rule(means, tails)
    assert found <= sum(tails) * (1 + 1e-12)
    for at, tail in enumerate(tails):  # the largest tail among them
        assert found >= (sum(means) - means[at] + tail) * (1 - 1e-9)
    if len(stages) == 1:
        assert found == pytest.approx(tails[0], rel=1e-12)


@given(stages_.flatmap(lambda stages: st.tuples(st.just(stages), st.permutations(stages))))
def test_the_order_does_not_matter_and_the_unit_neither(both):
    one, other = ([mean for mean, _ in s] for s in both)
    late, later = ([mean + above for mean, above in s] for s in both)
    found = tail_rule(one, late)
    assert tail_rule(other, later) == pytest.approx(found, rel=1e-12)
    scaled = tail_rule([8 * mean for mean in one], [8 * tail for tail in late])
    assert scaled == pytest.approx(8 * found, rel=1e-12)


def test_an_unstable_stage_has_no_bound_and_rounding_is_no_error():
    assert tail_rule([1, math.inf], [2, math.inf]) == math.inf
    assert tail_rule([1, 2], [math.inf, 3]) == math.inf
    assert tail_rule([0.3, 1], [0.1 + 0.2 - 1e-16, 3]) == pytest.approx(3.3)
    with pytest.raises(ValueError, match="at least its mean"):
        tail_rule([1], [1 - 1e-8])


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("service_ms", [[4], [4, 4], [4, 4, 4], [4, 2, 1], [1, 4]])
def test_queues_of_one_server_in_a_row_against_their_simulation(service_ms, seed):
    # The docstring: up to 10 % too high for three stages, and never too low.
    found = plan(
        [StageLoad(str(at), 1, 1000 * ms) for at, ms in enumerate(service_ms)],
        100,
        utilisation=0.9,
        cores_per_machine=1,
        spare_machines=0,
        n_requests=200_000,
        random_state=seed,
    )
    means = [1 / (1 / ms - 0.1) for ms in service_ms]
    tails = [mm1_quantile(0.1, 1 / ms) for ms in service_ms]
    by_rule = tail_rule(means, tails)
    assert found.tail_rule_ms == pytest.approx(by_rule, rel=1e-12)
    noise = 4 * found.tail_stderr_ms / found.tail_ms
    assert noise < 0.06
    assert -noise < by_rule / found.tail_ms - 1 < 0.10 + noise


@pytest.mark.parametrize(
    ("q", "n", "error"),
    [
        (0.99, 2, 0.069),
        (0.99, 3, 0.100),
        (0.99, 12, 0.140),
        (0.95, 12, 0.039),
        (0.9, 3, -0.012),
        (0.999, 12, 0.269),
    ],
)
def test_equal_exponential_stages_against_the_exact_quantile(q, n, error):
    # The errors that the docstring states; the sum of n exponentials is a gamma.
    by_rule = tail_rule([1] * n, [-math.log1p(-q)] * n)
    assert by_rule / gamma.ppf(q, n) - 1 == pytest.approx(error, abs=0.001)


def test_twelve_equal_stages_are_the_worst_for_a_p99():
    errors = {
        n: tail_rule([1] * n, [math.log(100)] * n) / gamma.ppf(0.99, n) - 1 for n in range(1, 200)
    }
    assert max(errors, key=errors.get) in range(10, 15)
    assert min(errors.values()) == pytest.approx(0, abs=1e-9)


def test_normal_stages_are_exact():
    spread, z = np.array([1.0, 3.0, 2.0]), 2.3263478740408408
    tails = 10 + z * spread
    assert tail_rule([10] * 3, tails) == pytest.approx(30 + z * math.sqrt(14), rel=1e-12)


def test_where_it_fails():
    rng = np.random.default_rng(2)
    n = 400_000

    def ratio(times):
        tails = np.quantile(times, 0.99, axis=1)
        return np.quantile(times.sum(axis=0), 0.99) / tail_rule(times.mean(axis=1), tails)

    together = np.tile(rng.exponential(size=n), (2, 1))
    assert ratio(together) == pytest.approx(1.30, abs=0.01)
    hanging = rng.exponential(size=(2, n)) + 100 * (rng.random((2, n)) < 0.006)
    assert ratio(hanging) > 10
    scale = math.sqrt(math.log(10))  # a standard deviation of three means
    heavy = rng.lognormal(0, scale, size=(3, n))
    assert ratio(heavy) == pytest.approx(1.083, abs=0.03)
