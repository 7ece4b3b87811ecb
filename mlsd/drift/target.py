"""Did the target move: a rate, the shares of classes, or the distribution of a number."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsd._clusters import wilson_interval
from mlsd._inputs import as_column
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import AnyArray
from mlsd._validation import check_choice, check_fraction, warn_undefined
from mlsd.drift._effects import cohen_d, cohen_h, cramers_v
from mlsd.drift._tests import anderson_darling, chi2_homogeneity, two_proportions

__all__ = ["TargetDrift", "target_drift"]

_KINDS = ("auto", "binary", "categorical", "numeric")
# Numbers are grouped to at most so many cells, at quantiles of both samples together.
_CELLS = 4096
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class TargetDrift(Result):
    """How the target of live rows differs from that of the reference.

    Attributes
    ----------
    kind : {"binary", "categorical", "numeric"}
        How the target was read.
    test : str
        "fisher" for a rate, "chi2" for classes, "anderson-darling" for a number.
    n_ref, n_live : int
        Labels.
    null_ref, null_live : int
        Rows without a label; they are left out of the test.
    null_p_value : float
        Of the test that the share of rows without a label is the same.
    statistic, p_value : float
        Of the test; the statistic of a rate is the live number of positives.
    measure : {"h", "V", "d"}
        Kind of the effect: Cohen's h, bias-corrected Cramér's V, Cohen's d.
    effect, effect_lower, effect_upper : float
        The effect and its interval.
    value_ref, value_live : float
        Rate of positives, or mean; nan for classes.
    difference, lower, upper : float
        Live less reference, and its interval: Newcombe's for a rate, Welch's for a mean.
    level : float
        Coverage of the intervals.
    table : dict
        See :meth:`details`.
    """

    kind: str
    test: str
    n_ref: int
    n_live: int
    null_ref: int
    null_live: int
    null_p_value: float
    statistic: float
    p_value: float
    measure: str
    effect: float
    effect_lower: float
    effect_upper: float
    value_ref: float
    value_live: float
    difference: float
    lower: float
    upper: float
    level: float
    table: dict[str, Any] = field(repr=False, compare=False)

    def details(self) -> pd.DataFrame:
        """Return one row a label with its counts and shares; or for a number one row a quantile.

        Returns
        -------
        pandas.DataFrame
            Columns label, count_ref, count_live, share_ref, share_live; or quantile, ref, live.
        """
        return pd.DataFrame(dict(self.table))


def target_drift(
    ref: Any, live: Any, *, kind: str = "auto", pos_label: Any = None, level: float = 0.95
) -> TargetDrift:
    """Test whether the target of live rows is distributed as in the reference.

    It works on predictions as well, and there needs no labels.

    Parameters
    ----------
    ref, live : array-like of shape (n,)
        Labels, or predictions: booleans, numbers or text. Missing ones are left out, counted, and
        their share is tested on its own: labels that come late look like a target that moved.
    kind : {"auto", "binary", "categorical", "numeric"}, default "auto"
        How to read the target. "auto": booleans and 0 and 1 are binary, other numbers numeric,
        text categorical (binary with `pos_label`). Numbers that name classes need "categorical".
    pos_label : optional
        The positive one of two labels, where they are not 0 and 1.
    level : float, default 0.95
        Coverage of the intervals.

    Returns
    -------
    TargetDrift
        The test, an effect and a difference with intervals.

    Warns
    -----
    UndefinedMetricWarning
        If a numeric target is constant in both samples, so that its effect is nan.

    Raises
    ------
    ValueError
        If a sample has no label at all, a number is infinite, `kind` is unknown, or labels do not
        go with it.

    Notes
    -----
    A rate is tested by Fisher's exact test, classes by chi-squared with small ones pooled, a
    number by the Anderson-Darling test of two samples, ties included.

    References
    ----------
    Scholz and Stephens (1987), K-sample Anderson-Darling tests, JASA 82(399).

    Newcombe (1998), Interval estimation for the difference between independent proportions,
    Statistics in Medicine 17(8), method 10.

    Examples
    --------
    >>> drift = target_drift([1] * 100 + [0] * 900, [1] * 140 + [0] * 860)
    >>> print(f"{drift.difference:.3f} [{drift.lower:.3f}, {drift.upper:.3f}]")
    0.040 [0.012, 0.069]
    >>> print(f"{drift.p_value:.3f}")
    0.007
    """
    check_choice(kind, "kind", _KINDS)
    level = check_fraction(level, "level")
    arrays = [as_column(values, name) for values, name in ((ref, "ref"), (live, "live"))]
    sizes = [array.size for array in arrays]
    labels = []
    for array, name in zip(arrays, ("ref", "live"), strict=True):
        known = array[~np.asarray(pd.isna(array))]
        if not known.size:
            raise ValueError(f"{name} has no labels: {array.size} rows, all missing")
        labels.append(known)
    kind = _kind_of(labels, kind, pos_label)
    nulls = [size - known.size for size, known in zip(sizes, labels, strict=True)]
    null_p = two_proportions([nulls[0]], [sizes[0]], [nulls[1]], [sizes[1]])
    compare = {"binary": _binary, "categorical": _categorical, "numeric": _numeric}[kind]
    found = compare(labels[0], labels[1], pos_label, level)
    return TargetDrift(
        kind=kind,
        n_ref=labels[0].size,
        n_live=labels[1].size,
        null_ref=nulls[0],
        null_live=nulls[1],
        null_p_value=float(null_p[0]),
        level=level,
        **found,
    )


def _kind_of(labels: list[AnyArray], kind: str, pos_label: Any) -> str:
    numbers = all(array.dtype.kind in "biuf" for array in labels)
    if pos_label is not None and kind not in ("auto", "binary"):
        raise ValueError(f"pos_label goes with a binary target; got kind={kind!r}")
    if kind == "auto":
        if pos_label is not None:
            kind = "binary"
        elif not numbers:
            kind = "categorical"
        else:
            zero_one = all(np.isin(array, (0, 1)).all() for array in labels)
            kind = "binary" if zero_one else "numeric"
    if kind == "numeric":
        for array, name in zip(labels, ("ref", "live"), strict=True):
            if array.dtype.kind not in "biuf":
                raise ValueError(f"{name} must hold numbers with kind='numeric'; got {array[0]!r}")
            if not np.isfinite(array.astype(np.float64)).all():
                raise ValueError(f"{name} holds infinite values")
    if kind == "binary":
        found = pd.unique(np.concatenate([array.astype(object) for array in labels]))
        if len(found) > 2:
            raise ValueError(f"a binary target has two labels; got {list(found[:5])}")
        if pos_label is None and not (numbers and np.isin(found.astype(float), (0, 1)).all()):
            raise ValueError(f"name the positive one of {list(found)} with pos_label")
        if pos_label is not None and pos_label not in list(found):
            raise ValueError(f"pos_label {pos_label!r} is not among the labels {list(found)}")
    return kind


def _binary(ref: AnyArray, live: AnyArray, pos_label: Any, level: float) -> dict[str, Any]:
    from scipy.special import ndtri

    positive = 1 if pos_label is None else pos_label
    n = np.array([ref.size, live.size])
    k = np.array([np.count_nonzero(ref == positive), np.count_nonzero(live == positive)])
    share = k / n
    lower, upper = wilson_interval(share, n, float(ndtri(0.5 + level / 2)))
    difference = float(share[1] - share[0])
    effect = cohen_h(k[:1], n[:1], k[1:], n[1:], level=level)
    return {
        "test": "fisher",
        "statistic": float(k[1]),
        "p_value": float(two_proportions(k[:1], n[:1], k[1:], n[1:])[0]),
        "measure": "h",
        "effect": float(effect.effect[0]),
        "effect_lower": float(effect.lo[0]),
        "effect_upper": float(effect.hi[0]),
        "value_ref": float(share[0]),
        "value_live": float(share[1]),
        "difference": difference,
        "lower": difference - math.hypot(share[1] - lower[1], upper[0] - share[0]),
        "upper": difference + math.hypot(upper[1] - share[1], share[0] - lower[0]),
        "table": _counts(ref, live)[1],
    }


def _counts(ref: AnyArray, live: AnyArray) -> tuple[AnyArray, dict[str, Any]]:
    """Return the counts of both samples by label, and the table of them, most frequent first."""
    codes, found = pd.factorize(np.concatenate((ref.astype(object), live.astype(object))))
    counts = np.stack(
        [np.bincount(part, minlength=len(found)) for part in np.split(codes, [ref.size])]
    )
    order = np.lexsort((-counts[1], -counts[0]))
    counts = counts[:, order]
    table = {
        "label": np.asarray(found, dtype=object)[order],
        "count_ref": counts[0],
        "count_live": counts[1],
        "share_ref": counts[0] / ref.size,
        "share_live": counts[1] / live.size,
    }
    return counts, table


def _categorical(ref: AnyArray, live: AnyArray, pos_label: Any, level: float) -> dict[str, Any]:
    counts, table = _counts(ref, live)
    stat, _, p = chi2_homogeneity(counts[:1], counts[1:], ordered=False)
    effect = cramers_v(counts[:1], counts[1:], level=level)
    return {
        "test": "chi2",
        "statistic": float(stat[0]),
        "p_value": float(p[0]),
        "measure": "V",
        "effect": float(effect.effect[0]),
        "effect_lower": float(effect.lo[0]),
        "effect_upper": float(effect.hi[0]),
        "value_ref": math.nan,
        "value_live": math.nan,
        "difference": math.nan,
        "lower": math.nan,
        "upper": math.nan,
        "table": table,
    }


def _numeric(ref: AnyArray, live: AnyArray, pos_label: Any, level: float) -> dict[str, Any]:
    from scipy.special import stdtrit

    ref, live = ref.astype(np.float64), live.astype(np.float64)
    together = np.concatenate((ref, live))
    distinct = np.unique(together)
    if distinct.size > _CELLS:
        shares = np.arange(_CELLS) / _CELLS
        distinct = np.unique(np.quantile(together, shares, method="inverted_cdf"))
    cells = np.stack(
        [
            np.bincount(np.searchsorted(distinct, side, side="right"), minlength=distinct.size + 1)
            for side in (ref, live)
        ]
    )
    stat, p = anderson_darling(cells[:1], cells[1:])
    n = np.array([ref.size, live.size])
    mean = np.array([ref.mean(), live.mean()])
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.array([side.std(ddof=1) if side.size > 1 else math.nan for side in (ref, live)])
        part = spread**2 / n
        dof = part.sum() ** 2 / (part**2 / (n - 1)).sum()
    if distinct.size == 1:
        warn_undefined(f"the target is {distinct[0]:g} in both samples: it has no effect")
        effect = (math.nan, math.nan, math.nan)
    else:
        found = cohen_d(mean[:1], spread[:1], n[:1], mean[1:], spread[1:], n[1:], level=level)
        effect = (float(found.effect[0]), float(found.lo[0]), float(found.hi[0]))
    half = float(stdtrit(dof, 0.5 + level / 2)) * math.sqrt(float(part.sum()))
    difference = float(mean[1] - mean[0])
    return {
        "test": "anderson-darling",
        "statistic": float(stat[0]),
        "p_value": float(p[0]),
        "measure": "d",
        "effect": effect[0],
        "effect_lower": effect[1],
        "effect_upper": effect[2],
        "value_ref": float(mean[0]),
        "value_live": float(mean[1]),
        "difference": difference,
        "lower": difference - half,
        "upper": difference + half,
        "table": {
            "quantile": np.asarray(_QUANTILES),
            "ref": np.quantile(ref, _QUANTILES),
            "live": np.quantile(live, _QUANTILES),
        },
    }
