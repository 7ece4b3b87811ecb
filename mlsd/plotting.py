"""Results drawn with matplotlib: one function each, which takes an Axes or makes one.

A result's own ``plot`` method calls these. Colours and sizes are those of the active style, and
nothing is shown or saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from mlsd._lazy import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["intervals", "reliability"]


class _Tabular(Protocol):
    def to_frame(self) -> pd.DataFrame: ...


def _axes(ax: Axes | None) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots()[1]


def reliability(curve: _Tabular, ax: Axes | None = None, *, label: str | None = None) -> Axes:
    """Draw observed rates against mean predictions, with their intervals, and the diagonal.

    Parameters
    ----------
    curve : ReliabilityCurve
        What ``mlsd.metrics.reliability_curve`` returned; its bins without rows are left out.
    ax : Axes or None
        Where to draw; None makes a new figure.
    label : str or None
        The name of the curve in a legend.

    Returns
    -------
    Axes
        The one given, or the new one.

    Examples
    --------
    >>> from mlsd import metrics
    >>> curve = metrics.reliability_curve([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.9], n_bins=2)
    >>> reliability(curve).get_ylabel()
    'observed rate'
    """
    ax = _axes(ax)
    bins = curve.to_frame()
    bins = bins[bins["n"] > 0]
    predicted, observed = bins["mean_predicted"], bins["observed"]
    if not any(line.get_gid() == "diagonal" for line in ax.lines):
        ax.axline((0, 0), slope=1, linestyle=":", color="0.5", gid="diagonal")
    spread = [observed - bins["lower"], bins["upper"] - observed]
    ax.errorbar(predicted, observed, yerr=spread, marker="o", label=label)
    ax.set(xlabel="mean prediction", ylabel="observed rate")
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    return ax


def intervals(frame: pd.DataFrame, ax: Axes | None = None, *, label: str | None = None) -> Axes:
    """Draw one dot a row with its interval, the first row at the top.

    Parameters
    ----------
    frame : DataFrame
        The columns mean, lower and upper; the index names the rows. What
        ``RankingResult.confidence_interval`` returns.
    ax : Axes or None
        Where to draw; None makes a new figure. The rows of several frames in one Axes are matched
        by name.
    label : str or None
        The name of the dots in a legend.

    Returns
    -------
    Axes
        The one given, or the new one.

    Raises
    ------
    ValueError
        If a column is missing.

    Examples
    --------
    >>> frame = pd.DataFrame({"mean": [0.5], "lower": [0.4], "upper": [0.6]}, index=["ndcg@10"])
    >>> [tick.get_text() for tick in intervals(frame).get_yticklabels()]
    ['ndcg@10']
    """
    missing = [name for name in ("mean", "lower", "upper") if name not in frame]
    if missing:
        raise ValueError(f"frame lacks the columns {missing}; it has {list(frame)}")
    ax = _axes(ax)
    spread = [frame["mean"] - frame["lower"], frame["upper"] - frame["mean"]]
    names = [str(name) for name in frame.index]
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.errorbar(frame["mean"], names, xerr=spread, linestyle="none", marker="o", label=label)
    return ax
