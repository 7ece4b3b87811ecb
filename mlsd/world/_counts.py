"""Counts of events, and the law of the rates behind them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mlsd._types import FloatArray, IntArray

__all__ = ["fit_rates", "thin"]


def fit_rates(counts: npt.ArrayLike, *, least: int = 1) -> tuple[float, float]:
    """Fit the lognormal law of the rates behind counts of which small ones were not recorded.

    A unit with rate λ is counted k ~ Poisson(λ) times, log λ ~ Normal(m, s), and is in the data if
    k ≥ `least`. The likelihood of the truncated Poisson-lognormal law is maximised, its integral
    taken over a grid of log λ.

    Parameters
    ----------
    counts : array_like of int, shape (n,)
        Each at least `least`.
    least : int, default 1
        The smallest count that could be seen.

    Returns
    -------
    tuple of float
        m and s.

    Raises
    ------
    ValueError
        If there are fewer than two different counts, or one is below `least`.

    References
    ----------
    Bulmer, M. G. (1974). On fitting the Poisson lognormal distribution to species-abundance data.
    Biometrics 30(1), 101-110. https://doi.org/10.2307/2529621

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> counts = rng.poisson(np.exp(rng.normal(0.5, 1.2, 20_000)))
    >>> log_mean, sigma = fit_rates(counts[counts > 0])
    >>> print(f"{log_mean:.1f} {sigma:.1f}")
    0.5 1.2
    """
    from scipy.optimize import minimize
    from scipy.special import gammaln

    values, times = np.unique(np.asarray(counts), return_counts=True)
    if len(values) < 2:
        raise ValueError(f"counts must have at least two different values, got {len(values)}")
    if values[0] < least:
        raise ValueError(f"counts must be at least {least}, got {values[0]}")
    step = 0.01  # below the width of the likelihood of a count of thousands
    log_rate = np.arange(np.log(1e-4), np.log(3 * values[-1]), step)

    def likelihood(seen: npt.NDArray[np.int64]) -> FloatArray:
        column = seen[:, None]
        result: FloatArray = np.exp(column * log_rate - np.exp(log_rate) - gammaln(column + 1))
        return result

    seen, unseen = likelihood(values), likelihood(np.arange(least)).sum(axis=0)

    def loss(parameters: FloatArray) -> float:
        mean, log_sigma = parameters
        scaled = (log_rate - mean) / np.exp(log_sigma)
        density = np.exp(-(scaled**2) / 2 - log_sigma) * step / np.sqrt(2 * np.pi)
        tiny = np.finfo(float).tiny
        hidden = min(float(unseen @ density), 1 - 1e-12)
        fit = times @ np.log(seen @ density + tiny) - times.sum() * np.log1p(-hidden)
        return float(-fit)

    logs = np.repeat(np.log(values), times)
    options = {"xatol": 1e-6, "fatol": 1e-6, "maxiter": 2_000}
    start = [logs.mean(), np.log(logs.std())]
    found = minimize(loss, start, method="Nelder-Mead", options=options).x
    return float(found[0]), float(np.exp(found[1]))


def thin(counts: npt.ArrayLike, mean: float, *, random_state: int = 0) -> IntArray:
    """Keep events at random until the units that still have one have a given mean.

    Of a Poisson count with rate λ each event kept with chance q leaves one with rate qλ: the law of
    the rates keeps its shape. So samples of different size compare.

    Parameters
    ----------
    counts : array_like of int, shape (n,)
        Events a unit.
    mean : float
        Mean of the counts above 0 that is wanted, above 1; at their own mean or above it, nothing
        is taken away.
    random_state : int, default 0

    Returns
    -------
    array of int
        The counts that are left, without those of 0.

    Raises
    ------
    ValueError
        If `mean` is not above 1.

    Examples
    --------
    >>> thinned = thin(np.full(10_000, 8), 2.0)
    >>> print(f"{thinned.mean():.1f}")
    2.0
    """
    if not mean > 1:
        raise ValueError(f"mean must be above 1; got {mean!r}")
    events = np.asarray(counts)
    events = events[events > 0]
    if events.mean() <= mean:
        return events
    # The mean of what is left grows with the share kept: halve the interval that holds the share.
    low, high = 0.0, 1.0
    for _ in range(40):
        share = (low + high) / 2
        there = 1 - (1 - share) ** events
        if share * events.sum() > mean * there.sum():
            high = share
        else:
            low = share
    left = np.random.default_rng(random_state).binomial(events, low)
    return np.asarray(left[left > 0])
