"""Labels derived from the residue table of a store: against brute force, and window by window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_maps import ORIGIN_XYZ_A, SHAPES_ZYX, made_map, made_plan
from scipy.spatial import cKDTree

from c2s_data.derived_labels import derive_labels
from c2s_data.errors import StoreError
from c2s_data.schema import CLASS_NAMES, IGNORE
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store
from c2s_data.store.writer import write_entry
from c2s_data.transforms.derived_target import TARGETS, DerivedTarget, derive_window, target_atoms
from c2s_data.transforms.label import label_voxels
from c2s_data.transforms.label_window import Grid, Window
from c2s_data.transforms.residue_weights import weights_from_b_factor, weights_from_q_score
from c2s_data.transforms.windows import window_corners

SHAPE, N_RESIDUES, RESOLUTION_A = SHAPES_ZYX[0], 90, 2.5
GRID = Grid(SHAPE, ORIGIN_XYZ_A)
CORNERS = window_corners(SHAPE, 32, 20)
WANTED = [
    DerivedTarget("atom", "voxel"),
    DerivedTarget("atom", "sphere"),
    DerivedTarget("atom", "sphere", radius_A=4.0),
    DerivedTarget("amino", "sphere", radius_A=2.5),
    DerivedTarget("secondary", "gaussian", sigma_A=1.3),
    DerivedTarget("ca", "offset", radius_A=2.0),
    DerivedTarget("atom", "weight", weight="b_factor", floor=0.1),
]


def residue_table(shape, seed: int, *, with_q_score: bool = True) -> dict[str, np.ndarray]:
    """Residues in and around a map, C-alphas apart, some without N or C."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(np.indices([n // 4 + 2 for n in shape]).reshape(3, -1).T)[:N_RESIDUES]
    ca = (cells * 4.0 - 4.0 + rng.uniform(0, 1.2, cells.shape))[:, ::-1] + ORIGIN_XYZ_A
    columns: dict[str, np.ndarray] = {}
    for atom, way in (("n", -1.0), ("ca", 0.0), ("c", 1.1)):
        xyz = ca + way * rng.uniform(0.6, 1.0, ca.shape)
        xyz[rng.random(len(ca)) < (0.1 if way else 0)] = np.nan
        columns |= {f"{atom}_{axis}_A": xyz[:, i].copy() for i, axis in enumerate("xyz")}
    columns["amino_class"] = rng.integers(0, 21, len(ca)).astype(np.uint8)
    columns["secondary"] = rng.integers(1, 4, len(ca)).astype(np.uint8)
    columns["b_factor"] = rng.uniform(10, 200, len(ca)).astype(np.float32)
    if with_q_score:
        columns["q_score"] = rng.uniform(-0.1, 1.0, len(ca)).astype(np.float32)
        columns["q_score"][::7] = np.nan
    return columns


TABLE = residue_table(SHAPE, 4)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("derived") / "made.zarr"
    plan = made_plan()
    objects = open_objects(path)
    begin_store(objects, plan)
    for planned in plan.entries:
        table = residue_table(
            planned.shape_zyx, 4 + planned.map_index, with_q_score=planned.map_index == 0
        )
        made = replace(made_map(planned, plan.config), residues=table)
        write_entry(objects, Layout.of(plan.config), planned, made)
    commit(objects, plan)
    return open_store(path)


def backbone(names=("n", "ca", "c")) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, classes and residues of the atoms, residue by residue."""
    classes = {"ca": 1, "n": 2, "c": 3}
    rows = [
        ([TABLE[f"{name}_{axis}_A"][residue] for axis in "xyz"], classes[name], residue)
        for residue in range(N_RESIDUES)
        for name in names
        if np.isfinite(TABLE[f"{name}_x_A"][residue])
    ]
    xyz, kind, residue = zip(*rows, strict=True)
    return np.array(xyz), np.array(kind), np.array(residue)


def nearest(xyz: np.ndarray, radius_A: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels near an atom, as indices; the atom; its way from the voxel, z y x."""
    index = np.indices(SHAPE).reshape(3, -1).T
    distance, row = cKDTree(xyz).query(index[:, ::-1] + np.array(ORIGIN_XYZ_A))
    near = distance <= radius_A
    way = (xyz[row[near]] - ORIGIN_XYZ_A)[:, ::-1] - index[near]
    return tuple(index[near].T), row[near], way


def test_spheres_hold_the_class_of_the_nearest_atom(store):
    xyz, kind, _ = backbone()
    voxels, row, _ = nearest(xyz, 1.5)
    expected = np.zeros(SHAPE, np.uint8)
    expected[voxels] = kind[row]
    found = derive_labels(store, "MADE-0")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    assert np.bincount(found.ravel())[1:].min() > 300


@pytest.mark.parametrize("target", ["amino", "secondary"])
def test_spheres_of_residues_lie_around_their_c_alphas(store, target):
    xyz, _, residue = backbone(("ca",))
    value = TABLE["amino_class" if target == "amino" else "secondary"].copy()
    value[value == 0] = IGNORE
    voxels, row, _ = nearest(xyz, 2.5)
    expected = np.zeros(SHAPE, np.uint8)
    expected[voxels] = value[residue[row]]
    found = derive_labels(store, "MADE-0", DerivedTarget(target, "sphere", radius_A=2.5))
    np.testing.assert_array_equal(found, expected)
    assert (IGNORE in found) == (target == "amino")


def test_single_voxels_are_the_stored_kind_of_mask(store):
    xyz, kind, residue = backbone()
    labels = label_voxels(
        xyz,
        kind,
        TABLE["amino_class"][residue],
        TABLE["secondary"][residue],
        shape_zyx=SHAPE,
        origin_xyz_A=ORIGIN_XYZ_A,
        voxel_size_zyx_A=(1, 1, 1),
        rule="nearest",
        collision="ca-first",
    )
    for name in ("ca", "secondary"):
        found = derive_labels(store, "MADE-0", DerivedTarget(name, "voxel"))
        np.testing.assert_array_equal(found, getattr(labels, name).to_dense(SHAPE))
    atom = derive_labels(store, "MADE-0", DerivedTarget("atom", "voxel"))
    np.testing.assert_array_equal(atom != 0, labels.atom.to_dense(SHAPE) != 0)


def test_offsets_lead_to_the_atoms(store):
    xyz, _, _ = backbone(("ca",))
    voxels, _, way = nearest(xyz, 2.0)
    expected = np.zeros((3, *SHAPE), np.float32)
    expected[(slice(None), *voxels)] = way.T
    found = derive_labels(store, "MADE-0", DerivedTarget("ca", "offset", radius_A=2.0))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_gaussians_have_a_channel_for_each_class(store):
    xyz, _, residue = backbone(("ca",))
    found = derive_labels(store, "MADE-0", DerivedTarget("amino", "gaussian", sigma_A=0.8))
    assert found.shape == (20, *SHAPE)
    assert len(CLASS_NAMES["amino"]) == 21
    known = TABLE["amino_class"][residue] > 0
    index = np.indices(SHAPE).reshape(3, -1).T[:, ::-1] + np.array(ORIGIN_XYZ_A)
    for amino in (1, 7, 20):
        chosen = xyz[known & (TABLE["amino_class"][residue] == amino)]
        distance, _ = cKDTree(chosen).query(index)
        expected = np.exp(-(distance**2) / (2 * 0.8**2)) * (distance <= 3.2)
        np.testing.assert_allclose(found[amino - 1].ravel(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("by", ["q_score", "b_factor"])
def test_weights_multiply_a_loss(store, by):
    xyz, _, residue = backbone()
    voxels, row, _ = nearest(xyz, 1.5)
    weights = weights_from_q_score if by == "q_score" else weights_from_b_factor
    expected = np.ones(SHAPE, np.float32)
    expected[voxels] = weights(TABLE[by], RESOLUTION_A, floor=0.1)[residue[row]]
    wanted = DerivedTarget("atom", "weight", weight=by, floor=0.1)
    found = derive_labels(store, "MADE-0", wanted)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    assert found.min() == np.float32(0.1)


@pytest.mark.parametrize("wanted", WANTED, ids=lambda wanted: f"{wanted.target}-{wanted.shape}")
def test_every_subgrid_is_that_part_of_the_map(store, wanted):
    whole = derive_labels(store, "MADE-0", wanted)
    assert whole.shape == (*wanted.channels, *SHAPE)
    assert whole.dtype == wanted.dtype
    background = 1 if wanted.shape == "weight" else 0
    padding = [(0, 0)] * len(wanted.channels) + [(6, 32)] * 3
    padded = np.pad(whole, padding, constant_values=background)
    atoms = target_atoms(store.residues("MADE-0"), wanted, RESOLUTION_A)
    for corner in CORNERS.tolist():
        part = derive_window(atoms, wanted, GRID, Window(tuple(corner), (32, 32, 32)))
        z, y, x = (slice(i + 6, i + 38) for i in corner)
        np.testing.assert_array_equal(part, padded[..., z, y, x])
    np.testing.assert_array_equal(derive_window(atoms, wanted, GRID), whole)


def test_a_store_without_q_scores_says_what_to_do(store):
    wanted = DerivedTarget("atom", "weight")
    with pytest.raises(ValueError, match="no column q_score: build the store with the option"):
        derive_labels(store, "MADE-1", wanted)
    with pytest.raises(ValueError, match="need the resolution"):
        target_atoms(TABLE, wanted, None)
    with pytest.raises(StoreError, match="no entry"):
        derive_labels(store, "MADE-9")


def test_all_targets_have_classes_and_no_other_is_taken():
    assert all(DerivedTarget(name).channels == () for name in TARGETS)
    for change, message in (
        ({"target": "density"}, "target='density'"),
        ({"shape": "cube"}, "shape='cube'"),
        ({"weight": "mass"}, "weight='mass'"),
        ({"radius_A": 0.0}, "must be positive"),
        ({"sigma_A": float("inf")}, "must be positive and finite"),
    ):
        with pytest.raises(ValueError, match=message):
            DerivedTarget(**change)
