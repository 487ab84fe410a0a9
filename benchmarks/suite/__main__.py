"""Run the suite: ``python -m benchmarks.suite [--size bench] [--only GROUP ...] [--check]``.

Every group is a process of its own, so that kernels, threads and memory of one do not reach the
next, and one that fails takes only its own rows with it (exit code 1). Results, their page and the
table of the README are written at the end; then the ratios are compared with the last results that
were committed. ``--check`` does the last step alone, for the results that are there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.suite import results as stored
from benchmarks.suite import table
from benchmarks.suite.groups import GROUPS
from benchmarks.suite.regression import changes
from benchmarks.suite.results import ROOT, Results
from benchmarks.suite.rows import Row
from benchmarks.suite.size import SIZES

SCRATCH: Final = ROOT / "build" / "bench"
APART: Final = ROOT / "build" / "bench-results.json"
"""Results of some groups, of a run in which one failed, or of size quick."""
_WITHIN_S: Final = {"quick": 900, "bench": 900, "full": 7200}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.suite")
    parser.add_argument("--size", choices=SIZES, default="bench")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=tuple(GROUPS), metavar="GROUP")
    parser.add_argument("--folder", type=Path, default=SCRATCH, help="scratch; on a real disk")
    parser.add_argument("--results", type=Path, help="write the results here and nothing else")
    parser.add_argument("--check", action="store_true", help="compare the results that are there")
    parser.add_argument("--against", default="HEAD", help="revision of the earlier results")
    parser.add_argument("--one", choices=GROUPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure_here(options.one, options.size, options.folder, options.results)
        return 0
    if options.check:
        if not stored.RESULTS.is_file():
            parser.error("there is no benchmarks/results.json to compare; `make bench` writes it")
        return check(stored.parse(stored.RESULTS.read_text("utf-8")), options.against)
    return run(options.size, options.only, options.folder, options.results, options.against)


def run(size: str, groups: list[str], folder: Path, target: Path | None, against: str) -> int:
    """Measure the groups, write what they found, and compare."""
    about = stored.about_this_run(size, groups)
    rows: list[Row] = []
    failed = []
    for number, group in enumerate(groups, 1):
        print(f"[{number}/{len(groups)}] {group}", flush=True)
        started = time.perf_counter()
        found, reason = measured(group, size, folder)
        rows += found
        if reason:
            failed.append(group)
            print(f"   FAILED: {reason}", flush=True)
        print(f"   {time.perf_counter() - started:.0f} s", flush=True)
    results = Results(about, tuple(rows))
    if target is not None:
        stored.save(results, target)
    elif size == "quick" or failed or set(groups) != set(GROUPS):
        stored.save(results, APART)
        print(f"kept in {APART.relative_to(ROOT)}; results.json is for whole runs of bench or full")
    else:
        stored.save(results)
        table.write(results)
    for row in table.missed(rows):
        print(f"goal not reached: {table.line(row)}")
    return max(check(results, against), int(bool(failed)))


def measured(group: str, size: str, folder: Path) -> tuple[list[Row], str]:
    """Measure one group in a process of its own; return its rows, and why it failed if it did."""
    place = folder / group
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as found:
        command = [sys.executable, "-m", "benchmarks.suite", f"--one={group}", f"--size={size}"]
        command += [f"--folder={place}", f"--results={found.name}"]
        environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment | os.environ | {"PYTHONPATH": str(ROOT)},
                check=False, timeout=_WITHIN_S[size],
            )  # fmt: skip
            reason = f"exit code {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired as error:
            reason = f"longer than {error.timeout:.0f} s"
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return [Row.from_dict(json.loads(line)) for line in found], reason


def measure_here(group: str, size: str, folder: Path, target: Path) -> None:
    """Measure one group in this process; a line of JSON for each row as it is found."""
    module = importlib.import_module(f"benchmarks.suite.groups.{group}")
    with target.open("a", encoding="utf-8") as stream:
        for row in module.rows(SIZES[size], folder):
            named = row.named(GROUPS[group])
            stream.write(json.dumps(named.as_dict()) + "\n")
            stream.flush()
            print("   " + table.line(named), flush=True)


def check(now: Results, against: str) -> int:
    """Print what changed since the committed results; return 1 where something got worse.

    On another processor nothing fails: one that copies memory faster, but calculates no faster,
    brings every ratio to memcpy down.
    """
    earlier = stored.committed(against)
    if earlier is None:
        print(f"no results to compare with: {against} holds no benchmarks/results.json")
        return 0
    if earlier.about["size"] != now.about["size"]:
        print(f"sizes differ ({earlier.about['size']}, {now.about['size']}): nothing to compare")
        return 0
    titles = {GROUPS[name] for name in now.about["groups"]}
    expected = [row for row in earlier.rows if row.group in titles]
    found = changes(expected, now.rows)
    for change in found:
        print(f"{'WORSE' if change.worse else 'changed'}: {change.key}: {change.text}")
    worse = sum(change.worse for change in found)
    print(f"{worse} of {len(expected)} rows worse than in {earlier.about['commit'][:12]}")
    before, here = (one.about["machine"]["processor"] for one in (earlier, now))
    if before != here:
        print(f"that was on another processor, {before}, not {here}: no row is held to it")
        return 0
    return int(worse > 0)


if __name__ == "__main__":
    sys.exit(main())
