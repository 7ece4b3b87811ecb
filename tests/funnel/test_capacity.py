"""Bad input, and that the package stands on the standard library alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mlsd.funnel.capacity
from mlsd.funnel import capacity as c

PACKAGE = Path(mlsd.funnel.capacity.__file__).parent
STAGE = c.StageLoad("a", 100, 10)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: c.peak_qps(0, 1), ValueError, "daily_users must be above 0; got 0"),
        (lambda: c.peak_qps(1, -2), ValueError, "requests_per_user must be above 0; got -2"),
        (lambda: c.peak_qps(1, 1, peak_factor=0.5), ValueError, "peak_factor must be at least 1"),
        (lambda: c.peak_qps("1", 1), TypeError, r"daily_users must be a number; got '1' \(str\)"),
        (lambda: c.peak_qps(True, 1), TypeError, "daily_users must be a number; got True"),
        (lambda: c.peak_qps(float("nan"), 1), ValueError, "daily_users must be finite; got nan"),
        (lambda: c.littles_law(in_system=1), ValueError, "give two of .* got in_system"),
        (lambda: c.littles_law(), ValueError, "give two of .* got none"),
        (
            lambda: c.littles_law(in_system=1, arrival_rate=1, time_in_system=1),
            ValueError,
            "got arrival_rate, time_in_system, in_system",
        ),
        (
            lambda: c.littles_law(in_system=1, arrival_rate=0),
            ValueError,
            "arrival_rate must be above 0; got 0",
        ),
        (lambda: c.fan_out(0), ValueError, "n must be at least 1; got 0"),
        (lambda: c.fan_out(1.5), TypeError, r"n must be an integer; got 1.5 \(float\)"),
        (lambda: c.fan_out(2, q=1), ValueError, "q must lie strictly between 0 and 1; got 1"),
        (lambda: c.fan_out_quantile(2, 0), ValueError, "q must lie strictly .* got 0"),
        (lambda: c.tail_rule([], []), ValueError, "means must hold at least one number; got none"),
        (lambda: c.tail_rule([1], []), ValueError, "tails must hold at least one number; got none"),
        (
            lambda: c.tail_rule([1, 2], [3]),
            ValueError,
            "must have the same length; got 2 means and 1 tails",
        ),
        (
            lambda: c.tail_rule([1, -2], [3, 3]),
            ValueError,
            r"means\[1\] must be at least 0; got -2",
        ),
        (lambda: c.tail_rule([1], [-3]), ValueError, r"tails\[0\] must be at least 0; got -3"),
        (
            lambda: c.tail_rule([1, 4], [3, 3.9]),
            ValueError,
            r"tails\[1\] must be at least its mean, 4.0; got 3.9",
        ),
        (
            lambda: c.tail_rule([float("inf")], [3]),
            ValueError,
            r"tails\[0\] must be at least its mean, inf; got 3.0",
        ),
        (
            lambda: c.tail_rule([1], [float("nan")]),
            ValueError,
            r"tails\[0\] must be finite; got nan",
        ),
        (lambda: c.tail_rule(["1"], [3]), TypeError, r"means\[0\] must be a number; got '1'"),
        (lambda: c.tail_rule("12", [3, 4]), TypeError, "means must be a sequence of numbers; got"),
        (lambda: c.tail_rule([1], 3), TypeError, "tails must be a sequence of numbers; got 3"),
        (lambda: c.mm1_quantile(0, 1), ValueError, "arrival_rate must be above 0; got 0"),
        (lambda: c.mm1_quantile(1, -1), ValueError, "service_rate must be above 0; got -1"),
        (lambda: c.mm1_quantile(1, 2, 1.5), ValueError, "q must lie strictly .* got 1.5"),
        (lambda: c.mm1_quantile(3, 2, 1.5), ValueError, "q must lie strictly .* got 1.5"),
        (lambda: c.erlang_c(-1, 1, 1), ValueError, "arrival_rate must be above 0; got -1"),
        (lambda: c.erlang_c(1, 1, 0), ValueError, "servers must be at least 1; got 0"),
        (lambda: c.mmc_mean(1, 1, 2.0), TypeError, "servers must be an integer; got 2.0"),
        (lambda: c.mmc_quantile(1, 1, 2, q=0), ValueError, "q must lie strictly .* got 0"),
        (lambda: c.mmc_quantile(9, 1, 2, q=0), ValueError, "q must lie strictly .* got 0"),
        (lambda: c.kingman(1, 0), ValueError, "service_time must be above 0; got 0"),
        (lambda: c.kingman(0, 1), ValueError, "arrival_rate must be above 0; got 0"),
        (lambda: c.kingman(1, 1, cv_service=-1), ValueError, "cv_service must be at least 0; got"),
        (lambda: c.kingman(1, 1, cv_arrival=-1), ValueError, "cv_arrival must be at least 0; got"),
        (
            lambda: c.simulate_queue(20, 0.1, servers=2),
            ValueError,
            "unstable: arrival_rate=20 times service_time=0.1 over servers=2 is a load of 1,",
        ),
        (
            lambda: c.simulate_queue(5, 0.1, service=lambda rng: 0.3, n_requests=1000),
            ValueError,
            "the mean of what service returned=0.3",
        ),
        (
            lambda: c.simulate_queue(5, 0.1, service=lambda rng: -0.3, n_requests=1000),
            ValueError,
            "service must return finite seconds of at least 0; got -0.3",
        ),
        (
            lambda: c.simulate_queue(5, 0.1, service="normal"),
            ValueError,
            "service must be 'exponential', .* got 'normal'",
        ),
        (
            lambda: c.simulate_queue(5, 0.1, cv_service=2),
            ValueError,
            "cv_service is for service='lognormal' or 'weibull'; got 2 with 'exponential'",
        ),
        (
            lambda: c.simulate_queue(5, 0.1, service="deterministic", cv_service=0.5),
            ValueError,
            "got 0.5 with 'deterministic'",
        ),
        (
            lambda: c.simulate_queue(5, 0.1, service="lognormal", cv_service=-1),
            ValueError,
            "cv_service must be at least 0; got -1",
        ),
        (
            lambda: c.simulate_queue(5, 0.1, n_requests=999),
            ValueError,
            "n_requests must be at least 1000; got 999",
        ),
        (lambda: c.simulate_queue(5, 0.1, warm_up=0.95), ValueError, "warm_up must be at most 0.9"),
        (lambda: c.simulate_queue(5, 0.1, warm_up=-1), ValueError, "warm_up must be at least 0"),
        (
            lambda: c.simulate_queue(5, 0.1, random_state="1"),
            TypeError,
            "random_state must be an integer; got '1'",
        ),
        (
            lambda: c.simulate_queue(5, 0.1, random_state=-1),
            ValueError,
            "random_state must be at least 0; got -1",
        ),
        (lambda: c.simulate_fan_out(0), ValueError, "n must be at least 1; got 0"),
        (lambda: c.simulate_fan_out(2, 0), ValueError, "service_time must be above 0; got 0"),
        (
            lambda: c.simulate_fan_out(2, hedge_after=-1),
            ValueError,
            "hedge_after must be at least 0; got -1",
        ),
        (lambda: c.StageLoad("", 1, 1), TypeError, "name must be a text .* got ''"),
        (lambda: c.StageLoad("a", -1, 1), ValueError, "n_in must be at least 0; got -1"),
        (lambda: c.StageLoad("a", 1, -1), ValueError, "us_per_item must be at least 0; got -1"),
        (lambda: c.StageLoad("a", 1, 1, -1), ValueError, "fixed_ms must be at least 0; got -1"),
        (lambda: c.StageLoad("a", 1, 1, 0, 0), ValueError, "parallelism must be at least 1; got 0"),
        (
            lambda: c.StageLoad("a", 1, 1, cv_service=-1),
            ValueError,
            "cv_service must be at least 0; got -1",
        ),
        (lambda: c.plan([], 1), ValueError, "stages must hold at least one StageLoad; got none"),
        (lambda: c.plan(STAGE, 1), TypeError, "stages must be a sequence of StageLoad; got Stage"),
        (lambda: c.plan(5, 1), TypeError, "stages must be a sequence of StageLoad; got int"),
        (lambda: c.plan(["a"], 1), TypeError, "stages must hold StageLoad only; got 'a'"),
        (
            lambda: c.plan([STAGE, STAGE], 1),
            ValueError,
            r"stages must have different names; got \['a'\] more than once",
        ),
        (
            lambda: c.plan([c.StageLoad("x", 1, 1, parallelism=17)], 1),
            ValueError,
            "parallelism must be at most cores_per_machine=16, .* got 17 in stage 'x'",
        ),
        (lambda: c.plan([STAGE], 0), ValueError, "qps must be above 0; got 0"),
        (lambda: c.plan([STAGE], 1, utilisation=1), ValueError, "utilisation must lie .* got 1"),
        (
            lambda: c.plan([STAGE], 1, cores_per_machine=0),
            ValueError,
            "cores_per_machine must be at least 1; got 0",
        ),
        (
            lambda: c.plan([STAGE], 1, spare_machines=-1),
            ValueError,
            "spare_machines must be at least 0; got -1",
        ),
        (
            lambda: c.plan([STAGE], 1, price_per_machine_hour=-1),
            ValueError,
            "price_per_machine_hour must be at least 0; got -1",
        ),
        (lambda: c.plan([STAGE], 1, q=0), ValueError, "q must lie strictly .* got 0"),
        (
            lambda: c.plan([STAGE], 1, n_requests=10),
            ValueError,
            "n_requests must be at least 1000; got 10",
        ),
        (lambda: c.sensitivity([STAGE], 1, change=1), ValueError, "change must lie .* got 1"),
        (lambda: c.sensitivity([STAGE], -1), ValueError, "qps must be above 0; got -1"),
        (lambda: c.sensitivity([], 1), ValueError, "stages must hold at least one"),
        (lambda: c.vector_index_bytes(0, 1), ValueError, "n_docs must be at least 1; got 0"),
        (lambda: c.vector_index_bytes(1, 0), ValueError, "dims must be at least 1; got 0"),
        (
            lambda: c.vector_index_bytes(1, 1, bytes_per_value=0),
            ValueError,
            "bytes_per_value must be above 0",
        ),
        (lambda: c.vector_index_bytes(1, 1, links=-1), ValueError, "links must be at least 0"),
        (lambda: c.vector_index_bytes(1, 1, replicas=0), ValueError, "replicas must be at least 1"),
        (
            lambda: c.postings_bytes(1, 0, bytes_per_posting=1),
            ValueError,
            "terms_per_doc must be above 0",
        ),
        (
            lambda: c.postings_bytes(1, 1, bytes_per_posting=0),
            ValueError,
            "bytes_per_posting must be above 0",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


ALL_OF_IT = """
import importlib, sys
sys.modules.update(dict.fromkeys(["numpy", "pandas", "scipy", "matplotlib"]))
c = importlib.import_module(sys.argv[1])
stages = [c.StageLoad("a", 100, 10), c.StageLoad("b", 10, 100, 1, 2, 0.5)]
plan = c.plan(stages, c.peak_qps(1e6, 20), price_per_machine_hour=1)
moved = c.sensitivity(stages, 100, n_requests=1000)
queue = c.simulate_queue(5, 0.1, n_requests=1000)
fan = c.simulate_fan_out(3, hedge_after=1, n_requests=1000)
for result in (plan, moved, queue, fan):
    str(result), repr(result), result.to_dict(), result._repr_html_()
c.littles_law(arrival_rate=1, time_in_system=1), c.mm1_quantile(1, 2), c.erlang_c(1, 1, 2)
c.mmc_quantile(1, 1, 2), c.mmc_mean(1, 1, 2), c.kingman(1, 0.5), c.fan_out(3), c.fan_out_quantile(3)
c.tail_rule([1], [2])
c.vector_index_bytes(10, 3), c.postings_bytes(10, 3, bytes_per_posting=1), c.published_table()
print(sorted(name for name in c.__all__ if f"c.{name}(" not in sys.argv[2]))
try:
    plan.to_frame()
except ImportError:
    print("to_frame needs pandas")
"""
# Results are made by functions, and PUBLISHED is read by published_table.
MADE = ["FanOutSimulation", "PUBLISHED", "Plan", "PublishedFunnel", "QueueSimulation"]
MADE += ["Sensitivity", "SensitivityRow", "StagePlan"]


def run_without_numpy(package, folder):
    command = [sys.executable, "-c", ALL_OF_IT, package, ALL_OF_IT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    return done.stdout.splitlines()


def test_all_of_it_works_without_numpy_and_pandas():
    found = run_without_numpy("mlsd.funnel.capacity", PACKAGE.parents[2])
    assert found == [repr(MADE), "to_frame needs pandas"]


def test_the_folder_works_anywhere(tmp_path):
    copy = tmp_path / "sizing"
    copy.mkdir()
    for module in PACKAGE.glob("*.py"):
        (copy / module.name).write_text(module.read_text(encoding="utf-8"), encoding="utf-8")
    assert run_without_numpy("sizing", tmp_path) == [repr(MADE), "to_frame needs pandas"]
