"""Which chains to trace: from a FASTA file, or from the answer where somebody asks for that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from c2s_data.errors import ConfigError
from c2s_data.sources.fasta import FastaRecord, read_fasta
from c2s_data.sources.residue_letter import plain_letters
from c2s_data.sources.sequence import chain_sequences
from c2s_model.backbone.residue_codes import residue_codes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAX_CHAINS: Final = 2_000
MAX_RESIDUES: Final = 200_000
_NAME: Final = re.compile(r"[A-Za-z0-9]{1,8}")
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NUCLEIC: Final = frozenset("ACGTUN")


@dataclass(frozen=True, eq=False)
class TargetChain:
    """One chain to find.

    Parameters
    ----------
    name : str
        Chain identifier of the structure file.
    sequence : str
        The whole sequence, capitals.
    places : (k,) int32
        Which residues of it to trace, from 0, ascending; all of them unless the answer is used.
    """

    name: str
    sequence: str
    places: NDArray[np.int32]

    @property
    def codes(self) -> NDArray[np.int8]:
        """The residues to trace as numbers, (k,)."""
        return residue_codes(self.sequence)[self.places]


def chains_of_fasta(path: Path) -> tuple[tuple[TargetChain, ...], tuple[str, ...]]:
    """Return the chains of a FASTA file, as `chains_of_records`.

    Raises
    ------
    FastaError
        As `read_fasta`.
    ConfigError
        As `chains_of_records`.
    """
    return chains_of_records(read_fasta(path), str(path))


def chains_of_records(
    records: Iterable[FastaRecord], source: str
) -> tuple[tuple[TargetChain, ...], tuple[str, ...]]:
    """Return one chain for each that the headers name, one for a header that names none.

    Returns
    -------
    tuple
        Chains, and notes on what was left out.

    Raises
    ------
    ConfigError
        No protein in it, or more than the bounds of this module allow.
    """
    named, notes = [], []
    for record in records:
        letters = plain_letters(record.sequence)
        if set(letters) <= _NUCLEIC:
            notes.append(f"{record.header[:60]!a} is a nucleic acid and is left out")
            continue
        named += [(name, letters) for name in _chain_names(record)]
    return _target_chains(named, source), tuple(notes)


def chains_of_answer(path: Path) -> tuple[tuple[TargetChain, ...], tuple[str, ...]]:
    """Return the chains of a model, and only the residues that it holds: this uses the answer.

    Raises
    ------
    ModelError
        As `read_structure`.
    ConfigError
        As `chains_of_fasta`.
    """
    found = [one for one in chain_sequences(path) if one.kind == "protein"]
    chains = _target_chains([(one.chain, one.sequence) for one in found], str(path))
    observed = [np.unique(one.observed[one.observed >= 0]).astype(np.int32) for one in found]
    return tuple(
        TargetChain(chain.name, chain.sequence, places)
        for chain, places in zip(chains, observed, strict=True)
        if len(places)
    ), (f"the sequences and the residues to trace come from the answer, {path.name}",)


def without_kept(
    chains: tuple[TargetChain, ...], kept: Iterable[tuple[str, str]]
) -> tuple[tuple[TargetChain, ...], tuple[str, ...]]:
    """Leave out one chain for each kept one of the same sequence, first the one of its name.

    Parameters
    ----------
    chains
        To trace.
    kept
        Name and sequence of each chain built already.
    """
    left, notes = list(chains), []
    for name, sequence in kept:
        same = [one for one in left if sequence and sequence in one.sequence]
        same.sort(key=lambda one: one.name != name)
        if same:
            left.remove(same[0])
            notes.append(f"chain {same[0].name} is built already (chain {name} of the kept model)")
    return tuple(left), tuple(notes)


def fresh_names(taken: Iterable[str]) -> Iterator[str]:
    """Yield chain names A, B, ... Z, AA, AB, ... that are not taken."""
    used = set(taken)
    for length in (1, 2, 3, 4):
        for letters in product(_LETTERS, repeat=length):
            if (name := "".join(letters)) not in used:
                yield name


def renamed(
    chains: tuple[TargetChain, ...], taken: set[str]
) -> tuple[tuple[TargetChain, ...], tuple[str, ...]]:
    """Give chains whose names are taken others."""
    free = fresh_names(taken | {one.name for one in chains})
    made, notes = [], []
    for one in chains:
        name = next(free) if one.name in taken else one.name
        if name != one.name:
            notes.append(f"chain {one.name} is called {name}: the kept model has a {one.name}")
        made.append(TargetChain(name, one.sequence, one.places))
    return tuple(made), tuple(notes)


def _chain_names(record: FastaRecord) -> list[str]:
    """Return the author names of a header's chains, one empty name where it names none."""
    return [auth for _, auth in record.chains] or [""]


def _target_chains(named: list[tuple[str, str]], source: str) -> tuple[TargetChain, ...]:
    if not named:
        raise ConfigError(f"{source}: no protein sequence; give the FASTA of the whole entry")
    total = sum(len(letters) for _, letters in named)
    if len(named) > MAX_CHAINS or total > MAX_RESIDUES:
        raise ConfigError(
            f"{source}: {len(named):,} chains of {total:,} residues; {MAX_CHAINS:,} and "
            f"{MAX_RESIDUES:,} are allowed"
        )
    usable = {name for name, _ in named if _NAME.fullmatch(name)}
    free = fresh_names(frozenset(usable))
    chains: list[TargetChain] = []
    for name, letters in named:
        if not letters:
            continue
        if name not in usable:
            name = next(free)  # noqa: PLW2901 - unnamed, unfit for a file, or there already
        usable.discard(name)
        chains.append(TargetChain(name, letters, np.arange(len(letters), dtype=np.int32)))
    return tuple(chains)
