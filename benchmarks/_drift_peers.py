"""What others say of two frames: each by its defaults, in a process and environment of its own.

    python benchmarks/_drift_peers.py --make DIR   makes the environments of the peers, from PyPI
    PYTHON benchmarks/_drift_peers.py --serve NAME answers a question a line, as JSON

A question is {"reference": PATH, "live": PATH}, two files of Parquet. The answer has the seconds
from frames in memory to the names of the alarmed columns ("*" is an alarm that names none), and the
peak of resident memory meanwhile beyond what was there before, on Linux. Reading the files is not
in the times. What is asked:

- evidently: `DataDriftPreset()`; a column alarms past the threshold of its method, which the
  preset chooses by size and kind.
- nannyml: `UnivariateDriftCalculator` and `MissingValuesCalculator`, chunks of as many rows as the
  live frame has, but ten in the reference, from which it takes its limits; an alert in any.
- whylogs: `why.log` of both frames, then `calculate_drift_scores`; a column alarms in its
  category DRIFT (p < .05).
- alibi-detect: `TabularDrift(p_val=.05)`, Kolmogorov-Smirnov or chi-squared with Bonferroni. It
  takes one matrix without NULLs: strings become codes, with one for NULL; numbers that are
  NULL the reference's median.
- frouros: `KSTest` and `ChiSquareTest` column by column, NULLs dropped, p < .05.
- deepchecks: `FeatureDrift` and `NewCategoryTrainTest` with the default limits of their conditions.
- menelaus: `KdqTreeBatch()` over the matrix of alibi-detect, scaled to the reference's range. It
  alarms for the whole frame, at alpha = .01, and takes batches to be as large as the reference:
  of a larger reference it gets as many rows as the live frame has, drawn at random.
- river: an `ADWIN` for each numeric column, NULLs left out, scaled to the reference's range, since
  its bound is for numbers from 0 to 1; the reference's rows first, and a column alarms if it does
  in the live rows. Strings are not its matter.
- scipy: `ks_2samp` and `chi2_contingency` column by column, NULLs dropped, levels with an expected
  count below 5 pooled, p < .05; "scipy + BH" after `false_discovery_control` at .05.
- mlsd cold, and mlsd stored: `DriftMonitor`, fitted on the reference's rows or on its profile as
  JSON, whose making is then not timed. Their strings, and scipy's, are pandas 3's; most peers have
  pandas 2 and strings as objects, and so has mlsd object, which is otherwise mlsd cold.
- np.sort: the numeric columns of both frames sorted, and nothing else.

Only ours looks at correlations; only whylogs' sketches draw without a seed. Telemetry is off by the
variables of `_drift_process.py`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import time
import warnings
from typing import Any

from _common import collector_off
from _drift_process import QUIET, forget_peak, make, resident

ALPHA = 0.05


def is_text(column: Any) -> bool:
    return column.dtype.kind not in "iufb"


def evidently(reference: Any, live: Any) -> list[str]:
    from evidently import Report
    from evidently.presets import DataDriftPreset

    found = Report([DataDriftPreset()]).run(live, reference).dict()
    names = []
    for metric in found["metrics"]:
        settings = metric["config"]
        if settings["type"].endswith(":ValueDrift"):
            value, limit = metric["value"], settings["threshold"]
            # A method by p-values alarms below its threshold, a distance above.
            by_p = "p_value" in settings["method"]
            if value < limit if by_p else value > limit:
                names.append(settings["column"])
    return names


def nannyml(reference: Any, live: Any) -> list[str]:
    import nannyml as nml

    size = min(len(live), len(reference) // 10)
    alarms = set()
    for calculator in (nml.UnivariateDriftCalculator, nml.MissingValuesCalculator):
        made = calculator(column_names=list(reference), chunk_size=size).fit(reference)
        found = made.calculate(live).filter(period="analysis").to_df()
        alarms |= {key[0] for key in found if key[-1] == "alert" and found[key].any()}
    return sorted(alarms)


def whylogs(reference: Any, live: Any) -> list[str]:
    import whylogs as why
    from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

    views = [why.log(frame).view() for frame in (live, reference)]
    found = calculate_drift_scores(*views, with_thresholds=True)
    return [name for name, score in found.items() if score and score["drift_category"] == "DRIFT"]


def as_matrix(reference: Any, live: Any) -> tuple[Any, Any, list[int]]:
    """Return both as matrices without NULLs, and the columns that hold codes."""
    import numpy as np
    import pandas as pd

    matrices = [np.empty(frame.shape) for frame in (reference, live)]
    coded = []
    for i, name in enumerate(reference):
        pair = reference[name], live[name]
        if is_text(reference[name]):
            coded.append(i)
            codes = pd.factorize(pd.concat(pair), use_na_sentinel=False)[0]
            pair = codes[: len(reference)], codes[len(reference) :]
        elif any(column.isna().any() for column in pair):
            pair = [column.fillna(reference[name].median()) for column in pair]
        for matrix, column in zip(matrices, pair, strict=True):
            matrix[:, i] = column
    return *matrices, coded


def alibi_detect(reference: Any, live: Any) -> list[str]:
    from alibi_detect.cd import TabularDrift

    x_reference, x_live, coded = as_matrix(reference, live)
    levels = dict.fromkeys(coded)
    detector = TabularDrift(x_reference, p_val=ALPHA, categories_per_feature=levels)
    p_values = detector.predict(x_live)["data"]["p_val"]
    names = zip(reference, p_values, strict=True)
    return [name for name, p in names if p < ALPHA / len(p_values)]


def frouros(reference: Any, live: Any) -> list[str]:
    from frouros.detectors.data_drift import ChiSquareTest, KSTest

    alarms = []
    for name in reference:
        test = ChiSquareTest() if is_text(reference[name]) else KSTest()
        test.fit(X=reference[name].dropna().to_numpy())
        if test.compare(X=live[name].dropna().to_numpy())[0].p_value < ALPHA:
            alarms.append(name)
    return alarms


def deepchecks(reference: Any, live: Any) -> list[str]:
    from deepchecks.tabular import Dataset
    from deepchecks.tabular.checks import FeatureDrift, NewCategoryTrainTest

    texts = [name for name in reference if is_text(reference[name])]
    pair = [Dataset(frame, cat_features=texts) for frame in (reference, live)]
    drift = FeatureDrift().run(*pair, with_display=False).value
    # The defaults of add_condition_drift_score_less_than: .2 for both kinds.
    alarms = [name for name, found in drift.items() if (found["Drift score"] or 0) >= 0.2]
    new = NewCategoryTrainTest().run(*pair, with_display=False).value
    return alarms + new.index[new["# New Categories"] > 0].tolist()


def menelaus(reference: Any, live: Any) -> list[str]:
    import numpy as np
    from menelaus.data_drift import KdqTreeBatch

    if len(reference) > len(live):
        reference = reference.sample(len(live), random_state=0)
    x_reference, x_live, _ = as_matrix(reference, live)
    low, high = x_reference.min(axis=0), x_reference.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    np.random.seed(0)  # noqa: NPY002  # its bootstrap takes no generator
    detector = KdqTreeBatch()
    detector.set_reference((x_reference - low) / width)
    detector.update((x_live - low) / width)
    return ["*"] if detector.drift_state == "drift" else []


def river(reference: Any, live: Any) -> list[str]:
    from river.drift import ADWIN

    alarms = []
    for name in reference:
        if is_text(reference[name]):
            continue
        detector = ADWIN()
        low, high = reference[name].min(), reference[name].max()
        for x in ((reference[name].dropna() - low) / (high - low)).tolist():
            detector.update(x)
        alarmed = False
        for x in ((live[name].dropna() - low) / (high - low)).tolist():
            detector.update(x)
            alarmed = alarmed or detector.drift_detected
        if alarmed:
            alarms.append(name)
    return alarms


def scipy_p(reference: Any, live: Any) -> dict[str, float]:
    """Return the p-value of each column: the loop that a careful engineer writes."""
    import numpy as np
    import pandas as pd
    from scipy.stats import chi2_contingency, ks_2samp

    p_values = {}
    for name in reference:
        ours, theirs = reference[name].dropna(), live[name].dropna()
        if not is_text(ours):
            p_values[name] = ks_2samp(ours.to_numpy(), theirs.to_numpy()).pvalue
            continue
        counts = pd.concat([ours.value_counts(), theirs.value_counts()], axis=1).fillna(0)
        table = counts.to_numpy().T
        expected = table.sum(axis=0) * (table.sum(axis=1).min() / table.sum())
        rare = expected < 5
        if rare.any():
            table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
        p_values[name] = chi2_contingency(table, correction=False).pvalue
    return p_values


def scipy(reference: Any, live: Any) -> list[str]:
    return [name for name, p in scipy_p(reference, live).items() if p < ALPHA]


def scipy_bh(reference: Any, live: Any) -> list[str]:
    from scipy.stats import false_discovery_control

    p_values = scipy_p(reference, live)
    adjusted = false_discovery_control(list(p_values.values()))
    return [name for name, p in zip(p_values, adjusted, strict=True) if p < ALPHA]


def np_sort(reference: Any, live: Any) -> list[str]:
    """Sort the numeric columns of both: no test of whole distributions can do without."""
    import numpy as np

    for frame in (reference, live):
        for name in frame:
            if not is_text(frame[name]):
                np.sort(frame[name].to_numpy())
    return []


def named(report: Any) -> list[str]:
    """Return the columns that are paged, the table being made too."""
    report.to_frame()
    return [str(alarm.column) for alarm in report.page]


def mlsd_cold(reference: Any, live: Any) -> list[str]:
    from mlsd.drift import DriftMonitor

    return named(DriftMonitor().fit(reference).compare(live))


def mlsd_stored(stored: str, live: Any) -> list[str]:
    from mlsd.drift import DriftMonitor, Profile

    return named(DriftMonitor().fit(Profile.from_json(stored)).compare(live))


def stored_profile(reference: Any) -> str:
    from mlsd.drift import Profile

    return Profile.from_frame(reference).to_json()


PEERS = {
    "evidently": evidently,
    "nannyml": nannyml,
    "whylogs": whylogs,
    "alibi-detect": alibi_detect,
    "frouros": frouros,
    "deepchecks": deepchecks,
    "menelaus": menelaus,
    "river": river,
    "scipy": scipy,
    "scipy + BH": scipy_bh,
    "mlsd cold": mlsd_cold,
    "mlsd stored": mlsd_stored,
    "mlsd object": mlsd_cold,
    "np.sort": np_sort,
}


def serve(name: str) -> None:
    """Answer each line of the input with a line."""
    os.environ.update(QUIET)
    warnings.simplefilter("ignore")
    import pandas as pd

    def read(path: str) -> Any:
        frame = pd.read_parquet(path)
        if name == "mlsd object":
            texts = [column for column in frame if is_text(frame[column])]
            frame = frame.astype(dict.fromkeys(texts, object))
        return frame

    call = PEERS[name]
    package = "numpy" if name == "np.sort" else name.split()[0]
    print(json.dumps({"version": importlib.metadata.version(package)}), flush=True)
    reference_path, reference = None, None
    for line in sys.stdin:
        question = json.loads(line)
        if question["reference"] != reference_path:
            reference_path = question["reference"]
            reference = read(reference_path)
            if name == "mlsd stored":
                reference = stored_profile(reference)
        live = read(question["live"])
        forget_peak()
        before = resident("VmRSS")
        with collector_off():
            start = time.perf_counter()
            try:
                answer = {"alarms": call(reference, live)}
            except Exception as error:  # a peer that fails is told, not hidden
                answer = {"error": f"{type(error).__name__}: {error}"[:300]}
            answer["seconds"] = time.perf_counter() - start
        answer["peak_mb"] = resident("VmHWM") - before
        print(json.dumps(answer), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--make", metavar="DIR", help="make the environments of the peers there")
    parser.add_argument("--serve", metavar="NAME", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.make)
    elif options.serve:
        serve(options.serve)
    else:
        parser.print_help()


if __name__ == "__main__":
    main()
