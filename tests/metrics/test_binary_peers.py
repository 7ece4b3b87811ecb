"""Binary and multiclass metrics against scikit-learn, SciPy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from statsmodels.stats.proportion import proportion_confint

from mlsd.metrics._arrays import average_precision_at_k
from mlsd.metrics._binary import average_precision, roc_auc
from mlsd.metrics._brier import brier
from mlsd.metrics._multiclass import classification_table, roc_auc_multiclass, top_k_accuracy
from mlsd.metrics._probability import log_loss
from mlsd.metrics._reliability import reliability_curve
from mlsd.metrics._thresholds import precision_recall_f1

CLOSE = {"rel": 1e-12, "abs": 1e-12}


@pytest.fixture(params=[(50, 3), (2000, None), (20_000, 40)], ids=["small", "untied", "tied"])
def sample(request):
    """Labels, probabilities (rounded, where they are to tie) and weights."""
    n, levels = request.param
    rng = np.random.default_rng(n)
    labels = (rng.random(n) < 0.3).astype(np.int8)
    proba = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.5 * labels - 1)))
    if levels:
        proba = np.round(proba * levels) / levels
        proba = proba.clip(0.01, 0.99)
    weights = rng.exponential(size=n) * (rng.random(n) < 0.9)
    return labels, proba, weights


def test_auc(sample):
    labels, proba, weights = sample
    assert roc_auc(labels, proba) == pytest.approx(sk.roc_auc_score(labels, proba), **CLOSE)
    peer = sk.roc_auc_score(labels, proba, sample_weight=weights)
    assert roc_auc(labels, proba, sample_weight=weights) == pytest.approx(peer, **CLOSE)
    u = mannwhitneyu(proba[labels == 1], proba[labels == 0]).statistic
    pairs = int(labels.sum()) * int((labels == 0).sum())
    assert roc_auc(labels, proba) == pytest.approx(u / pairs, **CLOSE)


def test_average_precision(sample):
    labels, proba, weights = sample
    peer = sk.average_precision_score(labels, proba)
    assert average_precision(labels, proba) == pytest.approx(peer, **CLOSE)
    peer = sk.average_precision_score(labels, proba, sample_weight=weights)
    assert average_precision(labels, proba, sample_weight=weights) == pytest.approx(peer, **CLOSE)
    listed = average_precision_at_k(labels, proba)  # the same as a ranking metric
    assert average_precision(labels, proba, ties="average") == pytest.approx(listed, **CLOSE)


def test_log_loss_and_brier(sample):
    labels, proba, weights = sample
    for scale in (None, weights):
        peer = sk.log_loss(labels, proba, sample_weight=scale)
        assert log_loss(labels, proba, sample_weight=scale) == pytest.approx(peer, **CLOSE)
        peer = sk.brier_score_loss(labels, proba, sample_weight=scale)
        assert brier(labels, proba, sample_weight=scale) == pytest.approx(peer, **CLOSE)
    both = np.stack([1 - proba, proba], axis=1)
    assert log_loss(labels, both) == pytest.approx(log_loss(labels, proba), **CLOSE)
    doubled = sk.brier_score_loss(labels, both, scale_by_half=False)
    assert 2 * brier(labels, proba) == pytest.approx(doubled, **CLOSE)


def test_precision_recall_f1(sample):
    labels, proba, weights = sample
    for scale in (None, weights):
        ours = precision_recall_f1(labels, proba, threshold=0.4, sample_weight=scale)
        peer = sk.precision_recall_fscore_support(
            labels, proba >= 0.4, sample_weight=scale, average="binary"
        )
        assert [ours.precision, ours.recall, ours.f1] == pytest.approx(peer[:3], **CLOSE)
        matrix = sk.confusion_matrix(labels, proba >= 0.4, sample_weight=scale)
        assert [ours.tn, ours.fp, ours.fn, ours.tp] == pytest.approx(matrix.ravel(), **CLOSE)
    ours = precision_recall_f1(labels, proba, level=0.9)
    for interval, base in (
        (ours.precision_ci, ours.tp + ours.fp),
        (ours.recall_ci, ours.tp + ours.fn),
    ):
        peer = proportion_confint(ours.tp, base, alpha=0.1, method="wilson")
        assert interval == pytest.approx(peer, **CLOSE)


def test_reliability_curve(sample):
    labels, proba, _ = sample
    ours = reliability_curve(labels, proba, n_bins=7, strategy="uniform").to_frame()
    ours = ours[ours["n"] > 0]
    # scikit-learn's bins hold their upper edge: no prediction lies on one of ours.
    assert not np.isin(proba, np.linspace(0, 1, 8)).any()
    observed, predicted = calibration_curve(labels, proba, n_bins=7)
    assert ours["observed"].to_numpy() == pytest.approx(observed, **CLOSE)
    assert ours["mean_predicted"].to_numpy() == pytest.approx(predicted, **CLOSE)
    peer = proportion_confint(ours["observed"] * ours["n"], ours["n"], method="wilson")
    assert ours[["lower", "upper"]].to_numpy() == pytest.approx(np.stack(peer, axis=1), **CLOSE)


@pytest.fixture(params=[200, 5000])
def classes(request):
    rng = np.random.default_rng(request.param)
    n, names = request.param, np.array(["ant", "bee", "cat", "dog"])
    truth = rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])
    logits = rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[truth]
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return names[truth], names, proba, rng.exponential(size=n)


def test_multiclass_scores(classes):
    truth, names, proba, weights = classes
    assert log_loss(truth, proba) == pytest.approx(sk.log_loss(truth, proba), **CLOSE)
    order = [2, 0, 3, 1]
    for scale in (None, weights):
        peer = sk.log_loss(truth, proba, sample_weight=scale)
        ours = log_loss(truth, proba[:, order], sample_weight=scale, labels=names[order])
        assert ours == pytest.approx(peer, **CLOSE)
        for k in (1, 2, 3):
            peer = sk.top_k_accuracy_score(truth, proba, k=k, sample_weight=scale)
            ours = top_k_accuracy(truth, proba, k=k, sample_weight=scale)
            assert ours == pytest.approx(peer, **CLOSE)


@pytest.mark.parametrize("multi_class", ["ovr", "ovo"])
@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_multiclass_auc(classes, multi_class, average):
    truth, names, proba, weights = classes
    options = {"multi_class": multi_class, "average": average}
    peer = sk.roc_auc_score(truth, proba, **options)
    assert roc_auc_multiclass(truth, proba, **options) == pytest.approx(peer, **CLOSE)
    reversed_ = roc_auc_multiclass(truth, proba[:, ::-1], labels=names[::-1], **options)
    assert reversed_ == pytest.approx(peer, **CLOSE)
    if multi_class == "ovr":
        peer = sk.roc_auc_score(truth, proba, sample_weight=weights, **options)
        ours = roc_auc_multiclass(truth, proba, sample_weight=weights, **options)
        assert ours == pytest.approx(peer, **CLOSE)


@pytest.mark.parametrize("weighted", [False, True])
def test_classification_table(classes, weighted):
    truth, names, proba, weights = classes
    predicted = names[proba.argmax(axis=1)]
    scale = weights if weighted else None
    table = classification_table(truth, predicted, sample_weight=scale)
    peer = sk.precision_recall_fscore_support(truth, predicted, sample_weight=scale)
    ours = table.per_class[["precision", "recall", "f1", "support"]].to_numpy()
    assert ours == pytest.approx(np.stack(peer, axis=1), **CLOSE)
    for average in ("macro", "weighted", "micro"):
        peer = sk.precision_recall_fscore_support(
            truth, predicted, sample_weight=scale, average=average
        )
        assert table.averages.loc[average].to_numpy() == pytest.approx(peer[:3], **CLOSE)
    accuracy = sk.accuracy_score(truth, predicted, sample_weight=scale)
    assert table.accuracy == pytest.approx(accuracy, **CLOSE)
    if not weighted:
        counts = table.per_class
        peer = proportion_confint(counts["tp"], counts["support"], method="wilson")
        ours = counts[["recall_lower", "recall_upper"]].to_numpy()
        assert ours == pytest.approx(np.stack(peer, axis=1), **CLOSE)
