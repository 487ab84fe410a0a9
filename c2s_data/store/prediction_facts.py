"""What a prediction says of itself, and the blocks that it is written in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, NamedTuple

import numpy as np

from c2s_data import __version__
from c2s_data.errors import StoreError
from c2s_data.schema import CLASS_NAMES
from c2s_data.store.documents import Document
from c2s_data.store.shard import ShardSpec

FORMAT: Final = 1
TILE_VOXELS: Final = 240
"""Largest side of a block along y and x; what bounds the memory of a prediction."""
VOXEL_SIZE_A: Final = 1.0
_CHUNKS_IN_TILE: Final = 4
_MAX_SIDE: Final = 2**14
Shape = tuple[int, int, int]


class Block(NamedTuple):
    """Voxels that are written at once: a layer of cores along z, up to 240 voxels along y, x."""

    z: slice
    y: slice
    x: slice

    @property
    def shape_zyx(self) -> Shape:
        """Voxels along each axis."""
        return self.z.stop - self.z.start, self.y.stop - self.y.start, self.x.stop - self.x.start


@dataclass(frozen=True)
class PredictionFacts:
    """What a prediction says of itself.

    Parameters
    ----------
    shape_zyx
        Voxels of 1 A.
    origin_xyz_A
        Position of voxel (0, 0, 0).
    classes
        Target -> names of its classes, in the order of the class axis.
    preset, label_rule, decode_offset_voxel
        Of the checkpoint: how its maps were made and labeled, and what to add to a voxel's index
        to get the place of its atom.
    core
        Side of the cores that were put together.
    options
        How it was predicted: overlap, rotations, contour, precision, windows and how many of them
        were skipped.
    sources
        The network and the map with their sha256.
    identity
        sha256 (hex) of everything that decides the values.
    """

    shape_zyx: Shape
    origin_xyz_A: tuple[float, float, float]
    classes: Mapping[str, tuple[str, ...]]
    preset: str
    label_rule: str
    decode_offset_voxel: float
    core: int
    options: Mapping[str, Any]
    sources: Mapping[str, Any]
    identity: str

    @property
    def n_classes(self) -> int:
        """Classes of all targets together."""
        return sum(len(names) for names in self.classes.values())

    @property
    def tile(self) -> int:
        """Side of a block along y and x: whole cores, at most 240 voxels if a core is."""
        return max(1, TILE_VOXELS // self.core) * self.core

    def spec(self, target: str) -> ShardSpec:
        """Return how the blocks of a target are encoded: a chunk holds one class."""
        tile = self.tile
        chunk = tile // _CHUNKS_IN_TILE if tile % _CHUNKS_IN_TILE == 0 else tile
        y, x = (min(tile, -(-n // chunk) * chunk) for n in self.shape_zyx[1:])
        shard = (len(self.classes[target]), self.core, y, x)
        return ShardSpec(shard, (1, self.core, chunk, chunk), np.dtype("float16"), "zstd")

    def columns(self) -> Iterator[tuple[slice, slice]]:
        """Yield the (y, x) tiles of the map; each is written from its lowest z to its highest."""
        _, ny, nx = self.shape_zyx
        for y in range(0, ny, self.tile):
            for x in range(0, nx, self.tile):
                yield slice(y, min(y + self.tile, ny)), slice(x, min(x + self.tile, nx))

    def blocks(self, column: tuple[slice, slice]) -> list[Block]:
        """Return the blocks of a tile by rising z."""
        nz = self.shape_zyx[0]
        return [Block(slice(z, min(z + self.core, nz)), *column) for z in range(0, nz, self.core)]

    def key(self, target: str, block: Block) -> str:
        """Return the name of a block of a target."""
        steps = (self.core, self.tile, self.tile)
        place = (part.start // step for part, step in zip(block, steps, strict=True))
        return f"{target}/{self.spec(target).shard_key(0, *place)}"


def document_of(facts: PredictionFacts) -> Document:
    """Return the facts as plain JSON."""
    document = asdict(facts) | {"voxel_size_A": VOXEL_SIZE_A, "format": FORMAT}
    return document | {"code_version": __version__}


def facts_of(document: Any, where: str) -> PredictionFacts:  # noqa: ANN401 - parsed JSON
    """Read what `document_of` gave.

    Raises
    ------
    StoreError
        Damaged, or of another version.
    """
    try:
        if document["format"] != FORMAT:
            raise StoreError(
                f"{where}: format {document['format']!r} of a prediction, this version reads "
                f"{FORMAT}; predict the map again"
            )
        values = {one.name: document[one.name] for one in fields(PredictionFacts)}
        values["shape_zyx"] = tuple(values["shape_zyx"])
        values["origin_xyz_A"] = tuple(float(value) for value in values["origin_xyz_A"])
        values["classes"] = {name: tuple(of) for name, of in dict(values["classes"]).items()}
        values["decode_offset_voxel"] = float(values["decode_offset_voxel"])
        facts = PredictionFacts(**values)
        _check(facts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"{where}: damaged facts of a prediction ({error!r}); predict the map again"
        ) from error
    return facts


def _check(facts: PredictionFacts) -> None:
    shape: tuple[Any, ...] = facts.shape_zyx
    origin: tuple[float, ...] = facts.origin_xyz_A
    sides = (*shape, facts.core)
    words = (facts.preset, facts.label_rule, facts.identity)
    if not all(isinstance(word, str) for word in words) or not all(
        isinstance(one, Mapping) for one in (facts.options, facts.sources)
    ):
        raise TypeError("preset, label_rule and identity are words, options and sources objects")
    if len(shape) != 3 or not all(type(n) is int and 1 <= n <= _MAX_SIDE for n in sides):
        raise ValueError(f"shape {shape}, core {facts.core}")
    if len(origin) != 3 or not all(map(math.isfinite, origin)):
        raise ValueError(f"origin {origin}")
    if not facts.classes or any(
        CLASS_NAMES.get(target) != names for target, names in facts.classes.items()
    ):
        raise ValueError(f"classes of {sorted(facts.classes)} are not those of this version")
