"""Arrays that this package did not write are refused before any chunk of them is read."""

from __future__ import annotations

import copy
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import zarr
from made_maps import made_map, made_plan

from c2s_data.errors import CorruptChunkError, StoreError
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.documents import sharded_array_document
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store
from c2s_data.store.shard import ShardSpec, chunk_bounds, decode_chunk, encode_shard, shard_index
from c2s_data.store.writer import write_entry

SPEC = ShardSpec((12, 5, 4, 3), (4, 5, 4, 3), np.dtype("f2"))
SOUND = sharded_array_document((30, 5, 4, 3), SPEC, ("subgrid", "z", "y", "x"), {})
SHARDING = ("codecs", 0, "configuration")
BLOSC = (*SHARDING, "codecs", 1, "configuration")
GRID = ("chunk_grid", "configuration", "chunk_shape")
INNER = (*SHARDING, "chunk_shape")
GONE = object()

CHANGES: list[tuple[tuple[str | int, ...], Any]] = [
    *((("zarr_format",), value) for value in (2, 4, "3", None, GONE)),
    (("node_type",), "group"),
    *((("data_type",), value) for value in ("object", "O", "|O", "string", "bool", "complex64")),
    *((("data_type",), value) for value in (">f2", "<f2", "float128", "datetime64", "int32", 7)),
    *((("data_type",), value) for value in ({"name": "struct"}, [], None, GONE)),
    *((GRID, value) for value in ([0, 5, 4, 3], [-12, 5, 4, 3], [12.0, 5, 4, 3], [True] * 4, [])),
    *(
        (GRID, value)
        for value in ("12", {}, [12, 5, 4], [13, 5, 4, 3], [2**62, 5, 4, 3], [12] * 99)
    ),
    *((GRID, value) for value in (["12", 5, 4, 3], [2**30 * 4, 5, 4, 3], None, GONE)),
    *((INNER, value) for value in ([0, 5, 4, 3], [4, 5, 4], [-4, 5, 4, 3], [8, 5, 4, 3], GONE)),
    *((("shape",), value) for value in ([-1, 5, 4, 3], [30, 5, 4], "30", [1.5, 5, 4, 3], GONE)),
    (("chunk_grid", "name"), "rectangular"),
    (("chunk_key_encoding", "name"), "v2"),
    (("chunk_key_encoding", "configuration", "separator"), "."),
    (("chunk_key_encoding", "configuration"), []),
    (("codecs",), [{"name": "bytes", "configuration": {"endian": "little"}}]),
    (("codecs",), [{"name": "transpose"}, *SOUND["codecs"]]),
    *((("codecs",), value) for value in ([], {}, "bytes", None, [1], [{}], GONE)),
    *(((*SHARDING[:2], "name"), value) for value in ("numcodecs.pickle", "sharding", None, GONE)),
    (SHARDING, None),
    (SHARDING, []),
    *(
        ((*SHARDING, "codecs", 1, "name"), value)
        for value in ("gzip", "zstd", "pickle", "vlen-utf8")
    ),
    *(((*SHARDING, "codecs", 1, "name"), value) for value in ("numcodecs.zlib", "json2", 5, GONE)),
    ((*SHARDING, "codecs", 2), GONE),
    ((*SHARDING, "codecs", 2, "name"), "adler32"),
    ((*SHARDING, "codecs", 0, "configuration", "endian"), "big"),
    ((*SHARDING, "codecs", 0, "configuration", "endian"), None),
    ((*SHARDING, "codecs", 0, "configuration"), None),
    ((*SHARDING, "codecs", 0), "bytes"),
    ((*SHARDING, "index_codecs", 0, "configuration", "endian"), "big"),
    ((*SHARDING, "index_codecs", 1), GONE),
    ((*SHARDING, "index_codecs"), []),
    ((*SHARDING, "index_location"), "start"),
    *(((*BLOSC, "cname"), value) for value in ("snappy", "zlib", "blosclz", "lz4hc", [], GONE)),
    *(((*BLOSC, "shuffle"), value) for value in ("bitshuffle", "noshuffle", 1, None, GONE)),
    *(((*BLOSC, "typesize"), value) for value in (0, 1, 4, -2, 2**40, "2")),
    (("storage_transformers",), [{"name": "pickle"}]),
    (("storage_transformers",), {"name": "x"}),
    (("filters",), [{"id": "pickle"}]),
    (("new_extension",), {"must_understand": True}),
    (("new_extension",), "x"),
]


def changed(path: tuple[str | int, ...], value: Any, sound: dict[str, Any] = SOUND) -> Any:
    document = copy.deepcopy(sound)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    if value is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


@pytest.mark.parametrize(("path", "value"), CHANGES)
def test_any_other_document_is_refused(path: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises(StoreError, match="no c2s_data wrote"):
        ShardSpec.from_metadata(changed(path, value))


@pytest.mark.parametrize("document", [[], "x", 7, None, {}, {"zarr_format": 3}, [SOUND]])
def test_what_is_no_document_is_refused(document: Any) -> None:
    with pytest.raises(StoreError, match="no c2s_data wrote"):
        ShardSpec.from_metadata(document)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("attributes",), {"anything": [1, 2]}),
        (("dimension_names",), GONE),
        (("storage_transformers",), GONE),
        (("fill_value",), 1.0),
        (("optional_extension",), {"must_understand": False}),
        ((*SHARDING, "index_location"), GONE),
        (("chunk_key_encoding", "configuration"), GONE),
    ],
)
def test_what_changes_nothing_about_the_bytes_is_read(path: tuple[str, ...], value: Any) -> None:
    assert ShardSpec.from_metadata(changed(path, value)) == SPEC


def test_chunks_without_a_compressor_keep_their_checksum() -> None:
    inner = (*SHARDING, "codecs")
    little, blosc, crc32c = SOUND["codecs"][0]["configuration"]["codecs"]
    plain = ShardSpec.from_metadata(changed(inner, [little, crc32c]))
    assert plain == ShardSpec(SPEC.shard_shape, SPEC.chunk_shape, SPEC.dtype, "none")
    document = sharded_array_document((30, 5, 4, 3), plain, ("subgrid", "z", "y", "x"), {})
    assert document == changed(inner, [little, crc32c])
    big = {"name": "bytes", "configuration": {"endian": "big"}}
    for codecs in (
        [little],
        [crc32c],
        [crc32c, little],
        [little, crc32c, crc32c],
        [little, crc32c, blosc],
        [big, crc32c],
        [{"name": "bytes"}, crc32c],
        [little, {"name": "adler32"}],
    ):
        with pytest.raises(StoreError, match="no c2s_data wrote"):
            ShardSpec.from_metadata(changed(inner, codecs))


def test_a_plain_array_of_bytes_has_no_byte_order() -> None:
    spec = ShardSpec((4, 6), (2, 3), np.dtype("u1"), "none")
    document = sharded_array_document((7, 6), spec, ("a", "b"), {})
    assert ShardSpec.from_metadata(document) == spec
    document["codecs"][0]["configuration"]["codecs"][0] = {"name": "bytes"}
    assert ShardSpec.from_metadata(document) == spec


def test_chunks_up_to_256_mebibytes() -> None:
    side, largest = 2**22, 2**20 * 256 // 2
    for rows, fits in ((largest, True), (largest + 1, False)):
        document = changed(GRID, [rows])
        document["codecs"][0]["configuration"]["chunk_shape"] = [rows]
        document["shape"] = [side]
        if fits:
            assert ShardSpec.from_metadata(document).chunk_nbytes == 256 * 2**20
        else:
            with pytest.raises(StoreError, match="beyond any store"):
                ShardSpec.from_metadata(document)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_that_zarr_writes_by_default_are_refused(tmp_path: Path, zarr_format: int) -> None:
    zarr.create_array(tmp_path, shape=(8, 4), chunks=(4, 4), dtype="f2", zarr_format=zarr_format)
    (name,) = {".zarray", "zarr.json"} & {path.name for path in tmp_path.iterdir()}
    with pytest.raises(StoreError, match="no c2s_data wrote"):
        ShardSpec.from_metadata(json.loads((tmp_path / name).read_text()))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committed store of one small map."""
    path, plan = tmp_path_factory.mktemp("metadata") / "made.zarr", made_plan(shapes=((9, 10, 11),))
    objects = open_objects(path)
    begin_store(objects, plan)
    (planned,) = plan.entries
    write_entry(objects, Layout.of(plan.config), planned, made_map(planned, plan.config))
    commit(objects, plan)
    return path


def edit(document: Path, change) -> None:
    content = json.loads(document.read_text())
    document.write_text(json.dumps(change(content)))


HOSTILE = [
    (("zarr_format",), 2),
    (("data_type",), "object"),
    ((*SHARDING, "codecs", 1, "name"), "numcodecs.pickle"),
    ((*SHARDING, "codecs", 1, "name"), "gzip"),
    (("storage_transformers",), [{"name": "x"}]),
    (GRID, [2**20, 2**20, 2**20, 2**20]),
    (INNER, [0, 32, 32, 32]),
]


@pytest.mark.parametrize(("path", "value"), HOSTILE)
def test_a_store_is_refused_before_any_chunk_is_read(
    store: Path, tmp_path: Path, path: tuple[str, ...], value: Any
) -> None:
    copied = tmp_path / "copied.zarr"
    shutil.copytree(store, copied)
    for chunks in copied.glob("**/density/c"):
        shutil.rmtree(chunks)  # whoever reads a chunk now meets MissingChunkError

    def within(content: dict[str, Any]) -> dict[str, Any]:
        arrays = content["consolidated_metadata"]["metadata"]
        arrays["density"] = changed(path, value, arrays["density"])
        return content

    edit(copied / "subgrids/zarr.json", within)
    edit(
        copied / "maps/MADE-0/s0/density/zarr.json",
        lambda content: changed(path, value[:3] if path in (GRID, INNER) else value, content),
    )
    opened = open_store(copied)
    assert opened.subgrid_spec("ca").chunk_shape == (16, 32, 32, 32)
    with pytest.raises(StoreError, match="no c2s_data wrote"):
        opened.read_shard_rows("density", 0, 0, 1, np.empty((1, 32, 32, 32), "f2"))
    with pytest.raises(StoreError, match="no c2s_data wrote"):
        opened.read_map("MADE-0", "density")


@pytest.mark.parametrize("claimed", [0, 1, 239, 241, 2**20, 2**31 - 1, 2**32 - 1])
@pytest.mark.parametrize("field", [4, 8, 12])
def test_a_chunk_that_claims_another_size_is_refused(claimed: int, field: int) -> None:
    """Total, block and compressed size of blosc's header, under a checksum that is right."""
    blob = encode_shard(np.random.default_rng(0).random(SPEC.shard_shape).astype("f2"), SPEC)
    _, start, stop = next(chunk_bounds(shard_index(blob, SPEC), range(1)))
    body = bytearray(blob[start : stop - 4])
    assert struct.unpack_from("<I", body, 4)[0] == SPEC.chunk_nbytes == 480
    body[field : field + 4] = struct.pack("<I", claimed)
    chunk = bytes(body) + struct.pack("<I", google_crc32c.value(bytes(body)))
    out = np.empty(SPEC.chunk_shape, "f2")
    if field == 8 and 0 < claimed <= 480:  # blocks of another size: these bytes lie there as such
        decode_chunk(chunk, SPEC, out)
        assert out.tobytes() == bytes(body[16:])
        return
    with pytest.raises(CorruptChunkError):
        decode_chunk(chunk, SPEC, out)
