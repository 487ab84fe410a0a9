"""The plan of a build: from headers alone, who owns which rows and what it will cost.

A plan fixes everything that parts must agree on before the first of them runs: the order of the
maps, their grids, the range of subgrid rows that each owns, and the fingerprint that binds these
to the options. Parts then need nothing but the plan.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from c2s_data.config import BuildConfig, fingerprint
from c2s_data.errors import ConfigError, MapError, MapReason
from c2s_data.schema import (
    BOX,
    MAP_CHUNK,
    MAP_SHARD_MAX,
    SUBGRIDS_PER_CHUNK,
    SUBGRIDS_PER_SHARD,
    masks_of,
)
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.sources.density_map import MAX_VOXELS, read_map_header
from c2s_data.sources.file_digest import digest_of_ends, digest_of_file
from c2s_data.sources.input_file import input_bytes, is_input
from c2s_data.sources.mask_files import mask_files
from c2s_data.task_memory import predicted_memory, predicted_paged_memory
from c2s_data.transforms.resample import resampled_shape
from c2s_data.transforms.windows import n_windows, voxels_in_windows

WITHDRAWN: Final = "withdrawn"
REBUILT: Final = "rebuilt"
EXCLUDED: Final = "excluded"
REPLACED: Final = "replaced"
DROPPED: Final = "dropped"
"""Why an entry is withdrawn: by its owner, or because it was built anew; the others were never
built: by its owner, with other inputs, or because it left the catalog."""
DEFAULT_TASK_MEMORY: Final = 1_500_000_000
_BYTES_AN_ATOM: Final = 20  # of a gzipped mmCIF file; a plain one has four times as many
_PLAIN_CHUNK_BYTES: Final = 20  # beside its values: 4 of checksum, 16 of its place in the index


@dataclass(frozen=True)
class Failure:
    """Why an entry is left out of the store, and at which step that was seen."""

    stage: str
    reason: str
    message: str


@dataclass(frozen=True)
class SideFile:
    """A further input of an entry: its ``sequence``, or a ``mask`` that lies beside the map.

    ``sha256`` digests a sequence whole and the ends of a mask, as `digest_of_ends`.
    """

    role: str
    path: str
    nbytes: int
    sha256: str


@dataclass(frozen=True)
class PlannedEntry:
    """One map of the plan.

    ``map_index`` is its row of the catalog, for ever. ``shape_zyx`` is the grid at 1 A; the map
    owns subgrid rows ``first_subgrid`` to ``first_subgrid + n_subgrids`` and, with padding, all
    rows of its ``n_shards`` shards. Rows, shards and sizes are zero where ``failure`` says that the
    map cannot be built. ``withdrawn`` says why later generations leave it out; ``revision`` counts
    how often an entry of this name was begun anew from other inputs. ``fingerprint`` binds the
    entry's inputs and rows to the options: what was built under it stays valid while the store
    grows. ``map_ends_sha256`` digests the first and last 4 KiB of the map's file: the statistics of
    an MRC header or the checksum of a gzip file, so that another map of the same size is noticed
    without reading either. ``paged`` says that its volumes lie in temporary files while it is
    built, because a task may not have enough memory for them; the store is the same either way.
    """

    map_index: int
    entry: CatalogEntry
    source_shape_zyx: tuple[int, int, int] = (0, 0, 0)
    voxel_size_zyx_A: tuple[float, float, float] = (0.0, 0.0, 0.0)
    origin_xyz_A: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shape_zyx: tuple[int, int, int] = (0, 0, 0)
    first_subgrid: int = 0
    n_subgrids: int = 0
    n_shards: int = 0
    map_bytes: int = 0
    map_ends_sha256: str = ""
    model_bytes: int = 0
    model_sha256: str = ""
    side_files: tuple[SideFile, ...] = ()
    predicted_bytes: int = 0
    predicted_memory_bytes: int = 0
    paged: bool = False
    failure: Failure | None = None
    withdrawn: Failure | None = None
    revision: int = 1
    fingerprint: str = ""

    @property
    def entry_id(self) -> str:
        """The name of the entry, the same for all its revisions."""
        return self.entry.entry_id

    @property
    def holds_rows(self) -> bool:
        """Whether its rows may be read in some generation: live, or withdrawn once it was built.

        A part that nobody waits for any more may still finish one that was never built.
        """
        built_before = self.withdrawn is None or self.withdrawn.reason in (WITHDRAWN, REBUILT)
        return self.failure is None and built_before

    @property
    def group(self) -> str:
        """The name of what the store keeps of it: entry_id, or entry_id.r2 for a second revision.

        No entry_id ends in this way, so that no two entries share a name.
        """
        return group_name(self.entry_id, self.revision)


def group_name(entry_id: str, revision: int) -> str:
    """Return the name below ``maps`` of one revision of an entry."""
    return entry_id if revision == 1 else f"{entry_id}.r{revision}"


@dataclass(frozen=True)
class Plan:
    """All entries of a store by ``map_index``, failed and withdrawn ones included.

    ``lineage`` is the fingerprint of the first plan of a store and stays the same while it grows;
    ``n_rows`` is the first row that nobody owns.
    """

    config: BuildConfig
    fingerprint: str
    entries: tuple[PlannedEntry, ...]
    n_rows: int
    lineage: str

    @property
    def live(self) -> tuple[PlannedEntry, ...]:
        """The entries that were not withdrawn; no two of one name."""
        return tuple(entry for entry in self.entries if entry.withdrawn is None)

    @property
    def buildable(self) -> tuple[PlannedEntry, ...]:
        """The live entries that own rows."""
        return tuple(entry for entry in self.live if entry.failure is None)

    @property
    def predicted_bytes(self) -> int:
        """Size of the whole store as the headers let expect."""
        return sum(entry.predicted_bytes for entry in self.live)

    def part(self, number: int, parts: int) -> tuple[PlannedEntry, ...]:
        """Return the entries of part ``number`` (1 to ``parts``), balanced by voxels.

        The parts are disjoint and together hold every buildable entry; they depend on nothing but
        the plan, so a job array needs no scheduler to agree on them.
        """
        if not 1 <= number <= parts:
            raise ConfigError(f"part {number}/{parts}: the first number counts from 1 to {parts}")
        loads = [0] * parts
        mine: list[PlannedEntry] = []
        for entry in largest_first(self.buildable):
            lightest = loads.index(min(loads))
            loads[lightest] += entry.n_subgrids
            if lightest == number - 1:
                mine.append(entry)
        return tuple(mine)


def largest_first(entries: Iterable[PlannedEntry]) -> list[PlannedEntry]:
    """Order entries so that the longest work begins first."""
    return sorted(entries, key=lambda entry: (-entry.n_subgrids, entry.map_index))


def rows_per_shard(box: int) -> int:
    """Return the subgrids of one shard: 512 of 32^3 voxels, or about as many bytes."""
    return rows_per_chunk(box) * (SUBGRIDS_PER_SHARD // SUBGRIDS_PER_CHUNK)


def rows_per_chunk(box: int) -> int:
    """Return the subgrids of one inner chunk: 16 of 32^3 voxels, or about as many bytes."""
    exact = SUBGRIDS_PER_CHUNK * BOX**3 / box**3
    return int(2 ** max(0, round(math.log2(exact))))


def make_plan(
    catalog: Sequence[CatalogEntry],
    config: BuildConfig,
    *,
    task_memory_bytes: int = DEFAULT_TASK_MEMORY,
    max_voxels: int = MAX_VOXELS,
) -> Plan:
    """Read every map's header and lay out the store.

    An entry whose files are missing, whose header is refused, whose map has more than
    ``max_voxels`` or whose task would need more than ``task_memory_bytes``, also with its volumes
    in temporary files, is kept with its `Failure` and owns no rows.
    """
    first = 0
    entries = []
    for index, entry in enumerate(catalog):
        planned = _plan_entry(index, entry, config, task_memory_bytes, max_voxels)
        planned = with_rows(planned, first, config)
        first += planned.n_shards * rows_per_shard(config.box)
        entries.append(planned)
    return plan_of(config, entries, first)


def with_rows(planned: PlannedEntry, first_subgrid: int, config: BuildConfig) -> PlannedEntry:
    """Give an entry whole shards from a row on, unless it failed, and its fingerprint."""
    if planned.failure is None:
        n_shards = -(-planned.n_subgrids // rows_per_shard(config.box))
        planned = replace(planned, first_subgrid=first_subgrid, n_shards=n_shards)
    rows = (planned.first_subgrid, planned.n_subgrids, planned.revision)
    return replace(planned, fingerprint=fingerprint(config, [identity(planned, config), rows]))


def plan_of(
    config: BuildConfig, entries: Sequence[PlannedEntry], n_rows: int, lineage: str | None = None
) -> Plan:
    """Return the plan of entries that own their rows; a new store's own lineage by default."""
    parts = [(entry.fingerprint, entry.withdrawn is not None) for entry in entries]
    digest = fingerprint(config, parts)
    return Plan(config, digest, tuple(entries), n_rows, lineage or digest)


def _plan_entry(
    index: int, entry: CatalogEntry, config: BuildConfig, task_memory_bytes: int, max_voxels: int
) -> PlannedEntry:
    bare = PlannedEntry(index, entry)
    try:
        header = read_map_header(
            entry.map, origin=entry.origin or config.origin, max_voxels=max_voxels
        )
    except MapError as error:
        return replace(bare, failure=Failure("plan", error.reason, error.message))
    needed = (("atomic model does", entry.model), ("sequences do", entry.sequence))
    for what, path in needed:
        if path is not None and not is_input(path):
            message = f"{path}: the {what} not exist; correct the path in the catalog"
            return replace(bare, failure=Failure("plan", "not-found", message))
    try:
        shape_zyx = header.shape_zyx
        if config.density == "raw":
            shape_zyx = resampled_shape(shape_zyx, header.voxel_size_zyx_A)
    except ValueError as error:
        failure = Failure("plan", MapReason.BAD_CELL, f"{entry.map}: {error}")
        return replace(bare, failure=failure)
    try:
        map_bytes, map_ends_sha256 = input_bytes(entry.map), digest_of_ends(entry.map)
        model_bytes, model_sha256 = input_bytes(entry.model), digest_of_file(entry.model)
        side_files = tuple(_side_files(entry, config))
    except OSError as error:
        message = f"{error.filename}: cannot be read: {error.strerror}; mend it and plan again"
        return replace(bare, failure=Failure("plan", "unreadable", message))
    n_subgrids = n_windows(shape_zyx, config.core)
    rows = rows_per_shard(config.box)
    if config.compressor != "none":  # padding that is not compressed takes memory too
        rows = min(rows, n_subgrids)
    sizes = header.shape_zyx, shape_zyx, config, rows, model_bytes // _BYTES_AN_ATOM
    memory = predicted_memory(*sizes)
    paged = memory > task_memory_bytes
    if paged:
        memory = predicted_paged_memory(*sizes)
    planned = replace(
        bare,
        source_shape_zyx=header.shape_zyx,
        voxel_size_zyx_A=header.voxel_size_zyx_A,
        origin_xyz_A=header.origin_xyz_A,
        shape_zyx=shape_zyx,
        n_subgrids=n_subgrids,
        map_bytes=map_bytes,
        map_ends_sha256=map_ends_sha256,
        model_bytes=model_bytes,
        model_sha256=model_sha256,
        side_files=side_files,
        predicted_bytes=predicted_store_bytes(
            math.prod(header.shape_zyx) * header.source_dtype.itemsize,
            map_bytes,
            shape_zyx,
            n_subgrids,
            config,
        ),
        predicted_memory_bytes=memory,
        paged=paged,
    )
    if memory > task_memory_bytes:
        message = (
            f"{entry.map}: {header.shape_zyx} voxels at 1 A {shape_zyx} would need "
            f"{memory / 1e9:.2f} GB in one task, above --task-memory "
            f"{task_memory_bytes / 1e9:.2f} GB; raise it if workers have that much memory"
        )
        failure = Failure("plan", "task-memory", message)
        return replace(planned, n_subgrids=0, predicted_bytes=0, paged=False, failure=failure)
    return planned


def _side_files(entry: CatalogEntry, config: BuildConfig) -> Iterator[SideFile]:
    if entry.sequence is not None:
        size = input_bytes(entry.sequence)
        yield SideFile("sequence", entry.sequence, size, digest_of_file(entry.sequence))
    if config.masks == "files":
        kept = masks_of(config.extra_masks)
        for path in (file for name, file in mask_files(entry.map).items() if name in kept):
            yield SideFile("mask", path, input_bytes(path), digest_of_ends(path))


def predicted_store_bytes(
    source_bytes: int,
    map_bytes: int,
    shape_zyx: tuple[int, int, int],
    n_subgrids: int,
    config: BuildConfig,
) -> int:
    """Return the bytes that one map should take in the store.

    ``source_bytes`` are those of its values, ``map_bytes`` those of its file. How well the source
    file is compressed says how much of the map is empty, masked or coarsely rounded; a map that is
    not compressed is taken as noise throughout. The share of voxels below zero, which are cut off,
    is not known from a header. The coefficients were fitted to eleven real and eleven simulated
    maps: a store of several comes out within 25 %, a single map within a factor of two. Of density
    that is not compressed every byte is known.
    """
    item = 2 if config.density_dtype == "float16" else 4
    fullness = min(1.0, map_bytes / source_bytes)
    fast = config.compressor != "zstd"
    labels = 340_000 + 830 * n_subgrids if fast else 130_000 + 280 * n_subgrids
    if config.compressor == "none":
        return _plain_density_bytes(shape_zyx, n_subgrids, config) + labels
    ratio = (0.75 if fast else 0.68) * fullness**1.1
    # The map itself with its coarser levels, and what of it lies in each subgrid.
    voxels = math.prod(shape_zyx) * 8 // 7 + voxels_in_windows(shape_zyx, config.box, config.core)
    return int(voxels * item * ratio) + labels


def _plain_density_bytes(
    shape_zyx: tuple[int, int, int], n_subgrids: int, config: BuildConfig
) -> int:
    """Return the bytes of all density of one map, uncompressed: whole shards, padding included."""
    item = 2 if config.density_dtype == "float16" else 4
    rows = rows_per_shard(config.box)
    n_shards = -(-n_subgrids // rows)
    voxels = n_shards * rows * config.box**3
    n_chunks = n_shards * rows // rows_per_chunk(config.box)
    for shape in ([n // 2**level for n in shape_zyx] for level in range(3)):
        # Above 512 voxels every shard of an axis has 512, the last one too.
        steps = [MAP_CHUNK if n <= MAP_SHARD_MAX else MAP_SHARD_MAX for n in shape]
        stored = math.prod(-(-n // step) * step for n, step in zip(shape, steps, strict=True))
        n_shards += math.prod(-(-n // MAP_SHARD_MAX) for n in shape)
        voxels += stored
        n_chunks += stored // MAP_CHUNK**3
    return voxels * item + n_chunks * _PLAIN_CHUNK_BYTES + 4 * n_shards


def identity(planned: PlannedEntry, config: BuildConfig) -> dict[str, Any]:
    """Return what an entry is built from: its files and what its group in the store says.

    Folders are left out, since inputs may move; so is what only the catalog says (split, further
    columns), since that may change in any generation. The contour level is such a column too,
    unless the quality of the entry is measured by it.
    """
    entry = planned.entry
    return {
        "entry_id": entry.entry_id,
        "emdb_id": entry.emdb_id,
        "pdb_id": entry.pdb_id,
        "resolution_A": entry.resolution_A,
        "contour_level": entry.contour_level if config.quality else None,
        "origin": entry.origin,
        "map": Path(entry.map).name,
        "model": Path(entry.model).name,
        "map_bytes": planned.map_bytes,
        "map_ends_sha256": planned.map_ends_sha256,
        "model_bytes": planned.model_bytes,
        "model_sha256": planned.model_sha256,
        "assembly": entry.assembly,
        "side_files": [
            (file.role, Path(file.path).name, file.nbytes, file.sha256)
            for file in planned.side_files
        ],
        "source_shape_zyx": planned.source_shape_zyx,
        "voxel_size_zyx_A": planned.voxel_size_zyx_A,
        "origin_xyz_A": planned.origin_xyz_A,
    }
