"""What pages carry: packed documents, grays, volumes, and the files that a report is."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from records_store import build, write_inputs
from typer.testing import CliRunner

from c2s_data.cli import app
from c2s_data.config import make_config
from c2s_data.errors import ConfigError
from c2s_data.explore.pages.catalog_document import catalog_document
from c2s_data.explore.pages.gray import gray
from c2s_data.explore.pages.map_document import map_document
from c2s_data.explore.pages.packed import as_text, pack
from c2s_data.explore.pages.page import asset, page
from c2s_data.explore.pages.report import PROGRAMS, thumbnail, write_report
from c2s_data.explore.pages.volume import coarse_volume, first_contour, volume_codes
from c2s_data.store.reader import Store, open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("paged")
    return build(write_inputs(folder / "in"), folder / "paged.zarr", make_config("recommended"))


def unpack(packed: bytes) -> dict:
    (length,) = struct.unpack("<I", packed[:4])
    return json.loads(packed[4 : 4 + length])


def test_arrays_lie_where_the_document_says() -> None:
    first = np.arange(5, dtype="u1")
    second = np.arange(6, dtype="<f4").reshape(2, 3)
    packed = pack({"a": first, "b": [second], "text": "Å </script>", "none": float("nan")})
    document = unpack(packed)
    assert (document["text"], document["none"]) == ("Å </script>", None)
    start = 4 + struct.unpack("<I", packed[:4])[0]
    assert start % 8 == 0
    for value, told in ((first, document["a"]), (second, document["b"][0])):
        assert (told["dtype"], told["shape"]) == (value.dtype.str, list(value.shape))
        assert told["at"] % 8 == 0
        found = np.frombuffer(packed, told["dtype"], value.size, start + told["at"])
        np.testing.assert_array_equal(found, value.ravel())
    with pytest.raises(TypeError, match="cannot read an array of int64"):
        pack({"a": np.arange(3)})
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", as_text(packed))
    assert zlib.decompress(base64.b64decode(as_text(packed))) == packed


def test_gray_keeps_both_cuts_apart() -> None:
    values = np.array([-3, -1e-6, 0, 0.5, 0.9999, 1, 7], np.float32)
    assert gray(values).tolist() == [0, 0, 1, 128, 254, 255, 255]
    assert gray(np.float16([0.25])).tolist() == [64]


@pytest.mark.parametrize(
    ("row", "contour", "why"),
    [
        ({"contour_level": 0.8}, 0.4, "contour level"),
        ({"contour_level": None, "ca_density_sigma": 4.0}, 0.55, "halfway"),
        ({"contour_level": 5.0}, 0.9, "lies above the cut"),
        ({"contour_level": -1.0}, 0.02, "contour level"),
    ],
)
def test_the_first_contour(row, contour, why) -> None:
    facts = {"percentile_value": 2.0, "raw_mean": 0.1, "raw_sd": 0.5}
    found, said = first_contour(facts | row)
    assert found == pytest.approx(contour)
    assert why in said


def test_the_volume_lies_where_the_map_lies(store: Store) -> None:
    entry = store.entries[0]
    table = store.residues(entry.entry_id)
    ca_xyz_A = np.stack([table[f"ca_{axis}_A"] for axis in "xyz"], axis=1)
    density = store.read_map(entry.entry_id, "density").astype(np.float32)
    values, step_A, origin_xyz_A = coarse_volume(store, entry.entry_id, ca_xyz_A)
    assert step_A == 1
    low = np.rint(np.subtract(origin_xyz_A, entry.origin_xyz_A)).astype(int)[::-1]
    box = tuple(slice(a, a + n) for a, n in zip(low, values.shape, strict=True))
    np.testing.assert_array_equal(values, density[box])
    for max_voxels in (values.size // 4, values.size // 100, 60):
        coarse, step_A, origin_xyz_A = coarse_volume(store, entry.entry_id, ca_xyz_A, max_voxels)
        assert coarse.size <= max_voxels
        n = int(step_A)
        first = np.subtract(origin_xyz_A, entry.origin_xyz_A)[::-1] - (n - 1) / 2
        corner = np.rint(first).astype(int)
        np.testing.assert_allclose(first, corner, atol=1e-6)
        block = density[tuple(slice(a, a + n) for a in corner)]
        assert float(coarse[0, 0, 0]) == pytest.approx(float(block.mean()), abs=2e-3)


def test_solvent_costs_no_bytes() -> None:
    values = np.array([[[0.0, 0.19, 0.21, 1.0]]], np.float32)
    assert volume_codes(values, contour=0.5).tolist() == [[[0, 0, 54, 255]]]


def test_a_thumbnail_is_small_and_keeps_its_brightest() -> None:
    codes = np.zeros((10, 100, 130), np.uint8)
    codes[:, 30:33, 60:63] = 90
    small = thumbnail(codes, side=48)
    assert small.shape == (33, 43)
    assert np.unravel_index(small.argmax(), small.shape) == (10, 20)
    assert small.max() == 255
    assert thumbnail(np.zeros((3, 5, 5), np.uint8)).max() == 0


def test_histograms_count_every_voxel_once(store: Store) -> None:
    entry = store.entries[0]
    histograms = map_document(store, entry.entry_id)["histograms"]
    stored = store.statistics(entry.entry_id)
    assert histograms["raw"]["counts"].sum() == stored["raw_histogram"].sum()
    normalized = histograms["normalized"]
    n_above = normalized["n"] - normalized["n_below"] - normalized["counts"].sum()
    assert normalized["n"] == np.prod(entry.shape_zyx)
    density = store.read_map(entry.entry_id, "density")
    assert n_above == pytest.approx(normalized["n_above"], abs=0.002 * normalized["n"])
    assert normalized["n_above"] == pytest.approx((density == 1).sum())
    # Most of them lie outside the grid of the file: exactly 0 wherever 0 lies in its bin.
    n_zero = (density == 0).sum()
    assert 0.99 * n_zero < normalized["n_below"] <= n_zero


def test_a_page_names_what_may_run() -> None:
    text = page("<b>&", ("packed.js", "report.js"), {"map": "QUJD"})
    assert "<title>&lt;b&gt;&amp;</title>" in text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.count("sha256-") == 3
    assert policy.startswith("default-src 'none'; ")
    assert "connect-src 'none'" in policy


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_make_no_markup_of_text(name: str) -> None:
    source = asset(name)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", source
    )
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", source)
    assert len(source.splitlines()) <= 400


def test_a_report_never_replaces_unasked(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    assert write_report(store, out).n_pages == 2
    first = out.read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        write_report(store, out)
    with pytest.raises(ConfigError, match=r"give a name \*\.html"):
        write_report(store, tmp_path / "r.pdf")
    write_report(store, out, overwrite=True)
    assert out.read_bytes() == first, "equal stores have equal reports"
    done = write_report(store, out, inline_maps=0, overwrite=True)
    assert len(list(done.folder.iterdir())) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r_maps"]
    write_report(store, out, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_a_damaged_map_is_told_and_the_others_are_drawn(store: Store, tmp_path: Path) -> None:
    url = tmp_path / "damaged.zarr"
    import shutil

    shutil.copytree(store.url, url)
    first, second = (entry.entry_id for entry in store.entries)
    (url / "_c2s" / "statistics" / f"{first}.npz").write_bytes(b"damaged")
    asked = CliRunner().invoke(app, ["report", str(url), str(tmp_path / "r.html")])
    assert asked.exit_code == 1
    assert f"NO page: {first}" in asked.output
    done = write_report(open_store(url), tmp_path / "s.html")
    assert list(done.errors) == [first]
    assert "damaged" in done.errors[first]
    text = (tmp_path / "s.html").read_text()
    assert f'id="map-{second}"' in text
    assert f'id="map-{first}"' not in text


def test_a_store_in_a_bucket_gives_the_same_pages(store: Store, tmp_path: Path) -> None:
    import fsspec

    place = fsspec.filesystem("memory")
    for path in Path(store.url).rglob("*"):
        if path.is_file():
            place.pipe(f"/paged/paged.zarr/{path.relative_to(store.url)}", path.read_bytes())
    try:
        write_report(open_store("memory://paged/paged.zarr"), tmp_path / "bucket.html")
    finally:
        place.rm("/paged", recursive=True)
    write_report(store, tmp_path / "local.html")
    assert (tmp_path / "bucket.html").read_bytes() == (tmp_path / "local.html").read_bytes()


def test_workers_give_the_same_pages(store: Store, tmp_path: Path) -> None:
    asked = ["report", store.url, str(tmp_path / "workers.html"), "--inline-maps", "0"]
    done = CliRunner().invoke(app, [*asked, "--workers", "1", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["pages"] == 2
    write_report(store, tmp_path / "here.html", inline_maps=0)
    for path in (tmp_path / "here_maps").iterdir():
        made = (tmp_path / "workers_maps" / path.name).read_text()
        assert len(made) == pytest.approx(len(path.read_text()), abs=40)


def test_the_catalog_is_short_however_long_a_reason(store: Store) -> None:
    rows = [
        {
            **store.rows[0],
            "failure_reason": "x",
            "failure_stage": "plan",
            "failure_message": "y" * 9000,
        }
    ]
    document = catalog_document(replace(store, rows=tuple(rows)), "inline")
    assert len(document["columns"]["why"][0]) == 600
    assert document["columns"]["state"] == ["failed"]
