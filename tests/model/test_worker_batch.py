"""What workers send is what a process reads itself, in memory that is used again when free."""

from __future__ import annotations

import copy
import gc
import os
import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
import torch
from small_store import small, write_store
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data._utils.collate import default_convert

from c2s_model.data import worker_batch
from c2s_model.data.worker_batch import MEMORIES_KEPT, SMALL_NBYTES, WorkerBatch, for_consumer

OPTIONS = {"targets": ("atom",), "ends": "pad"}


@pytest.fixture(scope="module")
def opener(tmp_path_factory):
    # Batches of 7 x 24^3 voxels: density and mask are large, everything else is small.
    maps = [("train", 61, 3), ("train", 57, 0)]
    return write_store(tmp_path_factory.mktemp("s"), maps, box=24, shard=16)


class Numbered(IterableDataset):
    """Batches whose every voxel is their number, so that one written over another shows."""

    def __init__(self, n: int, side: int = 40) -> None:
        self.n, self.side = n, side

    def __iter__(self):
        shape = (2, self.side, self.side, self.side)
        for number in range(self.n):
            yield for_consumer(
                {
                    "density": torch.full(shape, number, dtype=torch.float16),
                    "atom": torch.full(shape, number, dtype=torch.uint8),
                    "row": torch.tensor([number, number]),
                }
            )


class Growing(IterableDataset):
    """Batches of which each is larger than the one before."""

    def __iter__(self):
        for number in range(4):
            shape = (2 + number, 40, 40, 40)
            yield for_consumer({"density": torch.full(shape, number, dtype=torch.float16)})


def memories_mapped() -> int:
    return len(worker_batch._mapped)


@pytest.fixture(autouse=True)
def _no_memory_of_other_tests():
    worker_batch._mapped.clear()
    yield
    gc.collect()


@pytest.mark.parametrize(("workers", "context"), [(1, "fork"), (2, "fork"), (1, "spawn")])
def test_batches_from_workers_are_those_of_this_process(opener, workers, context):
    own = {tuple(batch["row"].tolist()): batch for batch in small(opener, **OPTIONS)}
    dataset = small(opener, **OPTIONS)
    if workers == 1:
        sent = list(
            DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context=context)
        )
        assert {tuple(batch["row"].tolist()) for batch in sent} == own.keys()
    else:  # other batches of the same rows
        sent = list(DataLoader(dataset, batch_size=None, num_workers=workers))
    values_of_row = {
        int(row): (density, atom)
        for batch in own.values()
        for row, density, atom in zip(batch["row"], batch["density"], batch["atom"], strict=True)
    }
    for batch in sent:
        assert type(batch) is dict
        first = next(iter(own.values()))
        assert list(batch) == list(first)
        for name, values in batch.items():
            assert values.dtype == first[name].dtype
        for row, density, atom in zip(batch["row"], batch["density"], batch["atom"], strict=True):
            assert torch.equal(density, values_of_row[int(row)][0])
            assert torch.equal(atom, values_of_row[int(row)][1])
    sent[0]["density"][:] = 0  # a batch is the consumer's to write to
    sent[0]["row"][:] = 0
    assert memories_mapped()


def test_batches_that_are_kept_never_change():
    kept = list(DataLoader(Numbered(3 * MEMORIES_KEPT), batch_size=None, num_workers=1))
    assert memories_mapped() == MEMORIES_KEPT  # the rest came by torch's own way
    for number, batch in enumerate(kept):
        assert batch["row"].tolist() == [number, number]
        assert (batch["density"] == number).all()
        assert (batch["atom"] == number).all()


def test_a_view_of_one_tensor_keeps_the_memory_of_its_batch():
    views = []
    for batch in DataLoader(Numbered(30), batch_size=None, num_workers=1):
        number = int(batch["row"][0])
        if number % 3 == 0:
            views.append((number, batch["density"][1].permute(2, 0, 1)[5:, 3]))
        if number % 3 == 1:
            views.append((number, batch["atom"].numpy()[0, 7]))
    del batch
    assert len(views) == 20
    for number, view in views:
        assert (view == number).all()


def test_memory_is_used_again_and_the_next_epoch_takes_no_more():
    loader = DataLoader(Numbered(60), batch_size=None, num_workers=1, persistent_workers=True)
    for epoch in range(3):
        seen = [(int(batch["row"][0]), batch["density"].unique()) for batch in loader]
        assert all(values.tolist() == [number] for number, values in seen)
        assert len(seen) == 60
        used = memories_mapped()
        # Two are ahead, one is in use, one was just given up, one is being filled.
        assert 1 <= used <= 5, epoch


def test_an_epoch_that_was_left_gives_its_memory_back():
    loader = DataLoader(Numbered(40), batch_size=None, num_workers=1, persistent_workers=True)
    for _ in range(8):
        for batch in loader:
            if int(batch["row"][0]) == 2:
                break
    assert [int(batch["row"][0]) for batch in loader] == list(range(40))
    assert memories_mapped() <= 6


def test_memory_of_workers_that_ended_is_unmapped():
    for _ in range(3):
        loader = DataLoader(Numbered(4), batch_size=None, num_workers=1)
        kept = next(iter(loader))
        del loader
    gc.collect()
    pids = {pid for pid, _ in worker_batch._mapped}
    assert len(pids) <= 2  # of the last workers, one may have ended since
    assert (kept["density"] == 0).all()


def test_a_fork_of_the_consumer_gives_nothing_back():
    loader = DataLoader(Numbered(12), batch_size=None, num_workers=1)
    batches = iter(loader)
    first = next(batches)
    child = os.fork()
    if not child:
        del first
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list(batches)) == 11
    assert (first["density"] == 0).all()


def test_small_tensors_and_unusual_ones():
    batch = WorkerBatch(
        density=torch.rand(3, 1, 32, 32, 32).half(),
        row=torch.arange(SMALL_NBYTES // 8 - 1),
        corner_zyx=torch.arange(9).reshape(3, 3)[:, [2, 0, 1]],
        repeated=torch.tensor([True, False, True]),
        empty=torch.zeros(0, 3),
        turned=torch.rand(40, 50, 60).permute(2, 0, 1),
    )
    for more in ({}, {"odd": torch.rand(300, 300).bfloat16()}):
        sent = WorkerBatch(batch | more)
        arrived = ForkingPickler.loads(ForkingPickler.dumps(sent))
        assert type(arrived) is dict
        assert list(arrived) == list(sent)
        for name, values in sent.items():
            assert torch.equal(arrived[name], values), name
            assert not values.is_shared() or more
        arrived["row"][0] = arrived["density"][0] = 9
        assert batch["row"][0] == 0


def test_in_files_and_copies_it_is_a_dict_like_any_other(tmp_path: Path):
    batch = WorkerBatch(density=torch.rand(64, 32, 32), row=torch.arange(4))
    for made in (copy.copy(batch), default_convert(batch), pickle.loads(pickle.dumps(batch))):
        assert made is not batch
        assert made.keys() == batch.keys()
        assert torch.equal(made["density"], batch["density"])
    torch.save(dict(batch), tmp_path / "batch.pt")
    assert not memories_mapped()


def test_no_worker_no_wrapping():
    batch = {"row": torch.arange(3)}
    assert for_consumer(batch) is batch


def test_larger_batches_replace_memory_that_is_too_small():
    memories = worker_batch._Memories()
    one, two = memories.take(100), memories.take(100)
    assert one.is_new
    assert two.is_new
    assert one.name != two.name
    one.memory[0] = 0
    again = memories.take(90)
    assert (again.name, again.is_new, again.given_up) == (one.name, False, ())
    assert again.memory.data_ptr() == one.memory.data_ptr()
    again.memory[0] = 0
    large = memories.take(500)
    assert (large.is_new, large.given_up) == (True, (one.name,))
    assert len(large.memory) == 500
    short = memories.take(20)
    assert (len(short.memory), short.given_up) == (500, ())
    assert len(memories._kept) == 3
    taken = [memories.take(500) for _ in range(MEMORIES_KEPT)]
    assert [one is None for one in taken].count(True) == 3
    assert large.memory[0] == short.memory[0] == 1


def test_short_last_batches_of_many_epochs_take_no_more_memory():
    loader = DataLoader(Growing(), batch_size=None, num_workers=1, persistent_workers=True)
    for _ in range(12):
        assert [batch["density"].unique().tolist() for batch in loader] == [[0], [1], [2], [3]]
    assert memories_mapped() <= 5
