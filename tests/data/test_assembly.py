"""Assemblies: copies of every table, and copies that lie in density."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from assembly_records import (
    MOTIONS,
    TURN_Z,
    cif_assembly,
    cif_ncs,
    cyclic,
    icosahedral,
    motion,
    two_chains,
)
from atom_records import A, backbone, chain_of, loop, mmcif
from scipy.spatial import cKDTree

import c2s_data.assembly
from c2s_data.assembly import assemble, copies_in_density, expand, expanded_bytes
from c2s_data.errors import ModelError
from c2s_data.sources.assembly_operators import Operator
from c2s_data.sources.atomic_model import AtomicModel, read_atomic_model
from c2s_data.sources.procedural import procedural_protein
from c2s_data.sources.simulate import write_model
from c2s_data.transforms.simulate_density import simulate_density, solvent_noise

NO_MAP = np.zeros((2, 2, 2), np.float32)


@pytest.fixture
def read(tmp_path):
    """Write a text and read it as a model."""

    def read_text(text: str, **options) -> AtomicModel:
        path = tmp_path / "model"
        path.write_text(text)
        return read_atomic_model(path, **options)

    return read_text


def names(model: AtomicModel) -> list[str]:
    return [operator.name for operator in model.operators]


def same_points(found: np.ndarray, expected: np.ndarray) -> bool:
    """Tell whether two sets of points are equal to 1e-3 A, each point once."""
    distance, partner = cKDTree(expected).query(found)
    return (
        len(found) == len(expected)
        and distance.max() < 1e-3
        and len(set(partner.tolist())) == len(expected)
    )


def test_every_table_is_copied(read):
    helix = loop(
        "struct_conf",
        "conf_type_id id beg_auth_asym_id beg_auth_seq_id beg_auth_comp_id beg_label_asym_id "
        "beg_label_seq_id beg_label_comp_id end_auth_asym_id end_auth_seq_id end_auth_comp_id "
        "end_label_asym_id end_label_seq_id end_label_comp_id",
        ["HELX_P H1 A 1 ALA A 1 ALA A 2 TRP A 2 TRP"],
    )
    atoms = [
        *backbone("ALA", 1, label_asym="A", label_seq=1),
        *backbone("TRP", 2, 4.2, names="N C O", label_asym="A", label_seq=2),
        *backbone("SER", 1, 40.0, chain="B", label_asym="B", label_seq=1),
        A("CA", "CA", "A", number=90, xyz=(9, 9, 9), element="CA", het=True, label_asym="C"),
        *backbone("ALA", 1, label_asym="A", label_seq=1, model=2, names="CA"),
    ]
    stated = cif_assembly(MOTIONS, ("1,P", "A,C"), ("1,2", "A"), ("1,2", "B"))
    model = read(mmcif(*atoms, extra=stated + helix))
    assert model.excluded == {"further-model": 1, "ion": 1}
    whole = expand(model, model.operators)

    table = whole.residues
    assert table.chain.tolist() == ["A", "A", "B", "A-P", "A-P", "A-2", "A-2", "B-2"]
    assert table.label_asym_id.tolist() == table.chain.tolist()
    assert table.chain_index.tolist() == [0, 0, 1, 2, 2, 3, 3, 4]
    assert table.residue_name.tolist() == ["ALA", "TRP", "SER", "ALA", "TRP", "ALA", "TRP", "SER"]
    assert table.auth_seq_id.tolist() == [1, 2, 1, 1, 2, 1, 2, 1]
    assert table.record_secondary.tolist() == [2, 2, 1, 2, 2, 2, 2, 1]
    nan = [np.nan] * 3
    np.testing.assert_allclose(
        table.ca_xyz_A,
        [
            [1.4, 0, 0], nan, [41.4, 0, 0],  # as deposited
            [0, 1.4, 0], nan,  # turned: x becomes y
            [201.4, 0, 0], nan, [241.4, 0, 0],
        ],
        atol=1e-9,
    )  # fmt: skip
    np.testing.assert_allclose(table.o_xyz_A[3], [-1, 2.8, 0], atol=1e-9)

    heavy = whole.heavy
    unit = ["ALA"] * 4 + ["TRP"] * 3 + ["CA"]
    expected = [*unit, *["SER"] * 4, *unit, *unit[:7], *["SER"] * 4]
    assert heavy.residue_name.tolist() == expected
    of_residue = heavy.residue_index >= 0
    row = heavy.residue_index[of_residue]
    assert row.tolist() == [r for r in range(8) for _ in range(3 if r in (1, 4, 6) else 4)]
    np.testing.assert_array_equal(heavy.chain[of_residue], table.chain[row])
    calcium = heavy.element == 20
    assert heavy.label_asym_id[calcium].tolist() == ["C", "C-P"]
    assert heavy.chain[calcium].tolist() == ["A", "A-P"]
    np.testing.assert_allclose(heavy.xyz_A[calcium], [[9, 9, 9], [-9, 9, 9]], atol=1e-9)

    named = whole.named
    assert len(named) == 10 + (5 + 1 + 1) + (5 + 3 + 1)  # with the ion and the further model
    alpha = (named.atom_class == 1) & (named.residue_index >= 0)
    np.testing.assert_array_equal(named.xyz_A[alpha], table.ca_xyz_A[named.residue_index[alpha]])
    assert whole.excluded == {"further-model": 3, "ion": 2}
    assert whole.operators == ()
    assert "4 copies of chains by 2 assembly operators" in whole.notes[-1]


def test_names_that_a_chain_has_already(read):
    atoms = [*chain_of("ALA", "GLY"), *chain_of("SER", "VAL", chain="A-2", at=40.0)]
    atoms = [replace(a, label_asym=a.chain) for a in atoms]
    model = read(mmcif(*atoms, extra=cif_assembly(MOTIONS, ("1,2", "A,A-2"))))
    found = expand(model, model.operators).residues.chain.tolist()
    assert found == ["A", "A", "A-2", "A-2", "A-2-", "A-2-", "A-2-2-", "A-2-2-"]


def test_copies_upon_chains_that_are_there_are_left_out(read):
    two_fold = motion(np.diag([-1.0, -1, 1]))
    chain = chain_of("ALA", "TRP", "GLY", "SER", at=10.0, label_asym="A")
    turned = [
        replace(a, chain="B", label_asym="B", xyz=(-a.xyz[0] + 0.2, -a.xyz[1], a.xyz[2]))
        for a in chain
    ]
    on_axis = A("ZN", "ZN", "A", 90, xyz=(0, 0, 7), element="ZN", het=True, label_asym="C")
    off_axis = A("ZN", "ZN", "A", 91, xyz=(3, 0, 7), element="ZN", het=True, label_asym="D")
    model = read(mmcif(*chain, *turned, on_axis, off_axis))
    chains = frozenset("ABCD")
    identity, swap = Operator("5", motion(), chains), Operator("2", two_fold, chains)
    apart = Operator("3", motion(shift=(0, 0, 30)), chains)
    whole = expand(model, (identity, swap, apart, apart))
    assert list(dict.fromkeys(whole.residues.chain)) == ["A", "B", "A-3", "B-3"]
    ions = whole.heavy.label_asym_id[whole.heavy.element == 30].tolist()
    assert ions == ["C", "D", "D-2", "C-3", "D-3"]
    # Of four by the identity four, three of the swap, four of the shift made twice.
    assert "5 copies of chains by 2 assembly operators; 11 more" in whole.notes[-1]
    turned = Operator("4", motion(TURN_Z, (5, 0, 60)), frozenset("AB"))
    again = Operator("5", motion(TURN_Z, (5.5, 0, 60)), frozenset("AB"))
    assert len(expand(model, (turned, again)).residues) == 16
    nearly = Operator("2", motion(np.diag([-1.0, -1, 1]), (0, 2.5, 0)), frozenset("AB"))
    assert len(expand(model, (nearly,)).residues) == 16


def test_an_assembly_out_of_proportion(read, monkeypatch):
    shifts = [Operator(str(i), motion(shift=(0, 0, 9.0 * i)), frozenset("AB")) for i in range(2, 7)]
    model = read(mmcif(*two_chains()))
    for limit, table in (("MAX_RESIDUES", model.residues), ("MAX_HEAVY_ATOMS", model.heavy)):
        with monkeypatch.context() as patch:
            patch.setattr(c2s_data.assembly, limit, 6 * len(table))
            assert len(expand(model, shifts).residues) == 30
            patch.setattr(c2s_data.assembly, limit, 6 * len(table) - 1)
            with pytest.raises(ModelError, match="above the limit"):
                expand(model, shifts)
    with monkeypatch.context() as patch:
        patch.setattr("c2s_data.assembly_overlap.MAX_COPIES", 9)
        with pytest.raises(ModelError, match="10 copies of chains"):
            expand(model, shifts)
    turns = [Operator(str(i), motion(TURN_Z, (0, i, 0)), frozenset("A")) for i in range(9)]
    monkeypatch.setattr("c2s_data.assembly_overlap.MAX_COMPARISONS", 5)
    with pytest.raises(ModelError, match="about the same place"):
        expand(model, turns)


def table_bytes(model: AtomicModel) -> int:
    tables = (model.residues, model.named, model.heavy)
    return sum(array.nbytes for table in tables for array in vars(table).values())


@pytest.fixture(scope="module")
def protein() -> gemmi.Structure:
    return procedural_protein(5, 92)


def file_of(protein: gemmi.Structure, folder, extra: str = "") -> str:
    path = folder / "protein.cif"
    write_model(path, protein)
    path.write_text(path.read_text() + "\n" + extra)
    return str(path)


def asym_ids(protein: gemmi.Structure) -> str:
    return ",".join(dict.fromkeys(r.subchain for chain in protein[0] for r in chain))


def test_coordinates_against_gemmi(protein, tmp_path):
    center = (60.0, -20.0, 10.0)
    turns = {str(i): m for i, m in enumerate(cyclic(3, center), start=1)}
    shifts = {"7": motion(shift=(0, 0, 90.0)), "8": motion(shift=(0, 0, 180.0))}
    path = file_of(
        protein,
        tmp_path,
        cif_assembly(turns, ("1-3", asym_ids(protein))) + cif_ncs(shifts),
    )
    model, structure = read_atomic_model(path), gemmi.read_structure(path)
    n = len(model.heavy)

    def positions(part: gemmi.Model) -> np.ndarray:
        return np.array([a.pos.tolist() for chain in part for r in chain for a in r])

    how = gemmi.HowToNameCopiedChain.AddNumber
    turned = gemmi.make_assembly(structure.assemblies[0], structure[0], how)
    mine = expand(model, [op for op in model.operators if op.name in turns])
    assert len(mine.heavy) == 3 * n
    assert same_points(mine.heavy.xyz_A, positions(turned))
    structure.expand_ncs(how)
    mine = expand(model, [op for op in model.operators if op.name in shifts])
    assert same_points(mine.heavy.xyz_A, positions(structure[0]))

    whole = assemble(model, "1", NO_MAP, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert len(whole.residues) == 5 * len(model.residues)
    assert len(whole.residues.backbone_atoms().xyz_A) == 5 * 3 * len(model.residues)
    assert table_bytes(whole) <= expanded_bytes(model, model.operators) < 1.7 * table_bytes(whole)


def test_a_capsid_of_sixty(protein, tmp_path):
    turns = {str(i): m for i, m in enumerate(icosahedral((0.0, 0.0, 0.0)), start=1)}
    moved = protein.clone()
    moved[0].transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(), gemmi.Vec3(40, 60, 130)))
    stated = cif_assembly(turns, ("(1-60)", asym_ids(protein)))
    model = read_atomic_model(file_of(moved, tmp_path, stated))
    whole = expand(model, model.operators)
    assert len(whole.residues) == 60 * len(model.residues)
    assert len(whole.heavy) == 60 * len(model.heavy)
    center = model.heavy.xyz_A.mean(axis=0)
    centers = whole.heavy.xyz_A.reshape(60, -1, 3).mean(axis=1)
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), np.linalg.norm(center), rtol=1e-6)
    np.testing.assert_allclose(centers.mean(axis=0), 0, atol=1e-6)
    # Sixty units are two chains each, told apart by name.
    assert whole.residues.chain_index[-1] == 119
    assert len(set(whole.residues.chain.tolist())) == 120


VOXEL_ZYX_A = (1.9, 2.1, 2.0)
CENTER_XYZ_A = np.array([-31.0, 57.0, 12.0])


@pytest.fixture(scope="module")
def four(protein, tmp_path_factory) -> tuple[AtomicModel, list[np.ndarray]]:
    """A protein 45 A beside a fourfold axis, and the four motions about it."""
    moved = protein.clone()
    at = np.array([a.pos.tolist() for chain in moved[0] for r in chain for a in r]).mean(axis=0)
    shift = CENTER_XYZ_A + np.array([45.0, 0, 0]) - at
    moved[0].transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(), gemmi.Vec3(*shift)))
    turns = cyclic(4, CENTER_XYZ_A)
    stated = cif_assembly(dict(zip("1234", turns, strict=True)), ("1-4", asym_ids(protein)))
    return read_atomic_model(file_of(moved, tmp_path_factory.mktemp("four"), stated)), turns


def density_of(
    model: AtomicModel, motions: list[np.ndarray], noise: float, copied=1.0, shape=(50, 86, 92)
):
    """Return a map of copies of a model about the axis, all but the first times ``copied``."""
    xyz_A = np.concatenate([model.heavy.xyz_A @ m[:, :3].T + m[:, 3] for m in motions])
    share = np.array([1.0] + [copied] * (len(motions) - 1))
    weight = np.outer(share, model.heavy.element).ravel()
    origin = tuple(CENTER_XYZ_A - np.array(shape)[::-1] * np.array(VOXEL_ZYX_A)[::-1] / 2)
    grid = {"shape_zyx": shape, "voxel_size_zyx_A": VOXEL_ZYX_A}
    values = simulate_density(xyz_A, weight, 5.0, **grid, origin_xyz_A=origin)
    rng = np.random.default_rng(3)
    sd = noise * float(values.max()) / 3
    values += solvent_noise(rng, shape, VOXEL_ZYX_A, resolution_A=5.0, sd=sd)
    return values, VOXEL_ZYX_A, origin


@pytest.mark.parametrize("noise", [0.01, 0.3])
@pytest.mark.parametrize(
    ("filled", "expected"), [((0, 1, 2, 3), "234"), ((0,), ""), ((0, 2), "3"), ((1, 2, 3), "")]
)
def test_only_copies_in_density_are_labeled(four, filled, expected, noise):
    model, turns = four
    assert names(model) == ["2", "3", "4"]
    density = density_of(model, [turns[i] for i in filled], noise)
    chosen = copies_in_density(model, *density)
    assert "".join(op.name for op in chosen) == expected
    whole = assemble(model, "auto", *density)
    assert len(whole.residues) == (1 + len(expected)) * len(model.residues)
    said = f"of the 3 further copies that the assembly has, {len(expected)} lie in density"
    assert any(said in note for note in whole.notes)


@pytest.mark.parametrize(("copied", "n"), [(0.6, 0), (0.8, 3)])
def test_how_dense_a_copy_must_be(four, copied, n):
    model, turns = four
    assert len(copies_in_density(model, *density_of(model, turns, 0.02, copied))) == n


def test_copies_outside_the_map_or_in_noise_are_not_labeled(four):
    model, turns = four
    values, voxel, origin = density_of(model, turns, 0.05)
    assert len(copies_in_density(model, values, voxel, origin)) == 3
    noise = solvent_noise(np.random.default_rng(0), values.shape, voxel, resolution_A=5.0, sd=1.0)
    assert copies_in_density(model, noise, voxel, origin) == ()
    # Of the copy opposite a quarter is cut off; the others lie whole in what is left.
    cut = int((CENTER_XYZ_A[0] - 55 - origin[0]) / voxel[2])
    left = np.ascontiguousarray(values[:, :, cut:])
    moved = (origin[0] + cut * voxel[2], *origin[1:])
    assert [op.name for op in copies_in_density(model, left, voxel, moved)] == ["2", "4"]


def test_chains_without_c_alpha_are_judged_by_their_atoms(four):
    model, turns = four
    empty = model.residues.ca_xyz_A.copy()
    empty[:] = np.nan
    bare = replace(model, residues=dataclasses.replace(model.residues, ca_xyz_A=empty))
    assert len(copies_in_density(bare, *density_of(model, turns, 0.05))) == 3
    assert copies_in_density(bare, *density_of(model, turns[:1], 0.05)) == ()
