"""Can a classifier tell live rows from the reference, and by what?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd._validation import as_generator, check_fraction, check_positive_int
from mlsd.drift._bins import BinSums, bin_column
from mlsd.drift._skill import auc_across_folds, fold_inflation
from mlsd.drift._two_frames import Column, Pair, TableResult, read_pair
from mlsd.metrics import roc_auc, roc_auc_ci

__all__ = ["DomainAUC", "domain_auc"]

# Boosting of scikit-learn bins a category into at most 255; one is for all others.
_LEVELS = 250
# Bins of a column that is judged alone, and from which AUC on it separates trivially.
_BINS = 64
_SEPARATES = 0.95


@dataclass(frozen=True, slots=True)
class DomainAUC(TableResult):
    """How well a classifier tells live rows from the reference, out of fold.

    Attributes
    ----------
    value : float
        AUC within folds, pairs of all folds weighing alike; .5 if nothing tells them apart.
    lower, upper : float
        Its interval (DeLong's errors of the folds).
    level : float
        Coverage of the interval.
    null_sd : float
        Standard deviation of the AUC without a change: ``sqrt((n + m + 1) / (12 n m))`` for one
        test sample, times ``sqrt(1 + cv / (cv - 1))``, as folds share their training rows.
    p_value : float
        One-sided: of an AUC as large without a change.
    fold_values : tuple of float
        AUC of each fold.
    n_ref, n_live : int
        Rows used.
    rows_ref, rows_live : int
        Rows given; if more than were used, a random sample was.
    separating : dict of str to str
        Columns that alone, and so trivially, tell the two apart, such as a time or an id, with the
        reason. What else changed is seen only without them: see `omit`.
    excluded : dict of str to str
        Columns that were left out, and why.
    table : dict
        The columns of ``to_frame``: column, kind, drop (what the AUC loses out of fold when
        the column is shuffled), drop_stderr (over folds) and alone (AUC of the bins of this column
        alone, out of fold); the largest drop first.
    """

    value: float
    lower: float
    upper: float
    level: float
    null_sd: float
    p_value: float
    fold_values: tuple[float, ...]
    n_ref: int
    n_live: int
    rows_ref: int
    rows_live: int
    separating: dict[str, str]
    excluded: dict[str, str]
    table: dict[str, Any] = field(repr=False, compare=False)

    def _note(self) -> str:
        parts = [
            f"AUC {self.value:.3f} [{self.lower:.3f}, {self.upper:.3f}], p {self.p_value:.2g}."
        ]
        if (self.n_ref, self.n_live) != (self.rows_ref, self.rows_live):
            parts.append(
                f"A sample: {self.n_ref} of {self.rows_ref} rows of the reference, "
                f"{self.n_live} of {self.rows_live} live."
            )
        if self.separating:
            listed = ", ".join(f"{name} ({reason})" for name, reason in self.separating.items())
            parts.append(f"Tell the two apart alone: {listed}; try again with omit=.")
        if self.excluded:
            listed = ", ".join(f"{name} ({reason})" for name, reason in self.excluded.items())
            parts.append(f"Columns left out: {listed}.")
        return " ".join(parts)


def domain_auc(
    X_ref: Any,
    X_live: Any,
    *,
    estimator: Any = None,
    cv: int = 5,
    columns: Iterable[str] | None = None,
    omit: Iterable[str] = (),
    max_rows: int = 20_000,
    level: float = 0.95,
    random_state: int | np.random.Generator | None = None,
) -> DomainAUC:
    """Train a classifier to tell live rows from the reference; its AUC out of fold is the drift.

    It sees changes of the joint distribution that no column shows, if the classifier can: on a
    correlation that changed its sign logistic regression is at .5 and boosted trees are not.

    Parameters
    ----------
    X_ref, X_live : table of pandas, polars or pyarrow
        All columns that both have take part, NULLs included.
    estimator : scikit-learn classifier, optional
        Cloned for every fold. It gets a pandas frame: numbers, booleans, times (days) and
        timedeltas (seconds) as float64 with NaN for NULL, others as categories, of which the 250
        most frequent are kept; names that are no strings as strings.
        Default: ``HistGradientBoostingClassifier``, which takes all of these.
    cv : int, default 5
        Folds, stratified and shuffled, at least 2.
    columns : iterable of str, optional
        The columns to take; by default all that both have.
    omit : iterable of str, optional
        Columns to leave out, such as those that separate trivially.
    max_rows : int, default 20000
        Rows taken at random from each sample, at least `cv` times 2.
    level : float, default 0.95
        Coverage of the interval.
    random_state : int, Generator or None
        Source of the sample, the folds, the shuffling, and of the default classifier.

    Returns
    -------
    DomainAUC
        AUC, interval, p-value, and what each column has to do with it.

    Raises
    ------
    ValueError
        If no column is left, a sample has fewer than two rows a fold, or an option is out of range.
    TypeError
        If a sample is no table, or the estimator has neither predict_proba nor decision_function.

    Notes
    -----
    The errors of the folds go together, the more the fewer parameters a model has: without a change
    the AUC of logistic regression spreads 1.5 times as far as on rows that took no part, that of
    boosted trees 1.1 to 1.2 times. The test takes the wider one (Nadeau and Bengio) for all.

    Rows must be independent: with several rows of one user the folds share users, and the AUC is
    too high. An AUC far above .5 is no harm in itself: a time column gives 1.

    References
    ----------
    Lopez-Paz and Oquab (2017), Revisiting classifier two-sample tests, ICLR.

    Nadeau and Bengio (2003), Inference for the generalization error, Machine Learning 52(3).

    Bamber (1975), The area above the ordinal dominance graph and the area below the receiver
    operating characteristic graph, Journal of Mathematical Psychology 12(4).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> def rows(sign):
    ...     a, b, c = rng.normal(size=(3, 1000))
    ...     return pd.DataFrame({"a": a, "b": sign * .8 * a + .6 * b, "c": c})
    >>> result = domain_auc(rows(1), rows(-1), random_state=0)  # every column is as it was
    >>> print(f"{result.value:.1f}", sorted(result.to_frame()["column"][:2]))
    0.9 ['a', 'b']
    """
    cv = check_positive_int(cv, "cv")
    max_rows = check_positive_int(max_rows, "max_rows")
    if cv < 2:
        raise ValueError(f"cv must be at least 2; got {cv!r}")
    if max_rows < 2 * cv:
        raise ValueError(f"max_rows must be at least {2 * cv}, two a fold; got {max_rows!r}")
    level = check_fraction(level, "level")
    if isinstance(omit, str):
        raise TypeError(f"omit must be a list of names; got the text {omit!r}")
    rng = as_generator(random_state)
    omitted = list(omit)
    if columns is not None and not isinstance(columns, str):
        columns = [name for name in columns if name not in omitted]
    pair = read_pair(X_ref, X_live, columns=columns, omit=omitted, names=("X_ref", "X_live"))
    if not pair.columns:
        raise ValueError(f"X_ref and X_live share no column; left out: {pair.excluded}")
    for size, name in ((pair.n_ref, "X_ref"), (pair.n_live, "X_live")):
        if size < 2 * cv:
            raise ValueError(f"{name} has {size} rows: at least {2 * cv} are needed for cv={cv}")
    apart = _without_overlap(pair)
    taken, n_ref = _pooled(pair, max_rows, rng)
    n = len(taken[0].ref)
    live = np.arange(n) >= n_ref
    frame = pd.DataFrame(dict(zip(_labels(taken), map(_encoded, taken), strict=True)))
    own = estimator is None
    estimator = _default(rng) if own else estimator
    folds = _folds(live, cv, rng)
    values, drops, intervals, weights = [], [], [], []
    for fold in range(cv):
        test = folds == fold
        with _one_thread() if own else nullcontext():
            score, drop = _fold(estimator, frame, live, test, rng)
        interval = roc_auc_ci(live[test], score, level=level)
        values.append(interval.auc)
        intervals.append((interval.lower, interval.upper))
        drops.append(interval.auc - drop)
        weights.append(float(live[test].sum()) * float((~live[test]).sum()))
    weight = np.asarray(weights) / sum(weights)
    value = float(weight @ values)
    # Distances to the ends add up like standard errors, also where an interval is lopsided.
    reach = np.abs(np.asarray(intervals) - np.asarray(values)[:, None])
    wider = fold_inflation(cv)
    below, above = wider * np.sqrt((weight**2) @ reach**2)
    m = n - n_ref
    null_sd = wider * math.sqrt((n + 1) / (12 * n_ref * m))
    alone = np.array([_alone(column, live, cv, rng) for column in taken])
    by_fold = np.asarray(drops)
    drop_mean = weight @ by_fold
    order = np.argsort(-drop_mean, kind="stable")
    names = np.empty(len(taken), dtype=object)
    names[:] = [column.name for column in taken]
    table = {
        "column": names,
        "kind": np.asarray([column.kind for column in taken], dtype=object),
        "drop": drop_mean,
        "drop_stderr": by_fold.std(axis=0, ddof=1) / math.sqrt(cv),
        "alone": alone,
    }
    separating = {
        name: apart.get(name, f"AUC {auc:.3f} alone")
        for name, auc in zip(names.tolist(), alone, strict=True)
        if name in apart or auc >= _SEPARATES
    }
    return DomainAUC(
        value=value,
        lower=max(0.0, value - float(below)),
        upper=min(1.0, value + float(above)),
        level=level,
        null_sd=null_sd,
        p_value=_upper_tail((value - 0.5) / null_sd),
        fold_values=tuple(values),
        n_ref=n_ref,
        n_live=m,
        rows_ref=pair.n_ref,
        rows_live=pair.n_live,
        separating=separating,
        excluded=pair.excluded | dict.fromkeys(omitted, "omitted"),
        table={name: column[order] for name, column in table.items()},
    )


def _upper_tail(z: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(-z))


def _without_overlap(pair: Pair) -> dict[str, str]:
    """Return the columns whose values in the two samples have nothing in common."""
    found = {}
    for column in pair.columns:
        known = [side[~np.asarray(pd.isna(side))] for side in (column.ref, column.live)]
        if not known[0].size or not known[1].size:
            continue
        if column.kind == "categorical":
            levels = [{str(value) for value in pd.unique(side)} for side in known]
            if not levels[0] & levels[1]:
                found[column.name] = "no value in common"
        elif column.kind in ("datetime", "numeric") and (
            known[0].max() < known[1].min() or known[1].max() < known[0].min()
        ):
            found[column.name] = "ranges without overlap"
    return found


def _pooled(pair: Pair, max_rows: int, rng: np.random.Generator) -> tuple[list[Column], int]:
    """Return the rows of both samples in `ref` and `live` alike, and how many are reference."""
    rows = [
        np.sort(rng.choice(size, max_rows, replace=False)) if size > max_rows else np.arange(size)
        for size in (pair.n_ref, pair.n_live)
    ]
    taken = []
    for column in pair.columns:
        both = np.concatenate((column.ref[rows[0]], column.live[rows[1]]))
        taken.append(Column(column.name, column.kind, both, both))
    return taken, rows[0].size


def _labels(columns: list[Column]) -> list[str]:
    """Return names that are strings, as scikit-learn wants them, and no two alike: 1 and "1"."""
    labels = [str(column.name) for column in columns]
    if len(set(labels)) == len(labels):
        return labels
    return [f"{at}: {label}" for at, label in enumerate(labels)]


def _encoded(column: Column) -> Any:
    values = column.ref
    if column.kind == "datetime":
        days = values.astype("datetime64[us]")
        return np.where(np.isnat(values), np.nan, days.astype(np.int64) / 86_400e6)
    if column.kind != "categorical":
        return values.astype(np.float64)
    codes, distinct = pd.factorize(values)
    names = np.array([str(value) for value in distinct], dtype=object)
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
    kept = np.argsort(-counts, kind="stable")[:_LEVELS]
    place = np.full(len(distinct) + 1, kept.size, dtype=np.int64)
    place[kept] = np.arange(kept.size)
    place[-1] = -1  # a missing value
    labels = [f"{at}: {names[level]}" for at, level in enumerate(kept)]  # 1 and "1" stay apart
    return pd.Categorical.from_codes(place[codes].tolist(), pd.Index([*labels, "others"]))


def _default(rng: np.random.Generator) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        early_stopping=False, random_state=int(rng.integers(2**31))
    )


def _one_thread() -> Any:
    """Boost in one thread: on so few rows more gain little, and on a busy machine lose 20-fold."""
    # It comes with scikit-learn.
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(1, user_api="openmp")


def _folds(live: BoolArray, cv: int, rng: np.random.Generator) -> IntArray:
    """Return a fold for every row, so that each has its share of both samples."""
    folds = np.empty(live.size, dtype=np.int64)
    for side in (live, ~live):
        folds[side] = rng.permutation(np.arange(int(side.sum())) % cv)
    return folds


def _fold(
    estimator: Any, frame: pd.DataFrame, live: BoolArray, test: BoolArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return the scores of a fold's rows, and the AUC after shuffling each column in turn."""
    from sklearn.base import clone

    model = clone(estimator)
    model.fit(frame.loc[~test], live[~test].astype(np.int64))
    rows = frame.loc[test].reset_index(drop=True)
    shuffled = np.empty(frame.shape[1])
    for at, name in enumerate(frame.columns):
        order = rng.permutation(len(rows))
        changed = rows.copy(deep=False)
        changed[name] = rows[name].take(order).set_axis(rows.index)
        shuffled[at] = roc_auc(live[test], _scores(model, changed))
    return _scores(model, rows), shuffled


def _scores(model: Any, rows: pd.DataFrame) -> FloatArray:
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(rows)[:, 1], dtype=np.float64)
    if hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(rows), dtype=np.float64)
    raise TypeError(
        f"estimator must have predict_proba or decision_function; got {type(model).__name__}"
    )


def _alone(column: Column, live: BoolArray, cv: int, rng: np.random.Generator) -> float:
    """Return the AUC of the shares of live rows by bin of one column, out of fold."""
    binned = bin_column(column, _BINS)
    n = np.bincount(binned.ref, minlength=binned.size).astype(np.float64)
    up = np.bincount(binned.ref, weights=live, minlength=binned.size)
    return auc_across_folds(BinSums(n, np.tile(up, (4, 1))), 1.0, cv, rng).value
