from __future__ import annotations

import itertools
import os
import pickle
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from small_store import BOX, SHARD, PlainStore, all_rows, copy_of, rows, small, write_store
from torch.utils.data import DataLoader

from c2s_data.errors import MissingChunkError, NotCommittedError, StoreError
from c2s_data.store.subgrid_reader import SubgridReader, read_rows
from c2s_model.data import SubgridDataset
from c2s_model.data.batches_ahead import BatchPool


def loading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("subgrids")]


def test_values_are_those_that_zarr_reads(plain_store):
    group = zarr.open_group(plain_store().url, path="subgrids", mode="r")
    arrays = {name: group[name][...] for name in ("density", "atom", "amino", "map", "corner_zyx")}
    seen = 0
    for batch in small(plain_store, targets=("amino", "atom")):
        n = len(batch["row"])
        assert batch["density"].shape == (n, 1, BOX, BOX, BOX)
        assert batch["density"].dtype == torch.float16
        assert batch["atom"].dtype == batch["amino"].dtype == torch.uint8
        assert batch["corner_zyx"].shape == (n, 3)
        at = batch["row"].numpy()
        np.testing.assert_array_equal(batch["density"][:, 0].numpy(), arrays["density"][at])
        for name in ("atom", "amino", "map", "corner_zyx"):
            np.testing.assert_array_equal(batch[name].numpy(), arrays[name][at])
        seen += n
    assert seen == 331


@pytest.mark.parametrize("box", [BOX, 8], ids=["rows of words", "rows of vectors"])
@pytest.mark.parametrize("density_dtype", ["f2", "f4"])
@pytest.mark.parametrize("compressor", ["lz4", "zstd", "none"])
def test_every_codec_gives_what_zarr_wrote(tmp_path, compressor, density_dtype, box):
    maps = [("train", 41, 3), ("train", 30, 0)]
    options = {"density_dtype": density_dtype, "box": box, "seed": 3, "compressor": compressor}
    opener = write_store(tmp_path / "s", maps, **options)
    arrays = zarr.open_group(opener().url, path="subgrids", mode="r")
    density, atom = arrays["density"][...], arrays["atom"][...]
    seen = []
    for batch in small(opener, targets=("atom",)):
        at = batch["row"].numpy()
        assert batch["density"][:, 0].numpy().tobytes() == density[at].tobytes()
        np.testing.assert_array_equal(batch["atom"].numpy(), atom[at])
        seen += at.tolist()
    assert sorted(seen) == all_rows(opener())


@pytest.mark.parametrize(("world", "workers"), [(1, 0), (1, 2), (2, 1), (3, 2), (4, 0)])
def test_every_subgrid_once_over_ranks_and_workers(plain_store, world, workers):
    batches = []
    for rank in range(world):
        dataset = small(plain_store, rank=rank, world_size=world)
        own = list(DataLoader(dataset, batch_size=None, num_workers=workers))
        assert len(own) == dataset.n_batches(workers)
        batches += own
    assert sorted(rows(batches)) == all_rows(plain_store())


def test_epochs_differ_and_seeds_repeat(plain_store):
    dataset, again = small(plain_store, seed=5), small(plain_store, seed=5)
    first = rows(dataset)
    assert rows(dataset) == first == rows(again)
    dataset.set_epoch(1)
    assert dataset.epoch == 1
    assert rows(dataset) != first
    assert sorted(rows(dataset)) == sorted(first)
    assert rows(small(plain_store, seed=6)) != first


def test_a_worker_that_persists_sees_the_next_epoch(plain_store):
    dataset = small(plain_store)
    loader = DataLoader(dataset, batch_size=None, num_workers=1, persistent_workers=True)
    first = rows(loader)
    dataset.set_epoch(1)
    second = rows(loader)
    assert second != first
    assert second == rows(dataset)
    del loader


def test_batches_mix_maps(plain_store):
    mixed = [len(set(batch["map"].tolist())) for batch in small(plain_store)]
    assert np.mean(mixed) > 3


def test_split_and_selection(plain_store):
    store = plain_store()
    train = small(plain_store, split="train")
    assert sorted(rows(train)) == all_rows(store, "train")
    occupied = small(plain_store, split="train", subgrids="occupied")
    assert sorted(rows(occupied)) == all_rows(store, "train", occupied=True)
    some = rows(small(plain_store, subgrids="occupied", rest_share=0.5))
    assert set(all_rows(store, occupied=True)) < set(some) < set(all_rows(store))
    _, _, n_ca = store.index()
    rest = sum(round(0.5 * (e.n_subgrids - e.n_occupied)) for e in store.entries)
    assert sum(n_ca[row] == 0 for row in some) == rest


def test_no_row_of_padding_is_ever_read(plain_store):
    assert all((batch["map"] >= 0).all() for batch in small(plain_store, ends="pad"))


def test_pad_flags_what_is_repeated(plain_store):
    count = Counter()
    for batch in small(plain_store, ends="pad", batch_size=16):
        assert len(batch["row"]) == 16
        count.update(batch["row"][~batch["repeated"]].tolist())
    assert count == Counter(all_rows(plain_store()))
    assert "repeated" not in next(iter(small(plain_store)))


def test_drop_gives_full_batches(plain_store):
    batches = list(small(plain_store, ends="drop", batch_size=16))
    assert {len(batch["row"]) for batch in batches} == {16}
    assert len(batches) == 331 // 16


def test_float32_on_request(plain_store):
    stored = {}
    for batch in small(plain_store):
        stored.update(zip(batch["row"].tolist(), batch["density"], strict=True))
    for batch in small(plain_store, density_dtype="float32"):
        assert batch["density"].dtype == torch.float32
        for row, density in zip(batch["row"].tolist(), batch["density"], strict=True):
            assert torch.equal(density, stored[row].float())


def test_a_float32_store_is_given_as_it_is(tmp_path):
    opener = write_store(tmp_path / "s.zarr", [(None, 40, 5)], density_dtype="f4")
    values = zarr.open_array(f"{opener().url}/subgrids/density", mode="r")[...]
    for batch in small(opener):
        assert batch["density"].dtype == torch.float32
        np.testing.assert_array_equal(batch["density"][:, 0].numpy(), values[batch["row"].numpy()])


def test_batches_that_are_kept_never_change(plain_store):
    kept = list(small(plain_store))
    copies = [{name: value.clone() for name, value in batch.items()} for batch in kept]
    for _ in small(plain_store, seed=9):
        pass
    for batch, copy in zip(kept, copies, strict=True):
        assert all(torch.equal(batch[name], copy[name]) for name in batch)
    pointers = {batch["density"].data_ptr() for batch in kept}
    assert len(pointers) == len(kept)


def test_buffers_are_used_again_once_every_view_is_gone():
    pool, kind = BatchPool(), ("atom", (2, 3), np.dtype("u1"), 2)
    first = pool.get(*kind).values
    address, view = first.ctypes.data, torch.from_numpy(first).unsqueeze(1)[1:]
    del first
    held = [pool.get(*kind).values]
    assert held[0].ctypes.data == address + 6
    held.append(pool.get(*kind).values)  # beyond what the pool keeps
    assert abs(held[1].ctypes.data - address) > 6
    assert view.shape == (1, 1, 3)
    del view
    assert pool.get(*kind).values.ctypes.data == address


def test_an_epoch_needs_no_memory_beyond_the_arena_of_the_one_before(plain_store):
    dataset = small(plain_store, batch_size=16, ends="drop")
    addresses = []
    for epoch in range(3):
        dataset.set_epoch(epoch)
        addresses.append({batch["atom"].data_ptr() for batch in dataset})
    (pool,) = dataset._pools
    arenas = [
        ring.arena for kind, ring in pool._rings.items() if kind[:2] == ("atom", (16, 6, 6, 6))
    ]
    assert len(arenas) == 1
    low = arenas[0].ctypes.data
    assert all(low <= a < low + arenas[0].nbytes for a in set.union(*addresses))


def test_files_are_read_by_runs_and_object_storage_by_shards(plain_store, monkeypatch):
    local = small(plain_store)
    assert local.order().options.rows_per_read == 8
    store, memory = plain_store(), pytest.importorskip("fsspec").filesystem("memory")
    memory.put(store.url, "/remote.zarr", recursive=True)
    remote = PlainStore("memory://remote.zarr", store.entries, store._specs)
    monkeypatch.setattr(remote, "index", store.index)
    away = small(lambda: remote)
    assert away.order().options.rows_per_read == SHARD
    assert sorted(rows(away)) == rows(small(plain_store, shuffle=False, batch_size=331))
    reads = [run for block in whole_blocks(away.order()) for run in block.runs.tolist()]
    assert len(reads) == sum(-(-entry.n_subgrids // SHARD) for entry in store.entries)


def whole_blocks(order):
    for lane in range(order.n_lanes):
        for number in range(len(order.block_edges(lane)) - 1):
            yield order.block(lane, number)


def test_small_blocks_and_one_thread_give_the_same_rows(plain_store):
    dataset = small(plain_store, buffer_rows=10, rows_per_read=4, threads=1)
    assert sorted(rows(dataset)) == all_rows(plain_store())


def test_leaving_an_epoch_early_stops_the_threads(plain_store):
    iterator = iter(small(plain_store, buffer_rows=10))
    next(iterator)
    assert loading_threads()
    iterator.close()
    assert not loading_threads()


def test_breaking_off_a_loop_stops_the_threads(plain_store):
    for _ in small(plain_store, buffer_rows=10):
        assert loading_threads()
        break
    assert not loading_threads()


def test_an_error_in_the_loop_stops_the_threads(plain_store):
    def train() -> None:
        for batch in small(plain_store, buffer_rows=10):
            batch["no such target"]

    with pytest.raises(KeyError, match="no such target"):
        train()
    assert not loading_threads()


@pytest.mark.parametrize(("start", "stop"), [(0, 32), (0, 1), (3, 5), (4, 8), (5, 27), (31, 32)])
def test_any_run_of_rows(plain_store, start, stop):
    store = plain_store()
    spec, location = store.subgrid_spec("density"), f"{store.url}/subgrids/density"
    values = zarr.open_array(location, mode="r")[SHARD : 2 * SHARD]
    out = np.empty((stop - start, BOX, BOX, BOX), "f2")
    read_rows(location, spec, 1, start, stop, out)
    np.testing.assert_array_equal(out, values[start:stop])


def test_rows_over_fsspec(plain_store):
    fsspec = pytest.importorskip("fsspec")
    store, memory = plain_store(), fsspec.filesystem("memory")
    spec, key = store.subgrid_spec("atom"), "subgrids/atom/c/1/0/0/0"
    memory.pipe_file(f"/rows/{key}", (Path(store.url) / key).read_bytes())
    reader = SubgridReader("memory://rows/subgrids/atom", spec)
    out = np.empty((14, BOX, BOX, BOX), "u1")
    reader.read_rows(1, 6, 20, out)
    expected = zarr.open_array(f"{store.url}/subgrids/atom", mode="r")[SHARD + 6 : SHARD + 20]
    np.testing.assert_array_equal(out, expected)
    with pytest.raises(MissingChunkError, match="atom/c/9/0/0/0"):
        reader.read_rows(9, 6, 20, out)


def test_a_shard_that_was_replaced_is_read_anew(plain_store, tmp_path):
    store = copy_of(plain_store, tmp_path / "copy.zarr")()
    folder = Path(store.url) / "subgrids/density"
    reader = SubgridReader(folder, store.subgrid_spec("density"))
    out, expected = np.empty((2, 32, BOX, BOX, BOX), "f2"), zarr.open_array(folder, mode="r")
    reader.read_rows(0, 0, 32, out[0])
    (folder / "c/1/0/0/0").replace(folder / "c/0/0/0/0")
    reader.read_rows(0, 0, 32, out[1])
    np.testing.assert_array_equal(out[1], expected[:32])
    assert not np.array_equal(out[0], out[1])


def test_a_reader_refuses_rows_and_outputs_that_do_not_fit(plain_store):
    store = plain_store()
    reader = SubgridReader(f"{store.url}/subgrids/atom", store.subgrid_spec("atom"))
    for start, stop, shape in [(0, 33, (33, 6, 6, 6)), (5, 4, (0, 6, 6, 6)), (0, 2, (3, 6, 6, 6))]:
        with pytest.raises(ValueError, match=r"outside a shard|out is"):
            reader.read_rows(0, start, stop, np.empty(shape, "u1"))
    with pytest.raises(ValueError, match="out is"):
        reader.read_rows(0, 0, 2, np.empty((2, 6, 6, 6), "f2"))


def test_a_reader_that_crossed_a_fork_says_so(plain_store, monkeypatch):
    store = plain_store()
    reader = SubgridReader(f"{store.url}/subgrids/atom", store.subgrid_spec("atom"))
    monkeypatch.setattr(os, "getpid", lambda: -5)
    with pytest.raises(StoreError, match="before a fork"):
        reader.read_rows(0, 0, 1, np.empty((1, 6, 6, 6), "u1"))


def test_the_store_is_opened_in_the_process_that_reads_it(plain_store, tmp_path):
    log = tmp_path / "opened"

    def opener():
        with log.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        return plain_store()

    dataset = small(opener)
    assert not log.exists()
    rows(dataset)
    assert log.read_text().split() == [str(os.getpid())]
    list(DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="fork"))
    own, child = log.read_text().split()
    assert own == str(os.getpid()) != child


def test_a_dataset_can_be_pickled_and_spawned(plain_store):
    dataset = small(plain_store, seed=2)
    expected = rows(dataset)
    assert rows(pickle.loads(pickle.dumps(dataset))) == expected
    loader = DataLoader(
        small(plain_store, seed=2, batch_size=331),
        batch_size=None,
        num_workers=1,
        multiprocessing_context="spawn",
    )
    assert sorted(rows(loader)) == sorted(expected)


def test_rank_comes_from_the_environment(plain_store, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    dataset = SubgridDataset(plain_store)
    assert (dataset.rank, dataset.world_size) == (1, 3)
    parts = [rows(small(plain_store, rank=rank, world_size=3)) for rank in range(3)]
    assert sorted(itertools.chain(*parts)) == all_rows(plain_store())


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    with pytest.raises(NotCommittedError):
        list(SubgridDataset(tmp_path))
