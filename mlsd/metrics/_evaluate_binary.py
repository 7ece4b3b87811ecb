"""Everything about one set of predicted probabilities in one call: values, intervals, losses.

Each metric is a smooth function of the data, and comes with its influence function: by how much a
row moves the value, to first order. Their sum of squares over units is the variance, whatever the
metric and whatever the unit: a row, a user, a day.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_binary, as_column, as_floats, as_probabilities
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd._validation import check_choice, check_fraction, check_same_length, warn_undefined
from mlsd.metrics._delong import _placed_in_order

__all__ = ["BinaryComparison", "BinaryEvaluation", "compare_binary", "evaluate_binary"]

# Which transform keeps an interval inside the range of the metric.
_SHARE, _POSITIVE = "share", "positive"


@dataclass(frozen=True, slots=True, eq=False)
class BinaryEvaluation(Result):
    """Metrics of predicted probabilities with their intervals, and what went into them.

    Attributes
    ----------
    metrics : DataFrame
        Index: the metrics. Columns value, lower, upper, stderr.
    level : float
        Coverage the intervals aim at, each by itself.
    threshold : float
        From which on a probability is an alarm, for precision, recall and F1.
    n : int
        Rows evaluated.
    n_positive : int
        Positives among them.
    n_units : int
        Independent units: those of `unit`, or the rows.
    n_dropped : int
        Rows left out since the label, the probability or the unit is missing.
    n_alarms : int
        Rows at or above the threshold.
    n_certain_mistakes : int
        Rows with probability 0 that are positive, or 1 that are not; each makes the log loss inf.
    tied_fraction : float
        Share of the rows whose probability is not unique.
    """

    metrics: pd.DataFrame
    level: float
    threshold: float
    n: int
    n_positive: int
    n_units: int
    n_dropped: int
    n_alarms: int
    n_certain_mistakes: int
    tied_fraction: float

    def __getitem__(self, metric: str) -> float:
        """Return the value of one metric: ``result["roc_auc"]``."""
        if metric not in self.metrics.index:
            raise KeyError(f"{metric!r} is no metric here; there are {list(self.metrics.index)}")
        return float(self.metrics["value"][metric])

    def to_frame(self) -> pd.DataFrame:
        """Return one row a metric: value, lower, upper, stderr."""
        return self.metrics.copy()

    def _note(self) -> str:
        return (
            f"{self.n:,} rows, {self.n_positive:,} positive, in {self.n_units:,} independent "
            f"units; {self.n_dropped:,} rows dropped; {self.n_alarms:,} alarms at "
            f"{self.threshold:g}; {self.n_certain_mistakes:,} certain mistakes; "
            f"{self.tied_fraction:.0%} of the probabilities tied; {self.level:.0%} intervals"
        )

    def __repr__(self) -> str:
        return f"{self.metrics.to_string(float_format='{:.4f}'.format)}\n{self._note()}"


@dataclass(frozen=True, slots=True, eq=False)
class BinaryComparison(Result):
    """Differences of two sets of probabilities of the same outcomes, metric by metric.

    Attributes
    ----------
    metrics : DataFrame
        Index: the metrics. Columns a, b, difference (a - b), lower, upper, stderr, p_value of "no
        difference", two-sided and each by itself.
    level : float
        Coverage the intervals aim at, each by itself.
    n, n_units, n_dropped : int
        Rows compared, independent units, rows left out since a value is missing.
    """

    metrics: pd.DataFrame
    level: float
    n: int
    n_units: int
    n_dropped: int

    def to_frame(self) -> pd.DataFrame:
        """Return one row a metric."""
        return self.metrics.copy()

    def _note(self) -> str:
        return (
            f"{self.n:,} rows in {self.n_units:,} independent units; "
            f"{self.n_dropped:,} rows dropped; {self.level:.0%} intervals"
        )

    def __repr__(self) -> str:
        return f"{self.metrics.to_string(float_format='{:.4f}'.format)}\n{self._note()}"


def evaluate_binary(
    y_true: npt.ArrayLike,
    y_proba: npt.ArrayLike,
    *,
    unit: npt.ArrayLike | None = None,
    threshold: float = 0.5,
    missing: str = "raise",
    level: float = 0.95,
    pos_label: Any = None,
) -> BinaryEvaluation:
    """Evaluate probabilities of a binary outcome: each metric with its interval, in one call.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels: booleans, 0 and 1, or -1 and 1; others with `pos_label`.
    y_proba : array-like of shape (n,)
        Probability of the positive class, 0 to 1.
    unit : array-like of shape (n,) or None
        What is independent: the user, the day, the query of each row. Rows of one unit resemble
        each other, and intervals that count rows are then too narrow. None: each row by itself.
    threshold : float
        A probability of at least this is an alarm, for precision, recall and F1.
    missing : str
        Rows whose label, probability or unit is missing: "raise", or "drop" and count them.
    level : float
        Coverage of the intervals, strictly between 0 and 1.
    pos_label : object
        The label that is positive.

    Returns
    -------
    BinaryEvaluation
        ``roc_auc``, ``average_precision``, ``log_loss``, ``normalized_entropy``, ``brier``,
        ``calibration_ratio``, ``precision``, ``recall`` and ``f1``, as the functions of these names
        define them. Without a positive the areas, the normalized entropy, the recall and the
        calibration ratio are nan, without a negative ROC's area and the normalized entropy, and
        without an alarm the precision. ``result["roc_auc"]`` is one value. It prints with what was
        dropped.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the lengths differ, nothing is left, a value is missing (unless dropped), a probability
        is outside 0 to 1, or an option is out of range.

    Warns
    -----
    UndefinedMetricWarning
        If a metric is undefined; the message names them.

    Notes
    -----
    Standard errors are those of the influence functions, summed within units, with the factor
    m / (m - 1), where m is the number of units that a metric learns from: all for the mean losses,
    those with a positive for the recall, those of the rarer class for the area, those with an alarm
    for the precision. For the area of independent rows that is DeLong's error but for the last
    factor, with units Obuchowski's. Ends are of Student's t with m - 1 degrees of freedom, on the
    scale of ``log(v / (1 - v))`` for what lies between 0 and 1 and of ``log(v)`` for what is
    positive, so that no interval leaves the range of its metric. With m below 2 there is none; with
    m below about 10, believe it little. A value at the end of its range shows no spread, and has no
    interval here: use ``roc_auc_ci`` or ``precision_recall_f1``, which have one for independent
    rows.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44(3). Obuchowski (1997), Nonparametric
    analysis of clustered ROC curve data, Biometrics 53(2). Deville (1999), Variance estimation for
    complex statistics and estimators: linearization and residual techniques, Survey Methodology
    25(2).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> proba = rng.random(2000)
    >>> result = evaluate_binary(rng.random(2000) < proba, proba, unit=np.arange(2000) // 4)
    >>> result.metrics.loc[["roc_auc", "brier"]].round(3)
             value  lower  upper  stderr
    metric
    roc_auc  0.840  0.822  0.857   0.009
    brier    0.163  0.155  0.172   0.004
    >>> result.n_units, result.n_dropped
    (500, 0)
    """
    level = check_fraction(level, "level")
    threshold = float(as_floats([threshold], "threshold")[0])
    labels, (proba,), codes, n_units, n_dropped = _checked(
        y_true, {"y_proba": y_proba}, unit, missing, pos_label
    )
    informative = _informative(labels, [proba >= threshold], codes, n_units)
    rows = {
        name: _interval(value, influence, kind, codes, informative[name], level)
        for name, value, influence, kind in _all(labels, proba, proba >= threshold)
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["value", "lower", "upper", "se"])
    frame = frame.rename(columns={"se": "stderr"}).rename_axis("metric")
    undefined = frame.index[frame["value"].isna()].tolist()
    if undefined:
        warn_undefined(
            f"undefined, and nan: {', '.join(undefined)}; of {proba.size} rows "
            f"{int(labels.sum())} are positive and {int((proba >= threshold).sum())} are alarms"
        )
    return BinaryEvaluation(
        metrics=frame,
        level=level,
        threshold=threshold,
        n=proba.size,
        n_positive=int(labels.sum()),
        n_units=n_units,
        n_dropped=n_dropped,
        n_alarms=int((proba >= threshold).sum()),
        n_certain_mistakes=int(((proba == 0.0) & labels).sum() + ((proba == 1.0) & ~labels).sum()),
        tied_fraction=_tied_fraction(proba),
    )


def compare_binary(
    y_true: npt.ArrayLike,
    proba_a: npt.ArrayLike,
    proba_b: npt.ArrayLike,
    *,
    unit: npt.ArrayLike | None = None,
    threshold: float = 0.5,
    missing: str = "raise",
    level: float = 0.95,
    pos_label: Any = None,
) -> BinaryComparison:
    """Compare two models on the same rows: the difference of each metric, with its interval.

    What makes one model err makes the other err too, so the difference is known better than either
    value; two intervals that overlap say nothing about it.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels, as in ``evaluate_binary``.
    proba_a, proba_b : array-like of shape (n,)
        Probabilities of the positive class from either model, 0 to 1.
    unit, threshold, missing, level, pos_label
        As in ``evaluate_binary``.

    Returns
    -------
    BinaryComparison
        ``metrics`` with a, b, difference, lower, upper, stderr and p_value; nan where either is
        undefined or infinite, or there are fewer than two units.

    Raises
    ------
    TypeError, ValueError
        As ``evaluate_binary``.

    Warns
    -----
    UndefinedMetricWarning
        If a metric is undefined for either model; the message names them.

    Notes
    -----
    The standard error is that of the difference of the influence functions, summed within units:
    for the area of independent rows the paired test of DeLong, DeLong and Clarke-Pearson (1988).
    Degrees of freedom as in ``evaluate_binary``. Equal values without any spread have p = 1; a
    difference without spread, such as that of two models each of which separates the classes one
    way, proves nothing, and has neither interval nor p-value.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> proba = rng.random(2000)
    >>> y = rng.random(2000) < proba
    >>> compare_binary(y, proba, proba**2).metrics.loc[["roc_auc", "brier"], :"upper"].round(3)
                 a      b  difference  lower  upper
    metric
    roc_auc  0.840  0.840       0.000  0.000  0.000
    brier    0.163  0.197      -0.034 -0.041 -0.026
    """
    from scipy.special import stdtr, stdtrit

    level = check_fraction(level, "level")
    threshold = float(as_floats([threshold], "threshold")[0])
    labels, (a, b), codes, n_units, n_dropped = _checked(
        y_true, {"proba_a": proba_a, "proba_b": proba_b}, unit, missing, pos_label
    )
    informative = _informative(labels, [a >= threshold, b >= threshold], codes, n_units)
    rows = {}
    for (name, value, influence, kind), (_, other, of_other, _) in zip(
        _all(labels, a, a >= threshold), _all(labels, b, b >= threshold), strict=True
    ):
        row = dict.fromkeys(("lower", "upper", "stderr", "p_value"), math.nan)
        n = informative[name]
        if influence is not None and of_other is not None and n > 1:
            stderr = _stderr(influence() - of_other(), codes, n)
            # Less than this is what rounding leaves of no spread at all.
            spread = stderr > 1e-12 * max(abs(value), abs(other))
            same = abs(value - other) <= 1e-12 * max(abs(value), abs(other))
            row["stderr"] = stderr if spread else 0.0
            if spread:
                half = float(stdtrit(n - 1, 0.5 + level / 2)) * stderr
                ends = np.array([value - other - half, value - other + half])
                ends = np.clip(ends, -1.0, 1.0) if kind == _SHARE else ends
                row["lower"], row["upper"] = ends.tolist()
                row["p_value"] = 2.0 * float(stdtr(n - 1, -abs(value - other) / stderr))
            elif same:
                row |= {"lower": 0.0, "upper": 0.0, "p_value": 1.0}
        rows[name] = {"a": value, "b": other, "difference": value - other, **row}
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")
    undefined = frame.index[frame[["a", "b"]].isna().any(axis=1)].tolist()
    if undefined:
        warn_undefined(f"undefined for either model, and nan: {', '.join(undefined)}")
    return BinaryComparison(frame, level, labels.size, n_units, n_dropped)


def _checked(
    y_true: Any, probas: dict[str, Any], unit: Any, missing: str, pos_label: Any
) -> tuple[BoolArray, list[FloatArray], IntArray | None, int, int]:
    """Return labels, probabilities, the unit of each row, and the numbers of units and drops."""
    check_choice(missing, "missing", ("raise", "drop"))
    n_dropped = 0
    if missing == "drop":
        columns = {"y_true": as_column(y_true, "y_true")}
        columns |= {name: as_floats(p, name, allow_nan=True) for name, p in probas.items()}
        if unit is not None:
            columns["unit"] = as_column(unit, "unit")
        check_same_length(**columns)
        lacking = np.any([pd.isna(column) for column in columns.values()], axis=0)
        n_dropped = int(lacking.sum())
        columns = {name: column[~lacking] for name, column in columns.items()}
        y_true, unit = columns["y_true"], columns.get("unit")
        probas = {name: columns[name] for name in probas}
    labels = as_binary(y_true, "y_true", pos_label=pos_label)
    checked = {name: as_probabilities(p, name) for name, p in probas.items()}
    check_same_length(y_true=labels, **checked)
    if not labels.size:
        raise ValueError(f"y_true is empty: there is nothing to evaluate, {n_dropped} rows dropped")
    return labels, list(checked.values()), *_units(unit, labels.size), n_dropped


def _units(unit: Any, n: int) -> tuple[IntArray | None, int]:
    if unit is None:
        return None, n
    column = as_column(unit, "unit")
    check_same_length(y_true=range(n), unit=column)
    codes, distinct = pd.factorize(column)
    missing = int((codes < 0).sum())
    if missing:
        raise ValueError(f"unit has {missing} missing values among {n} rows")
    return codes.astype(np.int64), len(distinct)


def _tied_fraction(proba: FloatArray) -> float:
    ordered = np.sort(proba)
    again = ordered[1:] == ordered[:-1]
    return float((np.append(again, False) | np.append(False, again)).mean())


def _informative(
    labels: BoolArray, alarms: list[BoolArray], codes: IntArray | None, n_units: int
) -> dict[str, int]:
    """Return for each metric the number of units that it learns from."""

    def units(rows: BoolArray) -> int:
        return int(rows.sum() if codes is None else np.unique(codes[rows]).size)

    positive, negative = units(labels), units(~labels)
    alarmed = min(units(of_model) for of_model in alarms)
    either = min(units(labels | of_model) for of_model in alarms)
    rarer = min(positive, negative)
    return {
        "roc_auc": rarer,
        "average_precision": positive,
        "log_loss": n_units,
        "normalized_entropy": rarer,
        "brier": n_units,
        "calibration_ratio": positive,
        "precision": alarmed,
        "recall": positive,
        "f1": either,
    }


_Influence = Callable[[], FloatArray]


def _all(
    labels: BoolArray, proba: FloatArray, alarms: BoolArray
) -> Iterator[tuple[str, float, _Influence | None, str]]:
    """Yield each metric: its name, its value, its influence by row, and its range."""
    n, n_positive, n_alarms = labels.size, int(labels.sum()), int(alarms.sum())
    rate, both = n_positive / n, 0 < n_positive < n
    if both:
        area, below, above = _placed_in_order(proba[labels], proba[~labels])

        def of_area() -> FloatArray:
            moved = np.empty(n)
            moved[labels] = (below - area) / rate
            moved[~labels] = (above - area) / (1.0 - rate)
            return moved

        yield "roc_auc", area, of_area, _SHARE
    else:
        yield "roc_auc", math.nan, None, _SHARE
    if n_positive:
        precision, by_row = _average_precision(labels, proba)
        yield "average_precision", precision, lambda: by_row, _SHARE
    else:
        yield "average_precision", math.nan, None, _SHARE
    with np.errstate(divide="ignore"):
        losses = -np.log(np.where(labels, proba, 1.0 - proba))
    loss = float(losses.mean())
    centred = (lambda: losses - loss) if math.isfinite(loss) else None
    yield "log_loss", loss, centred, _POSITIVE
    if both:
        entropy = -(rate * math.log(rate) + (1.0 - rate) * math.log(1.0 - rate))
        slope = math.log((1.0 - rate) / rate)

        def of_entropy() -> FloatArray:
            return (losses - loss) / entropy - loss * slope / entropy**2 * (labels - rate)

        yield "normalized_entropy", loss / entropy, of_entropy if centred else None, _POSITIVE
    else:
        yield "normalized_entropy", math.nan, None, _POSITIVE
    squares = np.square(proba - labels)
    brier = float(squares.mean())
    yield "brier", brier, lambda: squares - brier, _SHARE
    hits = labels & alarms
    yield _ratio("calibration_ratio", proba, labels, _POSITIVE)
    yield _ratio("precision", hits, alarms, _SHARE)
    yield _ratio("recall", hits, labels, _SHARE)
    if n_positive + n_alarms:
        yield _ratio("f1", 2.0 * hits, labels.astype(np.float64) + alarms, _SHARE)
    else:
        yield "f1", math.nan, None, _SHARE


def _ratio(
    name: str, numerator: npt.NDArray[Any], denominator: npt.NDArray[Any], kind: str
) -> tuple[str, float, _Influence | None, str]:
    """Return a ratio of two sums over rows."""
    base = float(denominator.sum())
    if base == 0.0:
        return name, math.nan, None, kind
    value = float(numerator.sum()) / base
    return name, value, lambda: (numerator - value * denominator) / (base / denominator.size), kind


def _average_precision(labels: BoolArray, proba: FloatArray) -> tuple[float, FloatArray]:
    """Return the average precision, tied scores one step, and its influence by row.

    With T(s) and F(s) the shares of rows that are positive and of all rows at or above s, it is
    ``∫ T/F dT / π``. A row of score s moves it through π, through the precision at its own step if
    it is positive, and through T and F at every step below.
    """
    n, rate = labels.size, float(labels.mean())
    steps, step = np.unique(proba, return_inverse=True)
    positives = np.bincount(step, weights=labels, minlength=steps.size) / n
    rows = np.bincount(step, minlength=steps.size) / n
    above = np.cumsum(rows[::-1])[::-1]
    precision = np.cumsum(positives[::-1])[::-1] / above
    value = float(precision @ positives) / rate
    gained = np.cumsum(positives / above)
    lost = np.cumsum(precision * positives / above)
    return value, (labels * (precision - value + gained)[step] - lost[step]) / rate


def _interval(
    value: float,
    influence: _Influence | None,
    kind: str,
    codes: IntArray | None,
    n: int,
    level: float,
) -> Iterable[float]:
    """Return the value, the ends of its interval and its standard error."""
    if influence is None or n < 2:
        return value, math.nan, math.nan, math.nan
    from scipy.special import stdtrit

    stderr = _stderr(influence(), codes, n)
    if value <= 0.0 or (kind == _SHARE and value >= 1.0):
        return value, math.nan, math.nan, stderr
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * stderr
    if kind == _POSITIVE:
        factor = math.exp(min(half / value, 700.0))
        return value, value / factor, value * factor, stderr
    odds, half = value / (1.0 - value), half / (value * (1.0 - value))
    lower, upper = (1.0 / (1.0 + math.exp(min(sign * half, 700.0)) / odds) for sign in (1, -1))
    return value, lower, upper, stderr


def _stderr(moved: FloatArray, codes: IntArray | None, n: int) -> float:
    """Return the standard error of a mean of influences, of whose units n tell something."""
    rows = moved.size
    if codes is not None:
        moved = np.bincount(codes, weights=moved).astype(np.float64, copy=False)
    return math.sqrt(n / (n - 1) * float(moved @ moved)) / rows
