"""Cut cubes out of a volume held in chunks, at any voxel and in any orientation of a cube."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

CHUNK: Final = 32
"""Side of the chunks that a volume is held in: a line of float16 is one line of the cache."""
USUAL_SIDE: Final = 32
_FITS: Final = -1


def cut_windows(
    chunks: NDArray[Any],
    slot_zyx: NDArray[np.int64],
    corner_zyx: NDArray[np.int64],
    strides_zyx: NDArray[np.int64],
    out: NDArray[Any],
    place: NDArray[np.int64],
) -> None:
    """Copy cubes of a volume, each turned, to their places in a batch.

    A volume held in chunks needs no copy after they are decoded, and a cube reads 64 kB stretches
    of memory, which the processor fetches ahead; lines of a whole volume lie too far apart for
    that, and took three times as long. Runs without the interpreter's lock.

    Parameters
    ----------
    chunks
        (k, 32, 32, 32) decoded chunks, C-contiguous, of 1, 2 or 4 bytes a voxel.
    slot_zyx
        (cz, cy, cx) which of `chunks` stands at each place of the volume; -1 for none.
    corner_zyx
        (n, 3) lowest voxel of each window, from the first voxel of the first place on.
    strides_zyx
        (n, 3) of each window: by how many voxels of the cube in C order one moves with a step
        along the volume's z, y and x (`window_strides`).
    out
        (B, side, side, side), C-contiguous, of the chunks' dtype.
    place
        (n,) row of `out` for each window.

    Raises
    ------
    ValueError
        Something does not fit, or a window touches a chunk that is not there; `out` may be partly
        written.
    """
    side = out.shape[-1]
    fits = chunks.shape[1:] == (CHUNK,) * 3 and out.shape[1:] == (side,) * 3
    fits = fits and out.dtype == chunks.dtype
    if not (fits and len(corner_zyx) == len(strides_zyx) == len(place)):
        raise ValueError(
            f"chunks {chunks.shape} {chunks.dtype}, {len(corner_zyx)} corners, "
            f"{len(strides_zyx)} strides and {len(place)} places do not fit {out.shape} {out.dtype}"
        )
    word = np.dtype(f"u{chunks.dtype.itemsize}")
    held, cubes = chunks.reshape(-1).view(word), out.reshape(len(out), -1).view(word)
    wrong = _cut(held, len(chunks), slot_zyx, corner_zyx, strides_zyx, cubes, place, side)
    if wrong != _FITS:
        raise ValueError(
            f"a window at {corner_zyx[wrong].tolist()} for place {place[wrong]} of {len(out)} "
            f"touches a chunk that is not among {slot_zyx.shape}"
        )


def window_strides(
    axes: tuple[int, ...], reversed_axes: tuple[int, ...], side: int
) -> tuple[int, int, int]:
    """Return the steps in a turned cube, in C order, that go with one along the volume's z, y, x.

    Parameters
    ----------
    axes
        For each axis of the turned cube the axis of the volume.
    reversed_axes
        Axes of the turned cube that run backwards.
    side
        Voxels along an axis.
    """
    steps = [0, 0, 0]
    for axis, old in enumerate(axes):
        step: int = side ** (2 - axis)
        steps[old] = -step if axis in reversed_axes else step
    return steps[0], steps[1], steps[2]


# Indices are unsigned where voxels are copied: for signed ones the compiler asks at each whether
# it counts from the end.
@njit(inline="always")
def _turn(
    plane: Any,  # noqa: ANN401
    pitch: Any,  # noqa: ANN401
    cube: Any,  # noqa: ANN401
    first: Any,  # noqa: ANN401
    step_b: int,
    step_x: int,
    side: Any,  # noqa: ANN401
) -> None:
    """Write a plane [b][x] to a cube, whose lines run along b or x, forwards or backwards."""
    n, by_b, by_x = np.uint64(side), np.uint64(abs(step_b)), np.uint64(abs(step_x))
    for b in range(n):
        row = first + b * by_b if step_b > 0 else first - b * by_b
        for x in range(n):
            there = row + x * by_x if step_x > 0 else row - x * by_x
            cube[there] = plane[b * pitch + x]


def _typed_tile(
    _typing: Any,  # noqa: ANN401
    plane: Any,  # noqa: ANN401
    here: Any,  # noqa: ANN401
    pitch: Any,  # noqa: ANN401
    cube: Any,  # noqa: ANN401
    there: Any,  # noqa: ANN401
    step: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Generate ``cube[there + i * step + j] = plane[here + j * pitch + i]`` for i and j below 8."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        source, target = (_data(context, builder, signature, args, at) for at in (0, 3))
        rows = [_load(builder, source, args[1], args[2], j) for j in range(_TILE)]
        # Three rounds of interleaving rows that lie half the tile apart are a transposition.
        for _ in range(3):
            pairs = [(rows[j], rows[j + _TILE // 2]) for j in range(_TILE // 2)]
            rows = [
                builder.shuffle_vector(one, other, _constant(half))
                for one, other in pairs
                for half in (_LOW_HALVES, _HIGH_HALVES)
            ]
        for i, row in enumerate(rows):
            _store(builder, target, args[4], args[5], i, row)
        return context.get_dummy_value()

    word = types.int64
    return types.void(plane, word, word, cube, word, word), generate


def _typed_piece(_typing: Any, plane: Any, here: Any, cube: Any, there: Any, order: Any) -> Any:  # noqa: ANN401
    """Generate the copy of 8 voxels, backwards if `order` is the literal -1."""
    is_backwards = order.literal_value < 0

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        source, target = (_data(context, builder, signature, args, at) for at in (0, 2))
        piece = _load(builder, source, args[1], args[1], 0)
        if is_backwards:
            piece = builder.shuffle_vector(piece, piece, _constant(range(_TILE - 1, -1, -1)))
        _store(builder, target, args[3], args[3], 0, piece)
        return context.get_dummy_value()

    return types.void(plane, types.int64, cube, types.int64, order), generate


_TILE: Final = 8
_LOW_HALVES: Final = [i for j in range(_TILE // 2) for i in (j, j + _TILE)]
_HIGH_HALVES: Final = [i + _TILE // 2 for i in _LOW_HALVES]


def _constant(mask: Any) -> Any:  # noqa: ANN401
    return ir.Constant(ir.VectorType(ir.IntType(32), _TILE), list(mask))


def _data(context: Any, builder: Any, signature: Any, args: Any, at: int) -> Any:  # noqa: ANN401
    return context.make_array(signature.args[at])(context, builder, args[at]).data


def _place(builder: Any, data: Any, first: Any, step: Any, n: int) -> tuple[Any, int]:  # noqa: ANN401
    """Return where the 8 voxels lie that begin ``n`` steps after the first, and their alignment."""
    at = builder.add(first, builder.mul(step, ir.Constant(first.type, n))) if n else first
    voxel = data.type.pointee
    vector: Any = ir.VectorType(voxel, _TILE)
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer()), voxel.width // 8


def _load(builder: Any, data: Any, first: Any, step: Any, n: int) -> Any:  # noqa: ANN401
    address, alignment = _place(builder, data, first, step, n)
    return builder.load(address, align=alignment)


def _store(builder: Any, data: Any, first: Any, step: Any, n: int, values: Any) -> None:  # noqa: ANN401
    address, alignment = _place(builder, data, first, step, n)
    builder.store(values, address, align=alignment)


_tile: Any = intrinsic(_typed_tile)
_piece: Any = intrinsic(prefer_literal=True)(_typed_piece)


@njit(inline="always")
def _tiles(
    plane: Any,  # noqa: ANN401
    pitch: int,
    cube: Any,  # noqa: ANN401
    first: int,
    step_b: int,
    step_x: int,
    side: int,
) -> None:
    """Do what `_turn` does, 8 voxels at a time; a step is one voxel, the side a multiple of 8."""
    back = _TILE - 1
    if step_x == 1:
        for b in range(side):
            for x in range(0, side, _TILE):
                _piece(plane, b * pitch + x, cube, first + b * step_b + x, 1)
    elif step_x == -1:
        for b in range(side):
            for x in range(0, side, _TILE):
                _piece(plane, b * pitch + x, cube, first + b * step_b - x - back, -1)
    elif step_b == 1:
        for x in range(0, side, _TILE):
            for b in range(0, side, _TILE):
                _tile(plane, b * pitch + x, pitch, cube, first + x * step_x + b, step_x)
    else:
        for x in range(0, side, _TILE):
            for b in range(0, side, _TILE):
                here, there = (b + back) * pitch + x, first + x * step_x - b - back
                _tile(plane, here, -pitch, cube, there, step_x)


def _typed_prefetch(_typing: Any, values: Any, place: Any) -> Any:  # noqa: ANN401
    """Generate a hint that ``values[place]`` will be read soon (LLVM, ``llvm.prefetch``)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        where = builder.bitcast(builder.gep(data, [args[1]]), byte)
        builder.call(hint, [where, word(0), word(2), word(1)])
        return context.get_dummy_value()

    return types.void(values, types.intp), generate


_prefetch: Any = intrinsic(_typed_prefetch)


@njit
def _fetch(chunks: Any, slots: Any, corner: Any, plane: int, side: int) -> None:  # noqa: ANN401
    """Ask for a plane of a window that is cut next: its chunks lie far apart in memory."""
    z, y, x = corner[0] + plane, corner[1], corner[2]
    if z < 0 or y < 0 or x < 0 or z // CHUNK >= slots.shape[0]:
        return
    low, high = y // CHUNK, min((y + side - 1) // CHUNK, slots.shape[1] - 1)
    first, last = x // CHUNK, min((x + side - 1) // CHUNK, slots.shape[2] - 1)
    for at_y in range(low, high + 1):
        top, end = max(y - at_y * CHUNK, 0), min(y + side - at_y * CHUNK, CHUNK)
        for at_x in range(first, last + 1):
            here = (slots[z // CHUNK, at_y, at_x] * CHUNK + z % CHUNK) * CHUNK
            for line in range(top, end):
                _prefetch(chunks, (here + line) * CHUNK)


@njit(inline="always")
def _stage(
    lines: Any,  # noqa: ANN401
    n_chunks: int,
    slots: Any,  # noqa: ANN401
    at: Any,  # noqa: ANN401
    stage_z: bool,
    wide: Any,  # noqa: ANN401
    pitch: int,
    words: int,
    side: int,
) -> bool:
    """Copy whole lines of chunks that hold a plane [b][x]; False where a chunk is not there."""
    a, b0, x0 = at
    apart = CHUNK if stage_z else 1
    n_lines = (x0 % CHUNK + side + CHUNK - 1) // CHUNK
    b = 0
    while b < side:
        rows = min(side - b, CHUNK - (b0 + b) % CHUNK)
        inside = (b0 + b) % CHUNK * apart + a % CHUNK * (CHUNK // apart)
        for k in range(n_lines):
            at_a, at_b = a // CHUNK, (b0 + b) // CHUNK
            at_z, at_y = (at_b, at_a) if stage_z else (at_a, at_b)
            slot = slots[at_z, at_y, x0 // CHUNK + k]
            if slot < 0 or slot >= n_chunks:
                return False
            here = np.uint64((slot * CHUNK**2 + inside) * words)
            target = np.uint64(b * pitch + k * words)
            for row in range(np.uint64(rows)):
                source = here + row * np.uint64(apart * words)
                there = target + row * np.uint64(pitch)
                for i in range(np.uint64(words)):
                    wide[there + i] = lines[source + i]
        b += rows
    return True


@njit(
    [
        f"int64({word}[::1], int64, int64[:, :, ::1], int64[:, ::1], int64[:, ::1], "
        f"{word}[:, ::1], int64[::1], int64)"
        for word in ("uint8", "uint16", "uint32")
    ],
    cache=True,
    nogil=True,
)
def _cut(
    chunks: Any,  # noqa: ANN401
    n_chunks: int,
    slots: Any,  # noqa: ANN401
    corner: Any,  # noqa: ANN401
    strides: Any,  # noqa: ANN401
    out: Any,  # noqa: ANN401
    place: Any,  # noqa: ANN401
    side: int,
) -> int:
    # A plane of the window with what is beside it in its chunks. The odd length of a line spreads
    # a column over the sets of the cache.
    words = CHUNK * chunks.itemsize // 8
    pitch = words * (side // CHUNK + 2) + 1
    wide = np.empty(pitch * side, np.uint64)
    plane = wide.view(out.dtype)
    per_word = 8 // chunks.itemsize
    cubes, lines_of_chunks = out.reshape(-1), chunks.view(np.uint64)
    for n in range(corner.shape[0]):
        if place[n] < 0 or place[n] >= out.shape[0]:
            return n
        for axis in range(3):
            if corner[n, axis] < 0 or corner[n, axis] + side > CHUNK * slots.shape[axis]:
                return n
        first = place[n] * out.shape[1]
        for axis in range(3):
            first -= min(0, strides[n, axis] * (side - 1))
        z0, y0, x0 = corner[n]
        sz, sy, sx = strides[n]
        # Lines of the cube run along x, or along the axis that a plane is staged for.
        stage_z = abs(sz) == 1
        a0, b0, step_a, step_b = (y0, z0, sy, sz) if stage_z else (z0, y0, sz, sy)
        for a in range(side):
            if n + 1 < corner.shape[0]:
                _fetch(chunks, slots, corner[n + 1], a, side)
            at = (a0 + a, b0, x0)
            if not _stage(lines_of_chunks, n_chunks, slots, at, stage_z, wide, pitch, words, side):
                return n
            staged, row, start = plane[x0 % CHUNK :], pitch * per_word, first + a * step_a
            # The usual side as a constant, so that the loops are unrolled.
            if side == USUAL_SIDE:
                _tiles(staged, row, cubes, start, step_b, sx, USUAL_SIDE)
            elif side % _TILE == 0:
                _tiles(staged, row, cubes, start, step_b, sx, side)
            else:
                _turn(staged, np.uint64(row), cubes, np.uint64(start), step_b, sx, side)
    return _FITS
