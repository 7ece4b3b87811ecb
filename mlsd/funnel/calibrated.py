"""Scores that mean the same whichever stage they come from: probabilities of relevance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_binary, as_floats, as_weights
from mlsd._types import BoolArray, FloatArray
from mlsd._validation import check_choice, check_same_length

__all__ = ["ScoreCalibrator"]

# Means of scores that differ by no more than this part of their range differ by rounding.
_SAME = 1e-12
# By name: arrays for "isotonic", single numbers for "logistic".
_Fitted = dict[str, Any]
_PARAMETERS = {
    "isotonic": ("score", "level"),
    "logistic": ("centre", "scale", "slope", "intercept"),
}


class ScoreCalibrator:
    """Turn the raw scores of one stage into probabilities of relevance.

    Each stage has a scale of its own: a dot product, a sum of trees, a popularity. Fitted per
    stage, these put all on one scale, so that a list that only the light ranker has seen can
    stand beside one from the heavy ranker, and a bid can be multiplied with either.

    Parameters
    ----------
    method : {"isotonic", "logistic"}, default "isotonic"
        - "isotonic": the non-decreasing function of the score with the least squared error, with
          straight lines between the scores it was fitted on and constant beyond them. It assumes
          no shape and needs some thousands of labels; it can give 0 and 1.
        - "logistic": ``1 / (1 + exp(-(slope * score + intercept)))`` of the highest likelihood,
          without a penalty (Platt, without his smoothing of the labels). Two numbers, so that
          few labels do, if the shape is right.

    Attributes
    ----------
    keep_rate : float
        The share of negatives that were kept for the fit; see :meth:`fit`.

    Notes
    -----
    Neither lets the probability fall when the score rises, so calibration changes no order. It can
    make ties: isotonic regression gives whole ranges of scores one probability. So a funnel orders
    by the raw score and shows or multiplies the calibrated one.

    Fit on rows that the scorer was not trained on, and judge on others again:
    :func:`mlsd.metrics.calibration_ratio` and :func:`mlsd.metrics.calibration_error` take the
    label and what this returns.

    References
    ----------
    J. Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized
    Likelihood Methods", Advances in Large Margin Classifiers, 1999.

    B. Zadrozny and C. Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates", KDD 2002.

    X. He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014: the
    correction for negatives left out.

    Examples
    --------
    >>> from mlsd.funnel import ScoreCalibrator
    >>> light = ScoreCalibrator().fit([1, 2, 3, 4, 5, 6], [0, 0, 1, 0, 1, 1])
    >>> light.predict([0, 2.5, 4, 9])
    array([0.  , 0.25, 0.5 , 1.  ])

    With half of the negatives left out of the fit, the odds are twice what they should be:

    >>> light = ScoreCalibrator().fit([1, 2, 3, 4, 5, 6], [0, 0, 1, 0, 1, 1], keep_rate=0.5)
    >>> light.predict([4]).round(3)
    array([0.333])

    The value of an ad is its bid times the probability of a click, whoever scored it:

    >>> heavy = ScoreCalibrator("logistic").fit([0.1, 0.4, 0.5, 0.9], [0, 1, 0, 1])
    >>> (2.0 * light([4]) > 0.5 * heavy([0.9])).tolist()
    [True]
    """

    def __init__(self, method: Literal["isotonic", "logistic"] = "isotonic") -> None:
        """See the class."""
        check_choice(method, "method", list(_PARAMETERS))
        self.method = method
        self.keep_rate = 1.0
        self._fitted: _Fitted = {}

    def __repr__(self) -> str:
        """Show the method, and whether it is fitted."""
        return f"ScoreCalibrator({self.method!r})" + ("" if self._fitted else ", not fitted")

    def fit(
        self,
        score: npt.ArrayLike,
        label: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        keep_rate: float = 1.0,
    ) -> Self:
        """Learn what the scores mean.

        Parameters
        ----------
        score : array-like of shape (n,)
            Finite scores, higher is better.
        label : array-like of shape (n,)
            Whether it was relevant: booleans, 0 and 1, or -1 and 1.
        sample_weight : array-like of shape (n,), optional
            Finite weights of at least 0. Default: all equal.
        keep_rate : float, default 1.0
            In (0, 1]: the share of negatives that were kept, at random, in these rows, while all
            positives were. A probability `q` among these rows is ``q / (q + (1 - q) / keep_rate)``
            among all.

        Returns
        -------
        ScoreCalibrator
            Itself.

        Raises
        ------
        ValueError
            If there are no rows or labels of one class only (counting what has a weight), lengths
            differ, a score is NaN or infinite, `keep_rate` is out of range; if the scores rank
            backwards, so that no non-decreasing function of them is any use; or if "logistic" has
            no best slope because the scores separate the classes.
        """
        keep_rate = _check_keep_rate(keep_rate)
        values = _finite(score)
        positive = as_binary(label, "label")
        check_same_length(score=values, label=positive)
        weight = as_weights(sample_weight, "sample_weight", values.size)
        if weight is None:
            weight = np.ones(values.size)
        some = weight > 0
        values, positive, weight = values[some], positive[some], weight[some]
        n_positive = int(np.count_nonzero(positive))
        if n_positive in (0, positive.size):
            raise ValueError(
                f"label must hold both classes; got {n_positive} positives among "
                f"{positive.size} rows" + ("" if some.all() else " with a weight")
            )
        low, high = float(values.min()), float(values.max())
        if high - low == np.inf:
            raise ValueError(f"score goes from {low:g} to {high:g}: too far apart")
        learn = _isotonic if self.method == "isotonic" else _logistic
        fitted = learn(values, positive, weight)
        self._fitted, self.keep_rate = fitted, keep_rate
        return self

    def predict(self, score: npt.ArrayLike) -> FloatArray:
        """Return the probability of relevance of every score.

        Parameters
        ----------
        score : array-like of shape (n,)
            Finite scores of the stage it was fitted for.

        Returns
        -------
        ndarray of shape (n,)
            From 0 to 1, never falling as the score rises.

        Raises
        ------
        ValueError
            If a score is NaN or infinite, or nothing was fitted.
        """
        self._check_fitted()
        values = _finite(score)
        if self.method == "isotonic":
            share = _between(values, self._fitted["score"], self._fitted["level"])
            if self.keep_rate == 1:
                return share
            # By the odds: every step is monotone, and so is what comes out, to the last digit.
            with np.errstate(divide="ignore", over="ignore"):
                return 1 / (1 + (1 / share - 1) / self.keep_rate)
        from scipy.special import expit

        slope, intercept = self._fitted["slope"], self._fitted["intercept"]
        with np.errstate(over="ignore"):
            distance = (values - self._fitted["centre"]) / self._fitted["scale"]
            logit = slope * distance if slope > 0 else np.zeros(values.size)
        found: FloatArray = expit(logit + (intercept + np.log(self.keep_rate)))
        return found

    def __call__(self, score: npt.ArrayLike) -> FloatArray:
        """Return the probability of every score: the same as :meth:`predict`."""
        return self.predict(score)

    def to_dict(self) -> dict[str, Any]:
        """Return all that :meth:`from_dict` needs, as plain values: ready for ``json.dumps``."""
        self._check_fitted()
        fitted = {name: value.tolist() for name, value in self._fitted.items()}
        return {"method": self.method, "keep_rate": self.keep_rate, **fitted}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Return the fitted calibrator that :meth:`to_dict` described.

        Parameters
        ----------
        state : mapping
            What :meth:`to_dict` returned, perhaps by way of JSON.

        Returns
        -------
        ScoreCalibrator
            It predicts the same to the last digit.

        Raises
        ------
        TypeError
            If `state` is no mapping or a value no number.
        ValueError
            If an entry is missing, unknown or out of range, so that predictions would not be
            probabilities or would fall as the score rises.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a mapping; got {type(state).__name__}")
        method = state.get("method")
        check_choice(method, "method of state", list(_PARAMETERS))
        names = _PARAMETERS[str(method)]
        if set(state) != {"method", "keep_rate", *names}:
            raise ValueError(
                f"state must have the entries method, keep_rate, {', '.join(names)}; "
                f"got {', '.join(map(str, state))}"
            )
        made = cls(method)  # type: ignore[arg-type]
        made.keep_rate = _check_keep_rate(state["keep_rate"])
        for name in names:
            given = [state[name]] if method == "logistic" else state[name]
            value = as_floats(given, f"{name} of state")
            if not np.isfinite(value).all():
                raise ValueError(f"{name} of state must be finite; got {state[name]!r}")
            made._fitted[name] = value[0] if method == "logistic" else value
        _check_rising(made._fitted)
        return made

    def _check_fitted(self) -> None:
        """Raise if there is nothing to predict with."""
        if not self._fitted:
            raise ValueError("this ScoreCalibrator has no scores: call fit first")


def _isotonic(score: FloatArray, positive: BoolArray, weight: FloatArray) -> _Fitted:
    """Return the corners of the isotonic regression."""
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0.0, y_max=1.0).fit(score, positive, sample_weight=weight)
    level = np.asarray(model.y_thresholds_, dtype=np.float64)
    if level[0] == level[-1]:
        _check_forwards(score, positive, weight)
    return {"score": np.asarray(model.X_thresholds_, dtype=np.float64), "level": level}


def _logistic(score: FloatArray, positive: BoolArray, weight: FloatArray) -> _Fitted:
    """Return slope and intercept for scores less `centre` and divided by `scale`."""
    from scipy.special import logit
    from sklearn.linear_model import LogisticRegression

    low, high = score.min(), score.max()
    if _check_forwards(score, positive, weight) <= _SAME:
        rate = logit(np.average(positive, weights=weight))
        return {"centre": low, "scale": np.float64(1), "slope": np.float64(0), "intercept": rate}
    # By way of [-1, 1], where squares neither overflow nor vanish.
    half = (high - low) / 2
    unit = (score - low) / half - 1
    middle, spread = np.average(unit, weights=weight), unit.std()
    if score[~positive].max() <= score[positive].min():
        raise ValueError(
            "score separates the labels, so that no logistic slope is steep enough: "
            "bring more rows, or use method='isotonic'"
        )
    # An infinite C is no penalty. One coefficient and one intercept: Newton needs few steps.
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit(((unit - middle) / spread)[:, None], positive, sample_weight=weight)
    return {
        "centre": low + (1 + middle) * half,
        "scale": spread * half,
        "slope": model.coef_[0, 0],
        "intercept": model.intercept_[0],
    }


def _between(score: FloatArray, corner: FloatArray, level: FloatArray) -> FloatArray:
    """Return levels on straight lines between corners, constant beyond the last ones.

    Not ``numpy.interp``, which can overshoot the next corner by a digit, and so would fall there.
    """
    score = np.clip(score, corner[0], corner[-1])
    left = np.searchsorted(corner, score, side="right") - 1
    right = np.minimum(left + 1, corner.size - 1)
    width = np.where(right > left, corner[right] - corner[left], 1.0)
    height = level[right] - level[left]
    return np.minimum(level[left] + (score - corner[left]) / width * height, level[right])


def _check_forwards(score: FloatArray, positive: BoolArray, weight: FloatArray) -> float:
    """Return how much higher the score is on average where the label is positive, or raise.

    In units of its range. The slope of highest likelihood has the sign of this difference.
    """
    width = score.max() - score.min()
    unit = (score - score.min()) / (width if width > 0 else 1.0)
    high = np.average(unit[positive], weights=weight[positive])
    low = np.average(unit[~positive], weights=weight[~positive])
    if high < low - _SAME:
        raise ValueError(
            f"score ranks backwards: positives stand at {high:.4g} of its range on average and "
            f"negatives at {low:.4g}; pass -score if lower is better"
        )
    return float(high - low)


def _check_rising(fitted: _Fitted) -> None:
    """Raise unless stored values give probabilities that do not fall."""
    if "slope" in fitted:
        if fitted["slope"] < 0 or fitted["scale"] <= 0:
            raise ValueError(
                "slope of state must be at least 0 and scale above 0; "
                f"got {float(fitted['slope'])!r} and {float(fitted['scale'])!r}"
            )
        return
    corner, level = fitted["score"], fitted["level"]
    if not corner.size or corner.size != level.size:
        raise ValueError(
            "score and level of state must have one length, at least 1; "
            f"got {corner.size} and {level.size}"
        )
    if (np.diff(corner) <= 0).any() or (np.diff(level) < 0).any():
        raise ValueError("score of state must increase and level not decrease")
    if level[0] < 0 or level[-1] > 1:
        raise ValueError(
            f"level of state must lie in [0, 1]; it goes from {level[0]:g} to {level[-1]:g}"
        )


def _finite(score: npt.ArrayLike) -> FloatArray:
    """Return scores as finite numbers, or raise."""
    values = as_floats(score, "score")
    if not np.isfinite(values).all():
        raise ValueError(
            f"score must be finite; {np.count_nonzero(~np.isfinite(values))} of {values.size} "
            "values are not"
        )
    return values


def _check_keep_rate(keep_rate: Any) -> float:
    """Return the share of negatives kept as a float in (0, 1], or raise."""
    if isinstance(keep_rate, bool) or not isinstance(
        keep_rate, int | float | np.integer | np.floating
    ):
        raise TypeError(f"keep_rate must be a number; got {keep_rate!r}")
    if not 0 < keep_rate <= 1:
        raise ValueError(f"keep_rate must be in (0, 1]; got {keep_rate!r}")
    return float(keep_rate)
