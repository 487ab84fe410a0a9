"""What is left of an epoch that was interrupted, from the order alone."""

from __future__ import annotations

import itertools
from collections import Counter
from math import gcd

import numpy as np
import pytest
from orders import LARGE, SMALL, make, planned_rows, ranks_of, wanted

from c2s_model.data.sampler import EpochOrder


def flat(ranks) -> list:
    turns = itertools.zip_longest(*ranks)
    return [batch for turn in turns for batch in turn if batch is not None]


def every_batch(order: EpochOrder) -> list:
    return flat(ranks_of(order, order.n_readers, 0))


def test_any_batch_is_known_without_those_before():
    order = make(LARGE, 6)
    batches = every_batch(order)
    assert len(batches) == order.n_batches
    fresh = make(LARGE, 6)
    for number in (order.n_batches - 1, 1000, 3, order.n_batches - 2):
        turns = range(number, number + 1)
        assert planned_rows(fresh, turns, 0) == [batches[number]]


@pytest.mark.parametrize("ends", ["exact", "drop", "pad"])
@pytest.mark.parametrize(("world", "workers"), [(1, 0), (2, 2), (3, 1), (5, 0), (1, 7)])
def test_what_is_left_goes_on_in_the_same_order(world, workers, ends):
    order = make(SMALL, 4, ends=ends)
    before = every_batch(order)
    for done in range(0, len(before) + 1, 4):
        ranks = ranks_of(order, world, workers, done)
        left = before[done:]
        extra = len(left) % world
        if ends == "drop":
            left = left[: len(left) - extra]
        assert flat(ranks)[: len(left)] == left
        again = flat(ranks)[len(left) :]
        lengths = {len(batches) for batches in ranks}
        if ends == "pad" and extra:
            assert len(again) == world - extra
            assert all(repeated for batch in again for _, repeated in batch)
            assert {tuple(r for r, _ in batch) for batch in again} <= {
                tuple(r for r, _ in batch) for batch in left
            }
        else:
            assert again == []
        assert max(lengths) - min(lengths) <= (ends == "exact")


def test_a_chain_of_interruptions_loses_and_repeats_nothing():
    order, count, done = make(LARGE, 8), Counter(), 0
    for world, workers, used in [(4, 2, 31), (3, 1, 50), (5, 2, 7), (1, 0, 100), (2, 4, 10**9)]:
        ranks = ranks_of(order, world, workers, done)
        given = [batch for batches in ranks for batch in batches[:used]]
        count.update(row for batch in given for row, _ in batch)
        done = min(order.n_batches, done + used * world)
    assert count == Counter(wanted(LARGE))


def test_blocks_that_were_used_are_not_loaded_again():
    order = make(LARGE)
    done = order.n_batches // 2
    turns = order.turns(done, 1, 0, 1)
    blocks = {(lane, number) for lane, number, *_ in order.planned_blocks(turns, done)}
    everything = {
        (lane, number)
        for lane in range(order.n_lanes)
        for number in range(len(order.block_edges(lane)) - 1)
    }
    # One block a lane was begun before.
    assert len(blocks) <= len(everything) / 2 + order.n_lanes


@pytest.mark.parametrize("readers", [5, 7, 9, 32])
def test_readers_that_do_not_divide_the_lanes_share_blocks_in_bounded_memory(readers):
    order = make(LARGE)
    done = 10 * order.n_lanes + 5
    turns = order.turns(done, readers, 2, readers)
    lanes = order.n_lanes // gcd(order.n_lanes, readers)
    uses = {}
    for place, number in enumerate(turns):
        for lane, block, _, _ in order.batch(number):
            uses.setdefault((lane, block), []).append(place)
    in_use = [sum(min(u) <= place <= max(u) for u in uses.values()) for place in range(len(turns))]
    assert max(in_use) <= lanes + max(2, lanes // 12) + 1
    planned = list(order.planned_blocks(turns, done))
    assert {(block.lane, block.number) for block in planned} == set(uses)
    assert len(planned) == len(uses)


@pytest.mark.parametrize("readers", [1, 4, 5, 7])
def test_blocks_are_planned_as_they_are_needed(readers):
    order, seen = make(LARGE), []
    turns = order.turns(5, readers, 0, readers)
    shared_by = readers // gcd(readers, order.n_lanes)
    batches = (order.block_rows + order.options.rows_per_read) // 8 // shared_by + 3
    wait = batches * order.n_lanes // (readers // shared_by)
    blocks = order.planned_blocks((seen.append(number) or number for number in turns), 5)
    for block in itertools.islice(blocks, 2 * order.n_lanes):
        # What one block waits for: its own batches, and the next one of its lane.
        assert len(seen) - block.targets[0].batch <= wait < len(turns)


def test_the_digest_tells_orders_apart():
    digests = {
        make(SMALL).digest,
        make(SMALL, seed=4).digest,
        make(SMALL, epoch=1).digest,
        make(SMALL, 2).digest,
        make(SMALL, batch_size=9, ends="drop").digest,
        make(LARGE).digest,
    }
    assert len(digests) == 6
    assert make(SMALL).digest == make(SMALL).digest
    assert make(SMALL, 500, ends="drop").n_batches == 0
    assert make(SMALL, 500, ends="drop").digest


def test_one_known_digest_stays():
    assert make(SMALL, seed=0).digest == "4884a663251212a5"


def test_numbers_have_no_gaps_at_the_ends():
    for readers in (1, 2, 3, 5, 8, 13):
        order = make(LARGE, readers, batch_size=11)
        numbers = sorted(
            itertools.chain(*(order.turns(0, readers, i, readers) for i in range(readers)))
        )
        assert numbers == list(range(order.n_batches))
        rows = [s.end - s.begin for n in numbers for s in order.batch(n)]
        assert sum(rows) == np.sum(LARGE.n)
