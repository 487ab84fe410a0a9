"""The sequence files of the published directory layout, and Clustal Omega.

The published programs join all chains of an entry into one line, once as deposited and once as
observed, and let Clustal Omega align the two (paper, "Data Records"). Joined so, a chain can end
up on another one: of the 448 residues of 7KJR 62 do, a whole chain of them on its equal copy. Here
both lines keep the order of the chains, and unless asked otherwise the alignment is written from
the places that each chain's residues have in its own sequence. It looks as Clustal Omega's output
does and is right.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import numpy as np

from c2s_data.errors import C2SError
from c2s_data.sources.catalog import check_entry_id
from c2s_data.sources.fasta import (
    MAX_SEQUENCE,
    FastaError,
    FastaRecord,
    format_fasta,
    parse_fasta,
)
from c2s_data.sources.sequence_match import UNALIGNED
from c2s_data.sources.sequence_table import to_fasta

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from c2s_data.sources.sequence import ChainSequence

TIMEOUT_S: Final = 300.0
MAX_CLUSTAL: Final = 5_000
"""Longest joined sequence given to the program, whose memory grows with the square: 1.2 GB."""
_GAP: Final = "-"
_HEADERS: Final = ("original", "atom")


class ClustalError(C2SError):
    """Clustal Omega is not there, failed, or did not align what it was given."""


def published_sequence_files(
    chains: Sequence[ChainSequence],
    pdb_id: str,
    *,
    original: str | None = None,
    alignment: str | None = None,
) -> dict[str, str]:
    """Return the sequence files of one entry, content by file name.

    Parameters
    ----------
    chains
        Protein chains are used; nucleic ones are left out of all files.
    pdb_id
        Begins the names of two files.
    original
        Content of ``<pdb_id>.fasta``; made of the chains where it is not given.
    alignment
        Content of ``dealign_clustal_output.fasta``, as `run_clustalo` returns it; by default
        `mapped_alignment`.

    Returns
    -------
    dict
        ``<pdb_id>.fasta``; ``<pdb_id>_all_chain_combined.fasta``, every copy of every chain, one
        line without header and line end; ``atomic.fasta``, the observed residues, one line without
        header; ``dealign_clustal_input.fasta`` and ``dealign_clustal_output.fasta``.

    Raises
    ------
    FastaError
        No protein chain, none observed, or chains that are too long together.
    CatalogError
        ``pdb_id`` cannot name a file.
    """
    check_entry_id(pdb_id)
    sequence, observed = _joined(chains)
    return {
        f"{pdb_id}.fasta": to_fasta(chains, pdb_id.upper()) if original is None else original,
        f"{pdb_id}_all_chain_combined.fasta": sequence,
        "atomic.fasta": observed + "\n",
        "dealign_clustal_input.fasta": clustal_input(chains),
        "dealign_clustal_output.fasta": mapped_alignment(chains)
        if alignment is None
        else alignment,
    }


def clustal_input(chains: Sequence[ChainSequence]) -> str:
    """Return the two joined sequences as FASTA, ``>original`` and ``>atom``, one line each."""
    records = [FastaRecord(*pair) for pair in zip(_HEADERS, _joined(chains), strict=True)]
    return format_fasta(records, width=None)


def mapped_alignment(chains: Sequence[ChainSequence]) -> str:
    """Return the alignment of the two joined sequences that the chains' own places make.

    The format is Clustal Omega's: FASTA, 60 letters a line, ``-`` for a gap. A residue without a
    place, or behind one that comes later in the sequence, stands against a gap of ``original``.
    """
    _joined(chains)  # refuses what is too long
    above: list[str] = []
    below: list[str] = []
    for chain in _proteins(chains):
        done = 0
        for letter, place in zip(chain.observed_letters, chain.observed.tolist(), strict=True):
            if place < done:  # also UNALIGNED
                above.append(_GAP)
            else:
                above.append(chain.sequence[done : place + 1])
                below.append(_GAP * (place - done))
                done = place + 1
            below.append(letter)
        above.append(chain.sequence[done:])
        below.append(_GAP * (chain.length - done))
    return format_fasta(
        [FastaRecord(_HEADERS[0], "".join(above)), FastaRecord(_HEADERS[1], "".join(below))]
    )


def run_clustalo(text: str, *, timeout_s: float = TIMEOUT_S) -> str:
    """Align with Clustal Omega (``clustalo --dealign``; Debian's package is ``clustalo``).

    Parameters
    ----------
    text
        As `clustal_input` returns it.
    timeout_s
        The program is stopped after this time.

    Returns
    -------
    str
        What the program prints, an alignment in FASTA.

    Raises
    ------
    ClustalError
        The program is not installed, fails, takes too long, gives something else than an alignment
        of the input, or the input is longer than `MAX_CLUSTAL`.
    """
    given = parse_fasta(text, name="input of clustalo")
    longest = max(len(record.sequence) for record in given)
    if longest > MAX_CLUSTAL:
        raise ClustalError(
            f"{longest:,} residues are more than the {MAX_CLUSTAL:,} given to clustalo; "
            "use the mapping"
        )
    program = shutil.which("clustalo")
    if program is None:
        raise ClustalError("the program clustalo is not installed; install it, or use the mapping")
    command = [program, "-i", "-", "--dealign", "--seqtype=Protein", "--threads=1"]
    try:
        done = subprocess.run(  # noqa: S603  no shell, no argument from outside
            command, input=text, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ClustalError(f"clustalo took longer than {timeout_s:g} s; use the mapping") from error
    if done.returncode:
        raise ClustalError(f"clustalo failed: {done.stderr.strip()[:300]!a}; use the mapping")
    aligned = parse_fasta(done.stdout, name="output of clustalo")
    same = [(one.header, one.sequence.replace(_GAP, "")) for one in aligned] == [
        (one.header, one.sequence) for one in given
    ]
    if not same or len({len(one.sequence) for one in aligned}) != 1:
        raise ClustalError("clustalo changed the sequences that it was to align; use the mapping")
    return done.stdout


def n_misplaced(alignment: str, chains: Sequence[ChainSequence]) -> int:
    """Count the observed residues that an alignment puts elsewhere than their chain does.

    Parameters
    ----------
    alignment
        Of the two joined sequences, as `run_clustalo` and `mapped_alignment` return it.
    chains
        The truth. Residues without a place count when the alignment gives them one.

    Raises
    ------
    FastaError
        The alignment is none of these chains.
    """
    by_header = {record.header: record.sequence for record in parse_fasta(alignment)}
    above, below = (by_header.get(header, "") for header in _HEADERS)
    proteins = _proteins(chains)
    starts = np.cumsum([0, *(chain.length for chain in proteins)])
    truth = np.concatenate(
        [
            np.where(chain.observed == UNALIGNED, UNALIGNED, chain.observed + start)
            for chain, start in zip(proteins, starts[:-1], strict=True)
        ]
    )
    given = _places(above, below) if len(above) == len(below) else np.empty(0)
    if len(given) != len(truth):
        raise FastaError("the alignment does not hold the observed residues of these chains")
    return int((given != truth).sum())


def _places(above: str, below: str) -> NDArray[np.int64]:
    """Return for each letter below how many letters stand above before it, -1 against a gap."""
    is_letter = np.array([letter != _GAP for letter in above])
    place = np.where(is_letter, np.cumsum(is_letter) - 1, UNALIGNED)
    return place[[letter != _GAP for letter in below]]


def _proteins(chains: Sequence[ChainSequence]) -> list[ChainSequence]:
    return [chain for chain in chains if chain.kind == "protein"]


def _joined(chains: Sequence[ChainSequence]) -> tuple[str, str]:
    proteins = _proteins(chains)
    length = sum(chain.length for chain in proteins)
    if not 0 < length <= MAX_SEQUENCE:
        raise FastaError(
            f"{len(proteins)} protein chains of {length:,} residues make no sequence file; "
            f"1 to {MAX_SEQUENCE:,} residues do"
        )
    observed = "".join(chain.observed_letters for chain in proteins)
    if not observed:
        raise FastaError("no observed residue in any protein chain; there is nothing to align")
    return "".join(chain.sequence for chain in proteins), observed
