"""Adjusted p-values against scipy, statsmodels and naive loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

import mlsd._stats
from mlsd.experiments.multiple import benjamini_hochberg, holm

FAMILIES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def naive(p, dependent):
    """Return for each test the least q at which Benjamini and Hochberg's rule rejects it."""
    m = len(p)
    factor = sum(1 / k for k in range(1, m + 1)) if dependent else 1.0
    levels = [factor * m / rank * value for rank, value in enumerate(sorted(p), start=1)]
    return [min(1.0, *(levels[k] for k in range(m) if sorted(p)[k] >= value)) for value in p]


@settings(max_examples=200, deadline=None)
@given(p=FAMILIES, dependent=st.booleans())
def test_against_scipy_statsmodels_and_the_rule(p, dependent):
    got = benjamini_hochberg(p, dependent=dependent)
    np.testing.assert_allclose(got, naive(p, dependent), rtol=1e-12)
    method = ("by", "fdr_by") if dependent else ("bh", "fdr_bh")
    np.testing.assert_allclose(got, false_discovery_control(p, method=method[0]), rtol=1e-12)
    np.testing.assert_allclose(got, multipletests(p, method=method[1])[1], rtol=1e-12)


@settings(max_examples=200, deadline=None)
@given(p=FAMILIES, seed=st.integers(0, 1000))
def test_adjusted_values_obey(p, seed):
    values = np.array(p)
    once, family = benjamini_hochberg(values), holm(values)
    assert (values <= once).all()
    assert (once <= family + 1e-15).all()
    assert (benjamini_hochberg(values, dependent=True) >= once).all()
    assert (np.diff(once[np.argsort(values, kind="stable")]) >= 0).all()
    order = np.random.default_rng(seed).permutation(values.size)
    np.testing.assert_array_equal(benjamini_hochberg(values[order]), once[order])


def test_a_nan_is_no_test():
    got = benjamini_hochberg([0.01, math.nan, 0.03, 0.04])
    np.testing.assert_allclose(got, [0.03, math.nan, 0.04, 0.04])
    assert np.isnan(benjamini_hochberg([math.nan, math.nan])).all()
    assert benjamini_hochberg([]).size == 0


def test_the_given_values_stay():
    p = np.array([0.5, 0.1])
    benjamini_hochberg(p)
    assert p.tolist() == [0.5, 0.1]


def test_the_share_of_false_alarms():
    rng = np.random.default_rng(3)
    shares, alarms = [], []
    for _ in range(2_000):
        null = rng.uniform(size=15)
        real = rng.beta(0.1, 10, size=5)
        found = benjamini_hochberg(np.concatenate((null, real))) <= 0.1
        shares.append(found[:15].sum() / max(1, found.sum()))
        alarms.append((holm(np.concatenate((null, real))) <= 0.1)[:15].any())
    # The rule gives q times the share of true null hypotheses, 0.075; the family at most 0.1.
    assert np.mean(shares) == pytest.approx(0.075, abs=3 * np.std(shares) / math.sqrt(2_000))
    assert np.mean(alarms) <= 0.1 + 3 * math.sqrt(0.09 / 2_000)


def test_holm_is_the_one_of_the_house():
    assert holm is mlsd._stats.holm


@pytest.mark.parametrize(
    ("p", "options", "error", "match"),
    [
        ([0.1, 1.1], {}, ValueError, "p_values must lie between 0 and 1"),
        ([-0.1], {}, ValueError, "p_values must lie between 0 and 1"),
        ([[0.1]], {}, ValueError, "p_values must be one-dimensional"),
        (0.1, {}, TypeError, "p_values must be array-like"),
        (["a"], {}, TypeError, "p_values"),
        ([0.1], {"dependent": "yes"}, TypeError, "dependent must be True or False"),
    ],
)
def test_bad_input(p, options, error, match):
    with pytest.raises(error, match=match):
        benjamini_hochberg(p, **options)
