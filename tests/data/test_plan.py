"""The plan: ranges, refusals, parts, predictions, and its document."""

from __future__ import annotations

import io
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from rich.console import Console

from c2s_data.config import make_config
from c2s_data.console import print_plan
from c2s_data.errors import ConfigError, StoreError
from c2s_data.plan import make_plan, rows_per_chunk, rows_per_shard
from c2s_data.plan_document import plan_document, plan_from_document
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.task_memory import scratch_bytes

MODEL = "data_x\n"


def write_map(path: Path, shape_zyx: tuple[int, int, int], voxel_A: float, origin=(0, 0, 0)) -> str:
    values = np.random.default_rng(0).standard_normal(shape_zyx, dtype=np.float32)
    with mrcfile.new(path, values, overwrite=True) as file:
        file.voxel_size = voxel_A
        file.header.origin = origin
    return str(path)


@pytest.fixture
def catalog(tmp_path: Path) -> list[CatalogEntry]:
    model = tmp_path / "model.cif"
    model.write_text(MODEL)
    maps = [
        write_map(tmp_path / "a.mrc", (40, 60, 50), 2.5, (1, 2, 3)),
        write_map(tmp_path / "b.mrc", (90, 120, 100), 2.0),
        str(tmp_path / "missing.mrc"),
        write_map(tmp_path / "c.mrc", (20, 30, 25), 1.0),
    ]
    return [CatalogEntry(f"E{i}", path, str(model), 3.0) for i, path in enumerate(maps)]


def test_ranges_follow_from_headers_alone(catalog: list[CatalogEntry]) -> None:
    plan = make_plan(catalog, make_config("recommended"))
    a, b, missing, c = plan.entries
    assert (a.shape_zyx, a.origin_xyz_A) == ((100, 150, 125), (1.0, 2.0, 3.0))
    assert (a.n_subgrids, a.n_shards) == (5 * 8 * 7, 1)
    assert (b.shape_zyx, b.n_subgrids, b.n_shards) == ((180, 240, 200), 9 * 12 * 10, 3)
    assert (a.first_subgrid, b.first_subgrid, c.first_subgrid) == (0, 512, 2048)
    assert (missing.failure.stage, missing.failure.reason) == ("plan", "not-found")
    assert missing.n_subgrids == missing.n_shards == 0
    assert plan.n_rows == 2560
    assert [entry.entry_id for entry in plan.buildable] == ["E0", "E1", "E3"]


def test_missing_model_is_a_failure_of_its_entry(catalog: list[CatalogEntry]) -> None:
    Path(catalog[0].model).unlink()
    plan = make_plan(catalog[:1], make_config())
    assert plan.entries[0].failure.reason == "not-found"
    assert "model.cif" in plan.entries[0].failure.message


def test_too_large_for_a_task_is_paged_or_refused_without_reading_it(
    catalog: list[CatalogEntry],
) -> None:
    config = make_config("paper")
    small, large = (e.predicted_memory_bytes for e in make_plan(catalog, config).entries[:2])
    assert small < large
    between = (small + large) // 2
    tracemalloc.start()
    plan = make_plan(catalog, config, task_memory_bytes=between)
    refusing = make_plan(catalog, config, task_memory_bytes=10**8)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6
    paged = plan.entries[1]
    assert [entry.paged for entry in plan.entries] == [False, True, False, False]
    assert paged.predicted_memory_bytes < between
    assert paged.fingerprint == make_plan(catalog, config).entries[1].fingerprint
    refused = refusing.entries[1]
    assert refused.failure.reason == "task-memory"
    assert "--task-memory 0.10 GB" in refused.failure.message
    assert (refused.n_subgrids, refused.paged) == (0, False)


def test_padding_that_is_not_compressed_is_counted(catalog: list[CatalogEntry]) -> None:
    lz4, plain = (make_plan(catalog, make_config(compressor=codec)) for codec in ("lz4", "none"))
    small, other = lz4.entries[3], plain.entries[3]
    assert small.n_subgrids == other.n_subgrids == 1 * 2 * 2
    shard = 512 * 32**3 * 2
    assert small.predicted_bytes < shard < other.predicted_bytes < 1.1 * shard
    # A task writes one shard and holds it twice more while the next one is made.
    added = other.predicted_memory_bytes - small.predicted_memory_bytes
    assert added == pytest.approx(3 * shard, rel=0.02)


def test_what_goes_through_files_is_told(catalog: list[CatalogEntry]) -> None:
    config, out = make_config("paper"), io.StringIO()
    plan = make_plan(catalog, config)
    print_plan(Console(file=out, width=200), plan)
    assert "temporary files" not in out.getvalue()
    small, large = (entry.predicted_memory_bytes for entry in plan.entries[:2])
    paged = make_plan(catalog, config, task_memory_bytes=(small + large) // 2)
    print_plan(Console(file=out, width=200), paged)
    # The 1 A grid of 180 x 240 x 200 voxels, as float32 and as float16.
    assert scratch_bytes(paged.entries[1].source_shape_zyx, (180, 240, 200), config) == 51_840_000
    assert "1 of them through temporary files of up to 0.1 GB in the worker's $TMPDIR" in (
        out.getvalue()
    )


@pytest.mark.parametrize(
    ("shape_zyx", "preset", "expected"),
    [
        ((40, 50, 60), "released", 4 * (30 * 40 * 50 + 40 * 50 * 60)),  # a map and its 1 A grid
        ((40, 50, 60), "paper", (4 + 2) * 40 * 50 * 60),  # the grid, and as it is stored
        ((30, 40, 50), "paper", (4 + 2) * 30 * 40 * 50),  # as read, and as stored
        ((30, 40, 50), "released", 4 * 30 * 40 * 50),  # scaled in its place
    ],
)
def test_temporary_files_hold_two_volumes_at_most(
    shape_zyx: tuple[int, int, int], preset: str, expected: int
) -> None:
    assert scratch_bytes((30, 40, 50), shape_zyx, make_config(preset)) == expected


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_parts_hold_every_entry_once(catalog: list[CatalogEntry], parts: int) -> None:
    plan = make_plan(catalog, make_config())
    ids = [entry.entry_id for i in range(parts) for entry in plan.part(i + 1, parts)]
    assert sorted(ids) == ["E0", "E1", "E3"]


@pytest.mark.parametrize(("number", "parts"), [(0, 3), (4, 3)])
def test_part_numbers_are_checked(catalog: list[CatalogEntry], number: int, parts: int) -> None:
    with pytest.raises(ConfigError, match="counts from 1"):
        make_plan(catalog, make_config()).part(number, parts)


def test_document_round_trip(catalog: list[CatalogEntry]) -> None:
    plan = make_plan(catalog, make_config("released", box=24, core=12))
    stored = json.loads(json.dumps(plan_document(plan), allow_nan=False))
    assert plan_from_document(stored) == plan
    with pytest.raises(StoreError, match="cannot be read"):
        plan_from_document({})


@pytest.mark.parametrize(
    ("change", "is_another_build"),
    [
        ({"pdb_id": "7kjr"}, True),
        ({"resolution_A": None}, True),
        ({"origin": "nstart"}, True),
        ({"assembly": "1"}, True),
        ({"split": "test"}, False),
        ({"contour_level": 0.7}, False),
        ({"metadata": {"title": "Another"}}, False),
    ],
)
def test_what_a_map_is_built_from_decides_its_fingerprint(
    catalog: list[CatalogEntry], change: dict[str, object], is_another_build: bool
) -> None:
    old = make_plan(catalog[:2], make_config())
    new = make_plan([replace(catalog[0], **change), catalog[1]], make_config())
    assert (old.entries[0].fingerprint != new.entries[0].fingerprint) == is_another_build
    assert (old.fingerprint != new.fingerprint) == is_another_build
    assert old.entries[1] == new.entries[1]


def test_same_inputs_in_another_folder_are_the_same_plan(
    catalog: list[CatalogEntry], tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in tmp_path.glob("*.*"):
        (moved / path.name).write_bytes(path.read_bytes())
    there = [
        CatalogEntry(e.entry_id, str(moved / Path(e.map).name), str(moved / "model.cif"), 3.0)
        for e in catalog
    ]
    assert (
        make_plan(there, make_config()).fingerprint == make_plan(catalog, make_config()).fingerprint
    )


@pytest.mark.parametrize(
    ("box", "chunk", "shard"), [(32, 16, 512), (64, 2, 64), (16, 128, 4096), (128, 1, 32)]
)
def test_shards_of_any_box_hold_about_as_many_bytes(box: int, chunk: int, shard: int) -> None:
    assert rows_per_chunk(box) == chunk
    assert rows_per_shard(box) == shard
