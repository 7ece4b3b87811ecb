"""Models with one or two features: their skill on the reference and on live rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsd._stats import holm
from mlsd._types import FloatArray
from mlsd._validation import (
    as_generator,
    check_choice,
    check_fraction,
    check_positive,
    check_positive_int,
    warn_undefined,
)
from mlsd.drift._bins import Model, bin_column, cross, sums_of
from mlsd.drift._profile_sums import models_of_profiles
from mlsd.drift._profiles import both_profiles
from mlsd.drift._skill import (
    Estimate,
    auc_across_folds,
    auc_of_bins,
    log_loss_of_bins,
    r2_of_bins,
    relation_binary,
    relation_numeric,
    smoothed,
)
from mlsd.drift._targets import read_targets
from mlsd.drift._two_frames import TableResult, read_pair

__all__ = ["SingleFeatureDrift", "single_feature_drift"]


@dataclass(frozen=True, slots=True)
class SingleFeatureDrift(TableResult):
    """Skill of models with one or two features, and whether what they learnt still holds.

    Attributes
    ----------
    target : {"binary", "numeric"}
        Kind of the target.
    level : float
        Coverage of the intervals.
    n_ref, n_live : int
        Rows with a label.
    unlabelled_ref, unlabelled_live : int
        Rows left out, since they have none.
    excluded : dict of str to str
        Columns that were left out, and why.
    table : dict
        The columns of ``to_frame``: feature and second ("" for one feature); bins;
        new_live, the live rows in bins that the reference never saw; for a binary target auc and
        log_loss, for a number r2, each as `_ref` (out of fold or leave-one-out) and `_live`, with
        `_lo` and `_hi`; delta with lo and hi, the change of auc or r2 from reference to live;
        stat, dof, p and p_adj (Holm) of the test that the target given the bin is the same; and
        p_shape and p_shape_adj of the part of it beyond a shift that all bins have in common.
    """

    target: str
    level: float
    n_ref: int
    n_live: int
    unlabelled_ref: int
    unlabelled_live: int
    excluded: dict[str, str]
    table: dict[str, Any] = field(repr=False, compare=False)

    def _note(self) -> str:
        parts = []
        if self.unlabelled_ref or self.unlabelled_live:
            parts.append(
                f"Without a label: {self.unlabelled_ref} rows of the reference, "
                f"{self.unlabelled_live} live."
            )
        if self.excluded:
            listed = ", ".join(f"{name} ({reason})" for name, reason in self.excluded.items())
            parts.append(f"Left out: {listed}.")
        return " ".join(parts)


def single_feature_drift(
    ref: Any,
    live: Any,
    *,
    y_ref: Any = None,
    y_live: Any = None,
    pos_label: Any = None,
    columns: Iterable[str] | None = None,
    max_features: int = 1,
    n_bins: int = 10,
    smoothing: float = 10.0,
    n_folds: int = 5,
    level: float = 0.95,
    random_state: int | np.random.Generator | None = 0,
) -> SingleFeatureDrift:
    """Learn the target from one feature, or two, and see whether it still holds on live rows.

    A model is the mean target of each bin of its feature, learnt on the reference. Where the bins
    of a feature moved but not the target within them, its histogram drifts and its model holds;
    where the target within a bin changed, the relation itself did.

    The skill on the reference is honest: AUC within folds of rates that were learnt on the other
    folds, log loss and R² of every row predicted from all others. Live rows are predicted from the
    whole reference. Only counts and sums by bin are used, so a stored profile will do.

    Parameters
    ----------
    ref, live : table of pandas, polars or pyarrow; or two :class:`~mlsd.drift.Profile`
        Numeric, boolean and categorical columns take part; times are left out and listed. NULL is
        a bin of its own. Two profiles must have been made with a target; their columns have bins
        already.
    y_ref, y_live : array-like or str
        Targets, or the names of the columns that hold them; a name for `y_ref` alone stands for
        both. Booleans and 0 and 1 are binary, other numbers numeric. Rows without a label are left
        out and counted.
    pos_label : optional
        The positive one of two labels, where they are not 0 and 1.
    columns : iterable of str, optional
        The features; by default all that both frames have, but for the target.
    max_features : {1, 2}, default 1
        With 2 also all pairs, the bins of the two crossed (``sqrt(2 n_bins)`` of each).
    n_bins : int, default 10
        Quantile bins of a numeric feature, or levels of a categorical one, after which the others,
        unseen ones included, share a bin; at least 2.
    smoothing : float, default 10
        Rows of the mean of all that are added to each bin.
    n_folds : int, default 5
        Folds of the AUC on the reference, at least 2.
    level : float, default 0.95
        Coverage of the intervals.
    random_state : int, Generator or None, default 0
        Source of the folds.

    Returns
    -------
    SingleFeatureDrift
        One row a model, the smallest p-value first.

    Warns
    -----
    UndefinedMetricWarning
        If the target has one value only in a sample: its AUC or R² is nan.

    Raises
    ------
    ValueError
        If a target is missing, of another length, or without any label; if no feature is left; or
        an option is out of range.
    TypeError
        If `ref` or `live` is no table, or labels are text and `pos_label` is not given.

    Notes
    -----
    The test of a binary target compares, bin by bin, the positive live rows with those expected if
    both samples had one rate, by the variance given the margins (as Mantel and Haenszel do), and
    adds up the squares: one degree of freedom a bin. Bins with an expected count below 5 are summed
    into one. For a number, means are compared by Welch's t. ``p_shape`` takes off the one degree of
    freedom of a shift common to all bins: if every feature has a small p and one a small p_shape,
    the base rate moved and so did what this feature says.

    References
    ----------
    Mantel and Haenszel (1959), Statistical aspects of the analysis of data from retrospective
    studies of disease, Journal of the National Cancer Institute 22(4).

    DeLong, DeLong and Clarke-Pearson (1988), Comparing the areas under two or more correlated
    receiver operating characteristic curves, Biometrics 44(3).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> def month(flip):
    ...     frame = pd.DataFrame(rng.normal(size=(4000, 2)), columns=["price", "age"])
    ...     logit = frame["age"] + (-1 if flip else 1) * frame["price"]
    ...     return frame.assign(click=rng.random(4000) < 1 / (1 + np.exp(-logit)))
    >>> drift = single_feature_drift(month(False), month(True), y_ref="click")
    >>> drift.to_frame()[["feature", "auc_ref", "auc_live", "p_adj"]].round(2)
      feature  auc_ref  auc_live  p_adj
    0   price     0.71      0.29    0.0
    1     age     0.71      0.70    0.5
    """
    check_choice(max_features, "max_features", (1, 2))
    n_bins = check_positive_int(n_bins, "n_bins")
    n_folds = check_positive_int(n_folds, "n_folds")
    for value, name in ((n_bins, "n_bins"), (n_folds, "n_folds")):
        if value < 2:
            raise ValueError(f"{name} must be at least 2; got {value!r}")
    smoothing = check_positive(smoothing, "smoothing")
    level = check_fraction(level, "level")
    rng = as_generator(random_state)
    options: dict[str, Any] = {
        "smoothing": smoothing,
        "n_folds": n_folds,
        "level": level,
        "rng": rng,
    }
    if both_profiles(ref, live):
        if max_features == 2:
            raise ValueError("max_features must be 1 with profiles, which hold no pairs of bins")
        if y_ref is not None or y_live is not None or pos_label is not None:
            raise ValueError("a profile brings its target: leave y_ref, y_live and pos_label out")
        stored = models_of_profiles(ref, live, columns)
        return _result(
            stored.models,
            binary=stored.binary,
            labelled=stored.labelled,
            rows=(ref.n_rows, live.n_rows),
            excluded=stored.excluded,
            **options,
        )

    pair = read_pair(ref, live, columns=columns)
    sizes = (pair.n_ref, pair.n_live)
    target = read_targets(ref, live, y_ref, y_live, sizes, pos_label)
    pair = pair.of_kind("numeric", "boolean", "categorical")
    features = [column for column in pair.columns if column.name not in target.names]
    excluded = {name: why for name, why in pair.excluded.items() if name not in target.names}
    if not features:
        raise ValueError(f"ref and live share no feature; left out: {excluded}")
    known = ~np.isnan(target.ref), ~np.isnan(target.live)
    y = _standardised(target.ref[known[0]], target.live[known[1]], target.binary)

    def models() -> Iterator[Model]:
        def model(bins: Any, feature: str, second: str = "") -> Model:
            sums = [
                sums_of(place[rows], values, bins.size, target.binary)
                for place, rows, values in zip((bins.ref, bins.live), known, y, strict=True)
            ]
            return Model(feature, second, *sums)

        for column in features:
            yield model(bin_column(column, n_bins), column.name)
        if max_features == 2:
            coarse = max(2, int((2 * n_bins) ** 0.5))
            binned = {column.name: bin_column(column, coarse) for column in features}
            for one, other in itertools.combinations(binned, 2):
                yield model(cross(binned[one], binned[other]), one, other)

    return _result(
        models(),
        binary=target.binary,
        labelled=(int(known[0].sum()), int(known[1].sum())),
        rows=sizes,
        excluded=excluded,
        **options,
    )


def _standardised(ref: FloatArray, live: FloatArray, binary: bool) -> tuple[FloatArray, FloatArray]:
    """Return numeric targets about the reference's mean, so that fourth powers lose no digits."""
    if binary:
        return ref, live
    centre, scale = float(ref.mean()), float(ref.std())
    scale = scale if scale > 0 else 1.0
    return (ref - centre) / scale, (live - centre) / scale


def _result(
    models: Iterable[Model],
    *,
    binary: bool,
    smoothing: float,
    n_folds: int,
    level: float,
    rng: np.random.Generator,
    labelled: tuple[int, int],
    rows: tuple[int, int],
    excluded: dict[str, str],
) -> SingleFeatureDrift:
    import pandas as pd
    from scipy.special import ndtri

    quantile = float(ndtri(0.5 + level / 2))
    lines: list[dict[str, Any]] = []
    for model in models:
        line: dict[str, Any] = {
            "feature": model.feature,
            "second": model.second,
            "bins": int(((model.ref.n > 0) | (model.live.n > 0)).sum()),
            "new_live": int(model.live.n[model.ref.n == 0].sum()),
        }
        if binary:
            score = smoothed(model.ref, smoothing, binary=True)
            up = model.live.powers[0]
            of_ref = auc_across_folds(model.ref, smoothing, n_folds, rng)
            of_live = auc_of_bins(up, model.live.n - up, score)
            line |= _interval("auc_ref", of_ref, quantile, (0.0, 1.0))
            line |= _interval("auc_live", of_live, quantile, (0.0, 1.0))
            loss = log_loss_of_bins(model.ref, smoothing)
            line |= _interval("log_loss_ref", loss, quantile, (0.0, np.inf))
            loss = log_loss_of_bins(model.ref, smoothing, model.live)
            line |= _interval("log_loss_live", loss, quantile, (0.0, np.inf))
            relation = relation_binary(model.ref, model.live)
        else:
            of_ref = r2_of_bins(model.ref, smoothing)
            of_live = r2_of_bins(model.ref, smoothing, model.live)
            line |= _interval("r2_ref", of_ref, quantile, (-np.inf, 1.0))
            line |= _interval("r2_live", of_live, quantile, (-np.inf, 1.0))
            relation = relation_numeric(model.ref, model.live)
        delta = of_live.value - of_ref.value
        half = quantile * float(np.hypot(of_live.stderr, of_ref.stderr))
        line |= {"delta": delta, "lo": delta - half, "hi": delta + half}
        line |= {
            "stat": relation.stat,
            "dof": relation.dof,
            "p": relation.p,
            "p_shape": relation.p_shape,
        }
        lines.append(line)
    frame = pd.DataFrame(lines)
    undefined = int(frame["delta"].isna().sum())
    if undefined:
        warn_undefined(
            f"{'auc' if binary else 'r2'} is undefined for {undefined} of {len(frame)} models: the "
            "target has one value only in a sample",
            stacklevel=4,
        )
    frame.insert(len(frame.columns) - 1, "p_adj", holm(frame["p"]))
    frame["p_shape_adj"] = holm(frame["p_shape"])
    # A p that is 0 in floats is still ranked by how far out it is.
    frame = frame.assign(_far=-frame["stat"] / frame["dof"].clip(lower=1))
    frame = frame.sort_values(["p", "_far"], kind="stable").drop(columns="_far")
    return SingleFeatureDrift(
        target="binary" if binary else "numeric",
        level=level,
        n_ref=labelled[0],
        n_live=labelled[1],
        unlabelled_ref=rows[0] - labelled[0],
        unlabelled_live=rows[1] - labelled[1],
        excluded=excluded,
        table={str(name): frame[name].to_numpy() for name in frame.columns},
    )


def _interval(
    name: str, estimate: Estimate, quantile: float, limits: tuple[float, float]
) -> dict[str, float]:
    half = quantile * estimate.stderr
    return {
        name: estimate.value,
        f"{name}_lo": max(limits[0], estimate.value - half),
        f"{name}_hi": min(limits[1], estimate.value + half),
    }
