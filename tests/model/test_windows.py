"""Windows of stored maps: their voxels, their order over readers, going on, and what is refused."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from torch.utils.data import DataLoader
from training_store import made_store

from c2s_data.errors import CorruptChunkError
from c2s_model.data import SubgridDataset, WindowDataset, window_order
from c2s_model.data.rotations import N_ROTATIONS, ROTATIONS

SHAPES = [(70, 41, 55), (30, 66, 38), (9, 12, 50), (64, 64, 64)]
TARGETS = ("atom", "amino")
SMALL = {"batch_size": 7, "rank": 0, "world_size": 1, "targets": TARGETS, "seed": 5}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Maps of several parts each, with margins beyond them: a box of 16 and a core of 10."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_order, "PART_SIDE", 40)
        yield made_store(tmp_path_factory.mktemp("windows") / "s.zarr", SHAPES)


def content(batches):
    """What identifies the windows of each batch."""
    return [
        [
            (row, *corner, turn, round(values.double().sum().item(), 6))
            for row, corner, turn, values in zip(
                batch["row"].tolist(),
                batch["corner_zyx"].tolist(),
                batch["rotation"].tolist(),
                batch["density"],
                strict=True,
            )
        ]
        for batch in batches
    ]


def windows(batches):
    return [one for batch in content(batches) for one in batch]


def cut_by_hand(volume, corner, turn):
    """Pad, slice, then turn by numpy."""
    z, y, x = np.array(corner) + 16
    cube = np.pad(volume, 16)[z : z + 16, y : y + 16, x : x + 16]
    axes, backwards = ROTATIONS[turn]
    return np.flip(np.transpose(cube, axes), backwards)


def test_every_window_is_a_turned_slice_of_its_map(store):
    volumes = {
        (entry.map_index, name): store.read_map(entry.entry_id, name)
        for entry in store.entries
        for name in ("density", *TARGETS)
    }
    names = {"density": "density"} | dict(zip(TARGETS, TARGETS, strict=True))
    turns, beyond = Counter(), 0
    for batch in WindowDataset(store.url, **SMALL, per_subgrid=2):
        for i, corner in enumerate(batch["corner_zyx"].tolist()):
            turn, number = int(batch["rotation"][i]), int(batch["map"][i])
            turns[turn] += 1
            beyond += min(corner) < 0
            for name in names:
                values = batch[name][i].numpy().reshape(16, 16, 16)
                expected = cut_by_hand(volumes[number, name], corner, turn)
                np.testing.assert_array_equal(values, expected)
    assert set(turns) == set(range(N_ROTATIONS))
    assert beyond > 20


def test_a_window_is_a_subgrid_moved_by_up_to_half_a_core(store):
    _, stored, _ = store.index()
    found = list(WindowDataset(store.url, **SMALL, per_subgrid=3))
    shapes = {entry.map_index: np.array(entry.shape_zyx) for entry in store.entries}
    moves = []
    for batch in found:
        home = stored[batch["row"].numpy()]
        last = np.array([shapes[number] for number in batch["map"].tolist()]) - 13
        free = ((home - 5 >= -3) & (home + 4 <= last)).all(axis=1)
        moves.append((batch["corner_zyx"].numpy() - home)[free])
    moves = np.concatenate(moves)
    assert len(moves) > 300
    assert [moves.min(axis=0).tolist(), moves.max(axis=0).tolist()] == [[-5] * 3, [4] * 3]
    assert len(np.unique(moves, axis=0)) > 0.7 * len(moves)
    # 4 sigma of the mean of as many moves that are all as likely: variance (10^2 - 1) / 12.
    assert np.abs(moves.mean(axis=0) + 0.5).max() < 4 * np.sqrt(8.25 / len(moves))
    for batch in found:
        core = batch["corner_zyx"].numpy() + 3
        shape = np.array([shapes[number] for number in batch["map"].tolist()])
        assert (core >= 0).all()
        assert ((core + 10 <= shape) | (core == 0)).all()


def test_windows_begin_at_every_voxel_of_a_map(store):
    entry = store.entries[0]
    dataset = WindowDataset(store.url, **SMALL, per_subgrid=8)
    seen = set()
    for epoch in range(4):
        dataset.set_epoch(epoch)
        for batch in dataset:
            mine = batch["map"].numpy() == entry.map_index
            seen |= set(batch["corner_zyx"].numpy()[mine][:, 1].tolist())
    assert seen == set(range(-3, entry.shape_zyx[1] - 13 + 1))


def test_an_epoch_has_the_rows_of_one_of_subgrids(store):
    for options in (
        {},
        {"split": "train"},
        {"subgrids": "occupied"},
        {"subgrids": "occupied", "rest_share": 0.3},
    ):
        plain = SubgridDataset(store.url, **SMALL | options)
        expected = Counter(row for batch in plain for row in batch["row"].tolist())
        for n in (1, 3):
            found = WindowDataset(store.url, **SMALL | options, per_subgrid=n)
            rows = Counter(row for batch in found for row in batch["row"].tolist())
            assert rows == dict.fromkeys(expected, n)


def test_seed_and_epoch_decide(store):
    first, again = WindowDataset(store.url, **SMALL), WindowDataset(store.url, **SMALL)
    expected = content(first)
    assert content(again) == expected
    again.set_epoch(1)
    other = WindowDataset(store.url, **SMALL | {"seed": 6})
    for changed in (windows(again), windows(other)):
        shared = set(changed) & set(windows(first))
        assert len(shared) < 0.01 * len(changed)
    again.set_epoch(0)
    assert content(again) == expected


@pytest.mark.parametrize(("world", "workers"), [(2, 0), (3, 0), (1, 2), (3, 2)])
def test_any_ranks_and_workers_give_the_same_sequence(store, world, workers):
    ranks = [
        WindowDataset(store.url, **SMALL | {"rank": rank, "world_size": world, "batch_size": 2})
        for rank in range(world)
    ]
    loaded = [list(DataLoader(one, batch_size=None, num_workers=workers)) for one in ranks]
    turns = itertools.zip_longest(*map(content, loaded))
    batches = [batch for turn in turns for batch in turn if batch is not None]
    assert batches == content(WindowDataset(store.url, **SMALL | {"batch_size": 2}))


@pytest.mark.parametrize("ends", ["exact", "drop", "pad"])
def test_after_any_batch_the_rest_comes_in_the_same_order(store, ends):
    options = SMALL | {"ends": ends, "batch_size": 5, "split": "train"}
    dataset = WindowDataset(store.url, **options)
    batches = list(dataset)
    expected = content(batches)
    for used in range(1, len(batches), 9):
        state = json.loads(json.dumps(dataset.state_dict(batches[used - 1])))
        world = 1 + used % 2
        rest = []
        for rank in range(world):
            other = WindowDataset(store.url, **options | {"rank": rank, "world_size": world})
            other.load_state_dict(state)
            rest.append(content(other))
        joined = [b for turn in itertools.zip_longest(*rest) for b in turn if b is not None]
        left = expected[used:]
        if ends == "drop":
            left = left[: len(left) - len(left) % world]
        assert joined[: len(left)] == left


def test_a_state_of_other_windows_is_refused(store):
    state = WindowDataset(store.url, **SMALL).state_dict()
    for other, named in [
        (WindowDataset(store.url, **SMALL, per_subgrid=2), "per_subgrid=2 instead of 1"),
        (WindowDataset(store.url, **SMALL, rotate=False), "rotate=False instead of True"),
        (SubgridDataset(store.url, **SMALL), "per_subgrid=None instead of 1"),
    ]:
        with pytest.raises(ValueError, match=named):
            other.load_state_dict(state)


def test_without_rotation_and_as_float32(store):
    options = SMALL | {"density_dtype": "float32"}
    for batch in WindowDataset(store.url, **options, rotate=False):
        assert batch["rotation"].tolist() == [0] * len(batch["row"])
        assert str(batch["density"].dtype) == "torch.float32"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"per_subgrid": 0}, "per_subgrid=0"),
        ({"rows_per_read": 32}, "rows_per_read: windows are not read"),
        ({"targets": ("atoms",)}, "choose each once"),
        ({"split": "test"}, "no subgrids in split 'test'"),
    ],
)
def test_nonsense_is_refused(store, options, named):
    with pytest.raises(ValueError, match=named):
        list(WindowDataset(store.url, **SMALL | options))


def test_labels_that_cannot_be_turned_are_refused(tmp_path):
    paper = made_store(tmp_path / "s.zarr", [(20, 20, 20)], preset="paper")
    with pytest.raises(ValueError, match="give rotate=False"):
        list(WindowDataset(paper.url, **SMALL))
    found = list(WindowDataset(paper.url, **SMALL, rotate=False))
    assert sum(len(batch["row"]) for batch in found) == paper.entries[0].n_subgrids


def test_a_damaged_chunk_is_an_error_or_replaced(tmp_path):
    damaged = made_store(tmp_path / "s.zarr", SHAPES)
    entry = damaged.entries[1]
    path = tmp_path / f"s.zarr/maps/{entry.group}/s0/atom/c/0/0/0"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptChunkError, match=f"{entry.entry_id}: .*atom"):
        list(WindowDataset(damaged.url, **SMALL))
    whole = WindowDataset(damaged.url, **SMALL | {"batch_size": 64}, on_corrupt="skip")
    batches = list(whole)
    assert whole.corrupt_rows == entry.n_subgrids
    assert sum(int(batch["repeated"].sum()) for batch in batches) == entry.n_subgrids
    for batch in batches:
        assert entry.map_index not in batch["map"].tolist()
