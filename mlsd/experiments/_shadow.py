"""What can be checked of a new ranker before a user sees anything of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsd._inputs import as_floats, as_pandas
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd._validation import check_fraction, check_positive_int, warn_undefined

__all__ = ["ShadowReport", "shadow_report"]


@dataclass(frozen=True, slots=True)
class ShadowReport(Result):
    """A new ranker beside the old one, on the same requests, unseen.

    Attributes
    ----------
    n_requests, n_scores : int
        Requests, and candidates scored in them.
    n_failed_requests : int
        Requests in which the new ranker failed for at least one candidate: NaN or infinite.
    failed : float
        Their share, 0 to 1.
    failed_upper : float
        Upper end of its one-sided 95 % interval (Clopper and Pearson): 0 of 1,000 still leaves
        room for 0.3 %.
    agreement : float
        Mean share of the first `k` that both have, over requests without a failure, 0 to 1; nan if
        there are none.
    identical : float
        Share of these requests whose first `k` are the same in the same order.
    k : int
        Places looked at.
    latency_ratio : float
        Quantile of the new latency over that of the old; nan without latencies.
    quantile : float
        Which one.
    """

    n_requests: int
    n_scores: int
    n_failed_requests: int
    failed: float
    failed_upper: float
    agreement: float
    identical: float
    k: int
    latency_ratio: float
    quantile: float


def shadow_report(
    scored: Any,
    *,
    request: str = "request_id",
    score: str = "score",
    shadow: str = "shadow_score",
    k: int = 10,
    latency: tuple[Any, Any] | None = None,
    quantile: float = 0.95,
) -> ShadowReport:
    """Compare the scores of a new ranker with those of the one that serves, on the same requests.

    Parameters
    ----------
    scored : DataFrame
        A row a candidate: the request, the score that is served and the one in shadow. Rows of one
        request may stand anywhere. Scores in shadow may be NaN or infinite: that is counted.
    request, score, shadow : str
        Its columns.
    k : int, default 10
        Places of the slate. Higher scores come first, equal ones in the order of the rows.
    latency : tuple of two array-likes, optional
        Latencies of the old and of the new ranker, in any one unit, 0 or more.
    quantile : float, default 0.95
        Which latency is compared, strictly between 0 and 1.

    Returns
    -------
    ShadowReport

    Raises
    ------
    ValueError
        If columns are missing, there are no rows, a request is missing, a score that is served is
        not finite, or latencies are negative, NaN, or 0 at the old quantile.

    Warns
    -----
    UndefinedMetricWarning
        If the new ranker failed in every request, so that there is no agreement.

    Examples
    --------
    >>> import pandas as pd
    >>> scored = pd.DataFrame({
    ...     "request_id": [1, 1, 1, 2, 2, 2], "score": [3, 2, 1, 3, 2, 1],
    ...     "shadow_score": [3, 1, 2, 1, 2, float("nan")]})
    >>> found = shadow_report(scored, k=2)
    >>> found.failed, found.agreement
    (0.5, 0.5)
    """
    from scipy.special import betaincinv

    frame = as_pandas(scored, "scored", [request, score, shadow])
    k, quantile = check_positive_int(k, "k"), check_fraction(quantile, "quantile")
    codes, requests = pd.factorize(frame[request])
    if not codes.size or (codes < 0).any():
        raise ValueError(
            f"scored[{request!r}] holds {int((codes < 0).sum())} missing among {codes.size} rows"
        )
    old = as_floats(frame[score], f"scored[{score!r}]")
    if not np.isfinite(old).all():
        raise ValueError(f"scored[{score!r}] must be finite: it is what users were served")
    new = as_floats(frame[shadow], f"scored[{shadow!r}]", allow_nan=True)
    n = len(requests)
    failed = np.zeros(n, dtype=np.bool_)
    failed[codes[~np.isfinite(new)]] = True
    sound = ~failed[codes]
    agreement, identical = _agreement(codes[sound], old[sound], new[sound], n, k)
    n_failed = int(failed.sum())
    if n_failed == n:
        warn_undefined(f"the shadow failed in all {n} requests: the agreement is undefined")
    return ShadowReport(
        n_requests=n,
        n_scores=codes.size,
        n_failed_requests=n_failed,
        failed=n_failed / n,
        failed_upper=float(betaincinv(n_failed + 1, n - n_failed, 0.95)) if n_failed < n else 1.0,
        agreement=agreement,
        identical=identical,
        k=k,
        latency_ratio=math.nan if latency is None else _latency_ratio(latency, quantile),
        quantile=quantile,
    )


def _agreement(
    codes: IntArray, old: FloatArray, new: FloatArray, n: int, k: int
) -> tuple[float, float]:
    """Return the mean overlap of the first k and the share of slates that are the same."""
    size = np.bincount(codes, minlength=n)
    n_sound = int((size > 0).sum())
    if not n_sound:
        return math.nan, math.nan
    places = [_places(codes, score, size) for score in (old, new)]
    in_both: BoolArray = (places[0] < k) & (places[1] < k)
    both = np.bincount(codes[in_both], minlength=n)
    moved = np.bincount(codes[(places[0] != places[1]) & (np.minimum(*places) < k)], minlength=n)
    present = size > 0
    overlap = both[present] / np.minimum(size[present], k)
    return float(overlap.mean()), float((moved[present] == 0).mean())


def _places(codes: IntArray, score: FloatArray, size: IntArray) -> IntArray:
    order = np.lexsort((-score, codes))
    places = np.empty(codes.size, dtype=np.int64)
    places[order] = np.arange(codes.size) - np.repeat(np.cumsum(size) - size, size)
    return places


def _latency_ratio(latency: tuple[Any, Any], quantile: float) -> float:
    if not isinstance(latency, tuple | list) or len(latency) != 2:
        raise ValueError(f"latency must be a pair, old and new; got {type(latency).__name__}")
    ends = []
    for values, name in zip(latency, ("latency[0]", "latency[1]"), strict=True):
        array = as_floats(values, name)
        if not array.size or not (array >= 0).all() or not np.isfinite(array).all():
            raise ValueError(f"{name} must hold finite latencies of at least 0")
        ends.append(float(np.quantile(array, quantile)))
    if ends[0] == 0.0:
        raise ValueError(f"latency[0] is 0 at its quantile {quantile:g}: there is no ratio to it")
    return ends[1] / ends[0]
