"""Options beyond the paper, through the whole build: what the store then holds."""

from __future__ import annotations

import csv
from pathlib import Path

import gemmi
import numpy as np
import pytest
from pairs import PAIRS, write_catalog

from c2s_data.build import run_entries
from c2s_data.config import make_config
from c2s_data.plan import make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.density_map import write_density_map
from c2s_data.sources.procedural.protein import procedural_protein
from c2s_data.sources.simulate import simulated_map
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import Store, open_store

NUCLEOTIDE = (
    ("P", "P", (0.0, 0.0, 0.0)),
    ("O5'", "O", (1.5, 0.3, 0.1)),
    ("C4'", "C", (2.6, 1.5, 0.4)),
    ("C1'", "C", (4.2, 2.4, 0.2)),
    ("N9", "N", (5.1, 3.4, 1.0)),
    ("C8", "C", (6.3, 3.1, 1.6)),
)


def build(catalog: Path, url: Path, preset: str = "recommended", **options: object) -> Store:
    config = make_config(preset, **options)
    objects = open_objects(str(url))
    plan = begin_store(objects, make_plan(read_catalog(catalog), config))
    run_entries(objects.url, plan, plan.buildable, lambda outcome: None)
    commit(objects, plan)
    return open_store(url)


def add_residue(model: gemmi.Model, chain: str, name: str, atoms, at: gemmi.Position) -> None:
    residue = gemmi.Residue()
    residue.name, residue.seqid = name, gemmi.SeqId(str(len(model[chain]) + 1))
    for atom_name, element, offset in atoms:
        atom = gemmi.Atom()
        atom.name, atom.element = atom_name, gemmi.Element(element)
        atom.pos = at + gemmi.Position(*offset)
        atom.occ, atom.b_iso = 1.0, 20.0
        residue.add_atom(atom)
    model[chain].add_residue(residue)


def write_entry(folder: Path, structure: gemmi.Structure, name: str = "MADE") -> Path:
    folder.mkdir(exist_ok=True)
    density = simulated_map(
        structure, np.random.default_rng(3), voxel_size_zyx_A=(1.1, 0.83, 1.3), volume_ratio=3
    )
    write_density_map(folder / f"{name}.map.gz", density)
    structure.make_mmcif_document().write_file(str(folder / f"{name}.cif"))
    catalog = folder / "catalog.csv"
    with catalog.open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [
                ("entry_id", "map", "model", "resolution_A"),
                (name, f"{name}.map.gz", f"{name}.cif", 3.0),
            ]
        )
    return catalog


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, gemmi.Structure]:
    """A protein with three nucleotides and a zinc ion, built with every further mask."""
    folder = tmp_path_factory.mktemp("mixed")
    structure = procedural_protein(7, 90)
    model = structure[0]
    low = structure.calculate_box().minimum
    for chain in ("R", "Z"):
        model.add_chain(gemmi.Chain(chain))
    for k in range(3):
        at = gemmi.Position(low.x + 6.5 * k, low.y - 6.0, low.z + 1.7 * k)
        add_residue(model, "R", "AGU"[k], NUCLEOTIDE, at)
    add_residue(model, "Z", "ZN", [("ZN", "Zn", (0.0, 0.0, 0.0))], low - gemmi.Position(5, 4, 0))
    structure.setup_entities()
    structure.assign_label_seq_id()
    catalog = write_entry(folder / "inputs", structure)
    store = build(catalog, folder / "s.zarr", extra_masks=("ignore", "nucleic"))
    return store, structure


def near(store: Store, points_xyz_A: np.ndarray, radius_A: float) -> np.ndarray:
    entry = store.entries[0]
    axes = [origin + np.arange(n) for origin, n in zip(
        reversed(entry.origin_xyz_A), entry.shape_zyx, strict=True)]  # fmt: skip
    z, y, x = np.meshgrid(*axes, indexing="ij")
    hit = np.zeros(entry.shape_zyx, bool)
    for px, py, pz in points_xyz_A:
        hit |= (x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2 <= radius_A**2
    return hit


def atoms_of(structure: gemmi.Structure, chains: str) -> np.ndarray:
    return np.array([
        atom.pos.tolist() for name in chains for residue in structure[0][name] for atom in residue
    ])  # fmt: skip


def test_voxels_near_other_atoms_are_to_be_ignored(mixed: tuple[Store, gemmi.Structure]) -> None:
    store, structure = mixed
    ignore = store.read_map("MADE", "ignore")
    atom = store.read_map("MADE", "atom")
    expected = near(store, atoms_of(structure, "RZ"), 3.0) & (atom == 0)
    assert np.array_equal(ignore == 1, expected)
    assert 200 < expected.sum() < 3000
    assert set(np.unique(ignore)) == {0, 1}


def test_nucleotides_are_labeled_at_the_nearest_voxel(
    mixed: tuple[Store, gemmi.Structure],
) -> None:
    store, structure = mixed
    entry = store.entries[0]
    labels, bases = store.read_map("MADE", "nucleic_atom"), store.read_map("MADE", "nucleic_base")
    for residue, base in zip(structure[0]["R"], (1, 3, 4), strict=True):
        for name, part in (("P", 1), ("C1'", 2), ("C4'", 3), ("N9", 4)):
            xyz = np.array(residue.find_atom(name, "*").pos.tolist())
            voxel = tuple(np.floor(xyz - entry.origin_xyz_A + 0.5).astype(int)[::-1])
            assert labels[voxel] == part
            assert bases[voxel] == (base if name == "C1'" else 0)
    assert np.count_nonzero(bases) == 3
    assert np.count_nonzero(labels) == 18


def test_subgrids_hold_the_further_masks_too(mixed: tuple[Store, gemmi.Structure]) -> None:
    store, _ = mixed
    entry = store.entries[0]
    _, corner_zyx, _ = store.index()
    for name in ("ignore", "nucleic_atom", "nucleic_base"):
        out = np.empty((entry.n_subgrids, 32, 32, 32), np.uint8)
        store.read_shard_rows(name, 0, 0, entry.n_subgrids, out)
        padded = np.pad(store.read_map("MADE", name), 32)
        for k, corner in enumerate(corner_zyx[: entry.n_subgrids]):
            z, y, x = corner + 32
            assert np.array_equal(out[k], padded[z : z + 32, y : y + 32, x : x + 32])


def test_sequence_and_score_of_every_residue_are_kept(
    mixed: tuple[Store, gemmi.Structure],
) -> None:
    store, _ = mixed
    residues, facts = store.residues("MADE"), store.entries[0].facts
    n = len(residues["chain"])
    text = "".join(store.sequences("MADE").splitlines()[1:])
    letters = gemmi.one_letter_code(list(residues["residue_name"]))
    assert [text[i] for i in residues["sequence_index"]] == list(letters)
    assert facts["n_observed_residues"] == n == facts["n_sequence_residues"]
    assert facts["sequence_mismatches"] == 0
    assert np.isfinite(residues["q_score"]).all()
    assert facts["q_score"] > facts["q_score_expected"]
    assert facts["quality_flags"] == []
    assert 0.7 < facts["cc_mask"] <= 1


def test_copies_of_an_assembly_are_labeled_where_they_lie_in_density(tmp_path: Path) -> None:
    whole = procedural_protein(11, 90)  # a dimer about an axis along z
    unit = whole.clone()
    unit[0].remove_chain("B")
    catalog = write_entry(tmp_path / "inputs", whole)
    operator = gemmi.Assembly.Operator()
    operator.name = "2"
    a, b = (chain[0]["CA"][0].pos for chain in whole[0])
    operator.transform.mat.fromlist([[-1, 0, 0], [0, -1, 0], [0, 0, 1]])
    operator.transform.vec.fromlist([a.x + b.x, a.y + b.y, 0])
    identity = gemmi.Assembly.Operator()
    identity.name = "1"
    generator = gemmi.Assembly.Gen()
    generator.subchains = sorted({residue.subchain for residue in unit[0][0]})
    generator.operators.append(identity)
    generator.operators.append(operator)
    assembly = gemmi.Assembly("1")
    assembly.generators.append(generator)
    unit.assemblies.append(assembly)
    unit.make_mmcif_document().write_file(str(catalog.with_name("MADE.cif")))
    deposited = build(catalog, tmp_path / "one.zarr", assembly="deposited")
    assembled = build(catalog, tmp_path / "two.zarr")
    n = deposited.entries[0].facts["n_residues"]
    assert n == len(unit[0][0])
    assert assembled.entries[0].facts["n_residues"] == 2 * n
    table = assembled.residues("MADE")
    for axis in "xyz":
        other = [residue["CA"][0].pos.tolist()["xyz".index(axis)] for residue in whole[0]["B"]]
        assert np.allclose(table[f"ca_{axis}_A"][n:], other, atol=2e-3)
    assert assembled.entries[0].facts["label_counts"]["ca"] == [2 * n]
    assert len(set(table["chain"])) == 2
    assert np.array_equal(table["sequence_index"][n:], table["sequence_index"][:n])


def test_the_gate_drops_the_misregistered_pair_and_no_other(
    shared_data: Path, tmp_path: Path
) -> None:
    names = ("EMD-1044", "EMD-5830")
    pairs = tuple(pair for pair in PAIRS if pair.emdb_id in names)
    catalog = write_catalog(tmp_path / "catalog.csv", shared_data, pairs)
    store = build(catalog, tmp_path / "s.zarr", gate="drop")
    assert [entry.entry_id for entry in store.entries] == ["EMD-5830"]
    assert store.failures["EMD-1044"].startswith("[quality-gate] EMD-1044: ")
    warned = build(catalog, tmp_path / "w.zarr", gate="warn")
    facts = warned.entry("EMD-1044").facts
    assert facts["quality_flags"]
    assert any("Q-score" in note for note in facts["notes"])


def test_paper_measures_no_quality_and_has_the_four_masks_alone(
    demo_catalog: Path, tmp_path: Path
) -> None:
    store = build(demo_catalog, tmp_path / "s.zarr", preset="paper")
    assert store.entries[0].facts["q_score"] is None
    assert not (tmp_path / "s.zarr" / "subgrids" / "ignore").exists()
