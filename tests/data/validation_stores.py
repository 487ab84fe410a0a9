"""A small simulated pair built once per preset, and stores of it with one planted fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import gemmi
import numpy as np

from c2s_data.build import build_entry
from c2s_data.config import BuildConfig, make_config
from c2s_data.plan import Plan, PlannedEntry, make_plan, plan_of, with_rows
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.sources.density_map import write_density_map
from c2s_data.sources.procedural import procedural_protein
from c2s_data.sources.simulate import simulated_map, write_model
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.writer import LabeledMap, write_entry
from c2s_data.transforms.label import VoxelLabels
from c2s_data.validation.report import Report
from c2s_data.validation.run import validate_store

Change = Callable[[LabeledMap, PlannedEntry], LabeledMap]
ENTRY_ID = "MADE-0001"
VOXEL_ZYX_A = (1.07, 0.93, 0.99)
SHIFT_XYZ_A = (131.4, 57.7, 84.2)


@dataclass(frozen=True)
class Built:
    """One entry, built but not yet written."""

    plan: Plan
    planned: PlannedEntry
    made: LabeledMap


def write_pair(folder: Path, *, mirrored: bool = False) -> CatalogEntry:
    """Write a map and a model; coordinates are positive unless the pair is mirrored."""
    folder.mkdir(parents=True, exist_ok=True)
    structure = procedural_protein(11, 90)
    turn = gemmi.Mat33([[-1 if mirrored else 1, 0, 0], [0, 1, 0], [0, 0, 1]])
    structure[0].transform_pos_and_adp(gemmi.Transform(turn, gemmi.Vec3(*SHIFT_XYZ_A)))
    rng = np.random.default_rng(3)
    density = simulated_map(structure, rng, voxel_size_zyx_A=VOXEL_ZYX_A, volume_ratio=3.0)
    write_density_map(folder / "made.mrc", density)
    write_model(folder / "made.cif", structure)
    return CatalogEntry(
        ENTRY_ID, str(folder / "made.mrc"), str(folder / "made.cif"), 3.0, emdb_id="EMD-1234"
    )


def build(entry: CatalogEntry, config: BuildConfig) -> Built:
    plan = make_plan([entry], config)
    (planned,) = plan.entries
    assert planned.failure is None, planned.failure
    return Built(plan, planned, build_entry(planned, config))


def write_store(folder: Path, plan: Plan, made: list[LabeledMap]) -> str:
    objects = open_objects(folder / "made.zarr")
    begin_store(objects, plan)
    for planned, labeled in zip(plan.entries, made, strict=True):
        write_entry(objects, Layout.of(plan.config), planned, labeled)
    commit(objects, plan)
    return objects.url


def store_of(folder: Path, built: Built, change: Change = lambda made, planned: made) -> str:
    return write_store(folder, built.plan, [change(built.made, built.planned)])


def replanned(built: Built, **changes: object) -> Built:
    """Change what the plan says of the entry, which the catalog then repeats."""
    planned = replace(built.planned, **changes)
    planned = with_rows(planned, 0, built.plan.config)
    return Built(plan_of(built.plan.config, [planned], built.plan.n_rows), planned, built.made)


def statuses(report: Report, entry_id: str = ENTRY_ID) -> dict[str, str]:
    return {f.number: f.status for f in report.findings if f.entry_id == entry_id}


def numbers_with(report: Report, status: str) -> set[str]:
    return {finding.number for finding in report.findings if finding.status == status}


def failed(url: str, **options: object) -> set[str]:
    return numbers_with(validate_store(url, **options), "fail")


def message(report: Report, number: str, entry_id: str = ENTRY_ID) -> str:
    (found,) = (f for f in report.findings if (f.number, f.entry_id) == (number, entry_id))
    return found.message


def numbers(report: Report, number: str, entry_id: str = ENTRY_ID) -> dict[str, float]:
    (found,) = (f for f in report.findings if (f.number, f.entry_id) == (number, entry_id))
    return found.numbers


def with_facts(made: LabeledMap, **facts: object) -> LabeledMap:
    return replace(made, facts={**made.facts, **facts})


def with_residues(made: LabeledMap, **columns: np.ndarray) -> LabeledMap:
    return replace(made, residues={**made.residues, **columns})


def with_labels(made: LabeledMap, **labels: VoxelLabels) -> LabeledMap:
    return replace(made, labels={**made.labels, **labels})


def with_density(made: LabeledMap, values_zyx: np.ndarray) -> LabeledMap:
    return replace(made, density_zyx=values_zyx.astype(made.density_zyx.dtype))


def sorted_labels(index_zyx: np.ndarray, value: np.ndarray) -> VoxelLabels:
    order = np.lexsort(np.asarray(index_zyx).T[::-1])
    return VoxelLabels(np.asarray(index_zyx)[order].astype(np.int32), np.asarray(value)[order])


def shifted_labels(made: LabeledMap, step_zyx: tuple[int, int, int]) -> LabeledMap:
    moved = {
        name: labels._replace(index_zyx=(labels.index_zyx + step_zyx).astype(np.int32))
        for name, labels in made.labels.items()
    }
    return with_labels(made, **moved)


def empty_voxel(made: LabeledMap) -> tuple[int, int, int]:
    """Return a voxel that no mask labels, whose density is neither 0 nor 1."""
    free = (made.density_zyx > 0.1) & (made.density_zyx < 0.9)
    for labels in made.labels.values():
        free[tuple(labels.index_zyx.T)] = False
    z, y, x = np.argwhere(free)[0]
    return int(z), int(y), int(x)


PRESETS = ("paper", "released", "recommended")


def config_of(preset: str) -> BuildConfig:
    return make_config(preset)
