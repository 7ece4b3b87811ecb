"""The ranking metrics: one function each on the places of the hits, and the table that names them.

Equal scores are settled exactly: every value is the mean over all orders of the tied documents, in
closed form. In a tie group let g documents stand strictly above, e be its size, r the relevant in
it and p the relevant above it.

Adding a metric: one function ``(hits, k, options) -> one value a query, nan where undefined`` and
one line in ``METRICS``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from mlsd._groups import positions_in_runs
from mlsd._types import FloatArray
from mlsd.metrics._hits import Hits, Options, first_hit_probability
from mlsd.metrics._user_models import err, rbp, rbp_residual

__all__ = ["METRICS", "Measure", "Metric", "parse_measures"]

Kernel = Callable[[Hits, "int | None", Options], FloatArray]


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Return the ratio, nan where the denominator is 0, and no rounding above 1."""
    positive = denominator > 0
    ratio = np.minimum(numerator / np.where(positive, denominator, 1.0), 1.0)
    return np.where(positive, ratio, np.nan)


def _if_relevant(values: FloatArray, hits: Hits) -> FloatArray:
    return np.where(hits.n_relevant > 0, values, np.nan)


def _hits_at(hits: Hits, k: FloatArray) -> FloatArray:
    """Return the expected number of relevant documents in the top `k` (one value a query)."""
    query, above, tied = (array[hits.relevant] for array in (hits.query, hits.above, hits.tied))
    return hits.sum_by_query(query, np.clip((k[query] - above) / tied, 0.0, 1.0))


def _cutoff(hits: Hits, k: int | None) -> FloatArray:
    return np.full(hits.n_queries, np.inf if k is None else k, dtype=np.float64)


def ndcg(hits: Hits, k: int | None, options: Options) -> FloatArray:
    """DCG over the DCG of the ideal order of all judgements, discount ``1 / log2(place + 1)``."""
    longest = int(max(hits.n_shown.max(initial=0), hits.ideal_place.max(initial=-1) + 1))
    depth = longest if k is None else min(k, longest)
    discount = np.zeros(longest + 1)
    discount[:depth] = 1.0 / np.log2(np.arange(2, depth + 2))
    cumulative = np.concatenate(([0.0], np.cumsum(discount)))
    spread = (cumulative[hits.above + hits.tied] - cumulative[hits.above]) / hits.tied
    # Without a tie, the discount itself: the difference of two sums would lose digits.
    expected = np.where(hits.tied == 1, discount[hits.above], spread)
    dcg = hits.sum_by_query(hits.query, hits.gain * expected)
    ideal = hits.sum_by_query(hits.ideal_query, hits.ideal_gain * discount[hits.ideal_place])
    return _ratio(dcg, ideal)


def average_precision(hits: Hits, k: int | None, options: Options) -> FloatArray:
    """Precision at each relevant document, summed over the top k, over all R relevant ones.

    With `normalize` "min(R,k)" over as many as can be in the top k.
    A tie group adds the sum over i of ``(r / e) (p + 1 + (i - 1)(r - 1)/(e - 1)) / (g + i)``.
    """
    groups = hits.groups
    shown = groups.tied if k is None else np.clip(k - groups.above, 0, groups.tied)
    which = np.repeat(np.arange(shown.size), shown)
    before = positions_in_runs(shown)
    share = (groups.relevant / groups.tied)[which]
    # Of the others in the group, the share that is relevant; none in a group of one.
    others = ((groups.relevant - 1) / np.maximum(groups.tied - 1, 1))[which]
    found = groups.relevant_before[which] + 1 + before * others
    terms = share * found / (groups.above[which] + before + 1)
    most = hits.n_relevant
    if options.normalize == "min(R,k)" and k is not None:
        most = np.minimum(most, k)
    return _ratio(hits.sum_by_query(groups.query[which], terms), most.astype(np.float64))


def _first_hit(hits: Hits, k: int | None, *, reciprocal: bool) -> FloatArray:
    """Return the chance of a hit in the top k, or the mean of 1 over the place of the first."""
    groups = hits.groups
    first = np.flatnonzero(groups.relevant_before == 0)
    tied, above = groups.tied[first], groups.above[first]
    which = np.repeat(np.arange(first.size), tied)
    place = above[which] + positions_in_runs(tied) + 1
    chance = first_hit_probability(tied, groups.relevant[first])
    if k is not None:
        chance = np.where(place <= k, chance, 0.0)
    value = hits.sum_by_query(groups.query[first][which], chance / place if reciprocal else chance)
    return _if_relevant(np.minimum(value, 1.0), hits)


def reciprocal_rank(hits: Hits, k: int | None, options: Options) -> FloatArray:
    """One over the place of the first relevant document; 0 if it is not in the top k."""
    return _first_hit(hits, k, reciprocal=True)


def hit_rate(hits: Hits, k: int | None, options: Options) -> FloatArray:
    """1 if a relevant document is in the top k, else 0."""
    return _first_hit(hits, k, reciprocal=False)


def recall(hits: Hits, k: int | None, options: Options) -> FloatArray:
    """Relevant documents in the top k, over all relevant ones."""
    return _ratio(_hits_at(hits, _cutoff(hits, k)), hits.n_relevant.astype(np.float64))


def precision(hits: Hits, k: int | None, options: Options) -> FloatArray:
    """Relevant documents in the top k, over k, however short the list."""
    return _if_relevant(_hits_at(hits, _cutoff(hits, k)) / _cutoff(hits, k), hits)


def r_precision(hits: Hits, k: int | None, options: Options) -> FloatArray:
    """Relevant documents in the top R, over R, the number of relevant ones."""
    wanted = hits.n_relevant.astype(np.float64)
    return _ratio(_hits_at(hits, wanted), wanted)


def judged(hits: Hits, k: int | None, options: Options) -> FloatArray:
    """Judged documents in the top k, over the documents there; nan if nothing was shown."""
    shown = np.minimum(hits.n_shown, _cutoff(hits, k))
    share = np.clip((shown[hits.query] - hits.above) / hits.tied, 0.0, 1.0)
    return _ratio(hits.sum_by_query(hits.query, share), shown)


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table: the function, its cut-off, and what leaves it undefined."""

    kernel: Kernel
    cutoff: str
    """"optional", "required" or "none"."""
    needs_relevant: bool = True
    """Whether it is a query without a relevant document that is undefined."""


METRICS = {
    "ndcg": Metric(ndcg, "optional"),
    "map": Metric(average_precision, "optional"),
    "mrr": Metric(reciprocal_rank, "optional"),
    "recall": Metric(recall, "optional"),
    "precision": Metric(precision, "required"),
    "hit_rate": Metric(hit_rate, "optional"),
    "r_precision": Metric(r_precision, "none"),
    "err": Metric(err, "optional"),
    "rbp": Metric(rbp, "optional"),
    "rbp_residual": Metric(rbp_residual, "optional", needs_relevant=False),
    "judged": Metric(judged, "optional", needs_relevant=False),
}

_NAME = re.compile(r"(?P<name>[a-z_]+)(?:@(?P<k>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric with its cut-off, as a caller names it: ``ndcg@10``."""

    label: str
    metric: Metric
    k: int | None

    def __call__(self, hits: Hits, options: Options) -> FloatArray:
        """Return one value a query."""
        return self.metric.kernel(hits, self.k, options)


def parse_measures(names: str | Iterable[str]) -> list[Measure]:
    """Return the measures of these names, or raise with the names there are."""
    wanted = [names] if isinstance(names, str) else list(names)
    if not wanted:
        raise ValueError("metrics is empty: name at least one")
    double = sorted({str(name) for name in wanted if wanted.count(name) > 1})
    if double:
        raise ValueError(f"metrics names {double} more than once")
    return [_parse(name) for name in wanted]


def _parse(label: str) -> Measure:
    if not isinstance(label, str):
        raise TypeError(f"metrics must be names; got {label!r} ({type(label).__name__})")
    match = _NAME.fullmatch(label)
    if match is None or match["name"] not in METRICS:
        suffix = {"optional": "[@k]", "required": "@k", "none": ""}
        known = ", ".join(name + suffix[metric.cutoff] for name, metric in METRICS.items())
        raise ValueError(f"unknown metric {label!r}; known are {known}")
    metric = METRICS[match["name"]]
    k = None if match["k"] is None else int(match["k"])
    if k is None and metric.cutoff == "required":
        raise ValueError(f"{label!r} needs a cut-off, such as '{label}@10'")
    if k is not None and metric.cutoff == "none":
        raise ValueError(f"{match['name']!r} takes no cut-off; got {label!r}")
    if k == 0:
        raise ValueError(f"the cut-off of {label!r} must be at least 1")
    return Measure(label, metric, k)
