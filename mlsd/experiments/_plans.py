"""What a caller wants compared: metrics, covariates and guardrails by name, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsd.experiments._plan import as_number

__all__ = ["columns_of", "read_covariates", "read_margins", "read_names", "read_plans"]


def read_plans(metrics: Any, name: str) -> dict[str, tuple[Any, ...]]:
    """Return by metric what is summed: a column or a number, or two of them."""
    if not isinstance(metrics, Mapping):
        raise TypeError(f"{name} must be a mapping from metric to column or pair; got {metrics!r}")
    if not metrics:
        raise ValueError(f"{name} is empty: there is nothing to compare")
    plans = {}
    for metric, plan in metrics.items():
        parts = tuple(plan) if isinstance(plan, tuple | list) else (plan,)
        if len(parts) not in (1, 2):
            raise ValueError(
                f"{name}[{metric!r}] must be a column, or numerator and denominator; got {plan!r}"
            )
        for part in parts:
            if isinstance(part, bool) or not isinstance(part, (str, int, float)):
                raise TypeError(
                    f"{name}[{metric!r}] must name columns, or have the number 1 to count rows; "
                    f"got {part!r}"
                )
        plans[metric] = parts
    return plans


def read_covariates(
    covariates: Any, plans: dict[str, tuple[Any, ...]], has_before: bool
) -> dict[str, tuple[Any, ...]]:
    if covariates is None:
        return dict(plans) if has_before else {}
    extra = read_plans(covariates, "covariates")
    read_names(extra, "covariates", plans)
    for metric, parts in extra.items():
        if len(parts) > len(plans[metric]):
            raise ValueError(
                f"covariates[{metric!r}] is a ratio and the metric is none: give one column"
            )
        if not has_before and not all(isinstance(part, str) for part in parts):
            raise ValueError(f"covariates[{metric!r}] counts rows, which needs `before`")
    return extra


def read_margins(guardrails: Any, plans: dict[str, Any]) -> dict[str, float]:
    if guardrails is None:
        return {}
    if not isinstance(guardrails, Mapping):
        raise TypeError(f"guardrails must be a mapping from metric to margin; got {guardrails!r}")
    read_names(guardrails, "guardrails", plans)
    for metric, margin in guardrails.items():
        if as_number(margin, f"guardrails[{metric!r}]") < 0:
            raise ValueError(
                f"guardrails[{metric!r}] must be at least 0, whichever way is worse; got {margin!r}"
            )
    return {metric: float(margin) for metric, margin in guardrails.items()}


def read_names(names: Any, argument: str, plans: dict[str, Any]) -> set[str]:
    if isinstance(names, str):
        raise TypeError(f"{argument} must be a collection of metrics; got {names!r}")
    unknown = [name for name in names if name not in plans]
    if unknown:
        raise ValueError(f"{argument} names {unknown}; the metrics are {list(plans)}")
    return set(names)


def columns_of(plans: dict[str, tuple[Any, ...]]) -> list[str]:
    return [part for parts in plans.values() for part in parts if isinstance(part, str)]
