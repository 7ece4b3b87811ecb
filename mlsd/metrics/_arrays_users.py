"""Expected reciprocal rank and rank-biased precision on plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsd._results import Result
from mlsd._validation import check_fraction
from mlsd.metrics import _user_models
from mlsd.metrics._arrays import cutoff, hits_of, mean_defined
from mlsd.metrics._hits import Options
from mlsd.metrics._qrels import check_max_rel

__all__ = ["RBP", "err", "rbp"]


@dataclass(frozen=True, slots=True)
class RBP(Result):
    """Rank-biased precision, and how much higher it could be; a float where one is wanted."""

    value: float
    """What the documents that are known to be relevant give."""
    residual: float
    """What all that lies beyond the list, or the cut-off, could add."""

    def __float__(self) -> float:
        """Return the value."""
        return self.value


def err(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    max_rel: float,
    query: npt.ArrayLike | None = None,
    k: int | None = None,
    ties: str = "average",
) -> float:
    """Expected reciprocal rank: the mean of one over the place at which a user is satisfied.

    A document satisfies a user who sees it with chance ``(2**relevance - 1) / 2**max_rel``, and the
    user stops there; else the next one is seen. A user who is never satisfied counts 0.

    Parameters
    ----------
    y_true, y_score, query, k, ties
        As in ``ndcg``. A negative relevance satisfies nobody.
    max_rel : float
        The highest grade of the scale, above 0 and not below any relevance. It belongs to the
        scale, not to the data: a value changes when it does.

    Returns
    -------
    float
        From 0 to below 1: even the best document satisfies only with ``1 - 2**-max_rel``. A query
        in which no relevance is above 0 is undefined and left out, with an
        ``UndefinedMetricWarning``; nan if all are.

    Raises
    ------
    TypeError, ValueError
        As ``ndcg``, and if `max_rel` is not such a number.

    Notes
    -----
    The mean over the orders of a group of e tied documents, r of which have a relevance above 0,
    takes about e times r operations.

    References
    ----------
    Chapelle, Metzler, Zhang and Grinspan (2009), Expected reciprocal rank for graded relevance,
    CIKM.

    Examples
    --------
    >>> err([2, 0, 1], [0.9, 0.5, 0.1], max_rel=2)  # 3/4 + 1/4 * 1/4 * 1/3
    0.7708333333333334
    """
    hits = hits_of(y_true, y_score, query, ties)
    options = Options(max_rel=check_max_rel(max_rel, hits.relevance, "y_true"))
    return mean_defined(_user_models.err(hits, cutoff(k), options))


def rbp(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    p: float = 0.8,
    query: npt.ArrayLike | None = None,
    k: int | None = None,
    ties: str = "average",
    min_relevance: float = 1,
) -> RBP:
    """Rank-biased precision: the chance that the last document a user looks at is relevant.

    The user looks at the first document, and goes on to each next one with chance `p`: place i has
    the weight ``(1 - p) * p**(i - 1)``. Relevance is binary.

    Parameters
    ----------
    y_true, y_score, query, k, ties
        As in ``ndcg``; all documents count as judged.
    p : float
        Persistence, strictly between 0 and 1. A user looks at ``1 / (1 - p)`` documents on average.
    min_relevance : float
        The least relevance that counts as relevant; above 0.

    Returns
    -------
    RBP
        ``value``, between 0 and 1, and ``residual``, what it would gain if all documents after the
        list, or after the cut-off, were relevant: ``p**n`` for n documents. Both are means over the
        queries with a relevant document; the others are left out, with an
        ``UndefinedMetricWarning``, and both are nan if there is none.

    Raises
    ------
    TypeError, ValueError
        As ``ndcg``, and if `p` is not such a number.

    References
    ----------
    Moffat and Zobel (2008), Rank-biased precision for measurement of retrieval effectiveness,
    ACM TOIS 27(1).

    Examples
    --------
    >>> rbp([1, 0, 1], [0.9, 0.5, 0.1], p=0.5)  # 1/2 + 1/8, and the places from the fourth on
    RBP(value=0.625, residual=0.125)
    """
    options = Options(p=check_fraction(p, "p"))
    hits, depth = hits_of(y_true, y_score, query, ties, min_relevance=min_relevance), cutoff(k)
    values = _user_models.rbp(hits, depth, options)
    value = mean_defined(values)
    residuals = _user_models.rbp_residual(hits, depth, options)[~np.isnan(values)]
    return RBP(value, float(residuals.mean()) if residuals.size else float("nan"))
