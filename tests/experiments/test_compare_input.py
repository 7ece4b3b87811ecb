"""What two arms cannot tell, what they are shown as, and what is refused."""

from __future__ import annotations

import math

import pytest

from mlsd._validation import UndefinedMetricWarning
from mlsd.experiments.comparison import compare_means, compare_ratios
from mlsd.experiments.moments import Moments, RatioMoments

# --- what is undefined -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "match"),
    [
        (lambda: compare_means([1.0], [1.0, 2.0]), "control has one unit"),
        (lambda: compare_means([1.0, 2.0], [1.0]), "treatment has one unit"),
        (lambda: compare_means([2.0, 2.0], [3.0, 3.0]), "constant in both arms"),
        (lambda: compare_means([0.1] * 3, [0.1] * 7), "constant in both arms"),
        (
            lambda: compare_ratios([0, 0, 1, 2], [0, 0, 3, 3], list("aabb")),
            "denominators of a sum to 0",
        ),
        (lambda: compare_ratios([1, 2, 1, 2], [2, 4, 3, 6], list("aabb")), "constant in both"),
    ],
)
def test_undefined_is_nan_with_the_reason(run, match):
    with pytest.warns(UndefinedMetricWarning, match=match) as caught:
        found = run()
    assert caught[0].filename == __file__
    assert math.isnan(found.p_value)
    assert math.isnan(found.lower)
    assert math.isnan(found.lift_upper)


def test_undefined_does_not_hide_what_is_known():
    with pytest.warns(UndefinedMetricWarning):
        found = compare_means([2.0, 2.0], [3.0, 3.0])
    assert (found.difference, found.lift, found.stderr) == (1.0, 0.5, 0.0)
    # One arm without spread is no reason to give up.
    assert compare_means([2.0, 2.0], [3.0, 4.0, 5.0]).df == 2.0


def test_a_control_of_0():
    found = compare_means([-1.0, 1.0], [1.0, 2.0])
    assert math.isnan(found.lift)
    assert math.isnan(found.lift_lower)
    assert found.p_value < 1
    with pytest.warns(UndefinedMetricWarning, match="control is 0: there is no lift"):
        lost = compare_means(
            [-1.0, 1.0], [1.0, 2.0], relative=True, alternative="greater", margin=0.1
        )
    assert math.isnan(lost.p_value)


# --- presentation ------------------------------------------------------------------------------


def test_tables_and_plot():
    found = compare_means([1.0, 2.0, 3.0], [2.0, 4.0, 5.0])
    assert found.to_frame().loc["difference", "value"] == found.difference
    assert found.to_dict()["n_control"] == 3
    page = found._repr_html_()
    assert "treatment against control: +1.667, 95% interval" in page
    assert found.plot().get_xlabel() == "lift in %"
    axes = found.plot(relative=False)
    assert axes.get_xlabel() == "difference"
    assert axes.get_yticklabels()[0].get_text() == "treatment against control"


# --- bad input ---------------------------------------------------------------------------------

FINE = [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        (([], FINE), {}, ValueError, "control has no unit"),
        ((FINE, []), {}, ValueError, "treatment has no unit"),
        (([1, math.nan], FINE), {}, ValueError, "control holds 1 NaN among 2"),
        ((FINE, [1, None]), {}, ValueError, "treatment holds 1 NaN among 2"),
        ((FINE, [1, math.inf]), {}, ValueError, "treatment must be finite"),
        ((FINE, ["a", "b"]), {}, TypeError, "treatment must be numeric"),
        ((FINE, [[1.0, 2.0]]), {}, ValueError, "treatment must be one-dimensional"),
        ((Moments.of(FINE), FINE), {}, TypeError, "must both be Moments"),
        (
            (Moments.of(FINE), Moments.of(FINE)),
            {"covariate": (FINE, FINE)},
            ValueError,
            "covariate goes into Moments",
        ),
        ((Moments.of(FINE, FINE), Moments.of(FINE)), {}, ValueError, "the other has none"),
        ((Moments.of([]), Moments.of(FINE)), {}, ValueError, "control has no unit"),
        ((FINE, FINE), {"covariate": FINE}, ValueError, "covariate must be a pair"),
        ((FINE, FINE), {"covariate": 5}, ValueError, "covariate must be a pair.*got int"),
        (
            (FINE, FINE),
            {"covariate": (FINE, [1, 2])},
            ValueError,
            "treatment has 3, covariate of treatment has 2",
        ),
        (
            (FINE, FINE),
            {"covariate": (FINE, [1, 2, math.nan])},
            ValueError,
            "covariate of treatment holds 1 NaN",
        ),
        ((FINE, FINE), {"level": 95}, ValueError, "level must lie strictly between 0 and 1"),
        ((FINE, FINE), {"alternative": "two_sided"}, ValueError, "alternative must be one of"),
        ((FINE, FINE), {"margin": 0.1}, ValueError, "margin is 0.1, which goes with"),
        (
            (FINE, FINE),
            {"margin": math.nan, "alternative": "less"},
            ValueError,
            "margin must be finite",
        ),
        ((FINE, FINE), {"margin": "x"}, TypeError, "margin must be a number"),
        ((FINE, FINE), {"relative": 1}, TypeError, "relative must be True or False"),
    ],
)
def test_bad_means(arguments, options, error, match):
    with pytest.raises(error, match=match):
        compare_means(*arguments, **options)


ARMS = {"a": RatioMoments.of([1, 2], [3, 4]), "b": RatioMoments.of([1, 2], [3, 5])}


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((FINE,), {}, TypeError, "numerator, denominator and variant are needed"),
        ((FINE, FINE), {}, TypeError, "numerator, denominator and variant are needed"),
        ((FINE, FINE, [0, 0, 0]), {}, ValueError, r"at least two arms are needed; got \[0\]"),
        ((FINE, FINE, [0, 1, None]), {}, ValueError, "variant has 1 missing labels"),
        ((FINE, FINE, [0, 1]), {}, ValueError, "variant has 2"),
        ((FINE, [1, 2], [0, 1, 1]), {}, ValueError, "denominator has 2"),
        ((FINE, [1, 2, math.nan], [0, 1, 1]), {}, ValueError, "denominator holds 1 NaN"),
        ((FINE, FINE, [0, 1, 1]), {"control": 7}, ValueError, "control is 7, which is not among"),
        ((FINE, FINE, [0, 1, 1]), {"covariate": [1, 2]}, ValueError, "covariate has 2"),
        (
            (FINE, FINE, [0, 1, 1]),
            {"covariate": (FINE, [1, 2])},
            ValueError,
            r"covariate\[1\] has 2",
        ),
        ((ARMS, FINE), {}, ValueError, "a mapping of RatioMoments goes alone"),
        (({"a": ARMS["a"]},), {}, ValueError, "at least two arms are needed"),
        (({"a": ARMS["a"], "b": 3},), {}, TypeError, r"numerator\['b'\] must be RatioMoments"),
        (({"a": ARMS["a"], 1: ARMS["b"]},), {}, TypeError, "the arms have no common order"),
        (
            ({"a": ARMS["a"], "b": RatioMoments.of([1, 2], [3, 5], [1, 2])},),
            {},
            ValueError,
            "covariates of the arms are not of one kind",
        ),
        ((ARMS,), {"level": 0}, ValueError, "level must"),
    ],
)
def test_bad_ratios(arguments, options, error, match):
    with pytest.raises(error, match=match):
        compare_ratios(*arguments, **options)


def test_which_arm_is_the_control():
    y, x = [1, 2, 3, 4], [2, 3, 5, 7]
    assert compare_ratios(y, x, ["z", "z", "control", "control"]).control_name == "control"
    assert compare_ratios(y, x, ["new", "new", "old", "old"]).control_name == "new"
    named = compare_ratios(y, x, ["new", "new", "old", "old"], control="old")
    assert (named.control_name, named.treatment_name) == ("old", "new")
    assert (named.control, named.treatment) == (7 / 12, 3 / 5)
