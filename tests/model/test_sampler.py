from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from orders import (
    CHUNK,
    LARGE,
    SMALL,
    STORES,
    TINY,
    batches_of,
    make,
    reader_rows,
    rows_of,
    steps,
    wanted,
)

from c2s_model.data.sampler import LANES, OrderOptions, lanes_for
from c2s_model.data.selection import cut_to_grid, selected_ranges

COMBINATIONS = list(itertools.product((1, 2, 3, 4), (0, 1, 2)))


@pytest.mark.parametrize(("world", "workers"), COMBINATIONS)
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_subgrid_exactly_once(store, world, workers, shuffle):
    batches = steps(STORES[store], world, workers, shuffle=shuffle)
    assert sorted(itertools.chain(*batches)) == wanted(STORES[store])


@pytest.mark.parametrize("readers", [1, 2, 3, 5, 7, 8, 16, 48, 64])
@pytest.mark.parametrize("store", STORES)
def test_readers_differ_by_one_subgrid_at_most(store, readers):
    order = make(STORES[store], readers)
    counts = [sum(map(len, reader_rows(order, r, readers))) for r in range(readers)]
    assert sum(counts) == STORES[store].n.sum()
    assert max(counts) - min(counts) <= 1
    for reader in range(readers):
        batches = reader_rows(order, reader, readers)
        assert all(batches)
        assert all(len(batch) == 8 for batch in batches[:-1])


@pytest.mark.parametrize("ends", ["drop", "pad"])
def test_the_sequence_is_the_same_for_every_product_that_divides_the_lanes(ends):
    lanes = make(LARGE).n_lanes
    assert lanes == 48
    alone = steps(LARGE, 1, 0, ends=ends)
    for world, workers in [(1, 2), (2, 1), (3, 2), (8, 2), (48, 1)]:
        assert lanes % (world * workers) == 0
        assert steps(LARGE, world, workers, ends=ends) == alone


def test_exact_ends_keep_that_sequence_up_to_the_last_round():
    alone = steps(LARGE, 1, 0)
    rounds = make(LARGE).lane_rows(47) // 8
    assert rounds > 50
    for world, workers in [(2, 2), (3, 1), (4, 2)]:
        assert steps(LARGE, world, workers)[: 48 * rounds] == alone[: 48 * rounds]


@pytest.mark.parametrize("readers", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("store", STORES)
def test_drop_gives_full_batches_equally_many_and_nothing_twice(store, readers):
    maps = STORES[store]
    order = make(maps, readers, ends="drop")
    parts = [reader_rows(order, reader, readers) for reader in range(readers)]
    rows = [row for part in parts for batch in part for row in batch]
    assert len({len(part) for part in parts}) == 1
    assert {len(batch) for part in parts for batch in part} <= {8}
    assert len(set(rows)) == len(rows)
    assert set(rows) <= set(wanted(maps))
    assert maps.n.sum() - len(rows) < order.n_lanes * 8
    if store == "large":
        assert len(rows) > 0.9 * maps.n.sum()


@pytest.mark.parametrize("readers", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("store", STORES)
def test_pad_gives_full_batches_equally_many_and_flags_what_is_repeated(store, readers):
    maps = STORES[store]
    order = make(maps, readers, ends="pad")
    first, lengths = Counter(), set()
    for reader in range(readers):
        batches = batches_of(order, reader, readers)
        lengths.add(len(batches))
        for batch in batches:
            rows, repeated = rows_of(order, batch), rows_of(order, batch, flags=True)
            assert len(rows) == 8
            first.update(r for r, again in zip(rows, repeated, strict=True) if not again)
    assert len(lengths) == 1
    assert first == Counter(wanted(maps))


def test_order_depends_on_seed_and_epoch_and_on_nothing_else():
    assert steps(SMALL, 2, 2) == steps(SMALL, 2, 2)
    assert steps(SMALL, 1, 0) != steps(SMALL, 1, 0, epoch=1)
    assert steps(SMALL, 1, 0) != steps(SMALL, 1, 0, seed=4)
    # An epoch of one seed is no epoch of another seed.
    assert steps(SMALL, 1, 0, seed=0, epoch=1) != steps(SMALL, 1, 0, seed=1, epoch=0)


def test_a_known_order_stays():
    order = make(TINY, seed=0)
    assert reader_rows(order, 0, 1) == [[1, 0, 513, 514, 512]]


def test_batches_mix_maps():
    order = make(LARGE, batch_size=32)
    map_of = lambda row: int(np.searchsorted(LARGE.first, row, side="right"))  # noqa: E731
    mixed = [len(set(map(map_of, batch))) for batch in reader_rows(order, 0, 1)]
    assert np.median(mixed) >= 4
    assert np.mean(np.array(mixed) >= 2) > 0.95


def test_blocks_bound_the_rows_in_memory():
    order = make(LARGE, buffer_rows=4800, rows_per_read=16)
    assert order.n_lanes == 48
    for lane in range(order.n_lanes):
        sizes = np.diff(order.block_edges(lane))
        assert sizes.min() > 0
        assert sizes.max() < 100 + 16
        assert sizes.sum() == order.lane_rows(lane)


def test_a_block_holds_at_least_four_reads_whatever_the_readers():
    order = make(LARGE, 24, buffer_rows=2048, rows_per_read=256)
    assert (order.n_lanes, order.block_rows) == (24, 1024)
    assert make(LARGE, 1, buffer_rows=2048, rows_per_read=256).n_lanes == 1


@pytest.mark.parametrize("subgrids", ["all", "occupied"])
def test_only_the_ends_of_lanes_cut_a_read(subgrids):
    order = make(LARGE, subgrids=subgrids)
    whole = set(map(tuple, order.pieces.tolist()))
    cut = 0
    for lane in range(order.n_lanes):
        for number in range(len(order.block_edges(lane)) - 1):
            cut += sum(tuple(run) not in whole for run in order.block(lane, number).runs.tolist())
    assert cut <= 2 * (order.n_lanes - 1)


@pytest.mark.parametrize("ends", ["exact", "drop", "pad"])
def test_blocks_come_in_the_order_of_first_use_and_fill_every_batch(ends):
    order = make(LARGE, 2, ends=ends, batch_size=12)
    batches = batches_of(order, 1, 2)
    planned = list(order.planned_blocks(order.turns(0, 2, 1, 2)))
    seen = dict.fromkeys((s.lane, s.block) for batch in batches for s in batch)
    assert [(block.lane, block.number) for block in planned] == list(seen)
    filled = [[None] * sum(s.end - s.begin for s in batch) for batch in batches]
    for lane, number, targets, again in planned:
        assert not again
        for begin, end, batch, offset, rows in targets:
            assert rows == len(filled[batch])
            for place in range(begin, end):
                assert filled[batch][offset + place - begin] is None
                filled[batch][offset + place - begin] = lane, number, place
    expected = [
        [(lane, block, place) for lane, block, begin, end in batch for place in range(begin, end)]
        for batch in batches
    ]
    assert filled == expected


def test_only_the_occupied_prefix_of_each_map():
    batches = steps(LARGE, 2, 2, subgrids="occupied")
    assert sorted(itertools.chain(*batches)) == wanted(LARGE, occupied=True)


def test_a_share_of_the_rest_is_drawn_anew_every_epoch():
    options = {"subgrids": "occupied", "rest_share": 0.25}
    occupied = set(wanted(LARGE, occupied=True))
    drawn = []
    for epoch in (0, 1):
        rows = list(itertools.chain(*steps(LARGE, 1, 0, epoch=epoch, **options)))
        assert len(set(rows)) == len(rows)
        assert occupied <= set(rows) <= set(wanted(LARGE))
        drawn.append(set(rows) - occupied)
    rest = sum(round(0.25 * (n - o)) for n, o in zip(LARGE.n, LARGE.n_occupied, strict=True))
    assert len(drawn[0]) == len(drawn[1]) == rest
    assert drawn[0] != drawn[1]
    for first, n, o in zip(*LARGE, strict=True):
        inside = [row for row in drawn[0] if first <= row < first + n]
        assert len(inside) == round(0.25 * (n - o))


def test_the_whole_rest_is_everything():
    rows = steps(SMALL, 1, 0, subgrids="occupied", rest_share=1.0)
    assert sorted(itertools.chain(*rows)) == wanted(SMALL)


def test_ranges_are_in_store_order_and_never_empty():
    ranges = selected_ranges(SMALL, "occupied", 0.5, CHUNK, np.random.default_rng(0))
    assert (ranges[:, 1] > ranges[:, 0]).all()
    assert (np.diff(ranges[:, 0]) > 0).all()


def test_cut_to_grid_by_hand():
    ranges = np.array([[3, 70], [96, 96], [64, 65], [128, 192]])
    expected = [[3, 32], [32, 64], [64, 70], [64, 65], [128, 160], [160, 192]]
    assert cut_to_grid(ranges, 32).tolist() == expected


def test_number_of_lanes():
    assert lanes_for(48 * 512, OrderOptions(32), 1) == 48
    assert lanes_for(48 * 512 - 1, OrderOptions(32), 1) == 24
    assert lanes_for(48 * 512, OrderOptions(64), 1) == 24
    assert lanes_for(10**6, OrderOptions(8), 5) == 50
    assert lanes_for(10**6, OrderOptions(8), 64) == 64
    assert lanes_for(10, OrderOptions(8), 3) == 3
    assert lanes_for(10**6, OrderOptions(8, rows_per_read=512), 1) == 3
    assert lanes_for(10**6, OrderOptions(8, buffer_rows=4096), 1) == 24
    assert LANES[-1] == 1


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"subgrids": "some"},
        {"ends": "wrap"},
        {"rest_share": 1.5, "subgrids": "occupied"},
        {"rest_share": 0.5},
        {"buffer_rows": 0},
    ],
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        OrderOptions(**({"batch_size": 8} | options))
