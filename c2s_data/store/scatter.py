"""Copy decoded rows to their places, without the interpreter's lock and past the caches.

A batch is read long after its rows were written. An ordinary store would first load the line that
it overwrites and drive out what the decoder needs next. A store marked ``nontemporal`` (LLVM
language reference) does neither, and is an ordinary one where the processor has no such thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

_DONE = -1


def scatter_rows(
    rows: NDArray[Any],
    arenas: Sequence[NDArray[Any]],
    which: NDArray[np.int64],
    place: NDArray[np.int64],
) -> None:
    """Copy row ``i`` to ``arenas[which[i]][place[i]]``.

    Parameters
    ----------
    rows, arenas
        C-contiguous, of one dtype and, but for the first axis, of one shape.
    which, place
        (rows,) arena and row in it, for each row.

    Raises
    ------
    ValueError
        Something does not fit, or a place is outside its arena; arenas may be partly written then.
    """
    for number, arena in enumerate(arenas):
        fits = arena.dtype == rows.dtype and arena.shape[1:] == rows.shape[1:]
        if not fits or not len(which) == len(place) == len(rows):
            raise ValueError(
                f"{len(place)} places for rows {rows.shape} {rows.dtype} "
                f"in an arena {arena.shape} {arena.dtype}"
            )
        wrong = _scatter(_words(rows), _words(arena), which, number, place)
        if wrong != _DONE:
            raise ValueError(f"row {place[wrong]} is outside an arena of {len(arena)} rows")


def _words(values: NDArray[Any]) -> NDArray[Any]:
    """View rows as (rows, words), of eight bytes where they divide a row."""
    flat = values.reshape(len(values), -1)
    return flat.view(np.uint64 if flat.shape[1] * flat.itemsize % 8 == 0 else np.uint8)


def _typed_store(_typing: Any, arena: Any, row: Any, column: Any, value: Any) -> Any:  # noqa: ANN401
    """Generate ``arena[row, column] = value`` past the caches, for a C-contiguous arena."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        struct = context.make_array(signature.args[0])(context, builder, args[0])
        unpack: Any = cgutils.unpack_tuple
        offset = builder.add(builder.mul(args[1], unpack(builder, struct.shape)[1]), args[2])
        store = builder.store(args[3], builder.gep(struct.data, [offset]))
        one = context.get_constant(types.int32, 1)
        store.set_metadata("nontemporal", builder.module.add_metadata([one]))
        return context.get_dummy_value()

    return types.void(arena, types.intp, types.intp, arena.dtype), generate


def _typed_fence(_typing: Any) -> Any:  # noqa: ANN401
    """Generate a fence: such stores are not ordered with the stores after them by themselves."""

    def generate(context: Any, builder: Any, _signature: Any, _args: Any) -> Any:  # noqa: ANN401
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


store_past_caches: Any = intrinsic(_typed_store)
fence: Any = intrinsic(_typed_fence)


# Compiled on import: a worker that forks while a thread is in the compiler would wait for ever.
@njit(
    [
        "int64(uint64[:, ::1], uint64[:, ::1], int64[::1], int64, int64[::1])",
        "int64(uint8[:, ::1], uint8[:, ::1], int64[::1], int64, int64[::1])",
    ],
    cache=True,
    nogil=True,
)
def _scatter(rows: Any, arena: Any, which: Any, number: Any, place: Any) -> int:  # noqa: ANN401
    for i in range(rows.shape[0]):
        if which[i] != number:
            continue
        if place[i] < 0 or place[i] >= arena.shape[0]:
            return i
        for j in range(rows.shape[1]):
            store_past_caches(arena, place[i], j, rows[i, j])
    fence()
    return _DONE
