"""Boxes of a map: the same voxels as the whole, for no more bytes than they need."""

from __future__ import annotations

import numpy as np
import pytest
from made_maps import made_map, made_plan
from memory_objects import MemoryObjects

from c2s_data.errors import CorruptChunkError, MissingChunkError, StoreError
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout, n_levels
from c2s_data.store.map_array import MapArray
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import Store, open_store
from c2s_data.store.shard import ShardSpec, encode_shard
from c2s_data.store.writer import write_entry

ENTRY = "MADE-0"
SHAPE_ZYX = (41, 33, 52)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    objects = open_objects(tmp_path_factory.mktemp("boxes") / "boxes.zarr")
    plan = begin_store(objects, made_plan(shapes=[SHAPE_ZYX]))
    write_entry(
        objects, Layout.of(plan.config), plan.entries[0], made_map(plan.entries[0], plan.config)
    )
    commit(objects, plan)
    return open_store(objects.url)


@pytest.mark.parametrize(("array", "level"), [("density", 0), ("density", 2), ("amino", 0)])
def test_any_box_is_cut_from_the_whole(store: Store, array: str, level: int) -> None:
    whole, boxes = store.read_map(ENTRY, array, level), store.map_array(ENTRY, array, level)
    assert level < n_levels(SHAPE_ZYX)
    rng = np.random.default_rng(3)
    for _ in range(60):
        low = [int(rng.integers(0, n)) for n in whole.shape]
        window = tuple(
            slice(a, int(rng.integers(a, n + 9))) for a, n in zip(low, whole.shape, strict=True)
        )
        found = boxes.read(window)
        np.testing.assert_array_equal(found, whole[window])
        assert found.dtype == whole.dtype


def test_what_is_not_there_is_refused(store: Store) -> None:
    for entry, array, level in (("NOBODY", "density", 0), (ENTRY, "other", 0), (ENTRY, "amino", 1)):
        with pytest.raises(StoreError):
            store.map_array(entry, array, level)


class Bucket(MemoryObjects):
    """Counts the bytes of ranges, as a bucket bills them; may flip a byte the first time."""

    def __init__(self, stored, flips: int = 0) -> None:
        super().__init__(stored)
        self.flips, self.ranges = flips, []

    def span(self, key, start, stop):
        data = bytearray(self.stored[key][start:stop])
        self.ranges.append(len(data))
        if self.flips:
            self.flips -= 1
            data[len(data) // 2] ^= 1
        return bytes(data)


@pytest.fixture(scope="module")
def remote():
    """Two shards of 64^3 voxels in chunks of 32^3 along x, without their compression's help."""
    spec = ShardSpec((64, 64, 64), (32, 32, 32), np.dtype("<f2"))
    values = np.random.default_rng(0).random((64, 64, 128)).astype("<f2")
    stored = {}
    for k in range(2):
        block = np.ascontiguousarray(values[:, :, 64 * k : 64 * (k + 1)])
        stored[f"a/{spec.shard_key(0, 0, k)}"] = bytes(encode_shard(block, spec))
    return spec, values, stored


@pytest.mark.parametrize(
    ("window", "chunks"),
    [
        ((slice(5, 6), slice(None), slice(None)), 8),
        ((slice(None), slice(40, 41), slice(None)), 8),
        ((slice(None), slice(None), slice(100, 101)), 4),
        ((slice(0, 32), slice(0, 32), slice(0, 32)), 1),
    ],
)
def test_only_the_chunks_of_a_box_are_fetched(remote, window, chunks) -> None:
    spec, values, stored = remote
    bucket = Bucket(stored)
    found = MapArray(bucket, "a", values.shape, spec).read(window)
    np.testing.assert_array_equal(found, values[window])
    chunk_nbytes = 32**3 * 2
    assert 0.7 * chunks * chunk_nbytes < sum(bucket.ranges) < 1.1 * chunks * chunk_nbytes


def test_a_byte_that_the_network_changed_is_fetched_again(remote) -> None:
    spec, values, stored = remote
    bucket = Bucket(stored, flips=1)
    window = (slice(0, 32), slice(0, 32), slice(0, 32))
    found = MapArray(bucket, "a", values.shape, spec).read(window)
    np.testing.assert_array_equal(found, values[window])
    assert len(bucket.ranges) == 2
    with pytest.raises(CorruptChunkError, match="fails its crc32c"):
        MapArray(Bucket(stored, flips=99), "a", values.shape, spec).read(window)


def test_a_shard_that_is_gone_is_an_error_and_never_zeros(remote) -> None:
    spec, values, stored = remote
    kept = {key: data for key, data in stored.items() if not key.endswith("/1")}
    array = MapArray(Bucket(kept), "a", values.shape, spec)
    assert array.read((slice(0, 1), slice(0, 1), slice(0, 64))).shape == (1, 1, 64)
    with pytest.raises(MissingChunkError):
        array.read((slice(0, 1), slice(0, 1), slice(0, 65)))
