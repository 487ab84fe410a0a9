"""What a build will take, from a plan alone: core hours, requests, bytes and money.

docs/scale.md states the formulas. Objects and writes of a map are exact, because they follow from
its grid; bytes and seconds are fitted to measurements; prices come from a table of the user's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from c2s_data.config import BuildConfig
from c2s_data.plan import Plan, PlannedEntry, predicted_store_bytes, rows_per_shard
from c2s_data.rates import Rates, Site
from c2s_data.schema import INDEX_CHUNK_ROWS
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.store.layout import INDEX_COLUMNS, Layout, level_shape, n_levels, n_map_shards
from c2s_data.store.map_group import map_documents

_TABLES: Final = 3  # residues, sequences, statistics
_KEYS_A_LISTING: Final = 1000
_MAP_READS: Final = 6
"""Of one map besides reading back: its receipt before and after it is made, each twice, since it
is not there yet, once at the commit, and the lineage; `tests/data/test_estimate.py` counts."""


@dataclass(frozen=True)
class Estimate:
    """What a build takes; ``n_typical`` maps were not here and were taken as typical.

    ``n_reads`` reads every object and receipt back. A service that tags objects with their MD5 (S3
    without keys of KMS) is spared that: ``n_objects + n_maps`` fewer.
    """

    n_maps: int
    n_typical: int
    n_subgrids: int
    core_s: float
    input_bytes: int
    store_bytes: int
    n_objects: int
    n_writes: int
    n_reads: int

    @property
    def moved_bytes(self) -> int:
        """Over the network, where inputs and store are remote: every object is read back."""
        return self.input_bytes + 2 * self.store_bytes


@dataclass(frozen=True)
class Cost:
    """US dollars at one site: to build, to keep for a month, to move out once."""

    cores: float
    requests: float
    storage_month: float
    leaving: float

    @property
    def build(self) -> float:
        """Cores and requests."""
        return self.cores + self.requests


def build_seconds(planned: PlannedEntry, config: BuildConfig, rates: Rates) -> float:
    """Return the seconds of one core that a map should take."""
    times = rates.build_seconds
    slow = config.quality or config.resampling == "spline3"
    time = times.quality if slow else times.linear
    megavoxels = math.prod(planned.source_shape_zyx) / 1e6
    thousands = planned.n_subgrids / 1e3
    return time.map + time.source_megavoxel * megavoxels + time.subgrid_thousand * thousands


def typical_entry(rates: Rates, config: BuildConfig) -> PlannedEntry:
    """Return what a map is planned as whose file is not here."""
    typical = rates.typical_map
    side = round(config.core * typical.subgrids ** (1 / 3))
    source = round(side / typical.voxel_A) if config.density == "raw" else side
    map_bytes = int(typical.gzipped * 4 * source**3)
    return PlannedEntry(
        0,
        CatalogEntry("typical", "", "", None),
        source_shape_zyx=(source,) * 3,
        shape_zyx=(side,) * 3,
        n_subgrids=typical.subgrids,
        n_shards=-(-typical.subgrids // rows_per_shard(config.box)),
        map_bytes=map_bytes,
        model_bytes=typical.model_bytes,
        predicted_bytes=predicted_store_bytes(
            4 * source**3, map_bytes, (side,) * 3, typical.subgrids, config
        ),
    )


def objects_of(planned: PlannedEntry, config: BuildConfig) -> int:
    """Return how many objects the receipt of a map will name."""
    layout = Layout.of(config)
    count = planned.n_shards * len(layout.arrays) + _TABLES
    count += len(map_documents(planned, layout))
    for level in range(n_levels(planned.shape_zyx)):
        arrays = len(layout.arrays) if level == 0 else 1
        shape_zyx = level_shape(planned.shape_zyx, level)
        count += len("zyx") + arrays * math.prod(n_map_shards(shape_zyx))
    return count


def estimate(plan: Plan, rates: Rates) -> Estimate:
    """Return what building every map of a plan takes, a map that is not here yet as a typical one.

    Maps that were refused for another reason take nothing.
    """
    config = plan.config
    absent = [e for e in plan.live if e.failure is not None and e.failure.reason == "not-found"]
    entries = [*plan.buildable, *[typical_entry(rates, config)] * len(absent)]
    n_maps, n_subgrids = len(entries), sum(entry.n_subgrids for entry in entries)
    n_objects = sum(objects_of(entry, config) for entry in entries)
    chunks = len(INDEX_COLUMNS) * -(-n_subgrids // INDEX_CHUNK_ROWS)
    listings = 2 * -(-(n_objects + n_maps) // _KEYS_A_LISTING)
    return Estimate(
        n_maps=n_maps,
        n_typical=len(absent),
        n_subgrids=n_subgrids,
        core_s=sum(build_seconds(entry, config, rates) for entry in entries),
        input_bytes=sum(
            entry.map_bytes + entry.model_bytes + sum(file.nbytes for file in entry.side_files)
            for entry in entries
        ),
        store_bytes=sum(entry.predicted_bytes for entry in entries),
        n_objects=n_objects,
        n_writes=n_objects + n_maps + chunks + listings,
        n_reads=n_objects + (1 + _MAP_READS) * n_maps + chunks,
    )


def cost(taken: Estimate, site: Site) -> Cost:
    """Return what a build costs at a site."""
    return Cost(
        cores=taken.core_s / 3600 * site.core_hour.usd,
        requests=taken.n_writes / 1e3 * site.write_1000.usd
        + taken.n_reads / 1e3 * site.read_1000.usd,
        storage_month=taken.store_bytes / 1e9 * site.storage_gb_month.usd,
        leaving=taken.store_bytes / 1e9 * site.leaving_gb.usd,
    )
