"""Many evaluations become one table: the paper's Table 4, further scores, and a mean row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from c2s_data.errors import ConfigError
from c2s_data.sources.bounded_json import MAX_JSON_BYTES, inner, parse_json
from c2s_model.evaluation.evaluate import FORMAT

FILE_NAME: Final = "evaluation.json"
MAX_NAME: Final = 80


@dataclass(frozen=True)
class TableRow:
    """One entry; RMSD, matching and sequence are of the better of whole target and unique part.

    Parameters
    ----------
    entry : str
    resolution_A : float or None
    residues : int
        C-alphas of the target.
    rmsd : float or None
        None without a pair.
    found_percent, sequence_match_percent : float
    mode : str
        ``whole`` or ``unique``.
    f1_3A, sequence_recall, tm_map_frame : float
    lddt_ca : float or None
    mapping : str
    """

    entry: str
    resolution_A: float | None
    residues: int
    rmsd: float | None
    found_percent: float
    sequence_match_percent: float
    mode: str
    f1_3A: float
    sequence_recall: float
    tm_map_frame: float
    lddt_ca: float | None
    mapping: str


HEADINGS: Final = {
    "entry": ("Entry", ""),
    "resolution_A": ("Resolution A", ".2f"),
    "residues": ("Residues", ",d"),
    "rmsd": ("RMSD A", ".2f"),
    "found_percent": ("Matching %", ".1f"),
    "sequence_match_percent": ("Sequence %", ".1f"),
    "mode": ("of", ""),
    "f1_3A": ("F1 at 3 A", ".3f"),
    "sequence_recall": ("Sequence recall", ".3f"),
    "tm_map_frame": ("TM in map", ".3f"),
    "lddt_ca": ("lDDT CA", ".3f"),
    "mapping": ("mapped by", ""),
}
MEANS: Final = (
    "resolution_A", "rmsd", "found_percent", "sequence_match_percent",
    "f1_3A", "sequence_recall", "tm_map_frame", "lddt_ca",
)  # fmt: skip
"""What the mean row holds, each over the entries that have it, every entry counting the same."""


def find_evaluations(paths: Sequence[Path]) -> list[Path]:
    """Return the evaluation files of runs.

    Parameters
    ----------
    paths
        Evaluation files; folders that hold one named evaluation.json; folders of such folders.

    Raises
    ------
    ConfigError
        One of them has none.
    """
    found: list[Path] = []
    for path in paths:
        own = path / FILE_NAME if path.is_dir() else path
        here = [own] if own.is_file() else sorted(path.glob(f"*/{FILE_NAME}"))
        if not here:
            raise ConfigError(
                f"{path}: no {FILE_NAME} in it nor in a folder of it; make one with "
                "`c2s-model evaluate TARGET QUERY --out FOLDER`"
            )
        found += here
    return list(dict.fromkeys(found))


def read_row(path: Path) -> TableRow:
    """Read one evaluation.

    Raises
    ------
    ConfigError
        The file is no evaluation, or a number in it is not what it should be.
    DocumentError
        It is too large or no JSON.
    """
    with path.open("rb") as file:
        document = parse_json(file.read(MAX_JSON_BYTES + 1), name=str(path))
    if inner(document, "format") != FORMAT:
        raise ConfigError(
            f"{path}: no evaluation of format {FORMAT}; `c2s-model evaluate` writes them"
        )
    at_3_A = next(
        (one for one in _listed(document, "one_to_one") if inner(one, "radius_A") == 3.0), None
    )
    name = inner(document, "entry")
    return TableRow(
        entry=_text(name, path.stem),
        resolution_A=_optional(path, document, "resolution_A"),
        residues=int(_number(path, document, "n_target")),
        rmsd=_optional(path, document, "better", "rmsd"),
        found_percent=_number(path, document, "better", "found_percent"),
        sequence_match_percent=_number(path, document, "better", "sequence_match_percent"),
        mode=_text(inner(document, "better", "mode"), "whole"),
        f1_3A=_number(path, at_3_A, "f1"),
        sequence_recall=_number(path, document, "sequence_recall"),
        tm_map_frame=_number(path, document, "tm_map_frame"),
        lddt_ca=_optional(path, document, "lddt_ca"),
        mapping=_text(inner(document, "mapping"), "none"),
    )


def mean_row(rows: Sequence[TableRow]) -> dict[str, float | None]:
    """Return the mean of each column of `MEANS`, None where no entry has a value."""
    found: dict[str, float | None] = {}
    for name in MEANS:
        values = [value for row in rows if (value := getattr(row, name)) is not None]
        found[name] = math.fsum(values) / len(values) if values else None
    return found


def as_markdown(rows: Sequence[TableRow]) -> str:
    """Return the table with its mean row."""
    lines = [[heading for heading, _ in HEADINGS.values()]]
    lines.append(["---:" if style else "---" for _, style in HEADINGS.values()])
    means = {**mean_row(rows), "entry": f"mean of {len(rows)}"}
    lines += [
        [_cell(values.get(name), style) for name, (_, style) in HEADINGS.items()]
        for values in (*map(_values, rows), means)
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_csv(rows: Sequence[TableRow]) -> str:
    """Return the rows, unrounded, the mean row last with ``mean`` for its entry."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(HEADINGS), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(map(_values, rows))
    writer.writerow({**mean_row(rows), "entry": "mean"})
    return text.getvalue()


def _values(row: TableRow) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in fields(row)}


def _cell(value: object, style: str) -> str:
    if value is None:
        return ""
    return format(value, style) if style else str(value).replace("|", "\\|")


def _number(path: Path, document: object, *keys: str) -> float:
    value = inner(document, *keys)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(
            f"{path}: {'.'.join(keys)} is {value!r:.40}, not a number; evaluate the model again"
        )
    return float(value)


def _optional(path: Path, document: object, *keys: str) -> float | None:
    return None if inner(document, *keys) is None else _number(path, document, *keys)


def _text(value: object, fallback: str) -> str:
    text = value if isinstance(value, str) else fallback
    return " ".join(text.split())[:MAX_NAME] or fallback


def _listed(document: object, key: str) -> Iterator[object]:
    value = inner(document, key)
    yield from value if isinstance(value, list) else ()
