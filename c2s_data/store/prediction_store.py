"""Predictions of one map as a Zarr v3 group: written block by block, read slab by slab.

::

    PREDICTION/
      zarr.json            facts of the checkpoint and the map; written last
      atom amino secondary (class, z, y, x) float16 probabilities, one array a target
      z y x                coordinates of the voxels in A
      _c2s/unfinished.json what is being predicted, while it is

Blocks (`Block`) are whole shards and appear whole or not at all. While any is missing there is no
``zarr.json`` anywhere below the folder, so no Zarr program can open it; the same prediction begun
again finds the blocks that are there and goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ConfigError, MissingChunkError, NotCommittedError, StoreError
from c2s_data.store.documents import (
    Document,
    encode_document,
    group_document,
    plain_array_document,
    plain_spec,
    sharded_array_document,
)
from c2s_data.store.objects import Objects, open_objects
from c2s_data.store.prediction_facts import (
    VOXEL_SIZE_A,
    Block,
    PredictionFacts,
    Shape,
    document_of,
    facts_of,
)
from c2s_data.store.sealed import seal, unseal
from c2s_data.store.shard import ShardSpec, decode_shard, encode_chunk, encode_shard

_UNFINISHED: Final = "_c2s/unfinished.json"
_ROOT: Final = "zarr.json"
_ATTRIBUTE: Final = "c2s_prediction"


class PredictionWriter:
    """Writes the blocks of one prediction in any order, then what makes it a Zarr group.

    Parameters
    ----------
    url
        Path or URL of the prediction.
    facts
        What it says of itself.

    Raises
    ------
    ConfigError
        The place holds another prediction, finished or not, or anything else.
    StoreError
        The place cannot be written.
    """

    def __init__(self, url: str, facts: PredictionFacts) -> None:
        self._objects = open_objects(url)
        self.facts = facts
        self.is_finished = self._claim()

    @property
    def url(self) -> str:
        """Where it is written."""
        return self._objects.url

    def _claim(self) -> bool:
        """Say whether the prediction is there already; otherwise state what is begun."""
        found = _found_facts(self._objects)
        if found is None:
            names = [name for name in self._objects.names("") if name != "_c2s"]
            if names:
                raise ConfigError(
                    f"{self.url} holds {names[0]!r} and no prediction; it is left as it is, choose "
                    "another place"
                )
            self._objects.put(_UNFINISHED, seal(document_of(self.facts)))
            return False
        facts, finished = found
        if facts.identity != self.facts.identity:
            state = "a finished prediction" if finished else "a prediction that was not finished,"
            raise ConfigError(
                f"{self.url} holds {state} of {_differences(facts, self.facts)}; it is left as it "
                "is: choose another place, or remove it first"
            )
        return finished

    def has(self, block: Block) -> bool:
        """Say whether an earlier run wrote a block, of all targets."""
        keys = (self.facts.key(target, block) for target in self.facts.classes)
        return all(self._objects.size(key) is not None for key in keys)

    def put(self, block: Block, values: NDArray[np.float16]) -> None:
        """Write a block of all targets, (classes of all targets, z, y, x), and wait for the disk.

        Raises
        ------
        ValueError
            Another shape or dtype.
        StoreError
            It cannot be written.
        """
        if values.shape != (self.facts.n_classes, *block.shape_zyx):
            raise ValueError(f"values {values.shape} do not fit the block {block.shape_zyx}")
        first = 0
        for target, names in self.facts.classes.items():
            part = values[first : first + len(names)]
            first += len(names)
            blob = encode_shard(part, self.facts.spec(target))
            self._objects.put(self.facts.key(target, block), blob)

    def finish(self) -> None:
        """Make it a Zarr group, once every block is there.

        Raises
        ------
        StoreError
            A block is missing.
        """
        for column in self.facts.columns():
            for block in self.facts.blocks(column):
                if not self.has(block):
                    raise StoreError(
                        f"{self.url}: the block at z, y, x = {[part.start for part in block]} is "
                        "missing, so the prediction is not finished; run the same command again"
                    )
        documents = _array_documents(self.facts)
        for name, document in documents.items():
            self._objects.put(f"{name}/{_ROOT}", encode_document(document))
        for axis, n, origin in self._axes():
            places = origin + np.arange(n, dtype=np.float64)
            self._objects.put(f"{axis}/c/0", encode_chunk(places, plain_spec((n,), places.dtype)))
        attributes = {_ATTRIBUTE: document_of(self.facts)}
        self._objects.put(_ROOT, encode_document(group_document(attributes, documents)))
        self._objects.delete(_UNFINISHED)

    def _axes(self) -> Iterator[tuple[str, int, float]]:
        origin_zyx_A = reversed(self.facts.origin_xyz_A)
        yield from zip("zyx", self.facts.shape_zyx, origin_zyx_A, strict=True)


@dataclass(frozen=True)
class StoredPrediction:
    """A finished prediction; made by `open_prediction`.

    Parameters
    ----------
    url
        Path or URL.
    facts
        What it says of itself.
    """

    url: str
    facts: PredictionFacts

    @property
    def shape_zyx(self) -> Shape:
        """Voxels of the grid."""
        return self.facts.shape_zyx

    @property
    def origin_xyz_A(self) -> tuple[float, float, float]:
        """Position of voxel (0, 0, 0) in A."""
        return self.facts.origin_xyz_A

    @property
    def voxel_size_A(self) -> float:
        """One size for all axes."""
        return VOXEL_SIZE_A

    @property
    def decode_offset_voxel(self) -> float:
        """What to add to a voxel's index to get the place of its atom."""
        return self.facts.decode_offset_voxel

    @property
    def label_rule(self) -> str:
        """How the voxels that the network learned from were labeled."""
        return self.facts.label_rule

    @property
    def preset(self) -> str:
        """How the maps that the network learned from were made."""
        return self.facts.preset

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of what is predicted."""
        return tuple(self.facts.classes)

    @property
    def sources(self) -> Mapping[str, Any]:
        """The network and the map, with their sha256."""
        return self.facts.sources

    @cached_property
    def _objects(self) -> Objects:
        return open_objects(self.url)

    def read(self, target: str, z_start: int = 0, z_stop: int | None = None) -> NDArray[np.float16]:
        """Read probabilities of some planes, of all by default.

        Blocks are ``facts.core`` planes thick: slabs of a multiple of it decode each once.

        Returns
        -------
        NDArray[np.float16]
            (C, z, y, x).

        Raises
        ------
        StoreError
            There is no such target, or a block is missing or changed.
        ValueError
            Planes outside the map.
        """
        stop = self.shape_zyx[0] if z_stop is None else z_stop
        if target not in self.facts.classes:
            raise StoreError(
                f"{self.url}: no prediction of {target!r}; it has {', '.join(self.targets)}"
            )
        if not 0 <= z_start <= stop <= self.shape_zyx[0]:
            raise ValueError(f"planes {z_start} to {stop} of a map of {self.shape_zyx[0]}")
        spec, n_classes = self.facts.spec(target), len(self.facts.classes[target])
        out = np.empty((n_classes, stop - z_start, *self.shape_zyx[1:]), np.float16)
        for column in self.facts.columns():
            for block in self.facts.blocks(column):
                first, last = max(block.z.start, z_start), min(block.z.stop, stop)
                if first < last:
                    whole = np.empty((n_classes, *block.shape_zyx), np.float16)
                    self._read_block(target, block, spec, whole)
                    there = whole[:, first - block.z.start : last - block.z.start]
                    out[:, first - z_start : last - z_start, block.y, block.x] = there
        return out

    def _read_block(
        self, target: str, block: Block, spec: ShardSpec, out: NDArray[np.float16]
    ) -> None:
        key = self.facts.key(target, block)
        where = f"{self.url}/{key}"
        try:
            decode_shard(self._objects.get(key), spec, out, where)
        except StoreError as error:
            # The remedies of a store of maps do not fit here.
            raise type(error)(
                f"{str(error).partition(';')[0]}; remove {self.url} and predict the map again"
            ) from error


def open_prediction(url: str) -> StoredPrediction:
    """Open a finished prediction.

    Raises
    ------
    NotCommittedError
        None is there, or it is not finished.
    StoreError
        Its document is damaged or of another version.
    """
    objects = open_objects(url)
    found = _found_facts(objects)
    if found is None:
        raise NotCommittedError(
            f"{objects.url}: no prediction; make one with `c2s-model predict` or correct the path"
        )
    facts, finished = found
    if not finished:
        raise NotCommittedError(
            f"{objects.url}: the prediction is not finished; run the `c2s-model predict` that "
            "began it once more, it goes on from here"
        )
    return StoredPrediction(objects.url, facts)


def _found_facts(objects: Objects) -> tuple[PredictionFacts, bool] | None:
    """Return what a place holds and whether it is finished."""
    try:
        data = objects.get(_ROOT)
    except MissingChunkError:
        try:
            begun = objects.get(_UNFINISHED)
        except MissingChunkError:
            return None
        where = f"{objects.url}: {_UNFINISHED}"
        return facts_of(unseal(begun, where), where), False
    where = f"{objects.url}: {_ROOT}"
    try:
        document = json.loads(data)["attributes"][_ATTRIBUTE]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(
            f"{where} is not that of a prediction ({error!r}); choose another place"
        ) from error
    return facts_of(document, where), True


def _differences(found: PredictionFacts, wanted: PredictionFacts) -> str:
    """Name a prediction by its map and say in what it differs from another."""
    of_map = found.sources.get("map", {})
    name = of_map.get("entry_id") or of_map.get("file") or "a map"
    told = [
        f"{what}: {', '.join(sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k)))}"
        for what, a, b in (
            ("sources", found.sources, wanted.sources),
            ("options", found.options, wanted.options),
        )
        if dict(a) != dict(b)
    ]
    return f"{name} (other {'; '.join(told) or 'values'})"


def _array_documents(facts: PredictionFacts) -> dict[str, Document]:
    documents = {
        target: sharded_array_document(
            (len(names), *facts.shape_zyx),
            facts.spec(target),
            (f"{target}_class", "z", "y", "x"),
            {"long_name": f"probability of each {target} class", "units": "1", "classes": names},
        )
        for target, names in facts.classes.items()
    }
    for axis, n in zip("zyx", facts.shape_zyx, strict=True):
        attributes = {
            "units": "angstrom",
            "long_name": f"{axis} of the voxel",
            "axis": axis.upper(),
        }
        documents[axis] = plain_array_document((n,), (n,), np.dtype("float64"), (axis,), attributes)
    return documents
