"""Models with one or two features: skill against naive loops and scikit-learn, tests by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import log_loss, r2_score, roc_auc_score

from mlsd._stats import holm
from mlsd._validation import UndefinedMetricWarning
from mlsd.drift._bins import BinSums, bin_column, sums_of
from mlsd.drift._skill import (
    auc_across_folds,
    auc_of_bins,
    log_loss_of_bins,
    r2_of_bins,
    relation_binary,
    relation_numeric,
    smoothed,
)
from mlsd.drift._two_frames import Column
from mlsd.drift.profile import Profile
from mlsd.drift.single_feature import single_feature_drift
from mlsd.metrics import roc_auc_ci


def month(rng, n=2000, *, flip=False, binary=True, nulls=0.0):
    frame = pd.DataFrame(rng.normal(size=(n, 2)), columns=["price", "age"])
    frame["shop"] = rng.choice(["x", "y", "z"], size=n)
    signal = frame["age"] + (-1 if flip else 1) * frame["price"] + (frame["shop"] == "x")
    frame["y"] = signal + rng.logistic(size=n)
    if binary:
        frame["y"] = frame["y"] > 0
    frame.loc[rng.random(n) < nulls, "price"] = np.nan
    return frame


def some_bins(rng, n, size=6):
    bins = rng.integers(0, size, n)
    rates = np.linspace(0.1, 0.8, size)
    return bins, (rng.random(n) < rates[bins]).astype(float)


def test_live_skill_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    (bins, y), (seen, y_seen) = some_bins(rng, 300), some_bins(rng, 200)
    learnt, live = sums_of(bins, y, 6, True), sums_of(seen, y_seen, 6, True)
    rates = smoothed(learnt, 10, binary=True)
    by_hand = [
        (y[bins == b].sum() + 10 * (y.sum() + 0.5) / 301) / ((bins == b).sum() + 10)
        for b in range(6)
    ]
    np.testing.assert_allclose(rates, by_hand)
    auc = auc_of_bins(live.powers[0], live.n - live.powers[0], rates)
    peer = roc_auc_ci(y_seen, rates[seen])
    assert auc.value == pytest.approx(roc_auc_score(y_seen, rates[seen]))
    assert auc.stderr == pytest.approx(peer.stderr)
    loss = log_loss_of_bins(learnt, 10, live)
    assert loss.value == pytest.approx(log_loss(y_seen, rates[seen]))
    rows = -np.log(np.where(y_seen > 0, rates[seen], 1 - rates[seen]))
    assert loss.stderr == pytest.approx(rows.std(ddof=1) / np.sqrt(200))


def test_reference_skill_is_leave_one_out():
    rng = np.random.default_rng(1)
    bins, y = some_bins(rng, 120)
    number = np.exp(y + rng.normal(size=120))
    rates, means = np.empty(120), np.empty(120)
    for row in range(120):
        rest = np.arange(120) != row
        mates = rest & (bins == bins[row])
        prior = (y[rest].sum() + 0.5) / 120
        rates[row] = (y[mates].sum() + 10 * prior) / (mates.sum() + 10)
        means[row] = (number[mates].sum() + 10 * number[rest].mean()) / (mates.sum() + 10)
    loss = log_loss_of_bins(sums_of(bins, y, 6, True), 10)
    assert loss.value == pytest.approx(log_loss(y, rates))
    r2 = r2_of_bins(sums_of(bins, number, 6, False), 10)
    assert r2.value == pytest.approx(r2_score(number, means))
    error, spread = (number - means) ** 2, (number - number.mean()) ** 2
    parts = error - error.mean() / spread.mean() * spread
    assert r2.stderr == pytest.approx(np.sqrt(np.mean(parts**2) / 120) / spread.mean())


def test_r2_of_live_rows():
    rng = np.random.default_rng(2)
    bins, seen = rng.integers(0, 5, 200), rng.integers(0, 5, 90)
    y, y_seen = bins + rng.normal(size=200), 3 - seen + rng.normal(size=90)
    learnt = sums_of(bins, y, 5, False)
    means = smoothed(learnt, 10, binary=False)
    r2 = r2_of_bins(learnt, 10, sums_of(seen, y_seen, 5, False))
    assert r2.value == pytest.approx(r2_score(y_seen, means[seen]))
    drawn = []
    for _ in range(800):
        take = rng.integers(0, 90, 90)
        drawn.append(r2_score(y_seen[take], means[seen[take]]))
    assert r2.stderr == pytest.approx(np.std(drawn), rel=0.2)


@pytest.mark.parametrize("size", [3, 30])
def test_a_useless_feature_has_an_auc_of_one_half_and_a_wide_enough_interval(size):
    rng = np.random.default_rng(3)
    found = []
    for _ in range(300):
        bins, y = rng.integers(0, size, 1000), (rng.random(1000) < 0.3).astype(float)
        found.append(auc_across_folds(sums_of(bins, y, size, True), 10, 5, rng))
    values = np.array([estimate.value for estimate in found])
    assert values.mean() == pytest.approx(0.5, abs=4 * values.std() / np.sqrt(300))
    within = np.abs(values - 0.5) < 1.96 * np.array([estimate.stderr for estimate in found])
    assert within.mean() > 0.92


def test_relation_of_large_bins_is_a_sum_of_chi_squared():
    rng = np.random.default_rng(4)
    (bins, y), (seen, y_seen) = some_bins(rng, 900), some_bins(rng, 700)
    relation = relation_binary(sums_of(bins, y, 6, True), sums_of(seen, y_seen, 6, True))
    stat, tables = 0.0, []
    for b in range(6):
        one, other = y[bins == b], y_seen[seen == b]
        table = np.array([[one.sum(), (1 - one).sum()], [other.sum(), (1 - other).sum()]])
        n = table.sum()
        stat += stats.chi2_contingency(table, correction=False).statistic * (n - 1) / n
        tables.append(table)
    assert (relation.stat, relation.dof) == (pytest.approx(stat), 6)
    assert relation.p == pytest.approx(stats.chi2.sf(stat, 6))
    from statsmodels.stats.contingency_tables import StratifiedTable

    common = StratifiedTable([t.astype(float) for t in tables]).test_null_odds(correction=False)
    assert relation.p_shape == pytest.approx(stats.chi2.sf(stat - common.statistic, 5))


def test_relation_of_a_number_is_a_sum_of_welchs_t():
    rng = np.random.default_rng(5)
    bins, seen = rng.integers(0, 4, 200), rng.integers(0, 4, 60)
    y, y_seen = rng.normal(size=200), rng.normal(0.3, 2, size=60)
    relation = relation_numeric(sums_of(bins, y, 4, False), sums_of(seen, y_seen, 4, False))
    p = [stats.ttest_ind(y_seen[seen == b], y[bins == b], equal_var=False).pvalue for b in range(4)]
    assert relation.stat == pytest.approx(stats.chi2.isf(p, 1).sum())
    assert relation.p == pytest.approx(stats.chi2.sf(relation.stat, 4))


@pytest.mark.parametrize("rate", [0.3, 0.01])
@pytest.mark.parametrize("binary", [True, False])
def test_relation_keeps_its_level(rate, binary):
    rng = np.random.default_rng(6)
    low, shape = [], []
    for _ in range(400):
        sums = []
        for n in (3000, 800):
            bins = rng.integers(0, 8, n)
            y = (rng.random(n) < rate).astype(float) if binary else rng.exponential(size=n)
            sums.append(sums_of(bins, y, 8, binary))
        relation = (relation_binary if binary else relation_numeric)(*sums)
        low.append(relation.p < 0.05)
        shape.append(relation.p_shape < 0.05)
    assert np.mean(low) <= 0.085
    assert np.nanmean(shape) <= 0.085


def test_small_bins_share_a_degree_of_freedom():
    ref = BinSums(np.array([1000.0, 30, 30]), np.tile([100.0, 2, 2], (4, 1)))
    live = BinSums(np.array([1000.0, 30, 30]), np.tile([100.0, 20, 18], (4, 1)))
    assert relation_binary(ref, live).dof == 3  # 11 and 10 of 60: large enough
    rare = BinSums(np.array([1000.0, 30, 30]), np.tile([100.0, 4, 4], (4, 1)))
    assert relation_binary(ref, rare).dof == 2
    single = BinSums(np.array([1000.0, 30, 0]), np.tile([100.0, 4, 0], (4, 1)))
    assert relation_binary(ref, single).dof == 1


@pytest.mark.parametrize("binary", [True, False])
def test_a_flipped_feature_is_found_and_another_is_not(binary):
    rng = np.random.default_rng(7)
    ref, live = month(rng, binary=binary), month(rng, flip=True, binary=binary)
    result = single_feature_drift(ref, live, y_ref="y")
    table = result.to_frame().set_index("feature")
    assert result.target == ("binary" if binary else "numeric")
    assert list(table.index[:1]) == ["price"]
    assert table.loc["price", "p_adj"] < 1e-12
    assert (table.loc[["age", "shop"], "p_adj"] > 0.01).all()
    skill = "auc" if binary else "r2"
    chance = 0.5 if binary else 0.0
    assert table.loc["price", f"{skill}_live_hi"] < chance < table.loc["price", f"{skill}_ref_lo"]
    assert table.loc["price", "hi"] < 0
    assert table.loc["age", "lo"] < 0 < table.loc["age", "hi"]
    assert (table["second"] == "").all()


def test_a_shift_of_the_base_rate_is_no_change_of_shape():
    rng = np.random.default_rng(8)
    ref, live = month(rng, 4000), month(rng, 4000)
    live["y"] |= rng.random(4000) < 0.1
    table = single_feature_drift(ref, live, y_ref="y").to_frame()
    assert (table["p_adj"] < 1e-3).all()
    assert (table["p_shape_adj"] > 0.01).all()


def test_covariate_shift_alone_changes_no_relation():
    rng = np.random.default_rng(9)
    ref, live = month(rng, 6000), month(rng, 6000)
    live = live[rng.random(6000) < np.where(live["shop"] == "x", 1.0, 0.2)]
    table = single_feature_drift(ref, live, y_ref="y", columns=["shop"]).to_frame()
    assert table.loc[0, "p"] > 0.01


def test_pairs_see_an_interaction_that_no_feature_shows():
    rng = np.random.default_rng(10)

    def sample(sign):
        x = pd.DataFrame(rng.normal(size=(3000, 2)), columns=["a", "b"])
        return x, (sign * x["a"] * x["b"] + rng.logistic(size=3000)) > 0

    (ref, y_ref), (live, y_live) = sample(2), sample(-2)
    table = single_feature_drift(ref, live, y_ref=y_ref, y_live=y_live, max_features=2).to_frame()
    assert len(table) == 3
    assert (table.loc[0, "feature"], table.loc[0, "second"]) == ("a", "b")
    assert table.loc[0, "auc_ref"] > 0.65
    assert table.loc[0, "auc_live"] < 0.35
    assert (table.loc[1:, "p_adj"] > 0.01).all()
    np.testing.assert_array_equal(table["p_adj"], holm(table["p"]))


def test_null_is_a_bin_of_its_own():
    rng = np.random.default_rng(11)
    ref, live = month(rng, 4000, nulls=0.2), month(rng, 4000, nulls=0.2)
    gone = live["price"].isna()
    live.loc[gone, "y"] = rng.random(gone.sum()) < 0.95  # only what is missing speaks otherwise
    table = single_feature_drift(ref, live, y_ref="y").to_frame()
    assert table.loc[0, "feature"] == "price"
    assert table.loc[0, "p_shape_adj"] < 1e-6
    assert table.loc[0, "bins"] == 11


def test_unlabelled_rows_and_new_levels_are_counted():
    rng = np.random.default_rng(12)
    ref, live = month(rng), month(rng)
    y_live = live["y"].astype("boolean")
    y_live.iloc[:30] = pd.NA
    live.loc[40:59, "shop"] = "new"
    result = single_feature_drift(
        ref.drop(columns="y"), live.drop(columns="y"), y_ref=ref["y"], y_live=y_live
    )
    assert (result.n_ref, result.n_live) == (2000, 1970)
    assert (result.unlabelled_ref, result.unlabelled_live) == (0, 30)
    assert result.to_frame().set_index("feature").loc["shop", "new_live"] == 20
    assert "0 rows of the reference, 30 live" in str(result)


def test_bins():
    column = Column("x", "numeric", np.array([1.0, 1, 2, np.nan]), np.array([0.0, 1.5, 9, np.nan]))
    binned = bin_column(column, 5)
    assert binned.ref.tolist() == [0, 0, 1, 2]
    assert binned.live.tolist() == [0, 0, 1, 2]
    text = np.array(["a", "a", "b", "c", None], dtype=object)
    binned = bin_column(Column("s", "categorical", text, text[::-1]), 2)
    assert binned.ref.tolist()[:2] == [0, 0]
    assert binned.ref[-1] == binned.live[0] == 3
    assert binned.size == 4
    ref = np.arange(1000.0)
    counts = np.bincount(bin_column(Column("x", "numeric", ref, ref), 10).ref, minlength=11)
    assert counts[:-1].max() - counts[:-1].min() <= 2
    assert counts[-1] == 0


def test_one_class_is_nan_with_a_warning():
    rng = np.random.default_rng(13)
    ref, live = month(rng), month(rng).assign(y=False)
    with pytest.warns(UndefinedMetricWarning, match="auc is undefined for 3 of 3 models"):
        table = single_feature_drift(ref, live, y_ref="y").to_frame()
    assert table["auc_live"].isna().all()
    assert (table["p"] < 1e-12).all()  # that there is one class only is a change


@pytest.mark.parametrize("binary", [True, False])
def test_profiles_give_the_same_as_frames(binary):
    rng = np.random.default_rng(14)
    ref, live = month(rng, binary=binary, nulls=0.1), month(rng, flip=True, binary=binary)
    reference = Profile.from_frame(ref, y="y")
    stored = single_feature_drift(reference, Profile.from_frame(live, y="y", like=reference))
    plain = single_feature_drift(ref, live, y_ref="y", n_bins=31)
    assert stored.target == plain.target
    one, other = (t.to_frame().set_index("feature").sort_index() for t in (stored, plain))
    # Three levels and NULL are the same bins; of numbers the edges differ a little.
    shared = ["stat", "dof", "p", "bins"]
    np.testing.assert_allclose(
        one.loc["shop", shared].astype(float), other.loc["shop", shared].astype(float)
    )
    skill = "auc" if binary else "r2"
    for column in (f"{skill}_ref", f"{skill}_live", "hi"):
        np.testing.assert_allclose(one[column], other[column], atol=0.03)
    assert one["p_adj"].idxmin() == "price"


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_properties(seed, binary):
    rng = np.random.default_rng(seed)
    ref, live = month(rng, 200, binary=binary), month(rng, 150, binary=binary)
    base = single_feature_drift(ref, live, y_ref="y").to_frame().set_index("feature")
    shuffled = single_feature_drift(
        pl.from_pandas(ref.sample(frac=1, random_state=1)), live.iloc[::-1], y_ref="y"
    )
    other = shuffled.to_frame().set_index("feature").loc[base.index]
    np.testing.assert_allclose(other["p"], base["p"], rtol=1e-6)
    np.testing.assert_allclose(other["delta"], base["delta"], atol=1e-9)  # counts, one seed
    assert base["p"].between(0, 1).all()
    assert (base["p_adj"] >= base["p"]).all()
    # A sample beside itself has not moved.
    same = single_feature_drift(ref, ref, y_ref="y").to_frame()
    assert (same["p"] > 0.999).all()


FRAME = month(np.random.default_rng(15), 60)
PROFILE = Profile.from_frame(FRAME, y="y")


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: single_feature_drift(FRAME, FRAME), ValueError, "y_ref is missing"),
        (
            lambda: single_feature_drift(FRAME, FRAME, y_ref=FRAME["y"]),
            ValueError,
            "y_live is missing",
        ),
        (
            lambda: single_feature_drift(FRAME, FRAME, y_ref="y", y_live=[1, 0]),
            ValueError,
            "y_live has 2, live 60",
        ),
        (
            lambda: single_feature_drift(FRAME, FRAME, y_ref="nope"),
            ValueError,
            r"ref lacks the columns \['nope'\]",
        ),
        (
            lambda: single_feature_drift(FRAME, FRAME, y_ref="shop"),
            TypeError,
            "name one of two labels with pos_label",
        ),
        (
            lambda: single_feature_drift(FRAME, FRAME, y_ref="shop", pos_label="x"),
            ValueError,
            "y must hold two labels",
        ),
        (
            lambda: single_feature_drift(FRAME, FRAME, y_ref="y", pos_label="x"),
            ValueError,
            "pos_label 'x' is not in y",
        ),
        (
            lambda: single_feature_drift(FRAME, FRAME.assign(y=None), y_ref="y"),
            ValueError,
            "y_live has no labels: all 60",
        ),
        (
            lambda: single_feature_drift(FRAME, FRAME.assign(y=np.inf), y_ref="y"),
            ValueError,
            "y_live holds 60 infinite",
        ),
        (
            lambda: single_feature_drift(FRAME[["y"]], FRAME[["y"]], y_ref="y"),
            ValueError,
            "share no feature",
        ),
        (
            lambda: single_feature_drift(FRAME, FRAME, y_ref="y", max_features=3),
            ValueError,
            "max_features must be one of 1, 2; got 3",
        ),
        (
            lambda: single_feature_drift(FRAME, FRAME, y_ref="y", n_bins=1),
            ValueError,
            "n_bins must be at least 2; got 1",
        ),
        (
            lambda: single_feature_drift(FRAME, FRAME, y_ref="y", smoothing=0),
            ValueError,
            "smoothing must be finite and above 0",
        ),
        (lambda: single_feature_drift(PROFILE, FRAME), TypeError, "one of each"),
        (
            lambda: single_feature_drift(PROFILE, PROFILE, max_features=2),
            ValueError,
            "max_features must be 1 with profiles",
        ),
        (
            lambda: single_feature_drift(PROFILE, PROFILE, y_ref="y"),
            ValueError,
            "a profile brings its target",
        ),
        (
            lambda: single_feature_drift(*[Profile.from_frame(FRAME)] * 2),
            ValueError,
            "ref holds no target",
        ),
        (
            lambda: single_feature_drift(PROFILE, Profile.from_frame(FRAME.head(9), y="y")),
            ValueError,
            "make the live one with like=ref",
        ),
        (
            lambda: single_feature_drift(PROFILE, PROFILE, columns=["nope"]),
            ValueError,
            "ref lacks the column 'nope'",
        ),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
