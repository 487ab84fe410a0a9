"""Where everything of a store lies and how its arrays are declared.

See ``docs/data-model.md`` for the picture. All sizes follow from the box, so that a store of
64^3 subgrids has shards of about as many bytes as one of 32^3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from c2s_data.config import BuildConfig
from c2s_data.plan import rows_per_chunk, rows_per_shard
from c2s_data.schema import (
    CLASS_NAMES,
    IGNORE,
    INDEX_CHUNK_ROWS,
    MAP_CHUNK,
    MAP_SHARD_MAX,
    MASKS,
    PADDING_MAP,
    masks_of,
)
from c2s_data.store.documents import (
    Document,
    group_document,
    plain_array_document,
    sharded_array_document,
)
from c2s_data.store.shard import Compressor, ShardSpec

PLAN: Final = "_c2s/plan.json"
LINEAGE: Final = "_c2s/lineage.json"
LATEST: Final = "_c2s/LATEST.json"
LEASES: Final = "_c2s/leases"
Triple = tuple[int, int, int]


def lease_key(epoch: int) -> str:
    """Return the name of the lease of one epoch; the highest epoch is in force."""
    return f"{LEASES}/{epoch:06d}.json"


def generation_key(generation: int, name: str) -> str:
    """Return the name of an object of one generation, such as its ``catalog.parquet``."""
    return f"_c2s/generations/{generation:06d}/{name}"


def receipt_key(group: str) -> str:
    """Return the name of the receipt that says an entry is finished; see `PlannedEntry.group`."""
    return f"_c2s/receipts/{group}.json"


def failure_key(group: str) -> str:
    """Return the name of the record that says why an entry could not be built."""
    return f"_c2s/failures/{group}.json"


def residues_key(group: str) -> str:
    """Return the name of an entry's residue table."""
    return f"_c2s/residues/{group}.parquet"


def sequences_key(group: str) -> str:
    """Return the name of the FASTA file with the sequences of an entry's chains."""
    return f"_c2s/sequences/{group}.fasta"


def statistics_key(group: str) -> str:
    """Return the name of an entry's histograms and raw slices."""
    return f"_c2s/statistics/{group}.npz"


def shard_key(array: str, shard: int) -> str:
    """Return the name of one shard of a subgrid array."""
    return f"subgrids/{array}/c/{shard}/0/0/0"


@dataclass(frozen=True)
class Layout:
    """The arrays of a store, as its configuration decides them."""

    box: int
    core: int
    density_dtype: Literal["float16", "float32"]
    compressor: Compressor
    masks: tuple[str, ...] = MASKS

    @classmethod
    def of(cls, config: BuildConfig) -> Layout:
        """Return the layout that a configuration leads to."""
        return cls(
            config.box,
            config.core,
            config.density_dtype,
            config.compressor,
            masks_of(config.extra_masks),
        )

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays of a subgrid or a map at 1 A."""
        return ("density", *self.masks)

    @property
    def shard_rows(self) -> int:
        """Subgrids of one shard."""
        return rows_per_shard(self.box)

    def dtype(self, array: str) -> np.dtype[Any]:
        """Return the element type of ``density`` or a mask."""
        return np.dtype(self.density_dtype if array == "density" else "uint8")

    def compressor_of(self, array: str) -> Compressor:
        """Return how chunks of ``density`` or a mask are compressed, of subgrids and maps alike.

        Masks are nearly all zeros, so under ``none`` they are compressed still: plain they would
        take twice the bytes of the density, and decoding zeros costs next to nothing.
        """
        if array != "density" and self.compressor == "none":
            return "lz4"
        return self.compressor

    def subgrid_spec(self, array: str) -> ShardSpec:
        """Return how shards of ``subgrids/<array>`` are encoded."""
        box = (self.box,) * 3
        return ShardSpec(
            (self.shard_rows, *box),
            (rows_per_chunk(self.box), *box),
            self.dtype(array),
            self.compressor_of(array),
        )

    def map_spec(self, array: str, shape_zyx: Triple) -> ShardSpec:
        """Return how ``maps/<entry>/s*/<array>`` is encoded: one shard up to 512^3 voxels."""
        shard = map_shard_shape(shape_zyx)
        return ShardSpec(shard, (MAP_CHUNK,) * 3, self.dtype(array), self.compressor_of(array))

    def subgrids_group(self, n_rows: int, attributes: dict[str, Any]) -> Document:
        """Return the consolidated document of the group ``subgrids``."""
        shape = (n_rows, *(self.box,) * 3)
        children = {
            name: sharded_array_document(
                shape, self.subgrid_spec(name), ("subgrid", "z", "y", "x"), array_attributes(name)
            )
            for name in self.arrays
        }
        children |= {
            name: plain_array_document(
                (n_rows, *INDEX_COLUMNS[name][1]),
                (INDEX_CHUNK_ROWS, *INDEX_COLUMNS[name][1]),
                np.dtype("int32"),
                INDEX_COLUMNS[name][2],
                {"long_name": INDEX_COLUMNS[name][3]},
                INDEX_COLUMNS[name][0],
            )
            for name in INDEX_COLUMNS
        }
        return group_document(attributes, children)

    def level_group(
        self, shape_zyx: Triple, voxel_size_A: float, arrays: tuple[str, ...], attributes: Document
    ) -> Document:
        """Return the consolidated document of one resolution level of a map."""
        children = {
            name: sharded_array_document(
                shape_zyx, self.map_spec(name, shape_zyx), ("z", "y", "x"), array_attributes(name)
            )
            for name in arrays
        }
        children |= {
            axis: plain_array_document(
                (n,),
                (n,),
                np.dtype("float64"),
                (axis,),
                {"units": "angstrom", "long_name": f"{axis} of the voxel", "axis": axis.upper()},
            )
            for axis, n in zip("zyx", shape_zyx, strict=True)
        }
        return group_document(attributes | {"voxel_size_A": voxel_size_A}, children)


INDEX_COLUMNS: Final[dict[str, tuple[int, tuple[int, ...], tuple[str, ...], str]]] = {
    "map": (PADDING_MAP, (), ("subgrid",), "row of the catalog; -1 in padding rows"),
    "corner_zyx": (0, (3,), ("subgrid", "axis"), "lowest voxel of the subgrid in its map"),
    "n_ca": (0, (), ("subgrid",), "voxels of the subgrid that hold a C-alpha"),
}
"""Fill value, extra shape, dimensions and meaning of each index column."""


def array_attributes(name: str) -> dict[str, Any]:
    """Return CF-like attributes: a long name, units, and what the values of a mask mean."""
    if name == "density":
        return {"long_name": "normalized density", "units": "1", "valid_range": [0.0, 1.0]}
    classes = CLASS_NAMES[name]
    values = list(range(len(classes)))
    meanings = [text.replace(" ", "_") for text in classes]
    if name == "amino":
        values.append(IGNORE)
        meanings.append("ignore")
    long_names = {
        "atom": "backbone atom",
        "ca": "C-alpha",
        "amino": "amino acid at the C-alpha",
        "secondary": "secondary structure at the C-alpha",
        "ignore": "near atoms that are no protein: leave out of a loss",
        "nucleic_atom": "atom of a nucleic acid",
        "nucleic_base": "base of a nucleic acid at its C1'",
    }
    return {
        "long_name": long_names[name],
        "flag_values": values,
        "flag_meanings": " ".join(meanings),
    }


def multiscale_attributes(entry_id: str, levels: int, origin_xyz_A: tuple[float, ...]) -> Document:
    """Return OME-Zarr 0.5 attributes for a map of ``levels`` resolutions, 1, 2, 4 A a voxel.

    A level's voxel centres lie (2^level - 1) / 2 A beyond the first level's, because each is the
    mean of eight voxels.
    """
    datasets = []
    for level in range(levels):
        scale = float(2**level)
        shift = (scale - 1) / 2
        datasets.append(
            {
                "path": f"s{level}/density",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [scale] * 3},
                    {
                        "type": "translation",
                        "translation": [float(o) + shift for o in reversed(origin_xyz_A)],
                    },
                ],
            }
        )
    axes = [{"name": axis, "type": "space", "unit": "angstrom"} for axis in "zyx"]
    multiscale = {"name": entry_id, "axes": axes, "datasets": datasets}
    return {"ome": {"version": "0.5", "multiscales": [multiscale]}}


def n_levels(shape_zyx: Triple) -> int:
    """Return how many resolutions a map has: three, fewer where it would shrink below a voxel."""
    return 1 + sum(min(shape_zyx) // 2**level >= 1 for level in (1, 2))


def level_shape(shape_zyx: Triple, level: int) -> Triple:
    """Return the shape of a coarser level; a last odd plane is left out."""
    z, y, x = (n // 2**level for n in shape_zyx)
    return (z, y, x)


def map_shard_shape(shape_zyx: tuple[int, ...]) -> Triple:
    """Return the shape of the shards of a map array: one, in whole chunks, up to 512^3 voxels."""
    z, y, x = (min(MAP_SHARD_MAX, -(-n // MAP_CHUNK) * MAP_CHUNK) for n in shape_zyx)
    return (z, y, x)


def n_map_shards(shape_zyx: tuple[int, ...]) -> Triple:
    """Return the number of shards of a map array along each axis."""
    z, y, x = (-(-n // MAP_SHARD_MAX) for n in shape_zyx)
    return (z, y, x)
