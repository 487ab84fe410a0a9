"""The slice figure: the right planes at the right places, and clear refusals."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from c2s_data.explore import slices
from c2s_data.explore.palette import CLASS_COLORS
from c2s_data.schema import AMINO_ACIDS

SHAPE = (24, 30, 27)
ORIGIN = (-40.0, 15.0, 90.0)


@pytest.fixture
def volume():
    rng = np.random.default_rng(0)
    density = rng.uniform(0.0, 0.5, size=SHAPE).astype(np.float32)
    density[11, 14, 8] = 1.0
    masks = {name: np.zeros(SHAPE, np.uint8) for name in ("atom", "ca", "amino", "secondary")}
    # Six C-alphas in the planes z = 10 to 12, spread over y and x, and one far away.
    for k, (z, y, x) in enumerate(
        [(10, 4, 6), (10, 9, 20), (11, 14, 8), (11, 19, 16), (12, 24, 4), (12, 27, 23), (2, 2, 2)]
    ):
        masks["ca"][z, y, x] = masks["atom"][z, y, x] = 1
        masks["amino"][z, y, x] = 3 * k + 1
        masks["secondary"][z, y, x] = 1 + k % 3
    return density, masks


def _axes(figure):
    return [axes for axes in figure.get_axes() if axes.get_title()]


def _titled(figure, start):
    return next(axes for axes in _axes(figure) if axes.get_title().startswith(start))


def _dots(axes):
    points = [c.get_offsets() for c in axes.collections if len(c.get_offsets())]
    return {tuple(point) for point in np.concatenate(points).tolist()}


def test_plane_is_the_slab_richest_in_c_alphas(volume):
    density, masks = volume
    figure = slices.slice_figure(density, masks, entry_id="E", origin_xyz_A=ORIGIN)
    titles = [axes.get_title() for axes in _axes(figure)]
    z = float(titles[0].removeprefix("Normalized, z = ").removesuffix(" Å"))
    assert 90.0 + 10 <= z <= 90.0 + 12.5
    image = _axes(figure)[0].images[0]
    np.testing.assert_array_equal(
        image.get_array(), density[int(np.clip(np.rint(z - 90.0), 0, 23))]
    )
    np.testing.assert_allclose(image.get_extent(), (-40.5, -13.5, 14.5, 44.5))


def test_dots_stand_at_the_positions_of_the_labels(volume):
    density, masks = volume
    figure = slices.slice_figure(density, masks, entry_id="E", origin_xyz_A=ORIGIN)
    atoms = _titled(figure, "Atoms")
    in_slab = [(6, 4), (20, 9), (8, 14), (16, 19), (4, 24), (23, 27)]
    assert _dots(atoms) == {(ORIGIN[0] + x, ORIGIN[1] + y) for x, y in in_slab}
    assert atoms.get_xlabel() == "x / Å"
    assert atoms.get_ylabel() == "y / Å"
    secondary = _titled(figure, "Secondary structure")
    assert len(_dots(secondary)) == 7
    assert secondary.get_ylabel() == "z / Å"


def test_each_dot_has_the_color_of_its_class(volume):
    density, masks = volume
    figure = slices.slice_figure(density, masks, entry_id="E", origin_xyz_A=ORIGIN)
    amino = _titled(figure, "Amino acids")
    by_position = {
        tuple(c.get_offsets()[0].tolist()): tuple(c.get_facecolor()[0][:3])
        for c in amino.collections
        if len(c.get_offsets())
    }
    color = next(color for value, _, color in CLASS_COLORS["amino"] if value == 7)
    expected = tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    assert by_position[ORIGIN[0] + 8, ORIGIN[1] + 14] == pytest.approx(expected)


def test_anisotropic_raw_map_gets_its_own_row_at_the_same_place(volume):
    density, masks = volume
    raw = np.random.default_rng(1).normal(size=(20, 33, 21)).astype(np.float32)
    figure = slices.slice_figure(
        density,
        masks,
        entry_id="E",
        origin_xyz_A=ORIGIN,
        raw_zyx=raw,
        raw_voxel_size_zyx_A=(1.2, 0.9, 1.3),
    )
    first = _titled(figure, "Raw map, z").images[0]
    z = float(_titled(figure, "Raw map, z").get_title().split("= ")[1].removesuffix(" Å"))
    assert abs(np.argmin(np.abs(90.0 + np.arange(20) * 1.2 - z)) - 9) <= 1
    assert first.get_array().shape == (33, 21)
    np.testing.assert_allclose(
        first.get_extent(), (-40.65, -40.65 + 21 * 1.3, 14.55, 14.55 + 33 * 0.9)
    )


def test_saturated_share_is_stated(volume):
    density, masks = volume
    density[:3] = 1.0
    figure = slices.slice_figure(density, masks, entry_id="E")
    share = (density >= 1.0).mean()
    assert _titled(figure, f"{share:.2%} of voxels at 1.0")


def test_every_amino_acid_has_a_color_of_its_own():
    assert sorted(name for _, name, _ in CLASS_COLORS["amino"]) == sorted(AMINO_ACIDS)
    assert len({color for _, _, color in CLASS_COLORS["amino"]}) == 20
    assert [value for value, _, _ in CLASS_COLORS["secondary"]] == [1, 2, 3]


def test_file_is_a_picture_and_pyplot_stays_unused(volume, tmp_path):
    density, masks = volume
    slices.save_figure(slices.slice_figure(density, masks, entry_id="E"), tmp_path / "e.png")
    content = (tmp_path / "e.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert int.from_bytes(content[16:20], "big") == round(15.0 * slices.DPI)
    assert "matplotlib.pyplot" not in sys.modules


def test_density_alone_with_a_finder_has_no_label_row(volume):
    density, masks = volume
    figure = slices.slice_figure(density, {"ca": masks["ca"]}, entry_id="E")
    assert len(_axes(figure)) == 4


def test_masks_on_another_grid_or_empty_are_refused(volume):
    density, masks = volume
    with pytest.raises(ValueError, match="one grid"):
        slices.slice_figure(density, {"ca": masks["ca"][1:]}, entry_id="E")
    with pytest.raises(ValueError, match="no C-alpha"):
        slices.slice_figure(density, {"ca": np.zeros(SHAPE, np.uint8)}, entry_id="E")


def test_missing_matplotlib_names_the_extra(volume, monkeypatch):
    density, masks = volume
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"cryo2struct-store\[explore\]"):
        slices.slice_figure(density, masks, entry_id="E")
