"""Numbers as a reader wants them in a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["count_of", "number", "number_on", "numbers", "percent", "short", "shorts"]

_MOST_DIGITS = 17  # more than that no float has


def number(value: float, digits: int = 4) -> str:
    """Return a value of the data: four digits, with commas, no exponent where none is needed.

    Examples
    --------
    >>> number(12.3456), number(1234567.0), number(-3.0), number(1e-7)
    ('12.35', '1,234,567', '-3', '1e-07')
    """
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1e4 and abs(value) < 1e15:
        decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
        return f"{value:,.{decimals}f}"
    return f"{value:.{digits}g}"


def numbers(*values: float) -> list[str]:
    """Return values of the data with as many digits as tell those apart that differ.

    Examples
    --------
    >>> numbers(1.0, 2.5), numbers(1e15, 1e15 + 5)
    (['1', '2.5'], ['1000000000000000', '1000000000000005'])
    """
    return _apart(number, 4, values)


def number_on(value: float, spread: float) -> str:
    """Return a value with as many decimals as a fiftieth of the spread needs.

    Examples
    --------
    >>> number_on(0.0063482, 1.0), number_on(1234.567, 30.0), number_on(5.0, 0.0)
    ('0.01', '1,234.6', '5')
    """
    if not (math.isfinite(value) and math.isfinite(spread) and spread > 0):
        return number(value)
    decimals = math.ceil(-math.log10(spread / 50))
    if decimals > 12 or abs(value) >= 1e15:
        return number(value)
    decimals = max(decimals, 0)
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"  # no negative zero


def percent(share: float) -> str:
    """Return a share in per cent, with the digits that a small one needs.

    Examples
    --------
    >>> percent(0.0312), percent(0.5), percent(0.00004), percent(0.0)
    ('3.1 %', '50 %', '0.004 %', '0 %')
    """
    if not math.isfinite(share):
        return "an unknown share"
    value = 100 * share
    if value in (0.0, 100.0):
        return f"{value:.0f} %"
    if 10 <= value < 99.95:
        return f"{value:.3g} %"
    if value >= 99.95:
        return f"{value:.2f} %" if value < 99.995 else "nearly 100 %"
    if value >= 1:
        return f"{value:.1f} %"
    return f"{value:.2g} %" if value >= 0.0001 else f"{value:.0e} %"


def count_of(count: int, total: int) -> str:
    """Return a count with its total and share.

    Examples
    --------
    >>> count_of(62, 2000)
    '62 of 2,000 values (3.1 %)'
    """
    share = f" ({percent(count / total)})" if total else ""
    return f"{count:,} of {total:,} values{share}"


def short(value: float, digits: int = 2) -> str:
    """Return an effect: two digits, no leading zero.

    Examples
    --------
    >>> short(0.134), short(-0.0912), short(2.31)
    ('.13', '-.091', '2.3')
    """
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.{digits}g}"
    if "e" in text:
        text = f"{value:.{digits - 2}e}" if abs(value) < 1e-3 else f"{value:,.0f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def shorts(*values: float) -> list[str]:
    """Return effects with as many digits as tell those apart that differ.

    Examples
    --------
    >>> shorts(0.8, -0.123), shorts(0.99, 0.9912), shorts(1.0, 0.99987)
    (['.8', '-.12'], ['.99', '.991'], ['1', '.9999'])
    """
    return _apart(short, 2, values)


def _apart(write: Callable[[float, int], str], digits: int, values: tuple[float, ...]) -> list[str]:
    different = len(set(values))
    for more in range(digits, _MOST_DIGITS):
        told = [write(value, more) for value in values]
        if len(set(told)) >= different:
            return told
    return [write(value, _MOST_DIGITS) for value in values]
