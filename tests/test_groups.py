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
def test_searchsorted(lengths, data):
    segments = Segments.from_lengths(np.array(lengths, dtype=np.int64))
    n = segments.n_rows
    special = st.sampled_from([-np.inf, -1.0, 0.0, 2.5, np.inf])
    values = np.array(data.draw(st.lists(special, min_size=n, max_size=n)))
    ordered = np.concatenate([np.zeros(0), *map(np.sort, parts(segments, values))])
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


@given(LENGTHS, st.integers(1, 40))
def test_blocks_hold_every_row_once(lengths, entries):
    segments = Segments.from_lengths(np.array(lengths, dtype=np.int64))
    values = np.arange(segments.n_rows)
    back, seen = np.full(segments.n_rows, -1), []
    for block in segments.blocks(entries):
        matrix = block.spread(values, -9)
        for row, member in zip(matrix, block.members, strict=True):
            n = segments.lengths[member]
            np.testing.assert_array_equal(row[:n], parts(segments, values)[member])
            assert (row[n:] == -9).all()
        back[block.rows] = block.flatten(matrix)
        seen += block.members.tolist()
        matrix[:] = 0  # the caller's to change
    np.testing.assert_array_equal(back, values)
    assert sorted(seen) == np.flatnonzero(segments.lengths).tolist()
    rows = np.arange(segments.n_rows)
    assert segments.segment_of(rows).tolist() == segments.labels().tolist()


@given(LENGTHS, st.data())
def test_rows_of_some_segments(lengths, data):
    segments = Segments.from_lengths(np.array(lengths, dtype=np.int64))
    chosen = data.draw(st.lists(st.integers(0, max(len(lengths) - 1, 0)), unique=True, max_size=5))
    chosen = np.array(chosen if lengths else [], dtype=np.int64)
    flat = np.arange(segments.n_rows)
    expected = [row for i in chosen for row in parts(segments, flat)[i].tolist()]
    assert flat[segments.rows(chosen)].tolist() == expected


def test_padding_at_most_doubles():
    lengths = np.random.default_rng(0).permutation(np.repeat(np.arange(1, 400), 3))
    segments = Segments.from_lengths(lengths)
    for entries in (1 << 12, 1 << 17):
        blocks = list(segments.blocks(entries))
        assert sum(block.members.size * block.width for block in blocks) <= 2 * lengths.sum()
        assert max(block.members.size * block.width for block in blocks) <= 2 * (entries + 400)


def test_group_rows_refuses_too_many():
    with pytest.raises(ValueError, match=r"more than 2\*\*31 rows or groups: 1 rows"):
        group_rows(np.zeros(1, dtype=np.int64), 2**31)
