"""Small stores to export, and a folder of records as the published archive has them."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import gemmi
import mrcfile
import numpy as np

from c2s_data.build import run_entries
from c2s_data.config import BuildConfig, make_config
from c2s_data.plan import make_plan
from c2s_data.schema import MASKS
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.density_map import DensityMap, write_density_map
from c2s_data.sources.procedural import procedural_protein
from c2s_data.sources.simulate import simulated_map, write_model
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import Store, open_store

PRESETS = ("paper", "released", "recommended")
TITLE = 'A title, with a comma, "quotes" and\na line end'


def build(catalog: Path, url: Path, config: BuildConfig) -> Store:
    """Plan, build and commit in this process."""
    plan = make_plan(read_catalog(catalog), config)
    objects = open_objects(url)
    plan = begin_store(objects, plan)
    run_entries(objects.url, plan, plan.buildable, lambda outcome: None)
    commit(objects, plan)
    return open_store(objects.url)


def write_inputs(folder: Path) -> Path:
    """Two simulated maps: a PDB model with all identifiers, an mmCIF one with few and with UNK."""
    folder.mkdir(parents=True)
    for number, name in enumerate(("one.map.gz", "two.map.gz")):
        structure, density = simulated(number)
        structure = structure.clone()
        write_density_map(folder / name, density)
        if number:
            for residue in structure[0][0][2:5]:
                residue.name = "UNK"
            write_model(folder / "unknown.cif", structure)
        else:
            structure.write_pdb(str(folder / "model.pdb"))
    catalog = folder / "catalog.csv"
    identity = ("entry_id", "emdb_id", "pdb_id", "map", "model", "origin")
    facts = ("resolution_A", "split", "contour_level", "method", "title")
    with catalog.open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [
                (*identity, *facts),
                (*["EMD-22898"] * 2, "7KJR", "one.map.gz", "model.pdb", "origin",
                 3.08, "train", 0.7, "single particle", TITLE),
                ("made-up", "", "", "two.map.gz", "unknown.cif", "origin", 2.5, "test", "", "", ""),
                ("no-map", "", "", "none.map", "model.pdb", "", 3, "train", "", "", ""),
            ]
        )  # fmt: skip
    return catalog


@cache
def simulated(number: int) -> tuple[gemmi.Structure, DensityMap]:
    """One of two models of a single chain, far from the origin, and its map."""
    structure = procedural_protein(7 + number, 90)
    del structure[0][1]  # one chain of two: smaller maps
    shift = gemmi.Transform(gemmi.Mat33(), gemmi.Vec3(31.4, -12.7, 84.2))
    structure[0].transform_pos_and_adp(shift)
    density = simulated_map(
        structure,
        np.random.default_rng(number),
        voxel_size_zyx_A=((1.07, 0.93, 0.99), (0.91, 1.04, 0.97))[number],
        volume_ratio=2,
    )
    return structure, with_unequal_sides(density)


def with_unequal_sides(density: DensityMap) -> DensityMap:
    """Widen a map so that its sides need different numbers of subgrids."""
    nz, ny, nx = density.values_zyx.shape
    target = (max(nz, ny + 25, nx + 50), max(ny, nx + 25), nx)
    pads = [(0, n - have) for n, have in zip(target, (nz, ny, nx), strict=True)]
    return replace(density, values_zyx=np.pad(density.values_zyx, pads))


def small_store(folder: Path, preset: str, **options) -> Store:
    """Return a store of `write_inputs` in ``folder``."""
    catalog = write_inputs(folder / "inputs")
    return build(catalog, folder / "small.zarr", make_config(preset, **options))


def write_published(folder: Path, store: Store, model: Path, *, number: str = "22898") -> Path:
    """Write one entry as the published archive ships it, with mrcfile alone; return its folder.

    There is no C-alpha, amino-acid or secondary-structure mask; the atom mask is float32.
    """
    entry = folder / f"EMD_{number[0]}" / number
    entry.mkdir(parents=True)
    stored = store.entry("EMD-22898")
    for name, file in (("density", ""), ("atom", "atom_")):
        with mrcfile.new(entry / f"{file}emd_normalized_map.mrc") as mrc:
            mrc.set_data(store.read_map("EMD-22898", name).astype(np.float32))
            mrc.voxel_size = 1.0
            for axis, value in zip("xyz", stored.origin_xyz_A, strict=True):
                mrc.header.origin[axis] = value
    shutil.copy(model, entry / "7kjr.pdb")
    (entry / "7kjr.fasta").write_text(">7KJR_1|Chains A|made up|nobody\nMKV\n")
    (entry / "7kjr_all_chain_combined.fasta").write_text(">x\nMKV\n")
    for name in ("atomic", "dealign_clustal_input", "dealign_clustal_output"):
        (entry / f"{name}.fasta").write_text(">original\nMKV\n>atom\nMKV\n")
    (folder / "metadata.csv").write_text(
        "EMDB ID,PDB ID,Resolution,Method,Model,notes\n"
        f'{int(number)},7KJR,2.08 A,single particle,"a, b",x\n'
    )
    (folder / "splits.csv").write_text(f"train,valid,test\n1111,{number},2222\n3333,,\n")
    return entry


def same_arrays(one: Store, other: Store, names: tuple[str, ...] = ("density", *MASKS)) -> None:
    """Assert that two stores hold the same entries and, to the bit, the same maps."""
    assert [entry.entry_id for entry in one.entries] == [entry.entry_id for entry in other.entries]
    for entry in one.entries:
        for name in names:
            left, right = (store.read_map(entry.entry_id, name) for store in (one, other))
            assert left.dtype == right.dtype
            assert left.tobytes() == right.tobytes(), (entry.entry_id, name)
