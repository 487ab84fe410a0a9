"""Labels against a brute-force double, and against the published programs' masks."""

from __future__ import annotations

import hashlib
import json
import math
from fractions import Fraction

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.transforms.label import (
    DECODE_OFFSET_VOXEL,
    LabeledVoxels,
    VoxelLabels,
    label_voxels,
    voxel_index,
)

SHAPE_ZYX = (7, 11, 5)
ORIGIN_XYZ_A = (-3.25, 12.5, 101.7)
VOXEL_ZYX_A = (1.5, 0.7, 1.1)
GOLDEN_ENTRIES = [
    "EMD-20026", "EMD-4413", "EMD-6272", "EMD-5185", "EMD-2513",
    "EMD-0093", "EMD-5830", "EMD-1044", "EMD-3240", "EMD-6187",
]  # fmt: skip
AMINO_7KJR = [18, 12, 16, 18, 14, 18, 22, 24, 12, 24, 62, 22, 4, 26, 10, 36, 26, 14, 32, 38]


def brute_index(xyz_A, origin_xyz_A, voxel_zyx_A, rule):
    """One atom, plain Python, exact fractions where the rule rounds to nearest."""
    index = []
    for axis in (2, 1, 0):
        x, o, v = float(xyz_A[axis]), float(origin_xyz_A[axis]), float(voxel_zyx_A[2 - axis])
        if rule == "formula1":
            index.append(math.ceil(math.floor(x - o) / v))
        elif rule == "formula1-float32":
            relative = float(np.float32(np.float32(x) - np.float32(o)))
            index.append(math.ceil(math.floor(relative) / v))
        else:
            index.append(math.floor(Fraction((x - o) / v) + Fraction(1, 2)))
    return index


def brute_labels(xyz, atom, amino, secondary, rule, collision):
    """Masks in dense arrays, atom by atom; the counts as a dict."""
    masks = {name: np.zeros(SHAPE_ZYX, int) for name in ("atom", "ca", "amino", "secondary")}
    taken: set[tuple[int, ...]] = set()
    counts = {"n_outside": 0, "n_collisions": 0, "n_ca_outside": 0}
    rows = list(range(len(xyz)))
    places = [tuple(brute_index(p, ORIGIN_XYZ_A, VOXEL_ZYX_A, rule)) for p in xyz]
    inside = [all(0 <= i < n for i, n in zip(p, SHAPE_ZYX, strict=True)) for p in places]
    for row in rows:
        if not inside[row]:
            counts["n_outside"] += 1
            counts["n_ca_outside"] += int(atom[row] == 1)
        elif places[row] in taken:
            counts["n_collisions"] += 1
        else:
            taken.add(places[row])
    if collision == "ca-first":
        # Written worst first, so that what is written last is what stays.
        rows = sorted(rows, key=lambda row: (-atom[row], -row))
    for row in rows:
        if inside[row]:
            masks["atom"][places[row]] = atom[row]
            if atom[row] == 1:
                masks["ca"][places[row]] = 1
                masks["amino"][places[row]] = amino[row]
                masks["secondary"][places[row]] = secondary[row]
    return masks, counts


def random_atoms(seed, n):
    """Atoms in and around the grid, many to a voxel, some exactly on voxel borders."""
    rng = np.random.default_rng(seed)
    span = np.array(SHAPE_ZYX[::-1]) * np.array(VOXEL_ZYX_A[::-1])
    xyz = np.array(ORIGIN_XYZ_A) + rng.uniform(-0.4, 1.4, (n, 3)) * span
    xyz[::7] = np.array(ORIGIN_XYZ_A) + np.round(xyz[::7] - np.array(ORIGIN_XYZ_A))
    amino = rng.choice([0, 1, 2, 20, 255], n)
    return xyz, rng.integers(1, 4, n), amino, rng.integers(0, 4, n)


def label(xyz, atom, amino, secondary, rule, collision) -> LabeledVoxels:
    return label_voxels(
        xyz,
        atom,
        amino,
        secondary,
        shape_zyx=SHAPE_ZYX,
        origin_xyz_A=ORIGIN_XYZ_A,
        voxel_size_zyx_A=VOXEL_ZYX_A,
        rule=rule,
        collision=collision,
    )


@pytest.mark.parametrize("collision", ["ca-first", "last-wins"])
@pytest.mark.parametrize("rule", ["formula1", "formula1-float32", "nearest"])
@pytest.mark.parametrize(("seed", "n"), [(0, 600), (1, 40), (2, 1), (3, 3000)])
def test_masks_and_counts_equal_brute_force(seed, n, rule, collision):
    atoms = random_atoms(seed, n)
    result = label(*atoms, rule, collision)
    masks, counts = brute_labels(*atoms, rule, collision)
    for name, expected in masks.items():
        labels: VoxelLabels = getattr(result, name)
        np.testing.assert_array_equal(labels.to_dense(SHAPE_ZYX), expected, err_msg=name)
        assert labels.index_zyx.dtype == np.int32
        assert labels.value.dtype == np.uint8
        assert (labels.value != 0).all()
        np.testing.assert_array_equal(labels.index_zyx, np.argwhere(expected))
    assert counts == {name: getattr(result, name) for name in counts}
    assert n < 600 or min(counts.values()) > 0


@given(
    xyz=st.lists(st.tuples(*[st.floats(-1e4, 1e4, width=64)] * 3), min_size=1, max_size=5),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    voxel=st.tuples(*[st.floats(0.1, 5)] * 3),
    rule=st.sampled_from(["formula1", "formula1-float32", "nearest"]),
)
@settings(max_examples=300, deadline=None)
def test_voxel_index_equals_brute_force_anywhere(xyz, origin, voxel, rule):
    expected = [brute_index(position, origin, voxel, rule) for position in xyz]
    index = voxel_index(xyz, origin, voxel, rule)
    assert index.dtype == np.int64
    assert index.tolist() == expected


def test_axes_are_not_mixed_up():
    index = voxel_index([[10.0, 20.0, 40.0]], (1.0, 2.0, 4.0), (2.0, 3.0, 0.5), "formula1")
    # z: ceil(36 / 2), y: ceil(18 / 3), x: ceil(9 / 0.5)
    assert index.tolist() == [[18, 6, 18]]


def test_nearest_sends_ties_up_and_knows_the_float_just_below_half():
    below_half = 0.49999999999999994
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, below_half, 0.51, -0.51])
    xyz = np.stack((x, np.zeros(8), np.zeros(8)), axis=1)
    index = voxel_index(xyz, (0, 0, 0), (1, 1, 1), "nearest")
    assert index[:, 2].tolist() == [1, 2, 3, 0, -1, 0, 1, -1]
    assert (index[:, :2] == 0).all()


def test_formula1_takes_the_floor_before_the_voxel_and_the_ceiling_after():
    xyz = [[2.999, 0, 0], [3.0, 0, 0], [0.999, 0, 0], [-0.001, 0, 0]]
    index = voxel_index(xyz, (0, 0, 0), (1, 1, 0.727), "formula1")
    # floors 2, 3, 0, -1 over 0.727: 2.75, 4.13, 0, -1.38
    assert index[:, 2].tolist() == [3, 5, 0, -1]


def test_float32_subtraction_differs_where_float64_falls_short_of_an_integer():
    # float32(117.4) - float32(101.4) is exactly 16; the float64 difference is just below.
    xyz, origin = [[0.0, 0.0, 117.4]], (0.0, 0.0, float(np.float32(101.4)) + 1e-6)
    assert voxel_index(xyz, origin, (1, 1, 1), "formula1")[0, 0] == 15
    assert voxel_index(xyz, origin, (1, 1, 1), "formula1-float32")[0, 0] == 16


@pytest.mark.parametrize("rule", ["formula1", "formula1-float32", "nearest"])
def test_decode_offset_is_the_mean_offset_of_random_atoms(rule):
    rng = np.random.default_rng(5)
    origin = np.array([3.0, -7.5, 20.25])
    xyz = origin + rng.uniform(0, 100, (200_000, 3))
    index = voxel_index(xyz, origin, (1, 1, 1), rule)
    offset = (index[:, ::-1] + origin - xyz).mean(axis=0)
    np.testing.assert_allclose(offset, -DECODE_OFFSET_VOXEL[rule], atol=0.005)
    decoded = index[:, ::-1] + DECODE_OFFSET_VOXEL[rule] + origin
    assert np.abs(decoded - xyz).max() <= 0.5 + 1e-5


@pytest.mark.parametrize("rule", ["formula1", "formula1-float32", "nearest"])
def test_atoms_outside_are_dropped_on_every_side_and_never_wrap(rule):
    low = np.array(ORIGIN_XYZ_A)
    span = np.array(SHAPE_ZYX[::-1]) * np.array(VOXEL_ZYX_A[::-1])
    middle = low + span / 2
    outside = []
    for axis in range(3):
        for value in (low[axis] - 1.8, low[axis] + span[axis] + 1.8, low[axis] - 1e30, 1e30):
            position = middle.copy()
            position[axis] = value
            outside.append(position)
    n = len(outside)
    result = label(np.array(outside), np.ones(n), np.ones(n), np.ones(n), rule, "last-wins")
    assert (result.n_outside, result.n_ca_outside, result.n_collisions) == (12, 12, 0)
    assert len(result.atom.value) == len(result.ca.value) == 0
    assert not result.atom.to_dense(SHAPE_ZYX).any()


def test_collision_policies():
    at = np.array(ORIGIN_XYZ_A) + 0.2
    xyz = np.array([at, at, at + 0.01, at + 0.02, at])
    atom, amino, secondary = [2, 1, 3, 1, 3], [9, 5, 9, 0, 9], [3, 2, 3, 1, 3]
    first = label(xyz, atom, amino, secondary, "formula1", "ca-first")
    last = label(xyz, atom, amino, secondary, "formula1", "last-wins")
    assert [m.value.tolist() for m in (first.atom, first.ca, first.amino, first.secondary)] == [
        [1], [1], [5], [2],
    ]  # fmt: skip
    # The second C-alpha has amino class 0 and clears the 5 that the first one wrote.
    assert [m.value.tolist() for m in (last.atom, last.ca, last.amino, last.secondary)] == [
        [3], [1], [], [1],
    ]  # fmt: skip
    assert first.n_collisions == last.n_collisions == 4


def test_ignored_amino_class_is_stored():
    xyz = np.array(ORIGIN_XYZ_A)[None] + 0.1
    result = label(xyz, [1], [255], [1], "nearest", "ca-first")
    assert result.amino.value.tolist() == [255]
    assert result.amino.index_zyx.tolist() == [[0, 0, 0]]


def test_no_atoms_make_empty_masks():
    result = label(np.empty((0, 3)), [], [], [], "nearest", "last-wins")
    assert result.atom.index_zyx.shape == (0, 3)
    assert (result.n_outside, result.n_collisions) == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xyz_A": [[float("nan"), 0, 0]]}, "must be finite"),
        ({"xyz_A": [[float("inf"), 0, 0]]}, "must be finite"),
        ({"origin_xyz_A": (0, 0, float("nan"))}, "must be finite"),
        ({"voxel_size_zyx_A": (1, 0, 1)}, "must be positive"),
        ({"rule": "floor"}, "unknown label rule"),
        ({"collision": "first"}, "unknown collision policy"),
        ({"atom_class": [4]}, "must lie in 1..3"),
        ({"atom_class": [0]}, "must lie in 1..3"),
        ({"amino_class": [256]}, "must lie in 0..255"),
        ({"secondary_class": [1, 1]}, "there are 1 atoms"),
    ],
)
def test_what_cannot_be_labeled_is_refused(change, message):
    arguments = {
        "xyz_A": [[0.0, 0, 0]],
        "atom_class": [1],
        "amino_class": [1],
        "secondary_class": [1],
        "shape_zyx": SHAPE_ZYX,
        "origin_xyz_A": (0, 0, 0),
        "voxel_size_zyx_A": (1, 1, 1),
        "rule": "nearest",
        "collision": "ca-first",
    } | change
    with pytest.raises(ValueError, match=message):
        label_voxels(**arguments)


def header_origin_xyz_A(path):
    """ChimeraX's choice: ORIGIN of an .mrc file where non-zero, else nstart times voxel."""
    with mrcfile.open(path, header_only=True) as file:
        header = file.header
        origin = [float(header.origin[name]) for name in "xyz"]
        if path.name.endswith(".mrc.gz") and any(origin):
            return origin
        start = {
            int(header[axis]): int(header[name])
            for axis, name in (("mapc", "nxstart"), ("mapr", "nystart"), ("maps", "nzstart"))
        }
        voxel = [
            float(header.cella[a]) / int(header[m])
            for a, m in zip("xyz", ("mx", "my", "mz"), strict=True)
        ]
        return [start[axis + 1] * voxel[axis] for axis in range(3)]


def digest(labels: VoxelLabels) -> str:
    raw = labels.index_zyx.astype("<i4").tobytes() + labels.value.tobytes()
    return hashlib.sha256(raw).hexdigest()[:16]


def released_labels(model, shape_zyx, origin_xyz_A) -> LabeledVoxels:
    named, table = model.named, model.residues
    in_table = named.residue_index >= 0
    secondary = np.where(in_table, table.record_secondary[named.residue_index], 0)
    return label_voxels(
        named.xyz_A,
        named.atom_class,
        named.amino_class,
        secondary,
        shape_zyx=shape_zyx,
        origin_xyz_A=origin_xyz_A,
        voxel_size_zyx_A=(1, 1, 1),
        rule="formula1-float32",
        collision="last-wins",
    )


@pytest.mark.parametrize("entry_id", GOLDEN_ENTRIES)
def test_released_masks_are_those_of_the_published_programs(entry_id, golden_labels, shared_data):
    golden = json.loads(golden_labels.read_text())
    assert set(golden) == {*GOLDEN_ENTRIES, "_about"}
    entry = golden[entry_id]
    origin = header_origin_xyz_A(shared_data / "pairs" / entry["map"])
    model = read_atomic_model(shared_data / "pairs" / entry["model"])
    result = released_labels(model, entry["shape_zyx"], origin)
    assert result.n_outside == 0
    for name in ("atom", "ca", "amino"):
        labels: VoxelLabels = getattr(result, name)
        values, counts = np.unique(labels.value, return_counts=True)
        found = {str(v): int(n) for v, n in zip(values, counts, strict=True)}
        assert found == entry[name]["counts"], name
        assert digest(labels) == entry[name]["sha256"], name


def test_golden_counts_of_7kjr(shared_data):
    model = read_atomic_model(shared_data / "models" / "7kjr.pdb")
    shape, origin = (218, 218, 218), (0.0, 0.0, 0.0)
    released = released_labels(model, shape, origin)
    assert np.bincount(released.atom.value).tolist() == [0, 448, 450, 447]
    assert len(released.ca.value) == 448
    assert np.bincount(released.secondary.value).tolist() == [0, 92, 256, 100]
    assert np.bincount(released.amino.value).tolist() == [0, *AMINO_7KJR]

    table = model.residues
    atoms = table.backbone_atoms()
    polymer = label_voxels(
        atoms.xyz_A,
        atoms.atom_class,
        table.amino_class[atoms.residue_index],
        table.record_secondary[atoms.residue_index],
        shape_zyx=shape,
        origin_xyz_A=origin,
        voxel_size_zyx_A=(1, 1, 1),
        rule="formula1",
        collision="last-wins",
    )
    assert np.bincount(polymer.atom.value).tolist() == [0, 448, 448, 447]
    assert np.bincount(polymer.secondary.value).tolist() == [0, 92, 256, 100]
    assert np.bincount(polymer.amino.value).tolist() == [0, *AMINO_7KJR]
    assert polymer.n_outside == 0
    assert polymer.n_collisions == 3 * 448 - 1343
