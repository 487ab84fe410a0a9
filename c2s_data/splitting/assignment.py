"""What a split says of each entry, and the keyed hash behind every choice by chance."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from c2s_data.errors import ConfigError

if TYPE_CHECKING:
    from c2s_data.sources.catalog import CatalogEntry

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
SPLITS: Final = (TRAIN, VALIDATION, TEST)
_WORDS: Final = {
    **dict.fromkeys(("train", "training", "trainset", "tr"), TRAIN),
    **dict.fromkeys(("validation", "valid", "val", "validate", "dev", "validset"), VALIDATION),
    **dict.fromkeys(("test", "testing", "heldout", "holdout", "testset"), TEST),
}
_DIGITS: Final = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Assignment:
    """Where one entry goes.

    ``split`` is train, validation, test or None for an entry that the policy leaves out;
    ``component`` names the group that stays together, the oldest of its entries; ``reason`` says
    in words why.
    """

    entry_id: str
    split: str | None
    reason: str
    component: str = ""


@dataclass(frozen=True)
class Shares:
    """Shares of the entries that go to validation and test; the rest is for training.

    Raises
    ------
    ConfigError
        If one is negative or nothing is left to train on.
    """

    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        if min(self.validation, self.test) < 0 or not self.validation + self.test < 1:
            raise ConfigError(
                f"shares of {self.validation:g} for validation and {self.test:g} for test: give "
                "numbers from 0 that leave something to train on"
            )

    def split_at(self, position: float) -> str:
        """Return the split of a position in [0, 1): test first, then validation, then train."""
        if position < self.test:
            return TEST
        return VALIDATION if position < self.test + self.validation else TRAIN


def keyed_position(seed: int, name: str) -> float:
    """Return a number in [0, 1) that depends on seed and name alone, the same on every machine."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def age_key(entry: CatalogEntry) -> tuple[bool, tuple[tuple[int, str], ...], str]:
    """Order entries by age: EMDB numbers grow with time; entries without one come last, by name."""
    name = entry.emdb_id or entry.entry_id
    # Odd parts are digits: EMD-9999 is older than EMD-10000.
    parts = [(int(p), "") if i % 2 else (0, p) for i, p in enumerate(_DIGITS.split(name))]
    return entry.emdb_id is None, tuple(parts), entry.entry_id


def split_word(text: str) -> str | None:
    """Return train, validation or test for the words that stand for them, else None."""
    return _WORDS.get(re.sub(r"[^a-z]", "", text.casefold()))


def hold_out(made: Sequence[Assignment], held_out: frozenset[str]) -> list[Assignment]:
    """Put the entries of a held-out list into the test set, whatever a policy made of them."""
    return [
        replace(item, split=TEST, reason="held-out list") if item.entry_id in held_out else item
        for item in made
    ]


def counts(made: Sequence[Assignment]) -> Mapping[str | None, int]:
    """Return the number of entries by split, those left out under None."""
    found: dict[str | None, int] = dict.fromkeys((*SPLITS, None), 0)
    for item in made:
        found[item.split] += 1
    return found
