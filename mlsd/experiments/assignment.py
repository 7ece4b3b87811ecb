"""Who is in which arm: by a hash, without a table; and whether the arms came out as planned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._results import Result
from mlsd._types import IntArray
from mlsd._validation import check_fraction, check_positive_int
from mlsd.experiments._hash import unit_hash

__all__ = ["SampleRatioTest", "assign", "bucket", "sample_ratio_test"]

_HALF = {"control": 0.5, "treatment": 0.5}
# Above this the normal law behind chi-squared is right to many digits, and the exact sum slow.
_EXACT_UP_TO = 100_000


def assign(
    units: Any, *, salt: str, weights: Mapping[str, float] | None = None
) -> npt.NDArray[np.object_]:
    """Arm of each unit, from a hash of its identifier: the same on every machine, every day.

    Parameters
    ----------
    units : array-like of shape (n,)
        Identifiers: integers or strings. 5 and "5" are one unit.
    salt : str
        Name of the experiment. Another salt deals the units anew, independently of the first.
    weights : mapping of str to float, optional
        Share of each arm, at least 0 and 1 in sum; the first is the control. Default: "control"
        and "treatment", half each.

    Returns
    -------
    ndarray of shape (n,)
        Names of arms, as objects.

    Raises
    ------
    TypeError
        If units are neither integers nor strings (a column of integers with a gap is floats), or
        `salt` or the name of an arm is not a string.
    ValueError
        If a unit is missing, `salt` is empty, there are fewer than two arms, or the weights are
        negative or do not sum to 1.

    Notes
    -----
    To compute it elsewhere: let h be SipHash-2-4 of the identifier's UTF-8 text (an integer's
    decimal digits), its key the 16 ASCII characters of ``hex(BLAKE2b(salt, 8 bytes))``; then, on
    64 bits, ``h ^= h >> 30; h *= 0xBF58476D1CE4E5B9; h ^= h >> 27; h *= 0x94D049BB133111EB;
    h ^= h >> 31``. With u the upper and v the lower 32 bits, each over 2**32, the unit is in the
    control if ``u < weight of the control``; else v picks the treatment, by their weights laid end
    to end in the order given.

    So a ramp does not shuffle: when the control's weight falls, no unit returns to it, and none
    moves between treatments whose weights grow by one factor.

    References
    ----------
    Aumasson and Bernstein (2012), SipHash: a fast short-input PRF, INDOCRYPT.
    Kohavi, Tang and Xu (2020), Trustworthy Online Controlled Experiments, Cambridge, chapter 4.

    Examples
    --------
    >>> assign([1, 2, 3, 4], salt="new-ranker").tolist()
    ['treatment', 'control', 'control', 'treatment']
    >>> weights = {"control": 0.2, "treatment": 0.8}
    >>> assign(["1", "2", "3", "4"], salt="new-ranker", weights=weights).tolist()
    ['treatment', 'treatment', 'control', 'treatment']
    """
    arms, shares = _weights(_HALF if weights is None else weights)
    hashed = unit_hash(units, salt)
    upper = (hashed >> np.uint64(32)).astype(np.float64) / 2.0**32
    code = np.zeros(hashed.size, dtype=np.int64)
    treated = upper >= shares[0]
    if len(arms) == 2:
        code[treated] = 1
    elif treated.any():
        lower = (hashed[treated] & np.uint64(0xFFFFFFFF)).astype(np.float64) / 2.0**32
        ends = np.cumsum(shares[1:])
        code[treated] = 1 + np.searchsorted(ends / ends[-1], lower, side="right")
    names = np.empty(len(arms), dtype=object)
    names[:] = arms
    return names[code]


def bucket(units: Any, *, salt: str, n_buckets: int = 10_000) -> IntArray:
    """Bucket of each unit, from the hash that :func:`assign` uses.

    Parameters
    ----------
    units : array-like of shape (n,)
        Identifiers: integers or strings.
    salt : str
        Name of the experiment, or of a layer of experiments that may not share units.
    n_buckets : int
        Buckets, 1 to 2**32; they are equally likely.

    Returns
    -------
    ndarray of shape (n,)
        0 to ``n_buckets - 1``, int64: ``floor(u * n_buckets)`` with the u of :func:`assign`. With
        one salt, the control of a weight w are the buckets below ``w * n_buckets``.

    Raises
    ------
    TypeError, ValueError
        As :func:`assign`, and if `n_buckets` is out of range.

    Examples
    --------
    >>> bucket(["ann", "bob"], salt="layer-1", n_buckets=100).tolist()
    [80, 21]
    """
    n_buckets = check_positive_int(n_buckets, "n_buckets")
    if n_buckets > 1 << 32:
        raise ValueError(f"n_buckets must be at most 2**32; got {n_buckets}")
    upper = unit_hash(units, salt) >> np.uint64(32)
    return ((upper * np.uint64(n_buckets)) >> np.uint64(32)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class SampleRatioTest(Result):
    """Whether the arms have the numbers of units that were planned.

    Attributes
    ----------
    counts : dict
        Units by arm.
    expected : dict
        Units that were expected, by arm.
    chi2 : float
        Pearson's statistic; infinite if an arm that should have none has some.
    df : int
        Its degrees of freedom.
    p_value : float
        Chance of counts at least as far off, were the plan kept.
    method : str
        "binomial", exact; "chi-squared"; or "binomials", one exact test an arm, the least p-value
        times their number.
    alpha : float
        Below it the experiment is called mismatched.
    mismatch : bool
        ``p_value < alpha``.
    message : str
        The same in a sentence.
    """

    counts: dict[Any, int]
    expected: dict[Any, float]
    chi2: float
    df: int
    p_value: float
    method: str
    alpha: float
    mismatch: bool
    message: str

    def _note(self) -> str:
        return self.message


def sample_ratio_test(
    counts: Mapping[Any, int] | Sequence[int] | IntArray,
    expected: Mapping[Any, float] | Sequence[float] | None = None,
    *,
    alpha: float = 0.001,
) -> SampleRatioTest:
    """Test whether the arms have the numbers of units that the assignment should have given.

    A mismatch says that units were lost or won in one arm more than in the other, by logging, a
    redirect, a filter or a bot: those that are left are not comparable, whatever the metrics say.

    Parameters
    ----------
    counts : mapping of arm to int, or sequence of int
        Units (not rows) of each arm.
    expected : mapping of arm to float, or sequence, optional
        Planned shares, at least 0, in any scale: weights, percents or counts. Default: equal.
    alpha : float
        Level of the alarm. It is low since every experiment is tested, perhaps every day.

    Returns
    -------
    SampleRatioTest

    Raises
    ------
    TypeError
        If a count is not a whole number or a share not a number.
    ValueError
        If there are fewer than two arms, no units, a negative number, arms that do not match, or
        `alpha` is not inside (0, 1).

    Notes
    -----
    Two arms with up to 100,000 units are tested by the exact two-sided binomial test, which gives
    no more false alarms than `alpha` says; with more units chi-squared is as good. Several arms
    are tested by chi-squared if 5 units or more are expected in each, else each on its own by the
    binomial test, with Bonferroni's correction.

    References
    ----------
    Fabijan, Gupchup, Gupta, Omhover, Qin, Vermeer and Dmitriev (2019), Diagnosing sample ratio
    mismatch in online controlled experiments, KDD.

    Examples
    --------
    >>> test = sample_ratio_test({"control": 5_200, "treatment": 4_800})
    >>> print(test.message)
    sample ratio mismatch, p = 6.6e-05: control has 5,200 units where 5,000 were expected
    >>> sample_ratio_test([1010, 8990], expected=[0.1, 0.9]).mismatch
    False
    """
    alpha = check_fraction(alpha, "alpha")
    named = _by_arm(counts, "counts")
    found = {arm: _count(value, f"counts[{arm!r}]") for arm, value in named.items()}
    if len(found) < 2:
        raise ValueError(f"counts must be of at least two arms; got {list(found)}")
    total = sum(found.values())
    if not total:
        raise ValueError("counts are all 0: no unit was assigned")
    planned = _shares(expected, list(found))
    chi2, p_value, method, df = _ratio_test(list(found.values()), planned, total)
    expects = {arm: share * total for arm, share in zip(found, planned, strict=True)}
    worst = max(found, key=lambda arm: _distance(found[arm], expects[arm]))
    where = f"{worst} has {found[worst]:,} units where {_rounded(expects[worst])} were expected"
    mismatch = p_value < alpha
    told = "sample ratio mismatch" if mismatch else "no sample ratio mismatch"
    return SampleRatioTest(
        counts=found,
        expected=expects,
        chi2=chi2,
        df=df,
        p_value=p_value,
        method=method,
        alpha=alpha,
        mismatch=mismatch,
        message=f"{told}, p = {p_value:.2g}: {where}",
    )


def _ratio_test(
    counts: list[int], planned: list[float], total: int
) -> tuple[float, float, str, int]:
    from scipy.special import chdtrc
    from scipy.stats import binomtest

    chi2 = sum(
        _distance(count, share * total) for count, share in zip(counts, planned, strict=True)
    )
    df = sum(share > 0 for share in planned) - 1
    if math.isinf(chi2):
        return chi2, 0.0, "chi-squared", max(df, 1)
    if not df:
        return 0.0, 1.0, "chi-squared", 0
    if len(counts) == 2 and total <= _EXACT_UP_TO:
        return chi2, float(binomtest(counts[0], total, planned[0]).pvalue), "binomial", df
    if len(counts) > 2 and min(share for share in planned if share > 0) * total < 5:
        least = min(
            float(binomtest(count, total, share).pvalue)
            for count, share in zip(counts, planned, strict=True)
            if share > 0
        )
        return chi2, min(1.0, least * (df + 1)), "binomials", df
    return chi2, float(chdtrc(df, chi2)), "chi-squared", df


def _distance(count: int, expected: float) -> float:
    if not expected:
        return math.inf if count else 0.0
    return (count - expected) ** 2 / expected


def _rounded(expected: float) -> str:
    """Return an expected count: whole where it is large, and not 1 where it is 1.33."""
    return f"{expected:.3g}" if expected < 100 else f"{round(expected):,}"


def _weights(weights: Any) -> tuple[list[str], npt.NDArray[np.float64]]:
    if not isinstance(weights, Mapping):
        raise TypeError(f"weights must be a mapping from arm to share; got {weights!r}")
    for arm in weights:
        if not isinstance(arm, str):
            raise TypeError(f"weights names the arm {arm!r} ({type(arm).__name__}), not a string")
    if len(weights) < 2:
        raise ValueError(f"weights must name at least two arms; got {list(weights)}")
    shares = [_share(share, f"weights[{arm!r}]") for arm, share in weights.items()]
    if abs(math.fsum(shares) - 1.0) > 1e-9:
        raise ValueError(f"weights must sum to 1; got {dict(weights)}, {math.fsum(shares)!r}")
    return list(weights), np.asarray(shares) / math.fsum(shares)


def _shares(expected: Any, arms: list[Any]) -> list[float]:
    if expected is None:
        return [1.0 / len(arms)] * len(arms)
    named = _by_arm(expected, "expected")
    if not isinstance(expected, Mapping) and len(named) == len(arms):
        named = dict(zip(arms, named.values(), strict=True))
    if set(named) != set(arms):
        raise ValueError(f"expected is of the arms {list(named)}; counts of {arms}")
    shares = [_share(named[arm], f"expected[{arm!r}]") for arm in arms]
    total = math.fsum(shares)
    if not total:
        raise ValueError("expected is 0 for all arms")
    return [share / total for share in shares]


def _share(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number; got {value!r} ({type(value).__name__})")
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be finite and at least 0; got {value!r}")
    return float(value)


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number; got {value!r} ({type(value).__name__})")
    if value < 0:
        raise ValueError(f"{name} must be at least 0; got {value!r}")
    return int(value)


def _by_arm(values: Any, name: str) -> dict[Any, Any]:
    if isinstance(values, Mapping):
        return dict(values)
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be a mapping from arm to number, or a list; got {values!r}")
    if hasattr(values, "items"):  # a Series, such as value_counts gives
        return dict(values.items())
    return dict(enumerate(values))
