"""What the shared checks let through, and what they say of the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd import _validation as v
from mlsd._inputs import as_floats


def test_as_floats_gives_float64():
    for values in ([1, 2], (1.0, 2.0), np.array([1, 2], dtype=np.int8), pd.Series([True, False])):
        array = as_floats(values, "x")
        assert (array.dtype, array.shape) == (np.float64, (2,))
    assert np.isnan(as_floats([np.nan], "x", allow_nan=True)).all()


def test_good_values_come_back():
    frame = pd.DataFrame({"a": [1]})
    assert v.check_columns(frame, "frame", ["a"]) is frame
    assert v.check_positive_int(np.int64(3), "k") == 3
    assert type(v.check_positive_int(np.int64(3), "k")) is int
    assert v.check_fraction(np.float32(0.5), "p") == 0.5
    v.check_choice("a", "mode", ["a", "b"])
    v.check_same_length(x=[1], y=(2,))


def test_as_generator():
    rng = np.random.default_rng(0)
    assert v.as_generator(rng) is rng
    assert v.as_generator(1).random() == np.random.default_rng(1).random()
    assert isinstance(v.as_generator(None), np.random.Generator)
    with pytest.raises(TypeError, match="seed or a numpy Generator; got a legacy RandomState"):
        v.as_generator(np.random.RandomState(0))
    with pytest.raises(TypeError, match=r"seed: .*; got 'abc'"):
        v.as_generator("abc", "seed")
    with pytest.raises(ValueError, match=r"random_state: .*; got -1"):
        v.as_generator(-1)


def test_warn_undefined_points_at_the_caller_of_the_public_function():
    def public():
        v.warn_undefined("nothing there")

    with pytest.warns(v.UndefinedMetricWarning, match="nothing there") as caught:
        public()
    assert caught[0].filename == __file__
    assert issubclass(v.UndefinedMetricWarning, UserWarning)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: as_floats("abc", "x"), TypeError, "x must be array-like; got str"),
        (lambda: as_floats([[1.0]], "x"), ValueError, r"x must be one-dim.*shape \(1, 1\)"),
        (lambda: as_floats([1, np.nan], "x"), ValueError, "x holds 1 NaN among 2 values"),
        (
            lambda: v.check_choice(3, "mode", ["a", 1]),
            ValueError,
            "mode must be one of 'a', 1; got",
        ),
        (lambda: v.check_positive_int(True, "k"), TypeError, r"k must be an integer; got True"),
        (lambda: v.check_positive_int(1.0, "k"), TypeError, r"got 1\.0 \(float\)"),
        (lambda: v.check_positive_int(0, "k"), ValueError, "k must be at least 1; got 0"),
        (lambda: v.check_fraction("x", "p"), TypeError, "p must be a number; got 'x'"),
        (lambda: v.check_fraction(1, "p"), ValueError, "strictly between 0 and 1; got 1"),
        (lambda: v.check_fraction(float("nan"), "p"), ValueError, "strictly between 0 and 1; got"),
        (lambda: v.check_columns([], "f", []), TypeError, "f must be a pandas DataFrame; got list"),
        (
            lambda: v.check_columns(pd.DataFrame({"a": []}), "f", ["b"]),
            ValueError,
            r"f lacks the columns \['b'\]; it has \['a'\]",
        ),
        (lambda: v.check_same_length(x=[1], y=[]), ValueError, "x has 1, y has 0"),
    ],
)
def test_refuses(call, error, match):
    with pytest.raises(error, match=match):
        call()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), max_size=7))
def test_ranks_follow_scores_exactly_when_no_pair_says_otherwise(rows):
    group, score, rank = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    bad = {g for g, s, r in rows for h, t, q in rows if g == h and r < q and s < t}
    if not bad:
        v.check_rank_follows_score(group, score.astype(float), rank.astype(float), "run")
        return
    match = rf"run\['rank'\] contradicts run\['score'\] in {len(bad)} queries"
    with pytest.raises(ValueError, match=match):
        v.check_rank_follows_score(group, score.astype(float), rank.astype(float), "run")


def test_infinite_scores_have_an_order_too():
    group = np.zeros(3, dtype=np.int64)
    score = np.array([np.inf, 0.0, -np.inf])
    v.check_rank_follows_score(group, score, np.array([1.0, 2.0, 3.0]), "run")
    with pytest.raises(ValueError, match="rank 1 has score -inf and rank 2 has score 0"):
        v.check_rank_follows_score(group, score, np.array([3.0, 2.0, 1.0]), "run")
