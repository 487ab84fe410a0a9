"""Chunks that cannot be read: named, or replaced where that was asked for."""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from small_store import CHUNK, SHARD, all_rows, copy_of, rows, small
from torch.utils.data import DataLoader

from c2s_data.errors import CorruptChunkError, MissingChunkError
from c2s_data.store.shard import shard_index
from c2s_model.data.corrupt import CorruptRows

SKIP = {"on_corrupt": "skip"}


@pytest.fixture
def copy(plain_store, tmp_path):
    return copy_of(plain_store, tmp_path / "damaged.zarr")


def flip(opener, array: str, shard: int, chunk: int) -> tuple[set[int], int]:
    """Change one bit of a chunk; return its rows that belong to a map, and its offset."""
    store = opener()
    path = Path(store.url) / f"subgrids/{array}/c/{shard}/0/0/0"
    blob = bytearray(path.read_bytes())
    offset = int(shard_index(blob, store.subgrid_spec(array)).offset[chunk])
    blob[offset + 18] ^= 1
    path.write_bytes(blob)
    first = shard * SHARD + chunk * CHUNK
    return set(range(first, first + CHUNK)) & set(all_rows(store)), offset


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_chunk_names_map_array_shard_chunk_and_offset(copy, workers):
    _, offset = flip(copy, "atom", 3, 1)
    loader = DataLoader(small(copy), batch_size=None, num_workers=workers)
    expected = rf"EMD-1001: .*subgrids/atom/c/3/0/0/0, byte {offset}: chunk 1 fails its crc32c"
    with pytest.raises(CorruptChunkError, match=expected):
        list(loader)


def test_a_missing_shard_is_an_error_and_not_zeros(copy):
    (Path(copy().url) / "subgrids/density/c/4/0/0/0").unlink()
    with pytest.raises(MissingChunkError, match=r"EMD-1001: .*density/c/4/0/0/0: shard is missing"):
        list(small(copy))


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_shard_that_was_cut_off_is_an_error(copy, kept):
    path = Path(copy().url) / "subgrids/density/c/2/0/0/0"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptChunkError, match=r"EMD-1000: .*density/c/2/0/0/0"):
        list(small(copy))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("array", ["density", "atom"])
def test_rows_of_other_chunks_stand_in(copy, plain_store, array, workers):
    lost, _ = flip(copy, array, 3, 1)
    assert len(lost) == CHUNK
    arrays = {
        name: zarr.open_array(f"{plain_store().url}/subgrids/{name}", mode="r")[...]
        for name in ("density", "atom", "map", "corner_zyx")
    }
    dataset = small(copy, **SKIP)
    batches = list(DataLoader(dataset, batch_size=None, num_workers=workers))
    sizes = [len(batch["row"]) for batch in small(plain_store)]
    if not workers:
        assert [len(batch["row"]) for batch in batches] == sizes
    assert dataset.corrupt_rows == CHUNK
    once, repeated = Counter(), []
    for batch in batches:
        at, again = batch["row"].numpy(), batch["repeated"].numpy()
        np.testing.assert_array_equal(batch["density"][:, 0].numpy(), arrays["density"][at])
        for name in ("atom", "map", "corner_zyx"):
            np.testing.assert_array_equal(batch[name].numpy(), arrays[name][at])
        once.update(at[~again].tolist())
        repeated += at[again].tolist()
        assert set(at[again].tolist()) <= set(at[~again].tolist())
    assert once == Counter(set(all_rows(copy())) - lost)
    assert len(repeated) == CHUNK


@pytest.mark.parametrize("ends", ["drop", "pad"])
def test_ranks_stay_equal(copy, ends):
    flip(copy, "density", 0, 2)
    flip(copy, "density", 9, 0)
    (Path(copy().url) / "subgrids/atom/c/4/0/0/0").unlink()
    ranks = [list(small(copy, rank=rank, world_size=3, ends=ends, **SKIP)) for rank in range(3)]
    assert len({len(batches) for batches in ranks}) == 1
    assert {len(batch["row"]) for batches in ranks for batch in batches} == {7}


def test_each_chunk_is_told_once_by_name(copy, caplog):
    offsets = [flip(copy, array, shard, 0)[1] for array, shard in (("atom", 3), ("density", 7))]
    with caplog.at_level(logging.WARNING, logger="c2s_model"):
        list(small(copy, **SKIP))
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    for place, offset in zip(("atom/c/3", "density/c/7"), offsets, strict=True):
        assert sum(f"{place}/0/0/0, byte {offset}: chunk 0" in text for text in told) == 1
    assert all(re.search(r"EMD-100\d: ", text) for text in told)


def test_a_chunk_that_two_blocks_share_is_told_once(plain_store, caplog):
    counter = torch.zeros((), dtype=torch.int64)
    corrupt = CorruptRows(plain_store(), 10, counter)
    for _ in range(2):
        corrupt.note(CorruptChunkError("c/3, byte 8: chunk 1"), 3 * SHARD + CHUNK)
    assert len(caplog.records) == 1


def test_a_batch_counts_a_row_once_though_two_arrays_lost_it(copy):
    assert flip(copy, "atom", 3, 1)[0] == flip(copy, "density", 3, 1)[0]
    dataset = small(copy, **SKIP)
    list(dataset)
    list(dataset)
    assert dataset.corrupt_rows == 2 * CHUNK


def test_more_than_the_limit_is_an_error(copy):
    flip(copy, "atom", 3, 1)
    assert len(list(small(copy, **SKIP, max_corrupt_rows=CHUNK))) == 48
    with pytest.raises(CorruptChunkError, match=r"max_corrupt_rows=3 .*EMD-1001: .*chunk 1"):
        list(small(copy, **SKIP, max_corrupt_rows=CHUNK - 1))


def test_a_batch_without_a_good_row_is_an_error(copy):
    flip(copy, "density", 3, 1)
    with pytest.raises(CorruptChunkError, match=r"none to read: EMD-1001: .*chunk 1"):
        list(small(copy, **SKIP, shuffle=False, batch_size=2))


def test_without_a_fault_nothing_is_repeated(plain_store):
    dataset = small(plain_store, **SKIP)
    batches = list(dataset)
    assert not any(batch["repeated"].any() for batch in batches)
    assert rows(batches) == rows(small(plain_store))
    assert dataset.corrupt_rows == 0


def test_other_errors_are_never_skipped(copy, monkeypatch):
    def refuse(*_):
        raise PermissionError("not yours")

    dataset = small(copy, **SKIP)
    monkeypatch.setattr("c2s_data.store.subgrid_reader.SubgridReader.scatter_rows", refuse)
    with pytest.raises(PermissionError):
        list(dataset)
