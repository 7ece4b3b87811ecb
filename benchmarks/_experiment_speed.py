"""Seconds of a comparison of a million units, in turns with SciPy, statsmodels and tea-tasting."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from _common import best_of, row, version
from _experiment_peers import TeaTasting, python_of
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from mlsd.experiments import compare, compare_means, compare_ratios

__all__ = ["speed"]

SEED = 20261129
ROUNDS = 5


def units(n: int) -> pd.DataFrame:
    """Return one row a unit: arm, spend, clicks and views, during and before."""
    rng = np.random.default_rng(SEED)
    liking = rng.normal(size=n)
    found: dict[str, Any] = {"arm": (rng.random(n) < 0.5).astype(np.int64)}
    found["before"] = np.exp(1 + 0.7 * liking + 0.5 * rng.normal(size=n))
    found["spend"] = np.exp(1 + 0.7 * liking + 0.5 * rng.normal(size=n))
    for when in ("_before", ""):
        found[f"views{when}"] = 1 + rng.poisson(2.0, n)
        rate = 1 / (1 + np.exp(2 - 0.5 * liking))
        found[f"clicks{when}"] = rng.binomial(found[f"views{when}"], rate)
    return pd.DataFrame(found)


def ours_of(frame: pd.DataFrame) -> dict[str, Callable[[], Any]]:
    """Return our calls on a frame of units, by the tasks of tea-tasting."""

    def means(covariate: bool) -> Any:
        treated = frame["arm"].to_numpy() == 1
        spend, before = frame["spend"].to_numpy(), frame["before"].to_numpy()
        pair = (before[~treated], before[treated]) if covariate else None
        return compare_means(spend[~treated], spend[treated], covariate=pair)

    def of_ratios(covariate: bool) -> Any:
        before = (frame["clicks_before"], frame["views_before"]) if covariate else None
        return compare_ratios(
            frame["clicks"], frame["views"], frame["arm"], control=0, covariate=before
        )

    return {
        "means": lambda: means(False),
        "CUPED": lambda: means(True),
        "ratios": lambda: of_ratios(False),
        "ratios, CUPED": lambda: of_ratios(True),
    }


def speed(n: int, folder: str | None) -> list[dict[str, Any]]:
    """Return the comparisons, after the p-values have been compared."""
    frame = units(n)
    rows = _in_process(frame)
    python = None if folder is None else python_of(folder)
    if python is None or not python.exists():
        print("not asked, no environment: tea-tasting")
        return rows
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "units.parquet"
        frame.to_parquet(path)
        peer = TeaTasting(python, path)
        for task, call in ours_of(frame).items():
            mine, theirs = float("inf"), float("inf")
            for _ in range(ROUNDS + 1):  # it imports late: the first turn warms up
                seconds, found = best_of(1, call)[0]
                told = peer(task)
                mine, theirs = min(mine, seconds), min(theirs, told["seconds"])
            agree(found.p_value, told["p_value"], task, 1e-2 if "CUPED" in task else 1e-9)
            what = f"{task}, {n:,} units, from a frame"
            rows.append(row(what, "tea-tasting", peer.version, mine, theirs))
        peer.close()
    return rows


def _in_process(frame: pd.DataFrame) -> list[dict[str, Any]]:
    n = len(frame)
    treated = frame["arm"].to_numpy() == 1
    spend, before = frame["spend"].to_numpy(), frame["before"].to_numpy()
    control, treatment = spend[~treated], spend[treated]
    pair = before[~treated], before[treated]

    def scipy_means() -> float:
        told = stats.ttest_ind(treatment, control, equal_var=False)
        told.confidence_interval()
        return float(told.pvalue)

    def statsmodels_means() -> float:
        peer = CompareMeans(DescrStatsW(treatment), DescrStatsW(control))
        peer.tconfint_diff(usevar="unequal")
        return float(peer.ttest_ind(usevar="unequal")[1])

    def regression() -> float:
        design = np.column_stack([np.ones(n), treated, before])
        return float(sm.OLS(spend, design).fit(cov_type="HC1").pvalues[1])

    def clustered() -> float:
        views, clicks = frame["views"].to_numpy(), frame["clicks"].to_numpy()
        user = np.repeat(np.arange(n), views)
        first = np.concatenate([[0], np.cumsum(views)[:-1]])
        clicked = (np.arange(user.size) - first[user] < clicks[user]).astype(float)
        design = np.column_stack([np.ones(user.size), treated[user]])
        fit = sm.OLS(clicked, design).fit(cov_type="cluster", cov_kwds={"groups": user})
        return float(fit.pvalues[1])

    ours = ours_of(frame)
    of_rows, log = _log_of(frame)
    contests: list[tuple[str, str, Callable[[], Any], Callable[[], Any], float, int]] = [
        (
            "means, {n} units, arrays",
            "scipy",
            lambda: compare_means(control, treatment),
            scipy_means,
            1e-9,
            ROUNDS,
        ),
        (
            "means, {n} units, arrays",
            "statsmodels",
            lambda: compare_means(control, treatment),
            statsmodels_means,
            1e-9,
            ROUNDS,
        ),
        (
            "CUPED, {n} units, arrays",
            "statsmodels",
            lambda: compare_means(control, treatment, covariate=pair),
            regression,
            5e-2,
            ROUNDS,
        ),
        ("ratios, {n} units, from a frame", "statsmodels", ours["ratios"], clustered, 5e-2, 2),
        ("a log of {log} rows to two metrics", "one pandas groupby", of_rows, log, 1e-9, 3),
    ]
    rows = []
    for task, peer, mine, theirs, within, rounds in contests:
        (seconds, found), (other, told) = best_of(rounds, mine, theirs)
        agree(getattr(found, "p_value", found), told, task, within)
        what = task.format(n=f"{n:,}", log=f"{int(frame['views'].sum()):,}")
        rows.append(row(what, peer, version(peer) if " " not in peer else "", seconds, other))
    return rows


def _log_of(frame: pd.DataFrame) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return a report from a row a view, and the sums of it by user alone."""
    rng = np.random.default_rng(SEED)
    views, clicks = frame["views"].to_numpy(), frame["clicks"].to_numpy()
    user = np.repeat(np.arange(len(frame)), views)
    first = np.concatenate([[0], np.cumsum(views)[:-1]])
    clicked = np.arange(user.size) - first[user] < clicks[user]
    arm = np.where(frame["arm"].to_numpy()[user] == 1, "treatment", "control")
    log = pd.DataFrame({"user_id": user, "arm": pd.Categorical(arm), "click": clicked * 1})
    log = log.iloc[rng.permutation(len(log))].reset_index(drop=True)

    def report() -> float:
        metrics = {"clicks": "click", "ctr": ("click", 1)}
        return compare(log, unit="user_id", arm="arm", metrics=metrics)["clicks"].treatment

    def sums() -> float:
        keys = ["arm", "user_id"]
        found = log.groupby(keys, observed=True, sort=False)["click"].agg(["sum", "size"])
        return float(found.loc["treatment", "sum"].mean())

    return report, sums


def agree(mine: float, theirs: float, task: str, within: float) -> None:
    """Raise if two values differ: then their times say nothing."""
    if not np.isclose(mine, theirs, rtol=within, atol=1e-12):
        raise AssertionError(f"{task}: {mine!r} is not {theirs!r}")
