"""The file of results: rows, and on what they were measured."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from benchmarks.suite.rows import Row

ROOT: Final = Path(__file__).resolve().parents[2]
RESULTS: Final = ROOT / "benchmarks" / "results.json"
_NUMBERS: Final = {"family": "cpu family", "model": "model", "cache": "cache size"}
LIBRARIES: Final = (
    "numpy", "numba", "numcodecs", "zarr", "scipy", "torch", "dask", "gemmi", "mrcfile",
    "zlib-ng", "google-crc32c", "obstore",
)  # fmt: skip


@dataclass(frozen=True)
class Results:
    """What one run of the suite found."""

    about: dict[str, Any]
    rows: tuple[Row, ...]


def save(results: Results, path: Path = RESULTS) -> None:
    """Write beside, then rename: a run that is stopped leaves the last results."""
    text = json.dumps(
        {**results.about, "rows": [row.as_dict() for row in results.rows]},
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(text + "\n", "utf-8")
    beside.replace(path)


def parse(text: str) -> Results:
    """Return what `save` wrote."""
    found = json.loads(text)
    rows = tuple(Row.from_dict(row) for row in found.pop("rows"))
    return Results(found, rows)


def committed(revision: str = "HEAD", path: Path = RESULTS) -> Results | None:
    """Return the results that a revision holds; None where it holds none."""
    named = f"{revision}:{path.relative_to(ROOT).as_posix()}"
    done = subprocess.run(
        ["git", "show", named], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return parse(done.stdout) if done.returncode == 0 else None


def about_this_run(size: str, groups: Sequence[str]) -> dict[str, Any]:
    """Describe commit, libraries and machine."""
    return {
        "commit": _commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "size": size,
        "groups": list(groups),
        "machine": machine(),
        "versions": {"python": platform.python_version()} | versions(LIBRARIES),
    }


def versions(names: Sequence[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Describe the processor, its cores, the memory and the kernel; no name of the host."""
    kB = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "processor": processor(Path("/proc/cpuinfo").read_text()),
        "cores": len(os.sched_getaffinity(0)),
        "memory_GB": round(kB * 1024 / 1e9, 1),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def processor(cpuinfo: str) -> str:
    """Name a processor; clouds give several generations of one maker the same name."""
    pairs = (line.partition(":")[::2] for line in cpuinfo.partition("\n\n")[0].splitlines())
    found = {key.strip(): value.strip() for key, value in pairs}
    if "model name" not in found:
        return platform.machine()
    numbers = [f"{key} {found[name]}" for key, name in _NUMBERS.items() if name in found]
    return " ".join([found["model name"], f"({', '.join(numbers)})"] if numbers else
                    [found["model name"]])  # fmt: skip


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "c2s_data", "c2s_model")
    return git("rev-parse", "HEAD") + (" with changes" if changed else "")
