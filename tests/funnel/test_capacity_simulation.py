"""Simulated queues and fan-outs against formulas, within their own standard errors."""

from __future__ import annotations

import math
from random import Random
from statistics import fmean, stdev

import numpy as np
import pytest

from mlsd.funnel.capacity import (
    fan_out,
    kingman,
    littles_law,
    mm1_quantile,
    mmc_mean,
    mmc_quantile,
    simulate_fan_out,
    simulate_queue,
)
from mlsd.funnel.capacity._checks import quantile
from mlsd.funnel.capacity._draws import batch_stderr, departures, draw_services

QS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def errors(run, expected):
    """Return how many standard errors each value is from what was expected."""
    return {
        name: (getattr(run, name) - value) / getattr(run, f"{name}_stderr")
        for name, value in expected.items()
    }


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("servers", [1, 2, 5, 16])
@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8, 0.95])
def test_a_queue_against_its_formula(busy, servers, seed):
    rate = busy * servers * 10
    n = 1_000_000 if busy > 0.9 else 100_000
    run = simulate_queue(rate, 0.1, servers=servers, n_requests=n, random_state=seed)
    expected = {name: mmc_quantile(rate, 10, servers, q) for name, q in QS.items()}
    expected["mean"] = mmc_mean(rate, 10, servers)
    assert max(map(abs, errors(run, expected).values())) < 4
    # The errors are small enough to tell a right formula from a wrong one. One server at .95 is
    # correlated over thousands of requests, so that a million are worth a few hundred.
    assert run.mean_stderr < (0.1 if busy > 0.9 else 0.05) * run.mean
    assert run.p99_stderr < (0.15 if busy > 0.9 else 0.08) * run.p99
    assert run.utilisation == pytest.approx(busy, abs=0.02)


def test_the_standard_errors_are_of_the_right_size():
    # Of many runs, the share within two standard errors is that of Student's t with 19 degrees:
    # 94 %. Far less would make the tests above blind luck, far more would make them blind.
    scores = []
    for seed in range(150):
        run = simulate_queue(6, 0.1, n_requests=20_000, random_state=seed)
        expected = {name: mm1_quantile(6, 10, q) for name, q in QS.items()}
        scores += errors(run, {**expected, "mean": 0.25}).values()
    within = np.mean(np.abs(scores) < 2)
    assert 0.90 < within < 0.98


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("service", "cv"),
    [("deterministic", 0.0), ("lognormal", 2.0), ("weibull", 0.5), ("weibull", 2)],
)
def test_the_mean_against_pollaczek_and_khinchine(service, cv, seed):
    run = simulate_queue(
        7, 0.1, service=service, cv_service=cv, n_requests=400_000, random_state=seed
    )
    # Mean wait of M/G/1, written out: λ E[S²] / (2 (1 - ρ)).
    wait = 7 * 0.1**2 * (1 + cv**2) / (2 * (1 - 0.7))
    assert abs(run.mean - wait - 0.1) < 4 * run.mean_stderr
    assert abs(run.mean_wait - wait) < 4 * run.mean_stderr
    assert run.mean_stderr < 0.05 * run.mean
    assert kingman(7, 0.1, cv_service=cv) == pytest.approx(wait, rel=1e-12)


@pytest.mark.parametrize("service", ["exponential", "deterministic", "lognormal"])
@pytest.mark.parametrize("servers", [1, 7])
def test_littles_law_holds_to_the_last_digits(service, servers):
    run = simulate_queue(9.0 * servers, 0.1, servers=servers, service=service, n_requests=20_000)
    inside = littles_law(arrival_rate=run.arrival_rate, time_in_system=run.mean)
    assert run.in_system == pytest.approx(inside, rel=1e-9)
    assert run.mean_wait > 0


def brute_force_departures(arrivals, services, servers):
    """Walk in time: who waits longest gets the first server that falls free."""
    free = np.zeros(servers)
    left = []
    for arrival, service in zip(arrivals, services, strict=True):
        server = int(free.argmin())
        free[server] = max(free[server], arrival) + service
        left.append(free[server])
    return left


@pytest.mark.parametrize("servers", [1, 2, 9])
def test_departures_against_brute_force(servers):
    rng = np.random.default_rng(5)
    arrivals = np.cumsum(rng.exponential(size=500)).tolist()
    services = rng.exponential(0.9 * servers, size=500).tolist()
    expected = brute_force_departures(arrivals, services, servers)
    assert departures(arrivals, services, servers) == pytest.approx(expected, rel=1e-14)


def test_time_is_a_matter_of_units_and_the_seed_decides():
    one = simulate_queue(8, 0.1, n_requests=5000, random_state=4)
    other = simulate_queue(8000, 0.0001, n_requests=5000, random_state=4)
    assert other.p99 == pytest.approx(one.p99 / 1000, rel=1e-9)
    assert simulate_queue(8, 0.1, n_requests=5000, random_state=4) == one
    assert simulate_queue(8, 0.1, n_requests=5000, random_state=5) != one
    assert simulate_queue(8, 0.1, n_requests=5000, random_state=Random(4)) == one
    assert simulate_queue(8, 0.1, n_requests=5000, random_state=None) != one


def test_the_warm_up_is_not_counted():
    whole = simulate_queue(9.5, 0.1, n_requests=10_000, warm_up=0)
    part = simulate_queue(9.5, 0.1, n_requests=10_000, warm_up=0.25)
    assert (whole.n, part.n) == (10_000, 7_500)
    assert part.mean > whole.mean  # an empty system is quick


def test_services_of_the_users_own():
    measured = [0.02, 0.05, 0.3]
    run = simulate_queue(
        3, fmean(measured), service=lambda rng: rng.choice(measured), n_requests=5000
    )
    constant = simulate_queue(3, 0.1, service=lambda rng: 0.1, n_requests=5000)
    assert run.utilisation == pytest.approx(3 * fmean(measured), rel=0.1)
    assert constant == simulate_queue(3, 0.1, service="deterministic", n_requests=5000)


@pytest.mark.parametrize("cv", [0.1, 0.5, 1.0, 1.7])
@pytest.mark.parametrize("service", ["lognormal", "weibull"])
def test_the_spread_is_the_one_asked_for(service, cv):
    times = draw_services(Random(1), service, 0.02, cv, 400_000)
    assert fmean(times) == pytest.approx(0.02, rel=0.01)
    assert stdev(times) / fmean(times) == pytest.approx(cv, rel=0.03)


def test_a_weibull_of_spread_one_is_exponential_and_of_none_constant():
    assert draw_services(Random(1), "weibull", 0.5, 1.0, 50) == draw_services(
        Random(1), "exponential", 0.5, 1.0, 50
    )
    assert draw_services(Random(1), "weibull", 0.5, 0.0, 3) == [0.5] * 3
    assert draw_services(Random(1), "lognormal", 0.5, 0.0, 3) == [0.5] * 3


def test_quantiles_and_batches_against_numpy():
    values = np.random.default_rng(3).normal(size=1007)
    for q in (0.0, 0.3, 0.5, 0.99, 1.0):
        assert quantile(sorted(values), q) == pytest.approx(np.quantile(values, q), rel=1e-12)
    found, found_errors, mean, mean_error = batch_stderr(values.tolist(), [0.5, 0.9])
    batches = [*values[:950].reshape(19, 50), values[950:]]
    assert found == pytest.approx(np.quantile(values, [0.5, 0.9]).tolist(), rel=1e-12)
    for error, q in zip(found_errors, (0.5, 0.9), strict=True):
        spread = np.std([np.quantile(batch, q) for batch in batches], ddof=1)
        assert error == pytest.approx(spread / math.sqrt(20), rel=1e-12)
    assert mean == pytest.approx(values.mean(), rel=1e-12)
    spread = np.std([batch.mean() for batch in batches], ddof=1)
    assert mean_error == pytest.approx(spread / math.sqrt(20), rel=1e-12)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 10, 100])
def test_the_slowest_of_many_against_its_formula(n, seed):
    run = simulate_fan_out(n, 2.0, random_state=seed)
    expected = {name: -2 * math.log1p(-(q ** (1 / n))) for name, q in QS.items()}
    expected["mean"] = 2 * sum(1 / k for k in range(1, n + 1))
    assert max(map(abs, errors(run, expected).values())) < 4
    assert run.extra_load == 0.0


def test_the_share_of_slow_requests_is_that_of_the_formula():
    limit = -math.log(0.01)  # the 99th percentile of one call
    rng = np.random.default_rng(1)
    slow = (rng.exponential(size=(50_000, 40)).max(axis=1) > limit).mean()
    assert slow == pytest.approx(fan_out(40), abs=4 * math.sqrt(0.25 / 50_000))


@pytest.mark.parametrize("seed", [1, 2])
def test_hedged_calls_against_their_formula(seed):
    n, after = 20, 1.5

    def below(time):  # an exponential call, and from `after` on the better of two
        return (1 - math.exp(-time - max(0.0, time - after))) ** n

    run = simulate_fan_out(n, 1.0, hedge_after=after, random_state=seed)
    for name, q in QS.items():
        low, high = 0.0, 50.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if below(middle) < q else (low, middle)
        assert abs(getattr(run, name) - low) < 4 * getattr(run, f"{name}_stderr")
    assert run.extra_load == pytest.approx(math.exp(-after), abs=0.003)


def test_a_simulation_prints_its_fields():
    run = simulate_queue(8, 0.1, n_requests=5000)
    assert str(run).splitlines()[1].split() == ["n", "4,500"]
    assert run.to_frame().loc["p99", "value"] == run.p99
    assert run.to_dict()["in_system"] == run.in_system
    assert "<td>4,500</td>" in run._repr_html_()


def test_hedging_leaves_the_first_calls_alone():
    plain = simulate_fan_out(10, random_state=7)
    never = simulate_fan_out(10, hedge_after=1e9, random_state=7)
    at_once = simulate_fan_out(10, hedge_after=0.0, random_state=7)
    late = simulate_fan_out(10, hedge_after=3.0, random_state=7)
    assert never == plain
    assert at_once.extra_load == 1.0
    assert at_once.p99 < late.p99 < plain.p99
    assert 0 < late.extra_load < 0.06
