"""Windows out of chunks: each against slices and numpy's own rotations, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from c2s_data.transforms.cut_windows import CHUNK, cut_windows, window_strides

GRID = (3, 2, 4)


def turned(cube: np.ndarray, axes: tuple[int, ...], backwards: tuple[int, ...]) -> np.ndarray:
    return np.flip(np.transpose(cube, axes), backwards)


def held(dtype: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return chunks in random slots, the slots, and the volume that they are."""
    rng = np.random.default_rng(seed)
    n = int(np.prod(GRID))
    chunks = rng.integers(0, 255, (n + 3, CHUNK, CHUNK, CHUNK)).astype(dtype)
    slots = rng.permutation(n + 3)[:n].reshape(GRID)
    volume = chunks[slots].transpose(0, 3, 1, 4, 2, 5).reshape([CHUNK * i for i in GRID])
    return chunks, slots, volume


ORIENTATIONS = [
    (axes, backwards)
    for axes in itertools.permutations(range(3))
    for n in range(4)
    for backwards in itertools.combinations(range(3), n)
]


@pytest.mark.parametrize("dtype", ["u1", "f2", "f4"])
@pytest.mark.parametrize("side", [5, 16, 32, 40, 64])
def test_windows_are_slices_that_were_turned(dtype: str, side: int) -> None:
    chunks, slots, volume = held(dtype)
    n = len(ORIENTATIONS)
    assert n == 48  # mirrored ones too: which are allowed is not decided here
    rng = np.random.default_rng(side)
    corner = rng.integers(0, np.array(volume.shape) - side + 1, (n, 3))
    corner[0], corner[1] = 0, np.array(volume.shape) - side
    strides = np.array([window_strides(*one, side) for one in ORIENTATIONS])
    out = np.full((n + 2, side, side, side), 7, dtype)
    place = rng.permutation(n + 2)[:n]
    cut_windows(chunks, slots, corner, strides, out, place)
    for (z, y, x), orientation, row in zip(corner, ORIENTATIONS, place, strict=True):
        cube = volume[z : z + side, y : y + side, x : x + side]
        np.testing.assert_array_equal(out[row], turned(cube, *orientation))
    assert (np.delete(out, place, axis=0) == 7).all()


def test_a_quarter_turn_is_that_of_numpy() -> None:
    chunks, slots, volume = held("u1")
    out = np.empty((1, 32, 32, 32), "u1")
    strides = np.array([window_strides((0, 2, 1), (1,), 32)])
    cut_windows(chunks, slots, np.array([[3, 30, 64]]), strides, out, np.array([0]))
    np.testing.assert_array_equal(out[0], np.rot90(volume[3:35, 30:62, 64:96], axes=(1, 2)))


@pytest.mark.parametrize(
    ("corner", "place"),
    [((-1, 0, 0), 0), ((65, 0, 0), 0), ((0, 33, 0), 0), ((0, 0, 97), 0), ((0, 0, 0), 1),
     ((0, 0, 0), -1), ((40, 0, 0), 0)],
)  # fmt: skip
def test_no_window_leaves_what_is_held(corner: tuple[int, ...], place: int) -> None:
    chunks, slots, _ = held("u1")
    slots[2, 1, 0] = -1
    slots[1, 0, 0] = len(chunks) if corner == (40, 0, 0) else 0
    out = np.empty((1, 32, 32, 32), "u1")
    strides = np.array([window_strides((0, 1, 2), (), 32)])
    with pytest.raises(ValueError, match="touches a chunk that is not among"):
        cut_windows(chunks, slots, np.array([corner]), strides, out, np.array([place]))


def test_arrays_must_fit() -> None:
    chunks, slots, _ = held("u1")
    strides = np.array([window_strides((0, 1, 2), (), 32)])
    corner, place = np.zeros((1, 3), np.int64), np.zeros(1, np.int64)
    for out in (np.empty((1, 32, 32, 31), "u1"), np.empty((1, 32, 32, 32), "u2")):
        with pytest.raises(ValueError, match="do not fit"):
            cut_windows(chunks, slots, corner, strides, out, place)
    with pytest.raises(ValueError, match="2 places do not fit"):
        cut_windows(chunks, slots, corner, strides, out, np.zeros(2, np.int64))
