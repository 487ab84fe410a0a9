from __future__ import annotations

import numpy as np
import pytest

from c2s_data.store.scatter import scatter_rows


@pytest.mark.parametrize("shape", [(5, 2, 4), (5, 3, 7)])  # rows of whole words, and not
@pytest.mark.parametrize("dtype", ["u1", "f2", "f4"])
def test_rows_reach_their_places_and_nothing_else_changes(shape, dtype):
    rng = np.random.default_rng(1)
    rows = rng.integers(1, 200, shape).astype(dtype)
    arenas = [np.zeros((n, *shape[1:]), dtype) for n in (4, 9)]
    which, place = np.array([1, 0, 1, 1, 0]), np.array([8, 3, 0, 5, 0])
    scatter_rows(rows, arenas, which, place)
    expected = [np.zeros_like(arena) for arena in arenas]
    for row, arena, at in zip(rows, which, place, strict=True):
        expected[arena][at] = row
    for arena, values in zip(arenas, expected, strict=True):
        np.testing.assert_array_equal(arena, values)


def test_part_of_a_chunk_is_taken_where_it_lies():
    chunk, arena = np.arange(24, dtype="f4").reshape(6, 4), np.zeros((3, 4), "f4")
    scatter_rows(chunk[2:4], [arena], np.zeros(2, np.int64), np.array([2, 0]))
    np.testing.assert_array_equal(arena, [chunk[3], np.zeros(4), chunk[2]])


@pytest.mark.parametrize("place", [3, -1])
def test_a_place_outside_the_arena_is_refused(place):
    with pytest.raises(ValueError, match=f"row {place} is outside an arena of 3"):
        scatter_rows(
            np.ones((2, 4)), [np.zeros((3, 4))], np.zeros(2, np.int64), np.array([0, place])
        )


@pytest.mark.parametrize(
    ("arena", "n"), [(np.zeros((3, 5)), 2), (np.zeros((3, 4), "f4"), 2), (np.zeros((3, 4)), 1)]
)
def test_shapes_that_differ_are_refused(arena, n):
    with pytest.raises(ValueError, match="row"):
        scatter_rows(np.ones((2, 4)), [arena], np.zeros(n, np.int64), np.zeros(n, np.int64))
