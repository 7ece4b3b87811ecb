"""Capacity of a funnel: load, queues, tails, machines, money, storage.

Standard library only, and no other part of mlsd: the folder can be copied into any project. Rates
are per second and times in seconds, but a plan and what it is made from are in the units of a
serving team: microseconds an item, milliseconds a request.
"""

from __future__ import annotations

from ._arithmetic import fan_out, fan_out_quantile, littles_law, peak_qps, tail_rule
from ._plan import Plan, StagePlan, plan
from ._published import PUBLISHED, PublishedFunnel, published_table
from ._queues import erlang_c, kingman, mm1_quantile, mmc_mean, mmc_quantile
from ._sensitivity import Sensitivity, SensitivityRow, sensitivity
from ._simulate import FanOutSimulation, QueueSimulation, simulate_fan_out, simulate_queue
from ._stages import StageLoad
from ._storage import postings_bytes, vector_index_bytes

__all__ = [
    "PUBLISHED",
    "FanOutSimulation",
    "Plan",
    "PublishedFunnel",
    "QueueSimulation",
    "Sensitivity",
    "SensitivityRow",
    "StageLoad",
    "StagePlan",
    "erlang_c",
    "fan_out",
    "fan_out_quantile",
    "kingman",
    "littles_law",
    "mm1_quantile",
    "mmc_mean",
    "mmc_quantile",
    "peak_qps",
    "plan",
    "postings_bytes",
    "published_table",
    "sensitivity",
    "simulate_fan_out",
    "simulate_queue",
    "tail_rule",
    "vector_index_bytes",
]
