"""Deposited maps: their models lie where the density is, so axis order and origin are right."""

from __future__ import annotations

from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest

from c2s_data.errors import MapError, MapReason
from c2s_data.sources.density_map import DensityMap, read_density_map, read_map_header

# map, model, published mean density at the C-alphas in standard deviations of the map
PAIRS = [
    ("emd_20026_zone_apoferritin.mrc.gz", "3ajo_fitted_refined.pdb", 7.37),
    ("emd_4413_box_6i5a.ccp4.gz", "6i5a_box_complete.pdb", 2.05),
    ("emd_6272_sub_strudel.mrc.gz", "strudel_6272.pdb", 3.89),
    ("emd_5185_box_3j06.ccp4.gz", "3j06_no_ligand_box_complete.pdb", 4.85),
    ("emd_2513_zone_4ci0.mrc.gz", "4ci0.pdb", 5.38),
    ("emd_0093_masked_6gyn.mrc.gz", "6gyn.pdb", 17.35),
    ("emd_5830_box_3j63A.ccp4.gz", "3j63_A_box_complete.pdb", 3.40),
    ("emd_1044_box_1oed.ccp4.gz", "1oed_box_complete.pdb", 2.16),
    ("emd_3240_box_5fn5.ccp4.gz", "5fn5_box_complete.pdb", 3.47),
    ("emd_6187_box_3j8xA.ccp4.gz", "3j8x_chain_A_box_complete.pdb", 2.69),
    ("emd_2867_box_4uft.mrc.gz", "4uft_af3.cif", 1.84),
]

# map, shape (z, y, x), voxel (z, y, x) in A, origin (x, y, z) in A
HEADERS = [
    (
        "cctbx_20_21_22_to_30_40_50.ccp4.gz",
        (29, 20, 11),
        (0.4337, 0.4173, 0.446),
        (8.92, 8.763, 9.542),
    ),
    ("emd_1080_groel.mrc.gz", (100, 100, 100), (2.7, 2.7, 2.7), (-135.0, -135.0, -135.0)),
    ("emd_1155_mode0.ccp4.gz", (281, 91, 141), (16.4, 16.4, 16.4), (0.0, 0.0, 0.0)),
    ("emd_1883.map.gz", (70, 70, 70), (3.71, 3.71, 3.71), (0.0, 0.0, 0.0)),
    ("emd_3197.map.gz", (20, 20, 20), (11.4, 11.4, 11.4), (-22.8, 0.0, 0.0)),
    ("emd_3576.map.gz", (96, 96, 96), (6.6, 6.6, 6.6), (-330.0, -330.0, -330.0)),
    ("emd_44046.map.gz", (360, 360, 360), (1.044, 1.044, 1.044), (0.0, 0.0, 0.0)),
]


def c_alpha_xyz_A(path: Path) -> np.ndarray:
    model = gemmi.read_structure(str(path))[0]
    return np.array(
        [
            atom.pos.tolist()
            for chain in model
            for residue in chain
            for atom in residue
            if atom.name == "CA" and atom.element == gemmi.Element("C")
        ]
    )


def trilinear(density: DensityMap, xyz_A: np.ndarray) -> np.ndarray:
    """Density at positions inside the map, from the eight voxels around each."""
    position = (xyz_A - density.origin_xyz_A)[:, ::-1] / density.voxel_size_zyx_A
    low = np.floor(position).astype(int)
    inside = ((low >= 0) & (low < np.array(density.values_zyx.shape) - 1)).all(axis=1)
    position, low = position[inside], low[inside]
    share = position - low
    total = np.zeros(len(low))
    for corner in np.ndindex(2, 2, 2):
        weight = np.where(corner, share, 1 - share).prod(axis=1)
        total += weight * density.values_zyx[tuple((low + corner).T)]
    return total


@pytest.mark.parametrize(("map_name", "model_name", "expected"), PAIRS)
def test_density_at_the_c_alphas(shared_data, map_name, model_name, expected):
    density = read_density_map(shared_data / "pairs" / map_name)
    at_c_alpha = trilinear(density, c_alpha_xyz_A(shared_data / "pairs" / model_name))
    values = density.values_zyx.astype(np.float64)
    sigma = (at_c_alpha.mean() - values.mean()) / values.std()
    assert sigma == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("map_name", [pair[0] for pair in PAIRS])
def test_pairs_agree_with_mrcfile(shared_data, map_name):
    path = shared_data / "pairs" / map_name
    density = read_density_map(path)
    with mrcfile.open(path) as reference:
        header = reference.header
        stored = [int(header.maps), int(header.mapr), int(header.mapc)]
        expected = reference.data.transpose([stored.index(code) for code in (3, 2, 1)])
        np.testing.assert_array_equal(density.values_zyx, expected)
    assert density.leniencies == ()


@pytest.mark.parametrize(("name", "shape_zyx", "voxel_zyx_A", "origin_xyz_A"), HEADERS)
def test_header_variants(shared_data, *, name, shape_zyx, voxel_zyx_A, origin_xyz_A):
    header = read_map_header(shared_data / "headers" / name)
    assert header.shape_zyx == shape_zyx
    assert header.voxel_size_zyx_A == pytest.approx(voxel_zyx_A, abs=1e-4)
    assert header.origin_xyz_A == pytest.approx(origin_xyz_A, abs=1e-3)


def test_signed_bytes(shared_data):
    density = read_density_map(shared_data / "headers" / "emd_1155_mode0.ccp4.gz")
    assert density.source_dtype == np.dtype(np.int8)
    assert (density.values_zyx.min(), density.values_zyx.max()) == (-128.0, 127.0)


def test_monoclinic_cell_is_refused(shared_data):
    with pytest.raises(MapError) as caught:
        read_map_header(shared_data / "headers" / "emd_3001.map.gz")
    assert caught.value.reason == MapReason.BAD_ANGLES
