"""Book support, without a promise of stability: computed numbers, checked and handed to the prose.

A chapter computes a result, says with :func:`number` what it should be, and the text shows it with
``{glue:text}``. No result is typed by hand. In a notebook without MyST-NB the checks still run.
"""

from __future__ import annotations

import importlib.util
import math
import numbers
from typing import Any

__all__ = ["number", "text", "timing"]

_GLUED_DIGITS = 10


def number(name: str, value: Any, *, about: float, within: float) -> None:
    """Check a computed number against what the author saw, then hand it to the prose.

    Parameters
    ----------
    name : str
        The name by which ``{glue:text}`` shows it; unique on its page.
    value : int or float
        The computed scalar; NumPy scalars and arrays of one element count.
    about : float
        What the number is expected to be.
    within : float
        By how much it may differ, at most; 0 for exact.

    Raises
    ------
    AssertionError
        If `value` is not within `within` of `about`; NaN never is.
    TypeError
        If `value` is not one real number.
    ValueError
        If `within` is negative or not finite.

    Notes
    -----
    A float is glued with ten significant digits: more than any text prints, and few enough that
    the order of a sum on another processor leaves a recorded notebook as it was.

    Examples
    --------
    >>> number("recall", 0.4449, about=0.445, within=0.001)
    >>> number("recall", 0.5, about=0.445, within=0.001)
    Traceback (most recent call last):
        ...
    AssertionError: recall is 0.5, expected 0.445 within 0.001
    """
    if not (math.isfinite(within) and within >= 0):
        raise ValueError(f"within must be finite and not negative; got {within!r}")
    scalar = _as_python(name, value)
    if not abs(scalar - about) <= within:
        raise AssertionError(f"{name} is {scalar!r}, expected {about!r} within {within!r}")
    _glue(name, scalar)


def timing(name: str, value: Any) -> None:
    """Hand a measured time to the prose; it has no expectation, as machines differ.

    Only for cells tagged ``nbval-ignore-output``: the recorded value never comes back.

    Parameters
    ----------
    name : str
        The name by which ``{glue:text}`` shows it; unique on its page.
    value : float
        The measurement, finite and not negative.

    Raises
    ------
    TypeError
        If `value` is not one real number.
    ValueError
        If `value` is negative or not finite.

    Examples
    --------
    >>> timing("fit_seconds", 0.12)
    """
    scalar = _as_python(name, value)
    if not (math.isfinite(scalar) and scalar >= 0):
        raise ValueError(f"{name} must be finite and not negative; got {scalar!r}")
    _glue(name, scalar)


def text(name: str, value: str, *, expected: str) -> None:
    """Check a computed string, such as the winner's name, then hand it to the prose.

    Parameters
    ----------
    name : str
        The name by which ``{glue:text}`` shows it; unique on its page.
    value : str
        The computed string.
    expected : str
        What it must be, exactly.

    Raises
    ------
    AssertionError
        If the two differ.
    TypeError
        If `value` is not a string.

    Examples
    --------
    >>> text("winner", "BM25", expected="BM25")
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string; got {value!r} ({type(value).__name__})")
    if value != expected:
        raise AssertionError(f"{name} is {value!r}, expected {expected!r}")
    _glue(name, str(value))


def _as_python(name: str, value: Any) -> int | float:
    """Return a plain int or float: np.float64's repr defeats the format of ``{glue:text}``."""
    if getattr(value, "size", None) == 1 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be one real number; got {value!r} ({type(value).__name__})")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def _glue(name: str, value: int | float | str) -> None:
    """Glue `value` if this is a notebook that MyST-NB reads; a plain one needs only the check."""
    if importlib.util.find_spec("myst_nb") is None or importlib.util.find_spec("IPython") is None:
        return
    from IPython.core.getipython import get_ipython

    if get_ipython() is None:
        return
    from myst_nb import glue

    if isinstance(value, float):
        value = float(f"{value:.{_GLUED_DIGITS}g}")
    glue(name, value, display=False)
