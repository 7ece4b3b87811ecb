"""What a log may not be: every function says what is wrong, by name and number."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mlsd.ope
from mlsd.ope import clipped_ips, direct_method, doubly_robust, ips, sndr, snips, switch_dr

LOG = {"reward": [1, 0], "pscore": [0.5, 0.5], "target_prob": [1.0, 0.5]}
MODEL = {"q_hat": [0.5, 0.5], "q_target": [0.25, 0.5]}
WEIGHTED = [(ips, {}), (snips, {}), (clipped_ips, {"clip": 2})]
MODELLED = [(doubly_robust, MODEL), (sndr, MODEL), (switch_dr, {**MODEL, "threshold": 2})]
WIDE = [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"pscore": [0.5, 0.0]}, ValueError, "pscore is 0 for 1 of 2.*position 1"),
        ({"pscore": [0.5, 1.1]}, ValueError, "pscore must lie between 0 and 1; 1 of 2"),
        ({"pscore": [0.5, -0.1]}, ValueError, "pscore must lie between"),
        ({"pscore": [0.5, None]}, ValueError, "pscore holds 1 NaN among 2"),
        ({"pscore": [0.5, 1e-320]}, ValueError, "its weight overflows"),
        ({"pscore": ["a", "b"]}, TypeError, "pscore must be numeric"),
        ({"pscore": [[0.5, 0.5], [1.0]]}, ValueError, "pscore must be one-dimensional"),
        ({"pscore": [0.5]}, ValueError, "lengths differ: .*pscore has 1"),
        ({"target_prob": [1.5, 0.0]}, ValueError, "target_prob must lie between"),
        ({"target_prob": [np.nan, 0.0]}, ValueError, "target_prob holds 1 NaN"),
        ({"reward": [1, np.nan]}, ValueError, "reward holds 1 NaN"),
        ({"reward": [1, -np.inf]}, ValueError, "reward must be finite; 1 of 2.*position 1"),
        ({"reward": []}, ValueError, "reward is empty"),
        ({"unit": [1, None]}, ValueError, "unit has 1 missing"),
        ({"unit": [1]}, ValueError, "unit has 1, the data 2"),
        ({"level": 95}, ValueError, "level must lie strictly"),
        ({"unsupported": "drop"}, ValueError, "unsupported must be one of"),
        ({"action": [0, 1]}, ValueError, "neither pscore nor target_prob has columns"),
        ({"target_prob": WIDE}, ValueError, "target_prob has a column an action, so action"),
        ({"pscore": WIDE}, ValueError, "pscore has a column an action, so action"),
        ({"pscore": WIDE, "action": [0, 2]}, ValueError, "0 to 1; 1 of 2 are not, such as 2"),
        ({"pscore": WIDE, "action": [0, -1]}, ValueError, "such as -1 at position 1"),
        ({"pscore": WIDE, "action": [0, 0.5]}, ValueError, "action must hold the columns"),
        ({"pscore": WIDE, "action": [0]}, ValueError, "lengths differ: .*action has 1"),
        ({"pscore": [[0.5, 0.4]] * 2, "action": [0, 0]}, ValueError, "sum to 1 in each row; 2 of"),
        ({"pscore": [[0.0, 1.0]] * 2, "action": [0, 1]}, ValueError, "pscore is 0 for 1 of 2"),
        (
            {"pscore": [[0.5, 0.25, 0.25]] * 2, "target_prob": WIDE, "action": [0, 1]},
            ValueError,
            r"differ in shape: \(2, 3\) and \(2, 2\)",
        ),
    ],
)
@pytest.mark.parametrize(("function", "more"), WEIGHTED + MODELLED)
def test_bad_logs(function, more, change, error, message):
    function(**LOG, **more)
    with pytest.raises(error, match=message):
        function(**{**LOG, **more, **change})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"q_hat": [0.5, np.nan]}, ValueError, "q_hat holds 1 NaN"),
        ({"q_hat": [0.5]}, ValueError, "lengths differ: .*q_hat has 1"),
        ({"q_target": [np.inf, 0]}, ValueError, "q_target must be finite"),
        ({"q_target": None}, ValueError, "so q_target is needed"),
        ({"q_hat": WIDE}, ValueError, "so that q_target follows from it"),
        ({"q_hat": WIDE, "q_target": None}, ValueError, "target_prob must have them too"),
        (
            {"q_hat": [[1, 2, 3]] * 2, "q_target": None, "target_prob": WIDE, "action": [0, 1]},
            ValueError,
            "q_hat and target_prob differ in shape",
        ),
    ],
)
@pytest.mark.parametrize(("function", "more"), MODELLED)
def test_bad_models(function, more, change, error, message):
    with pytest.raises(error, match=message):
        function(**{**LOG, **more, **change})


@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_bad_thresholds(value):
    with pytest.raises(ValueError, match="clip must be finite and above 0"):
        clipped_ips(**LOG, clip=value)
    with pytest.raises(ValueError, match="threshold must be finite and above 0"):
        switch_dr(**LOG, **MODEL, threshold=value)
    with pytest.raises(TypeError, match="clip must be a number"):
        clipped_ips(**LOG, clip="2")


def test_bad_predictions_of_the_direct_method():
    with pytest.raises(ValueError, match="q_hat is empty"):
        direct_method([])
    with pytest.raises(ValueError, match="q_hat must have a row a decision"):
        direct_method([1.0, 2.0], WIDE)
    with pytest.raises(ValueError, match="unit has 1, the data 2"):
        direct_method([1.0, 2.0], unit=[1])


@pytest.mark.parametrize(("function", "more"), WEIGHTED + MODELLED)
def test_one_unit_has_a_value_and_no_interval(function, more):
    with pytest.warns(UserWarning, match="one unit: the interval is undefined") as caught:
        result = function(**LOG, **more, unit=["a", "a"])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert not math.isnan(result.value)
    assert all(map(math.isnan, (result.stderr, result.lower, result.upper)))


@pytest.mark.parametrize(("function", "more"), [(snips, {}), (sndr, MODEL)])
def test_without_a_weight_there_is_nothing_to_normalise(function, more):
    with pytest.warns(UserWarning, match="all 2 weights are 0") as caught:
        result = function(**{**LOG, "target_prob": [0, 0]}, **more)
    assert caught[0].filename == __file__
    assert math.isnan(result.value)
    assert (result.ess, result.max_weight) == (0.0, 0.0)


def test_names_are_there_when_asked_for():
    assert dir(mlsd.ope) == sorted(mlsd.ope.__all__)
    assert all(hasattr(mlsd.ope, name) for name in mlsd.ope.__all__)


def test_a_result_is_a_table():
    result = ips(**LOG)
    assert result.ci == (result.lower, result.upper)
    assert result.to_frame().loc["value", "value"] == 1.0
