"""Runs of rows from files and over a network: links, pipes, and bytes that were hurt on the way."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import numpy as np
import pytest

from c2s_data.errors import CorruptChunkError, MissingChunkError, StoreError
from c2s_data.store.objects import RemoteObjects
from c2s_data.store.shard import ShardSpec, encode_shard
from c2s_data.store.shard_encoder import crc_bytes
from c2s_data.store.subgrid_reader import SubgridReader

SPEC = ShardSpec((12, 4, 3, 2), (3, 4, 3, 2), np.dtype("f2"))
KEY = "subgrids/a/c/0/0/0/0"


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(3).random(SPEC.shard_shape).astype("f2")


@pytest.fixture
def store(tmp_path: Path, values: np.ndarray) -> Path:
    shard = tmp_path / "store" / KEY
    shard.parent.mkdir(parents=True)
    shard.write_bytes(encode_shard(values, SPEC))
    return tmp_path / "store"


def read(reader: SubgridReader, start: int = 2, stop: int = 11) -> np.ndarray:
    out = np.empty((stop - start, *SPEC.chunk_shape[1:]), SPEC.dtype)
    reader.read_rows(0, start, stop, out)
    return out


@pytest.mark.parametrize("link", ["subgrids", "subgrids/a", "subgrids/a/c/0/0/0", KEY])
def test_no_shard_is_read_through_a_link(store: Path, tmp_path: Path, link: str) -> None:
    place = store / link
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    reader = SubgridReader(f"{store}/subgrids/a", SPEC, root=store)
    with pytest.raises(StoreError, match=f"{place}: a symbolic link inside a store is refused"):
        read(reader)


def test_the_root_may_be_a_link(store: Path, tmp_path: Path, values: np.ndarray) -> None:
    (tmp_path / "name").symlink_to(store)
    reader = SubgridReader(tmp_path / "name/subgrids/a", SPEC, root=tmp_path / "name")
    np.testing.assert_array_equal(read(reader), values[2:11])
    np.testing.assert_array_equal(read(SubgridReader(store / "subgrids/a", SPEC)), values[2:11])
    with pytest.raises(ValueError, match="is not in"):
        SubgridReader(store / "subgrids/a", SPEC, root=tmp_path / "nam")


def test_folders_are_looked_at_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = SubgridReader(store / "subgrids/a", SPEC, root=store)
    read(reader)
    monkeypatch.setattr(os, "lstat", None)
    read(reader)


def test_a_pipe_in_place_of_a_shard_is_refused_at_once(store: Path) -> None:
    (store / KEY).unlink()
    os.mkfifo(store / KEY)
    with pytest.raises(StoreError, match="0/0/0/0: not a file"):
        read(SubgridReader(store / "subgrids/a", SPEC))


def test_a_file_url_may_hold_escaped_letters(store: Path, values: np.ndarray) -> None:
    renamed = store.rename(store.with_name("a b"))
    reader = SubgridReader(f"file://{str(renamed).replace(' ', '%20')}/subgrids/a", SPEC)
    np.testing.assert_array_equal(read(reader), values[2:11])


class HurtOnTheWay:
    """Flips one bit of what comes back, the first ``times`` times for each method."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str, times: int) -> None:
        self.calls, plain = 0, getattr(RemoteObjects, method)

        def hurt(objects: RemoteObjects, *arguments: object) -> bytes:
            data = plain(objects, *arguments)
            self.calls += 1
            if self.calls > times:
                return data
            changed = bytearray(data)
            changed[len(data) // 2] ^= 4
            return bytes(changed)

        monkeypatch.setattr(RemoteObjects, method, hurt)


@pytest.fixture
def remote(store: Path, tmp_path: Path) -> SubgridReader:
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"/{tmp_path.name}/{KEY}", (store / KEY).read_bytes())
    url = f"memory://{tmp_path.name}"
    # As if much more than is read lay in the shard, or it would come whole.
    much = np.full(8, 100 * SPEC.shard_shape[0])
    return SubgridReader(f"{url}/subgrids/a", SPEC, root=url, rows_in_use=much)


@pytest.mark.parametrize("method", ["tail", "span"])
def test_what_was_hurt_on_the_way_is_fetched_again(
    remote: SubgridReader, values: np.ndarray, monkeypatch, method: str
) -> None:
    hurt = HurtOnTheWay(monkeypatch, method, times=2)
    np.testing.assert_array_equal(read(remote), values[2:11])
    assert hurt.calls == 3


@pytest.mark.parametrize("times", [2, 99])
def test_a_whole_shard_that_was_hurt_is_fetched_again(
    remote: SubgridReader, values: np.ndarray, monkeypatch, times: int
) -> None:
    whole = SubgridReader(remote.location, SPEC)
    hurt = HurtOnTheWay(monkeypatch, "get", times)
    if times == 2:
        np.testing.assert_array_equal(read(whole), values[2:11])
    else:
        with pytest.raises(CorruptChunkError, match="fails its crc32c"):
            read(whole)
    assert hurt.calls == 3


@pytest.mark.parametrize("method", ["tail", "span"])
def test_what_stays_damaged_is_an_error(remote: SubgridReader, monkeypatch, method: str) -> None:
    hurt = HurtOnTheWay(monkeypatch, method, times=99)
    with pytest.raises(CorruptChunkError, match=r"subgrids/a/c/0/0/0/0.*fails its crc32c"):
        read(remote)
    assert hurt.calls == 3


@pytest.mark.parametrize(
    ("offset", "nbytes"),
    [(10**9, 50), (0, 10**9), (2**63, 2**63), (2**63 - 4, 8), (2**62, 40), (0, 3), (8, 2**64 - 8)],
)
def test_a_forged_index_of_a_file_is_refused(store: Path, offset: int, nbytes: int) -> None:
    blob = (store / KEY).read_bytes()
    index = np.frombuffer(blob[-SPEC.index_nbytes : -4], "<u8").reshape(-1, 2).copy()
    index[1] = offset, nbytes
    (store / KEY).write_bytes(
        blob[: -SPEC.index_nbytes] + index.tobytes() + crc_bytes(index.tobytes())
    )
    reader = SubgridReader(store / "subgrids/a", SPEC, root=store)
    with pytest.raises(CorruptChunkError, match="chunk 1"):
        read(reader)
    arena, rows = np.zeros((9, *SPEC.chunk_shape[1:]), "f2"), np.arange(9)
    with pytest.raises(CorruptChunkError, match="chunk 1"):
        reader.scatter_rows(0, 2, 11, [arena], np.zeros(9, np.int64), rows)


def test_a_damaged_file_is_read_once(store: Path) -> None:
    data = bytearray((store / KEY).read_bytes())
    data[40] ^= 1
    (store / KEY).write_bytes(data)
    with pytest.raises(CorruptChunkError, match="chunk 0 fails its crc32c"):
        read(SubgridReader(store / "subgrids/a", SPEC))


def test_a_missing_remote_shard_says_how_to_get_it_back(remote: SubgridReader) -> None:
    with pytest.raises(MissingChunkError, match=r"subgrids/a/c/7/0/0/0: shard is missing; \w+"):
        remote.read_rows(7, 0, 1, np.empty((1, 4, 3, 2), "f2"))
