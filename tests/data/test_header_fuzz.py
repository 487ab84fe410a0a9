"""100,000 damaged headers: each is a header that a full read agrees with, or a refusal."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from header_mutants import MUTATIONS, Mutant, file_of, mutant
from mutant_checks import (
    IN_THE_HEADER,
    LENIENCIES,
    MAX_BYTES,
    check_accepted,
    check_file,
    header_outcome,
)

from c2s_data.errors import MapReason
from c2s_data.sources.density_map import MapHeader

SEED = 20260101
HEADERS, FILES = 100_000, 4_000


def outcomes(numbers: range) -> Iterator[tuple[Mutant, MapHeader | MapReason]]:
    """Parse a block of mutants with its memory traced, which alone costs more than parsing."""
    mutants = [mutant(SEED, number) for number in numbers]
    tracemalloc.start()
    try:
        parsed = [header_outcome(made) for made in mutants]
        assert tracemalloc.get_traced_memory()[1] < MAX_BYTES
    finally:
        tracemalloc.stop()
    return zip(mutants, parsed, strict=True)


@pytest.mark.parametrize("block", range(10))
def test_every_mutant_is_a_sound_header_or_a_refusal(block: int, fuzz_factor: int) -> None:
    n = HEADERS * fuzz_factor // 10
    refused: Counter[MapReason] = Counter()
    overlooked: Counter[str] = Counter()
    for made, got in outcomes(range(block * n, (block + 1) * n)):
        assert made.reasons is None or got in made.reasons, made
        if isinstance(got, MapReason):
            refused[got] += 1
            continue
        check_accepted(made.raw, got)
        overlooked.update(got.leniencies)
        if len(made.changes) == 1 and made.changes[0] not in ("byte-order", "words", "bytes"):
            assert got.byte_order == made.byte_order, made
    assert set(overlooked) == LENIENCIES
    assert min(overlooked.values()) > 50
    assert n // 5 < sum(refused.values()) < n * 4 // 5
    assert set(refused) == IN_THE_HEADER


def test_a_mutant_is_the_same_every_time() -> None:
    numbers = (0, 7, 99_999)
    assert [mutant(SEED, n) for n in numbers] == [mutant(SEED, n) for n in numbers]
    assert {change for n in range(2000) for change in mutant(SEED, n).changes} == set(MUTATIONS)


@pytest.mark.parametrize("block", range(4))
def test_files_with_damaged_headers_are_read_as_they_say_or_refused(
    tmp_path: Path, block: int, fuzz_factor: int
) -> None:
    read, n = 0, FILES * fuzz_factor // 4
    tracemalloc.start()
    try:
        for number in range(block * n, (block + 1) * n):
            made = mutant(SEED, number)
            content = file_of(made, SEED, number)
            path = tmp_path / ("x.map", "x.mrc.gz")[number % 2]
            path.write_bytes(content)
            read += check_file(path, content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MAX_BYTES
    assert read > n // 10
