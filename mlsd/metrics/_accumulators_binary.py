"""Binary metrics of data in chunks: exact sums, and a histogram that says how far off it may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mlsd._exact import UNIT, exact_sum, quotient, round_to_grid
from mlsd._fields import Count, Field, Table, Total
from mlsd._inputs import as_binary, as_floats
from mlsd._results import Result
from mlsd._state import State
from mlsd._types import BoolArray, FloatArray
from mlsd._validation import check_positive_int, check_same_length, warn_undefined
from mlsd.metrics._binned import (
    auc_of_counts,
    auc_of_weights,
    average_precision,
    bins_of,
    entropy,
    table_of_cells,
)

__all__ = ["BinaryAccumulator", "BinarySummary"]


_BLOCK = 1 << 22  # rows binned at once: 32 MB of codes
_CHUNK = 1 << 15  # rows whose logarithms are in the cache at once


@dataclass(frozen=True, slots=True)
class BinarySummary(Result):
    """Metrics of all rows an accumulator has seen; what the bins leave open stands as bounds."""

    n: int
    """Rows."""
    n_positive: int
    """Rows with a positive label."""
    base_rate: float
    """Share of the weight that is positive."""
    auc: float
    """Area under the ROC curve with ties at one half: the middle of its bounds."""
    auc_lower: float
    """The exact area of the scores given is not below this."""
    auc_upper: float
    """The exact area of the scores given is not above this."""
    average_precision: float
    """Average precision as if the scores of one bin were tied."""
    average_precision_lower: float
    """The exact average precision is not below this."""
    average_precision_upper: float
    """The exact average precision is not above this."""
    log_loss: float
    """Mean of -log of the probability of what happened, in nats; inf after a certain mistake."""
    normalized_entropy: float
    """Log loss over the entropy of the base rate: 1 is what a constant prediction reaches."""
    brier: float
    """Mean squared difference of probability and outcome."""
    calibration_ratio: float
    """Sum of the probabilities over the sum of the outcomes: 1 is right on average."""
    n_certain_mistakes: int
    """Rows of positive weight with probability 0 of what happened."""
    n_not_probabilities: int
    """Rows of positive weight with a score outside 0 to 1; any makes four values nan."""
    n_bins: int
    """Occupied bins of scores."""


class BinaryAccumulator(State):
    """AUC with a certified error, log loss, Brier score and calibration of data in chunks.

    Parameters
    ----------
    bits : int
        Bits of the single-precision score that make its bin, 16 to 20: sign, exponent and
        ``bits - 9`` bits of the mantissa, so that bins are 2**-11 wide relative to the score at 20
        bits, near 0 as well. Only occupied bins are kept.

    Notes
    -----
    The sums behind log loss, Brier score, calibration and base rate are exact: no order of chunks
    or merges changes a bit of them, and they never come from the bins. The histogram loses only
    the order of scores within a bin. As rounding to single precision and cutting bits off keep the
    order of what they do not join, the exact AUC lies within ``0.5 * sum(pos * neg) / (P * N)`` of
    the middle, and the bounds hold for any scores, tied, negative or infinite. Scores closer than
    a bin cost precision, and the bounds say so.

    The state has some 24 bytes an occupied bin, and no more than 2**bits bins. An update costs
    time in proportion to the occupied bins, too: prefer chunks of 100,000 rows and more.

    References
    ----------
    Fawcett (2006), An introduction to ROC analysis, Pattern Recognition Letters 27(8): ties.
    He et al. (2014), Practical lessons from predicting clicks on ads at Facebook, ADKDD:
    normalized entropy.

    Examples
    --------
    >>> monday = BinaryAccumulator().update([0, 1, 1], [0.1, 0.8, 0.4])
    >>> tuesday = BinaryAccumulator().update([0, 1], [0.5, 0.9])
    >>> summary = (monday + tuesday).result()
    >>> round(summary.auc, 4), round(summary.log_loss, 4), summary.n
    (0.8333, 0.4087, 5)
    """

    kind = "binary"
    version = 1
    __slots__ = ()

    def __init__(self, *, bits: int = 20) -> None:
        super().__init__(bits=bits)

    @classmethod
    def _configure(cls, *, bits: int) -> dict[str, Any]:  # type: ignore[override]
        if not 16 <= check_positive_int(bits, "bits") <= 20:
            raise ValueError(f"bits must lie between 16 and 20; got {bits!r}")
        return {"bits": int(bits)}

    @classmethod
    def _layout(cls, config: dict[str, Any]) -> dict[str, Field]:
        return {
            "n": Count(),
            "n_positive": Count(),
            "n_certain_mistakes": Count(),
            "n_not_probabilities": Count(),
            "weight": Total(nonnegative=True),
            "weight_positive": Total(nonnegative=True),
            "log_loss": Total(nonnegative=True),
            "brier": Total(nonnegative=True),
            "score": Total(nonnegative=True),
            # Rows without a weight are counted, rows with one are summed; both may come.
            "counts": Table(counts=("negative", "positive")),
            "weights": Table(sums=("negative", "positive")),
        }

    def _check(self) -> None:
        value = self._values
        counted = [sum(column.tolist()) for column in value["counts"].columns]
        weighted = value["n"] - sum(counted)
        n_keys = 1 << self._config["bits"]
        for keys in (value["counts"].keys, value["weights"].keys):
            if keys.size and not 0 <= keys[0] <= keys[-1] < n_keys:
                raise ValueError(f"a bin lies outside 0 to {n_keys - 1}")
        if not (
            weighted >= 0
            and len(value["weights"]) <= weighted
            and counted[1] <= value["n_positive"] <= counted[1] + weighted
            and value["weight_positive"] <= value["weight"]
            and max(value["n_certain_mistakes"], value["n_not_probabilities"]) <= value["n"]
            and (weighted or value["weight"] == value["n"] * UNIT)
        ):
            raise ValueError("the counts of the state contradict each other")

    def update(
        self,
        y_true: npt.ArrayLike,
        y_score: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        pos_label: Any = None,
    ) -> Self:
        """Add rows, in memory bounded by a block of 4 million of them.

        Parameters
        ----------
        y_true : array-like of shape (n,)
            Labels: booleans, 0 and 1, or -1 and 1; others with `pos_label`.
        y_score : array-like of shape (n,)
            Scores, higher for positive; infinite ones order as any other. Probabilities, if what
            needs them is to be defined.
        sample_weight : array-like of shape (n,) or None
            Finite weights of at least 0; None: each row counts 1. Chunks with and without mix.
        pos_label : object
            The label that is positive.

        Returns
        -------
        BinaryAccumulator
            This one, changed.

        Raises
        ------
        ValueError
            If lengths differ, a score is NaN, a weight is NaN, infinite or negative, or the labels
            are not binary. The state is then as it was.
        """
        labels = as_binary(y_true, "y_true", pos_label=pos_label)
        scores = as_floats(y_score, "y_score", keep_float32=True)
        check_same_length(y_true=labels, y_score=scores)
        weights = None if sample_weight is None else as_floats(sample_weight, "sample_weight")
        if weights is not None:
            check_same_length(y_true=labels, sample_weight=weights)
            wrong = np.flatnonzero(~((weights >= 0) & (weights < math.inf)))
            if wrong.size:
                raise ValueError(
                    "sample_weight must be finite and not negative; "
                    f"got {float(weights[wrong[0]])!r} at position {wrong[0]}"
                )
        if labels.size:
            part = type(self)(**self._config)
            for start in range(0, labels.size, _BLOCK):
                block = slice(start, start + _BLOCK)
                part._add_block(
                    labels[block], scores[block], None if weights is None else weights[block]
                )
            self._absorb(**part._values)
        return self

    def _add_block(
        self, labels: BoolArray, scores: npt.NDArray[Any], weights: FloatArray | None
    ) -> None:
        n, n_positive = labels.size, int(np.count_nonzero(labels))
        # Codes count from the least bin of the block, so that few cells are enough.
        ends = np.array([scores.min(), scores.max()])
        first, last = bins_of(ends, self._config["bits"]).tolist()
        codes = np.empty(n, dtype=np.int64)
        totals = _Totals()
        for start in range(0, n, _CHUNK):
            chunk = slice(start, start + _CHUNK)
            label, score = labels[chunk], scores[chunk]
            bins = bins_of(score, self._config["bits"])
            bins -= first
            bins <<= 1
            bins += label
            codes[chunk] = bins
            totals.add(label, score, None if weights is None else weights[chunk])
        n_cells = 2 * (last - first + 1)
        if n_cells > 4 * n:  # few rows: sorting them is quicker than reading all the cells
            cells, codes = np.unique(codes, return_inverse=True)
        else:
            cells = np.arange(n_cells)
        if weights is None:
            counts = np.bincount(codes, minlength=cells.size)
            table = {"counts": table_of_cells(cells, counts, first)}
            weight, weight_positive = n * UNIT, n_positive * UNIT
        else:
            # The coarse parts of the weights sum without rounding, so that the pair is near exact.
            coarse = round_to_grid(weights, n)
            sums = np.stack(
                [
                    np.bincount(codes, part, minlength=cells.size)
                    for part in (coarse, weights - coarse)
                ],
                axis=1,
            )
            high = sums[:, 0] + sums[:, 1]
            sums = np.stack([high, sums[:, 1] - (high - sums[:, 0])], axis=1)
            table = {"weights": table_of_cells(cells, sums, first)}
            weight, weight_positive = exact_sum(weights), exact_sum(weights[labels])
        self._absorb(
            n=n,
            n_positive=n_positive,
            n_certain_mistakes=totals.n_certain_mistakes,
            n_not_probabilities=totals.n_not_probabilities,
            weight=weight,
            weight_positive=weight_positive,
            log_loss=totals.log_loss,
            brier=totals.brier,
            score=totals.score,
            **table,
        )

    def result(self) -> BinarySummary:
        """Return the metrics of all rows so far.

        Returns
        -------
        BinarySummary
            AUC and average precision between 0 and 1 with certified bounds; nan with one class
            only. Log loss, Brier score, normalized entropy and calibration ratio are nan when any
            score lies outside 0 to 1; the last two also with one class or no positive. All are nan
            when there is no weight at all.

        Warns
        -----
        UndefinedMetricWarning
            If a value is nan; the message says why.
        """
        value = self._values
        weight, positive = value["weight"], value["weight_positive"]
        n_outside, n_mistakes = value["n_not_probabilities"], value["n_certain_mistakes"]
        base_rate = quotient(positive, weight) if weight else math.nan
        one_class = positive in (0, weight)
        auc = precision = (math.nan, math.nan, math.nan)
        if not one_class:
            auc, precision = self._ranked()
        log_loss = brier = normalized = calibration = math.nan
        if weight and not n_outside:
            log_loss = math.inf if n_mistakes else quotient(value["log_loss"], weight)
            brier = quotient(value["brier"], weight)
            if positive:
                calibration = quotient(value["score"], positive)
            if not one_class:
                normalized = log_loss / entropy(positive, weight)
        problems = []
        if not weight:
            problems.append("no row has a weight: all metrics are nan")
        else:
            if one_class:
                found = "positive" if positive else "negative"
                problems.append(
                    f"all weight is on {found} rows: AUC, average precision and normalized entropy "
                    f"are nan{'' if positive else ', and so is the calibration ratio'}"
                )
            if n_outside:
                problems.append(
                    f"{n_outside} of {value['n']} scores lie outside 0 to 1: log loss, normalized "
                    "entropy, Brier score and calibration ratio are nan"
                )
        if problems:
            warn_undefined("; ".join(problems))
        return BinarySummary(
            n=value["n"],
            n_positive=value["n_positive"],
            base_rate=base_rate,
            auc=auc[0],
            auc_lower=auc[1],
            auc_upper=auc[2],
            average_precision=precision[0],
            average_precision_lower=precision[1],
            average_precision_upper=precision[2],
            log_loss=log_loss,
            normalized_entropy=normalized,
            brier=brier,
            calibration_ratio=calibration,
            n_certain_mistakes=n_mistakes,
            n_not_probabilities=n_outside,
            n_bins=int(np.union1d(value["counts"].keys, value["weights"].keys).size),
        )

    def _ranked(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Return AUC and average precision, each with its lower and upper bound."""
        counts, weights = self._values["counts"], self._values["weights"]
        if not len(weights):
            negative, positive = counts.columns
            # Highest score first; the same for AUC, which then counts positives above negatives.
            return auc_of_counts(positive, negative), average_precision(
                positive[::-1].astype(np.float64), negative[::-1].astype(np.float64), 1.0
            )
        keys = np.union1d(counts.keys, weights.keys)
        negative, positive = np.zeros((2, keys.size))
        at = np.searchsorted(keys, counts.keys)
        negative[at], positive[at] = counts.columns
        at = np.searchsorted(keys, weights.keys)
        negative[at] += weights.columns[0].sum(axis=1)
        positive[at] += weights.columns[1].sum(axis=1)
        return auc_of_weights(positive, negative), average_precision(
            positive[::-1], negative[::-1], 0.0
        )


class _Totals:
    """Exact sums over the chunks of a block."""

    def __init__(self) -> None:
        self.log_loss = self.brier = self.score = 0
        self.n_certain_mistakes = self.n_not_probabilities = 0

    def add(self, label: BoolArray, score: npt.NDArray[Any], weight: FloatArray | None) -> None:
        score = score.astype(np.float64, copy=False)
        if score.min() < 0.0 or score.max() > 1.0:
            inside = (score >= 0.0) & (score <= 1.0)
            counted = ~inside if weight is None else ~inside & (weight > 0.0)
            self.n_not_probabilities += int(np.count_nonzero(counted))
            label, score = label[inside], score[inside]
            weight = None if weight is None else weight[inside]
        for outcome in (True, False):
            rows = label if outcome else ~label
            chance = score[rows]
            if not chance.size:
                continue
            scale = None if weight is None else weight[rows]
            with np.errstate(divide="ignore"):
                loss = -np.log(chance) if outcome else -np.log1p(-chance)
            error = chance - 1.0 if outcome else chance
            self.log_loss += self._finite_sum(loss, scale)
            self.brier += _scaled_sum(error * error, scale)
            self.score += _scaled_sum(chance, scale)

    def _finite_sum(self, loss: FloatArray, weight: FloatArray | None) -> int:
        """Sum what is finite; count what is not, unless it has no weight."""
        if loss.max() == math.inf:
            finite = loss < math.inf
            counted = ~finite if weight is None else ~finite & (weight > 0.0)
            self.n_certain_mistakes += int(np.count_nonzero(counted))
            loss = loss[finite]
            weight = None if weight is None else weight[finite]
        return _scaled_sum(loss, weight)


def _scaled_sum(values: FloatArray, weight: FloatArray | None) -> int:
    if not values.size:
        return 0
    return exact_sum(values if weight is None else values * weight)
