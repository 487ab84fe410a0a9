"""Faults of the inputs themselves: another origin convention, a mirror image, ligands, overlaps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest
from validation_stores import (
    build,
    config_of,
    empty_voxel,
    message,
    numbers,
    numbers_with,
    statuses,
    store_of,
    with_facts,
    with_labels,
    with_residues,
    write_pair,
)

from c2s_data.config import make_config
from c2s_data.records.layout import NORMALIZED_MAP, mask_file
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.sources.density_map import DensityMap, read_density_map, write_density_map
from c2s_data.sources.density_map_writer import write_mrc
from c2s_data.store.writer import LabeledMap
from c2s_data.validation.run import validate_store


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> CatalogEntry:
    return write_pair(tmp_path_factory.mktemp("pair"))


def test_another_origin_convention_that_fits_better(entry: CatalogEntry, tmp_path: Path) -> None:
    """ORIGIN is right, nstart is 6 voxels off; the catalog asks for nstart."""
    density = read_density_map(entry.map)
    path = tmp_path / "two-origins.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(density.values_zyx)
        mrc.voxel_size = density.voxel_size_zyx_A[::-1]
        for i, axis in enumerate("xyz"):
            mrc.header.origin[axis] = density.origin_xyz_A[i]
            steps = density.origin_xyz_A[i] / density.voxel_size_zyx_A[2 - i]
            setattr(mrc.header, f"n{axis}start", round(steps) + 6)
    for rule, expected in (("origin", set()), ("nstart", {"L12"})):
        built = build(replace(entry, map=str(path), origin=rule), config_of("paper"))
        report = validate_store(store_of(tmp_path / rule, built))
        assert numbers_with(report, "fail") == expected
        if rule == "nstart":
            assert "set the catalog's origin column to origin" in message(report, "L12")
            found = numbers(report, "L12")
            assert found["best_other_sd"] > 2 * found["ca_density_sd"]


def test_a_mirror_image_is_left_handed(tmp_path: Path) -> None:
    mirrored = write_pair(tmp_path / "mirrored", mirrored=True)
    report = validate_store(store_of(tmp_path, build(mirrored, config_of("paper"))))
    assert numbers_with(report, "fail") == {"L13"}
    assert numbers(report, "L13")["right_handed_share"] < 0.1
    assert "helices" in message(report, "L13")

    def all_coil(made: LabeledMap, _: object) -> LabeledMap:
        """Without helices phi decides: as if the file's records called everything coil."""
        coil = np.ones_like(made.residues["secondary"])
        labels = made.labels["secondary"]
        counts = {**made.facts["label_counts"], "secondary": [len(labels.value), 0, 0]}
        made = with_labels(made, secondary=labels._replace(value=np.ones_like(labels.value)))
        return with_facts(with_residues(made, secondary=coil), label_counts=counts)

    report = validate_store(
        store_of(tmp_path / "coil", build(mirrored, config_of("paper")), all_coil)
    )
    assert numbers_with(report, "fail") == {"L13"}
    assert "phi" in message(report, "L13")


def ion_records(entry: CatalogEntry, folder: Path) -> CatalogEntry:
    """Add a calcium ion, which the published programs take for a C-alpha, to the model."""
    folder.mkdir(parents=True, exist_ok=True)
    structure = gemmi.read_structure(entry.model)
    structure.setup_entities()
    ion = gemmi.Residue()
    ion.name, ion.seqid, ion.het_flag = "CA", gemmi.SeqId("901"), "H"
    atom = gemmi.Atom()
    atom.name, atom.element = "CA", gemmi.Element("Ca")
    first = structure[0][0][0].find_atom("CA", "*").pos
    atom.pos = gemmi.Position(first.x + 5.5, first.y - 4.5, first.z + 3.5)
    ion.add_atom(atom)
    chain = gemmi.Chain("Z")
    chain.add_residue(ion)
    structure[0].add_chain(chain)
    structure.setup_entities()
    structure.write_minimal_pdb(str(folder / "ion.pdb"))
    return replace(entry, model=str(folder / "ion.pdb"))


def test_named_atoms_that_are_no_residues_are_traced_to_the_model(
    entry: CatalogEntry, tmp_path: Path
) -> None:
    with_ion = ion_records(entry, tmp_path / "inputs")
    built = build(with_ion, config_of("released"))
    assert built.made.facts["label_counts"]["ca"][0] == built.made.facts["n_ca"] + 1
    url = store_of(tmp_path, built)
    report = validate_store(url)
    assert numbers_with(report, "fail") == set()
    assert numbers(report, "L5") == {"n_stray": 0, "n_ca_of_no_residue": 1}
    assert "1 C-alpha labels are of no residue" in message(report, "L5")

    Path(with_ion.model).unlink()  # Now nobody can say whose label it is.
    report = validate_store(url)
    assert report.is_valid
    assert statuses(report)["L5"] == "skip"
    assert "2 of" not in message(report, "L5")
    assert "the model file is not at hand" in message(report, "L5")

    polymer = build(ion_records(entry, tmp_path / "again"), config_of("paper"))
    report = validate_store(store_of(tmp_path / "polymer", polymer))
    assert report.is_valid
    assert numbers(report, "L5") == {"n_stray": 0, "n_ca_of_no_residue": 0}


def test_masks_from_files_are_told_apart_from_our_own(entry: CatalogEntry, tmp_path: Path) -> None:
    """The published archive: a normalized map, some of its masks, and a model."""
    built = build(entry, config_of("released"))
    made, origin = built.made, built.planned.origin_xyz_A
    shape = made.density_zyx.shape
    path = tmp_path / NORMALIZED_MAP
    atom = made.labels["atom"].to_dense(shape)
    stray = empty_voxel(made)
    atom[stray] = 3

    def write(name: str, values: np.ndarray) -> None:
        dtype = np.dtype(np.float32 if values.dtype == np.float32 else np.int8)
        write_mrc(tmp_path / name, values, (1, 1, 1), origin, labels=[], dtype=dtype)

    write(NORMALIZED_MAP, made.density_zyx)
    write(mask_file("atom"), atom)
    config = make_config("released", density="normalized", masks="files")
    imported = build(replace(entry, map=str(path)), config)
    report = validate_store(store_of(tmp_path, imported))
    assert numbers_with(report, "fail") == set()
    assert statuses(report)["L5"] == "skip"
    assert "1 of atom could not be traced: the masks were taken from files" in message(report, "L5")
    assert numbers(report, "L2")["share"] == 1.0

    write(mask_file("atom"), np.roll(atom, 1, axis=0))
    moved = build(replace(entry, map=str(path)), config)
    assert "L4" in numbers_with(validate_store(store_of(tmp_path / "moved", moved)), "fail")


def test_copies_on_top_of_each_other_are_a_warning(entry: CatalogEntry, tmp_path: Path) -> None:
    structure = gemmi.read_structure(entry.model)
    structure.setup_entities()
    copy = structure[0][0].clone()
    copy.name = "Y"
    structure[0].add_chain(copy)
    structure.write_minimal_pdb(str(tmp_path / "twice.pdb"))
    twice = replace(entry, model=str(tmp_path / "twice.pdb"))
    for preset in ("paper", "released"):
        report = validate_store(store_of(tmp_path / preset, build(twice, config_of(preset))))
        assert numbers_with(report, "fail") == set()
        assert statuses(report)["L9"] == "warn"
        assert numbers(report, "L9")["n_ca_lost"] == len(copy)


def test_a_box_that_cuts_the_model_is_a_warning(entry: CatalogEntry, tmp_path: Path) -> None:
    density = read_density_map(entry.map)
    ca = build(entry, config_of("paper")).made.residues["voxel_x"]
    keep = int(np.percentile(ca, 90) / density.voxel_size_zyx_A[2])
    values = np.ascontiguousarray(density.values_zyx[:, :, :keep])
    cut = DensityMap(values, density.voxel_size_zyx_A, density.origin_xyz_A)
    write_density_map(tmp_path / "cut.mrc", cut)
    built = build(replace(entry, map=str(tmp_path / "cut.mrc")), config_of("paper"))
    report = validate_store(store_of(tmp_path, built))
    assert numbers_with(report, "fail") == set()
    assert statuses(report)["L8"] == "warn"
    share = numbers(report, "L8")["share"]
    assert share == built.made.facts["ca_in_box"]
    assert 0.8 < share < 0.95
