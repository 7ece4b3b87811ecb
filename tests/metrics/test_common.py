"""What holds for every metric of the table, on data that hypothesis makes up."""

from __future__ import annotations

import copy
from inspect import signature

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from common_data import KINDS
from common_table import EXEMPT, ROWS, form
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd import metrics
from mlsd._results import plain

FEW = settings(max_examples=8)
SEEDS = st.integers(0, 2**32 - 1)
TOLERANCE = 1e-12


def rows(**wanted):
    """Return the rows of the table whose properties are these, for parametrize."""
    chosen = [
        row for row in ROWS if all(bool(getattr(row, name)) is on for name, on in wanted.items())
    ]
    assert chosen
    return pytest.mark.parametrize("row", chosen, ids=[f"{row.label}-{row.kind}" for row in chosen])


def made(row, seed):
    rng = np.random.default_rng(seed)
    return KINDS[row.kind].make(rng), rng


def value_of(row, data, **options):
    return np.atleast_1d(np.asarray(row.value(row(data, **options)), dtype=np.float64))


def take(part, index):
    return {k: v[index] for k, v in part.items()} if isinstance(part, dict) else part[index]


def length(part):
    return len(next(iter(part.values()))) if isinstance(part, dict) else len(part)


def moved(kind, data, index_of):
    """Return the data with other rows: arguments that belong together have the same."""
    result = dict(data)
    for group in KINDS[kind].together:
        index = index_of(length(data[group[0]]))
        result |= {name: take(data[name], index) for name in group}
    return result


def is_near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_every_public_name_is_in_the_table_or_says_why_not():
    named = [name for names in EXEMPT for name in names.split()]
    assert len(named) == len(set(named))
    assert {row.name for row in ROWS}.isdisjoint(named)
    assert {row.name for row in ROWS} | set(named) == set(metrics.__all__)


def test_no_two_rows_are_the_same():
    assert len({(row.label, row.kind) for row in ROWS}) == len(ROWS)
    assert {row.kind for row in ROWS} == set(KINDS)


@rows()
@FEW
@given(SEEDS)
def test_values_lie_within_their_bounds(row, seed):
    values = value_of(row, made(row, seed)[0])
    low, high = row.bounds
    assert ((values >= low - TOLERANCE) & (values <= high + TOLERANCE)).all(), values


@rows()
@FEW
@given(SEEDS)
def test_the_order_of_the_rows_does_not_matter(row, seed):
    data, rng = made(row, seed)
    is_near(value_of(row, moved(row.kind, data, rng.permutation)), value_of(row, data))


@rows(double=True)
@FEW
@given(SEEDS)
def test_everything_twice_has_the_same_value(row, seed):
    data, _ = made(row, seed)
    unit = KINDS[row.kind].unit
    twice = dict(data)
    for name, part in data.items():
        if isinstance(part, dict) and name in unit:  # the second time under new names
            other = {
                **part,
                unit[name]: np.array([f"{x}'" for x in part[unit[name]]], dtype=object),
            }
            part = {**part, unit[name]: part[unit[name]].astype(str).astype(object)}
            twice[name] = {k: np.concatenate((v, other[k])) for k, v in part.items()}
        elif name in unit or not unit:
            again = part + 1000 if name == "query" else part
            twice[name] = np.concatenate((part, again))
    is_near(value_of(row, twice), value_of(row, data))


@rows(monotone=True)
@FEW
@given(SEEDS, st.sampled_from(["affine", "cube", "arctan", "exp"]))
def test_only_the_order_of_the_scores_matters(row, seed, transform):
    data, _ = made(row, seed)
    function = {
        "affine": lambda s: 1e-3 * s - 7,
        "cube": lambda s: s**3,
        "arctan": np.arctan,
        "exp": lambda s: np.exp(s / 4) - 1e3,
    }[transform]
    name, column = KINDS[row.kind].score
    part = data[name]
    changed = function(part) if column is None else {**part, column: function(part[column])}
    is_near(value_of(row, {**data, name: changed}), value_of(row, data))


@pytest.mark.parametrize("row", [r for r in ROWS if r.best is not None], ids=lambda r: r.label)
@FEW
@given(SEEDS)
def test_a_perfect_prediction_has_the_best_value(row, seed):
    data, _ = made(row, seed)
    is_near(value_of(row, KINDS[row.kind].perfect(data)), row.best)


@rows(weight=True)
@FEW
@given(SEEDS)
def test_a_weight_is_as_many_rows(row, seed):
    data, rng = made(row, seed)
    n = length(data["y_true"])
    weight = rng.integers(0, 4, n)
    weight[:4] = np.maximum(weight[:4], 1)  # each class keeps a weight
    repeated = moved(row.kind, data, lambda n: np.repeat(np.arange(n), weight))
    is_near(value_of(row, data, sample_weight=weight), value_of(row, repeated))


def test_every_function_with_weights_is_held_to_them():
    functions = [getattr(metrics, row.name) for row in ROWS]
    takes_weights = {f.__name__ for f in functions if "sample_weight" in signature(f).parameters}
    assert takes_weights == {row.name for row in ROWS if row.weight}


def parted(row, data, rng):
    """Return the data in two parts; all rows of a query or user are in one."""
    unit = KINDS[row.kind].unit
    first = rng.permutation(length(next(iter(data.values())))) % 2 == 0
    parts = []
    for side in (True, False):
        part = dict(data)
        for name, columns in data.items():
            if name in unit:
                in_first = np.array([int(str(u)[1:]) % 2 == 0 for u in columns[unit[name]]])
                part[name] = take(columns, in_first == side)
            elif not unit:
                part[name] = columns[first == side]
        parts.append(part)
    return parts


@pytest.mark.filterwarnings("ignore::mlsd.metrics.UndefinedMetricWarning")  # of a part alone
@rows(chunks=True)
@FEW
@given(SEEDS)
def test_merged_chunks_are_the_whole(row, seed):
    data, rng = made(row, seed)
    merged = np.asarray(row.chunks(parted(row, data, rng)), dtype=np.float64)
    is_near(np.atleast_1d(merged), value_of(row, data))


def _shuffled(values):
    n = length(values)
    index = np.random.default_rng(0).permutation(n) - n // 2
    if isinstance(values, dict) or values.ndim == 2:
        return pd.DataFrame(values, index=index)
    return pd.Series(values, index=index)


def _of_pyarrow(values):
    if isinstance(values, dict):
        return pd.DataFrame(values).convert_dtypes(dtype_backend="pyarrow")
    return pd.array(values.tolist(), dtype=pd.ArrowDtype(pa.array(values.tolist()).type))


def _polars(values):
    if isinstance(values, dict):
        return pl.DataFrame({name: _plain_text(column) for name, column in values.items()})
    return pl.Series(_plain_text(values))


def _plain_text(column):
    return column.tolist() if column.dtype == object else column


def _arrow(values):
    return (
        pa.table(values) if isinstance(values, dict) else pa.chunked_array([values[:1], values[1:]])
    )


# The container, and the number of dimensions it can hold; a table has two.
FORMS = {
    "pandas with a shuffled index": (_shuffled, (1, 2)),
    "pandas with types of pyarrow": (_of_pyarrow, (1,)),
    "polars": (_polars, (1,)),
    "pyarrow": (_arrow, (1,)),
    "lists": (lambda values: values.tolist(), (1, 2, 3)),
}


def _changes(form_name, part):
    if isinstance(part, dict):
        return form_name != "lists"
    return part.ndim in FORMS[form_name][1]


IN_OTHER_FORMS = [
    pytest.param(row, name, id=f"{row.label}-{row.kind}-{name}")
    for row in ROWS
    for name in FORMS
    if any(_changes(name, part) for part in made(row, 7)[0].values())
]


@pytest.mark.parametrize(("row", "name"), IN_OTHER_FORMS)
def test_all_containers_give_the_identical_result(row, name):
    data, _ = made(row, 7)
    changed = {
        argument: FORMS[name][0](part) if _changes(name, part) else part
        for argument, part in data.items()
    }
    assert repr(plain(row(changed))) == repr(plain(row(data)))


@rows()
def test_arguments_are_left_as_they_are(row):
    data, _ = made(row, 11)
    ready = {name: form(part) for name, part in data.items()}
    before = copy.deepcopy(ready)
    first = repr(plain(row(ready)))
    assert repr(plain(row(ready))) == first
    for name, part in ready.items():
        if isinstance(part, pd.DataFrame):
            pd.testing.assert_frame_equal(part, before[name])
        else:
            np.testing.assert_array_equal(part, before[name])
            assert part.dtype == before[name].dtype
