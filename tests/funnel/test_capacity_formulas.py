"""Formulas against direct sums, quadrature and each other."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from mlsd.funnel.capacity import (
    erlang_c,
    fan_out,
    fan_out_quantile,
    kingman,
    littles_law,
    mm1_quantile,
    mmc_mean,
    mmc_quantile,
    peak_qps,
    postings_bytes,
    vector_index_bytes,
)


def erlang_c_by_sum(load: Fraction, servers: int) -> Fraction:
    """Return the textbook's ratio of sums, exactly."""
    term, below = Fraction(1), Fraction(0)
    for k in range(servers):
        below += term
        term = term * load / (k + 1)
    last = term / (1 - load / servers)
    return last / (below + last)


@pytest.mark.parametrize("servers", [1, 2, 3, 16, 64, 500])
@pytest.mark.parametrize(
    "busy", [Fraction(1, 10), Fraction(1, 2), Fraction(9, 10), Fraction(99, 100)]
)
def test_erlang_c_against_the_sum_in_fractions(servers, busy):
    load = busy * servers
    exact = erlang_c_by_sum(load, servers)
    assert erlang_c(float(load), 1.0, servers) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize(("servers", "load"), [(5_000, 4_950.0), (20_000, 19_900.0)])
def test_erlang_c_of_thousands_of_servers_against_logarithms(servers, load):
    logs = [k * math.log(load) - math.lgamma(k + 1) for k in range(servers + 1)]
    logs[-1] -= math.log1p(-load / servers)
    top = max(logs)
    weights = [math.exp(log - top) for log in logs]
    assert erlang_c(load, 1.0, servers) == pytest.approx(weights[-1] / math.fsum(weights), rel=1e-8)


@pytest.mark.parametrize("q", [0.01, 0.5, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize(
    ("arrival", "service", "servers"),
    [
        (0.5, 1.0, 1),
        (3.0, 1.0, 4),  # what is left of the capacity equals the rate of a server
        (3.0 + 1e-12, 1.0, 4),
        (3.9, 1.0, 4),
        (0.1, 1.0, 4),
        (1500.0, 100.0, 16),
        (1e-9, 1e3, 64),
    ],
)
def test_the_quantile_against_quadrature(arrival, service, servers, q):
    time = mmc_quantile(arrival, service, servers, q)
    waiting = erlang_c(arrival, service, servers)
    slack = servers * service - arrival
    # In time of a service, so that the integrator sees the same scale for all.
    later, _ = quad(
        lambda s: math.exp(-s) * waiting * math.exp(-slack / service * (time * service - s)),
        0,
        time * service,
        epsabs=1e-14,
        epsrel=1e-12,
        limit=200,
    )
    assert math.exp(-service * time) + later == pytest.approx(1 - q, rel=1e-9)


def test_a_queue_of_one_server_worked_by_hand():
    # 80 a second come, 100 can be served: the time in the system is exponential with rate 20.
    assert mm1_quantile(80, 100, 0.5) == pytest.approx(math.log(2) / 20, rel=1e-15)
    assert mmc_mean(80, 100, 1) == pytest.approx(1 / 20, rel=1e-14)
    assert kingman(80, 0.01) == pytest.approx(1 / 20 - 1 / 100, rel=1e-13)
    assert erlang_c(80, 100, 1) == pytest.approx(0.8, rel=1e-15)


def test_arithmetic_worked_by_hand():
    assert peak_qps(8_640_000, 10) == 2000.0
    assert peak_qps(8_640_000, 10, peak_factor=1) == 1000.0
    assert littles_law(arrival_rate=100, time_in_system=0.2) == 20
    assert littles_law(in_system=20, time_in_system=0.2) == 100
    assert littles_law(in_system=20, arrival_rate=100) == 0.2
    assert fan_out(100) == pytest.approx(1 - 0.99**100, rel=1e-12)
    assert fan_out(1, q=0.9) == pytest.approx(0.1, rel=1e-12)
    assert vector_index_bytes(10, 4) == 10 * (16 + 8)
    assert vector_index_bytes(10, 4, bytes_per_value=1, bytes_per_id=4, links=3, replicas=2) == 400
    assert vector_index_bytes(3, 1, bytes_per_value=0.125) == 25  # 24.375, rounded up
    assert postings_bytes(1000, 2.5, bytes_per_posting=1.5, replicas=2) == 7500


def test_an_unstable_queue_has_no_bound():
    for arrival in (2.0, 3.0):
        assert mm1_quantile(2 * arrival, 2.0) == math.inf
        assert mmc_quantile(arrival, 1.0, 2) == math.inf
        assert mmc_mean(arrival, 1.0, 2) == math.inf
        assert kingman(arrival, 1.0, servers=2) == math.inf
        assert erlang_c(arrival, 1.0, 2) == 1.0


rates = st.floats(1e-3, 1e6)
shares = st.floats(0.01, 0.99)
servers_ = st.integers(1, 300)
quantiles = st.floats(0.01, 0.9999)


@given(rates, shares, quantiles)
def test_several_servers_reduce_to_one(service, busy, q):
    arrival = busy * service
    assert mmc_quantile(arrival, service, 1, q) == pytest.approx(
        mm1_quantile(arrival, service, q), rel=1e-9
    )
    assert kingman(arrival, 1 / service) == pytest.approx(
        mmc_mean(arrival, service, 1) - 1 / service, rel=1e-6
    )


@settings(max_examples=60)
@given(rates, shares, shares, servers_, quantiles, quantiles)
def test_more_load_is_later_more_servers_sooner(service, one, other, servers, q, q_other):
    low, high = sorted([one * servers * service, other * servers * service])
    early, late = sorted([q, q_other])
    slack = 1 + 1e-12
    assert mmc_quantile(low, service, servers, q) <= mmc_quantile(high, service, servers, q) * slack
    assert mmc_quantile(high, service, servers + 1, q) <= (
        mmc_quantile(high, service, servers, q) * slack
    )
    assert mmc_quantile(low, service, servers, early) <= mmc_quantile(low, service, servers, late)
    assert 0 <= erlang_c(low, service, servers) <= erlang_c(high, service, servers) <= 1
    assert erlang_c(high, service, servers + 1) <= erlang_c(high, service, servers)
    # Never sooner than service alone, and one line is better than a line for each server.
    assert mmc_quantile(low, service, servers, q) >= -math.log1p(-q) / service / slack
    assert mmc_quantile(low, service, servers, q) <= (
        mm1_quantile(low / servers, service, q) * slack
    )


@given(rates, shares, servers_, st.floats(0, 5), st.floats(0, 5))
def test_kingman_grows_with_spread_and_is_exact_without_extra_spread(
    service, busy, servers, arrival_cv, service_cv
):
    rate = busy * servers * service
    wait = kingman(rate, 1 / service, servers=servers)
    assert wait == pytest.approx(mmc_mean(rate, service, servers) - 1 / service, abs=1e-9 / service)
    scaled = kingman(
        rate, 1 / service, servers=servers, cv_arrival=arrival_cv, cv_service=service_cv
    )
    assert scaled == pytest.approx(wait * (arrival_cv**2 + service_cv**2) / 2, rel=1e-12)


@given(st.integers(1, 10_000), quantiles)
def test_the_quantile_of_one_call_undoes_the_fan_out(n, q):
    single = fan_out_quantile(n, q)
    assume(single < 1)
    assert fan_out(n, q=single) == pytest.approx(1 - q, rel=1e-6)
    assert fan_out(n, q=q) <= fan_out(n + 1, q=q)


@given(st.floats(1e-6, 1e9), st.floats(1e-6, 1e9))
def test_little_comes_back(rate, time):
    inside = littles_law(arrival_rate=rate, time_in_system=time)
    assert littles_law(in_system=inside, arrival_rate=rate) == pytest.approx(time, rel=1e-12)
    assert littles_law(in_system=inside, time_in_system=time) == pytest.approx(rate, rel=1e-12)
