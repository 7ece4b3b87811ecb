"""Plans worked by hand, the row of stages against another simulator, and what moves a plan."""

from __future__ import annotations

import heapq
import json
import math
from collections import deque
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd.funnel.capacity import (
    PUBLISHED,
    StageLoad,
    kingman,
    littles_law,
    mmc_mean,
    mmc_quantile,
    plan,
    published_table,
    sensitivity,
    simulate_queue,
    tail_rule,
)
from mlsd.funnel.capacity._checks import streams
from mlsd.funnel.capacity._draws import draw_services, poisson_arrivals
from mlsd.funnel.capacity._tandem import run_tandem

STAGES = (
    StageLoad("retrieve", n_in=1_000_000, us_per_item=0.003),
    StageLoad("light", n_in=1000, us_per_item=10, fixed_ms=2),
    StageLoad("heavy", n_in=100, us_per_item=400, parallelism=5),
)


def test_machines_and_money_worked_by_hand():
    found = plan(STAGES, 2000, price_per_machine_hour=0.5)
    # retrieve: 3 ms; 6 cores busy; 10 at 60 %; 1 machine of 16, and 1 spare; 6 / 16 busy.
    # light: 2 + 10 ms; 24 cores busy; 40 at 60 %; 3 machines and 1; 24 / 48.
    # heavy: 100 * 400 us / 5 cores = 8 ms; 16 groups of 5 busy; 26.7 at 60 %; 3 groups fit on a
    # machine of 16, so 9 machines and 1; 16 / 27.
    expected = {
        "name": ["retrieve", "light", "heavy"],
        "service_ms": [3, 12, 8],
        "cores_busy": [6, 24, 80],
        "machines": [2, 4, 10],
        "servers": [16, 48, 27],
        "utilisation": [6 / 16, 24 / 48, 16 / 27],
        "money_per_day": [24, 48, 120],
    }
    for field, values in expected.items():
        got = [getattr(stage, field) for stage in found.stages]
        assert got == (values if field == "name" else pytest.approx(values, rel=1e-12)), field
    assert (found.machines, found.money_per_day) == (16, 192)
    for stage in found.stages:
        rate, served = 2.0, 1 / stage.service_ms  # a millisecond
        assert stage.tail_ms == pytest.approx(mmc_quantile(rate, served, stage.servers))
        assert stage.mean_ms == pytest.approx(mmc_mean(rate, served, stage.servers))
    assert found.mean_ms == pytest.approx(sum(stage.mean_ms for stage in found.stages))
    assert found.sum_of_tails_ms == pytest.approx(sum(stage.tail_ms for stage in found.stages))
    inside = littles_law(arrival_rate=2000, time_in_system=found.mean_ms / 1000)
    assert found.in_flight == pytest.approx(inside)
    by_rule = tail_rule([s.mean_ms for s in found.stages], [s.tail_ms for s in found.stages])
    assert found.tail_rule_ms == by_rule
    # The sum of the tails is above the tail of the sum, and the longest tail below it.
    assert max(stage.tail_ms for stage in found.stages) < found.tail_ms < found.sum_of_tails_ms


def test_no_price_no_money():
    found = plan(STAGES, 2000)
    assert found.money_per_day is None
    assert [stage.money_per_day for stage in found.stages] == [None] * 3
    assert plan(STAGES, 2000, price_per_machine_hour=0).money_per_day == 0.0


def test_a_rounding_error_buys_no_machine():
    stage = StageLoad("a", n_in=1, us_per_item=10_000)
    options = {"utilisation": 0.7, "cores_per_machine": 3, "spare_machines": 0}
    assert 2100 * (10_000 / 1000) / 1000 / 0.7 / 3 > 10  # in floating point
    assert plan([stage], 2100, **options).machines == 10
    assert plan([stage], 2100.01, **options).machines == 11


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_tail_of_two_queues_of_one_server_against_its_formula(seed):
    # Two M/M/1 in a row: two independent exponentials, of rates 250 - 100 and 400 - 100 a second.
    stages = [StageLoad("a", 1, 4000), StageLoad("b", 1, 2500)]
    found = plan(
        stages, 100, cores_per_machine=1, spare_machines=0, n_requests=200_000, random_state=seed
    )
    assert [stage.servers for stage in found.stages] == [1, 1]
    late = (300 * math.exp(-0.15 * found.tail_ms) - 150 * math.exp(-0.3 * found.tail_ms)) / 150
    slope = 300 * 0.15 * math.exp(-0.15 * found.tail_ms) / 150
    assert abs(late - 0.01) < 4 * slope * found.tail_stderr_ms
    assert found.tail_stderr_ms < 0.02 * found.tail_ms


def event_by_event(stages, rate, n, seed):
    """Return times through a row of queues, from a calendar of events."""
    arriving, *serving = streams(seed, 1 + len(stages))
    arrivals = poisson_arrivals(arriving, rate, n)
    services = [
        draw_services(rng, "weibull", mean, cv, n)
        for rng, (mean, cv, _) in zip(serving, stages, strict=True)
    ]
    calendar = [(time, 0, "arrives", request) for request, time in enumerate(arrivals)]
    heapq.heapify(calendar)
    lines = [deque() for _ in stages]
    idle = [servers for _, _, servers in stages]
    done = [0.0] * n
    while calendar:
        now, stage, what, request = heapq.heappop(calendar)
        if what == "arrives":
            if stage == len(stages):
                done[request] = now
                continue
            lines[stage].append(request)
        else:
            idle[stage] += 1
            heapq.heappush(calendar, (now, stage + 1, "arrives", request))
        if lines[stage] and idle[stage]:
            idle[stage] -= 1
            first = lines[stage].popleft()
            heapq.heappush(calendar, (now + services[stage][first], stage, "leaves", first))
    return np.subtract(done, arrivals)


@pytest.mark.parametrize("q", [0.5, 0.99])
def test_the_row_of_stages_against_a_calendar_of_events(q):
    stages = [(3.0, 1.0, 5), (1.0, 0.5, 1), (10.0, 2.0, 16)]
    rate, n = 0.9, 4000
    found = run_tandem(stages, rate, q, n, 11)
    warm_up = 400  # a tenth: 12.6 in service at one moment are filled sooner
    times = event_by_event(stages, rate, n + warm_up, 11)[warm_up:]
    assert found.tail == pytest.approx(np.quantile(times, q), rel=1e-9)
    batches = [np.quantile(batch, q) for batch in np.split(times, 20)]
    assert found.stderr == pytest.approx(np.std(batches, ddof=1) / math.sqrt(20), rel=1e-9)
    first = event_by_event(stages[:1], rate, n + warm_up, 11)[warm_up:]
    assert found.tails[0] == pytest.approx(np.quantile(first, q), rel=1e-9)


@pytest.mark.parametrize(
    ("service", "servers", "warm_up"),
    [(900.0, 1000, 4500), (9000.0, 10_000, 8000)],
    ids=["filled", "at most four times what is counted"],
)
def test_the_warm_up_fills_a_large_system(service, servers, warm_up):
    # 900 in service at one moment: a tenth of 2000 requests would leave it nearly empty.
    stages = [(service, 1.0, servers)]
    found = run_tandem(stages, 1.0, 0.5, 2000, 3)
    times = event_by_event(stages, 1.0, 2000 + warm_up, 3)[warm_up:]
    assert found.tail == pytest.approx(np.quantile(times, 0.5), rel=1e-9)


def test_constant_times_without_waiting_add_up():
    calm = [replace(stage, cv_service=0) for stage in STAGES]
    found = plan(calm, 1)
    assert found.tail_ms == pytest.approx(23, rel=1e-9)
    assert [stage.tail_ms for stage in found.stages] == pytest.approx([3, 12, 8], rel=1e-9)
    assert found.sum_of_tails_ms == pytest.approx(23, rel=1e-9)
    assert found.tail_rule_ms == pytest.approx(23, rel=1e-6)


def test_other_spreads_are_simulated():
    stage = StageLoad("a", 1, 8000, cv_service=0.5)
    found = plan([stage], 100, cores_per_machine=1, spare_machines=0, utilisation=0.85)
    assert found.stages[0].tail_ms == found.tail_ms
    assert found.mean_ms == pytest.approx(8 + kingman(0.1, 8, cv_service=0.5))
    run = simulate_queue(
        100, 0.008, service="weibull", cv_service=0.5, n_requests=200_000, random_state=9
    )
    assert abs(found.tail_ms - 1000 * run.p99) < 4 * found.tail_stderr_ms


def test_the_rule_has_no_value_below_a_mean_and_no_bound_without_slack():
    median = plan(STAGES, 2000, q=0.5)  # of an exponential time: below its mean
    assert median.tail_rule_ms is None
    assert pd.isna(median.to_frame().loc["end to end", "rule ms"])
    assert str(median).splitlines()[4].split()[-2:] == ["-", "-"]  # no rule, no price
    # A load of one: by formula nothing holds, whatever a simulation of some requests finds.
    full = {"cores_per_machine": 1, "utilisation": 1 - 1e-16, "spare_machines": 0}
    for cv in (1.0, 0.5):
        packed = plan([StageLoad("a", 1, 10_000, cv_service=cv)], 100, n_requests=1000, **full)
        assert packed.tail_rule_ms == packed.mean_ms == math.inf


def test_a_stage_without_work_takes_no_time():
    found = plan([StageLoad("pass", 0, 5), STAGES[0]], 1000)
    assert found.stages[0].machines == 2
    assert (found.stages[0].mean_ms, found.stages[0].tail_ms, found.stages[0].utilisation) == (
        0,
        0,
        0,
    )
    assert found.mean_ms == found.stages[1].mean_ms


def test_the_spare_machines_are_not_leant_on():
    without = plan(STAGES, 2000, spare_machines=0)
    with_three = plan(STAGES, 2000, spare_machines=3)
    assert with_three.machines == without.machines + 9
    assert with_three.tail_ms == without.tail_ms
    assert [s.utilisation for s in with_three.stages] == [s.utilisation for s in without.stages]


loads = st.builds(
    StageLoad,
    name=st.just("a"),
    n_in=st.integers(1, 10_000),
    us_per_item=st.floats(0.01, 1000),
    fixed_ms=st.floats(0, 50),
    parallelism=st.integers(1, 8),
)


@settings(max_examples=40, deadline=None)
@given(loads, st.floats(0.1, 1000), st.floats(0.05, 0.95), st.integers(8, 64))
def test_a_plan_keeps_its_promises(load, qps, target, cores):
    options = {"utilisation": target, "cores_per_machine": cores, "n_requests": 1000}
    found = plan([load], qps, spare_machines=0, **options)
    (stage,) = found.stages
    assert stage.utilisation <= target * (1 + 1e-9)
    assert stage.cores_busy <= stage.machines * cores * target * (1 + 1e-9)
    # One machine fewer would break the target, unless there is but one.
    groups = cores // load.parallelism
    fewer = (stage.machines - 1) * groups
    assert stage.machines == 1 or stage.utilisation * stage.servers > fewer * target
    more = plan([load], 2 * qps, spare_machines=0, **options)
    assert stage.machines <= more.machines <= 2 * stage.machines
    assert stage.service_ms <= stage.mean_ms <= stage.tail_ms


def test_a_plan_as_text_frame_dictionary_and_html():
    found = plan(
        [StageLoad("<b>&", 10, 100), StageLoad("last", 10, 100)], 5000, price_per_machine_hour=2
    )
    lines = str(found).splitlines()
    assert lines[0].split()[:5] == ["stage", "service", "ms", "cores", "busy"]
    assert lines[1].split()[:4] == ["<b>&", "1", "5", "2"]
    assert lines[3].startswith("end to end")
    assert "5,000 requests a second, 10" in lines[4]
    assert "the rule is for independent stages;" in lines[5]
    assert "is not it" in lines[6]
    html = found._repr_html_()
    assert "&lt;b&gt;&amp;" in html
    assert "<b>" not in html
    assert html.count("<tr>") == 4
    frame = found.to_frame()
    assert frame.index.tolist() == ["<b>&", "last", "end to end"]
    assert frame.loc["end to end", "machines"] == 4
    assert frame.loc["end to end", "money a day"] == 192
    assert frame.loc["end to end", "rule ms"] == found.tail_rule_ms
    assert lines[3].split()[-3:-1] == [f"{found.tail_ms:.4g}", f"{found.tail_rule_ms:.4g}"]
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["stages"][0]["name"] == "<b>&"
    assert plain["machines"] == 4
    assert plain["tail_rule_ms"] == found.tail_rule_ms
    other = plan([StageLoad("a", 10, 100)], 5000, q=0.95)
    assert "p95 ms" in str(other)
    assert "p99" not in str(other)


def test_the_tail_asked_for_is_the_one_reported():
    found = plan(STAGES, 2000, q=0.9)
    assert found.q == 0.9
    assert found.stages[0].tail_ms == pytest.approx(mmc_quantile(2, 1 / 3, 16, 0.9))
    assert found.tail_ms < plan(STAGES, 2000).tail_ms


def test_numpy_numbers_pass_and_come_back_plain():
    stage = StageLoad("a", np.int64(100), np.float32(10.0))
    found = plan([stage], np.float64(100), cores_per_machine=np.int64(4))
    json.dumps(found.to_dict())
    assert found == plan([StageLoad("a", 100, 10.0)], 100, cores_per_machine=4)


def rows_of(moved):
    return {row.input: row for row in moved.rows}


def test_which_way_each_input_moves_a_plan():
    moved = sensitivity(STAGES, 5000, price_per_machine_hour=0.5, n_requests=5000)
    rows = rows_of(moved)
    assert list(rows) == [
        "qps",
        "utilisation",
        "cores_per_machine",
        "price_per_machine_hour",
        *(
            f"{stage.name}: {field}"
            for stage in STAGES
            for field in ("n_in", "us_per_item", "fixed_ms", "cv_service")
        ),
    ]
    for name in ("qps", "light: n_in", "light: us_per_item", "heavy: n_in"):
        assert rows[name].machines_low < moved.base.machines < rows[name].machines_high, name
        assert rows[name].money_low < moved.base.money_per_day < rows[name].money_high, name
    for name in ("utilisation", "cores_per_machine"):
        assert rows[name].machines_low > moved.base.machines > rows[name].machines_high, name
    for name in ("light: n_in", "light: fixed_ms", "heavy: us_per_item", "heavy: cv_service"):
        assert rows[name].tail_low < moved.base.tail_ms < rows[name].tail_high, name
    price = rows["price_per_machine_hour"]
    assert price.machines_low == price.machines_high == moved.base.machines
    assert (price.low, price.high) == pytest.approx((0.4, 0.6))
    assert (price.money_low, price.money_high) == pytest.approx(
        (0.8 * moved.base.money_per_day, 1.2 * moved.base.money_per_day)
    )
    still = rows["retrieve: fixed_ms"]
    assert (still.low, still.high, still.tail_low) == (0, 0, moved.base.tail_ms)
    assert moved.base == plan(STAGES, 5000, price_per_machine_hour=0.5, n_requests=5000)


def test_a_row_is_the_plan_with_that_input():
    options = {"utilisation": 0.9, "cores_per_machine": 6, "n_requests": 1000, "random_state": 5}
    rows = rows_of(sensitivity(STAGES, 700, change=0.3, **options))
    low = plan(STAGES, 0.7 * 700, **options)
    assert (rows["qps"].machines_low, rows["qps"].tail_low) == (low.machines, low.tail_ms)
    more = plan([*STAGES[:2], replace(STAGES[2], n_in=100 * 1.3)], 700, **options)
    row = rows["heavy: n_in"]
    assert (row.machines_high, row.tail_high) == (more.machines, more.tail_ms)
    # Not past the point where a queue grows without bound, nor below what a request is split over.
    assert rows["utilisation"].high == 0.99
    assert (rows["cores_per_machine"].low, rows["cores_per_machine"].high) == (5, 8)
    assert "price_per_machine_hour" not in rows
    assert rows["qps"].money_low is None


def test_sensitivity_prints_and_repeats():
    one = sensitivity(STAGES[:1], 700, n_requests=1000, price_per_machine_hour=1)
    text = str(one)
    assert text.splitlines()[0].split()[:3] == ["input", "low", "high"]
    assert "Each input moved by 20%, alone." in text
    assert "money a day" in text
    assert one.to_frame().shape == (8, 8)
    assert "<table" in one._repr_html_()
    assert one == sensitivity(STAGES[:1], 700, n_requests=1000, price_per_machine_hour=1)
    # A stream is turned into one seed for all plans, so that they can be compared.
    (stream,) = streams(1, 1)
    still = sensitivity(STAGES[:1], 700, n_requests=1000, random_state=stream).rows[-2]
    assert still.input == "retrieve: fixed_ms"
    assert still.tail_low == still.tail_high


def test_published_funnels_are_sound():
    assert len({one.system for one in PUBLISHED}) == len(PUBLISHED)
    for one in PUBLISHED:
        assert one.source
        assert one.seen in ("source", "quoted")
        for _, low, high in one.stages:
            assert high is None or 0 <= low <= high
        least = [low for _, low, _ in one.stages if low]
        assert least == sorted(least, reverse=True), f"{one.system} widens"
        assert one.latency_ms is None or one.latency_ms[0] < one.latency_ms[1]
        assert any(mark in one.source for mark in ("doi", "arXiv", "https://", "Meta Transparency"))


def test_published_table_is_one_row_a_system():
    rows = published_table()
    frame = pd.DataFrame(rows)
    assert frame["system"].tolist() == [one.system for one in PUBLISHED]
    by_system = {row["system"]: row for row in rows}
    twitter = by_system["Twitter For You timeline"]
    assert twitter["funnel"] == "candidate sources 100,000,000–999,000,000 → ranking 1,500"
    assert twitter["latency_ms"] == "up to 1,500"
    assert by_system["Metarank"]["latency_ms"] == "10–30"
    assert by_system["Metarank"]["year"] == ""
    assert by_system["YouTube recommendations"]["year"] == 2016
