"""The grouped layout, against a loop over the groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd._groups import Segments, group_rows, positions_in_runs

LENGTHS = st.one_of(
    st.lists(st.integers(0, 9), max_size=8),
    st.builds(lambda n, size: [size] * n, st.integers(1, 4), st.integers(0, 7)),
)


def parts(segments, values):
    return [
        values[start : start + n]
        for start, n in zip(segments.starts, segments.lengths, strict=True)
    ]


@given(LENGTHS, st.data())
def test_sort_argsort_and_searchsorted(lengths, data):
    segments = Segments.from_lengths(np.array(lengths, dtype=np.int64))
    n = segments.n_rows
    special = st.sampled_from([-np.inf, -1.0, 0.0, 2.5, np.inf])
    values = np.array(data.draw(st.lists(special, min_size=n, max_size=n)))
    ordered, order = segments.sort(values), segments.argsort(values)
    assert sorted(order.tolist()) == list(range(n))
    for got, by_order, part in zip(
        *(parts(segments, array) for array in (ordered, values[order], values)), strict=True
    ):
        np.testing.assert_array_equal(got, np.sort(part))
        np.testing.assert_array_equal(by_order, np.sort(part))
    expected = [
        i > 0 and part[i] == part[i - 1]
        for part in parts(segments, values)
        for i in range(len(part))
    ]
    assert segments.equals_previous(values).tolist() == expected
    needles = np.array([-np.inf, -2.0, -1.0, 2.5, np.inf])
    for right, side in ((False, "left"), (True, "right")):
        for i, part in enumerate(parts(segments, ordered)):
            which = np.full(needles.size, i)
            got = segments.searchsorted(ordered, which, needles, right=right)
            expected = np.searchsorted(part, needles, side=side) + segments.starts[i]
            np.testing.assert_array_equal(got, expected)


@given(LENGTHS, st.randoms(use_true_random=False))
def test_labels_positions_and_select(lengths, random):
    segments = Segments.from_lengths(np.array(lengths, dtype=np.int64))
    assert segments.labels().tolist() == [i for i, n in enumerate(lengths) for _ in range(n)]
    assert segments.positions().tolist() == [j for n in lengths for j in range(n)]
    assert positions_in_runs(segments.lengths).tolist() == segments.positions().tolist()
    keep = np.array([random.random() < 0.5 for _ in range(segments.n_rows)], dtype=bool)
    kept = segments.select(keep)
    assert kept.lengths.tolist() == [int(part.sum()) for part in parts(segments, keep)]


@given(st.lists(st.integers(0, 5), max_size=30))
def test_group_rows_is_a_stable_grouping(codes):
    order, segments = group_rows(np.array(codes, dtype=np.int64), 6)
    assert order.tolist() == np.argsort(codes, kind="stable").tolist()
    assert segments.lengths.tolist() == [codes.count(code) for code in range(6)]


def test_padding_at_most_doubles():
    lengths = np.arange(1, 200)
    blocks = list(Segments.from_lengths(lengths).blocks())
    assert sum(rows.size for rows, _, _ in blocks) < 2 * lengths.sum()
    assert len(blocks) == 9


def test_group_rows_refuses_too_many():
    with pytest.raises(ValueError, match=r"more than 2\*\*31 rows or groups: 1 rows"):
        group_rows(np.zeros(1, dtype=np.int64), 2**31)
