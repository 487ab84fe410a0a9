"""What a network is shown: a map made as those that it learned from, or a refusal."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prediction_cases import card, store_of_maps

from c2s_data.config import make_config
from c2s_data.errors import ConfigError, MapError
from c2s_data.sources.density_map import DensityMap, write_density_map
from c2s_data.store.reader import Store
from c2s_data.transforms.percentile import percentile_of
from c2s_data.transforms.resample import resample_trilinear
from c2s_data.transforms.resample_spline import resample_spline
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.predict.prepared_density import (
    Interest,
    build_config_of,
    check_store_density,
    prepare_raw_map,
    prepare_stored_map,
)
from c2s_model.predict.window_plan import WindowGrid, any_in_cells

ORIGIN_XYZ_A = (-7.5, 30.25, 4.0)
VOXEL_ZYX_A = (1.31, 0.81, 1.1)


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> tuple[Path, np.ndarray]:
    values = np.random.default_rng(5).normal(0.1, 1.0, (21, 34, 17)).astype(np.float32)
    path = tmp_path_factory.mktemp("raw") / "emd_1.map.gz"
    write_density_map(path, DensityMap(values, VOXEL_ZYX_A, ORIGIN_XYZ_A))
    return path, values


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    shapes = ((41, 30, 33), (17, 25, 12))
    return store_of_maps(tmp_path_factory.mktemp("store") / "a.zarr", shapes)


@pytest.mark.parametrize("preset", ["paper", "released", "recommended"])
def test_a_raw_map_is_prepared_as_the_preset_says(preset, raw):
    path, values = raw
    found = prepare_raw_map(str(path), make_config(preset))
    if preset == "recommended":
        resampled = resample_spline(values, VOXEL_ZYX_A, antialias=True)
        divisor = percentile_of(resampled, "signal", 95.0)
    else:
        resampled = resample_trilinear(values, VOXEL_ZYX_A)
        population = resampled[resampled > 0 if preset == "paper" else resampled != 0]
        divisor = np.percentile(population, 95)
    expected = np.clip(resampled / np.float32(divisor), 0, 1)
    assert found.source["percentile_value"] == pytest.approx(divisor, rel=1e-6)
    assert found.values_zyx.shape == (27, 27, 18)
    assert found.values_zyx.dtype == (np.float32 if preset == "released" else np.float16)
    np.testing.assert_allclose(found.values_zyx, expected, atol=1e-3)
    assert found.origin_xyz_A == ORIGIN_XYZ_A
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.source["sha256"], found.digest) == (digest, digest)
    assert found.source["bytes"] == path.stat().st_size
    assert found.interest_zyx is None


def test_the_recorded_build_decides(raw):
    path, _ = raw
    config = make_config("paper", percentile=80.0, box=48, core=24)
    for source in (
        {"build_config": config.model_dump()},
        {"store": {"config": config.model_dump()}},
    ):
        assert build_config_of(card(preset="paper", **source)) == config
    assert build_config_of(card(preset="released")) == make_config("released")
    narrow = prepare_raw_map(str(path), config).source["percentile_value"]
    assert narrow < prepare_raw_map(str(path), make_config("paper")).source["percentile_value"]
    with pytest.raises(
        CheckpointError, match="says preset 'recommended', the build it records 'pa"
    ):
        build_config_of(card(build_config=config.model_dump()))
    with pytest.raises(CheckpointError, match="does not know"):
        build_config_of(card(build_config=config.model_dump() | {"flavour": "vanilla"}))


def test_a_network_of_finished_maps_takes_raw_ones(raw):
    path, _ = raw
    finished = make_config("paper", density="normalized")
    found = prepare_raw_map(str(path), finished)
    expected = prepare_raw_map(str(path), make_config("paper"))
    np.testing.assert_array_equal(found.values_zyx, expected.values_zyx)


def test_contour_is_in_units_of_the_raw_map(raw):
    path, values = raw
    found = prepare_raw_map(str(path), make_config("paper"), Interest(contour_level=2.25))
    resampled = resample_trilinear(values, VOXEL_ZYX_A)
    # Above the level that clipping puts at 1 as well.
    assert found.source["percentile_value"] < 2.25
    np.testing.assert_array_equal(found.interest_zyx, resampled >= 2.25)
    assert 0 < found.interest_zyx.sum() < 1000
    with pytest.raises(ConfigError, match="no voxel of the map reaches the contour 99"):
        prepare_raw_map(str(path), make_config("paper"), Interest(contour_level=99))
    with pytest.raises(ConfigError, match="one of them"):
        Interest(1.0, "mask.mrc")


def test_a_mask_lies_on_either_grid(raw, tmp_path):
    path, values = raw
    on_raw = np.zeros_like(values)
    on_raw[4:12, 10:20, 5:9] = 1
    at_1_A = resample_trilinear(on_raw, VOXEL_ZYX_A)
    write_density_map(tmp_path / "raw.mrc", DensityMap(on_raw, VOXEL_ZYX_A, ORIGIN_XYZ_A))
    write_density_map(tmp_path / "one.mrc", DensityMap(at_1_A, (1.0, 1.0, 1.0), ORIGIN_XYZ_A))
    for name in ("raw.mrc", "one.mrc"):
        interest = Interest(mask=str(tmp_path / name))
        found = prepare_raw_map(str(path), make_config("paper"), interest)
        np.testing.assert_array_equal(found.interest_zyx, at_1_A > 0.5)
        assert found.interest_zyx.sum() > 100
    for wrong in (
        DensityMap(on_raw, VOXEL_ZYX_A, (-7.5, 31.25, 4.0)),
        DensityMap(on_raw[:-1].copy(), VOXEL_ZYX_A, ORIGIN_XYZ_A),
    ):
        write_density_map(tmp_path / "wrong.mrc", wrong)
        with pytest.raises(ConfigError, match=r"wrong\.mrc: the mask has .* on the map's grid"):
            prepare_raw_map(
                str(path), make_config("paper"), Interest(mask=str(tmp_path / "wrong.mrc"))
            )
    faint = DensityMap(0.4 * on_raw, VOXEL_ZYX_A, ORIGIN_XYZ_A)
    write_density_map(tmp_path / "faint.mrc", faint)
    with pytest.raises(ConfigError, match=r"no voxel above 0\.5"):
        prepare_raw_map(str(path), make_config("paper"), Interest(mask=str(tmp_path / "faint.mrc")))


def test_bad_maps_are_refused(tmp_path, raw):
    with pytest.raises(ConfigError, match="origin 'middle'; take one of auto, "):
        prepare_raw_map(str(raw[0]), make_config("paper"), origin="middle")
    with pytest.raises(MapError, match="not-found"):
        prepare_raw_map(str(tmp_path / "none.map"), make_config("paper"))
    thin = np.random.default_rng(0).random((3, 9, 9), np.float32)
    write_density_map(tmp_path / "thin.map", DensityMap(thin, (0.3, 1.0, 1.0), ORIGIN_XYZ_A))
    with pytest.raises(MapError, match=r"thin\.map: .*thinner than one voxel.*bad-cell"):
        prepare_raw_map(str(tmp_path / "thin.map"), make_config("paper"))


def test_a_stored_map_is_taken_as_it_is(store):
    found = prepare_stored_map(store, "MADE-0", make_config("paper"))
    np.testing.assert_array_equal(found.values_zyx, store.read_map("MADE-0", "density"))
    assert found.origin_xyz_A == store.entry("MADE-0").origin_xyz_A
    assert found.source["entry_id"] == "MADE-0"
    assert found.digest != prepare_stored_map(store, "MADE-1", make_config("paper")).digest


def test_a_contour_on_a_stored_map_leaves_nothing_out(store, monkeypatch):
    """The store says what divided it: 0.25. What was clipped counts as reaching any level."""
    values = store.read_map("MADE-0", "density")
    values = np.minimum(values, np.float16(0.9))
    values[30:, 20:, 10:15] = 1
    monkeypatch.setattr(Store, "read_map", lambda *_: values)
    config = make_config("paper")
    found = prepare_stored_map(store, "MADE-0", config, Interest(contour_level=0.25 * 0.4))
    np.testing.assert_array_equal(found.interest_zyx, values >= np.float16(0.4))
    above = prepare_stored_map(store, "MADE-0", config, Interest(contour_level=7.0))
    np.testing.assert_array_equal(above.interest_zyx, values == 1)
    assert above.interest_zyx.sum() == 11 * 10 * 5 < found.interest_zyx.sum() < values.size
    values[values == 1] = 0.9
    with pytest.raises(ConfigError, match="no voxel of the map reaches the contour 7"):
        prepare_stored_map(store, "MADE-0", config, Interest(contour_level=7.0))


def test_a_store_of_another_preset_is_refused(store):
    for preset, what in (
        ("released", "scale positive instead of nonzero"),
        (
            "recommended",
            "scale positive instead of signal, resampling trilinear instead of spline3",
        ),
    ):
        with pytest.raises(ConfigError, match=what) as refused:
            prepare_stored_map(store, "MADE-0", make_config(preset))
        assert "give the raw map" in str(refused.value)
    # What a build does besides the density does not matter here.
    check_store_density(store, make_config("paper", label_rule="nearest", quality=True))
    config = make_config("released", density="normalized", masks="files").model_dump()
    normalized = replace(store, attrs={**store.attrs, "config": config, "preset": "released"})
    check_store_density(normalized, make_config("released"))


def test_windows_of_interest_by_their_definition():
    shape = (23, 41, 20)
    interest = np.random.default_rng(2).random(shape) > 0.9993
    assert 3 < interest.sum() < 40
    for overlap in (1, 2, 5):
        grid = WindowGrid(shape, 32, 20, overlap)
        needed = grid.needed(interest)
        assert needed.shape == grid.windows_zyx
        step = 20 // overlap
        for number in np.ndindex(needed.shape):
            start = [step * (n - overlap + 1) for n in number]
            core = tuple(slice(max(0, s), max(0, s + 20)) for s in start)
            assert needed[number] == interest[core].any()
        starts = grid.starts_in(slice(20, 41), slice(0, 20), needed)
        assert (np.diff(starts[:, 0]) >= 0).all()
        expected = {
            tuple(step * (n - overlap + 1) for n in number)
            for number in np.argwhere(needed).tolist()
            if step * (number[1] - overlap + 1) + 20 > 20
        }
        assert set(map(tuple, starts.tolist())) == expected
    cells = any_in_cells(interest, 7)
    assert cells.shape == (4, 6, 3)
    for cell in np.ndindex(cells.shape):
        assert cells[cell] == interest[tuple(slice(7 * c, 7 * c + 7) for c in cell)].any()
