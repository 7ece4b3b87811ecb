"""Semanlink: one curator's bookmarks and tags, read as a test collection for search."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mlsd._validation import check_positive_int
from mlsd.data._fetch import read_member

__all__ = ["Semanlink", "load_semanlink", "load_semanlink_tags", "tag_report"]

_FOLDER = "cherche/data/semanlink"


class Semanlink(NamedTuple):
    """What `load_semanlink` returns: a test collection in three frames."""

    docs: pd.DataFrame
    queries: pd.DataFrame
    qrels: pd.DataFrame


def load_semanlink(min_docs: int = 1) -> Semanlink:
    """Load a test collection for search: bookmarked documents, tags as queries, graded judgements.

    A tag's names are the queries, and who tagged a document judged it relevant.

    Parameters
    ----------
    min_docs : int, default 1
        Keep the tags that at least so many documents carry themselves; 10 leaves 351 tags, 5
        leaves 873. The documents are the same at any value.

    Returns
    -------
    Semanlink
        `docs` (7,300 rows): `doc_id` (an integer, the row number), `title`, `text` (what a search
        engine may index: title, curator's comment and, for arXiv papers, the abstract, with white
        space made single blanks), `year` (of the bookmark), `tags` (tuple of tag ids).
        `queries`: `query_id` (the tag's id, with ``~1``, ``~2``, … behind it for its other names),
        `text`, `kind` ("label" for a tag's first name, "alternative" for the others), `tag`,
        `n_docs` (documents that carry the tag itself).
        `qrels`: `query_id`, `doc_id`, `relevance`: 2 if the document carries the tag, 1 if it
        carries a narrower one, at any depth. A pair that is not listed was not judged relevant,
        which is not to say that it is irrelevant.

    Raises
    ------
    TypeError, ValueError
        If `min_docs` is not a positive integer.
    DataUnavailableError
        If the data is neither in the cache nor to be fetched.

    Notes
    -----
    One curator tagged for his own use: the judgements are incomplete. The 61 documents without a
    title and the 60 without a tag are kept, as are the 55 with no text at all. The names of one tag
    share its judgements. The hierarchy holds two loops and three pairs of tags that are
    broader than each other; within such a pair each tag's documents are grade 1 for the other.

    The text has no stated licence: show a handful of titles, not the collection.

    Examples
    --------
    >>> docs, queries, qrels = load_semanlink(min_docs=10)
    >>> len(docs), (queries["kind"] == "label").sum()
    (7300, np.int64(351))
    """
    check_positive_int(min_docs, "min_docs")
    docs = _docs()
    tags = load_semanlink_tags()
    assigned = docs[["doc_id", "tags"]].explode("tags").dropna()
    assigned = assigned.rename(columns={"tags": "tag"})
    counts = assigned["tag"].value_counts()
    tags = tags.assign(n_docs=tags["tag"].map(counts).fillna(0).astype(np.int64))
    tags = tags[tags["n_docs"] >= min_docs]

    queries = _queries(tags)
    judged = _judgements(assigned, _closure(load_semanlink_tags(), set(tags["tag"])))
    qrels = queries[["query_id", "tag"]].merge(judged, on="tag").drop(columns="tag")
    return Semanlink(docs, queries, qrels)


def load_semanlink_tags() -> pd.DataFrame:
    """Load the tags and the graph between them, for query understanding and expansion.

    Returns
    -------
    pandas.DataFrame
        One row a tag (4,603): `tag` (id, as in `load_semanlink`), `label`, `alt_labels` (its other
        names), `broader` and `related` (ids of other tags), the last three as tuples. The graph is
        as published, except that a tag is never its own `broader` and that a `broader` tag exists;
        `cleaning_report("semanlink")` counts what that leaves out.

    Raises
    ------
    DataUnavailableError
        If the data is neither in the cache nor to be fetched.

    Examples
    --------
    >>> tags = load_semanlink_tags().set_index("tag")
    >>> tags.loc["topic_modeling", "label"], tags.loc["topic_modeling", "alt_labels"]
    ('Topic Modeling', ('Topic model',))
    """
    return _tag_frame(_read("tags"))


def tag_report() -> pd.DataFrame:
    """Count what is left out of the published links to broader tags."""
    published = _read("tags")
    links = [(uri, target) for uri, entry in published.items() for target in entry["broader"]]
    loops = sum(uri == target for uri, target in links)
    dangling = sum(target not in published for _, target in links)
    dropped = np.array([loops, dangling])
    return pd.DataFrame(
        {
            "step": ["tags broader than themselves", "broader tags that do not exist"],
            "matching": dropped,
            "dropped": dropped,
            "left": len(links) - dropped.cumsum(),
        }
    )


def _read(name: str) -> Any:
    return json.loads(read_member("cherche", f"{_FOLDER}/{name}.json"))


def _short(uri: str) -> str:
    """Return the last part of a tag's address, which names it."""
    return uri.rpartition("/")[2]


def _clean(*parts: str) -> str:
    return " ".join(" ".join(parts).split())


def _docs() -> pd.DataFrame:
    published: Sequence[Mapping[str, Any]] = _read("docs")
    return pd.DataFrame(
        {
            "doc_id": np.arange(len(published)),
            "title": [_clean(doc["title"]) for doc in published],
            "text": [
                _clean(doc["title"], doc["comment"], doc["arxiv_summary"]) for doc in published
            ],
            "year": np.array([int(doc["creationDate"][:4]) for doc in published]),
            "tags": [tuple(_short(uri) for uri in doc["tag"]) for doc in published],
        }
    )


def _tag_frame(published: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    def parents(uri: str) -> tuple[str, ...]:
        found = published[uri]["broader"]
        return tuple(_short(other) for other in found if other != uri and other in published)

    return pd.DataFrame(
        {
            "tag": [_short(uri) for uri in published],
            "label": [_clean(entry["prefLabel"][0]) for entry in published.values()],
            "alt_labels": [
                tuple(_clean(name) for name in (*entry["prefLabel"][1:], *entry["altLabel"]))
                for entry in published.values()
            ],
            "broader": [parents(uri) for uri in published],
            "related": [tuple(map(_short, entry["related"])) for entry in published.values()],
        }
    )


def _queries(tags: pd.DataFrame) -> pd.DataFrame:
    """Give each name of each tag a row: labels first, then the other names."""
    labels = tags.rename(columns={"label": "text"}).assign(query_id=tags["tag"], kind="label")
    others = tags.explode("alt_labels").dropna(subset="alt_labels")
    others = others.rename(columns={"alt_labels": "text"})
    number = (others.groupby("tag").cumcount() + 1).astype(str)
    others = others.assign(query_id=others["tag"] + "~" + number, kind="alternative")
    columns = ["query_id", "text", "kind", "tag", "n_docs"]
    return pd.concat([labels[columns], others[columns]], ignore_index=True)


def _closure(tags: pd.DataFrame, wanted: set[str]) -> pd.DataFrame:
    """Return (tag, narrower) for each wanted tag and all tags below it, itself included."""
    narrower: dict[str, list[str]] = {}
    for tag, above in zip(tags["tag"], tags["broader"], strict=True):
        for parent in above:
            narrower.setdefault(parent, []).append(tag)
    pairs = []
    for tag in wanted:
        # What was seen is not entered again, so a loop in the hierarchy ends the walk.
        seen, open_tags = {tag}, [tag]
        while open_tags:
            fresh = set(narrower.get(open_tags.pop(), ())) - seen
            seen |= fresh
            open_tags += fresh
        pairs += [(tag, below) for below in seen]
    return pd.DataFrame(pairs, columns=["tag", "narrower"])


def _judgements(assigned: pd.DataFrame, closure: pd.DataFrame) -> pd.DataFrame:
    """Return (tag, doc_id, relevance), each pair once with its highest grade."""
    judged = closure.merge(assigned, left_on="narrower", right_on="tag", suffixes=("", "_carried"))
    judged["relevance"] = np.where(judged["tag"] == judged["narrower"], 2, 1)
    return judged.groupby(["tag", "doc_id"])["relevance"].max().reset_index()
