"""Read runs of rows out of the shards of one subgrid array, decoded straight into place.

The array is an ordinary sharded Zarr v3 array whose chunks split rows only. A run of rows costs
one read of the shard's index and one of the chunks that hold the run; the index is kept.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from c2s_data.store.chunk_reader import ChunkReader, is_local, place_of_array
from c2s_data.store.shard import ShardSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c2s_data.store.object_cache import ObjectCache

__all__ = ["SubgridReader", "is_local", "read_rows"]


class SubgridReader:
    """Reads rows of one sharded array; safe from several threads, not over a fork.

    Parameters
    ----------
    location
        Folder of the array: a path or an fsspec URL.
    spec
        Its shape and codecs; a shard is split into chunks along rows only.
    root
        The store that the array is in: below it a symbolic link is refused. By default the
        array's own folder, which may then be a link itself.
    rows_in_use
        Rows of each shard that are not padding; by default all. From object storage a shard comes
        whole, in one request, where at least two thirds of these are asked for.
    cache
        Keeps what comes over a network.

    Raises
    ------
    ValueError
        The chunks also split another axis, or the array is not in `root`.
    StoreError
        The kind of address cannot be opened, or not in this process.
    """

    def __init__(
        self,
        location: str | os.PathLike[str],
        spec: ShardSpec,
        *,
        root: str | os.PathLike[str] | None = None,
        rows_in_use: NDArray[np.int64] | None = None,
        cache: ObjectCache | None = None,
    ) -> None:
        if spec.chunk_shape[1:] != spec.shard_shape[1:]:
            raise ValueError(f"chunks {spec.chunk_shape} split more than rows; use decode_shard")
        self._chunks = ChunkReader(*place_of_array(location, root), spec, cache=cache)
        self.location, self.spec = self._chunks.location, spec
        self._rows_in_use = rows_in_use

    def read_rows(self, shard: int, start: int, stop: int, out: NDArray[Any]) -> None:
        """Decode rows ``start`` to ``stop`` of a shard, counted inside it.

        Parameters
        ----------
        shard
            Number of the shard along rows.
        start, stop
            Rows inside the shard, 0 <= start <= stop <= rows of a shard.
        out
            (stop - start, *row shape), C-contiguous, of the array's dtype.

        Raises
        ------
        MissingChunkError
            The shard or a chunk of it does not exist.
        CorruptChunkError
            A checksum, the index or a length is wrong.
        ValueError
            Rows outside the shard, or an `out` that does not fit.
        """
        shape = (stop - start, *self.spec.chunk_shape[1:])
        if out.shape != shape or out.dtype != self.spec.dtype or not out.flags.c_contiguous:
            raise ValueError(f"out is {out.shape} {out.dtype}, not {shape} {self.spec.dtype}")
        rows = self.spec.chunk_shape[0]
        wanted, n_in_use = self._chunks_of(shard, start, stop)
        for run in self._chunks.runs((shard,), wanted, n_in_use):
            for stored in run.chunks():
                number = stored.number
                low, high = max(start, number * rows), min(stop, (number + 1) * rows)
                part = slice(low - start, high - start)
                if high - low == rows:
                    stored.decode(self.spec, out[part])
                else:
                    values = stored.decoded(self.spec)
                    out[part] = values[low - number * rows : high - number * rows]

    def scatter_rows(
        self,
        shard: int,
        start: int,
        stop: int,
        arenas: Sequence[NDArray[Any]],
        which: NDArray[np.int64],
        place: NDArray[np.int64],
    ) -> None:
        """Decode rows ``start`` to ``stop`` of a shard, each to a place of its own.

        Parameters
        ----------
        shard, start, stop
            As for `read_rows`.
        arenas
            C-contiguous arrays (any, *row shape) of the array's dtype.
        which, place
            (stop - start,) arena and row in it, for each row.

        Raises
        ------
        MissingChunkError, CorruptChunkError
            As for `read_rows`.
        ValueError
            Rows outside the shard, or places that do not fit.
        """
        if not len(which) == len(place) == stop - start:
            raise ValueError(f"{len(which)} and {len(place)} places for rows {start} to {stop}")
        wanted, n_in_use = self._chunks_of(shard, start, stop)
        self._chunks.scatter((shard,), wanted, start, arenas, which, place, n_in_use)

    def _chunks_of(self, shard: int, start: int, stop: int) -> tuple[range, int]:
        """Return the chunks that hold rows, and how many the shard has in use."""
        if not 0 <= start <= stop <= self.spec.shard_shape[0]:
            raise ValueError(f"rows {start} to {stop} are outside a shard {self.spec.shard_shape}")
        rows = self.spec.chunk_shape[0]
        wanted = range(start // rows, -(-stop // rows)) if start < stop else range(0)
        used = self.spec.shard_shape[0] if self._rows_in_use is None else self._rows_in_use[shard]
        return wanted, -(-int(used) // rows)


def read_rows(
    location: str | os.PathLike[str],
    spec: ShardSpec,
    shard: int,
    start: int,
    stop: int,
    out: NDArray[Any],
    *,
    root: str | os.PathLike[str] | None = None,
) -> None:
    """Read one run of rows; a `SubgridReader` that is kept saves reading the index each time."""
    SubgridReader(location, spec, root=root).read_rows(shard, start, stop, out)
