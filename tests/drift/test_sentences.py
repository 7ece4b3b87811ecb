"""Numbers in sentences are those of the data: each is counted again from the rows."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd.drift import DriftMonitor, Profile
from mlsd.drift._sentences import Change, describe

N_REF, N_LIVE = 20_000, 2_000
CLIPPED = "of values clipped to the reference's 0.1 % and 99.9 % quantiles"


def told(before, after, check, measure="", effect=1.0, column="x"):
    """Return the sentence, and what to check first, of one column or pair."""
    reference = Profile.from_frame(before)
    live = Profile.from_frame(after, like=reference)
    return describe(Change("", column, check, measure, effect, 0.5), reference, live)


def said(before, after, check, measure="", effect=1.0):
    sentence, _ = told(
        pd.DataFrame({"x": before}), pd.DataFrame({"x": after}), check, measure, effect
    )
    return sentence


def first(before, after, check, measure="", effect=1.0):
    _, text = told(pd.DataFrame({"x": before}), pd.DataFrame({"x": after}), check, measure, effect)
    return text


def value(text):
    return float(text.replace(",", ""))


@pytest.fixture(scope="module")
def fares():
    rng = np.random.default_rng(0)
    return np.exp(rng.normal(3, 1, N_REF)), np.exp(rng.normal(3, 1, N_LIVE))


@pytest.mark.parametrize("factor", [1.15, 1.4, 0.6])
def test_medians_are_close_to_those_of_the_rows(fares, factor):
    ref, live = fares[0], fares[1] * factor
    effect = np.median(live) - np.median(ref)
    sentence = said(ref, live, "distribution", "d", effect)
    found = re.fullmatch(
        r"x: .*: median about ([\d.,]+), ([\d.,]+) in the reference \(.*", sentence
    )
    medians = [value(number) for number in found.groups()]
    assert medians == pytest.approx([np.median(live), np.median(ref)], rel=0.01)


def test_a_median_in_a_wide_cell_is_no_middle_of_the_cell():
    """All live values lie in the lower third of two cells that are 1,000 wide."""
    ref = np.concatenate((np.linspace(0, 1, 10_000), np.linspace(1_000, 1_001, 10_000)))
    live = np.concatenate((np.linspace(0, 1, 400), np.linspace(1_000, 1_001, 600)))
    found = re.search(r"median about ([\d.,]+)", said(ref, live, "distribution", "d"))
    assert value(found[1]) == pytest.approx(np.median(live), abs=2)


@pytest.mark.parametrize(("sign", "side", "end"), [(1, "above", "max"), (-1, "below", "min")])
def test_a_median_beyond_the_reference_is_not_made_up(fares, sign, side, end):
    ref, live = sign * fares[0], sign * fares[1] * 100
    outside = live > ref.max() if sign > 0 else live < ref.min()
    assert outside.mean() > 0.5
    sentence = said(ref, live, "distribution", "d", sign)
    found = re.fullmatch(
        rf"x: values are (higher|lower): more than half lie {side} ([-\d.,]+), the reference's "
        rf"{end}imum \(mean ([-\d.,]+), {end}imum ([-\d.,]+)\); median about ([-\d.,]+) in the "
        r"reference \(d .*",
        sentence,
    )
    assert found[1] == ("higher" if sign > 0 else "lower")
    expected = [getattr(ref, end)(), live.mean(), getattr(live, end)(), np.median(ref)]
    assert [value(text) for text in found.groups()[1:]] == pytest.approx(expected, rel=2e-3)


def test_infinite_values_have_no_mean(fares):
    live = np.where(np.arange(N_LIVE) < 1_100, np.inf, fares[1])
    finite = live[np.isfinite(live)]
    sentence = said(fares[0], live, "distribution", "d")
    found = re.search(r"\(mean ([\d.]+), maximum ([\d.]+) of those that are finite\)", sentence)
    assert value(found[1]) == pytest.approx(finite.mean(), rel=1e-3)
    all_infinite = said(fares[0], np.full(N_LIVE, np.inf), "distribution", "d")
    assert "the reference's maximum; median about" in all_infinite


def test_the_mean_of_few_values_is_that_of_the_rows_or_called_clipped():
    rng = np.random.default_rng(1)
    ref, live = rng.poisson(3, N_REF), rng.poisson(4, N_LIVE)
    sentence = said(ref, live, "distribution", "d")
    found = re.search(r"higher: mean ([\d.]+), ([\d.]+) in the reference \(", sentence)
    assert [value(text) for text in found.groups()] == pytest.approx(
        [live.mean(), ref.mean()], abs=0.02
    )
    live[0] = 10**9
    assert f"in the reference, {CLIPPED} (d" in said(ref, live, "distribution", "d")


def test_the_ratio_of_deviations_is_that_of_the_rows_or_called_clipped():
    rng = np.random.default_rng(2)
    ref, live = rng.normal(size=N_REF), rng.normal(0, 1.2, N_LIVE)
    sentence = said(ref, live, "scale", "log sd ratio", np.log(1.2))
    ratio = re.search(r"more: the standard deviation is ([\d.]+) times", sentence)[1]
    assert float(ratio) == pytest.approx(live.std() / ref.std(), abs=0.01)
    for corrupt in (1e9, np.inf):
        live[0] = corrupt
        sentence = said(ref, live, "scale", "log sd ratio", np.log(1.2))
        assert f"the standard deviation {CLIPPED} is 1.20 times" in sentence


def test_correlations_are_called_clipped_and_told_apart():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, N_REF))
    before = pd.DataFrame({"x": x, "y": x + 0.02 * y})
    after = pd.DataFrame({"x": x, "y": x + 0.03 * y}).head(N_LIVE)
    sentence, _ = told(before, after, "correlation", "z", column="x ~ y")
    found = re.fullmatch(
        rf"x ~ y: the correlation is (\.\d+), (\.\d+) in the reference \(z .*\), {CLIPPED}",
        sentence,
    )
    assert [float(text) for text in found.groups()] == pytest.approx(
        [after.corr().iloc[0, 1], before.corr().iloc[0, 1]], abs=2e-4
    )
    assert found[1] != found[2]


WHERE = re.compile(
    r"x: ([\d.]+|nearly 100) % of values are (?:from (\S+) (to below|up to and including) (\S+)|"
    r"(above|below) (\S+), the reference's (?:max|min)imum|(\S+)), ([\d.]+) % in the reference \(.*"
)


def share(values, found):
    """Return the share of the values where the sentence says that they are."""
    low, to, high, side, limit, only = found.groups()[1:7]
    if only:
        inside = values == value(only)
    elif side:
        inside = values > value(limit) if side == "above" else values < value(limit)
    else:
        inside = values >= value(low)
        inside &= values < value(high) if to == "to below" else values <= value(high)
    return 100 * inside.mean()


CHANGES = {
    "a default": lambda x, r: np.where(r.random(x.size) < 0.2, 44.0, x),
    "higher": lambda x, r: x + 25,
    "all beyond": lambda x, r: x * 100,
    "all below": lambda x, r: x - 10_000,
    "rounded": lambda x, r: np.round(x, -1),
    "at the end": lambda x, r: np.where(r.random(x.size) < 0.3, 88.0, x),
    "new between": lambda x, r: np.where(r.random(x.size) < 0.2, 43.5, x),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["many", "fine", "few"])
def test_shares_are_those_of_the_rows(kind, change):
    """Values are multiples of 1/64, so that four digits write the ends of the cells in full."""
    rng = np.random.default_rng(4)
    step = {"many": 1 / 4, "fine": 1 / 64, "few": 8.0}[kind]
    ref, live = (
        np.clip(np.round(rng.normal(44, 12, n) / step) * step, 0, 88) for n in (N_REF, N_LIVE)
    )
    live = CHANGES[change](live, rng)
    sentence = said(ref, live, "histogram", "V")
    found = WHERE.fullmatch(sentence)
    assert found, sentence
    now = 100.0 if found[1] == "nearly 100" else float(found[1])
    room = 0.06 if kind != "fine" else 0.4  # an end of a cell may have more digits than are shown
    assert now == pytest.approx(share(live, found), abs=room)
    assert float(found[8]) == pytest.approx(share(ref, found), abs=room)


def test_values_beyond_are_not_told_as_those_of_the_last_cell():
    rng = np.random.default_rng(5)
    ref, live = rng.uniform(0, 2_150, N_REF), rng.uniform(0, 2_150, N_LIVE)
    live[20:] += 10_000
    sentence = said(ref, live, "histogram", "V")
    assert "99 % of values are above 2150, the reference's maximum, 0 % in" in sentence


@pytest.mark.parametrize("dtype", [np.int64, float])
def test_a_value_of_a_discrete_column_is_told_as_one_and_new_numbers_are_not_counted_in(dtype):
    levels = np.array([1, 3, 5, 20, 21], dtype=dtype)
    ref, live = np.resize(levels, 1_000), np.resize(levels, 1_000)
    live[:300] = 3
    live[300:400] = 4
    assert f"{100 * (live == 3).mean():.0f} % of values are 3," in said(
        ref, live, "distribution", "V"
    )


def test_the_last_of_few_values_is_told_as_one():
    ref, live = np.resize([1.0, 3.0, 7.5], 999), np.resize([1.0, 3.0, 7.5], 999)
    live[:500] = 7.5
    assert "of values are 7.5, 33.3 % in" in said(ref, live, "distribution", "V")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([np.inf, 9.0], "0 to 10: 1 infinite ("),
        ([np.inf, 12.0], "0 to 10: up to 12, 1 infinite ("),
        ([-np.inf, -3.0, 9.0], "0 to 10: down to -3, 1 infinite ("),
        ([-3.0, 12.0], "0 to 10: down to -3, up to 12 ("),
    ],
)
def test_ends_are_told_only_of_what_is_outside(values, expected):
    ref = np.linspace(0, 10, 1_001)
    live = np.concatenate((values, np.linspace(1, 8, 998)))
    assert expected in said(ref, live, "range", "h")


def test_numbers_that_differ_look_different():
    ref = 1e15 + np.arange(1_000) / 4
    sentence = said(ref, np.append(ref, 1e15 + 300), "range", "h")
    ends = re.search(r"range (\S+) to (\S+): up to (\S+) ", sentence).groups()
    assert len(set(ends)) == 3


def test_new_numbers_between_those_of_the_reference():
    ref, live = np.resize([1.0, 3.0, 7.0], 999), np.resize([1.0, 3.0, 7.0], 999)
    live[:30] = 4.0
    sentence, what = told(pd.DataFrame({"x": ref}), pd.DataFrame({"x": live}), "range", "h")
    assert (
        "30 of 999 values (3.0 %) are numbers between the reference's values, which it never had (h"
        in sentence
    )
    assert "such as" not in sentence
    assert "the writer of x" in what


def test_nulls_that_vanish_ask_for_what_replaced_them():
    ref = np.where(np.arange(1_000) % 10 == 0, np.nan, 1.0)
    fewer, more = np.ones(1_000), np.where(np.arange(1_000) % 2 == 0, np.nan, 1.0)
    assert "whether a default or a fill replaced the NULLs of x" in first(ref, fewer, "null", "h")
    assert "the job or join that fills x" in first(ref, more, "null", "h")


def test_a_shape_whose_mean_moved_may_be_a_unit(fares):
    ref, live = fares
    words = "another unit or source (its mean moved, too)"
    assert words in first(ref, live * 1.609, "histogram", "V")
    assert words not in first(ref, live, "histogram", "V")
    assert words not in first(ref, live[:20], "histogram", "V")


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shift=st.floats(-3, 3),
    scale=st.floats(0.2, 5),
    digits=st.integers(0, 4),
)
def test_no_median_leaves_the_range_of_the_rows(seed, shift, scale, digits):
    rng = np.random.default_rng(seed)
    ref = np.round(rng.normal(size=3_000), digits)
    live = np.round(rng.normal(shift, scale, size=500), digits)
    effect = live.mean() - ref.mean()
    sentence = said(ref, live, "distribution", "d", effect)
    above, below = (live > ref.max()).mean(), (live < ref.min()).mean()
    assert ("more than half lie above" in sentence) == (above > 0.5)
    assert ("more than half lie below" in sentence) == (below > 0.5)
    found = re.search(r"median about (-?[\d.,]+), ", sentence)
    if found:
        # Interpolated, it is in the cell of the median: of a few hundredths in the middle.
        assert live.min() - 0.01 <= value(found[1]) <= live.max() + 0.01
        order = np.mean(live <= value(found[1]) + 0.3), np.mean(live < value(found[1]) - 0.3)
        assert order[0] >= 0.5 >= order[1]


def test_reports_hold_these_sentences(fares):
    frame = pd.DataFrame({"fare": fares[0]})
    report = DriftMonitor().fit(frame).compare(pd.DataFrame({"fare": fares[1] * 100}))
    by_check = {alarm.check: alarm.sentence for alarm in report.page}
    assert "more than half lie above" in by_check["distribution"]
    assert "of values are above" in by_check["histogram"]


def test_a_shift_is_not_told_as_a_smaller_spread():
    rng = np.random.default_rng(8)
    ref = pd.DataFrame({"x": rng.normal(40, 10, 30_000)})
    report = DriftMonitor().fit(ref).compare(ref.sample(2_000, random_state=1) + 5)
    sentence = next(alarm.sentence for alarm in report.watch if alarm.check == "scale")
    assert "is about that of the reference" in sentence
    assert "less" not in sentence.split("(")[0]
