"""The stages of a funnel: what finds candidates, what scores them, what takes them away."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlsd._inputs import as_array, as_floats
from mlsd._types import BoolArray, FloatArray
from mlsd.funnel._batch import Batch, lookup_columns
from mlsd.funnel._runs import RUN_COLUMNS
from mlsd.funnel._stage import Late, Stage

__all__ = ["Filter", "Rank", "Rerank", "Retrieve", "Stage", "as_stage", "source_of"]


@dataclass(frozen=True, eq=False)
class Retrieve(Stage):
    """A source: finds candidates for every query.

    Parameters
    ----------
    name : str
        See :class:`mlsd.funnel.stages.Stage`, as for all that is not listed here.
    index : object or callable
        What is searched: anything with ``search(queries, k)``, such as :class:`BM25`,
        :class:`DenseIndex`, :class:`FaissIndex`, :class:`Popularity`; or a callable
        ``(queries, k) -> run``. A run has query_id, doc_id and score.
    encode : callable or str, optional
        What turns the frame of queries into what `index` takes: ``(queries) -> X``, or the name
        of a column that holds a vector a query. Without it the frame itself is passed, and an
        index of vectors takes the column "vector".

    Notes
    -----
    A source that returns more than `k` is cut at `k`; one that returns less is counted with what
    it returned.

    Examples
    --------
    >>> from mlsd.funnel import BM25, Retrieve
    >>> Retrieve("words", BM25().fit(["a red chair", "a lamp"]), k=100, cost=0.001).kind
    'retrieve'
    """

    index: Any
    encode: Callable[[pd.DataFrame], Any] | str | None = field(default=None, kw_only=True)

    late_choices: ClassVar[tuple[Late, ...]] = ("run",)
    is_source: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check what is searched."""
        Stage.__post_init__(self)
        if not (callable(getattr(self.index, "search", None)) or callable(self.index)):
            raise TypeError(
                f"index of stage {self.name!r} must have search(queries, k) or be a callable; "
                f"got {type(self.index).__name__}"
            )

    @property
    def n_docs(self) -> int | None:
        """Documents in what is searched, if it says so."""
        return getattr(self.index, "n_docs", None)

    def _made_of(self, given: Any) -> Stage:
        return source_of(f"fallback of {self.name}", given, self.k)

    def find(self, queries: pd.DataFrame, query_ids: pd.Index[Any], k: int | None) -> Batch:
        """Return the candidates of every query, the best `k`."""
        by_frame = getattr(self.index, "search_frame", None)
        asked = self._asked(queries, vectors=by_frame is not None)
        size: Any = k if k is not None else self.n_docs
        if by_frame is not None:
            run = by_frame(asked, size, query_ids=query_ids)
        else:
            run = getattr(self.index, "search", self.index)(asked, size)
        if isinstance(run, tuple):
            run = _long(run, query_ids, self.name)
        batch = Batch.from_run(run, query_ids, f"what stage {self.name!r} found").head(k)
        return batch.with_column(self.name, batch.score)

    def score_pair(self, queries: pd.DataFrame, query_ids: pd.Index[Any], doc_id: Any) -> float:
        """Return what the source gives one document for one query; nan if it cannot tell."""
        scorer = getattr(self.index, "score_pairs", None)
        if scorer is None:
            return float("nan")
        pair = pd.DataFrame({"query_id": query_ids, "doc_id": [doc_id] * len(query_ids)})
        by_frame = hasattr(self.index, "search_frame")
        asked = self._asked(queries, vectors=by_frame)
        try:
            scores = scorer(asked, pair, query_ids=query_ids) if by_frame else scorer(asked, pair)
        except ValueError:  # a document that the source does not know
            return float("nan")
        return float(scores.iloc[0])

    def _asked(self, queries: pd.DataFrame, *, vectors: bool) -> Any:
        """Return the queries as the index takes them."""
        if callable(self.encode):
            return self.encode(queries)
        column = self.encode if self.encode is not None else "vector" if vectors else None
        if column is None:
            return queries
        if column not in queries.columns:
            raise ValueError(
                f"queries lacks the column {column!r} that stage {self.name!r} searches with: "
                "give it, or encode="
            )
        return np.stack(list(queries[column])) if len(queries) else np.zeros((0, 1))


def _long(found: tuple[Any, Any], query_ids: pd.Index[Any], name: str) -> pd.DataFrame:
    """Return (ids, scores) matrices as a run."""
    ids, scores = (np.asarray(part) for part in found)
    if ids.ndim != 2 or ids.shape != scores.shape or len(ids) != len(query_ids):
        raise ValueError(
            f"stage {name!r} must find (ids, scores) of one shape, a row a query; got shapes "
            f"{ids.shape} and {scores.shape} for {len(query_ids)} queries"
        )
    return pd.DataFrame(
        {
            "query_id": query_ids.repeat(ids.shape[1]),
            "doc_id": ids.ravel(),
            "score": scores.ravel().astype(np.float64),
        },
        copy=False,  # nobody sees this frame but the stage
    )


@dataclass(frozen=True, eq=False)
class Rank(Stage):
    """Scores every candidate on its own and keeps the best.

    Parameters
    ----------
    name : str
        See :class:`mlsd.funnel.stages.Stage`, as for all that is not listed here.
    scorer : callable or estimator
        With `features`: from features, one row a candidate, to scores, such as ``model.predict``
        of a LightGBM, XGBoost or scikit-learn regressor or ranker. Without: a callable
        ``(queries, candidates) -> scores``, such as the `score_pairs` of a :class:`BM25`. An
        estimator itself is used through ``predict_proba`` (two classes: the chance of the second)
        if it has it, else ``predict``.
    features : callable or sequence of str, optional
        A callable ``(queries, candidates) -> features``; or names of columns, looked for in the
        candidates (where ``"light"`` is the score that stage left), the items and the queries.
    calibrator : callable, optional
        From raw scores to probabilities, never decreasing, such as a :class:`ScoreCalibrator`:
        the column `score` then holds what it says, so that the scores of several stages mean the
        same. The order is that of the raw scores, which stay in the column of the stage's name.

    Notes
    -----
    A scorer is taken to be pointwise: the score of a candidate depends neither on which others are
    there nor on its rank among them. That is what lets `allocate` score once and replay every cut,
    and it is not checked. Equal scores keep the order in which they came in.
    Candidates come with query_id, doc_id, score and rank of the stage before, and a column of
    scores for each stage so far; if a deadline or a failure had a stage passed by, its column is
    nan. A ranker whose `features` name that column is then passed by too; one with a callable
    must take nan, or have a fallback.

    Examples
    --------
    >>> from mlsd.funnel import Rank
    >>> Rank("short", lambda queries, candidates: -candidates["doc_id"].str.len(), k=10).k
    10
    """

    scorer: Any
    features: Callable[[pd.DataFrame, pd.DataFrame], Any] | Sequence[str] | None = field(
        default=None, kw_only=True
    )
    calibrator: Callable[[FloatArray], Any] | None = field(default=None, kw_only=True)

    late_choices: ClassVar[tuple[Late, ...]] = ("shrink", "skip", "run")

    def __post_init__(self) -> None:
        """Check the scorer."""
        Stage.__post_init__(self)
        if isinstance(self.features, str):
            object.__setattr__(self, "features", [self.features])
        if not (callable(self.scorer) or callable(getattr(self.scorer, "predict", None))):
            raise TypeError(
                f"scorer of stage {self.name!r} must be a callable or have predict; "
                f"got {type(self.scorer).__name__}"
            )
        owner = getattr(self.scorer, "__self__", None)
        if getattr(self.scorer, "__name__", "") == "predict" and hasattr(owner, "predict_proba"):
            raise ValueError(
                f"scorer of stage {self.name!r} is the predict of a classifier, which gives "
                "classes and not scores: pass the estimator itself, which is used through "
                "predict_proba"
            )
        if self.calibrator is not None and not callable(self.calibrator):
            raise TypeError(f"calibrator of stage {self.name!r} must be callable")
        model = self.scorer if not callable(self.scorer) else owner
        if self.features is None and callable(getattr(model, "predict", None)):
            raise ValueError(
                f"stage {self.name!r} scores with a model and needs features=: a callable "
                "(queries, candidates) -> features, or names of columns"
            )

    @property
    def named_features(self) -> list[str]:
        """The columns that it asks for by name."""
        return [] if self.features is None or callable(self.features) else list(self.features)

    def scores(self, queries: pd.DataFrame, batch: Batch, items: pd.DataFrame | None) -> FloatArray:
        """Return the raw score of every candidate."""
        if not len(batch):
            return np.zeros(0)
        if self.features is None:
            out = self._predict(queries, batch.frame)
        elif callable(self.features):
            out = self._predict(self.features(queries, batch.frame))
        else:
            names = list(self.features)
            out = self._predict(lookup_columns(names, queries, batch, items, self.name))
        what = f"what stage {self.name!r} scored"
        given = as_array(out, what) if np.ndim(out) == 2 else out
        if np.ndim(given) == 2 and given.shape[1] == 1:
            given = given[:, 0]
        scores = as_floats(given, what)
        if scores.size != len(batch):
            raise ValueError(
                f"stage {self.name!r} gave {scores.size} scores for {len(batch)} candidates"
            )
        if not np.isfinite(scores).all():
            raise ValueError(f"what stage {self.name!r} scored holds infinite values")
        return scores

    def _predict(self, *given: Any) -> Any:
        if callable(self.scorer):
            return self.scorer(*given)
        if not hasattr(self.scorer, "predict_proba"):
            return self.scorer.predict(*given)
        chances = as_array(self.scorer.predict_proba(*given), f"chances of stage {self.name!r}")
        if chances.ndim != 2 or chances.shape[1] != 2:
            raise ValueError(
                f"the classifier of stage {self.name!r} must have two classes; its chances have "
                f"the shape {chances.shape}"
            )
        return chances[:, 1]

    def choose(self, batch: Batch, scores: FloatArray, k: int | None) -> Batch:
        """Return the best `k` of each query by the raw scores, with calibrated ones if asked."""
        chosen = batch.with_column(self.name, scores).rescored(scores, k)
        if self.calibrator is None:
            return chosen
        shown = self.shown(chosen.score)
        if ((np.diff(chosen.codes) == 0) & (np.diff(shown) > 0)).any():
            raise ValueError(
                f"calibrator of stage {self.name!r} must never decrease: it would turn the order "
                "around"
            )
        return chosen.with_column("score", shown)

    def shown(self, scores: FloatArray) -> FloatArray:
        """Return raw scores as the column `score` has them: calibrated, if that was asked for."""
        if self.calibrator is None or not scores.size:
            return scores
        shown = as_floats(self.calibrator(scores), f"what stage {self.name!r} calibrated")
        if shown.size != scores.size:
            raise ValueError(
                f"calibrator of stage {self.name!r} gave {shown.size} numbers for {scores.size}"
            )
        return shown


@dataclass(frozen=True, eq=False)
class Rerank(Stage):
    """Looks at a whole list and gives it back in another order, or shorter.

    Parameters
    ----------
    name : str
        See :class:`mlsd.funnel.stages.Stage`, as for all that is not listed here.
    reranker : callable
        ``(candidates) -> run``, or ``(candidates, k=k) -> run`` if it takes a `k`: :class:`MMR`,
        :class:`XQuAD`, :class:`SlateRules` or your own. It may take candidates away and not add
        any. Its order is read by the package's rule: score, then rank; without a score by rank,
        without both by row.
    columns : sequence of str, optional
        Columns that it needs beside those the candidates have, from the items or the queries.

    Examples
    --------
    >>> from mlsd.funnel import MMR, Rerank
    >>> Rerank("mmr", MMR(trade_off=0.7), k=10).when_late
    'skip'
    """

    reranker: Any
    columns: Sequence[str] = field(default=(), kw_only=True)

    late_choices: ClassVar[tuple[Late, ...]] = ("skip", "run")

    def __post_init__(self) -> None:
        """Check the re-ranker."""
        Stage.__post_init__(self)
        if not callable(self.reranker):
            raise TypeError(
                f"reranker of stage {self.name!r} must be callable; "
                f"got {type(self.reranker).__name__}"
            )
        given = self.columns
        object.__setattr__(self, "columns", [given] if isinstance(given, str) else list(given))

    def reorder(
        self,
        queries: pd.DataFrame,
        query_ids: pd.Index[Any],
        batch: Batch,
        items: pd.DataFrame | None,
        k: int | None,
    ) -> Batch:
        """Return the lists as the re-ranker left them, cut at `k`."""
        if not len(batch):
            return batch.with_column(self.name, np.zeros(0))
        given = batch.frame
        extra = [name for name in self.columns if name not in batch.columns]
        if extra:
            found = lookup_columns(extra, queries, batch, items, self.name)
            given = pd.concat([given, found], axis=1)
        sized = k is not None and _takes(self.reranker, "k")
        run = self.reranker(given, k=k) if sized else self.reranker(given)
        label = f"what stage {self.name!r} gave back"
        out = Batch.from_run(run, query_ids, label).head(k)
        out.check_within(batch, f"stage {self.name!r}")
        return out.with_column(self.name, out.score)


@dataclass(frozen=True, eq=False)
class Filter(Stage):
    """Takes away what may not be shown, whatever its score.

    Parameters
    ----------
    name : str
        See :class:`mlsd.funnel.stages.Stage`, as for all that is not listed here.
    keep : callable or str
        ``(queries, candidates) -> mask``, true for what stays; or the name of a column of
        booleans, of the candidates, the items or the queries.

    Examples
    --------
    >>> from mlsd.funnel import Filter
    >>> Filter("in stock", "in_stock").when_late
    'run'
    """

    keep: Callable[[pd.DataFrame, pd.DataFrame], Any] | str

    def __post_init__(self) -> None:
        """Check what decides."""
        Stage.__post_init__(self)
        if not callable(self.keep) and not (isinstance(self.keep, str) and self.keep):
            raise TypeError(
                f"keep of stage {self.name!r} must be a callable or the name of a column; "
                f"got {self.keep!r}"
            )
        if self.k is not None:
            raise ValueError(f"stage {self.name!r} is a Filter, which has no k; got {self.k!r}")

    def mask(self, queries: pd.DataFrame, batch: Batch, items: pd.DataFrame | None) -> BoolArray:
        """Return which candidates stay."""
        if not len(batch):
            return np.zeros(0, dtype=np.bool_)
        if callable(self.keep):
            given: Any = self.keep(queries, batch.frame)
        else:
            given = lookup_columns([self.keep], queries, batch, items, self.name)[self.keep]
        mask: npt.NDArray[Any] = np.asarray(given)
        missing = int(pd.isna(given).sum()) if mask.dtype == object else 0
        if missing:
            raise ValueError(
                f"keep of stage {self.name!r} is missing for {missing} of {len(batch)} candidates"
            )
        if mask.dtype != np.bool_ or mask.shape != (len(batch),):
            raise ValueError(
                f"keep of stage {self.name!r} must give {len(batch)} booleans; "
                f"got {mask.dtype} of shape {mask.shape}"
            )
        return mask


def as_stage(given: Any, name: str, *, source: bool) -> Stage:
    """Return a stage as it is, and a callable as a source or a re-ranker."""
    if isinstance(given, Stage):
        return given
    if not callable(given):
        raise TypeError(f"a stage must be a stage or a callable; got {type(given).__name__}")
    own = getattr(given, "__name__", "")
    name = own if own.isidentifier() and own not in RUN_COLUMNS else name
    if not source:
        return Rerank(name, given)
    return source_of(name, given, None)


def source_of(name: str, search: Any, k: int | None) -> Retrieve:
    """Return a callable as a source, whether it wants to be told how many or not."""
    return Retrieve(name, search if _takes(search, "k") else _Uncut(search), k=k)


class _Uncut:
    """A source that is not told how many are wanted: its stage cuts."""

    def __init__(self, search: Callable[[pd.DataFrame], Any]) -> None:
        self._search = search

    def __call__(self, queries: pd.DataFrame, k: int | None) -> Any:
        return self._search(queries)


def _takes(function: Any, parameter: str) -> bool:
    """Say whether a callable has a parameter of that name."""
    try:
        return parameter in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in callables do not tell
        return False
