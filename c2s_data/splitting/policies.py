"""Splits that look at one entry at a time: resolution, EMDB id, date, and the small subset.

Paper, "Data Splits" and Table 2. None of them knows which proteins are alike; `c2s_data.leakage`
says what that costs.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from c2s_data.errors import CatalogError, ConfigError
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.splitting.assignment import (
    TEST,
    TRAIN,
    VALIDATION,
    Assignment,
    Shares,
    keyed_position,
)

BINS: Final = ("1-2", "2-3", "3-4")
"""Resolution in A: [1, 2), [2, 3) and [3, 4]."""
OVERFLOW: Final = ("below 1", "above 4", "not given")
"""Where other entries are counted; each is divided like a bin of its own."""
PAPER_FULL: Final = {TRAIN: (62, 2147, 4443), VALIDATION: (5, 222, 513)}
PAPER_SMALL: Final = {TRAIN: (34, 535, 1111), VALIDATION: (4, 55, 128)}
"""Table 2: entries by bin."""
_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def resolution_bin(resolution_A: float | None) -> str:
    """Return the bin of a resolution in A, one of `BINS` and `OVERFLOW`."""
    if resolution_A is None:
        return "not given"
    if resolution_A < 1:
        return "below 1"
    if resolution_A > 4:
        return "above 4"
    return BINS[min(int(resolution_A) - 1, 2)]


def largest_remainder(sizes: Sequence[int], share: float) -> list[int]:
    """Divide ``round(share * sum(sizes))`` seats among groups in proportion to their sizes.

    Each group gets the whole part of its quota; the seats left go to the largest fractions, the
    earlier group on a tie.
    """
    total = sum(sizes)
    seats = int(share * total + 0.5)
    if not total or not seats:
        return [0] * len(sizes)
    # In whole numbers: quotas that are equal must be seen to be equal.
    seats_whole = [seats * size // total for size in sizes]
    fractions = [seats * size % total for size in sizes]
    first = sorted(range(len(sizes)), key=lambda i: (-fractions[i], i))
    for i in first[: seats - sum(seats_whole)]:
        seats_whole[i] += 1
    return seats_whole


def by_resolution(entries: Sequence[CatalogEntry], share: float, seed: int) -> list[Assignment]:
    """Put a share of each resolution bin into validation, the rest into train.

    The quotas are exact, by largest remainder; which entries fill them, a keyed hash says. So an
    entry that joins a bin can move one other across its quota: `cluster` moves none.
    """
    members: dict[str, list[CatalogEntry]] = {name: [] for name in (*BINS, *OVERFLOW)}
    for entry in entries:
        members[resolution_bin(entry.resolution_A)].append(entry)
    quotas = largest_remainder([len(found) for found in members.values()], share)
    chosen: set[str] = set()
    for found, quota in zip(members.values(), quotas, strict=True):
        ranked = sorted(found, key=lambda entry: _rank(entry, seed))
        chosen |= {entry.entry_id for entry in ranked[:quota]}
    return [
        Assignment(
            entry.entry_id,
            VALIDATION if entry.entry_id in chosen else TRAIN,
            f"resolution {resolution_bin(entry.resolution_A)}",
        )
        for entry in entries
    ]


def by_id(entries: Sequence[CatalogEntry], fold: int) -> list[Assignment]:
    """Put the entries whose EMDB number begins with one digit into validation.

    The digit is the fold, and the folder of the published archive (EMD_0 to EMD_9) that holds the
    entry. Entries without an EMDB id are left out.
    """
    if not 0 <= fold <= 9:
        raise ConfigError(f"fold {fold}: it is a digit of EMDB ids, 0 to 9")
    made = []
    for entry in entries:
        digit = int(entry.emdb_id.removeprefix("EMD-")[0]) if entry.emdb_id else None
        split = None if digit is None else VALIDATION if digit == fold else TRAIN
        reason = "no EMDB id" if digit is None else f"fold {digit}"
        made.append(Assignment(entry.entry_id, split, reason))
    return made


def by_date(
    entries: Sequence[CatalogEntry],
    column: str,
    shares: Shares,
    *,
    validation_from: str | None = None,
    test_from: str | None = None,
) -> list[Assignment]:
    """Train on the past: the newest entries are the test set, those before them validation.

    Parameters
    ----------
    entries, column
        The catalog and its column of dates, YYYY-MM-DD. Entries without one are left out.
    shares
        Of the dated entries; all of one date stay together, in the earlier split.
    validation_from, test_from
        First dates of the two, in place of shares; then added entries move none.

    Raises
    ------
    CatalogError
        If no entry has that column, or a date is none.
    """
    dates = {entry.entry_id: _date(entry, column) for entry in entries}
    known = sorted(date for date in dates.values() if date)
    if not known:
        raise CatalogError(
            f"no entry has a date in column {column!r}; name the column with --date-column"
        )
    if test_from is None:
        test_from = _first_of_newest(known, shares.test)
    if validation_from is None:
        validation_from = _first_of_newest(known, shares.validation + shares.test)
    made = []
    for entry_id, date in dates.items():
        if not date:
            made.append(Assignment(entry_id, None, f"no {column}"))
            continue
        split = TEST if date >= test_from else VALIDATION if date >= validation_from else TRAIN
        made.append(Assignment(entry_id, split, f"{column} {date}"))
    return made


def small_subset(entries: Sequence[CatalogEntry], share: float, seed: int) -> list[Assignment]:
    """Take the paper's small subset out of the split by resolution.

    From a catalog that holds as many entries as the paper's in every bin the paper's numbers are
    taken; from a smaller one the same fractions of each bin and split (34/62, 535/2147, ...),
    rounded half up. Entries outside 1 to 4 A are left out.
    """
    made = by_resolution(entries, share, seed)
    cells: dict[tuple[str, str], list[CatalogEntry]] = {}
    for entry, item in zip(entries, made, strict=True):
        cell = (item.split or "", resolution_bin(entry.resolution_A))
        cells.setdefault(cell, []).append(entry)
    chosen: set[str] = set()
    for wanted in small_quotas({cell: len(found) for cell, found in cells.items()}).items():
        cell, quota = wanted
        ranked = sorted(cells.get(cell, []), key=lambda entry: _rank(entry, seed + 1))
        chosen |= {entry.entry_id for entry in ranked[:quota]}
    return [
        item if item.entry_id in chosen else Assignment(item.entry_id, None, "not in the subset")
        for item in made
    ]


def small_quotas(sizes: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Return how many entries of each split and bin the small subset takes."""
    cells = [
        ((split, name), PAPER_FULL[split][i], PAPER_SMALL[split][i])
        for split in PAPER_FULL
        for i, name in enumerate(BINS)
    ]
    if all(sizes.get(cell, 0) >= full for cell, full, _ in cells):
        return {cell: small for cell, _, small in cells}
    return {
        cell: (2 * sizes.get(cell, 0) * small + full) // (2 * full) for cell, full, small in cells
    }


def beside_paper(
    entries: Iterable[CatalogEntry], made: Iterable[Assignment], paper: Mapping[str, Sequence[int]]
) -> list[tuple[str, dict[str, int], dict[str, int | None]]]:
    """Return for each bin its name, our counts by split and the paper's."""
    ours = {name: {TRAIN: 0, VALIDATION: 0, TEST: 0} for name in (*BINS, *OVERFLOW)}
    for entry, item in zip(entries, made, strict=True):
        if item.split:
            ours[resolution_bin(entry.resolution_A)][item.split] += 1
    return [
        (name, ours[name], {s: row[i] if i < 3 else None for s, row in paper.items()})
        for i, name in enumerate(ours)
    ]


def _rank(entry: CatalogEntry, seed: int) -> tuple[float, str]:
    return keyed_position(seed, entry.entry_id), entry.entry_id


def _date(entry: CatalogEntry, column: str) -> str:
    text = entry.metadata.get(column, "").strip()[:10]
    if not text:
        return ""
    try:
        if not _ISO_DATE.fullmatch(text):
            raise ValueError
        datetime.date.fromisoformat(text)
    except ValueError as error:
        raise CatalogError(
            f"{entry.entry_id}: {column} {text!r} is no date of the form 2023-12-31"
        ) from error
    return text


def _first_of_newest(known: Sequence[str], share: float) -> str:
    """Return the first date of the newest share; one that begins before it stays outside."""
    n = int(share * len(known) + 0.5)
    if n == 0:
        return "9999-99-99"
    first = len(known) - n
    cut = known[first]
    if first and known[first - 1] == cut:
        return next((date for date in known[first:] if date > cut), "9999-99-99")
    return cut
