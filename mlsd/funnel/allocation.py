"""Which counts are worth most: everything is scored once, and every cut replayed on the scores."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlsd._results import Result
from mlsd._stats import t_interval
from mlsd._types import BoolArray, FloatArray
from mlsd._validation import check_fraction, check_positive, check_positive_int, warn_undefined
from mlsd.funnel._batch import Batch, read_requests
from mlsd.funnel._deep import best_of, deep_scores
from mlsd.funnel._judged import Judged
from mlsd.funnel._replay import Stored, replay
from mlsd.funnel.report import check_reference, priced
from mlsd.funnel.stages import Filter, Rank, Stage
from mlsd.funnel.union import Union

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlsd.funnel.pipeline import Funnel

__all__ = ["Allocation", "allocate"]


@dataclass(frozen=True, slots=True, eq=False)
class Allocation(Result):
    """Counts for a budget, and what other counts would reach.

    Attributes
    ----------
    counts : dict of str to int
        The best counts within the budget, for :meth:`Funnel.with_counts`; of equal ones the
        cheapest.
    best : dict
        What they reach on these queries: cost, ms, the objective with lower and upper.
    frontier : DataFrame
        The counts that no others beat at once in price and objective, the cheapest first: one
        column a stage, then cost, ms, the objective, lower and upper, and gain, the rise of the
        objective for one more unit of the price since the row before.
    table : DataFrame
        All counts tried, in the same columns.
    next_step : DataFrame
        From the best counts, what the next count of the grid of each stage would bring: stage,
        k, objective, difference with lower and upper (paired by query), cost, ms, and gain for
        one unit of the price. The row with the highest gain is where the next millisecond, or
        the next unit of cost, is best spent.
    price : {"cost", "ms"}
        What the frontier is ordered by: ms if only milliseconds were budgeted.
    objective : str
        Name of the objective's column.
    n_queries, n_used : int
        Queries, and those over which the objective is a mean.
    budget, budget_ms : float or None
        What was to be kept.
    """

    counts: dict[str, int]
    best: dict[str, float]
    frontier: pd.DataFrame
    table: pd.DataFrame
    next_step: pd.DataFrame
    price: str
    objective: str
    n_queries: int
    n_used: int
    budget: float | None
    budget_ms: float | None

    def to_frame(self) -> pd.DataFrame:
        """Return the frontier."""
        return self.frontier.copy()

    def counts_within(self, price: float) -> dict[str, int]:
        """Return the best counts for another budget, read off the frontier.

        Parameters
        ----------
        price : float
            The most that a request may take: milliseconds or cost, as the attribute `price` says;
            where both were budgeted, the other is not looked at.

        Returns
        -------
        dict of str to int
            Counts by stage.

        Raises
        ------
        ValueError
            If nothing on the frontier is so cheap.
        """
        fits = self.frontier[self.frontier[self.price] <= price]
        if fits.empty:
            raise ValueError(
                f"price must be at least {self.frontier[self.price].min():.4g}, the {self.price} "
                f"of the cheapest counts; got {price!r}"
            )
        return {name: int(fits[name].iloc[-1]) for name in self.counts}

    def knee(self, share: float = 0.99) -> dict[str, int]:
        """Return the cheapest counts that reach a share of the highest objective of the frontier.

        Parameters
        ----------
        share : float, default 0.99
            Between 0 and 1.

        Returns
        -------
        dict of str to int
            Counts by stage. They may be above the budget.
        """
        share = check_fraction(share, "share")
        enough = self.frontier[self.objective] >= share * self.frontier[self.objective].max()
        row = self.frontier[enough].iloc[0]
        return {name: int(row[name]) for name in self.counts}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the objective against the price: all counts, the frontier and the best."""
        from mlsd import plotting

        return plotting.frontier(
            self.table, self.frontier, self.best, x=self.price, y=self.objective, ax=ax
        )

    def _note(self) -> str:
        """Say what was chosen."""
        counts = ", ".join(f"{name} {k}" for name, k in self.counts.items())
        kept = [f"cost {self.budget:g}"] if self.budget is not None else []
        kept += [f"{self.budget_ms:g} ms"] if self.budget_ms is not None else []
        known = np.isfinite(self.best["lower"])
        span = f"{self.best['lower']:.3f} to {self.best['upper']:.3f}, " if known else ""
        return (
            f"Best for {' and '.join(kept)}: {counts}, {self.objective} "
            f"{self.best[self.objective]:.3f} ({span}{self.n_used} of {self.n_queries} queries)."
        )

    def __str__(self) -> str:
        """Return the frontier, the best counts and the next steps."""
        shown = [
            table.dropna(axis="columns", how="all").to_string(index=False)
            for table in (self.frontier, self.next_step)
            if len(table)
        ]
        return "\n\n".join([*shown[:1], self._note(), *shown[1:]])


@dataclass(frozen=True, slots=True)
class _Grid:
    """The stages whose counts vary, and what to try."""

    stages: tuple[Stage, ...]
    """Up to the last Rank."""
    names: list[str]
    combinations: list[tuple[int, ...]]
    final_k: int | None

    @property
    def deepest(self) -> int:
        """The most candidates that any counts ask of the source."""
        return max(counts[0] for counts in self.combinations)


def allocate(
    funnel: Funnel,
    queries: Any,
    qrels: Any,
    *,
    budget: float | None,
    budget_ms: float | None,
    grid: Any,
    objective: str,
    reference: Any,
    min_relevance: float,
    level: float,
    batch_rows: int,
) -> Allocation:
    """See :meth:`Funnel.allocate`."""
    level = check_fraction(level, "level")
    plan = _read_grid(funnel.stages, grid)
    _check_budgets(funnel.stages, budget, budget_ms)
    depth = _read_objective(objective)
    check_reference(reference, funnel.stages)
    rows = check_positive_int(batch_rows, "batch_rows")
    frame, query_ids = read_requests(queries, least=1)
    judged = None
    if objective != "agreement":
        if qrels is None:
            raise ValueError(f"the objective {objective!r} needs qrels; 'agreement' needs none")
        judged = Judged.from_qrels(qrels, query_ids, min_relevance)
    if reference is not None and not isinstance(reference, str):
        raise TypeError(f"reference must be the name of a Rank; got {type(reference).__name__}")
    reference = reference or plan.stages[-1].name
    deepest: dict[str, int | None] = dict.fromkeys(plan.names[1:])
    wide = funnel._strict().with_counts(deepest | {plan.names[0]: plan.deepest})
    reached = np.empty((len(plan.combinations), len(frame)))
    handled: Any = 0.0
    start = 0
    for part, ids in wide._parts(frame, max(1, rows // plan.deepest)):
        found = wide._source(part, ids)
        stored = _lay_out(plan, found, part, ids, funnel, judged, reference, start)
        result = replay(stored, plan.combinations, plan.final_k, depth)
        reached[:, start : start + len(ids)] = result.reached
        handled = handled + result.handled.sum(axis=2)
        start += len(ids)
    return _choose(funnel, plan, reached, handled / len(frame), objective, budget, budget_ms, level)


def _read_grid(stages: tuple[Stage, ...], grid: Any) -> _Grid:
    """Return what to try, or say what is wrong with the grid."""
    rankers = [at for at, stage in enumerate(stages) if isinstance(stage, Rank)]
    if not rankers:
        raise ValueError("the funnel has no Rank: there is no cut to choose")
    used = stages[: rankers[-1] + 1]
    listwise = [stage.name for stage in used[1:] if not isinstance(stage, Rank | Filter)]
    if listwise:
        raise ValueError(
            f"{listwise} look at whole lists and stand before the last Rank, so that cuts cannot "
            "be replayed from one scoring"
        )
    vary = [s for s in used[:-1] if s.is_source or isinstance(s, Rank)]
    names = [stage.name for stage in vary]
    if isinstance(grid, Mapping):
        unknown = [name for name in grid if name not in names]
        if unknown:
            raise ValueError(f"grid names {unknown}, and the counts that vary are of {names}")
        per_stage = [grid.get(s.name, () if s.k is None else (s.k,)) for s in vary]
    elif isinstance(grid, Iterable) and not isinstance(grid, str):
        per_stage = [tuple(grid)] * len(vary)
    else:
        raise TypeError(f"grid must be counts, or counts by stage; got {grid!r}")
    tried = []
    for name, given in zip(names, per_stage, strict=True):
        if not isinstance(given, Iterable):
            raise TypeError(f"grid of {name!r} must be counts; got {given!r}")
        values = sorted({check_positive_int(k, f"grid of {name!r}") for k in given})
        if not values:
            raise ValueError(f"grid of {name!r} is empty: name its counts, as it has no k")
        tried.append(values)
    first = used[0]
    if isinstance(first, Union) and first.reserved and len(tried[0]) > 1:
        raise ValueError(
            f"at_least of {first.name!r} changes what is in the union with its count, so that "
            f"other counts cannot be replayed: give its own alone, grid={{{first.name!r}: "
            f"({first.k},), ...}}, or leave at_least out"
        )
    final_k = used[-1].k
    least = final_k or 1
    combinations = [
        counts
        for counts in itertools.product(*tried)
        if all(a >= b for a, b in itertools.pairwise(counts)) and counts[-1] >= least
    ]
    if not combinations:
        raise ValueError(
            f"grid has no counts that never rise from stage to stage and end at {least} or more, "
            f"which {used[-1].name!r} keeps; got {dict(zip(names, tried, strict=True))}"
        )
    return _Grid(used, names, combinations, final_k)


def _check_budgets(
    stages: tuple[Stage, ...], budget: float | None, budget_ms: float | None
) -> None:
    """Raise unless there is a budget, and every stage says what counts against it."""
    if budget is None and budget_ms is None:
        raise ValueError("give a budget of cost, or budget_ms")
    for name, value, field in (("budget", budget, "cost"), ("budget_ms", budget_ms, "latency")):
        if value is None:
            continue
        check_positive(value, name)
        if not priced(stages, field):
            lacking = [stage.name for stage in stages if getattr(stage, field) is None]
            hint = " (or with_latency(report))" if field == "latency" else ""
            raise ValueError(
                f"{name} needs the {field} of the source and of every Rank{hint}; "
                f"{lacking} have none"
            )


def _read_objective(objective: str) -> int | None:
    """Return the depth of an nDCG, and None for a share."""
    if objective in ("recall", "agreement"):
        return None
    match = re.fullmatch(r"ndcg@([1-9]\d*)", str(objective))
    if match is None:
        raise ValueError(f"objective must be 'recall', 'agreement' or 'ndcg@k'; got {objective!r}")
    return int(match[1])


def _lay_out(
    plan: _Grid,
    found: Batch,
    queries: pd.DataFrame,
    ids: pd.Index[Any],
    funnel: Funnel,
    judged: Judged | None,
    reference: str,
    start: int,
) -> Stored:
    """Return the scores of all stages as matrices: a row a query, the source's order across."""
    scored = deep_scores(plan.stages, found, queries, funnel._items)
    batch = scored.batch
    width = int(batch.lengths.max(initial=0))
    real = np.arange(width) < batch.lengths[:, None]

    def matrix(values: Any, fill: float, dtype: Any = np.float64) -> Any:
        laid = np.full(real.shape, fill, dtype=dtype)
        laid[real] = values
        return laid

    steps: list[tuple[str, FloatArray | BoolArray]] = []
    for stage in plan.stages[1:]:
        if isinstance(stage, Rank):
            steps.append(("rank", matrix(batch.columns[stage.name], -np.inf)))
        elif stage.name in scored.masks:
            steps.append(("filter", matrix(scored.masks[stage.name], False, np.bool_)))
    if judged is None:
        best = best_of(scored, reference, plan.final_k or 10)
        worth = np.ones(len(batch))
        worth[batch.rows_outside(best)] = 0.0
        n_wanted, ideal = best.lengths, np.zeros((len(ids), 0))
    else:
        worth = judged.grades(batch, ids)
        n_wanted, ideal = judged.of(start, start + len(ids))
    return Stored(matrix(worth, 0.0), steps, batch.lengths, n_wanted, ideal)


def _choose(
    funnel: Funnel,
    plan: _Grid,
    values: FloatArray,
    handled: FloatArray,
    objective: str,
    budget: float | None,
    budget_ms: float | None,
    level: float,
) -> Allocation:
    """Return the frontier and the best counts: `values` has a row a combination."""
    used = ~np.isnan(values[0])
    if not used.any():
        warn_undefined(f"{objective} is undefined: no query has anything to find", stacklevel=4)
    values = values[:, used]
    price = "cost" if budget is not None else "ms"
    table = pd.DataFrame(plan.combinations, columns=plan.names)
    cost, ms = _prices(funnel.stages, plan, handled)
    table = table.assign(cost=cost, ms=ms)
    spread = [t_interval(row, level=level) for row in values]
    table[objective] = [one.mean for one in spread]
    table["lower"] = [one.lower for one in spread]
    table["upper"] = [one.upper for one in spread]
    fits = np.ones(len(table), dtype=np.bool_)
    for name, limit in (("cost", budget), ("ms", budget_ms)):
        if limit is not None:
            fits &= (table[name] <= limit).to_numpy()
    if not fits.any():
        at = int(table[price].argmin())
        cheapest = {name: int(table[name].iloc[at]) for name in plan.names}
        raise ValueError(
            f"no counts of the grid fit the budget: the cheapest, {cheapest}, take a cost of "
            f"{table['cost'].iloc[at]:.4g} and {table['ms'].iloc[at]:.4g} ms"
        )
    ranked = table[fits].sort_values([objective, price], ascending=[False, True], kind="stable")
    best = int(ranked.index[0])
    columns = ["cost", "ms", objective, "lower", "upper"]
    return Allocation(
        counts={name: int(table[name].iloc[best]) for name in plan.names},
        best={name: float(table[name].iloc[best]) for name in columns},
        frontier=_frontier(table, price, objective),
        table=table,
        next_step=_next_steps(table, values, plan, best, price, objective, level),
        price=price,
        objective=objective,
        n_queries=used.size,
        n_used=int(used.sum()),
        budget=budget,
        budget_ms=budget_ms,
    )


def _prices(
    stages: Sequence[Stage], plan: _Grid, handled: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return cost and milliseconds of every combination; `handled` is stages by combinations."""
    n = handled.shape[1]
    cost, ms = np.zeros(n), np.zeros(n)
    # What comes after the last Rank handles what that lets through, whatever the counts.
    rest = [handled[-1] if plan.final_k is None else np.minimum(handled[-1], plan.final_k)]
    for stage in stages[len(plan.stages) :]:
        handled = np.vstack((handled, rest[-1][None]))
        rest.append(rest[-1] if stage.k is None else np.minimum(rest[-1], stage.k))
    for stage, items in zip(stages, handled, strict=True):
        cost += (stage.cost or 0.0) * items
        fixed, per_item = stage.latency or (0.0, 0.0)
        ms += fixed + per_item * items
    unknown = np.full(n, np.nan)
    return (
        cost if priced(stages, "cost") else unknown,
        ms if priced(stages, "latency") else unknown,
    )


def _frontier(table: pd.DataFrame, price: str, objective: str) -> pd.DataFrame:
    """Return the rows that no other beats in price and objective at once."""
    ordered = table.sort_values([price, objective], ascending=[True, False], kind="stable")
    highest = ordered[objective].cummax().shift(fill_value=-np.inf)
    frontier = ordered[ordered[objective] > highest].reset_index(drop=True)
    gain = frontier[objective].diff() / frontier[price].diff()
    return frontier.assign(gain=gain)


def _next_steps(
    table: pd.DataFrame,
    values: FloatArray,
    plan: _Grid,
    best: int,
    price: str,
    objective: str,
    level: float,
) -> pd.DataFrame:
    """Return what raising one count to its next value would bring."""
    own = plan.combinations[best]
    rows = []
    for at, name in enumerate(plan.names):
        larger = [
            row
            for row, counts in enumerate(plan.combinations)
            if counts[at] > own[at] and counts[:at] + counts[at + 1 :] == own[:at] + own[at + 1 :]
        ]
        if not larger:
            continue
        row = min(larger, key=lambda one: plan.combinations[one][at])
        change = t_interval(values[row] - values[best], level=level)
        more = {what: table[what].iloc[row] - table[what].iloc[best] for what in ("cost", "ms")}
        rows.append(
            {
                "stage": name,
                "k": plan.combinations[row][at],
                objective: table[objective].iloc[row],
                "difference": change.mean,
                "lower": change.lower,
                "upper": change.upper,
                **more,
                "gain": change.mean / more[price] if more[price] else np.nan,
            }
        )
    columns = ["stage", "k", objective, "difference", "lower", "upper", "cost", "ms", "gain"]
    return pd.DataFrame(rows, columns=columns).sort_values("gain", ascending=False)
