"""Voxels that are no numbers, and maps that are too large: refused, or zeroed and counted."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from mrc_files import header_bytes, map_bytes, write

from c2s_data.build import run_entries
from c2s_data.config import make_config
from c2s_data.errors import ConfigError, MapError, MapReason
from c2s_data.plan import make_plan
from c2s_data.sources import density_map
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.sources.density_map import (
    MAX_DENSITY,
    read_density_map,
    read_map_header,
    write_density_map,
)
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store
from c2s_data.transforms.float16 import normalize_to_float16
from c2s_data.transforms.normalize import normalize
from c2s_data.transforms.percentile import percentile_of
from c2s_data.transforms.resample import resample_trilinear

BAD = [np.nan, np.inf, -np.inf, 3e38]


def refusal(path: Path, **options) -> MapReason:
    with pytest.raises(MapError) as caught:
        read_density_map(path, **options)
    return caught.value.reason


@pytest.mark.parametrize("axes", [(1, 2, 3), (3, 1, 2)])
@pytest.mark.parametrize("byte_order", "<>")
@pytest.mark.parametrize("mode", [2, 12])
@pytest.mark.parametrize("block_bytes", [4, 4 * 2**20])
def test_bad_voxels_become_zero_and_are_counted(
    tmp_path, monkeypatch, *, axes, byte_order, mode, block_bytes
):
    monkeypatch.setattr(density_map, "_MIN_BLOCK_BYTES", block_bytes)
    values = np.random.default_rng(3).permutation(210).reshape(5, 6, 7).astype("f4") - 100
    places = [(0, 0, 0), (4, 5, 6), (2, 3, 1)]
    expected = values.copy()
    for place, bad in zip(places, BAD if mode == 2 else BAD[:3], strict=False):
        values[place], expected[place] = bad, 0
    path = write(tmp_path / "x.map", map_bytes(values, axes=axes, byte_order=byte_order, mode=mode))
    density = read_density_map(path, non_finite="zero")
    np.testing.assert_array_equal(density.values_zyx, expected)
    assert density.n_zeroed == 3
    assert density.notes == ("3 of 210 voxels were not finite, set to 0",)
    assert refusal(path) == MapReason.NOT_FINITE


def test_a_value_that_resampling_would_overflow_is_refused(tmp_path):
    values = np.ones((4, 5, 6), "f4")
    values[0, 0, 0] = MAX_DENSITY
    assert read_density_map(write(tmp_path / "x.map", map_bytes(values))).n_zeroed == 0
    values[0, 0, 1] = np.nextafter(np.float32(MAX_DENSITY), np.float32(np.inf)) * 1.01
    assert refusal(write(tmp_path / "x.map", map_bytes(values))) == MapReason.NOT_FINITE


def test_a_map_of_bad_voxels_alone_is_no_map(tmp_path):
    path = write(tmp_path / "x.map", map_bytes(np.full((4, 5, 6), np.nan, "f4")))
    assert refusal(path, non_finite="zero") == MapReason.CONSTANT


def test_a_sound_map_has_no_notes_and_overlooked_faults_are_one(tmp_path):
    values = np.arange(210, dtype="f4").reshape(5, 6, 7)
    assert read_density_map(write(tmp_path / "x.map", map_bytes(values))).notes == ()
    path = write(tmp_path / "y.map", map_bytes(values, stamp=bytes(4), map_word=b"MAP\0"))
    (note,) = read_density_map(path, non_finite="zero").notes
    assert note == "header faults of the map overlooked: machine-stamp, map-word"


def test_an_unknown_rule_is_refused(tmp_path):
    with pytest.raises(ValueError, match="use refuse or zero"):
        read_density_map(tmp_path / "x.map", non_finite="keep")


LARGEST = float(np.float32(MAX_DENSITY))
element = st.floats(-2, 2, width=32) | st.floats(-LARGEST, LARGEST, width=32)


@given(
    values=npst.arrays(np.float32, (3, 4, 5), elements=element),
    voxel=st.tuples(*[st.floats(0.4, 3.0)] * 3),
    positions=st.sampled_from(["float64", "float32"]),
    scale=st.sampled_from(["positive", "nonzero", "signal"]),
)
def test_no_nan_comes_out_of_what_the_reader_lets_in(*, values, voxel, positions, scale):
    resampled = resample_trilinear(values, voxel, positions=positions)
    assert np.isfinite(resampled).all()
    try:
        divisor = percentile_of(resampled, scale, 95.0)
    except ValueError:
        return  # nothing above 0: the build refuses the map
    half, _ = normalize_to_float16(resampled, divisor)
    single, _ = normalize(resampled, divisor)
    for normalized in (half, single):
        assert np.isfinite(normalized).all()
        assert (normalized >= 0).all()
        assert (normalized <= 1).all()


def entry(path: Path, model: Path) -> CatalogEntry:
    return CatalogEntry("one", str(path), str(model), 3.0)


def test_max_voxels_reaches_the_plan(tmp_path):
    model = tmp_path / "m.pdb"
    model.write_text("END\n")
    path = write(tmp_path / "x.map", map_bytes(np.arange(210, dtype="f4").reshape(5, 6, 7)))
    (planned,) = make_plan([entry(path, model)], make_config(), max_voxels=210).entries
    assert planned.failure is None
    (planned,) = make_plan([entry(path, model)], make_config(), max_voxels=209).entries
    assert planned.failure is not None
    assert planned.failure.reason == MapReason.TOO_LARGE
    assert "above the limit of 209" in planned.failure.message


def test_a_map_thinner_than_a_voxel_fails_alone(tmp_path):
    model = tmp_path / "m.pdb"
    model.write_text("END\n")
    content = map_bytes(np.arange(210, dtype="f4").reshape(5, 6, 7), cell=(0.35, 9.0, 9.0))
    path = write(tmp_path / "x.map", content)
    (planned,) = make_plan([entry(path, model)], make_config()).entries
    assert planned.failure is not None
    assert planned.failure.reason == MapReason.BAD_CELL
    assert "thinner than one voxel" in planned.failure.message


@pytest.mark.parametrize("suffix", ["map", "map.gz"])
def test_large_dimensions_are_refused_from_the_header_alone(tmp_path, suffix):
    path = write(tmp_path / f"x.{suffix}", header_bytes(n=(1025, 1024, 1024)))
    with pytest.raises(MapError) as caught:
        read_map_header(path)
    assert caught.value.reason == MapReason.TOO_LARGE


def test_a_pipe_is_no_map(tmp_path):
    os.mkfifo(tmp_path / "x.map")
    assert refusal(tmp_path / "x.map") == MapReason.UNREADABLE


def test_a_build_zeroes_says_so_and_stores_no_nan(demo_catalog, tmp_path):
    sound = read_density_map(demo_catalog.with_name("DEMO-0003.map.gz"))
    shape = sound.values_zyx.shape
    places = [(0, 0, 0), (7, 9, 11), tuple(n // 2 for n in shape)]
    write_density_map(tmp_path / "bad.mrc", sound)
    content = bytearray((tmp_path / "bad.mrc").read_bytes())
    voxels = np.frombuffer(content, "<f4", offset=1024).reshape(shape)
    voxels[tuple(np.transpose(places))] = [np.nan, np.inf, -np.inf]
    (tmp_path / "bad.mrc").write_bytes(content)
    catalog = [entry(tmp_path / "bad.mrc", demo_catalog.with_name("DEMO-0003.cif"))]
    for rule in ("refuse", "zero"):
        plan = make_plan(catalog, make_config("recommended", non_finite=rule))
        objects = open_objects(tmp_path / f"{rule}.zarr")
        begin_store(objects, plan)
        seen = []
        run_entries(objects.url, plan, plan.buildable, seen.append)
        (outcome,) = seen
        if rule == "refuse":
            assert outcome.failure.reason == MapReason.NOT_FINITE
            continue
        assert outcome.failure is None
        assert f"3 of {voxels.size:,} voxels were not finite, set to 0" in outcome.notes
        commit(objects, plan)
        density = open_store(objects.url).read_map("one", "density")
        assert np.isfinite(density).all()
        assert density[places[0]] == 0


@pytest.mark.parametrize("rule", ["drop", "", None])
def test_the_option_is_refuse_or_zero(rule):
    assert make_config().non_finite == "refuse"
    if rule is None:
        assert make_config(non_finite=rule).non_finite == "refuse"
        return
    with pytest.raises(ConfigError, match="non_finite"):
        make_config(non_finite=rule)
