"""Stores that several groups measure on: simulated maps, built by the product."""

from __future__ import annotations

from pathlib import Path

from benchmarks.build import make_input
from c2s_data.build import run_entries
from c2s_data.config import make_config
from c2s_data.plan import Plan, make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.objects import open_objects


def make_catalog(folder: Path, n_maps: int, side: int, voxel_A: float) -> Path:
    """Write one map and its model, and a catalog that names them ``n_maps`` times."""
    folder.mkdir(parents=True, exist_ok=True)
    catalog = make_input(folder, side, voxel_A)
    head, row = catalog.read_text().splitlines()
    names = (f"MAP{number}" for number in range(n_maps))
    rows = [row.replace("BIG", name, 1) for name in names]
    catalog.write_text("\n".join([head, *rows]) + "\n")
    return catalog


def plan_of(catalog: Path, preset: str) -> Plan:
    return make_plan(read_catalog(catalog), make_config(preset), task_memory_bytes=10**12)


def built_store(folder: Path, n_maps: int = 1, side: int = 220, voxel_A: float = 1.0) -> Path:
    """Build and commit a store of solvent noise around simulated proteins; return its path."""
    plan = plan_of(make_catalog(folder / "inputs", n_maps, side, voxel_A), "recommended")
    store = folder / "store.zarr"
    objects = open_objects(store)
    plan = begin_store(objects, plan)

    def on_outcome(outcome: object) -> None:
        assert outcome.failure is None, outcome.failure  # type: ignore[attr-defined]

    run_entries(objects.url, plan, plan.buildable, on_outcome)
    commit(objects, plan)
    return store
