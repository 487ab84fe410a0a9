"""Compare one object with what was committed, and find the place of what differs.

A sha256 finds every change; the crc32c of each chunk then tells where it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from c2s_data.errors import CorruptChunkError, MissingChunkError, StoreError
from c2s_data.plan import Plan
from c2s_data.schema import CLASS_NAMES
from c2s_data.store.layout import Layout, level_shape
from c2s_data.store.objects import Objects, open_objects
from c2s_data.store.ownership import Ownership
from c2s_data.store.receipt import WrittenObject
from c2s_data.store.shard import ShardIndex, chunk_bounds, shard_index
from c2s_data.store.shard_encoder import crc_bytes
from c2s_data.store.shard_spec import CRC_NBYTES, ShardSpec
from c2s_data.store.verify_report import Fault, Level

_PIECE_BYTES: Final = 2**24
_FAULTS_SHOWN: Final = 32
_SHARDED: Final = ("density", *CLASS_NAMES)
_CHUNK: Final = re.compile(r"(.+)/c/([0-9]+(?:/[0-9]+)*)")
_LEVEL: Final = re.compile(r"maps/[^/]+/s([0-9])/[^/]+")


@dataclass(frozen=True)
class Comparison:
    """How objects of one store are compared.

    ``documents`` gives the document that has a sha256, ``items`` are all other objects of the
    store: so that swapped ones are named.
    """

    objects: Objects
    level: Level
    documents: Mapping[str, str]
    items: Sequence[WrittenObject]
    places: Places | None

    @cached_property
    def _names(self) -> dict[str, str]:
        # Large for a large store, and needed by damaged ones only.
        return {item.sha256: item.key for item in reversed(self.items)} | dict(self.documents)

    def faults(self, item: WrittenObject, nbytes: int | None) -> list[Fault]:
        """Return what is wrong with an object; ``nbytes`` is its size, None if it is not there."""
        group = self.places.group_of(item.key) if self.places else None
        try:
            found = self._compared(item, nbytes)
        except MissingChunkError:
            found = [Fault("missing", item.key, f"{item.nbytes:,} bytes were committed")]
        except StoreError as error:
            found = [Fault("unreadable", item.key, str(error))]
        return [replace(fault, entry=group) for fault in found]

    def _compared(self, item: WrittenObject, nbytes: int | None) -> list[Fault]:
        # What was listed may be older than what was committed a moment ago.
        if nbytes != item.nbytes:
            nbytes = self.objects.size(item.key)
        if nbytes is None:
            raise MissingChunkError(item.key)
        if self.level == "quick":
            return [] if nbytes == item.nbytes else [self._of_size(item, nbytes)]
        for _ in range(2):  # A fault of the network is not one of the store.
            digest = object_sha256(self.objects, item.key, nbytes)
            if digest == item.sha256:
                return []
        other = self._names.get(digest)
        if other is not None and other != item.key:
            return [Fault("swapped", item.key, f"holds the bytes of {other}")]
        if nbytes != item.nbytes:
            return [self._of_size(item, nbytes)]
        return self._located(item) or [
            Fault("changed", item.key, "its sha256 is not the committed one")
        ]

    def _of_size(self, item: WrittenObject, nbytes: int) -> Fault:
        what = f"has {nbytes:,} bytes, {item.nbytes:,} were committed"
        array = self.places.array_of(item.key) if self.places else None
        return Fault("size", item.key, what, array=array, offset=min(nbytes, item.nbytes))

    def _located(self, item: WrittenObject) -> list[Fault]:
        spec = self.places.spec_of(item.key) if self.places else None
        array = self.places.array_of(item.key) if self.places else None
        if spec is None or array is None:
            return []
        if spec.chunk_shape == spec.shard_shape:
            whole = f"the chunk ({item.nbytes:,} bytes) fails its crc32c"
            return [Fault("changed", item.key, whole, None, array, 0, 0, item.nbytes)]
        end = item.nbytes - spec.index_nbytes
        try:
            tail = self.objects.tail(item.key, spec.index_nbytes)
            index = shard_index(tail, spec, item.key)
        except CorruptChunkError:
            why = "the shard index fails its crc32c"
            return [Fault("changed", item.key, why, None, array, None, end, spec.index_nbytes)]
        bad = list(damaged_chunks(self.objects, item.key, index, spec))
        found = [
            Fault(
                "changed",
                item.key,
                f"the chunk ({nbytes:,} bytes) fails its crc32c",
                None,
                array,
                number,
                offset,
                nbytes,
            )
            for number, offset, nbytes in bad[:_FAULTS_SHOWN]
        ]
        if len(bad) > _FAULTS_SHOWN:
            more = f"{len(bad) - _FAULTS_SHOWN} more chunks fail their crc32c"
            found.append(Fault("changed", item.key, more, None, array))
        return found


def are_intact(
    url: str, level: Level, listed: Sequence[tuple[WrittenObject, int | None]]
) -> list[bool]:
    """Say of each object, with its listed size, whether it is as committed; what a worker runs."""
    compare = Comparison(open_objects(url), level, {}, (), None)
    return [not compare.faults(item, nbytes) for item, nbytes in listed]


def object_sha256(objects: Objects, key: str, nbytes: int) -> str:
    """Return the sha256 (hex) of an object of a known size, reading it piece by piece."""
    digest = hashlib.sha256()
    for start in range(0, nbytes, _PIECE_BYTES):
        digest.update(objects.span(key, start, min(nbytes, start + _PIECE_BYTES)))
    return digest.hexdigest()


def damaged_chunks(
    objects: Objects, key: str, index: ShardIndex, spec: ShardSpec
) -> Iterator[tuple[int, int, int]]:
    """Yield (number, first byte, bytes) of each chunk of a shard that fails its crc32c."""
    for number, start, stop in chunk_bounds(index, range(spec.n_chunks), key):
        data = objects.span(key, start, stop)
        if crc_bytes(data[:-CRC_NBYTES]) != data[-CRC_NBYTES:]:
            yield number, start, stop - start


class Places:
    """Says of which entry and array an object is part, and how that array is encoded."""

    def __init__(self, plan: Plan) -> None:
        self._owners = Ownership(plan)
        self._layout = Layout.of(plan.config)

    def group_of(self, key: str) -> str | None:
        """Return the group of the entry that an object belongs to."""
        owner = self._owners.of(key)
        return owner.group if owner else None

    def array_of(self, key: str) -> str | None:
        """Return the path of the array that an object is a chunk or shard of."""
        found = _CHUNK.fullmatch(key)
        return found[1] if found else None

    def spec_of(self, key: str) -> ShardSpec | None:
        """Return how a chunk or shard is encoded; None for other objects.

        An array of plain chunks has one chunk in each object.
        """
        array = self.array_of(key)
        if array is None:
            return None
        name = array.rpartition("/")[2]
        if name not in _SHARDED:
            return ShardSpec((1,), (1,), np.dtype("uint8"))
        if array.startswith("subgrids/"):
            return self._layout.subgrid_spec(name)
        found, owner = _LEVEL.fullmatch(array), self._owners.of(key)
        if found is None or owner is None:
            return None
        return self._layout.map_spec(name, level_shape(owner.shape_zyx, int(found[1])))
