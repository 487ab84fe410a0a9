"""A store whose density is not compressed holds what any other holds, and tells of damage."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from made_maps import made_map, made_plan
from memory_objects import MemoryObjects
from typer.testing import CliRunner

from c2s_data.cli import app
from c2s_data.config import make_config
from c2s_data.errors import CorruptChunkError
from c2s_data.plan import predicted_store_bytes
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout, map_shard_shape, n_map_shards
from c2s_data.store.map_reader import MapReader
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store
from c2s_data.store.shard import chunk_bounds, shard_index
from c2s_data.store.verify import verify
from c2s_data.store.writer import write_entry

MASKS = ("atom", "ca", "amino", "secondary")


def invoke(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(part) for part in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def built(demo_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Stores of one simulated map, by codec, made on the command line."""
    folder = tmp_path_factory.mktemp("built")
    one = read_catalog(demo_catalog)[0]
    catalog = folder / "one.csv"
    header = "entry_id,map,model,resolution_A"
    catalog.write_text(f"{header}\n{one.entry_id},{one.map},{one.model},{one.resolution_A}\n")
    stores = {codec: folder / f"{codec}.zarr" for codec in ("lz4", "none")}
    for codec, store in stores.items():
        invoke("plan", catalog, store, "--codec", codec)
        invoke("build", catalog, store, "--part", "1/1")
        invoke("commit", store)
    return stores


def test_both_stores_hold_the_same_values(built: dict[str, Path]) -> None:
    lz4, plain = (open_store(built[codec]) for codec in ("lz4", "none"))
    (entry,) = plain.entries
    assert entry.n_subgrids > 8
    assert len(set(entry.shape_zyx)) > 1
    assert any(entry.origin_xyz_A)
    for array in ("density", *MASKS):
        for level in range(3 if array == "density" else 1):
            values = plain.read_map(entry.entry_id, array, level)
            np.testing.assert_array_equal(values, lz4.read_map(entry.entry_id, array, level))
            assert values.any()
        ours, theirs = (
            zarr.open_array(store.url, path=f"subgrids/{array}", mode="r")[...]
            for store in (plain, lz4)
        )
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(plain.index(), lz4.index(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_both_stores_have_one_digest_of_content(built: dict[str, Path]) -> None:
    lz4, plain = (verify(open_objects(path), "full") for path in built.values())
    assert lz4.faults == plain.faults == ()
    assert lz4.decoded_sha256 == plain.decoded_sha256 is not None
    assert lz4.stored_sha256 != plain.stored_sha256


def test_only_density_is_plain(built: dict[str, Path]) -> None:
    store = open_store(built["none"])
    (entry,) = store.entries
    found = {}
    for path in built["none"].rglob("zarr.json"):
        document = json.loads(path.read_text())
        codec = document.get("codecs", [{}])[0]
        if codec.get("name") == "sharding_indexed":
            inner = [one["name"] for one in codec["configuration"]["codecs"]]
            found[path.parent.relative_to(built["none"]).as_posix()] = inner
    maps = f"maps/{entry.entry_id}"
    plain = {"subgrids/density"} | {f"{maps}/s{level}/density" for level in range(3)}
    assert {name for name, inner in found.items() if inner == ["bytes", "crc32c"]} == plain
    rest = {name: inner for name, inner in found.items() if name not in plain}
    of_masks = {f"{group}/{name}" for group in ("subgrids", f"{maps}/s0") for name in MASKS}
    assert rest == {key: ["bytes", "blosc", "crc32c"] for key in of_masks}
    codecs = {name: store.subgrid_spec(name).compressor for name in ("density", *MASKS)}
    assert codecs == {"density": "none"} | dict.fromkeys(MASKS, "lz4")


def test_xarray_opens_it(built: dict[str, Path]) -> None:
    (entry,) = open_store(built["none"]).entries
    path = f"maps/{entry.entry_id}/s0"
    levels = [xr.open_zarr(store / path, consolidated=False) for store in built.values()]
    xr.testing.assert_identical(levels[0].load(), levels[1].load())


def test_full_finds_a_flipped_byte(built: dict[str, Path]) -> None:
    stored = {}
    objects = open_objects(built["none"])
    for key, _ in objects.walk():
        stored[key] = objects.get(key)
    layout = Layout.of(make_config(compressor="none"))
    (entry,) = open_store(built["none"]).entries
    specs = {
        "subgrids/density/c/0/0/0/0": layout.subgrid_spec("density"),
        f"maps/{entry.entry_id}/s0/density/c/0/0/0": layout.map_spec("density", entry.shape_zyx),
    }
    for key, spec in specs.items():
        _, start, stop = list(chunk_bounds(shard_index(stored[key], spec), range(2)))[1]
        for byte in (start, stop - 5, stop - 1):
            changed = bytearray(stored[key])
            changed[byte] ^= 8
            for level in ("default", "full"):
                report = verify(MemoryObjects(stored | {key: bytes(changed)}), level)
                places = {(f.kind, f.key, f.chunk, f.offset, f.nbytes) for f in report.faults}
                assert ("changed", key, 1, start, spec.chunk_nbytes + 4) in places
                assert {f.key for f in report.faults} == {key}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    plan = made_plan(make_config("paper", compressor="none"), ((41, 33, 52),))
    objects = open_objects(tmp_path / "made.zarr")
    begin_store(objects, plan)
    (planned,) = plan.entries
    write_entry(objects, Layout.of(plan.config), planned, made_map(planned, plan.config))
    commit(objects, plan)
    return tmp_path / "made.zarr"


def test_chunks_of_maps_are_read(made: Path) -> None:
    store = open_store(made)
    chunk_zyx = np.array([[0, 1, 0], [1, 0, 1]])
    for array in ("density", "atom"):
        reader = MapReader(store, (array,))
        whole = np.zeros((64, 64, 64), reader.dtypes[array])
        whole[:41, :33, :52] = store.read_map("MADE-0", array)
        out = np.full((2, 32, 32, 32), 9, whole.dtype)
        reader.read(store.entries[0], array, chunk_zyx, out)
        for (z, y, x), values in zip(32 * chunk_zyx, out, strict=True):
            np.testing.assert_array_equal(values, whole[z : z + 32, y : y + 32, x : x + 32])
        box = store.map_array("MADE-0", array).read((slice(5, 40), slice(30, 33), slice(0, 52)))
        np.testing.assert_array_equal(box, whole[5:40, 30:33, :52])


def test_damage_is_found_by_who_reads_a_map(made: Path) -> None:
    path = made / "maps/MADE-0/s0/density/c/0/0/0"
    changed = bytearray(path.read_bytes())
    changed[70_000] ^= 1  # of the second chunk, which has 65,536 bytes and 4
    path.write_bytes(changed)
    store = open_store(made)
    expected = r"maps/MADE-0/s0/density/c/0/0/0.*chunk 1 fails its crc32c"
    with pytest.raises(CorruptChunkError, match=expected):
        store.read_map("MADE-0", "density")
    out = np.empty((1, 32, 32, 32), "f2")
    reader = MapReader(store, ("density",))
    reader.read(store.entries[0], "density", np.array([[1, 0, 0]]), out)
    with pytest.raises(CorruptChunkError, match=expected):
        reader.read(store.entries[0], "density", np.array([[0, 0, 1]]), out)


@pytest.mark.parametrize("compressor", ["lz4", "zstd", "none"])
def test_the_layout_says_how_each_array_is_compressed(compressor: str) -> None:
    config = make_config("recommended", compressor=compressor, extra_masks=("ignore", "nucleic"))
    layout = Layout.of(config)
    of_masks = "lz4" if compressor == "none" else compressor
    for array in layout.arrays:
        expected = compressor if array == "density" else of_masks
        assert layout.compressor_of(array) == expected
        assert layout.subgrid_spec(array).compressor == expected
        assert layout.map_spec(array, (33, 40, 70)).compressor == expected


def density_bytes(walk: Callable) -> int:
    return sum(nbytes for key, nbytes in walk() if "/density/c/" in key)


@pytest.mark.parametrize(
    ("shape_zyx", "options"),
    [
        ((41, 33, 52), {}),
        ((3, 1, 700), {}),
        ((2, 514, 40), {"density_dtype": "float32"}),
        ((170, 165, 130), {}),
        ((41, 33, 52), {"box": 16, "core": 10}),
    ],
)
def test_every_byte_of_plain_density_is_foretold(
    shape_zyx: tuple[int, int, int], options: dict[str, object]
) -> None:
    config = make_config("paper", compressor="none", **options)
    plan = made_plan(config, (shape_zyx,))
    (planned,) = plan.entries
    objects = MemoryObjects()
    write_entry(objects, Layout.of(config), planned, made_map(planned, config))
    foretold = predicted_store_bytes(1, 1, shape_zyx, planned.n_subgrids, config)
    masks = 340_000 + 830 * planned.n_subgrids
    assert foretold - masks == density_bytes(objects.walk)
    # How well the file of the map is compressed does not matter.
    assert foretold == predicted_store_bytes(9, 2, shape_zyx, planned.n_subgrids, config)


def test_the_size_of_a_built_store_is_foretold(built: dict[str, Path]) -> None:
    """Also beside the density: documents, masks and tables."""
    found = sum(nbytes for _, nbytes in open_objects(built["none"]).walk())
    (entry,) = open_store(built["none"]).entries
    config = make_config("paper", compressor="none")
    foretold = predicted_store_bytes(1, 1, entry.shape_zyx, entry.n_subgrids, config)
    assert 0.9 <= foretold / found <= 1.1


def test_a_large_map_is_foretold_in_whole_shards() -> None:
    shape_zyx = (513, 600, 40)
    shard = math.prod(map_shard_shape(shape_zyx)) * math.prod(n_map_shards(shape_zyx))
    assert shard == 1024 * 1024 * 64
    config = make_config("paper", compressor="none")
    foretold = predicted_store_bytes(1, 1, shape_zyx, 0, config) - 340_000
    voxels = shard + 256 * 320 * 32 + 128 * 160 * 32
    assert foretold == 2 * voxels + 20 * voxels // 32**3 + 4 * (4 + 1 + 1)
