"""BinaryAccumulator: exact sums, certified bounds, and chunks that leave no trace."""

from __future__ import annotations

import json
import math
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics import _accumulators_binary
from mlsd.metrics._accumulators import BinaryAccumulator
from mlsd.metrics._binned import auc_of_counts, bins_of

probability = st.one_of(
    st.sampled_from([0.25, 0.5, 1e-3, 1e-7, 0.9]), st.floats(1e-9, 1 - 1e-9, exclude_max=True)
)
any_score = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, math.inf, -math.inf, 1e-300, -1e300, 5e-324]),
    st.floats(allow_nan=False),
    st.floats(-1e-9, 1e-9),
)


def rows(score, *, min_size=2):
    """Labels of both classes and scores."""
    return (
        st.lists(st.tuples(st.booleans(), score), min_size=min_size, max_size=40)
        .map(lambda pairs: (np.array([y for y, _ in pairs]), np.array([s for _, s in pairs])))
        .filter(lambda case: 0 < case[0].sum() < case[0].size)
    )


def quiet(accumulator):
    """The result without the warning of what needs probabilities."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return accumulator.result()


def exact_auc(y, score, weight=None):
    """Every pair, in fractions."""
    weight = np.ones(y.size) if weight is None else weight
    won = pairs = Fraction(0)
    for s, w in zip(score[y], weight[y], strict=True):
        for t, v in zip(score[~y], weight[~y], strict=True):
            both = Fraction(w) * Fraction(v)
            pairs += both
            won += both * (Fraction(1) if s > t else Fraction(1, 2) if s == t else Fraction(0))
    return won / pairs


@given(rows(any_score), st.integers(16, 20))
def test_the_bounds_hold_the_exact_auc_of_any_scores(case, bits):
    y, score = case
    summary = quiet(BinaryAccumulator(bits=bits).update(y, score))
    # Bounds are correctly rounded, so that they are compared as rounded numbers.
    assert summary.auc_lower <= float(exact_auc(y, score)) <= summary.auc_upper
    assert summary.auc == pytest.approx((summary.auc_lower + summary.auc_upper) / 2, abs=1e-15)
    assert 0.0 <= summary.auc_lower <= summary.auc <= summary.auc_upper <= 1.0


@given(rows(any_score), st.data())
def test_the_bounds_hold_with_weights(case, data):
    y, score = case
    weight = data.draw(
        st.lists(st.floats(1e-6, 1e6), min_size=y.size, max_size=y.size).map(np.array)
    )
    summary = quiet(BinaryAccumulator().update(y, score, sample_weight=weight))
    assert summary.auc_lower <= float(exact_auc(y, score, weight)) <= summary.auc_upper
    places = np.unique(score, return_inverse=True)[1]  # scikit-learn refuses infinite scores
    precision = average_precision_score(y, places, sample_weight=weight)
    assert summary.average_precision_lower - 1e-12 <= precision
    assert precision <= summary.average_precision_upper + 1e-12


def drawn(name, n=50_000):
    rng = np.random.default_rng(5)
    p = {
        "uniform": rng.random(n),
        "click rates": rng.beta(1, 300, n),
        "within 1e-9": 0.3 + 1e-9 * rng.random(n),
        "few values": rng.choice([0.1, 0.2, 0.7], n),
        "log odds": rng.normal(-3, 4, n),
        "tiny": np.exp(rng.uniform(-600, -500, n)),
    }[name]
    y = rng.random(n) < np.argsort(np.argsort(p)) / n
    return y, p


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("uniform", 2e-4),
        ("click rates", 2e-4),
        ("few values", 1.0),
        ("log odds", 2e-4),
        ("within 1e-9", 1.0),
        ("tiny", 1.0),
    ],
)
def test_the_bounds_hold_sklearns_values_and_are_narrow_where_they_can(name, width):
    y, score = drawn(name)
    summary = quiet(BinaryAccumulator().update(y, score))
    auc, precision = roc_auc_score(y, score), average_precision_score(y, score)
    assert summary.auc_lower - 1e-12 <= auc <= summary.auc_upper + 1e-12
    assert summary.average_precision_lower <= precision <= summary.average_precision_upper
    assert summary.auc_upper - summary.auc_lower <= width
    if name == "few values":  # each bin holds one value, so the middle is exact
        assert summary.auc == pytest.approx(auc, abs=1e-12)
        assert summary.average_precision == pytest.approx(precision, abs=1e-12)
    if name in ("within 1e-9", "tiny"):  # one bin: nothing is known, and the bounds say so
        assert (summary.auc_lower, summary.auc, summary.auc_upper) == (0.0, 0.5, 1.0)


@given(st.lists(any_score, min_size=2, max_size=30), st.integers(16, 20))
def test_bins_keep_the_order_of_the_scores(scores, bits):
    ordered = np.sort(np.array(scores))
    bins = bins_of(ordered, bits)
    assert (np.diff(bins) >= 0).all()
    assert 0 <= bins[0] <= bins[-1] < 1 << bits
    assert bins_of(np.array([-0.0]), bits) == bins_of(np.array([0.0]), bits)


def test_one_more_bit_halves_the_bins_of_a_range():
    scores = np.linspace(0.5, 1.0, 100_001)[:-1]
    assert [np.unique(bins_of(scores, bits)).size for bits in (16, 17, 20)] == [128, 256, 2048]


@given(rows(probability))
def test_the_sums_are_those_of_the_whole_data(case):
    y, p = case
    summary = BinaryAccumulator().update(y, p).result()
    losses = [-math.log(q) if t else -math.log1p(-q) for t, q in zip(y, p, strict=True)]
    assert summary.log_loss == pytest.approx(math.fsum(losses) / y.size, rel=1e-14)
    assert summary.brier == pytest.approx(brier_score_loss(y, p), rel=1e-12)
    assert summary.calibration_ratio == float(sum(map(Fraction, p)) / int(y.sum()))
    assert summary.base_rate == y.mean()
    entropy = log_loss(y, np.full(y.size, y.mean()))
    assert summary.normalized_entropy == pytest.approx(summary.log_loss / entropy, rel=1e-12)
    assert (summary.n, summary.n_positive) == (y.size, y.sum())


@given(rows(probability, min_size=4), st.data())
def test_weighted_sums_agree_with_sklearn(case, data):
    y, p = case
    w = data.draw(st.lists(st.floats(0.01, 100), min_size=y.size, max_size=y.size).map(np.array))
    p = np.clip(p, 1e-6, 1 - 1e-6)
    summary = BinaryAccumulator().update(y, p, sample_weight=w).result()
    assert summary.log_loss == pytest.approx(log_loss(y, p, sample_weight=w), rel=1e-11)
    assert summary.brier == pytest.approx(brier_score_loss(y, p, sample_weight=w), rel=1e-12)
    assert summary.base_rate == pytest.approx(np.average(y, weights=w), rel=1e-12)
    assert summary.calibration_ratio == pytest.approx(w @ p / (w @ y), rel=1e-12)


@given(rows(any_score), st.lists(st.integers(0, 40), max_size=4), st.randoms())
def test_chunks_and_their_order_leave_no_trace(case, cuts, random):
    y, score = case
    whole = BinaryAccumulator().update(y, score)
    pieces = [
        BinaryAccumulator().update(a, b)
        for a, b in zip(np.split(y, sorted(cuts)), np.split(score, sorted(cuts)), strict=True)
    ]
    random.shuffle(pieces)
    assert sum(pieces) == whole
    order = np.array(random.sample(range(y.size), y.size))
    assert BinaryAccumulator().update(y[order], score[order]) == whole
    assert sum(pieces).to_bytes() == whole.to_bytes()


def test_weighted_chunks_agree_to_the_last_digits_in_any_order():
    rng = np.random.default_rng(1)
    y, p, w = rng.random(30_000) < 0.3, rng.random(30_000).round(2), rng.lognormal(0, 5, 30_000)
    whole = BinaryAccumulator().update(y, p, sample_weight=w)
    pieces = [BinaryAccumulator().update(y[i::7], p[i::7], sample_weight=w[i::7]) for i in range(7)]
    for merged in (sum(pieces), sum(pieces[::-1])):
        high = merged._values["weights"].columns[0][:, 0]
        np.testing.assert_array_max_ulp(high, whole._values["weights"].columns[0][:, 0], 1)
        np.testing.assert_allclose(
            list(merged.result().to_dict().values()),
            list(whole.result().to_dict().values()),
            rtol=1e-15,
        )
    of_bin = w[~y & (p == 0.5)]
    at = whole._values["weights"].keys.searchsorted(bins_of(np.array([0.5]), 20)[0])
    pair = sum(map(Fraction, whole._values["weights"].columns[0][at]))
    assert abs(pair - sum(map(Fraction, of_bin))) < of_bin.size * Fraction(w.max()) / 10**26


def test_blocks_and_the_dense_and_the_sorted_way_agree(monkeypatch):
    rng = np.random.default_rng(2)
    y, p, w = rng.random(70_001) < 0.2, rng.random(70_001), rng.integers(0, 8, 70_001) / 8
    whole = BinaryAccumulator(bits=16).update(y, p)
    weighted = BinaryAccumulator(bits=16).update(y, p, sample_weight=w)
    by_rows = [slice(i, i + 500) for i in range(0, y.size, 500)]  # few rows: sorted
    assert sum(BinaryAccumulator(bits=16).update(y[i], p[i]) for i in by_rows) == whole
    assert weighted == sum(
        BinaryAccumulator(bits=16).update(y[i], p[i], sample_weight=w[i]) for i in by_rows
    )
    monkeypatch.setattr(_accumulators_binary, "_BLOCK", 10_000)
    assert BinaryAccumulator(bits=16).update(y, p) == whole
    assert BinaryAccumulator(bits=16).update(y, p, sample_weight=w) == weighted


def test_weights_of_one_change_nothing_and_mix_with_none():
    y, p = drawn("uniform", 2000)
    plain = BinaryAccumulator().update(y, p).result().to_dict()
    ones = BinaryAccumulator().update(y, p, sample_weight=np.ones(y.size))
    mixed = BinaryAccumulator().update(y[:700], p[:700])
    mixed.update(y[700:], p[700:], sample_weight=np.ones(y.size - 700))
    for other in (ones, mixed):
        weighted = other.result().to_dict()
        # The least weight of a positive is not known, which makes this bound a little wider.
        lower = weighted.pop("average_precision_lower")
        assert plain["average_precision_lower"] - 1e-3 < lower
        assert lower < plain["average_precision_lower"]
        assert weighted == pytest.approx({name: plain[name] for name in weighted}, rel=1e-9)
    doubled = BinaryAccumulator().update(y, p) + BinaryAccumulator().update(y, p)
    twos = BinaryAccumulator().update(y, p, sample_weight=np.full(y.size, 2.0))
    assert doubled.result().log_loss == twos.result().log_loss
    assert doubled.result().auc == pytest.approx(twos.result().auc, rel=1e-12)


def test_a_weight_of_zero_leaves_the_row_out_of_all_but_the_counts():
    kept = BinaryAccumulator().update([0, 1], [0.2, 0.6], sample_weight=[1.0, 2.0])
    also = kept.copy().update([0, 1, 1], [1.0, 0.0, 7.0], sample_weight=[0.0, 0.0, 0.0])
    without_n = [
        {k: v for k, v in s.result().to_dict().items() if k not in ("n", "n_positive")}
        for s in (kept, also)
    ]
    assert without_n[0] == without_n[1]
    assert (also.result().n, also.result().n_positive) == (5, 3)


def test_single_precision_scores_are_taken_as_they_are():
    y, p = drawn("uniform", 1000)
    single = p.astype(np.float32)
    assert BinaryAccumulator().update(y, single) == BinaryAccumulator().update(
        y, single.astype(np.float64)
    )


def test_auc_by_hand_and_with_counts_beyond_64_bits():
    # 2 positives and 3 negatives in 3 bins: won 1*2 + 1*0, open 1*1 and 1*0.
    counts = np.array([0, 1, 1]), np.array([1, 1, 1])
    assert auc_of_counts(*counts) == (
        float(Fraction(4, 6)),
        float(Fraction(3, 6)),
        float(Fraction(5, 6)),
    )
    scale = 10**11
    assert auc_of_counts(*(c * scale for c in counts)) == auc_of_counts(*counts)


def test_average_precision_by_hand():
    # From above: 1 positive; then 1 positive with 1 negative; then 1 negative.
    summary = BinaryAccumulator().update([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1]).result()
    assert summary.average_precision == pytest.approx(5 / 6, abs=1e-14)
    assert summary.average_precision_lower == pytest.approx(5 / 6, abs=1e-13)
    assert summary.average_precision_upper == pytest.approx(1.0, abs=1e-13)


def test_certain_mistakes_are_counted_and_make_the_loss_infinite():
    summary = BinaryAccumulator().update([0, 0, 1], [1.0, 0.0, 0.5]).result()
    assert (summary.log_loss, summary.normalized_entropy) == (math.inf, math.inf)
    assert summary.n_certain_mistakes == 1
    assert summary.brier == 1.25 / 3


def test_scores_that_are_no_probabilities_leave_the_auc():
    state = BinaryAccumulator().update([0, 1, 1], [-2.0, 3.0, 0.5])
    with pytest.warns(UndefinedMetricWarning, match="2 of 3 scores lie outside") as caught:
        summary = state.result()
    assert caught[0].filename == __file__
    assert summary.auc == 1.0
    assert summary.n_not_probabilities == 2
    assert np.isnan(
        [summary.log_loss, summary.brier, summary.normalized_entropy, summary.calibration_ratio]
    ).all()


@pytest.mark.parametrize(
    ("y", "message", "defined"),
    [
        ([], "no row has a weight", set()),
        ([1, 1], "all weight is on positive rows", {"base_rate", "log_loss", "calibration_ratio"}),
        ([0, 0], "and so is the calibration ratio", {"base_rate", "log_loss"}),
    ],
)
def test_what_is_undefined_is_nan_with_a_warning(y, message, defined):
    state = BinaryAccumulator().update(y, [0.5] * len(y))
    with pytest.warns(UndefinedMetricWarning, match=message):
        summary = state.result()
    names = {"auc", "auc_lower", "auc_upper", "average_precision", "normalized_entropy"}
    for name in names | {"base_rate", "log_loss", "calibration_ratio"}:
        assert math.isnan(getattr(summary, name)) == (name not in defined)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0, 1], [0.5]), ValueError, "lengths differ: y_true has 2, y_score has 1"),
        (([0, 1], [0.5, math.nan]), ValueError, "y_score holds 1 NaN"),
        (([0, 2], [0.5, 0.5]), ValueError, "y_true"),
        (([0, 1], [0.5, 0.5], [1.0]), ValueError, "lengths differ"),
        (([0, 1], [0.5, 0.5], [1.0, -2.0]), ValueError, "got -2.0 at position 1"),
        (([0, 1], [0.5, 0.5], [math.inf, 1.0]), ValueError, "got inf at position 0"),
    ],
)
def test_wrong_input_raises_and_changes_nothing(arguments, error, message):
    state = BinaryAccumulator().update([1], [0.4])
    before = state.to_bytes()
    y, score, *weight = arguments
    with pytest.raises(error, match=message):
        state.update(y, score, sample_weight=weight[0] if weight else None)
    assert state.to_bytes() == before


@pytest.mark.parametrize("bits", [15, 21, 1.5, True])
def test_wrong_bits_raise(bits):
    with pytest.raises((ValueError, TypeError), match="bits must"):
        BinaryAccumulator(bits=bits)


def test_named_labels_and_series_with_any_index():
    named = BinaryAccumulator().update(
        pd.Series(["yes", "no"], index=[7, 7]), pd.Series([0.9, 0.1], index=[1, 2]), pos_label="yes"
    )
    assert named == BinaryAccumulator().update([True, False], [0.9, 0.1])


@pytest.mark.parametrize(
    ("part", "data"),
    [
        ("n", [1]),
        ("n_positive", [7]),
        ("n_certain_mistakes", [9]),
        ("counts.keys", [5, 1 << 20]),
        ("counts.positive", [9, 9]),
        ("weight", "0x1p+0"),
        ("weight_positive", "0x9p+0"),
    ],
)
def test_a_payload_that_contradicts_itself_is_refused(part, data):
    head = json.loads(BinaryAccumulator().update([0, 1], [0.1, 0.9]).to_json())
    next(entry for entry in head["parts"] if entry["name"] == part)["data"] = data
    with pytest.raises(ValueError, match=r"contradict each other|lies outside 0 to"):
        BinaryAccumulator.from_json(json.dumps(head))
