"""tea-tasting in a process and environment of its own: reference values, and seconds.

    python benchmarks/_experiment_peers.py --make DIR    makes its environment, from PyPI
    python benchmarks/_experiment_peers.py --record PATH --peers DIR
                                                         writes the values that the tests compare
    PYTHON benchmarks/_experiment_peers.py --serve FILE  answers a task a line with its seconds

Its dependencies fit beside the pins of the project, but bring ibis and sqlglot along, 38 MB for one
test: so what it says is kept in `tests/experiments/peer_values.json`, together with the data that
it was asked about, and the environment is needed for the seconds alone. A task is answered with the
seconds from a frame in memory to the result, and with its p-value.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["TASKS", "TeaTasting", "python_of"]

REQUIREMENTS = ["tea-tasting==1.14.0", "pandas==3.1.1"]
SEED = 20261127
# What is asked for the seconds, by our names of the tasks: arguments of RatioOfMeans.
TASKS = {
    "means": ("spend",),
    "CUPED": ("spend", None, "before"),
    "ratios": ("clicks", "views"),
    "ratios, CUPED": ("clicks", "views", "clicks_before", "views_before"),
}


def python_of(folder: str | Path) -> Path:
    """Return where the Python of the environment is, made or not."""
    return (
        Path(folder) / "tea-tasting" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    )


def make(folder: str) -> None:
    """Make the environment."""
    python = python_of(folder)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(python.parent.parent)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *REQUIREMENTS], check=True)
    print(python)


def units(n_control: int, n_treatment: int, rng: np.random.Generator) -> dict[str, list[float]]:
    """Return a few units with metrics and covariates; heavy tails, and another spread by arm."""
    n = n_control + n_treatment
    arm = np.repeat([0, 1], [n_control, n_treatment])
    liking = rng.normal(size=n)
    views_before = 1 + rng.poisson(np.exp(1 + 0.5 * rng.normal(size=n)))
    views = 1 + rng.poisson(np.exp(1.1 + 0.5 * rng.normal(size=n)))
    click = 1 / (1 + np.exp(1 - liking))
    columns = {
        "arm": arm,
        "spend": np.round(np.exp(1 + liking + (0.5 + 0.3 * arm) * rng.normal(size=n)), 4),
        "before": np.round(np.exp(1 + liking + 0.5 * rng.normal(size=n)), 4),
        "views": views,
        "clicks": rng.binomial(views, click),
        "views_before": views_before,
        "clicks_before": rng.binomial(views_before, click),
    }
    return {name: column.tolist() for name, column in columns.items()}


def values() -> dict[str, Any]:
    """Return what tea-tasting says of a few small samples, and the samples."""
    import pandas as pd
    import tea_tasting as tt

    rng = np.random.default_rng(SEED)
    cases = []
    for name, sizes in {"equal": (60, 60), "unequal": (40, 120), "few": (7, 9)}.items():
        data = units(*sizes, rng)
        answers = []
        for task, columns in TASKS.items():
            for settings in (
                {},
                {"alternative": "greater"},
                {"alternative": "less", "confidence_level": 0.9},
                {"use_t": False},
            ):
                metric = tt.metrics.mean.RatioOfMeans(*columns, **settings)
                aggregates = tt.aggr.read_aggregates(
                    pd.DataFrame(data),
                    "arm",
                    has_count=True,
                    mean_cols=metric.aggr_cols.mean_cols,
                    var_cols=metric.aggr_cols.var_cols,
                    cov_cols=metric.aggr_cols.cov_cols,
                )
                told = metric.analyze_aggregates(aggregates[0], aggregates[1])._asdict()
                # One coefficient over both arms as if they were one sample: ours is another.
                total = (aggregates[0] + aggregates[1]).with_zero_div()
                told["theta"] = metric._covariate_coef(total)
                finite = {k: float(v) for k, v in told.items() if np.isfinite(v)}
                answers.append({"task": task, "settings": settings, "told": finite})
        cases.append({"name": name, "data": data, "answers": answers})
    ratios = []
    for counts, ratio in [((480, 520), 1), ((30, 12), 1), ((900, 2_100), 2), ((5_210, 4_790), 1)]:
        aggregates = [tt.aggr.Aggregates(count_=n) for n in counts]
        for method in ("binom", "norm"):
            metric = tt.SampleRatio(ratio, method=method, correction=False)
            told = metric.analyze({0: aggregates[0], 1: aggregates[1]}, 0, 1)
            ratios.append(
                {"counts": counts, "ratio": ratio, "method": method, "p_value": told.pvalue}
            )
    sizes = []
    for effect, power, ratio, alternative in [
        (0.05, 0.8, 1, "two-sided"),
        (0.08, 0.9, 1, "two-sided"),
        (0.05, 0.8, 3, "two-sided"),
        (0.05, 0.8, 1, "greater"),
    ]:
        metric = tt.Mean(
            "x",
            rel_effect_size=effect,
            power=power,
            ratio=ratio,
            alternative=alternative,
            use_t=False,
        )
        data = tt.aggr.Aggregates(count_=1_000, mean_={"x": 2.0}, var_={"x": 9.0})
        told = metric.solve_power_from_aggregates(data, "n_obs")[0]
        sizes.append(
            {
                "baseline": 2.0,
                "variance": 9.0,
                "relative": effect,
                "power": power,
                "ratio": ratio,
                "alternative": alternative,
                "n_both": int(told.n_obs),
            }
        )
    packages = ("tea-tasting", "numpy", "pandas", "scipy", "narwhals")
    return {
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "seed": SEED,
        "cases": cases,
        "sample_ratio": ratios,
        "sample_size": sizes,
    }


def serve(path: str) -> None:
    """Answer the tasks that come in, a line each, with their seconds and p-values."""
    import pandas as pd
    import tea_tasting as tt

    frame = pd.read_parquet(path)
    metrics = {task: tt.metrics.mean.RatioOfMeans(*columns) for task, columns in TASKS.items()}
    print(json.dumps({"version": importlib.metadata.version("tea-tasting")}), flush=True)
    for line in sys.stdin:
        task = line.strip()
        start = time.perf_counter()
        told = metrics[task].analyze(frame, 0, 1, "arm")
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "p_value": told.pvalue}), flush=True)


class TeaTasting:
    """tea-tasting in another process, which has read the frame and measures its own time."""

    def __init__(self, python: Path, frame: Path) -> None:
        self.process = subprocess.Popen(
            [str(python), __file__, "--serve", str(frame)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version: str = self.read()["version"]

    def read(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"tea-tasting ended with {self.process.wait()}")
        return json.loads(line)

    def __call__(self, task: str) -> dict[str, Any]:
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--make", metavar="DIR", help="make the environment there")
    parser.add_argument("--peers", metavar="DIR", help="the folder of the environment")
    parser.add_argument("--record", metavar="PATH", help="where to write the values of the tests")
    parser.add_argument("--serve", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.make)
    elif options.serve:
        serve(options.serve)
    elif options.record and options.peers:
        command = [str(python_of(options.peers)), __file__, "--record", options.record]
        subprocess.run(command, check=True)
    elif options.record:  # in the environment itself
        lines = [f"{json.dumps(name)}: {json.dumps(told)}" for name, told in values().items()]
        text = "{\n" + ",\n".join(lines) + "\n}\n"  # not a line for each number
        Path(options.record).write_text(text, encoding="utf-8")
    else:
        parser.print_help()


if __name__ == "__main__":
    main()
