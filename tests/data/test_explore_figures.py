"""Figures of a store show its own numbers: bars, counts, planes, one gray scale."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from records_store import build, write_inputs
from typer.testing import CliRunner

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

from c2s_data.cli import app
from c2s_data.config import make_config
from c2s_data.errors import ConfigError, StoreError
from c2s_data.explore.dataset_figures import BIN_A, class_figure, resolution_figure
from c2s_data.explore.palette import CLASS_COLORS
from c2s_data.explore.store_figures import draw, draw_classes, draw_map, draw_splits
from c2s_data.sources.density_map import read_density_map
from c2s_data.store.reader import Store

ENTRY = "EMD-22898"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figures")


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    config = make_config("recommended", quality=False, gate="off")
    return build(write_inputs(folder / "in"), folder / "drawn.zarr", config)


def test_bars_of_resolutions_count_the_maps_of_each_split():
    rng = np.random.default_rng(5)
    known = {"train": rng.uniform(1.2, 4.0, 301), "test": np.array([2.5, np.nan, 3.74])}
    figure = resolution_figure(known, "Title")
    train, test = figure.get_axes()
    for axes, values in ((train, known["train"]), (test, known["test"])):
        counts, edges = (axes.patches[0].get_data().values, axes.patches[0].get_data().edges)
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
            assert count == np.sum((values >= low) & (values < high))
        assert counts.sum() == np.isfinite(values).sum()
        np.testing.assert_allclose(np.diff(edges), BIN_A)
    assert train.lines[0].get_xdata()[0] == pytest.approx(np.median(known["train"]))
    assert test.get_title(loc="left").startswith("test: 2 maps, 1 of unknown resolution")
    assert train.get_xlim() == test.get_xlim()
    with pytest.raises(ValueError, match="resolution_A"):
        resolution_figure({"train": [np.nan]})


def test_bars_of_classes_have_their_lengths_colors_and_shares(store: Store):
    figure = draw_classes(store)
    by_title = {axes.get_title(loc="left").split(":")[0]: axes for axes in figure.get_axes()}
    for mask, title in (("atom", "Backbone atoms"), ("amino", "Amino acids")):
        whole = np.concatenate(
            [store.read_map(entry.entry_id, mask).ravel() for entry in store.entries]
        )
        counts = np.bincount(whole, minlength=256)
        axes = by_title[title]
        assert len(axes.patches) == len(CLASS_COLORS[mask])
        for bar, (value, name, color) in zip(axes.patches, CLASS_COLORS[mask], strict=True):
            assert bar.get_width() == counts[value], name
            expected = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
            np.testing.assert_allclose(bar.get_facecolor()[:3], expected)
        labeled = sum(counts[value] for value, _, _ in CLASS_COLORS[mask])
        assert f"{labeled:,} of {whole.size:,} voxels" in axes.get_title(loc="left")
        said = [text.get_text() for text in axes.texts]
        first = CLASS_COLORS[mask][0][0]
        assert said[0] == f"{counts[first]:,}  ({counts[first] / labeled:.1%})"


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(ValueError, match="2 counts for 3 classes"):
        class_figure({"atom": [1, 2]}, 100)
    with pytest.raises(ValueError, match="no voxel is labeled"):
        class_figure({"atom": [0, 0, 0]}, 100)


def test_splits_come_in_the_order_of_their_use(store: Store):
    titles = [axes.get_title(loc="left") for axes in draw_splits(store).get_axes()]
    assert [title.split(",")[0] for title in titles] == ["train: 1 map", "test: 1 map"]


def test_before_and_after_have_one_gray_scale(store: Store, folder: Path):
    raw = read_density_map(folder / "in/one.map.gz")
    figure = draw_map(store, ENTRY, folder / "in/one.map.gz")
    panels = {axes.get_title(): axes for axes in figure.get_axes() if axes.images}
    before = next(axes for title, axes in panels.items() if title.startswith("Raw map, z"))
    after = next(axes for title, axes in panels.items() if title.startswith("Normalized, z"))
    divisor = store.entry(ENTRY).facts["percentile_value"]
    assert before.images[0].get_clim() == pytest.approx((0, divisor))
    assert after.images[0].get_clim() == pytest.approx((0, 1), abs=1e-5)
    z_A = float(re.search(r"= (\S+) Å", before.get_title())[1].replace("\N{MINUS SIGN}", "-"))
    plane = round((z_A - raw.origin_xyz_A[2]) / raw.voxel_size_zyx_A[0])
    distance = [np.abs(before.images[0].get_array() - one).max() for one in raw.values_zyx]
    assert abs(int(np.argmin(distance)) - plane) <= 1
    assert min(distance) == 0


@pytest.mark.parametrize("kind", ["map", "splits", "classes"])
def test_the_command_writes_a_picture_once(store: Store, tmp_path: Path, kind: str):
    picture = tmp_path / "figure.png"
    words = ["plot", kind, store.url, str(picture)] + (["--entry", ENTRY] if kind == "map" else [])
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    written = picture.stat().st_mtime_ns
    with pytest.raises(ConfigError, match="--overwrite"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert picture.stat().st_mtime_ns == written
    assert CliRunner().invoke(app, [*words, "--overwrite"]).exit_code == 0
    assert picture.stat().st_mtime_ns > written


def test_a_wrong_request_names_what_is_missing(store: Store):
    with pytest.raises(ConfigError, match=f"--entry, for example one of {ENTRY}"):
        draw(store, "map", None, None)
    with pytest.raises(ConfigError, match="whole store"):
        draw(store, "splits", ENTRY, None)
    with pytest.raises(StoreError, match="EMD-1"):
        draw(store, "map", "EMD-1", None)
    with pytest.raises(ConfigError, match=r"end its name in one of \.png"):
        CliRunner().invoke(app, ["plot", "splits", store.url, "x.gif"], catch_exceptions=False)
