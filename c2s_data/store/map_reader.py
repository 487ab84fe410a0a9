"""Read parts of the maps that a store holds at 1 A, chunk by chunk, into memory of the caller."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.schema import MAP_CHUNK, MAP_SHARD_MAX
from c2s_data.store.chunk_reader import ChunkReader, Stretch
from c2s_data.store.layout import map_shard_shape
from c2s_data.store.objects import LocalObjects, open_objects
from c2s_data.store.shard import ShardSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from c2s_data.store.catalog_table import StoredEntry
    from c2s_data.store.object_cache import ObjectCache
    from c2s_data.store.reader import Store

_FILE: Final = Stretch(2**20, 0)
_OBJECT: Final = Stretch(2**24, 2**20)
"""Over a network a request costs about as much as a megabyte."""
_CHUNKS_PER_SHARD_SIDE: Final = MAP_SHARD_MAX // MAP_CHUNK


class MapReader:
    """Reads parts of density and masks; safe from several threads, not over a fork.

    Parameters
    ----------
    store
        Of this process.
    arrays
        ``density`` and names of masks.
    cache
        Keeps what comes over a network.

    Raises
    ------
    StoreError
        The store lacks an array.
    """

    def __init__(
        self, store: Store, arrays: tuple[str, ...], cache: ObjectCache | None = None
    ) -> None:
        self._objects = open_objects(store.url)
        self._cache = cache
        self._encoding = {name: store.subgrid_spec(name) for name in arrays}

    @property
    def dtypes(self) -> Mapping[str, np.dtype[Any]]:
        """Element type of each array."""
        return {name: spec.dtype for name, spec in self._encoding.items()}

    def read(
        self,
        entry: StoredEntry,
        array: str,
        chunk_zyx: NDArray[np.int64],
        out: NDArray[Any],
    ) -> None:
        """Decode some chunks of a map. What of a chunk lies beyond the map is zero.

        Parameters
        ----------
        entry
            Which map.
        array
            One of the arrays.
        chunk_zyx
            (k, 3) chunks, counted in chunks of 32 voxels from the first of the map.
        out
            (k, 32, 32, 32) of the array's dtype, C-contiguous.

        Raises
        ------
        MissingChunkError, CorruptChunkError
            As `c2s_data.store.chunk_reader.ChunkReader.runs`; the object is named.
        """
        reader = self._reader(entry, array)
        grid = reader.spec.grid_shape
        of_shard: dict[tuple[int, ...], dict[int, int]] = defaultdict(dict)
        for row, place in enumerate(chunk_zyx.tolist()):
            shard, inside = zip(*(divmod(i, _CHUNKS_PER_SHARD_SIDE) for i in place), strict=True)
            number = (inside[0] * grid[1] + inside[1]) * grid[2] + inside[2]
            of_shard[shard][number] = row
        for shard, row_of in of_shard.items():
            for run in reader.runs(shard, list(row_of)):
                place = np.array([row_of[number] for number, _, _ in run.bounds])
                run.decode(reader.spec, out, place)

    def _reader(self, entry: StoredEntry, array: str) -> ChunkReader:
        of_subgrids = self._encoding[array]
        spec = ShardSpec(
            map_shard_shape(entry.shape_zyx),
            (MAP_CHUNK,) * 3,
            of_subgrids.dtype,
            of_subgrids.compressor,
        )
        return ChunkReader(
            self._objects,
            f"maps/{entry.group}/s0/{array}",
            spec,
            cache=self._cache,
            stretch=_FILE if isinstance(self._objects, LocalObjects) else _OBJECT,
        )
