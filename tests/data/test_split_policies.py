"""Splits that look at one entry at a time, against counts by hand and brute force."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2s_data.errors import CatalogError, ConfigError
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.splitting.assignment import (
    Shares,
    counts,
    keyed_position,
)
from c2s_data.splitting.policies import (
    beside_paper,
    by_date,
    by_id,
    by_resolution,
    largest_remainder,
    resolution_bin,
    small_quotas,
    small_subset,
)


def entry(number: int, resolution_A: float | None = 3.0, **more) -> CatalogEntry:
    name = f"EMD-{number:04d}"
    return CatalogEntry(name, "a.map", "a.cif", resolution_A, emdb_id=name, **more)


def splits_of(made) -> dict[str, str | None]:
    return {item.entry_id: item.split for item in made}


@given(st.lists(st.integers(0, 60), min_size=1, max_size=4), st.fractions(0, 1))
def test_largest_remainder_is_the_fairest_division(sizes: list[int], share: Fraction) -> None:
    seats = largest_remainder(sizes, float(share))
    total, n = sum(sizes), sum(seats)
    assert n == int(float(share) * total + 0.5)
    assert all(0 <= seat <= size for seat, size in zip(seats, sizes, strict=True))
    if not n:
        return
    # Hamilton's method makes the sum of squared distances to the exact quotas smallest.
    quotas = [Fraction(n * size, total) for size in sizes]
    ranges = [range(max(0, int(q) - 1), int(q) + 3) for q in quotas]
    best = min(
        sum((s - q) ** 2 for s, q in zip(other, quotas, strict=True))
        for other in itertools.product(*ranges)
        if sum(other) == n
    )
    assert sum((s - q) ** 2 for s, q in zip(seats, quotas, strict=True)) == best


def test_bins_are_the_papers() -> None:
    given_A = [0.9, 1.0, 1.99, 2.0, 2.999, 3.0, 4.0, 4.01, None]
    assert [resolution_bin(value) for value in given_A] == [
        "below 1", "1-2", "1-2", "2-3", "2-3", "3-4", "3-4", "above 4", "not given",
    ]  # fmt: skip


def test_resolution_takes_ten_percent_of_each_bin() -> None:
    # The paper's own 7,392 entries: 67, 2,369 and 4,956; quotas 6.698, 236.836 and 495.466 of 739.
    bins = [1.5] * 67 + [2.5] * 2369 + [3.5] * 4956
    entries = [entry(1000 + i, value) for i, value in enumerate(bins)]
    table = beside_paper(entries, by_resolution(entries, 0.1, 0), {"train": (62, 2147, 4443)})
    assert [(name, ours["train"], ours["validation"]) for name, ours, _ in table[:3]] == [
        ("1-2", 60, 7), ("2-3", 2132, 237), ("3-4", 4461, 495),
    ]  # fmt: skip
    assert table[1][2] == {"train": 2147}
    assert table[3][2] == {"train": None}


def test_resolution_draws_by_seed_and_not_by_order() -> None:
    entries = [entry(1000 + i, 2.5) for i in range(50)]
    made = splits_of(by_resolution(entries, 0.2, 4))
    assert splits_of(by_resolution(entries[::-1], 0.2, 4)) == made
    assert splits_of(by_resolution(entries, 0.2, 5)) != made
    chosen = {name for name, split in made.items() if split == "validation"}
    lowest = sorted(made, key=lambda name: keyed_position(4, name))[:10]
    assert chosen == set(lowest)


def test_the_hash_is_fixed_for_all_time() -> None:
    # The first 64 bits that `printf 0:EMD-22898 | sha256sum` prints.
    assert keyed_position(0, "EMD-22898") == 0x0DCBDD94328E2213 / 2**64
    assert 0 <= keyed_position(3, "x") < 1
    many = [keyed_position(0, str(i)) for i in range(4000)]
    assert np.histogram(many, 4, (0, 1))[0] == pytest.approx(1000, abs=110)


def test_id_folds_go_by_the_first_digit() -> None:
    entries = [entry(n) for n in (22898, 9012, 93, 29001)]
    entries.append(CatalogEntry("mine", "a.map", "a.cif", 3.0))
    assert splits_of(by_id(entries, 2)) == {
        "EMD-22898": "validation", "EMD-9012": "train", "EMD-0093": "train",
        "EMD-29001": "validation", "mine": None,
    }  # fmt: skip
    assert splits_of(by_id(entries, 0))["EMD-0093"] == "validation"
    with pytest.raises(ConfigError, match="0 to 9"):
        by_id(entries, 10)


def dated(*dates: str) -> list[CatalogEntry]:
    return [entry(1000 + i, metadata={"release_date": d}) for i, d in enumerate(dates)]


def test_date_trains_on_the_past() -> None:
    days = [f"2020-01-{day:02d}" for day in range(1, 11)]
    made = by_date(dated(*days[::-1]), "release_date", Shares(0.2, 0.1))
    assert [item.split for item in made] == ["test", "validation", "validation", *["train"] * 7]
    made = by_date(
        dated(*days, ""), "release_date", Shares(), validation_from="2020-01-08",
        test_from="2020-01-10",
    )  # fmt: skip
    assert [item.split for item in made[6:]] == [
        "train", "validation", "validation", "test", None,
    ]  # fmt: skip


def test_one_date_is_never_divided() -> None:
    made = by_date(dated(*["2020-01-01"] * 5, *["2021-06-01"] * 5), "release_date", Shares(0, 0.3))
    assert {item.split for item in made} == {"train"}
    made = by_date(dated(*["2020-01-01"] * 5, *["2021-06-01"] * 5), "release_date", Shares(0, 0.5))
    assert [item.split for item in made] == ["train"] * 5 + ["test"] * 5


def test_dates_that_are_none_are_refused() -> None:
    with pytest.raises(CatalogError, match="EMD-1000: release_date '2020-13-01' is no date"):
        by_date(dated("2020-13-01"), "release_date", Shares())
    with pytest.raises(CatalogError, match="--date-column"):
        by_date(dated(""), "release_date", Shares())


def test_the_small_subset_has_the_papers_counts_or_its_fractions() -> None:
    full = {
        ("train", "1-2"): 62,
        ("train", "2-3"): 2147,
        ("train", "3-4"): 4443,
        ("validation", "1-2"): 5,
        ("validation", "2-3"): 222,
        ("validation", "3-4"): 513,
    }
    assert list(small_quotas(full).values()) == [34, 535, 1111, 4, 55, 128]
    assert list(small_quotas({cell: n + 9 for cell, n in full.items()}).values()) == [
        34, 535, 1111, 4, 55, 128,
    ]  # fmt: skip
    tenth = {("train", "2-3"): 215, ("train", "3-4"): 444, ("validation", "3-4"): 51}
    # 215 x 535 / 2147 = 53.57, 444 x 1111 / 4443 = 111.02, 51 x 128 / 513 = 12.73
    assert list(small_quotas(tenth).values()) == [0, 54, 111, 0, 0, 13]
    entries = [entry(1000 + i, 3.5) for i in range(495)] + [entry(9000, 5.0)]
    made = small_subset(entries, 0.1, 0)
    whole = splits_of(by_resolution(entries, 0.1, 0))
    assert counts(made)["train"] == round(445 * 1111 / 4443)
    assert splits_of(made)["EMD-9000"] is None
    assert all(item.split in (None, whole[item.entry_id]) for item in made)
