"""Maps too large for memory: arrays that lie in a file, gone through a part at a time.

A memory-mapped array is an array like any other, so whatever can be computed of a map can be
computed of one in a file, to the last bit. Only what was touched of it stays in memory until it is
given back: `slabs` and `batches` do so after each part. An array in memory is one part.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

SLAB_BYTES = 32 * 2**20
"""How much of the arrays in files is touched before it is given back."""
_AROUND = 2 * 2**16  # the system maps 64 KiB around each touch, and a touch may be at their border
_MULTIPLE = 8
# Sums over a map are kept in four parts and splines are made eight planes at a time: whole ones in
# each slab keep the order of additions, and no work is done twice.


class Allocate(Protocol):
    """Gives a new array, in memory (`numpy.empty`) or in a file (`c2s_data.scratch`)."""

    def __call__(self, shape: tuple[int, ...], dtype: DTypeLike, /) -> NDArray[Any]:
        """Return an array, C-contiguous, of any content."""


def is_paged(values: NDArray[Any]) -> bool:
    """Say whether an array, or what it is a view of, lies in a file."""
    return _mapping(values) is not None


def release(*arrays: NDArray[Any]) -> None:
    """Give back the memory of arrays that lie in files; their values stay."""
    for values in arrays:
        mapping = _mapping(values)
        if mapping is not None:
            mapping.madvise(mmap.MADV_DONTNEED)


def slabs(n: int, *arrays: NDArray[Any]) -> Iterator[slice]:
    """Cut 0 to n so that little of the arrays is in memory at once.

    Parameters
    ----------
    n
        Planes of a map that is made or gone through, or voxels of a flat one.
    arrays
        What is read and written meanwhile, each in step with the cuts: a map and a coarser one of
        it have different numbers of planes, but the same share of them belongs to a slab.

    Yields
    ------
    slice
        Start and stop, one after another; 0 to n where all arrays are in memory.
    """
    paged = [values for values in arrays if is_paged(values)]
    step = max(n, 1)
    if paged:
        fitting = n * SLAB_BYTES // max(1, sum(values.nbytes for values in paged))
        step = max(_MULTIPLE, fitting // _MULTIPLE * _MULTIPLE)
    for first in range(0, n, step):
        yield slice(first, min(first + step, n))
        release(*paged)


def batches(
    n: int, values_zyx: NDArray[Any], planes: float = 2, rows: float = 2
) -> Iterator[slice]:
    """Cut 0 to n places scattered over a map so that little of it is in memory at once.

    Parameters
    ----------
    n
        How many places there are.
    values_zyx
        (z, y, x), what is looked at.
    planes, rows
        How much around each place is.

    Yields
    ------
    slice
        Start and stop, one after another; 0 to n where the map is in memory.
    """
    step = max(n, 1)
    if is_paged(values_zyx):
        step = max(1, int(SLAB_BYTES / (planes * (rows * values_zyx[0, 0].nbytes + _AROUND))))
    for first in range(0, n, step):
        yield slice(first, min(first + step, n))
        release(values_zyx)


def _mapping(values: NDArray[Any]) -> mmap.mmap | None:
    base: object = values
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, mmap.mmap) else None
