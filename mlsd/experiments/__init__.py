"""Online experiments: who sees what, how many it takes, what came out, and what to do about it.

Everything takes arrays with one row a unit, or sums of them (:class:`Moments`), which add up over
days, machines and engines; :func:`compare` starts from the rows of a log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsd._lazy import lazy_names

__all__ = [
    "AlwaysValid",
    "ClusterComparison",
    "Comparison",
    "Decision",
    "DecisionRule",
    "DesignEffect",
    "Duration",
    "ExperimentReport",
    "FewClustersWarning",
    "GroupSequential",
    "Guard",
    "GuardCheck",
    "Guardrail",
    "Interleaved",
    "InterleavedRuns",
    "MetricRow",
    "Moments",
    "Preference",
    "Ramp",
    "RampAction",
    "RampState",
    "RatioMoments",
    "SampleRatioTest",
    "SampleSize",
    "SequentialLook",
    "ShadowLimits",
    "ShadowReport",
    "always_valid",
    "always_valid_path",
    "assign",
    "benjamini_hochberg",
    "bucket",
    "compare",
    "compare_clusters",
    "compare_means",
    "compare_ratios",
    "design_effect",
    "duration",
    "guardrail",
    "holm",
    "interleaving_test",
    "minimum_detectable_effect",
    "power",
    "sample_ratio_test",
    "sample_size",
    "shadow_report",
    "team_draft",
    "team_draft_orders",
]

if TYPE_CHECKING:
    from mlsd.experiments.assignment import SampleRatioTest, assign, bucket, sample_ratio_test
    from mlsd.experiments.clusters import (
        ClusterComparison,
        DesignEffect,
        FewClustersWarning,
        compare_clusters,
        design_effect,
    )
    from mlsd.experiments.comparison import Comparison, compare_means, compare_ratios
    from mlsd.experiments.decision import Decision, DecisionRule, Guardrail, guardrail
    from mlsd.experiments.interleaving import (
        Interleaved,
        InterleavedRuns,
        Preference,
        interleaving_test,
        team_draft,
        team_draft_orders,
    )
    from mlsd.experiments.moments import Moments, RatioMoments
    from mlsd.experiments.multiple import benjamini_hochberg, holm
    from mlsd.experiments.planning import (
        Duration,
        SampleSize,
        duration,
        minimum_detectable_effect,
        power,
        sample_size,
    )
    from mlsd.experiments.ramp import (
        Guard,
        GuardCheck,
        Ramp,
        RampAction,
        RampState,
        ShadowLimits,
        ShadowReport,
        shadow_report,
    )
    from mlsd.experiments.report import ExperimentReport, MetricRow, compare
    from mlsd.experiments.sequential import (
        AlwaysValid,
        GroupSequential,
        SequentialLook,
        always_valid,
        always_valid_path,
    )

_HOMES = {
    "assignment": ["SampleRatioTest", "assign", "bucket", "sample_ratio_test"],
    "moments": ["Moments", "RatioMoments"],
    "comparison": ["Comparison", "compare_means", "compare_ratios"],
    "report": ["ExperimentReport", "MetricRow", "compare"],
    "planning": [
        "Duration",
        "SampleSize",
        "duration",
        "minimum_detectable_effect",
        "power",
        "sample_size",
    ],
    "sequential": [
        "AlwaysValid",
        "GroupSequential",
        "SequentialLook",
        "always_valid",
        "always_valid_path",
    ],
    "multiple": ["benjamini_hochberg", "holm"],
    "decision": ["Decision", "DecisionRule", "Guardrail", "guardrail"],
    "interleaving": [
        "Interleaved",
        "InterleavedRuns",
        "Preference",
        "interleaving_test",
        "team_draft",
        "team_draft_orders",
    ],
    "clusters": [
        "ClusterComparison",
        "DesignEffect",
        "FewClustersWarning",
        "compare_clusters",
        "design_effect",
    ],
    "ramp": [
        "Guard",
        "GuardCheck",
        "Ramp",
        "RampAction",
        "RampState",
        "ShadowLimits",
        "ShadowReport",
        "shadow_report",
    ],
}
__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
