"""What a monitor says it can see, against simulation; calibration on rows that hang together."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from mlsd.drift import DriftMonitor, Profile

N_REF, N_LIVE, RUNS = 20_000, 1_000, 250
BUDGET = {"false_pages_per_quarter": 4.55}


def rows_of(n, rng):
    x, u, v = rng.normal(size=(3, n))
    return {
        "moved": u,
        "stretched": v,
        "outside": rng.normal(size=n),
        "x": x,
        "y": 0.5 * x + rng.normal(size=n),
        "mix": rng.choice(["a", "b", "c", "d"], size=n),
        "new": rng.choice(["a", "b", "c", "d"], size=n),
        "flag": rng.random(n) < 0.5,
        "holes": np.where(rng.random(n) < 0.02, np.nan, rng.normal(size=n)),
    }


def reference_rows():
    return pd.DataFrame(rows_of(N_REF, np.random.default_rng(1)))


@pytest.fixture(scope="module")
def monitor():
    return DriftMonitor(**BUDGET, min_effect=0).fit(reference_rows())


def share(h, start=0.0):
    """Return the share that is Cohen's h above another."""
    return np.sin(np.arcsin(np.sqrt(start)) + h / 2) ** 2


def changed(rng, size):
    """Return live rows in which every check finds a change of just the size that is asked for."""
    rows = rows_of(N_LIVE, rng)
    chance = rng.random((4, N_LIVE))
    rows["moved"] = rows["moved"] + size["moved", "distribution"]
    rows["stretched"] = rows["stretched"] * np.exp(size["stretched", "scale"])
    rows["outside"] = np.where(chance[0] < share(size["outside", "range"]), 99.0, rows["outside"])
    rows["new"] = np.where(chance[1] < share(size["new", "unseen"]), "z", rows["new"])
    rows["flag"] = chance[2] < share(size["flag", "categories"], 0.5)
    full = np.where(np.isnan(rows["holes"]), 0.0, rows["holes"])
    rows["holes"] = np.where(chance[3] < share(size["holes", "null"], 0.02), np.nan, full)
    # y keeps its law; only how it hangs on x changes.
    r = np.tanh(np.arctanh(0.5 / np.sqrt(1.25)) + size["x ~ y", "correlation"])
    noise = rng.normal(size=N_LIVE)
    rows["y"] = np.sqrt(1.25) * (r * rows["x"] + np.sqrt(1 - r**2) * noise)
    # V² = sum (p - q)² / (2 (p + q)), and p = 1/4: shift² up to its fourth power.
    shift = size["mix", "categories"] / np.sqrt(2)
    p = np.array([0.25 + shift, 0.25 - shift, 0.25, 0.25])
    rows["mix"] = rng.choice(["a", "b", "c", "d"], size=N_LIVE, p=p)
    return pd.DataFrame(rows)


CHECKED = [
    ("moved", "distribution"),
    ("stretched", "scale"),
    ("outside", "range"),
    ("holes", "null"),
    ("new", "unseen"),
    ("mix", "categories"),
    ("flag", "categories"),
    ("x ~ y", "correlation"),
]


@pytest.fixture(scope="module")
def simulated(monitor):
    """Return how often every check alone is significant at its share of alpha."""
    size = monitor.power(N_LIVE, power=0.8).set_index(["column", "check"])["smallest"]
    rng = np.random.default_rng(2)
    prepared = monitor._references.by_key["", ""]
    found = 0
    for _ in range(RUNS):
        live = Profile.from_frame(changed(rng, size), like=monitor.reference)
        rows = prepared.compare(live, monitor._tests(), frozenset())
        # Not Holm's later steps: the other changes would lend a hand.
        found = found + (rows.p <= monitor.alpha * rows.weight / rows.weight.sum())
    return pd.Series(found / RUNS, index=pd.MultiIndex.from_arrays([rows.column, rows.check]))


@pytest.mark.parametrize("row", CHECKED)
def test_power_against_simulation(simulated, row):
    # Four standard errors; of rates the promise is exact only where a whole count allows.
    assert simulated[row] == pytest.approx(0.8, abs=4 * np.sqrt(0.8 * 0.2 / RUNS))


def test_power_holds_the_gate_of_min_effect():
    reference = reference_rows()
    plain = DriftMonitor(**BUDGET, min_effect=0).fit(reference).power(100_000)
    gated = DriftMonitor(**BUDGET, min_effect=0.1).fit(reference).power(100_000)
    assert (gated["smallest"] > 0.1).all()
    assert (gated["smallest"] >= plain["smallest"]).all()


def test_more_rows_see_more(monitor):
    few, many = monitor.power(200), monitor.power(20_000)
    assert (many["smallest"] < few["smallest"]).all()
    assert (monitor.power(200, power=0.95)["smallest"] > few["smallest"]).all()


def test_a_smaller_budget_sees_less():
    reference = reference_rows()
    rare = DriftMonitor(false_pages_per_quarter=0.1).fit(reference).power(N_LIVE)
    often = DriftMonitor(false_pages_per_quarter=9).fit(reference).power(N_LIVE)
    assert (rare["smallest"] > often["smallest"]).all()


def test_examples_in_words(monitor):
    table = monitor.power(N_LIVE).set_index(["column", "check"])["example"]
    assert table["moved", "distribution"].startswith("mean moves by .1")
    null = re.fullmatch(r"([\d.]+) % NULL -> ([\d.]+) %", table["holes", "null"])
    before, after = (float(number) for number in null.groups())
    assert before == pytest.approx(2.0, abs=0.3)
    assert before < after < 10
    assert table["x ~ y", "correlation"].startswith("0 -> .")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"n_live": 0}, ValueError, "n_live must be at least 1"),
        ({"n_live": 10.5}, TypeError, "n_live must be an integer"),
        ({"n_live": 10, "power": 1}, ValueError, "power must lie strictly between 0 and 1"),
        ({"n_live": 10, "season": "x"}, ValueError, "the reference has no seasons"),
    ],
)
def test_power_of_bad_input(monitor, options, error, match):
    with pytest.raises(error, match=match):
        monitor.power(**options)


def autocorrelated(n, rho, rng, columns=4):
    from scipy.signal import lfilter

    noise = rng.normal(size=(n + 200, columns)) * np.sqrt(1 - rho**2)
    x = lfilter([1.0], [1.0, -rho], noise, axis=0)[200:]
    frame = pd.DataFrame(x, columns=list("abcdefgh")[:columns])
    return frame.assign(high=np.where(x[:, 0] > 0.5, "yes", "no"))


@pytest.fixture(scope="module")
def stream():
    return autocorrelated(70_000, 0.9, np.random.default_rng(3))


def test_trap_9_an_autocorrelated_stream_stops_crying_wolf():
    """A stationary AR(1) of rho = .9 has no drift, yet pages nearly always before calibration."""
    n_live, before, after, fresh, effects = 500, [], [], [], []
    for seed in range(3):
        rows = autocorrelated(60_000, 0.9, np.random.default_rng(seed))
        monitor = DriftMonitor(**BUDGET).fit(rows.iloc[:20_000])
        calibration = monitor.calibrate(rows.iloc[20_000:45_000], n_live=n_live)
        assert (calibration.n_windows, calibration.n_live) == (50, 500)
        assert calibration.page_rate_lower <= calibration.page_rate <= calibration.page_rate_upper
        before.append(calibration.page_rate_before)
        after.append(calibration.page_rate)
        of_checks = calibration.to_frame().set_index(["column", "check"])["design_effect"]
        effects += [of_checks[column, "distribution"] for column in "abcd"]
        rest = rows.iloc[45_000:]
        fresh += [
            bool(monitor.compare(rest.iloc[at : at + n_live]).page)
            for at in range(0, len(rest), n_live)
        ]
        moved = rest.iloc[:n_live].assign(b=rest["b"] + 3)
        assert "b" in {alarm.column for alarm in monitor.compare(moved).page}
    # The mean of a window scatters by (1 + rho) / (1 - rho) = 19; Anderson-Darling also weighs what
    # scatters less: sum (1 + rho**j) / (1 - rho**j) / (j (j + 1)) = 12.2 for a normal column.
    assert np.mean(effects) == pytest.approx(12.2, rel=0.2)
    assert np.mean(before) > 0.8
    assert np.mean(after) <= 0.11  # 5 % of 150 windows and three standard errors
    assert np.mean(fresh) <= 0.13  # of 90


def test_block_bootstrap_finds_what_windows_find(stream):
    reference, cleanly = stream.iloc[:20_000], stream.iloc[20_000:45_000]
    rates, effects = [], []
    for block in (None, 100):
        monitor = DriftMonitor(**BUDGET).fit(reference)
        calibration = monitor.calibrate(cleanly, n_live=500, block=block, random_state=4)
        rates.append(calibration.page_rate)
        table = calibration.to_frame().query("check == 'distribution'")
        effects.append(table["design_effect"].mean())
    assert effects[1] == pytest.approx(effects[0], rel=0.3)
    assert max(rates) < calibration.page_rate_before / 4


def test_calibration_of_independent_rows_changes_little():
    rng = np.random.default_rng(5)
    X = pd.DataFrame(rng.normal(size=(40_000, 3)), columns=list("abc"))
    monitor = DriftMonitor(**BUDGET).fit(X.iloc[:20_000])
    live = X.iloc[:1_000].assign(a=X["a"] + 0.3)
    before = monitor.compare(live).to_frame().set_index(["column", "check"])
    calibration = monitor.calibrate(X.iloc[20_000:], n_live=500)
    effects = calibration.to_frame().query("check != 'null' and check != 'range'")["design_effect"]
    assert effects.median() == pytest.approx(1, abs=0.25)
    after = monitor.compare(live).to_frame().set_index(["column", "check"])
    assert (after["p"] >= before["p"] - 1e-15).all()
    assert after.loc[("a", "distribution"), "verdict"] == "page"
    assert after.loc[("a", "distribution"), "bound"] > 0.15


def test_calibration_leaves_the_rows_alone_and_says_what_it_did(stream):
    X = stream.iloc[:6_000].copy()
    monitor = DriftMonitor(**BUDGET).fit(stream.iloc[10_000:20_000])
    assert not monitor.compare(X.iloc[:500]).calibrated
    calibration = monitor.calibrate(X)
    pd.testing.assert_frame_equal(X, stream.iloc[:6_000])
    assert calibration.n_live == 150  # a fortieth
    assert monitor.compare(X.iloc[:500]).calibrated
    assert "the budget is 5%" in calibration._note()
    monitor.fit(stream.iloc[10_000:20_000])
    assert not monitor.compare(X.iloc[:500]).calibrated


def visibility(days, rng):
    """Return days of 200 rows: on half of them the view is 10 miles all day long."""
    poor = np.repeat(rng.random(days) < 0.5, 200)
    return pd.DataFrame(
        {
            "miles": np.where(poor & (rng.random(poor.size) < 0.5), 3.0, 10.0),
            "x": rng.normal(size=poor.size),
        }
    )


def test_a_constant_that_clean_windows_hold_too_is_watched():
    rng = np.random.default_rng(6)
    monitor = DriftMonitor(**BUDGET).fit(visibility(60, rng))
    clear = visibility(1, rng).assign(miles=10.0)
    assert ("miles", "constant") in {(a.column, a.check) for a in monitor.compare(clear).page}
    calibration = monitor.calibrate(visibility(60, rng), n_live=200)
    (known,) = calibration.constant.items()
    assert known[0] == "miles = 10"
    assert 20 <= known[1] <= 40
    assert calibration.page_rate_before > 0.4
    assert calibration.page_rate < 0.2
    report = DriftMonitor.from_json(monitor.to_json()).compare(clear)
    assert "miles" not in {alarm.column for alarm in report.page}
    (told,) = [alarm for alarm in report.watch if alarm.check == "constant"]
    assert told.sentence.endswith(f"so it was in {known[1]} clean windows")
    for value in (0.0, np.nan):  # another constant, or nothing at all
        report = monitor.compare(clear.assign(miles=value))
        assert ("miles", "constant") in {(alarm.column, alarm.check) for alarm in report.page}


def test_rows_of_the_reference_itself_can_calibrate():
    """No row of the reference is outside of its own range: each half is judged by the other."""
    rng = np.random.default_rng(7)
    days = rng.normal(size=(60, 1)) + 0.1 * rng.normal(size=(60, 200))
    X = pd.DataFrame({"warm": days.ravel(), "x": rng.normal(size=days.size)})
    effects = []
    for held_out in (True, False):
        monitor = DriftMonitor(**BUDGET).fit(X)
        calibration = monitor.calibrate(X, n_live=200, held_out=held_out)
        table = calibration.to_frame().set_index(["column", "check"])["design_effect"]
        effects.append(table["warm", "range"])
    assert effects[0] == 0
    assert effects[1] > 10
    with pytest.raises(TypeError, match="held_out must be True or False; got 1"):
        monitor.calibrate(X, n_live=200, held_out=1)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"n_live": 500}, ValueError, "X has 2000 rows, 4 windows of n_live=500; at least 10"),
        ({"n_live": 50}, ValueError, "n_live must be at least min_rows=100; got 50"),
        ({"n_live": 100, "block": 200}, ValueError, "block must be at most n_live=100; got 200"),
        ({"n_live": 100, "block": 0}, ValueError, "block must be at least 1"),
        ({"n_live": 100, "block": 9, "random_state": "x"}, TypeError, "random_state"),
    ],
)
def test_calibration_of_bad_input(stream, options, error, match):
    monitor = DriftMonitor().fit(stream.iloc[:1_000])
    with pytest.raises(error, match=match):
        monitor.calibrate(stream.iloc[1_000:3_000], **options)
