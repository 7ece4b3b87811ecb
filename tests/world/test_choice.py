"""Clicks against a reader simulated place by place, and their chances against every path."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd.world._choice import (
    choice_model,
    click_probability,
    examination_probability,
    examined_and_clicked,
)

MODELS = {
    "position": choice_model("position", 4, eta=0.8, trust_plus=0.95, trust_minus=0.1),
    "cascade": choice_model("cascade", 4, stop=0.7, proceed=0.9, trust_plus=0.9, trust_minus=0.2),
    "none": choice_model("none", 4, eta=3.0, trust_plus=0.5, trust_minus=0.4),
}


def seen_click(model, a, place):
    if model.kind == "none":
        return a
    return model.trust_plus[place] * a + model.trust_minus[place] * (1 - a)


def naive(a, u_exam, u_click, model):
    """Read each slate from the top, one place after the other."""
    examined, click = np.zeros(a.shape, dtype=bool), np.zeros(a.shape, dtype=bool)
    for row in range(a.shape[0]):
        reading, clicked = True, False
        for place in range(a.shape[1]):
            if model.kind == "position":
                looks = u_exam[row, place] < (place + 1) ** -0.8
            elif model.kind == "none":
                looks = True
            else:
                if place:
                    goes_on = 1 - model.stop if clicked else model.proceed
                    reading = reading and u_exam[row, place] < goes_on
                looks = reading
            clicked = looks and u_click[row, place] < seen_click(model, a[row, place], place)
            examined[row, place], click[row, place] = looks, clicked
    return examined, click


@pytest.mark.parametrize("kind", MODELS)
def test_examined_and_clicked_against_a_loop(kind):
    rng = np.random.default_rng(1)
    a, u_exam, u_click = rng.random((3, 500, 4))
    got = examined_and_clicked(a, u_exam, u_click, MODELS[kind])
    expected = naive(a, u_exam, u_click, MODELS[kind])
    for one, two in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, two)
        assert one.dtype == np.bool_
    assert 0 < got[1].mean() < 1


def by_paths(a, model):
    """Sum the chances of every pattern of looks and clicks of a cascade."""
    k = len(a)
    total = np.zeros(k)
    looked = np.zeros(k)
    for n_read in range(1, k + 1):
        for clicks in itertools.product([0, 1], repeat=n_read):
            chance = 1.0
            for place, click in enumerate(clicks):
                c = seen_click(model, a[place], place)
                chance *= c if click else 1 - c
                goes_on = 1 - model.stop if click else model.proceed
                if place < n_read - 1:
                    chance *= goes_on
                elif n_read < k:
                    chance *= 1 - goes_on
            total[:n_read] += chance * np.array(clicks)
            looked[:n_read] += chance
    return looked, total


def test_cascade_against_every_path():
    model = MODELS["cascade"]
    a = np.random.default_rng(2).random((20, 4))
    expected = [by_paths(row, model) for row in a]
    looked, clicked = (np.array(part) for part in zip(*expected, strict=True))
    np.testing.assert_allclose(examination_probability(a, model), looked, rtol=1e-12)
    np.testing.assert_allclose(click_probability(a, model), clicked, rtol=1e-12)


@pytest.mark.parametrize("kind", MODELS)
def test_chances_are_the_frequencies(kind):
    n, model = 100_000, MODELS[kind]
    rng = np.random.default_rng(3)
    a = np.tile([0.3, 0.6, 0.1, 0.8], (n, 1))
    examined, click = examined_and_clicked(a, *rng.random((2, n, 4)), model)
    for found, exact in (
        (examined, examination_probability(a[:1], model)[0]),
        (click, click_probability(a[:1], model)[0]),
    ):
        error = np.sqrt(exact * (1 - exact) / n)
        np.testing.assert_array_less(np.abs(found.mean(axis=0) - exact), 4 * error + 1e-12)


def test_with_examination_off_the_click_rate_is_the_attractiveness():
    a = np.random.default_rng(4).random((50, 4))
    np.testing.assert_array_equal(click_probability(a, MODELS["none"]), a)
    np.testing.assert_array_equal(examination_probability(a, MODELS["none"]), 1.0)


def test_positions_by_hand():
    model = choice_model("position", 3, eta=2.0, trust_plus=0.9, trust_minus=0.3)
    np.testing.assert_allclose(model.gamma, [1, 1 / 4, 1 / 9])
    np.testing.assert_allclose(model.trust_minus, [0.3, 0.15, 0.1])
    got = click_probability(np.array([[1.0, 1.0, 0.0]]), model)
    np.testing.assert_allclose(got, [[0.9, 0.9 / 4, 0.1 / 9]])


@pytest.mark.parametrize(("stop", "proceed"), [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.4, 0.6)])
def test_cascade_at_its_ends(stop, proceed):
    model = choice_model("cascade", 3, stop=stop, proceed=proceed)
    rng = np.random.default_rng(5)
    examined, click = examined_and_clicked(*rng.random((3, 2000, 3)), model)
    assert examined[:, 0].all()
    assert not (examined[:, 1:] & ~examined[:, :-1]).any()  # nothing is skipped
    assert not (click & ~examined).any()
    if stop == 1.0:
        assert click.sum(axis=1).max() == 1
    if stop == 0.0 and proceed == 1.0:
        assert examined.all()
    if proceed == 0.0:
        assert not examined[:, 1:].any()


@given(
    st.sampled_from(list(MODELS)),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.integers(0, 3),
    st.floats(0, 1),
)
def test_what_attracts_more_is_clicked_more_and_chances_are_chances(kind, a, place, more):
    model = MODELS[kind]
    low = np.array([a])
    high = low.copy()
    high[0, place] = max(more, a[place])
    before, after = click_probability(low, model), click_probability(high, model)
    assert np.all((before >= 0) & (before <= 1))
    assert after[0, place] >= before[0, place]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "glance"}, "examination must be one of 'position', 'cascade', 'none'; got"),
        ({"slate": 0}, "slate must be at least 1"),
        ({"eta": -0.1}, "eta must be finite and at least 0; got -0.1"),
        ({"eta": np.nan}, "eta must be finite"),
        ({"trust_plus": 1.2}, "trust_plus must lie between 0 and 1; got 1.2"),
        ({"trust_minus": -0.1}, "trust_minus must lie between 0 and 1"),
        ({"trust_plus": 0.2, "trust_minus": 0.3}, "trust_minus must be at most trust_plus"),
        ({"stop": 2.0}, "cascade_stop must lie between 0 and 1; got 2.0"),
        ({"proceed": np.nan}, "cascade_continue must lie between 0 and 1; got nan"),
    ],
)
def test_bad_models(options, message):
    with pytest.raises(ValueError, match=message):
        choice_model(**{"kind": "position", "slate": 3, **options})
