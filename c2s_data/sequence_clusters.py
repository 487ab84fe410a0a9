"""Which proteins are related: by MMseqs2 where it is installed, else by our own alignments.

Two proteins are related when their best local alignment is worth `MIN_BITS`, is identical in at
least `MIN_IDENTITY` of its columns (gaps included) and covers at least `MIN_COVERAGE` of the
shorter one. The bits do not depend on how many sequences there are, unlike an E-value, so a pair
stays related when others are added. M. Steinegger, J. Soding, Nat. Biotechnol. 35 (2017) 1026.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pyarrow import csv

from c2s_data.errors import C2SError

MIN_IDENTITY: Final = 0.3
MIN_COVERAGE: Final = 0.8
MIN_BITS: Final = 40.0
"""About an E-value of 0.001 among all proteins of the PDB, and as much as 20 equal residues."""
CONDENSE_ABOVE: Final = 10_000
"""More sequences than this are searched through representatives, at least 90 % alike to theirs."""
SENSITIVITY: Final = 5.7
LINK_SENSITIVITY: Final = 4.0
FAST_ABOVE: Final = 2_000
MAX_HITS: Final = 300
SHORT_WORDS_BELOW: Final = 2_000_000
"""Residues."""
TIMEOUT_S: Final = 6 * 3600
_COLUMNS: Final = "query,target,fident,bits,qstart,qend,tstart,tend,qlen,tlen"

EngineName = Literal["auto", "mmseqs", "builtin"]


class SequenceError(C2SError):
    """Sequences cannot be compared; the program that should failed."""


@dataclass(frozen=True, eq=False)
class Relatives:
    """Related pairs, by query and then by target.

    Parameters
    ----------
    query, target : (n,) int64
        Positions in the two lists that were compared.
    identity : (n,) float64
        Identical residues over the columns of the alignment.
    coverage : (n,) float64
        Share of the shorter sequence that the alignment covers.
    """

    query: NDArray[np.int64]
    target: NDArray[np.int64]
    identity: NDArray[np.float64]
    coverage: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.query)


class Engine(Protocol):
    """What finds related proteins; `name` says which program it is."""

    name: str

    def links(self, sequences: Sequence[str]) -> NDArray[np.int64]:
        """Return pairs (n, 2) that join related sequences, directly or through others."""

    def search(self, queries: Sequence[str], targets: Sequence[str]) -> Relatives:
        """Return the relatives of each query among the targets."""

    def representatives(self, sequences: Sequence[str]) -> NDArray[np.int64]:
        """Return for each sequence one (n,) that is at least 90 % identical and as long."""


def choose_engine(
    name: EngineName = "auto",
    sequences: Sequence[str] = (),
    *,
    sensitivity: float = SENSITIVITY,
) -> Engine:
    """Return what compares these sequences.

    ``auto`` aligns every pair where they are so few that it takes seconds, which misses nothing;
    more are for MMseqs2, or for the built-in search where that is not installed.

    Raises
    ------
    SequenceError
        If MMseqs2 is asked for and not installed.
    """
    program = shutil.which("mmseqs")
    if name == "auto":
        from c2s_data.transforms.kmer_clusters import ALL_PAIRS_CELLS  # noqa: PLC0415 - compiles

        few = sum(map(len, sequences)) ** 2 <= ALL_PAIRS_CELLS
        name = "builtin" if few or program is None else "mmseqs"
    if name == "builtin":
        return BuiltIn()
    if program is None:
        raise SequenceError(
            "mmseqs is not installed; install it (Debian package mmseqs2), or use --engine builtin"
        )
    return MMseqs(program, sensitivity=sensitivity)


class BuiltIn:
    """Our own words and alignments: slower, and less sensitive among many sequences."""

    name = "built-in alignment"

    def links(self, sequences: Sequence[str]) -> NDArray[np.int64]:
        """See `Engine`."""
        return self._link(sequences, MIN_IDENTITY, MIN_COVERAGE)

    def search(self, queries: Sequence[str], targets: Sequence[str]) -> Relatives:
        """See `Engine`."""
        from c2s_data.transforms.kmer_clusters import search_pairs  # noqa: PLC0415 - compiles

        pairs, identity, coverage = search_pairs(
            queries,
            targets,
            min_identity=MIN_IDENTITY,
            min_coverage=MIN_COVERAGE,
            min_bits=MIN_BITS,
        )
        return Relatives(pairs[:, 0], pairs[:, 1], identity, coverage)

    def representatives(self, sequences: Sequence[str]) -> NDArray[np.int64]:
        """Return every sequence as its own: what this engine leaves out it leaves out itself."""
        return np.arange(len(sequences))

    def _link(self, sequences: Sequence[str], identity: float, cover: float) -> NDArray[np.int64]:
        from c2s_data.transforms.kmer_clusters import link_sequences  # noqa: PLC0415 - compiles

        return link_sequences(
            sequences, min_identity=identity, min_coverage=cover, min_bits=MIN_BITS
        )[0]


class MMseqs:
    """MMseqs2 as a program: FASTA files in a folder of our own, tables back.

    Parameters
    ----------
    program
        Path of ``mmseqs``.
    sensitivity
        Its option ``-s`` for searches, 1 (fast) to 7.5.
    threads
        One for each core that this process may use, by default.
    """

    def __init__(
        self, program: str, *, sensitivity: float = SENSITIVITY, threads: int | None = None
    ) -> None:
        self._program = program
        self._sensitivity = sensitivity
        self._threads = threads or len(os.sched_getaffinity(0))
        self.name = f"MMseqs2 {self._run('version').strip()}"

    def links(self, sequences: Sequence[str]) -> NDArray[np.int64]:
        """Cluster, then search every sequence among the clusters' representatives."""
        options = ("--min-seq-id", str(MIN_IDENTITY), "-c", str(MIN_COVERAGE), "--cov-mode", "1")
        pairs = self._clustered("easy-cluster", sequences, options)
        centers = np.unique(pairs[:, 0])
        # Many are searched faster: what that misses is found between the splits, where it matters.
        many = len(sequences) > FAST_ABOVE
        sensitivity = LINK_SENSITIVITY if many else self._sensitivity
        found = self._search(sequences, [sequences[i] for i in centers], sensitivity)
        others = np.column_stack((found.query, centers[found.target]))
        return np.concatenate((pairs, others))

    def search(self, queries: Sequence[str], targets: Sequence[str]) -> Relatives:
        """See `Engine`; at most `MAX_HITS` for a query, the best first."""
        return self._search(queries, targets, self._sensitivity)

    def _search(
        self, queries: Sequence[str], targets: Sequence[str], sensitivity: float
    ) -> Relatives:
        if not queries or not targets:
            empty = np.empty(0)
            return Relatives(empty.astype(np.int64), empty.astype(np.int64), empty, empty)
        with tempfile.TemporaryDirectory(prefix="c2s-mmseqs-") as folder:
            place = Path(folder)
            _write_fasta(place / "queries.fasta", queries)
            _write_fasta(place / "targets.fasta", targets)
            self._run(
                "easy-search", "queries.fasta", "targets.fasta", "found.tsv", "scratch",
                "-s", str(sensitivity), *_word_length(targets), "--alignment-mode", "3",
                "--min-seq-id", str(MIN_IDENTITY), "-e", "10", "--max-seqs", str(MAX_HITS),
                "--format-output", _COLUMNS, "--threads", str(self._threads), "-v", "1",
                folder=place,
            )  # fmt: skip
            return _relatives(_read_table(place / "found.tsv", _COLUMNS.split(",")))

    def representatives(self, sequences: Sequence[str]) -> NDArray[np.int64]:
        """See `Engine`."""
        options = ("--min-seq-id", "0.9", "-c", "0.9", "--cov-mode", "0")
        pairs = self._clustered("easy-linclust", sequences, options)
        found = np.arange(len(sequences))
        found[pairs[:, 1]] = pairs[:, 0]
        return found

    def _clustered(
        self, command: str, sequences: Sequence[str], options: Sequence[str]
    ) -> NDArray[np.int64]:
        if not sequences:
            return np.empty((0, 2), np.int64)
        with tempfile.TemporaryDirectory(prefix="c2s-mmseqs-") as folder:
            place = Path(folder)
            _write_fasta(place / "sequences.fasta", sequences)
            threads = (*_word_length(sequences), "--threads", str(self._threads), "-v", "1")
            arguments = ("sequences.fasta", "made", "scratch", *options, *threads)
            self._run(command, *arguments, folder=place)
            table = _read_table(place / "made_cluster.tsv", ["center", "member"])
            return np.column_stack((table["center"], table["member"])).astype(np.int64)

    def _run(self, command: str, *arguments: str, folder: Path | None = None) -> str:
        """Run one command; its children end with it, however it ends."""
        with subprocess.Popen(  # noqa: S603 - a program found by name, arguments of our own
            [self._program, command, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired as error:
                hours = TIMEOUT_S / 3600
                raise SequenceError(f"mmseqs {command} took more than {hours:g} h") from error
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            raise SequenceError(
                f"mmseqs {command} ended with code {process.returncode}: {output.strip()[-400:]}; "
                "mend it, or use --engine builtin"
            )
        return output


def _word_length(sequences: Sequence[str]) -> tuple[str, ...]:
    """Return options for shorter words among few sequences, whose index takes no half gigabyte."""
    return ("-k", "5") if sum(map(len, sequences)) < SHORT_WORDS_BELOW else ()


def _write_fasta(path: Path, sequences: Sequence[str]) -> None:
    with path.open("w", encoding="ascii") as stream:
        stream.writelines(f">{number}\n{text}\n" for number, text in enumerate(sequences))


def _read_table(path: Path, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    if not path.exists() or not path.stat().st_size:
        return {name: np.empty(0) for name in names}
    table = csv.read_csv(
        path,
        csv.ReadOptions(column_names=list(names)),
        csv.ParseOptions(delimiter="\t"),
    )
    return {name: table[name].to_numpy().astype(np.float64) for name in names}


def _relatives(table: dict[str, NDArray[np.float64]]) -> Relatives:
    """Keep what counts: enough bits and, whichever of the two is shorter, enough of it covered."""
    of_query = (table["qend"] - table["qstart"] + 1) / table["qlen"]
    of_target = (table["tend"] - table["tstart"] + 1) / table["tlen"]
    coverage = np.where(table["qlen"] <= table["tlen"], of_query, of_target)
    counts = (coverage >= MIN_COVERAGE) & (table["bits"] >= MIN_BITS)
    counts &= table["fident"] >= MIN_IDENTITY
    kept = {name: values[counts] for name, values in table.items()}
    order = np.lexsort((kept["target"], kept["query"]))
    return Relatives(
        kept["query"][order].astype(np.int64),
        kept["target"][order].astype(np.int64),
        kept["fident"][order],
        coverage[counts][order],
    )
