"""Small drawings in SVG: two histograms on the same cells, and an effect with its interval.

Colours are attributes, so that they survive where styles do not; the style sheet overrides them in
the dark. The reference is an area, live rows are a line: nobody needs the colours to tell them
apart.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from mlsd._types import FloatArray
from mlsd.drift._bars import Bars, bars_of
from mlsd.drift._words import percent

if TYPE_CHECKING:
    from mlsd.drift.profile import ColumnProfile

__all__ = ["effect_bar", "histogram"]

_WIDTH, _TOP, _HEIGHT, _FOOT = 360, 16, 96, 18
_SLOT = 44  # width of a bar beside the axis
_ROW = 20  # height of a category
_LONGEST = 18  # characters of a category's name
_AREA = 'class="r" fill="#c3ccd6"'
_LINE = 'class="l" fill="none" stroke="#0b5cad" stroke-width="2"'
_BAR = 'class="v" fill="#0b5cad"'


def histogram(before: ColumnProfile, after: ColumnProfile) -> str:
    """Return both columns as one drawing, or nothing where there is nothing to draw."""
    bars = bars_of(before, after)
    if not bars.ref.size and not bars.extra:
        return ""
    drawing = _axis(bars) if bars.numeric else _rows(bars)
    return drawing.replace("<svg ", f'<svg role="img" aria-label="{_said(before.name, bars)}" ', 1)


def effect_bar(effect: float, lo: float, hi: float, min_effect: float) -> str:
    """Return the size of an effect as a bar, its interval as a line, the least effect as a tick.

    The scale is that of the square root, up to 1.
    """
    if not math.isfinite(effect):
        return ""
    ends = sorted((abs(lo), abs(hi)))
    if lo <= 0 <= hi:
        ends[0] = 0.0
    at, low, high, tick = (100 * math.sqrt(min(x, 1.0)) for x in (abs(effect), *ends, min_effect))
    line = f'<path class="i" stroke="#1b1f24" d="M{low:.0f} 4H{high:.0f}"/>' if high >= low else ""
    return (
        '<svg class="b" viewBox="0 0 100 8" aria-hidden="true">'
        f'<path class="v" fill="#0b5cad" d="M0 1H{at:.0f}V7H0Z"/>{line}'
        f'<path class="t" stroke="#57606a" d="M{tick:.0f} 0V8"/></svg>'
    )


def _said(name: str, bars: Bars) -> str:
    """Return in words what the drawing shows."""
    moved = [f"{what} {percent(old)}, live {percent(new)}" for what, old, new in bars.extra]
    if not bars.numeric and bars.ref.size:
        at = int(np.argmax(np.abs(bars.live - bars.ref)))
        moved.insert(0, f"{bars.labels[at]} {percent(bars.ref[at])}, live {percent(bars.live[at])}")
    elif bars.ref.size:
        moved.insert(0, f"values from {bars.labels[0]} to {bars.labels[1]}")
    return escape(f"{name}, reference against live: {'; '.join(moved)}")


def _text(x: float, y: float, text: str, anchor: str = "middle", *, longest: int = 99) -> str:
    """Return a text; of one that is too long the whole is shown on request."""
    shown = escape(text)
    if len(text) > longest:
        shown = f"{escape(text[: longest - 1])}…<title>{shown}</title>"
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{shown}</text>'


def _open(height: float) -> str:
    return f'<svg class="h" viewBox="0 0 {_WIDTH} {height:g}">'


def _axis(bars: Bars) -> str:
    left = [item for item in bars.extra if item[0] != "above"]
    right = [item for item in bars.extra if item[0] == "above"]
    start, stop = _SLOT * len(left), _WIDTH - _SLOT * len(right)
    start, stop = start + 6 * bool(left), stop - 6 * bool(right)
    base = _TOP + _HEIGHT
    top = float(max(bars.ref.max(initial=0.0), bars.live.max(initial=0.0))) or 1.0
    parts = [_open(base + _FOOT)]
    if bars.ref.size:
        x = np.linspace(start, stop, bars.ref.size + 1)
        parts.append(f'<path {_AREA} d="{_steps(x, bars.ref / top, base)}Z"/>')
        parts.append(f'<path {_LINE} d="{_steps(x, bars.live / top, base)}"/>')
        parts.append(_text(start, base + 14, bars.labels[0], "start"))
        parts.append(_text(stop, base + 14, bars.labels[1], "end"))
        parts.append(_text(stop, 10, f"highest {percent(top)}", "end"))
    if bars.axis and bars.ref.size != 1:
        parts.append(_text(start, 10, bars.axis, "start"))
    parts.append(f'<path class="a" stroke="#57606a" d="M{start:g} {base}H{stop:g}"/>')
    for x0, items in ((0.0, left), (stop + 6.0, right)):
        for slot, (name, old, new) in enumerate(items):
            parts.append(_beside(x0 + slot * _SLOT, name, old, new, top, base))
    return "".join(parts) + "</svg>"


def _steps(x: FloatArray, heights: FloatArray, base: float) -> str:
    """Return the outline of bars that touch, from the base to the base."""
    y = base - np.clip(heights, 0.0, 1.0) * _HEIGHT
    steps = "".join(f"V{top:.1f}H{right:.1f}" for top, right in zip(y, x[1:], strict=True))
    return f"M{x[0]:.1f} {base:g}{steps}V{base:g}"


def _beside(x: float, name: str, old: float, new: float, top: float, base: float) -> str:
    """Return a pair of bars on the scale of the others, cut off at the top, with the live share."""
    tall = [min(share / top, 1.0) * _HEIGHT for share in (old, new)]
    return (
        f'<path {_AREA} d="M{x + 4:g} {base:g}v{-tall[0]:.1f}h16V{base:g}Z"/>'
        f'<path {_LINE} d="M{x + 22:g} {base:g}v{-tall[1]:.1f}h16V{base:g}Z"/>'
        + _text(x + 21, base - max(tall) - 4, percent(new).replace(" ", ""))
        + _text(x + 21, base + 14, name)
    )


def _rows(bars: Bars) -> str:
    items = [*zip(bars.labels, bars.ref, bars.live, strict=True), *bars.extra]
    # The rest of many categories is told in numbers: its bar would dwarf those of the others.
    drawn = [item for at, item in enumerate(items) if at != bars.rest]
    top = float(max((max(old, new) for _, old, new in drawn), default=0.0)) or 1.0
    parts = [_open(_ROW * len(items))]
    for row, (label, old, new) in enumerate(items):
        y = row * _ROW
        parts.append(_text(118, y + 14, label, "end", longest=_LONGEST))
        if row != bars.rest:
            parts.append(f'<path {_AREA} d="M124 {y + 3}h{120 * old / top:.1f}v7H124Z"/>')
            parts.append(f'<path {_BAR} d="M124 {y + 11}h{120 * new / top:.1f}v5H124Z"/>')
        parts.append(_text(360, y + 14, f"{percent(old)} → {percent(new)}", "end"))
    return "".join(parts) + "</svg>"
