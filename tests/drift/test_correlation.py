"""Correlation drift: moments against pandas, variances against resampling, and bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlsd._stats import holm
from mlsd._validation import UndefinedMetricWarning
from mlsd.drift.correlation import _pearson, _spearman, correlation_drift
from mlsd.drift.profile import Profile

MIX = np.array([[1, 0.5, 0.0], [0, 1, 0.7], [0, 0, 1.0]])


def frame(rng, n=400, mix=MIX, nulls=0.0):
    values = rng.normal(size=(n, mix.shape[0])) @ mix
    values[rng.random(values.shape) < nulls] = np.nan
    return pd.DataFrame(values, columns=list("abcdefgh")[: mix.shape[1]])


@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize("nulls", [0.0, 0.2])
def test_correlations_are_those_of_pandas(method, nulls):
    rng = np.random.default_rng(0)
    ref, live = frame(rng, nulls=nulls), frame(rng, 300, nulls=nulls).round(1)
    table = correlation_drift(ref, live, method=method).to_frame()
    for side, data in (("ref", ref), ("live", live)):
        expected = data.corr(method=method)
        for row in table.to_dict("records"):
            pair = data[[row["first"], row["second"]]].dropna()
            assert row[f"r_{side}"] == pytest.approx(expected.loc[row["first"], row["second"]])
            assert row[f"n_{side}"] == len(pair)
            assert row[f"null_{side}"] == len(data) - len(pair)
    assert len(table) == 3


def adf(x, y):
    """Return n times the variance of r as Steiger and Hakstian write it, moment by moment."""
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    r = np.mean(x * y)
    rest = np.mean(x**4) + np.mean(y**4) + 2 * np.mean(x**2 * y**2)
    return np.mean(x**2 * y**2) + r**2 / 4 * rest - r * np.mean(x**3 * y + x * y**3)


def test_the_variance_is_that_of_the_definition_with_nulls_and_large_means():
    rng = np.random.default_rng(1)
    data = np.exp(frame(rng, 300, nulls=0.1)) * [1, 1e4, 1e-4] + [1e3, 0, 5]
    moments = _pearson(data.to_numpy())
    for i, j in ((0, 1), (0, 2), (1, 2)):
        pair = data.iloc[:, [i, j]].dropna().to_numpy()
        r = stats.pearsonr(*pair.T).statistic
        assert moments.variance[i, j] == pytest.approx(adf(*pair.T) / (1 - r**2) ** 2, rel=1e-6)


@pytest.mark.parametrize("moments", [_pearson, _spearman])
@pytest.mark.parametrize("law", ["normal", "heavy", "skewed", "ties"])
def test_the_variance_is_that_of_resampling(moments, law):
    rng = np.random.default_rng(2)
    data = rng.normal(size=(500, 2)) @ MIX[:2, :2]
    if law == "heavy":
        data = rng.standard_t(6, size=(500, 2)) @ MIX[:2, :2]
    elif law == "skewed":
        data = np.exp(data * 0.5)
    elif law == "ties":
        data = np.round(data)
    drawn = [moments(data[rng.integers(0, 500, 500)]).r[0, 1] for _ in range(1500)]
    resampled = np.var(np.arctanh(drawn)) * 500
    assert moments(data).variance[0, 1] == pytest.approx(resampled, rel=0.15)


def test_p_values_are_honest_without_a_normal_distribution():
    rng = np.random.default_rng(3)

    def sample(n):
        return pd.DataFrame(rng.standard_t(5, size=(n, 3)) @ MIX, columns=list("abc"))

    p = np.concatenate(
        [correlation_drift(sample(2000), sample(500)).table["p"] for _ in range(150)]
    )
    assert 0.02 <= np.mean(p < 0.05) <= 0.09
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_a_flipped_correlation_is_found_and_others_are_left():
    rng = np.random.default_rng(4)
    flip = MIX.copy()
    flip[0, 1] = -0.5
    result = correlation_drift(frame(rng, 2000), frame(rng, 2000, flip))
    table = result.to_frame()
    assert (table.loc[0, "first"], table.loc[0, "second"]) == ("a", "b")
    assert table.loc[0, "p_adj"] < 1e-12
    assert table.loc[0, "lo"] < np.arctanh(-0.447) - np.arctanh(0.447) < table.loc[0, "hi"]
    np.testing.assert_array_equal(table["p_adj"], holm(table["p"]))
    assert table["p"].is_monotonic_increasing


def test_a_perfect_correlation_that_breaks_is_no_nan():
    rng = np.random.default_rng(5)
    x = rng.normal(size=500)
    ref = pd.DataFrame({"c": x, "f": 1.8 * x + 32})
    live = ref.assign(f=ref["f"] + rng.normal(size=500))
    table = correlation_drift(ref, live).to_frame()
    assert table.loc[0, "r_ref"] == pytest.approx(1)
    assert table.loc[0, "p"] < 1e-12
    assert correlation_drift(ref, ref).to_frame().loc[0, "p"] == 1


def test_a_perfect_correlation_of_profiles_that_breaks_is_found():
    rng = np.random.default_rng(5)
    x = rng.normal(size=500)
    ref = pd.DataFrame({"c": x, "f": -2 * x})
    live = ref.assign(f=ref["f"] + rng.normal(size=500))
    reference = Profile.from_frame(ref)
    for rows, low, high in ((live, 0, 1e-12), (ref, 1, 1)):
        stored = Profile.from_frame(rows, like=reference)
        assert low <= correlation_drift(reference, stored).table["p"][0] <= high


def test_a_pair_of_profiles_is_said_to_be_constant_within_the_limits():
    rng = np.random.default_rng(7)
    reference = Profile.from_frame(frame(rng))
    live = frame(rng)
    live["a"] += 100
    with pytest.warns(UndefinedMetricWarning, match="2 of 3 .* within the reference's limits or"):
        correlation_drift(reference, Profile.from_frame(live, like=reference))


@pytest.mark.parametrize("moments", [_pearson, _spearman])
def test_tails_are_those_of_scipy(moments):
    rng = np.random.default_rng(11)
    data = np.exp(frame(rng, 300, nulls=0.1)).round() * [1, 1e4, 1e-4] + [1e3, 0, 5]
    found = moments(data.to_numpy())
    for i, j in ((0, 1), (0, 2), (1, 2)):
        pair = data.iloc[:, [i, j]].dropna().to_numpy()
        if moments is _spearman:
            pair = stats.rankdata(pair, axis=0)
        expected = np.prod(stats.skew(pair)), np.prod(stats.kurtosis(pair, fisher=False))
        assert found.skewness[i, j] == pytest.approx(expected[0], rel=1e-6)
        assert found.kurtosis[i, j] == pytest.approx(expected[1], rel=1e-6)


def test_what_takes_part_and_what_does_not():
    rng = np.random.default_rng(6)
    ref = frame(rng).assign(s="x", flag=rng.random(400) < 0.5, gone=1.0, kind=rng.normal(size=400))
    live = frame(rng).assign(s="x", flag=rng.random(400) < 0.5, new=1.0, kind="text")
    result = correlation_drift(ref, live)
    assert result.n_pairs == 6
    assert result.excluded == {
        "gone": "missing in live",
        "new": "missing in ref",
        "kind": "numeric in ref, categorical in live",
        "s": "categorical, not numeric or boolean",
    }
    assert "kind (numeric in ref, categorical in live)" in str(result)
    assert "kind (numeric" in result._repr_html_()
    assert result.to_dict()["table"][0].keys() == set(result.to_frame())


def test_constant_columns_are_nan_and_counted():
    rng = np.random.default_rng(7)
    ref, live = frame(rng).assign(c=0.1), frame(rng)
    with pytest.warns(UndefinedMetricWarning, match="2 of 3 pairs have a constant column"):
        result = correlation_drift(ref, live)
    assert result.n_undefined == 2
    table = result.to_frame()
    assert table["p"].isna().tolist() == [False, True, True]
    assert table.loc[0, "p"] == table.loc[0, "p_adj"]  # an undefined pair is no test


def test_infinities_count_as_null():
    rng = np.random.default_rng(8)
    ref, live = frame(rng), frame(rng)
    live.loc[[3, 5], "a"] = [np.inf, -np.inf]
    result = correlation_drift(ref, live)
    assert result.n_infinite == 2
    row = result.to_frame().query("first == 'a' and second == 'b'").iloc[0]
    assert row["null_live"] == 2
    assert row["r_live"] == pytest.approx(live.drop([3, 5])[["a", "b"]].corr().iloc[0, 1])


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["pearson", "spearman"]))
def test_properties(seed, method):
    rng = np.random.default_rng(seed)
    ref, live = frame(rng, 60), frame(rng, 50)

    def by_pair(result):
        return result.to_frame().set_index(["first", "second"]).sort_index()

    base = by_pair(correlation_drift(ref, live, method=method))
    # Neither the order of rows nor units matter; swapping the samples turns the sign.
    moved = by_pair(
        correlation_drift(ref.sample(frac=1, random_state=0) * 3 + 7, live * 3 + 7, method=method)
    )
    np.testing.assert_allclose(moved["p"], base["p"], rtol=1e-6)
    swapped = by_pair(correlation_drift(live, ref, method=method))
    np.testing.assert_allclose(swapped["delta"], -base["delta"], rtol=1e-9)
    np.testing.assert_allclose(swapped["p"], base["p"], rtol=1e-9)
    assert ((base["lo"] <= base["delta"]) & (base["delta"] <= base["hi"])).all()


@pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas])
def test_other_libraries(convert):
    rng = np.random.default_rng(9)
    ref, live = frame(rng, nulls=0.1), frame(rng)
    ours = correlation_drift(convert(ref), convert(live)).to_frame()
    pd.testing.assert_frame_equal(ours, correlation_drift(ref, live).to_frame())


def test_profiles_tell_the_same_but_for_clipping():
    rng = np.random.default_rng(10)
    flip = MIX.copy()
    flip[0, 1] = -0.5
    ref, live = frame(rng, 3000, nulls=0.05), frame(rng, 2000, flip, nulls=0.05)
    reference = Profile.from_frame(ref)
    stored = correlation_drift(reference, Profile.from_frame(live, like=reference)).to_frame()
    plain = correlation_drift(ref, live).to_frame()
    assert stored[["first", "second", "n_ref"]].equals(plain[["first", "second", "n_ref"]])
    np.testing.assert_allclose(stored["r_live"], plain["r_live"], atol=0.01)
    np.testing.assert_allclose(stored["hi"], plain["hi"], atol=0.02)


REF = pd.DataFrame({"a": [1.0, 2, 3, 5], "b": [2.0, 1, 4, 3], "s": list("wxyz")})
PROFILE = Profile.from_frame(REF)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: correlation_drift(REF, REF, method="kendall"), ValueError, "method must be one"),
        (lambda: correlation_drift(REF, REF, level=1), ValueError, "level must lie strictly"),
        (lambda: correlation_drift(REF, REF[["a"]]), ValueError, r"got \['a'\], and left out"),
        (
            lambda: correlation_drift(REF, REF, columns=["a", "z"]),
            ValueError,
            r"ref lacks the columns \['z'\]",
        ),
        (lambda: correlation_drift(REF, REF, columns="ab"), TypeError, "got the text 'ab'"),
        (lambda: correlation_drift(REF, REF.head(0)), ValueError, "live has no rows"),
        (lambda: correlation_drift([1, 2], REF), TypeError, "ref must be a table of pandas"),
        (lambda: correlation_drift(PROFILE, REF), TypeError, "both be tables or both profiles"),
        (
            lambda: correlation_drift(PROFILE, PROFILE, method="spearman"),
            ValueError,
            "profiles hold no ranks",
        ),
        (
            lambda: correlation_drift(PROFILE, Profile.from_frame(REF * 2)),
            ValueError,
            "make the live one with like=ref",
        ),
        (
            lambda: correlation_drift(PROFILE, PROFILE, columns=["a", "s"]),
            ValueError,
            r"hold no pairs of the columns \['s'\]",
        ),
        (
            lambda: correlation_drift(
                Profile.from_frame(REF, pairs=False), Profile.from_frame(REF, pairs=False)
            ),
            ValueError,
            "ref holds no pairs",
        ),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
