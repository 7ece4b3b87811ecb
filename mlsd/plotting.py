"""Results drawn with matplotlib: one function each, which takes an Axes or makes one.

A result's own ``plot`` method calls these. Colours and sizes are those of the active style, and
nothing is shown or saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mlsd._lazy import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlsd.drift import DriftReport

__all__ = [
    "drift_column",
    "drift_report",
    "frontier",
    "funnel",
    "intervals",
    "recall_by_stage",
    "reliability",
]


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
    _check_columns(frame, ["mean", "lower", "upper"])
    ax = _axes(ax)
    spread = [frame["mean"] - frame["lower"], frame["upper"] - frame["mean"]]
    names = [str(name) for name in frame.index]
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.errorbar(frame["mean"], names, xerr=spread, linestyle="none", marker="o", label=label)
    return ax


def funnel(
    names: Sequence[str],
    counts: Sequence[int | None],
    *,
    n_docs: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the stages of a funnel as bars from the widest down, on a logarithmic scale.

    Parameters
    ----------
    names : sequence of str
        The stages, the source first.
    counts : sequence of int or None
        How many candidates leave each at most; None for a stage without a count, whose bar is as
        wide as the one before and hatched.
    n_docs : int or None
        Documents in the collection: a bar on top, if it is known.
    ax : Axes or None
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        The one given, or the new one.

    Examples
    --------
    >>> ax = funnel(["words", "rank"], [1000, 10], n_docs=7300)
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['collection', 'words', 'rank']
    """
    labels = [*(["collection"] if n_docs else []), *names]
    given = [*([n_docs] if n_docs else []), *counts]
    widest = max((count for count in given if count), default=1)
    ax = _axes(ax)
    width = float(widest)
    for row, count in enumerate(given):
        width = width if count is None else float(count)
        hatch = "//" if count is None else None
        # Centred on a logarithmic axis, so that the bars together have the shape of a funnel.
        shown = max(width, 1.2)  # a bar of one candidate would have no width
        left = (widest / shown) ** 0.5
        ax.barh(row, left * (shown - 1), left=left, height=0.7, hatch=hatch, color="C0")
        text = "no cut" if count is None else f"{count:,}"
        ax.annotate(text, (widest, row), (6, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.set(xscale="log", xlim=(1, max(widest, 2)))
    ax.set_xticks([], minor=False)
    ax.set_xticks([], minor=True)
    ax.grid(visible=False)
    for side in ("bottom", "left"):
        ax.spines[side].set_visible(False)
    return ax


def recall_by_stage(stages: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the recall left after each stage, and on top of it what that stage lost.

    Parameters
    ----------
    stages : DataFrame
        The columns stage, recall and recall_lost: what ``FunnelReport.stages`` or
        ``mlsd.funnel.stage_report`` has.
    ax : Axes or None
        Where to draw; None makes a new figure.

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
    >>> stages = pd.DataFrame({"stage": ["words"], "recall": [0.6], "recall_lost": [0.4]})
    >>> recall_by_stage(stages).get_xlabel()
    'share of relevant documents'
    """
    _check_columns(stages, ["stage", "recall", "recall_lost"])
    ax = _axes(ax)
    names = [str(name) for name in stages["stage"]]
    recall, lost = stages["recall"].to_numpy(), stages["recall_lost"].to_numpy()
    ax.barh(names, recall, color="C0", label="left")
    ax.barh(names, lost, left=recall, color="C1", hatch="//", label="lost here")
    for row, share in enumerate(lost):
        if share >= 0.005:
            at = (recall[row] + share, row)
            ax.annotate(f"−{share:.2f}", at, (4, 0), textcoords="offset points", va="center")
    ax.invert_yaxis()
    ax.set(xlabel="share of relevant documents", xlim=(0, 1.12))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return ax


def frontier(
    table: pd.DataFrame,
    best_of: pd.DataFrame,
    best: Mapping[str, float],
    *,
    x: str,
    y: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw what counts reach against what they take: all tried, the frontier, and the choice.

    Parameters
    ----------
    table : DataFrame
        All that was tried: the columns `x` and `y`.
    best_of : DataFrame
        The frontier, in the same columns and perhaps lower and upper.
    best : mapping
        The choice: `x` and `y`.
    x, y : str
        Names of the columns of the price and of what it buys.
    ax : Axes or None
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        The one given, or the new one.

    Examples
    --------
    >>> table = pd.DataFrame({"cost": [1.0, 2.0, 3.0], "recall": [0.2, 0.5, 0.4]})
    >>> ax = frontier(table, table.head(2), {"cost": 2.0, "recall": 0.5}, x="cost", y="recall")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('cost', 'recall')
    """
    for frame in (table, best_of):
        _check_columns(frame, [x, y])
    ax = _axes(ax)
    ax.plot(table[x], table[y], linestyle="none", marker=".", color="0.65", label="tried")
    if {"lower", "upper"} <= set(best_of):
        ax.fill_between(best_of[x], best_of["lower"], best_of["upper"], alpha=0.2, step="post")
    ax.plot(best_of[x], best_of[y], marker="o", drawstyle="steps-post", label="frontier")
    ax.plot([best[x]], [best[y]], linestyle="none", marker="*", markersize=14, label="chosen")
    if table[x].max() > 20 * table[x].min() > 0:
        ax.set_xscale("log")
    ax.set(xlabel=x, ylabel=y)
    ax.legend()
    return ax


def drift_report(report: DriftReport, ax: Axes | None = None, *, most: int = 20) -> Axes:
    """Draw the effect of the worst check of each column with its 95 % interval, the worst on top.

    Parameters
    ----------
    report : DriftReport
        What ``DriftMonitor.compare`` returned. Rules have no effect, and are left out.
    ax : Axes or None
        Where to draw; None makes a new figure.
    most : int
        Columns and pairs of columns that are drawn at most. Of the correlations only those with an
        alarm are.

    Returns
    -------
    Axes
        The one given, or the new one. Dotted lines are at the least effect that pages.

    Examples
    --------
    >>> import numpy as np
    >>> from mlsd.drift import DriftMonitor
    >>> rng = np.random.default_rng(0)
    >>> monitor = DriftMonitor().fit(pd.DataFrame({"age": rng.normal(40, 9, 5000)}))
    >>> ax = drift_report(monitor.compare(pd.DataFrame({"age": rng.normal(50, 9, 500)})))
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['age: distribution (d)']
    """
    table = report.to_frame()
    table = table[table["effect"].notna() & (table["verdict"] != "unchecked")]
    table = table[(table["check"] != "correlation") | table["verdict"].isin(["page", "watch"])]
    order = table["verdict"].map({"page": 0, "watch": 1, "ok": 2})
    table = table.assign(_order=order).sort_values(
        ["_order", "bound"], ascending=[True, False], kind="stable"
    )
    table = table.drop_duplicates(["segment", "column"]).head(most)
    ax = _axes(ax)
    labels = [
        f"{column}: {check} ({measure})" + (f" in {segment}" if segment else "")
        for column, check, measure, segment in zip(
            table["column"], table["check"], table["measure"], table["segment"], strict=True
        )
    ]
    looks = (("page", "C1", "D"), ("watch", "C2", "s"), ("ok", "C0", "o"))
    for verdict, color, marker in looks:
        at = (table["verdict"] == verdict).to_numpy()
        rows = table[at]
        if rows.empty:
            continue
        spread = [rows["effect"] - rows["lo"], rows["hi"] - rows["effect"]]
        places = [place for place, here in enumerate(at) if here]
        ax.errorbar(
            rows["effect"],
            places,
            xerr=spread,
            linestyle="none",
            marker=marker,
            color=color,
            label="fine" if verdict == "ok" else verdict,
        )
    for end in (-report.min_effect, report.min_effect):
        ax.axvline(end, linestyle=":", color="0.5")
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set(xlabel="effect, 95 % interval")
    if labels:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return ax


def drift_column(report: DriftReport, column: str, ax: Axes | None = None) -> Axes:
    """Draw the reference and the live rows of a column on the same cells, NULL apart.

    Parameters
    ----------
    report : DriftReport
        What ``DriftMonitor.compare`` returned.
    column : str
        A column, "target" or "prediction". Of one with times there is nothing but its NULLs.
    ax : Axes or None
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        The one given, or the new one.

    Raises
    ------
    ValueError
        If the reference or the live rows lack the column.

    Examples
    --------
    >>> import numpy as np
    >>> from mlsd.drift import DriftMonitor
    >>> rng = np.random.default_rng(0)
    >>> monitor = DriftMonitor().fit(pd.DataFrame({"age": rng.normal(40, 9, 5000)}))
    >>> report = monitor.compare(pd.DataFrame({"age": rng.normal(50, 9, 500)}))
    >>> drift_column(report, "age").get_xlabel()
    'age'
    """
    from mlsd.drift._bars import bars_of, both_columns

    pair = both_columns(report, column)
    if pair is None:
        both = [name for name in report.reference.names if name in report.live.names]
        raise ValueError(
            f"column must be in the reference and in the live rows: {both}; got {column!r}"
        )
    bars = bars_of(*pair)
    ax = _axes(ax)
    if bars.numeric and bars.ref.size:
        _draw_axis(bars, ax)
        ax.set(xlabel=column, ylabel="share of rows")
    else:
        items = [*zip(bars.labels, bars.ref, bars.live, strict=True), *bars.extra]
        places = range(len(items))
        old, new = [item[1] for item in items], [item[2] for item in items]
        ax.barh([place - 0.2 for place in places], old, 0.4, color="0.75", label="reference")
        ax.barh([place + 0.2 for place in places], new, 0.4, color="C0", label="live")
        ax.set_yticks(places, [item[0] for item in items])
        ax.invert_yaxis()
        ax.set(xlabel="share of rows", title=column)
        ax.set_xlim(left=0)
    ax.legend()
    return ax


def _draw_axis(bars: Any, ax: Any) -> None:
    """Draw bars side by side, and what is beyond either end or NULL beside them."""
    size = bars.ref.size
    cells = range(size + 1)
    ax.stairs(bars.ref, cells, fill=True, color="0.75", label="reference")
    ax.stairs(bars.live, cells, color="C0", linewidth=2, label="live")
    gap = max(size / 6, 0.6)
    ticks = {0.0: bars.labels[0], float(size): bars.labels[1]}
    left, right = -gap, size + gap
    for name, old, new in bars.extra:
        at = right if name == "above" else left
        right, left = (right + gap, left) if name == "above" else (right, left - gap)
        ax.bar([at - gap / 4], [old], gap / 2, color="0.75")
        ax.bar([at + gap / 4], [new], gap / 2, edgecolor="C0", facecolor="none", linewidth=2)
        ticks[at] = name
    ax.set_xticks(list(ticks), list(ticks.values()))


def _check_columns(frame: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in frame]
    if missing:
        raise ValueError(f"frame lacks the columns {missing}; it has {list(frame)}")
