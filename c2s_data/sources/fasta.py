"""Sequences in FASTA, the format of Pearson and Lipman: read within bounds, written exactly.

A header is a line that begins with ``>``; the lines after it are the sequence. The headers of the
Protein Data Bank also say which chains have the sequence:
``>7KJR_1|Chains A, B|ORF3a protein|Severe acute respiratory syndrome coronavirus 2 (2697049)``,
where ``B[auth X]`` is a chain whose mmCIF name is B and whose author name is X.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from c2s_data.errors import C2SError
from c2s_data.sources.input_file import open_input

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_BYTES: Final = 2**26
MAX_RECORDS: Final = 100_000
MAX_HEADER: Final = 2**20  # a capsid names a thousand chains in one
MAX_SEQUENCE: Final = 2**24  # all chains of an entry may stand in one record
WIDTH: Final = 60
_SEQUENCE: Final = re.compile(r"(?:[A-Za-z*.-]+|\([A-Za-z0-9]{1,8}\))+", re.ASCII)
"""Letters, stop, gaps, and names in parentheses, as ``(MSE)`` in sequences of the PDB."""
_CHAINS: Final = re.compile(r"Chains? (.*)", re.DOTALL)
_CHAIN: Final = re.compile(r"\s*([^\[\]]*?)\s*(?:\[auth ([^\[\]]*)\])?\s*")
_OLD_CHAIN: Final = re.compile(r"[^|:]{1,80}:([^|]*)\|PDBID\|CHAIN\|SEQUENCE\s*")
_PLAIN: Final = "!\"#$&'()*+-./:;<=>?@\\^_`{}~"
"""What a chain name may hold as it is; the rest (commas, brackets, bars, blanks) is escaped."""


class FastaError(C2SError):
    """A FASTA file or record is refused."""


@dataclass(frozen=True)
class FastaRecord:
    """One sequence.

    Parameters
    ----------
    header : str
        The header line without its ``>``, otherwise as it stands.
    sequence : str
        Letters in their own case, without blanks and line ends; also ``*``, ``-``, ``.`` and names
        in parentheses.
    """

    header: str
    sequence: str

    @property
    def chains(self) -> tuple[tuple[str, str], ...]:
        """Chains that the header names, each (mmCIF name, author name); none in plain headers."""
        old = _OLD_CHAIN.fullmatch(self.header)
        if old:
            return ((old[1], old[1]),)
        fields = self.header.split("|")
        listed = _CHAINS.fullmatch(fields[1]) if len(fields) > 1 else None
        return tuple(_chain(item) for item in listed[1].split(",")) if listed else ()

    @property
    def description(self) -> str:
        """What stands behind the list of chains, or the whole header where there is none."""
        fields = self.header.split("|")
        listed = len(fields) > 1 and _CHAINS.fullmatch(fields[1])
        return "|".join(fields[2:]) if listed else self.header


def _chain(item: str) -> tuple[str, str]:
    found = _CHAIN.fullmatch(item)
    label, auth = (found[1], found[2]) if found else (item.strip(), None)
    return unquote(label), unquote(label if auth is None else auth)


def chain_list(chains: Iterable[tuple[str, str]]) -> str:
    """Return the header field that names chains, each given as (mmCIF name, author name)."""
    items = []
    for label, auth in chains:
        name = quote(label, safe=_PLAIN)
        items.append(name if auth == label else f"{name}[auth {quote(auth, safe=_PLAIN)}]")
    return f"Chain{'s' * (len(items) > 1)} {', '.join(items)}"


def read_fasta(path: Path | str) -> tuple[FastaRecord, ...]:
    """Read a FASTA file, a path or a URL.

    Raises
    ------
    FastaError
        The file is absent, larger than 64 MiB, not plain UTF-8 text or no FASTA.
    """
    try:
        with open_input(path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FastaError(f"{path}: the sequences cannot be read ({error})") from error
    if len(data) > MAX_BYTES:
        raise FastaError(f"{path}: larger than the {MAX_BYTES:,} bytes allowed for sequences")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FastaError(
            f"{path}: byte {error.start} is no UTF-8 text; give the FASTA file unpacked"
        ) from error
    return parse_fasta(text, name=str(path))


def parse_fasta(text: str, *, name: str = "FASTA") -> tuple[FastaRecord, ...]:
    """Parse the text of a FASTA file; blank lines and comments after ``;`` are passed over.

    Parameters
    ----------
    text
        At least one record.
    name
        Names the text in errors.

    Raises
    ------
    FastaError
        No record, text before the first header, a record without sequence, a character that no
        sequence has (NUL too), or more than the bounds of this module allow.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    headers: list[tuple[int, str]] = []
    parts: list[list[str]] = []
    for number, line in enumerate(lines, start=1):
        if line.startswith(">"):
            headers.append((number, line[1:]))
            parts.append([])
            if len(headers) > MAX_RECORDS:
                raise FastaError(f"{name}: more than {MAX_RECORDS:,} sequences; split the file")
        elif line.strip() and not line.startswith(";"):
            if not parts:
                raise FastaError(
                    f"{name}: line {number}: a sequence without a header; put a line such as "
                    "'>name' before it"
                )
            parts[-1].append("".join(line.split(" ")).replace("\t", ""))
    if not headers:
        raise FastaError(f"{name}: no sequence; a FASTA file has lines such as '>name' before them")
    records = []
    for (number, header), part in zip(headers, parts, strict=True):
        record = FastaRecord(header, "".join(part))
        _check(record, f"{name}: line {number}")
        records.append(record)
    return tuple(records)


def format_fasta(records: Sequence[FastaRecord], *, width: int | None = WIDTH) -> str:
    """Return the text that `parse_fasta` turns into the same records.

    Parameters
    ----------
    records
        At least one.
    width
        Letters a line; None writes each sequence as one line.

    Raises
    ------
    FastaError
        A record could not be read back.
    """
    if not records:
        raise FastaError("there is no sequence to write")
    lines = []
    for number, record in enumerate(records, start=1):
        _check(record, f"sequence {number}")
        step = width or len(record.sequence)
        lines.append(f">{record.header}")
        lines += [record.sequence[at : at + step] for at in range(0, len(record.sequence), step)]
    return "\n".join(lines) + "\n"


def _check(record: FastaRecord, place: str) -> None:
    header, sequence = record.header, record.sequence
    if len(header) > MAX_HEADER or len(sequence) > MAX_SEQUENCE:
        raise FastaError(
            f"{place}: a header of {len(header):,} and a sequence of {len(sequence):,} characters; "
            f"{MAX_HEADER:,} and {MAX_SEQUENCE:,} are allowed"
        )
    if any(control in header for control in "\n\r\0"):
        raise FastaError(f"{place}: the header {header[:40]!a} holds a NUL or a line end")
    if not sequence:
        raise FastaError(f"{place}: no sequence after the header {header[:40]!a}")
    if not _SEQUENCE.fullmatch(sequence):
        good = _SEQUENCE.match(sequence)
        at = good.end() if good else 0
        raise FastaError(
            f"{place}: {sequence[at]!a} is letter {at + 1} of the sequence of {header[:40]!a}; "
            "a sequence is letters, '*', '-', '.' and names such as (MSE)"
        )
