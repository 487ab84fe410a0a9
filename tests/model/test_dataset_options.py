"""Options of the dataset that are refused, and why."""

from __future__ import annotations

import pytest
from small_store import small


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ("bfactor",)}, "targets"),
        ({"targets": ("atom", "atom")}, "targets"),
        ({"density_dtype": "float64"}, "density_dtype"),
        ({"rank": 0, "world_size": None}, "both"),
        ({"rank": 2, "world_size": 2}, "not below"),
        ({"threads": 0}, "threads"),
        ({"seed": -1}, "seed"),
        ({"batch_size": 0}, "batch_size"),
        ({"on_corrupt": "ignore"}, "on_corrupt"),
        ({"on_corrupt": "skip", "max_corrupt_rows": 0}, "max_corrupt_rows"),
        ({"generation": 3}, "generation=3 needs a path"),
    ],
)
def test_wrong_options_are_refused_at_once(plain_store, options, message):
    with pytest.raises(ValueError, match=message):
        small(plain_store, **options)


def test_options_that_the_store_refuses(plain_store):
    with pytest.raises(ValueError, match="it has"):
        list(small(plain_store, split="test"))
    with pytest.raises(ValueError, match="rows_per_read=6"):
        list(small(plain_store, rows_per_read=6))
    with pytest.raises(ValueError, match="negative"):
        small(plain_store).set_epoch(-1)


def test_full_batches_that_no_lane_can_fill_are_an_error_and_no_empty_epoch(plain_store):
    dataset = small(plain_store, ends="drop", batch_size=100_000)
    with pytest.raises(ValueError, match="not one full batch"):
        list(dataset)
