"""Drift detection: a profile of the reference, a monitor with a budget of false pages, a report.

A :class:`Profile` is what the reference looked like: exact counts on fixed edges, small, mergeable
and stored as JSON. A :class:`DriftMonitor` compares live rows with it and pages at most as often by
chance as its budget says. A :class:`DriftReport` says what changed, by how much, and what to look
at first.

The functions beside them are single methods: distances between two samples or histograms, and the
questions an engineer asks next (which correlations moved, which one-feature model lost its skill,
can a classifier tell the two samples apart).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsd._lazy import lazy_names

__all__ = [
    "KS",
    "MMD",
    "PSI",
    "Alarm",
    "Calibration",
    "ColumnProfile",
    "CorrelationDrift",
    "DomainAUC",
    "DriftMonitor",
    "DriftReport",
    "LeaveOneOutDrift",
    "PairProfile",
    "Profile",
    "SingleFeatureDrift",
    "TargetDrift",
    "Unchecked",
    "correlation_drift",
    "domain_auc",
    "js_distance",
    "ks",
    "leave_one_out_drift",
    "mmd",
    "psi",
    "single_feature_drift",
    "target_drift",
    "wasserstein",
]

if TYPE_CHECKING:
    from mlsd.drift._calibrate import Calibration
    from mlsd.drift.correlation import CorrelationDrift, correlation_drift
    from mlsd.drift.distances import KS, PSI, js_distance, ks, psi, wasserstein
    from mlsd.drift.domain import DomainAUC, domain_auc
    from mlsd.drift.kernel import MMD, mmd
    from mlsd.drift.leave_one_out import LeaveOneOutDrift, leave_one_out_drift
    from mlsd.drift.monitor import DriftMonitor
    from mlsd.drift.profile import ColumnProfile, PairProfile, Profile
    from mlsd.drift.report import Alarm, DriftReport, Unchecked
    from mlsd.drift.single_feature import SingleFeatureDrift, single_feature_drift
    from mlsd.drift.target import TargetDrift, target_drift

# Imported when first asked for: a worker that makes profiles needs neither tests nor reports.
_HOMES = {
    "_calibrate": ["Calibration"],
    "correlation": ["CorrelationDrift", "correlation_drift"],
    "distances": ["KS", "PSI", "js_distance", "ks", "psi", "wasserstein"],
    "domain": ["DomainAUC", "domain_auc"],
    "kernel": ["MMD", "mmd"],
    "leave_one_out": ["LeaveOneOutDrift", "leave_one_out_drift"],
    "monitor": ["DriftMonitor"],
    "profile": ["ColumnProfile", "PairProfile", "Profile"],
    "report": ["Alarm", "DriftReport", "Unchecked"],
    "single_feature": ["SingleFeatureDrift", "single_feature_drift"],
    "target": ["TargetDrift", "target_drift"],
}
__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
