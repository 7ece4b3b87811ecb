"""Slates by position and by cascade: by hand, by loops, over all slates that can happen."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd.ope import SupportWarning, cascade_ips, ips, position_ips, snips


def random_log(seed, n_slates=12):
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 5, n_slates)
    slate = np.repeat(np.arange(n_slates), size)
    position = np.concatenate([np.arange(1, k + 1) for k in size])
    n = slate.size
    order = rng.permutation(n)
    columns = rng.normal(size=n), rng.uniform(0.3, 1, n), rng.uniform(size=n), slate, position
    return [column[order] for column in columns]


def loop(reward, pscore, target, slate, position, *, cascade, normalize, unit=None):
    """The value and its error, row by row, and the effective sample size of each place."""
    rows = {(s, k): i for i, (s, k) in enumerate(zip(slate, position, strict=True))}
    weight = {}
    for s, k in sorted(rows):
        above = weight[s, k - 1] if cascade and k > 1 else 1.0
        weight[s, k] = above * target[rows[s, k]] / pscore[rows[s, k]]
    slates, places = sorted(set(slate)), sorted(set(position))
    value_of = dict.fromkeys(slates, 0.0)
    ess = []
    for k in places:
        here = [s for s in slates if (s, k) in rows]
        w = np.array([weight[s, k] for s in here])
        r = np.array([reward[rows[s, k]] for s in here])
        ess.append(w.sum() ** 2 / (w**2).sum())
        mean = (w @ r) / w.sum()
        for s, one_w, one_r in zip(here, w, r, strict=True):
            if normalize:
                value_of[s] += mean + one_w / w.mean() * (one_r - mean)
            else:
                value_of[s] += one_w * one_r
    z = np.array([value_of[s] for s in slates])
    unit = np.arange(len(slates)) if unit is None else unit
    total = np.array([z[unit == u].sum() for u in np.unique(unit)])
    count = np.array([(unit == u).sum() for u in np.unique(unit)])
    value, n = z.mean(), total.size
    error = math.sqrt(n / (n - 1) * ((total - value * count) ** 2).sum()) / z.size
    return value, error, min(ess)


@given(seed=st.integers(0, 10_000), cascade=st.booleans(), normalize=st.booleans())
@settings(max_examples=40, deadline=None)
def test_loops_agree(seed, cascade, normalize):
    log = random_log(seed)
    function = cascade_ips if cascade else position_ips
    result = function(*log, normalize=normalize)
    expected = loop(*log, cascade=cascade, normalize=normalize)
    assert (result.value, result.stderr, result.ess) == pytest.approx(expected)
    assert result.n == result.n_units == 12
    of_slate = np.arange(12) // 3
    by_user = function(*log, normalize=normalize, unit=of_slate[log[3]])
    expected = loop(*log, cascade=cascade, normalize=normalize, unit=of_slate)
    assert (by_user.value, by_user.stderr, by_user.ess) == pytest.approx(expected)
    assert (by_user.n, by_user.n_units) == (12, 4)
    # Rows may come in any order, slates may have any names.
    order = np.random.default_rng(seed).permutation(log[0].size)
    names = np.array([f"s{11 - s:02d}" for s in range(12)])
    mixed = [column[order] for column in (*log[:3], names[log[3]], log[4])]
    again = function(*mixed, normalize=normalize)
    assert (again.value, again.stderr) == pytest.approx((result.value, result.stderr))


def test_slates_of_one_place_are_decisions():
    reward, pscore, target, _, _ = random_log(3)
    n = reward.size
    log = reward, pscore, target, np.arange(n), np.ones(n, dtype=int)
    for function in (position_ips, cascade_ips):
        for normalize, plain in ((False, ips), (True, snips)):
            one, other = function(*log, normalize=normalize), plain(reward, pscore, target)
            assert one.ci == pytest.approx(other.ci)
            assert (one.ess, one.max_weight, one.mean_weight) == pytest.approx(
                (other.ess, other.max_weight, other.mean_weight)
            )


# Slates of two of three documents, drawn one after the other.
LOGGED, TARGET = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
LOOK = np.array([1.0, 0.5])
CLICK = np.array([0.2, 0.6, 0.4])


def all_slates():
    """Each slate with its chance and conditional propensities under both policies."""
    for first, second in itertools.permutations(range(3), 2):
        one, other = ((p[first], p[second] / (1 - p[first])) for p in (LOGGED, TARGET))
        yield (first, second), one, other


def by_place(policy):
    """The marginal chance of each document at each place."""
    chance = np.zeros((2, 3))
    for (first, second), one, other in all_slates():
        p = one if policy is LOGGED else other
        chance[0, first] += p[0] * p[1]
        chance[1, second] += p[0] * p[1]
    return chance


def mean_of(function, marginal, reward_of):
    """Expectations of the value over all slates, of rewards that are given by the slate."""
    logged, target = by_place(LOGGED), by_place(TARGET)
    truth = mean = 0.0
    for slate, one, other in all_slates():
        reward = reward_of(slate)
        truth += other[0] * other[1] * sum(reward)
        if marginal:
            one_way = [logged[k, d] for k, d in enumerate(slate)]
            other_way = [target[k, d] for k, d in enumerate(slate)]
        else:
            one_way, other_way = one, other
        # Two slates that are alike: one has no interval.
        log = [*reward, *reward], [*one_way] * 2, [*other_way] * 2, [0, 0, 1, 1], [1, 2, 1, 2]
        mean += one[0] * one[1] * function(*log, normalize=False).value
    return mean, truth


def of_position(slate):
    return [LOOK[k] * CLICK[d] for k, d in enumerate(slate)]


def of_cascade(slate):
    # The second place is looked at if the first was not clicked.
    return [CLICK[slate[0]], (1 - CLICK[slate[0]]) * CLICK[slate[1]]]


def of_below(slate):
    return [CLICK[slate[0]] * CLICK[slate[1]], 0.0]


def test_over_all_slates_each_is_unbiased_where_its_model_holds():
    mean, truth = mean_of(position_ips, True, of_position)
    assert mean == pytest.approx(truth, abs=1e-12)
    for reward_of in (of_position, of_cascade):
        mean, truth = mean_of(cascade_ips, False, reward_of)
        assert mean == pytest.approx(truth, abs=1e-12)


def test_over_all_slates_each_is_biased_where_its_model_fails():
    mean, truth = mean_of(position_ips, True, of_cascade)
    assert abs(mean - truth) > 0.005
    mean, truth = mean_of(cascade_ips, False, of_below)
    assert abs(mean - truth) > 0.005


def test_a_place_that_the_target_never_fills_like_the_log():
    log = [1, 1, 0, 1], [0.5] * 4, [0.5, 0, 0.5, 0], [1, 1, 2, 2], [1, 2, 1, 2]
    assert position_ips(*log).value == 0.5
    assert position_ips(*log).ess == 0.0
    with pytest.warns(UserWarning, match="all weights of 1 of 2 places are 0") as caught:
        result = position_ips(*log, normalize=True)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert all(map(math.isnan, (result.value, result.stderr, *result.ci)))


def test_weights_of_a_place_that_cannot_have_mean_1_are_said():
    n = 100
    slate, position = np.repeat(np.arange(n), 2), np.tile([1, 2], n)
    target = np.where(position == 2, 0.25, 0.5)
    log = np.ones(2 * n), np.full(2 * n, 0.5), target, slate, position
    with pytest.warns(SupportWarning, match="mean weight of place 2 is 0.5") as caught:
        result = position_ips(*log)
    assert caught[0].filename == __file__
    assert result.mean_weight == 0.5


def test_units_that_do_not_reach_a_place_say_nothing_of_its_weights():
    # 40 users have a first place, 20 a second: too few to question its weights of 0.1.
    slate = np.r_[np.arange(40), np.arange(0, 40, 2)]
    position = np.repeat([1, 2], [40, 20])
    target = np.where(position == 2, 0.05, 0.5)
    log = np.ones(60), np.full(60, 0.5), target, slate, position
    result = position_ips(*log, unit=slate)  # a warning would be an error
    assert (result.n_units, result.mean_weight) == (40, pytest.approx(0.1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": [1, 3, 1, 2]}, r"position must be 1, 2, .* slate 'a' is \[1.0, 3.0\]"),
        ({"position": [1, 1, 1, 2]}, "position must be 1, 2"),
        ({"position": [0, 1, 1, 2]}, "position must be 1, 2"),
        ({"position": [1, 1.5, 1, 2]}, "position must be 1, 2"),
        ({"position": [1, 2, 1]}, "lengths differ.*position has 3"),
        ({"slate": ["a", "a", "b", None]}, "slate has 1 missing"),
        ({"pscore": [0.5, 0.5, 0.0, 0.5]}, "pscore is 0 for 1 of 4.*position 2"),
        ({"pscore": [0.5, 0.5, 1.5, 0.5]}, "pscore must lie between 0 and 1; 1 of 4"),
        ({"pscore": [0.5, 0.5, np.nan, 0.5]}, "pscore holds 1 NaN"),
        ({"target_prob": [0.5, 0.5, -1, 0.5]}, "target_prob must lie between"),
        ({"reward": [1, np.inf, 0, 0]}, "reward must be finite; 1 of 4"),
        ({"unit": [1, 2, 3, 3]}, "unit differs within 1 of 2 slates"),
        ({"unit": [1, 1, 3]}, "lengths differ: unit has 3, the data 4"),
        ({"level": 1.0}, "level must lie strictly"),
        ({"reward": [], "pscore": [], "target_prob": [], "slate": [], "position": []}, "is empty"),
    ],
)
@pytest.mark.parametrize("function", [position_ips, cascade_ips])
def test_bad_input(function, change, message):
    log = {
        "reward": [1, 0, 0, 1],
        "pscore": [0.5, 0.5, 0.5, 0.5],
        "target_prob": [0.5, 0.5, 0.5, 0.5],
        "slate": ["a", "a", "b", "b"],
        "position": [1, 2, 1, 2],
    }
    function(**log)
    with pytest.raises(ValueError, match=message):
        function(**{**log, **change})


def test_a_product_that_overflows_is_refused():
    log = [1, 1], [1e-200, 1e-200], [1, 1], [0, 0], [1, 2]
    with pytest.raises(ValueError, match="weights of a slate overflow"):
        cascade_ips(*log)
