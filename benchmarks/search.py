"""How long a search result takes to become the rows of a catalog.

    python benchmarks/search.py [--rows 60000] [--repeats 3]

A made-up table as EMDB's search sends it: titles with commas and quotes, several fitted
structures, one entry in eight without one. Timed are the table's parsing from the bytes that came,
the checks that make catalog rows of it, and writing and reading back the result.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from c2s_data.sources.archive_rows import COLUMNS, Found, add_rows, parse_page, rows_of
from c2s_data.sources.archive_search import FIELDS
from c2s_data.sources.fetch_tables import read_found, replace_table

LIMIT_S = 5.0


def made_page(n_rows: int, seed: int = 0) -> bytes:
    rng = random.Random(seed)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(FIELDS)
    for n in range(n_rows):
        pdb_ids = [f"{rng.randrange(1, 10)}{rng.randrange(36**3):03x}"[:4] for _ in range(3)]
        fitted = ",".join(pdb_ids[: rng.choice((0, 1, 1, 1, 1, 1, 2, 3))])
        title = f'Cryo-EM structure of the "{n}" complex, in state {rng.randrange(9)}, ' + "x" * 60
        values = {
            "emdb_id": f"EMD-{1000 + n}",
            "title": title,
            "resolution": f"{rng.uniform(1, 4):.2f}",
            "fitted_pdbs": fitted,
            "structure_determination_method": "singleParticle",
            "software": "cryoSPARC,RELION,UCSF ChimeraX,Coot,PHENIX",
            "primary_citation_journal_name": "Nat Struct Mol Biol",
            "primary_citation_title": f"An article about it, number {n}",
            "map_contour_level_value": f"{rng.random():.4f}",
            "map_release_date": "2023-03-27T00:00:00Z",
            "release_date": "2023-03-27T00:00:00Z",
            "current_status": "REL",
        }
        writer.writerow(values[name] for name in FIELDS)
    return table.getvalue().encode()


def timed(work: Callable[[], object], repeats: int) -> float:
    """Return the shortest time in seconds."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    page = made_page(options.rows)
    raw = parse_page(io.TextIOWrapper(io.BytesIO(page), "utf-8-sig", newline=""))
    found = Found()
    add_rows(found, raw, (1.0, 4.0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.csv"
        replace_table(path, COLUMNS, rows_of(found))
        steps: dict[str, Callable[[], object]] = {
            "parse the table": lambda: parse_page(
                io.TextIOWrapper(io.BytesIO(page), "utf-8-sig", newline="")
            ),
            "make catalog rows": lambda: add_rows(Found(), raw, (1.0, 4.0)),
            "write found.csv": lambda: replace_table(path, COLUMNS, rows_of(found)),
            "read found.csv": lambda: read_found(path),
        }
        seconds = {name: timed(work, options.repeats) for name, work in steps.items()}
    print(f"{len(raw):,} rows, {len(page) / 1e6:.1f} MB; {len(found.dropped):,} dropped")
    print("| step | s |\n|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.2f} |")
    total = seconds["parse the table"] + seconds["make catalog rows"]
    print(f"parsed into catalog rows in {total:.2f} s (to reach: {LIMIT_S:.0f} s)")


if __name__ == "__main__":
    main()
