"""Maps whose volumes lie in temporary files: the same bytes as in memory, and little memory."""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mrc_files import map_bytes, write

from c2s_data import scratch
from c2s_data.build import build_entry
from c2s_data.config import BuildConfig, make_config
from c2s_data.errors import MapError, MapReason
from c2s_data.plan import PlannedEntry, make_plan
from c2s_data.scratch import scratch_array, scratch_folder
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.sources.density_map import read_density_map, write_density_map
from c2s_data.sources.procedural.protein import procedural_protein
from c2s_data.sources.simulate import simulated_map
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.writer import write_entry
from c2s_data.transforms import paging
from c2s_data.transforms.paging import batches, is_paged, release, slabs

MAPS = {
    "plain": ("x.mrc", (1.1, 0.83, 1.3), np.float32),
    "gz": ("x.mrc.gz", (0.71, 0.9, 0.77), np.float32),
    "at 1 A": ("x.mrc", (1.0, 1.0, 1.0), np.float32),
    "of integers": ("x.mrc", (1.21, 0.83, 1.0), np.int16),
}


@pytest.fixture(autouse=True)
def tiny_slabs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make small maps pass through many slabs, in files of this test's own folder."""
    monkeypatch.setattr(paging, "SLAB_BYTES", 100_000)
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def write_pair(folder: Path, kind: str) -> CatalogEntry:
    """Write a protein in an unequal box off the origin, empty on one side."""
    name, voxel_zyx_A, dtype = MAPS[kind]
    structure = procedural_protein(5, 90)
    made = simulated_map(
        structure, np.random.default_rng(3), voxel_size_zyx_A=voxel_zyx_A, volume_ratio=3
    )
    values = made.values_zyx.copy()
    values[:, : values.shape[1] // 5] = 0  # as outside of a mask
    if dtype == np.int16:
        values = np.rint(values * (300 / values.max())).astype(np.float32)
    write_density_map(folder / name, replace(made, values_zyx=values), dtype=dtype)
    structure.write_pdb(str(folder / "x.pdb"))
    return CatalogEntry("X", str(folder / name), str(folder / "x.pdb"), 3.0)


def objects_of(planned: PlannedEntry, config: BuildConfig, store: Path) -> dict[str, str]:
    made = build_entry(planned, config)
    assert is_paged(made.density_zyx) == planned.paged
    receipt = write_entry(open_objects(str(store)), Layout.of(config), planned, made)
    return {item.key: item.sha256 for item in receipt.objects} | {"facts": repr(receipt.facts)}


@pytest.mark.parametrize("preset", ["paper", "released", "recommended"])
@pytest.mark.parametrize("kind", MAPS)
def test_a_map_from_files_is_stored_as_one_in_memory(
    tmp_path: Path, preset: str, kind: str
) -> None:
    entry, config = write_pair(tmp_path, kind), make_config(preset)
    (planned,) = make_plan([entry], config).entries
    assert len(set(planned.shape_zyx)) == 3
    assert any(planned.origin_xyz_A)
    expected = objects_of(planned, config, tmp_path / "memory.zarr")
    found = objects_of(replace(planned, paged=True), config, tmp_path / "files.zarr")
    assert len(expected) > 20
    assert found == expected


@pytest.mark.parametrize("axes", [(1, 2, 3), (3, 1, 2), (3, 2, 1)])
@pytest.mark.parametrize("mode", [1, 2])
def test_a_map_is_read_into_a_file_whatever_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: tuple[int, int, int], mode: int
) -> None:
    monkeypatch.setattr(paging, "SLAB_BYTES", 4)
    values = np.random.default_rng(3).permutation(17 * 19 * 23).reshape(17, 19, 23).astype("f4")
    path = write(tmp_path / "x.map", map_bytes(values, axes=axes, mode=mode))
    found = read_density_map(path, allocate=scratch_array).values_zyx
    assert is_paged(found)
    np.testing.assert_array_equal(found, values)


def resident_bytes() -> int:
    """Return how much of the files that are mapped is in memory."""
    status = Path("/proc/self/status").read_text()
    return sum(1024 * int(status.split(f"{key}:")[1].split()[0]) for key in ("RssFile", "RssShmem"))


def test_what_was_touched_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "SLAB_BYTES", 2**21)
    values = scratch_array((64, 512, 512), np.float32)  # 64 MiB
    before = resident_bytes()
    most = 0
    for some in slabs(len(values), values):
        values[some] = some.start
        most = max(most, resident_bytes() - before)
    assert 2**20 <= most <= 2**23
    assert resident_bytes() - before < 2**20
    view = values.reshape(-1)[1:].view(np.uint32)
    assert values.sum(dtype=np.float64) == 512 * 512 * 8 * sum(range(0, 64, 8))
    assert resident_bytes() - before > 2**25
    release(view)
    assert resident_bytes() - before < 2**20


def test_slabs_and_batches_cover_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    in_memory, paged = np.zeros((50, 10, 10), np.float32), scratch_array((50, 10, 10), np.float32)
    assert list(slabs(50, in_memory)) == [slice(0, 50)] == list(batches(50, in_memory))
    assert list(slabs(0, in_memory)) == [] == list(batches(0, paged))
    monkeypatch.setattr(paging, "SLAB_BYTES", 16 * 400)
    assert list(slabs(50, paged, in_memory)) == [
        slice(0, 16), slice(16, 32), slice(32, 48), slice(48, 50),
    ]  # fmt: skip
    assert next(slabs(50, paged, paged)) == slice(0, 8)
    monkeypatch.setattr(paging, "SLAB_BYTES", 7 * 2 * (2 * 40 + 2**17))
    assert list(batches(20, paged)) == [slice(0, 7), slice(7, 14), slice(14, 20)]
    assert next(batches(20, paged, planes=3.5, rows=2)) == slice(0, 4)
    assert next(batches(20, paged, planes=1e9)) == slice(0, 1)


def test_a_full_disk_quarantines_the_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, start: int, nbytes: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    entry, config = write_pair(tmp_path, "plain"), make_config("paper")
    (planned,) = make_plan([entry], config).entries
    with pytest.raises(
        MapError, match=r"no temporary file of 0\.00 GB .* No space left .* TMPDIR"
    ) as caught:
        build_entry(replace(planned, paged=True), config)
    assert caught.value.reason == MapReason.SCRATCH_SPACE
    assert list(tmp_path.glob("c2s-*")) == []


def test_large_files_go_where_a_disk_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert scratch_folder() == str(tmp_path)
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(scratch, "_ON_A_DISK", str(tmp_path / "disk"))
    assert scratch_folder() == tempfile.gettempdir()
    (tmp_path / "disk").mkdir()
    assert scratch_folder() == str(tmp_path / "disk")
