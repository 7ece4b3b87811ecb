"""How often the intervals hold the truth: 2,000 logs a case, with fixed seeds.

The docstrings state these shares. With the seeds fixed, a share must lie within half a point of
what they say, which leaves room for rounding and none for another error.
"""

from __future__ import annotations

import numpy as np
import pytest

from mlsd.ope import (
    cascade_ips,
    clipped_ips,
    direct_method,
    doubly_robust,
    ips,
    position_ips,
    sndr,
    snips,
    switch_dr,
)

N_LOGS = 2000


def shares(n, hard, users=None):
    """Return the share of logs whose interval holds the truth, by estimator.

    Four contexts, five actions; the logging policy is a softmax of scores, the target of their
    opposite. The model of the reward is off by up to 30 %.
    """
    rng = np.random.default_rng(0)
    q = rng.uniform(0.02, 0.2, (4, 5))
    score = hard * rng.normal(size=(4, 5))
    logged, target = (np.exp(s) / np.exp(s).sum(axis=1, keepdims=True) for s in (score, -score))
    model = q * rng.uniform(0.7, 1.3, (4, 5))
    truth = float((target * q).sum(axis=1).mean())
    held = {}
    for _ in range(N_LOGS):
        if users is None:
            context, unit, liking = rng.integers(0, 4, n), None, np.ones(n)
        else:  # a user has one context, and likes all or nothing
            unit = np.arange(n) // (n // users)
            context = rng.integers(0, 4, users)[unit]
            liking = 2.0 * rng.integers(0, 2, users)[unit]
        u = rng.random(n)[:, None]
        action = (u > logged[context].cumsum(axis=1)[:, :-1]).sum(axis=1)
        reward = (rng.random(n) < q[context, action] * liking).astype(float)
        rows = {"pscore": logged[context, action], "target_prob": target[context, action]}
        wide = (target * model).sum(axis=1)[context]
        with_model = {**rows, "q_hat": model[context, action], "q_target": wide, "unit": unit}
        rows["unit"] = unit
        clipped = clipped_ips(reward, **rows, clip=4)
        results = {
            "ips": ips(reward, **rows),
            "clipped": clipped,
            "snips": snips(reward, **rows),
            "dr": doubly_robust(reward, **with_model),
            "sndr": sndr(reward, **with_model),
            "switch": switch_dr(reward, **with_model, threshold=4),
            "direct": direct_method(wide, unit=unit),
        }
        for name, one in results.items():
            held.setdefault(name, []).append(one.lower <= truth <= one.upper)
        wider = clipped.lower <= truth <= clipped.upper + clipped.max_bias
        held.setdefault("clipped + bias", []).append(wider)
        if users:
            by_row = ips(reward, rows["pscore"], rows["target_prob"])
            held.setdefault("ips by row", []).append(by_row.lower <= truth <= by_row.upper)
    return {name: float(np.mean(values)) for name, values in held.items()}


CASES = {
    "near": (
        {"n": 1000, "hard": 0.5},
        {"ips": 0.955, "snips": 0.954, "dr": 0.951, "sndr": 0.951, "direct": 0.074},
    ),
    "far": (
        {"n": 1000, "hard": 1.0},
        {
            "ips": 0.938,
            "clipped": 0.755,
            "clipped + bias": 1.0,
            "snips": 0.931,
            "dr": 0.936,
            "sndr": 0.934,
            "switch": 0.949,
            "direct": 0.012,
        },
    ),
    "few": (
        {"n": 200, "hard": 1.0},
        {
            "ips": 0.855,
            "clipped": 0.829,
            "clipped + bias": 0.993,
            "snips": 0.873,
            "dr": 0.906,
            "sndr": 0.884,
            "switch": 0.942,
        },
    ),
    "users": (
        {"n": 1000, "hard": 0.5, "users": 100},
        {"ips": 0.947, "ips by row": 0.847, "snips": 0.948, "dr": 0.949, "sndr": 0.949},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_decisions(case):
    options, stated = CASES[case]
    measured = shares(**options)
    assert {name: measured[name] for name in stated} == pytest.approx(stated, abs=0.005)


def slates(kind, n):
    """Return one log after the other of slates of 3 of 5 documents, clicked as `kind` has it."""
    rng = np.random.default_rng(0)
    logged, target = np.array([5.0, 4, 3, 2, 1]), np.array([2.0, 2, 2, 3, 3])
    click = np.array([0.1, 0.2, 0.3, 0.2, 0.1])
    look = np.array([1.0, 0.7, 0.5])
    slate, place = np.repeat(np.arange(n), 3), np.tile([1, 2, 3], n)
    orders = [
        (i, j, k) for i in range(5) for j in range(5) for k in range(5) if len({i, j, k}) == 3
    ]
    orders = np.array(orders)

    def conditional(weight):
        taken = weight[orders]
        return taken / (weight.sum() - (taken.cumsum(axis=1) - taken))

    one, other = conditional(logged), conditional(target)
    chance, wanted = one.prod(axis=1), other.prod(axis=1)
    if kind == "position":
        rate = look * click[orders]

        def marginal(p):
            table = np.zeros((3, 5))
            for k in range(3):
                np.add.at(table[k], orders[:, k], p)
            return table[np.arange(3), orders]

        one, other = marginal(chance), marginal(wanted)
    else:
        unclicked = (1 - click[orders]).cumprod(axis=1)
        rate = click[orders] * np.c_[np.ones(len(orders)), unclicked[:, :-1]]
    truth = float(wanted @ rate.sum(axis=1))
    for _ in range(N_LOGS):
        drawn = rng.choice(len(orders), n, p=chance)
        if kind == "position":
            reward = rng.random((n, 3)) < rate[drawn]
        else:
            attracted = rng.random((n, 3)) < click[orders[drawn]]
            reward = attracted & (attracted.cumsum(axis=1) == 1)
        rows = reward.ravel(), one[drawn].ravel(), other[drawn].ravel(), slate, place
        yield truth, rows


STATED_SLATES = {
    "position": {False: 0.950, True: 0.952},
    "cascade": {False: 0.925, True: 0.937},
}


@pytest.mark.parametrize("kind", STATED_SLATES)
def test_slates(kind):
    function = position_ips if kind == "position" else cascade_ips
    held = {False: [], True: []}
    for truth, rows in slates(kind, 300):
        for normalize in (False, True):
            result = function(*rows, normalize=normalize)
            held[normalize].append(result.lower <= truth <= result.upper)
    measured = {normalize: float(np.mean(values)) for normalize, values in held.items()}
    assert measured == pytest.approx(STATED_SLATES[kind], abs=0.005)
