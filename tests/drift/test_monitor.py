"""The monitor's alarms: what must page, what must not, and what each sentence says."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from mlsd.drift import DriftMonitor, Profile

N_REF, N_LIVE = 20_000, 2_000
BUDGET = {"false_pages_per_quarter": 4.55}  # a chance of 5 % a run


def table(n, rng):
    first = rng.normal(size=n)
    return pd.DataFrame(
        {
            "a": 50 + 10 * first,
            "b": 0.8 * first + 0.6 * rng.normal(size=n),
            "amount": rng.lognormal(3, 1, size=n),
            "items": rng.poisson(2, size=n),
            "country": rng.choice(["DE", "FR", "US", "JP"], size=n, p=[0.4, 0.3, 0.2, 0.1]),
            "flag": rng.random(n) < 0.3,
        }
    ).assign(amount=lambda t: t["amount"].mask(rng.random(n) < 0.01))


@pytest.fixture(scope="module")
def reference():
    return table(N_REF, np.random.default_rng(1))


@pytest.fixture(scope="module")
def monitor(reference):
    return DriftMonitor(**BUDGET).fit(reference)


@pytest.fixture
def live():
    return table(N_LIVE, np.random.default_rng(2))


def paged(report):
    return {(alarm.column, alarm.check) for alarm in report.page}


def verdict_of(report, column, check):
    rows = report.to_frame()
    rows = rows[(rows["column"] == column) & (rows["check"] == check)]
    return rows["verdict"].item()


def test_nothing_changed(monitor, live):
    report = monitor.compare(live)
    assert not report.page
    assert not report.unchecked
    assert (report.n_ref, report.n_live) == (N_REF, N_LIVE)
    assert report.alpha == pytest.approx(4.55 / 91)
    assert report.explain().startswith("Nothing to page for (2,000 live rows against 20,000")


def test_one_row_a_check(monitor, live):
    rows = monitor.compare(live).to_frame()
    assert not rows.duplicated(["segment", "column", "check"]).any()
    got = rows.groupby("column")["check"].apply(set)
    assert got["a"] == {"distribution", "scale", "histogram", "null", "range"}
    assert got["country"] == {"categories", "null", "unseen"}
    assert got["a ~ b"] == {"correlation"}
    assert len(rows[rows["check"] == "correlation"]) == 6  # of four numeric columns


FAULTS = {
    "mean": (lambda t, _: t.assign(a=t["a"] + 3), ("a", "distribution")),
    "spread": (lambda t, _: t.assign(a=50 + 1.3 * (t["a"] - 50)), ("a", "scale")),
    "outliers": (
        lambda t, r: t.assign(a=t["a"].mask(r.random(len(t)) < 0.01, 1e6)),
        ("a", "range"),
    ),
    "nulls": (
        lambda t, r: t.assign(amount=t["amount"].mask(r.random(len(t)) < 0.03)),
        ("amount", "null"),
    ),
    "swap": (
        lambda t, _: t.assign(country=t["country"].replace({"DE": "FR", "FR": "DE"})),
        ("country", "categories"),
    ),
    "new": (
        lambda t, r: t.assign(country=t["country"].mask(r.random(len(t)) < 0.01, "ZZ")),
        ("country", "unseen"),
    ),
    "flip": (lambda t, _: t.assign(b=-t["b"]), ("a ~ b", "correlation")),
    "shuffled": (lambda t, r: t.assign(b=r.permutation(t["b"])), ("a ~ b", "correlation")),
    "rate": (lambda t, r: t.assign(flag=r.random(len(t)) < 0.4), ("flag", "categories")),
    "counts": (lambda t, r: t.assign(items=r.poisson(2.6, len(t))), ("items", "distribution")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_page_and_spare_the_rest(monitor, live, fault):
    break_it, expected = FAULTS[fault]
    before = live.copy()
    report = monitor.compare(break_it(live, np.random.default_rng(3)))
    assert expected in paged(report)
    touched = set(expected[0].split(" ~ "))
    for alarm in report.page:
        assert touched & set(alarm.column.split(" ~ ")), alarm.sentence
        assert alarm.bound > 0.02
        assert alarm.lo <= alarm.effect <= alarm.hi
    pd.testing.assert_frame_equal(live, before)


def test_sentences_hold_the_numbers(monitor, reference, live):
    broken = live.assign(a=live["a"] + 5, b=-live["b"])
    broken.loc[:99, "amount"] = None
    broken.loc[:19, "country"] = "ZZ"
    said = {(alarm.column, alarm.check): alarm for alarm in monitor.compare(broken).page}
    rate = broken["amount"].isna().mean()
    null = said["amount", "null"]
    assert f"amount: {100 * rate:.1f} % of values are NULL" in null.sentence
    assert "in the reference (h ." in null.sentence
    assert "the job or join that fills amount" in null.first
    shift = said["a", "distribution"].sentence
    told = re.fullmatch(r"a: values are higher: median about ([\d.]+), ([\d.]+) in the .*", shift)
    medians = [broken["a"].median(), reference["a"].median()]
    assert [float(number) for number in told.groups()] == pytest.approx(medians, abs=0.2)
    new = said["country", "unseen"].sentence
    assert "20 of 2,000 values (1.0 %)" in new
    assert "'ZZ' (20)" in new
    flipped = said["a ~ b", "correlation"].sentence
    assert re.search(r"correlation is -\.(8|79), \.8 in the reference \(z -2", flipped)


def test_min_effect_silences_what_is_sure_but_small():
    rng = np.random.default_rng(4)
    reference = pd.DataFrame({"x": rng.normal(size=400_000)})
    live = pd.DataFrame({"x": rng.normal(0.02, 1, size=400_000)})
    profile = Profile.from_frame(reference)
    strict = DriftMonitor(**BUDGET, min_effect=0).fit(profile).compare(live)
    usual = DriftMonitor(**BUDGET).fit(profile).compare(live)
    assert ("x", "distribution") in paged(strict)
    assert not usual.page
    assert ("x", "distribution") in {(alarm.column, alarm.check) for alarm in usual.watch}


# The traps of those who went before, by number.


def test_trap_1_small_samples_do_not_cry_wolf():
    """A fixed PSI threshold of .1 fires in most clean samples of 100; the budget here is 5 %."""
    rng = np.random.default_rng(5)
    monitor = DriftMonitor(**BUDGET, min_effect=0).fit(
        pd.DataFrame(rng.normal(size=(5_000, 5)), columns=list("abcde"))
    )
    runs = 150
    pages = sum(
        bool(monitor.compare(pd.DataFrame(rng.normal(size=(100, 5)), columns=list("abcde"))).page)
        for _ in range(runs)
    )
    assert pages <= 14  # more have a chance below 1 % at a rate of 5 %


def test_trap_2_effects_are_of_one_kind_and_named(monitor, live):
    rows = monitor.compare(live).to_frame()
    assert set(rows["measure"]) <= {"d", "log sd ratio", "h", "V", "z"}
    shifted = (
        monitor.compare(live.assign(a=live["a"] + 5)).to_frame().set_index(["column", "check"])
    )
    assert shifted.loc[("a", "distribution"), "effect"] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("corrupt", [1e6, -1e300, np.inf])
def test_trap_3_a_corrupt_value_does_not_hide_a_shift(monitor, live, corrupt):
    shifted = live.assign(a=live["a"] + 3)
    shifted.loc[0, "a"] = corrupt
    report = monitor.compare(shifted)
    assert ("a", "distribution") in paged(report)
    row = report.to_frame().set_index(["column", "check"]).loc[("a", "distribution")]
    assert row["effect"] == pytest.approx(0.3, abs=0.06)


def test_trap_3_a_corrupt_value_in_the_reference_blinds_nothing(reference, live):
    spoilt = reference.copy()
    spoilt.loc[0, "a"] = 1e9
    report = DriftMonitor(**BUDGET).fit(spoilt).compare(live.assign(a=live["a"] + 3))
    assert ("a", "distribution") in paged(report)


def test_trap_4_empty_cells_are_no_alarm(monitor, live):
    """100 rows leave most of 512 cells empty."""
    assert not monitor.compare(live.head(100)).page


def test_trap_5_the_reference_is_a_sample_too():
    """Taking a reference of 1,000 as exact errs far more often than 5 %."""
    rng = np.random.default_rng(6)
    levels, runs, pages = list("abcdefgh"), 150, 0
    for _ in range(runs):
        reference = pd.DataFrame({"c": rng.choice(levels, 1_000)})
        live = pd.DataFrame({"c": rng.choice(levels, 4_000)})
        report = DriftMonitor(**BUDGET, min_effect=0).fit(reference).compare(live)
        pages += bool(report.page)
    assert pages <= 14


def test_trap_6_an_effect_and_its_interval_beside_every_p(monitor, live):
    rows = monitor.compare(live).to_frame()
    made = rows["p"].notna()
    assert made.all()
    assert rows[["effect", "lo", "hi", "bound"]].notna().all().all()
    assert (rows["bound"] <= rows["effect"].abs() + 1e-12).all()


def test_trap_7_nulls_are_counted_not_imputed(monitor, live):
    gone = live.assign(amount=live["amount"].mask(np.arange(N_LIVE) % 2 == 0))
    report = monitor.compare(gone)
    assert paged(report) == {("amount", "null")}  # the other half is as it was


def test_trap_7_all_values_null(monitor, live):
    report = monitor.compare(live.assign(amount=np.nan))
    assert ("amount", "null") in paged(report)
    assert verdict_of(report, "amount", "distribution") == "unchecked"
    reasons = {line.reason for line in report.unchecked if line.column == "amount"}
    assert reasons == {"all live values are NULL"}


def test_trap_8_counts_are_exact_in_any_number_of_parts(monitor, live):
    parts = [
        Profile.from_frame(live.iloc[at : at + 300], like=monitor.reference)
        for at in range(0, N_LIVE, 300)
    ]
    whole = monitor.compare(live).to_frame()
    merged = monitor.compare(sum(parts)).to_frame()
    pd.testing.assert_frame_equal(whole, merged, check_exact=True)


def test_trap_9_one_nan_blinds_nothing(monitor, live):
    broken = live.assign(a=live["a"] + 3)
    broken.loc[0, "a"] = np.nan
    assert ("a", "distribution") in paged(monitor.compare(broken))


def test_trap_10_a_flipped_correlation_is_seen_though_no_column_moved(monitor, live):
    mirrored = live.assign(b=-live["b"])
    report = monitor.compare(mirrored)
    assert paged(report) == {("a ~ b", "correlation")}


def test_trap_11_many_categories_in_a_small_sample_have_no_effect():
    rng = np.random.default_rng(7)
    levels = [f"c{at}" for at in range(100)]
    reference = pd.DataFrame({"c": rng.choice(levels, 20_000)})
    live = pd.DataFrame({"c": rng.choice(levels, 500)})
    rows = DriftMonitor().fit(reference).compare(live).to_frame().set_index("check")
    shares = [frame["c"].value_counts(normalize=True) for frame in (reference, live)]
    p, q = shares[0].align(shares[1], fill_value=0.0)
    raw = np.sqrt(((p - q) ** 2 / (2 * (p + q))).sum())
    assert raw > 0.15
    assert rows.loc["categories", "effect"] < 0.1


def test_target_and_prediction():
    rng = np.random.default_rng(8)
    X = pd.DataFrame({"x": rng.normal(size=N_REF)})
    monitor = DriftMonitor(**BUDGET).fit(
        X, y=rng.random(N_REF) < 0.1, prediction=rng.beta(2, 8, size=N_REF)
    )
    live = X.head(N_LIVE)
    y, prediction = rng.random(N_LIVE) < 0.2, rng.beta(2, 6, size=N_LIVE)
    report = monitor.compare(live, y=y, prediction=prediction)
    checks = {alarm.check: alarm for alarm in report.page}
    assert {"target", "prediction"} <= set(checks)
    assert f"{100 * (1 - y.mean()):.1f} % of values" in checks["target"].sentence or (
        f"{100 * y.mean():.1f} % of values" in checks["target"].sentence
    )
    late = monitor.compare(live, prediction=prediction)
    missing = {line.check: line.reason for line in late.unchecked}
    assert missing["target"] == "the live rows come without a target"


def test_target_of_two_classes_is_tested_as_two_rates():
    from scipy.stats import fisher_exact

    rng = np.random.default_rng(9)
    X = pd.DataFrame({"x": rng.normal(size=5_000)})
    y, live_y = rng.random(5_000) < 0.1, rng.random(1_000) < 0.12
    report = DriftMonitor().fit(X, y=y).compare(X.head(1_000), y=live_y)
    row = report.to_frame().set_index("check").loc["target"]
    counts = [[y.sum(), (~y).sum()], [live_y.sum(), (~live_y).sum()]]
    tails = [fisher_exact(counts, side)[1] for side in ("less", "greater")]
    assert row["p"] == pytest.approx(min(1, 2 * min(tails)), rel=1e-3)
    assert row["measure"] == "h"


def test_capped_categories_say_that_new_ones_cannot_be_known():
    rng = np.random.default_rng(10)
    reference = pd.DataFrame({"c": rng.integers(0, 2_000, 20_000).astype(str)})
    report = DriftMonitor().fit(reference).compare(reference.head(1_000))
    line = next(line for line in report.unchecked if line.check == "unseen")
    assert "whether one is new is not known" in line.reason


def test_weights_of_a_column_sum_to_one(monitor, live):
    """What decides how the chance of a false page is spent."""
    whole, profile = monitor._references.by_key["", ""], monitor.reference
    rows = whole.compare(profile, monitor._tests(), frozenset())
    total = pd.Series(rows.weight).groupby(rows.column).sum()
    single = total[[" ~ " not in name for name in total.index]]
    np.testing.assert_allclose(single, 1.0)
    np.testing.assert_allclose(total.drop(single.index).sum(), 1.0)


def test_values_beyond_the_reference_do_not_pass_for_a_smaller_spread():
    """Clipped to the reference's ends, a column that is merely higher would not spread at all."""
    rng = np.random.default_rng(0)
    reference = pd.DataFrame({"t": rng.normal(40, 10, 20_000)})
    report = DriftMonitor().fit(reference).compare(pd.DataFrame({"t": rng.normal(80, 10, 2_000)}))
    first = report.page[0]
    assert (first.column, first.check, first.measure) == ("t", "distribution", "d")
    assert "higher" in first.sentence
    assert "log sd ratio" not in set(report.to_frame()["measure"])


def test_a_new_code_within_the_range_of_a_column_of_codes_pages():
    rng = np.random.default_rng(0)
    codes = [1, 2, 3, 5, 7, 9]
    monitor = DriftMonitor().fit(pd.DataFrame({"code": rng.choice(codes, 20_000)}))
    live = pd.DataFrame({"code": rng.choice(codes, 2_000)})
    assert not monitor.compare(live).page
    live.loc[:39, "code"] = 4
    alarm = monitor.compare(live).page[0]
    assert (alarm.column, alarm.check) == ("code", "range")
    assert "40 of 2,000 values (2.0 %) are numbers between the reference's values" in alarm.sentence


def test_infinite_values_that_the_reference_has_too_are_no_news():
    rng = np.random.default_rng(0)
    reference, live = (pd.DataFrame({"x": rng.normal(size=n)}) for n in (20_000, 2_000))
    reference.loc[:199, "x"], live.loc[:19, "x"] = np.inf, np.inf
    assert not DriftMonitor().fit(reference).compare(live).page
    clean = reference.iloc[200:]
    assert DriftMonitor().fit(clean).compare(live).page[0].check == "range"
