"""The metrics in cross-validation, against calling them on each fold by hand."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import StratifiedKFold, cross_val_predict, cross_validate
from sklearn.svm import LinearSVC

from mlsd import metrics
from mlsd.metrics._scorers import SCORERS, scorer


def make(n=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, rng.random(n) < 1 / (1 + np.exp(-X[:, 0] + 1))


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("labels", ["bool", "text"])
def test_cross_validate_gives_what_the_metric_gives_on_each_fold(name, labels):
    X, y = make()
    named = y if labels == "bool" else np.where(y, "yes", "no")
    options = {} if labels == "bool" else {"pos_label": "yes"}
    folds = StratifiedKFold(3)
    model = LogisticRegression()
    found = cross_validate(model, X, named, scoring=scorer(name, **options), cv=folds)
    proba = cross_val_predict(model, X, y, cv=folds, method="predict_proba")[:, 1]
    metric = getattr(metrics, name)
    for value, (_, rows) in zip(found["test_score"], folds.split(X, y), strict=True):
        expected = metric(y[rows], proba[rows])
        expected = getattr(expected, "value", expected)
        sign = 1 if SCORERS[name].higher_is_better else -1
        assert value == pytest.approx(sign * expected, abs=1e-12)


def test_a_model_without_probabilities_is_scored_by_its_decision():
    X, y = make()
    found = cross_validate(LinearSVC(), X, y, scoring=scorer("roc_auc"), cv=3)
    assert (found["test_score"] > 0.6).all()


def test_options_reach_the_metric():
    X, y = make(60)
    model = LogisticRegression(C=1e-6).fit(X, y)
    given = scorer("normalized_entropy", base_rate=0.01)(model, X, y)
    assert given == pytest.approx(
        -metrics.normalized_entropy(y, model.predict_proba(X)[:, 1], base_rate=0.01)
    )


def test_queries_are_routed_to_a_ranking_metric():
    X, y = make(120)
    query = np.arange(120) // 12
    with sklearn.config_context(enable_metadata_routing=True):
        by_query = make_scorer(metrics.ndcg, response_method="predict_proba")
        by_query = by_query.set_score_request(query=True)
        model = LogisticRegression().fit(X, y)
        found = by_query(model, X, y, query=query)
    assert found == metrics.ndcg(y, model.predict_proba(X)[:, 1], query=query)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"name must be one of 'roc_auc', .*; got 'auc'"):
        scorer("auc")
