"""Made-up input of every kind that the metrics take, and what its parts mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Columns = dict[str, np.ndarray]
Data = dict[str, Any]  # name of the argument -> an array, or columns that become a table


@dataclass(frozen=True)
class Kind:
    """A kind of input: how it is made up, and what its parts mean."""

    make: Callable[[np.random.Generator], Data]
    together: tuple[tuple[str, ...], ...]
    """Arguments whose rows move together; each group by itself."""
    unit: dict[str, str | None]
    """The arguments to double so that everything is there twice. With a column: under new names,
    as the same query or user cannot come twice; None for an array that holds the names."""
    perfect: Callable[[Data], Data] | None = None
    score: tuple[str, str | None] | None = None


def _labels(rng: np.random.Generator, n: int) -> np.ndarray:
    labels = rng.integers(0, 2, n)
    labels[:4] = 0, 1, 0, 1
    return labels


def scored(rng: np.random.Generator) -> Data:
    n = int(rng.integers(4, 30))
    return {"y_true": _labels(rng, n), "y_score": rng.integers(-4, 5, n).astype(float)}


def two_scores(rng: np.random.Generator) -> Data:
    data = scored(rng)
    other = rng.permutation(data["y_score"]) + rng.random(data["y_score"].size)
    return {"y_true": data["y_true"], "score_a": data["y_score"], "score_b": other}


def probabilities(rng: np.random.Generator) -> Data:
    n = int(rng.integers(4, 30))
    return {"y_true": _labels(rng, n), "y_proba": rng.integers(1, 16, n) / 16}


def two_probabilities(rng: np.random.Generator) -> Data:
    data = probabilities(rng)
    other = rng.permutation(data["y_proba"])
    return {"y_true": data["y_true"], "proba_a": data["y_proba"], "proba_b": other}


def class_scores(rng: np.random.Generator) -> Data:
    n = int(rng.integers(6, 30))
    classes = rng.integers(0, 3, n)
    classes[:3] = 0, 1, 2
    matrix = rng.integers(1, 5, (n, 3)).astype(float)
    return {"y_true": classes, "y_score": matrix / matrix.sum(axis=1, keepdims=True)}


def classes(rng: np.random.Generator) -> Data:
    n = int(rng.integers(6, 30))
    true, predicted = rng.integers(0, 3, (2, n))
    true[:3] = predicted[:3] = 0, 1, 2
    return {"y_true": true, "y_pred": predicted}


def graded(rng: np.random.Generator) -> Data:
    n = int(rng.integers(4, 30))
    relevance, query = rng.integers(0, 3, n).astype(float), rng.integers(0, 4, n)
    relevance[np.unique(query, return_index=True)[1]] = 1.0  # each query has a relevant document
    return {"y_true": relevance, "y_score": rng.integers(-3, 4, n).astype(float), "query": query}


def runs(rng: np.random.Generator) -> Data:
    qrels, run = [], []
    for query in range(int(rng.integers(2, 5))):
        n = int(rng.integers(1, 8))
        for doc in range(n):
            run.append((f"q{query}", f"d{doc}", float(rng.integers(-3, 4))))
            if rng.random() < 0.6:
                qrels.append((f"q{query}", f"d{doc}", float(rng.integers(0, 3))))
        qrels.append((f"q{query}", "not retrieved", 1.0))
    return {
        "qrels": _columns(qrels, "query_id", "doc_id", "relevance"),
        "run": _columns(run, "query_id", "doc_id", "score"),
    }


def aspects(rng: np.random.Generator) -> Data:
    data = runs(rng)
    run = data["run"]
    # Distinct scores: what documents cover between them depends on their order.
    run["score"] = rng.permutation(len(run["score"])).astype(float)
    pairs = [(q, d, f"t{rng.integers(0, 3)}") for q, d in zip(*map(run.get, _PAIR), strict=True)]
    return {"run": run, "subtopics": _columns(pairs, *_PAIR, "subtopic")}


def shown(rng: np.random.Generator) -> Columns:
    rows = []
    for user in range(int(rng.integers(2, 6))):
        for rank, item in enumerate(rng.permutation(8)[: rng.integers(2, 6)].tolist()):
            rows.append((f"u{user}", f"i{item}", -float(rank)))
    return _columns(rows, "user_id", "item_id", "score")


def catalogs(rng: np.random.Generator) -> Data:
    return {"recommendations": shown(rng), "catalog": _items(10)}


def popularity(rng: np.random.Generator) -> Data:
    counts = {"item_id": _items(8), "count": rng.integers(1, 9, 8)}
    return {"recommendations": shown(rng), "item_counts": counts}


def embeddings(rng: np.random.Generator) -> Data:
    return {"recommendations": shown(rng), "vectors": rng.normal(size=(8, 3)), "items": _items(8)}


def images(rng: np.random.Generator) -> Data:
    true, predicted = rng.integers(0, 2, (2, int(rng.integers(1, 4)), 6, 5))
    true[0, 0, :2] = predicted[0, 0, :2] = 0, 1
    return {"y_true": true, "y_pred": predicted}


def boxes(rng: np.random.Generator) -> Data:
    n = int(rng.integers(3, 10))
    truth = {
        "image_id": rng.integers(0, 3, n),
        "category_id": rng.integers(0, 2, n),
        **{name: rng.integers(0, 20, n).astype(float) for name in ("x", "y")},
        **{name: rng.integers(1, 20, n).astype(float) for name in ("width", "height")},
    }
    # Apart from each other, so that a perfect detection has one true box to take.
    truth["x"] += 100.0 * np.arange(n)
    found = {name: column.copy() for name, column in truth.items()}
    found["x"] += rng.integers(-4, 5, n)
    found["score"] = rng.permutation(n).astype(float)
    return {"ground_truth": truth, "detections": found}


def two_boxes(rng: np.random.Generator) -> Data:
    return {name: rng.integers(1, 9, (4, 4)).astype(float) for name in ("a", "b")}


def events(rng: np.random.Generator) -> Data:
    n = int(rng.integers(6, 30))
    user = np.array([f"u{i}" for i in rng.integers(0, 4, n)], dtype=object)
    user[:4] = "u0", "u0", "u1", "u2"
    minutes = np.array(rng.integers(0, 60 * 24 * 4, n), dtype="timedelta64[m]")
    flag = rng.integers(0, 2, n)
    flag[:2] = 0, 1
    log = {"user_id": user, "time": np.datetime64("2024-01-01", "us") + minutes}
    later = log["time"] + rng.permutation(minutes)
    later[rng.random(n) < 0.5] = np.datetime64("NaT")
    log |= {"exposed_at": log["time"], "converted_at": later}
    return {"events": {**log, "click": flag, "converted": flag, "success": flag}}


_PAIR = ("query_id", "doc_id")


def _items(n: int) -> np.ndarray:
    return np.array([f"i{item}" for item in range(n)], dtype=object)


def _columns(rows: list[tuple[Any, ...]], *names: str) -> Columns:
    columns = zip(*rows, strict=True)
    return {
        name: np.array(column, dtype=object if isinstance(column[0], str) else None)
        for name, column in zip(names, columns, strict=True)
    }


def _as(source: str, target: str) -> Callable[[Data], Data]:
    """Return a change of data: the prediction is the truth."""
    return lambda data: {**data, target: data[source].astype(float)}


def _found_all(data: Data) -> Data:
    run = {**{name: data["qrels"][name] for name in _PAIR}, "score": data["qrels"]["relevance"]}
    return {**data, "run": run}


def _detected_all(data: Data) -> Data:
    truth = data["ground_truth"]
    return {**data, "detections": {**truth, "score": np.arange(float(truth["x"].size))}}


KINDS = {
    "scores": Kind(
        scored, (("y_true", "y_score"),), {}, _as("y_true", "y_score"), ("y_score", None)
    ),
    "two scores": Kind(
        two_scores, (("y_true", "score_a", "score_b"),), {}, None, ("score_a", None)
    ),
    "probabilities": Kind(
        probabilities, (("y_true", "y_proba"),), {}, _as("y_true", "y_proba"), ("y_proba", None)
    ),
    "two probabilities": Kind(two_probabilities, (("y_true", "proba_a", "proba_b"),), {}),
    "class scores": Kind(
        class_scores,
        (("y_true", "y_score"),),
        {},
        lambda data: {**data, "y_score": np.eye(3)[data["y_true"]]},
    ),
    "classes": Kind(
        classes,
        (("y_true", "y_pred"),),
        {},
        lambda data: {**data, "y_pred": data["y_true"].copy()},
    ),
    "lists": Kind(
        graded,
        (("y_true", "y_score", "query"),),
        {"y_true": None, "y_score": None, "query": None},
        _as("y_true", "y_score"),
        ("y_score", None),
    ),
    "runs": Kind(
        runs,
        (("qrels",), ("run",)),
        {"qrels": "query_id", "run": "query_id"},
        _found_all,
        ("run", "score"),
    ),
    "aspects": Kind(
        aspects,
        (("run",), ("subtopics",)),
        {"run": "query_id", "subtopics": "query_id"},
        None,
        ("run", "score"),
    ),
    "catalogs": Kind(
        catalogs,
        (("recommendations",), ("catalog",)),
        {"recommendations": "user_id"},
        None,
        ("recommendations", "score"),
    ),
    "popularity": Kind(
        popularity, (("recommendations",), ("item_counts",)), {"recommendations": "user_id"}
    ),
    "embeddings": Kind(
        embeddings, (("recommendations",), ("vectors", "items")), {"recommendations": "user_id"}
    ),
    "images": Kind(
        images,
        (("y_true", "y_pred"),),
        {},
        lambda data: {**data, "y_pred": data["y_true"].copy()},
    ),
    "boxes": Kind(
        boxes,
        (("ground_truth",), ("detections",)),
        {"ground_truth": "image_id", "detections": "image_id"},
        _detected_all,
        ("detections", "score"),
    ),
    "two boxes": Kind(two_boxes, (("a", "b"),), {}, lambda data: {**data, "b": data["a"].copy()}),
    "events": Kind(events, (("events",),), {"events": "user_id"}),
}
