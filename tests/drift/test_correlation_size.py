"""How often the correlation checks page without drift, on columns far from normal, and power."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mlsd.drift._hypotheses import correlations
from mlsd.drift._tests import fisher_z
from mlsd.drift.correlation import correlation_drift
from mlsd.drift.profile import Profile

COLUMNS = 20
WINDOWS = 10


def flags(share):
    return lambda rng, n: (rng.random((n, COLUMNS)) < share).astype(int)


def signs(rng, n):
    return flags(0.01)(rng, n) * rng.choice([-1, 1], (n, COLUMNS))


def lognormal(rng, n):
    return rng.lognormal(0, 2, (n, COLUMNS))


def zero_inflated(rng, n):
    return np.where(rng.random((n, COLUMNS)) < 0.95, 0, rng.lognormal(0, 1, (n, COLUMNS)))


def normal(rng, n):
    return rng.normal(size=(n, COLUMNS))


def table(values):
    return pd.DataFrame(values).add_prefix("f")


LAWS = [
    (flags(0.01), 20_000, 200),
    (flags(0.01), 2_000, 2_000),
    (flags(0.002), 20_000, 2_000),
    (signs, 20_000, 2_000),
    (lognormal, 20_000, 500),
    (zero_inflated, 20_000, 500),
    (normal, 20_000, 200),
]


IDS = ["flags", "flags, equal sizes", "rare flags", "signs", "lognormal", "zero-inflated", "normal"]


@pytest.mark.parametrize(("draw", "n_ref", "n_live"), LAWS, ids=IDS)
def test_independent_columns_are_seldom_told_to_correlate(draw, n_ref, n_live):
    rng = np.random.default_rng(0)
    reference = Profile.from_frame(table(draw(rng, n_ref)))
    pages = 0
    for _ in range(WINDOWS):
        live = Profile.from_frame(table(draw(rng, n_live)), like=reference)
        p = correlations(reference, live).p
        pages += bool(np.nanmin(p) * np.isfinite(p).sum() < 0.05)
    assert pages <= 2  # of 10, at a chance of at most 5 % each: more come once in 90 times


@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize(
    ("draw", "n_ref", "n_live"), [(flags(0.01), 5_000, 400), (flags(0.004), 3_000, 3_000)]
)
def test_so_does_the_public_function(method, draw, n_ref, n_live):
    rng = np.random.default_rng(1)
    small = []
    for _ in range(6):
        ref, live = table(draw(rng, n_ref)[:, :8]), table(draw(rng, n_live)[:, :8])
        small.append(np.nanmin(correlation_drift(ref, live, method=method).table["p_adj"]))
    assert np.sum(np.array(small) < 0.05) <= 1


def test_the_tail_is_that_of_pearsons_type_iii():
    n0, n1, v, g = 20_000.0, 200.0, 1.5, 30.0
    r0, r1 = 0.01, np.array([-0.3, -0.1, 0.02, 0.2, 0.5, 0.9])
    _, p = fisher_z(r0, n0, v, r1, n1, skewness=g, kurtosis=g**2)
    _, plain = fisher_z(r0, n0, v, r1, n1)
    error = np.sqrt(v / (n0 - 3) + v / (n1 - 3))
    t = (r1 - r0) / error / (1 - np.minimum(r0**2, r1**2))
    skewness = g * (1 / n1**2 - 1 / n0**2) / (1 / n0 + 1 / n1) ** 1.5
    skewness /= error / np.sqrt(1 / n0 + 1 / n1)
    jumps = 2 * stats.pearson3.sf(t, skewness)
    expected = np.where(t > 0, np.maximum(plain, np.minimum(jumps, 1)), plain)
    np.testing.assert_allclose(p, expected, rtol=1e-9)
    assert (p[4:] > 1e6 * plain[4:]).all()
    # A negative product turns all signs; normal columns have no such tail.
    _, turned = fisher_z(-r0, n0, v, -r1, n1, skewness=-g, kurtosis=g**2)
    np.testing.assert_allclose(turned, p, rtol=1e-12)
    _, swapped = fisher_z(r1, n1, v, r0, n0, skewness=g, kurtosis=g**2)
    np.testing.assert_allclose(swapped, p, rtol=1e-12)


def test_variances_below_one_count_as_one():
    assert fisher_z(0.0, 900, 0.01, 0.1, 900) == fisher_z(0.0, 900, 1.0, 0.1, 900)
    assert fisher_z(0.0, 900, 2.0, 0.1, 900, 0.1) == fisher_z(0.0, 900, 2.0, 0.1, 900, 1.0)


@pytest.mark.parametrize(("r_live", "skewed"), [(-0.7, False), (0.6, False), (-0.7, True)])
def test_real_changes_are_still_found(r_live, skewed):
    rng = np.random.default_rng(2)

    def draw(n, r):
        values = rng.normal(size=(n, 2))
        values[:, 1] = r * values[:, 0] + np.sqrt(1 - r * r) * values[:, 1]
        return table(np.exp(values) if skewed else values)

    reference = Profile.from_frame(draw(20_000, 0.7))
    for _ in range(5):
        live = Profile.from_frame(draw(2_000, r_live), like=reference)
        rows = correlations(reference, live)
        assert rows.p[0] < 1e-5
        assert rows.bound[0] > 0.05


def test_a_perfect_pair_is_tested():
    rng = np.random.default_rng(3)
    x = rng.normal(size=2_000)
    reference = Profile.from_frame(pd.DataFrame({"a": x, "b": 2 * x}))
    same = Profile.from_frame(pd.DataFrame({"a": x[:500], "b": 2 * x[:500]}), like=reference)
    rows = correlations(reference, same)
    assert (rows.reason[0], rows.p[0]) == ("", 1)
    broken = pd.DataFrame({"a": x[:500], "b": 2 * rng.permutation(x[:500])})
    rows = correlations(reference, Profile.from_frame(broken, like=reference))
    assert rows.reason[0] == ""
    assert rows.p[0] < 1e-12
    assert rows.bound[0] > 1


def test_why_a_pair_is_not_tested():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(rng.normal(size=(500, 2)), columns=["a", "b"])
    reference = Profile.from_frame(frame)
    beyond = correlations(reference, Profile.from_frame(frame.add([100, 0]), like=reference))
    assert beyond.reason[0] == (
        "a column of the pair is constant within the reference's limits: it has no correlation"
    )
    same = frame.mul([0, 1]).add([100, 0])
    one = correlations(reference, Profile.from_frame(same, like=reference))
    assert one.reason[0] == "a column of the pair is constant: it has no correlation"
    gone = correlations(reference, Profile.from_frame(frame[["b"]], like=reference))
    assert gone.reason[0] == "a column of the pair is missing or retyped"
