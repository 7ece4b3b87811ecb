"""Floor 0: random draws that are a function of what they are for, not of what was drawn before.

A generator hands out a stream: one draw more, anywhere, changes all that follow. Here each draw is
a hash of (seed, component, keys), such as ("click", user, day, request, place). So a chunk can be
computed by itself and in any order, a change of one component leaves the others as they were, and
two worlds under two policies share the draws wherever they meet.

The hash chains the output function of SplitMix64 over the keys.

References
----------
Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators", OOPSLA,
doi:10.1145/2714064.2660195. Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3",
SC11, doi:10.1145/2063384.2063405, for generators by counter.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._types import FloatArray, IntArray

__all__ = ["check_seed", "keyed_bits", "keyed_normal", "keyed_poisson", "keyed_uniform"]

UIntArray = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_ONE = np.uint64(0x3FF0000000000000)  # the bits of 1.0: the 52 below them are the fraction
_HALF_STEP = 2.0**-53


def check_seed(random_state: object, name: str = "random_state") -> int:
    """Return a seed from 0 to 2⁶⁴ - 1, or raise TypeError or ValueError."""
    if isinstance(random_state, bool) or not isinstance(random_state, (int, np.integer)):
        raise TypeError(
            f"{name} must be an integer, so that the same world can be made again; "
            f"got {random_state!r} ({type(random_state).__name__})"
        )
    if not 0 <= random_state < 2**64:
        raise ValueError(f"{name} must lie between 0 and 2**64 - 1; got {random_state!r}")
    return int(random_state)


@lru_cache(maxsize=1024)
def _start(seed: int, component: str) -> int:
    text = f"{seed}:{component}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def keyed_bits(seed: int, component: str, *keys: Any) -> UIntArray:
    """Return 64 random bits for each combination of the keys.

    Parameters
    ----------
    seed : int
        Of the world.
    component : str
        What the draw is for; other components are independent of it.
    *keys : int or array of int
        Broadcast against each other. Coarse keys first: a key costs as many operations as the
        broadcast of it and those before it has elements.

    Returns
    -------
    ndarray of uint64
        Of the keys' common shape; shape () without keys.
    """
    state: UIntArray = np.full(1, _start(seed, component), dtype=np.uint64)
    shape: tuple[int, ...] = ()
    for key in keys:
        array = np.asarray(key)
        shape = np.broadcast_shapes(shape, array.shape)
        array = np.atleast_1d(array).astype(np.uint64, copy=False)
        state = _mixed(state + (array + np.uint64(1)) * _GOLDEN)
    return state.reshape(shape)


def _mixed(z: UIntArray) -> UIntArray:
    """Return SplitMix64's finaliser of a fresh array, in its memory."""
    shifted = z >> np.uint64(30)
    z ^= shifted
    z *= _FIRST
    np.right_shift(z, np.uint64(27), out=shifted)
    z ^= shifted
    z *= _SECOND
    np.right_shift(z, np.uint64(31), out=shifted)
    z ^= shifted
    return z


def keyed_uniform(seed: int, component: str, *keys: Any) -> FloatArray:
    """Return uniform numbers strictly between 0 and 1, one for each combination of the keys.

    52 random bits and a half: the odd multiples of 2⁻⁵³, so neither 0 nor 1 is ever drawn.

    Examples
    --------
    >>> from mlsd._keyed import keyed_uniform
    >>> keyed_uniform(0, "click", [3, 4], 7).round(4).tolist()
    [0.3705, 0.4806]
    """
    bits = keyed_bits(seed, component, *keys)
    if not bits.ndim or not keys:
        bits = bits.copy()
    bits >>= np.uint64(12)
    bits |= _ONE
    values = bits.view(np.float64)
    values -= 1.0 - _HALF_STEP
    return values


def keyed_normal(seed: int, component: str, *keys: Any) -> FloatArray:
    """Return standard normal numbers, one for each combination of the keys, by the inverse cdf."""
    from scipy.special import ndtri

    return np.asarray(ndtri(keyed_uniform(seed, component, *keys)), dtype=np.float64)


def keyed_poisson(mean: Any, seed: int, component: str, *keys: Any) -> IntArray:
    """Return Poisson counts, by the inverse cdf: with the same keys a larger mean draws no less."""
    return poisson_quantile(keyed_uniform(seed, component, *keys), np.asarray(mean, np.float64))


def poisson_quantile(uniform: FloatArray, mean: FloatArray) -> IntArray:
    """Return the least count whose cumulative probability reaches `uniform`."""
    from scipy.special import pdtr, pdtrik

    uniform, mean = np.broadcast_arrays(uniform, mean)
    count = np.zeros(uniform.shape)
    some = uniform > np.exp(-mean)
    if some.any():
        u, m = uniform[some], mean[some]
        k = np.ceil(pdtrik(u, m))
        # The inverse is a root search: it may be off by one where it meets an integer.
        k = np.where(pdtr(np.maximum(k - 1, 0), m) >= u, np.maximum(k - 1, 0), k)
        count[some] = np.where(pdtr(k, m) < u, k + 1, k)
    return count.astype(np.int64)
