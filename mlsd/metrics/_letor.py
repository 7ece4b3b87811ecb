"""LETOR files, which are SVMlight's with a query: relevance and features of each document."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._groups import Segments
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd.metrics._readers import Source, open_text

__all__ = ["Letor", "read_letor"]

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_LINE = re.compile(rf"\s*({_NUMBER})\s+qid:([0-9]{{1,18}})((?:\s+[0-9]{{1,9}}:{_NUMBER})*)\s*")
_FORM = re.compile(r"\s*(\S+)\s+qid:[0-9]{1,18}((?:\s+[0-9]{1,9}:[^\s:]+)*)\s*")
_DOC = re.compile(r"\bdocid\s*=\s*(\S+)")


@dataclass(frozen=True, slots=True, eq=False)
class Letor(Result):
    """Documents to be ranked: one row each, as in the file."""

    query_id: IntArray
    """Number of the query."""
    relevance: FloatArray
    features: FloatArray
    """Shape (rows, features): column j is feature number j + 1; 0 where the line has none."""
    doc_id: npt.NDArray[Any] | None
    """What the comment gives as ``docid = x``, None where it does not; None if it nowhere does."""

    def to_frame(self) -> pd.DataFrame:
        """Return query_id, doc_id if there is one, relevance, and the features by number."""
        keys: dict[str, Any] = {"query_id": self.query_id}
        if self.doc_id is not None:
            keys["doc_id"] = self.doc_id
        frame = pd.DataFrame({**keys, "relevance": self.relevance})
        numbers = range(1, self.features.shape[1] + 1)
        return pd.concat([frame, pd.DataFrame(self.features, columns=list(numbers))], axis=1)

    def __repr__(self) -> str:
        n, width = self.features.shape
        return (
            f"Letor({n:,} documents, {np.unique(self.query_id).size:,} queries, {width} features)"
        )


def read_letor(path: Source) -> Letor:
    """Read a LETOR file: ``relevance qid:query 1:value 2:value ... # docid = x`` a line.

    Parameters
    ----------
    path : str, path or text file object
        The file, in UTF-8; one whose name ends in ``.gz`` is unpacked. Empty lines and lines that
        are only a comment are skipped.

    Returns
    -------
    Letor
        Arrays by row. The features are dense: eight bytes for each row and each number up to the
        largest.

    Raises
    ------
    ValueError
        If the file has no document, or a line is not of that form, a number is not finite, or the
        numbers of the features do not rise from 1 on. The message names the file and the line.

    References
    ----------
    Qin, Liu, Xu and Li (2010), LETOR: a benchmark collection for research on learning to rank for
    information retrieval, Information Retrieval 13(4).

    Examples
    --------
    >>> import io
    >>> read_letor(io.StringIO("2 qid:10 1:0.5 3:1 # docid = a\\n0 qid:10 2:0.25 # docid = b\\n"))
    Letor(2 documents, 1 queries, 3 features)
    """
    name, handle = open_text(path)
    relevances, queries, bodies, numbers, docs = [], [], [], [], []
    with handle:
        try:
            for number, line in enumerate(handle, start=1):
                content, _, comment = line.partition("#")
                match = _LINE.fullmatch(content)
                if match is None:
                    if not content.strip():
                        continue
                    raise ValueError(f"{name}, line {number}: {_explain(content)}: {_shown(line)}")
                relevances.append(match[1])
                queries.append(int(match[2]))
                bodies.append(match[3])
                numbers.append(number)
                found = _DOC.search(comment)
                docs.append(found[1] if found else None)
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is not UTF-8: {error}") from None
    if not bodies:
        raise ValueError(f"{name} has no document")
    lists = Segments.from_lengths([body.count(":") for body in bodies])
    relevance, values = _floats(relevances), _floats(bodies)
    for array, row in ((relevance, np.arange(len(bodies))), (values[1::2], lists.labels())):
        infinite = np.flatnonzero(~np.isfinite(array))
        if infinite.size:
            raise ValueError(f"{name}, line {numbers[row[infinite[0]]]}: a number overflows")
    columns, row = values[::2].astype(np.int64) - 1, lists.labels()
    wrong = _do_not_rise(columns, lists)
    if wrong.any():
        at = row[np.flatnonzero(wrong)[0]]
        raise ValueError(
            f"{name}, line {numbers[at]}: the numbers of the features must rise from 1 on: "
            f"{_shown(bodies[at])}"
        )
    features = np.zeros((len(bodies), int(columns.max(initial=-1)) + 1))
    features[row, columns] = values[1::2]
    doc_id = None
    if any(doc is not None for doc in docs):
        doc_id = np.empty(len(docs), dtype=object)
        doc_id[:] = docs
    return Letor(np.array(queries, dtype=np.int64), relevance, features, doc_id)


def _floats(parts: list[str]) -> FloatArray:
    """Return the numbers of all parts, of which each is known to be one; ':' is a space."""
    numbers: FloatArray = np.fromstring(" ".join(parts).replace(":", " "), sep=" ")
    return numbers


def _do_not_rise(columns: IntArray, lists: Segments) -> BoolArray:
    wrong: BoolArray = columns < 0
    wrong[1:] |= (np.diff(columns) <= 0) & (np.diff(lists.labels()) == 0)
    return wrong


def _explain(content: str) -> str:
    """Return what is wrong with a line that is not as it should be."""
    match = _FORM.fullmatch(content)
    if match is not None:
        for field in (match[1], *(pair.partition(":")[2] for pair in match[2].split())):
            if not re.fullmatch(_NUMBER, field):
                return f"{field!r} is not a finite number"
    return "is not of the form 'relevance qid:query 1:value 2:value ...'"


def _shown(line: str) -> str:
    text = line.strip()
    return repr(text if len(text) <= 100 else text[:100] + "...")
