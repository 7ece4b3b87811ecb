"""Studies of interleaved lists, whose users prefer neither ranking on the whole, or one of them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from _experiment_rows import FALSE, HELD, POWER, counted

from mlsd.experiments import interleaving_test, team_draft
from mlsd.experiments.interleaving import team_draft_orders

__all__ = ["interleaving"]

ALPHA = 0.05
N_USERS, N_DOCS = 80, 10


def lists_of(n: int, better: float, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Return the credit of `a` and `b`, and the user, for the lists of n experiments.

    A user has two rankings of ten documents, in random order but for what is relevant, and sees
    them interleaved several times. `b` places what is relevant nearer to the top by `better`.
    """
    users = n * N_USERS
    relevant = rng.random((users, N_DOCS)) < 0.3
    noise = rng.random((2, users, N_DOCS))
    order_a = np.argsort(noise[0], axis=1)
    order_b = np.argsort(noise[1] - better * relevant, axis=1)
    user = np.repeat(np.arange(users), rng.geometric(0.25, users))
    coin = rng.random((user.size, N_DOCS // 2)) < 0.5
    order, team = team_draft_orders(order_a[user], order_b[user], coin)
    seen = 1 / np.arange(1, N_DOCS + 1)
    liked = np.take_along_axis(relevant[user], order, axis=1)
    click = rng.random(order.shape) < seen * np.where(liked, 0.6, 0.1)
    return (click & (team == 0)).sum(axis=1), (click & (team == 1)).sum(axis=1), user


def interleaving(n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Count what interleaving_test says by user, and list by list."""
    where = f"{N_USERS} users, 4 lists each on average"
    signs: dict[float, list[bool]] = {0.0: [], 0.15: []}
    sizes: dict[float, list[bool]] = {0.0: [], 0.15: []}
    held, size_held, alone = [], [], []
    for better in signs:
        done = 0
        while done < n:
            some = min(200, n - done)
            credit_a, credit_b, user = lists_of(some, better, rng)
            ends = np.searchsorted(user, np.arange(some + 1) * N_USERS)
            for start, stop in itertools.pairwise(ends):
                pair = credit_a[start:stop], credit_b[start:stop]
                found = interleaving_test(*pair, unit=user[start:stop])
                signs[better].append(found.p_value < ALPHA)
                sizes[better].append(found.difference_p_value < ALPHA)
                if not better:
                    held.append(found.lower <= 0.5 <= found.upper)
                    size_held.append(found.difference_lower <= 0 <= found.difference_upper)
                    by_list = interleaving_test(*pair)
                    alone.append(by_list.difference_p_value < ALPHA)
            done += some
    sign, size = "interleaving_test, sign", "interleaving_test, size"
    told = f"{where}; b better"
    # The sign test is exact, and its chances are steps: it keeps below its level.
    return [
        counted(sign, where, FALSE, signs[0.0], nominal=ALPHA, promise="at most"),
        counted(sign, where, HELD, held, nominal=1 - ALPHA, promise="at least"),
        counted(sign, told, POWER, signs[0.15]),
        counted(size, where, FALSE, sizes[0.0], nominal=ALPHA),
        counted(size, where, HELD, size_held, nominal=1 - ALPHA),
        counted(size, told, POWER, sizes[0.15]),
        counted("the same, list by list", where, FALSE, alone, nominal=ALPHA, promise=""),
        *drafts(n, rng),
    ]


def drafts(n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Count who picks the first place, and who gets a click that falls anywhere."""
    documents = list(range(6))
    first, credited = [], []
    for _ in range(n):
        rankings = [rng.permutation(documents).tolist() for _ in range(2)]
        merged = team_draft(*rankings, random_state=rng)
        clicks = np.zeros(len(merged.ranking))
        clicks[rng.integers(clicks.size)] = 1
        first.append(merged.teams[0] == "a")
        credited.append(merged.credit(clicks)[0] == 1)
    where = "two random rankings of six"
    return [
        counted("team_draft", where, "a picks first", first, nominal=0.5),
        counted("team_draft", where, "a gets a random click", credited, nominal=0.5),
    ]
