"""The world's truth referees: its propensities, and its expected clicks of another policy."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from mlsd.ope import cascade_ips, doubly_robust, ips, position_ips, sndr, snips
from mlsd.world import World

N_WORLDS = 10
SMALL = {"n_users": 400, "n_items": 100, "candidates": 6}


def liked(requests, candidates):
    return candidates["topic"] + 0.5 * np.sin(candidates["doc_id"])


def logging(target):
    """Return a policy that logs beside its slate the rank that the target gives a document."""

    def policy(requests, candidates):
        score = pd.Series(np.asarray(target(requests, candidates)), candidates.index)
        rank = score.groupby(candidates["request_id"]).rank(ascending=False, method="first")
        return pd.DataFrame({"score": liked(requests, candidates), "target_rank": rank})

    return policy


def t_value(differences):
    return float(np.mean(differences)) / (np.std(differences, ddof=1) / math.sqrt(N_WORLDS))


def test_explored_logs_tell_what_another_policy_earns():
    found = {"log": [], "ips": [], "snips": [], "dr": [], "sndr": [], "slate": []}
    held = 0
    for seed in range(N_WORLDS):
        one = World("feed", **SMALL, slate=1, random_state=seed)
        target = one.truth.oracle
        truth = one.truth.expect(target).clicks_per_request
        log = one.serve(logging(target), 1, explore=0.5)
        rows = log["click"], log["propensity"], (log["target_rank"] == 1).astype(float)
        flat = np.full(len(log), 0.1)
        results = {
            "ips": ips(*rows, unit=log["user_id"]),
            "snips": snips(*rows, unit=log["user_id"]),
            "dr": doubly_robust(*rows, flat, q_target=flat, unit=log["user_id"]),
            "sndr": sndr(*rows, flat, q_target=flat, unit=log["user_id"]),
        }
        found["log"].append(log["click"].mean() - truth)
        for name, result in results.items():
            found[name].append(result.value - truth)
            held += result.lower <= truth <= result.upper
        three = World("feed", **SMALL, slate=3, random_state=seed)
        target = three.truth.oracle
        truth = three.truth.expect(target).clicks_per_request
        log = three.serve(logging(target), 1, explore=0.5)
        same = (log["target_rank"] == log["position"]).astype(float)
        rows = log["click"], log["propensity"], same, log["request_id"], log["position"]
        result = position_ips(*rows, unit=log["user_id"])
        found["slate"].append(result.value - truth)
        held += result.lower <= truth <= result.upper
    t_values = {name: t_value(values) for name, values in found.items()}
    assert abs(t_values.pop("log")) > 5
    assert all(abs(value) < 4 for value in t_values.values())
    assert held >= 42


def test_sampled_slates_tell_what_another_temperature_earns():
    naive, mended = [], []
    for seed in range(N_WORLDS):
        world = World("feed", **SMALL, slate=3, examination="cascade", random_state=seed)
        target = world.truth.oracle
        truth = world.truth.expect(target, temperature=0.1).clicks_per_request
        seen = []

        def sampled(requests, candidates, seen=seen, target=target):
            seen.append(candidates.assign(target=np.asarray(target(requests, candidates))))
            return liked(requests, candidates)

        log = world.serve(sampled, 1, temperature=3.0)
        weight = pd.concat(seen)
        weight["target"] = np.exp(weight["target"] / 0.1)
        total = weight.groupby("request_id")["target"].sum()
        log = log.merge(weight[["request_id", "doc_id", "target"]], on=["request_id", "doc_id"])
        log = log.sort_values(["request_id", "position"])
        above = log.groupby("request_id")["target"].cumsum() - log["target"]
        chance = log["target"] / (log["request_id"].map(total) - above)
        result = cascade_ips(
            log["click"],
            log["propensity"],
            chance.clip(upper=1.0),
            log["request_id"],
            log["position"],
            unit=log["user_id"],
        )
        mended.append(result.value - truth)
        naive.append(log["click"].sum() / log["request_id"].nunique() - truth)
    assert abs(t_value(naive)) > 5
    assert abs(t_value(mended)) < 4
