"""The procedural protein: geometry by value, chirality, room, and what DSSP says of it."""

from __future__ import annotations

import shutil
import subprocess

import gemmi
import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_info

from c2s_data.schema import AMINO_ACIDS
from c2s_data.sources.procedural import fold as folding
from c2s_data.sources.procedural.geometry import SIDE_CHAINS, backbone_from_torsions, side_chain
from c2s_data.sources.procedural.protein import ATTEMPTS, plan_segments, procedural_protein
from c2s_data.sources.simulate import write_model

CASES = [(2024, 120), (2025, 104), (2026, 96), (7, 90), (8, 150)]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"seed{case[0]}-{case[1]}")
def structure(request):
    return procedural_protein(*request.param)


def _dihedral_deg(a, b, c, d):
    along = (c - b) / np.linalg.norm(c - b, axis=-1, keepdims=True)
    v = (a - b) - np.sum((a - b) * along, axis=-1, keepdims=True) * along
    w = (d - c) - np.sum((d - c) * along, axis=-1, keepdims=True) * along
    return np.degrees(np.arctan2(np.sum(np.cross(along, v) * w, axis=-1), np.sum(v * w, axis=-1)))


def _angle_deg(a, b, c):
    u, v = a - b, c - b
    cosine = np.sum(u * v, axis=-1) / np.linalg.norm(u, axis=-1) / np.linalg.norm(v, axis=-1)
    return np.degrees(np.arccos(cosine))


def _backbone(chain):
    return {
        name: np.array([r[name][0].pos.tolist() for r in chain]) for name in ("N", "CA", "C", "O")
    }


def _atoms(structure):
    """Positions, residue number counted through the chains, atom names, element names."""
    residues = [residue for chain in structure[0] for residue in chain]
    atoms = [(k, atom) for k, residue in enumerate(residues) for atom in residue]
    return (
        np.array([atom.pos.tolist() for _, atom in atoms]),
        np.array([k for k, _ in atoms]),
        [atom.name for _, atom in atoms],
        [atom.element.name for _, atom in atoms],
    )


def test_two_equal_chains_show_all_twenty(structure, request):
    n_residues = request.node.callspec.params["structure"][1]
    sequences = [[residue.name for residue in chain] for chain in structure[0]]
    assert [chain.name for chain in structure[0]] == ["A", "B"]
    assert sequences[0] == sequences[1] == structure.entities[0].full_sequence
    assert len(sequences[0]) == n_residues
    assert set(sequences[0]) == set(AMINO_ACIDS)
    assert len(structure.helices) == len(structure.sheets) == 0


def test_backbone_bonds_and_angles_are_ideal(structure):
    for chain in structure[0]:
        xyz = _backbone(chain)
        n, ca, c, o = (xyz[name] for name in ("N", "CA", "C", "O"))
        # Coordinates are rounded to 0.001 A.
        for a, b, bond in ((n, ca, 1.458), (ca, c, 1.525), (c, o, 1.231), (c[:-1], n[1:], 1.329)):
            np.testing.assert_allclose(np.linalg.norm(a - b, axis=1), bond, atol=0.002)
        for a, b, d, angle in (
            (n, ca, c, 111.0),
            (ca, c, o, 120.1),
            (ca[:-1], c[:-1], n[1:], 117.2),
            (c[:-1], n[1:], ca[1:], 121.7),
        ):
            np.testing.assert_allclose(_angle_deg(a, b, d), angle, atol=0.15)
        omega = _dihedral_deg(ca[:-1], c[:-1], n[1:], ca[1:])
        np.testing.assert_allclose(np.abs(omega), 180.0, atol=0.2)
        np.testing.assert_allclose(np.linalg.norm(np.diff(ca, axis=0), axis=1), 3.80, atol=0.02)


def test_every_residue_is_an_l_amino_acid(structure):
    for residue in structure[0][0]:
        if residue.name == "GLY":
            assert residue.find_atom("CB", "*") is None
            continue
        n, c, ca, cb = (np.array(residue[k][0].pos.tolist()) for k in ("N", "C", "CA", "CB"))
        # Seen from H, the way CO, R, N runs clockwise ("CORN"): a positive triple product.
        assert 2.0 < np.dot(np.cross(n - ca, c - ca), cb - ca) < 3.0
        assert 110.0 < _dihedral_deg(n, c, ca, cb) < 126.0


def test_residues_are_complete(structure):
    for residue in structure[0][0]:
        expected = {"N", "CA", "C", "O"} | {atom.name for atom in SIDE_CHAINS[residue.name]}
        expected |= set() if residue.name == "GLY" else {"CB"}
        assert {atom.name for atom in residue} == expected


def test_the_ring_of_proline_closes(structure):
    prolines = [residue for residue in structure[0][0] if residue.name == "PRO"]
    assert prolines
    for residue in prolines:
        n, cd = (np.array(residue[k][0].pos.tolist()) for k in ("N", "CD"))
        assert np.linalg.norm(n - cd) == pytest.approx(1.47, abs=0.06)


def test_nothing_clashes(structure):
    xyz, residue, names, elements = _atoms(structure)
    ca = np.array([name == "CA" for name in names])
    pairs = cKDTree(xyz[ca]).query_pairs(3.7, output_type="ndarray")
    assert (np.abs(np.diff(residue[ca][pairs], axis=1)) > 1).sum() == 0
    close = cKDTree(xyz).query_pairs(3.0, output_type="ndarray")
    close = close[np.abs(residue[close[:, 0]] - residue[close[:, 1]]) > 1]
    kinds = {tuple(sorted((elements[i], elements[j]))) for i, j in close}
    distances = np.linalg.norm(xyz[close[:, 0]] - xyz[close[:, 1]], axis=1)
    assert distances.min() > 2.6
    # Below 3 A there is nothing but hydrogen bonds and the odd polar contact.
    polar = [(i, j) for i, j in close if {elements[i], elements[j]} == {"N", "O"}]
    assert len(polar) > 0.8 * len(close), kinds


def test_it_is_compact(structure):
    xyz, _, _, _ = _atoms(structure)
    n = len(structure[0][0])
    one = np.array([a.pos.tolist() for r in structure[0][0] for a in r])
    radius = np.sqrt(((one - one.mean(axis=0)) ** 2).sum(axis=1).mean())
    # Globular proteins have a radius of gyration of about 2.2 n^0.38 A.
    assert radius < 1.25 * 2.2 * n**0.38
    assert np.ptp(xyz, axis=0).max() < 75.0


def test_same_seed_same_structure_other_seed_another():
    one, same, other = (procedural_protein(seed, 96) for seed in (11, 11, 12))
    np.testing.assert_array_equal(_atoms(one)[0], _atoms(same)[0])
    assert one.entities[0].full_sequence != other.entities[0].full_sequence


@pytest.mark.parametrize("n_residues", [89, 151])
def test_lengths_out_of_range_are_refused(n_residues):
    with pytest.raises(ValueError, match="90 to 150"):
        procedural_protein(0, n_residues)


def test_segments_fill_the_chain_and_strands_are_even():
    for n_residues in range(90, 151):
        segments = plan_segments(np.random.default_rng(n_residues), n_residues)
        ends = [s.start + s.length for s in segments]
        assert [s.start for s in segments] == [0, *ends[:-1]]
        assert ends[-1] == n_residues
        assert [s.length % 2 for s in segments if s.kind == "strand"] == [0, 0, 0, 0]
        assert min(s.length for s in segments if s.kind == "helix") >= 8


@pytest.mark.skipif(shutil.which("mkdssp") is None, reason="mkdssp (Debian: dssp) is absent")
def test_dssp_finds_the_designed_helices_and_strands(structure, tmp_path, request):
    seed, n_residues = request.node.callspec.params["structure"]
    write_model(tmp_path / "model.cif", structure)
    subprocess.run(
        ["mkdssp", "--output-format", "dssp", "model.cif", "model.dssp"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    rows = (tmp_path / "model.dssp").read_text().split("#  RESIDUE")[1].splitlines()[1:]
    letters = "".join(row[16] for row in rows if row[13] != "!")
    assert len(letters) == 2 * n_residues
    for chain in (letters[:n_residues], letters[n_residues:]):
        assert any(
            _agrees(chain, plan_segments(rng, n_residues))
            for rng in np.random.default_rng(seed).spawn(ATTEMPTS)
        ), chain


def _agrees(letters, segments):
    """All but the ends of each designed helix are H, of each designed strand E."""
    inner = {
        kind: "".join(
            letters[s.start + 1 : s.start + s.length - 1] for s in segments if s.kind == kind
        )
        for kind in ("helix", "strand")
    }
    return inner["helix"].count("H") >= 0.97 * len(inner["helix"]) and inner["strand"].count(
        "E"
    ) >= 0.9 * len(inner["strand"])


def test_gradient_of_the_fold_is_that_of_finite_differences():
    rng = np.random.default_rng(0)
    n = 14
    layout = rng.normal(size=(n, 3)) * 8.0
    layout[5:8] = np.nan
    target = folding.FoldTarget(
        phi_rad=rng.uniform(-3.0, 3.0, n),
        psi_rad=rng.uniform(-3.0, 3.0, n),
        torsion_stiffness=rng.uniform(0.5, 1.0, n),
        layout_xyz_A=layout,
        pair_atoms=np.array([[3, 40], [20, 61]]),
        pair_distance_A=np.array([3.0, 4.0]),
    )
    weights = folding.Weights(layout=0.3, pairs=1.0, contacts=2.0, torsions=0.7)
    torsions = rng.uniform(-3.0, 3.0, 2 * n)
    gradient = folding._energy(torsions, target, weights)[1]
    step = 1e-5
    numeric = [
        (
            folding._energy(torsions + move, target, weights)[0]
            - folding._energy(torsions - move, target, weights)[0]
        )
        / (2.0 * step)
        for move in np.eye(2 * n) * step
    ]
    np.testing.assert_allclose(gradient, numeric, atol=1e-5)


@pytest.fixture
def reachable():
    """A target that one shape meets in full, that shape (n, 5, 3), and torsions to start from."""
    rng = np.random.default_rng(3)
    n = 24
    wanted = np.deg2rad([-100.0, 130.0])[:, None] + rng.normal(scale=0.1, size=(2, n))
    shape = Rotation.random(rng=rng).apply(backbone_from_torsions(*wanted).reshape(-1, 3))
    shape = shape.reshape(n, 5, 3) + np.array([40.0, -25.0, 70.0])
    layout = shape[:, 1].copy()
    layout[9:13] = np.nan
    atoms = np.array([[4, 60], [17, 101]])
    distances = np.linalg.norm(np.subtract(*shape.reshape(-1, 3)[atoms.T]), axis=1)
    target = folding.FoldTarget(*wanted, np.ones(n), layout, atoms, distances)
    return target, shape, wanted + rng.normal(scale=0.2, size=(2, n))


def test_fold_finds_the_shape_that_meets_its_target(reachable):
    target, shape, start = reachable
    assert np.abs(backbone_from_torsions(*start) - shape).max() > 20.0
    phi_rad, psi_rad, xyz_A = folding.fold(target, *start)
    np.testing.assert_allclose(phi_rad[1:], target.phi_rad[1:], atol=0.02)
    np.testing.assert_allclose(psi_rad, target.psi_rad, atol=0.02)
    np.testing.assert_allclose(xyz_A, shape, atol=0.1)


def test_the_search_keeps_blas_to_one_thread_and_gives_the_others_back(reachable, monkeypatch):
    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    def watched(*arguments):
        seen.update(threads())
        return energy(*arguments)

    seen, before, energy = set(), threads(), folding._energy
    monkeypatch.setattr(folding, "_energy", watched)
    folding.fold(reachable[0], *reachable[2])
    assert seen == {1}
    assert threads() == before


def test_rigid_fit_is_a_rotation_even_where_a_reflection_lies_nearer():
    rng = np.random.default_rng(1)
    moving = rng.normal(size=(20, 3)) * (9.0, 5.0, 2.0)
    turn = Rotation.from_euler("zyx", [200.0, -35.0, 80.0], degrees=True)
    shift = np.array([12.0, -7.0, 31.0])
    rotation, found = folding.rigid_fit(moving, turn.apply(moving) + shift)
    np.testing.assert_allclose(rotation, turn.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(found, shift, atol=1e-12)
    mirrored, _ = folding.rigid_fit(moving, moving * (1.0, 1.0, -1.0))
    assert np.linalg.det(mirrored) == pytest.approx(1.0)


def test_side_chains_lie_on_those_of_crystal_structures(shared_data):
    """Real N, CA, CB and chi angles in: every further atom lands on the real one."""
    structure = gemmi.read_structure(str(shared_data / "models" / "7a4m.cif"))
    structure.setup_entities()
    misses = []
    for chain in structure[0]:
        for residue in chain.first_conformer():
            if residue.name not in SIDE_CHAINS:
                continue
            real = {atom.name: np.array(atom.pos.tolist()) for atom in residue}
            table = SIDE_CHAINS[residue.name]
            if not {"N", "CA", "CB", *(atom.name for atom in table)} <= set(real):
                continue
            chi = [
                float(_dihedral_deg(*(real[name] for name in atom.on), real[atom.name]))
                for atom in table
                if atom.chi and atom.dihedral_deg == 0.0
            ]
            made = side_chain(residue.name, {k: real[k] for k in ("N", "CA", "CB")}, chi)
            misses += [float(np.linalg.norm(made[k] - real[k])) for k in made]
    assert len(misses) > 300
    assert np.median(misses) < 0.1
    assert np.quantile(misses, 0.95) < 0.4
