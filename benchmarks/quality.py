"""How long map-model quality takes, part by part, what memory it needs, and what it finds.

    python benchmarks/quality.py [--large] [--pairs FOLDER] [--json]

Copies of a made protein fill a box: 220^3 voxels with about 13,000 atoms, and with ``--large``
400^3 with 200,000. Real pairs of map and model are measured where their folder exists; the rows
are those of docs/quality.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c2s_data.quality import measure_quality, quality_memory_bytes
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.density_map import read_density_map
from c2s_data.sources.procedural import procedural_protein
from c2s_data.transforms.handedness import best_placements
from c2s_data.transforms.map_model_fit import map_model_fit
from c2s_data.transforms.q_score import q_score
from c2s_data.transforms.registration import best_shift
from c2s_data.transforms.simulate_density import simulate_density, solvent_noise

ROOT = Path(__file__).resolve().parents[1]
PAIRS = ROOT.parent / "shared/data/pairs"
RESOLUTION_A = 3.0
GOAL_MS_PER_ATOM = 0.3


class Filled(NamedTuple):
    """A map full of copies of one protein."""

    values_zyx: NDArray[np.float32]
    voxel_size_zyx_A: tuple[float, float, float]
    origin_xyz_A: tuple[float, float, float]
    xyz_A: NDArray[np.float64]
    element: NDArray[np.uint8]
    is_ca: NDArray[np.bool_]

    @property
    def grid(self) -> tuple[Any, ...]:
        """Values, voxel size and origin."""
        return self[:3]


def filled_map(side: int, n_atoms: int) -> Filled:
    """Put copies of a made protein on a lattice in the middle of a box of noise."""
    atoms = [a for chain in procedural_protein(5, 100)[0] for r in chain for a in r]
    xyz = np.array([atom.pos.tolist() for atom in atoms])
    xyz -= xyz.min(axis=0)
    pitch = xyz.max(axis=0) + 3.0
    n_copies = round(n_atoms / len(atoms))
    per_axis = (np.arange(20) - 10 for _ in range(3))
    cells = sorted(
        itertools.product(*per_axis),
        key=lambda cell: sum((i * p) ** 2 for i, p in zip(cell, pitch, strict=True)),
    )
    copies = np.concatenate([xyz + np.array(cell) * pitch for cell in cells[:n_copies]])
    voxel, origin = (1.0,) * 3, (-side / 2.0,) * 3
    element = np.tile([atom.element.atomic_number for atom in atoms], n_copies).astype(np.uint8)
    values = simulate_density(
        copies, element, RESOLUTION_A, shape_zyx=(side,) * 3, voxel_size_zyx_A=voxel,
        origin_xyz_A=origin,
    )  # fmt: skip
    values += solvent_noise(
        np.random.default_rng(0), values.shape, voxel, resolution_A=RESOLUTION_A, sd=0.5
    )
    return Filled(
        values, voxel, origin, copies, element, np.tile([a.name == "CA" for a in atoms], n_copies)
    )


def seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """Return the least time of a few calls, after one that compiles."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


def parts(full: Filled) -> Iterator[dict[str, Any]]:
    """Yield a row per part of the measurement of one map, and for the whole of it."""
    grid, ca = full.grid, full.xyz_A[full.is_ca]
    residue = (np.cumsum(full.is_ca) - 1).clip(0).astype(np.int32)
    name = f"{full.values_zyx.shape[0]}^3, {len(full.xyz_A):,} atoms"

    def whole(shift_A: float = 0.0) -> object:
        return measure_quality(
            *grid, full.xyz_A + shift_A, full.element, residue, ca + shift_A,
            int(full.is_ca.sum()), RESOLUTION_A, None,
        )  # fmt: skip

    q_score(*grid, full.xyz_A[:50])
    spent = seconds(lambda: q_score(*grid, full.xyz_A))
    per_atom = 1e3 * spent / len(full.xyz_A)
    yield {"case": name, "part": "Q-score", "seconds": spent, "ms_per_atom": per_atom,
           "goal_ms_per_atom": GOAL_MS_PER_ATOM, "met": per_atom <= GOAL_MS_PER_ATOM}  # fmt: skip
    rest: dict[str, Callable[[], object]] = {
        "CC_mask, FSC, explained density": lambda: map_model_fit(
            *grid, full.xyz_A, full.element, resolution_A=RESOLUTION_A, level=1.0
        ),
        "shift search, 5,000 C-alphas": lambda: best_shift(*grid, ca[:5000], offset=0.0),
        "48 placements (only where the score is low)": lambda: best_placements(
            *grid, ca, offset=0.0
        ),
        "all, model in its place": whole,
        "all, model 2 A off on each axis": lambda: whole(2.0),
    }
    for part, function in rest.items():
        yield {"case": name, "part": part, "seconds": seconds(function, 2)}
    tracemalloc.start()
    whole()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    stated = quality_memory_bytes(full.values_zyx.shape, len(full.xyz_A))
    yield {
        "case": name,
        "part": "memory beside map and model",
        "peak_bytes": peak,
        "stated_bytes": stated,
        "map_bytes": full.values_zyx.nbytes,
        "met": peak <= stated,
    }


def real_pairs(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what is found on each pair of the folder."""
    sys.path.insert(0, str(ROOT / "tests/data"))
    from pairs import PAIRS as REAL

    for pair in REAL:
        density = read_density_map(folder / pair.map)
        model = read_atomic_model(folder / pair.model)
        heavy, residues = model.heavy, model.residues
        grid = (density.values_zyx, density.voxel_size_zyx_A, density.origin_xyz_A)
        started = time.perf_counter()
        found = measure_quality(
            *grid, heavy.xyz_A, heavy.element, heavy.residue_index, residues.ca_xyz_A,
            len(residues), pair.resolution_A, None,
        )  # fmt: skip
        spent = time.perf_counter() - started
        yield {"case": pair.emdb_id, "resolution_A": pair.resolution_A, **found.facts,
               "n_atoms": len(heavy), "seconds": spent, "messages": found.messages}  # fmt: skip


def run(*, large: bool = False, folder: Path = PAIRS) -> list[dict[str, Any]]:
    """Measure everything; one row per part and per real pair."""
    rows = list(parts(filled_map(220, 13_000)))
    if large:
        rows += parts(filled_map(400, 200_000))
    if folder.is_dir():
        rows += real_pairs(folder)
    return rows


def show(row: dict[str, Any]) -> str:
    if "resolution_A" in row:
        score, expected = row["q_score"], row["q_score_expected"]
        flags = ", ".join(row["quality_flags"]) or "none"
        return (
            f"| {row['case']} | {row['resolution_A']:.2f} | {score:.2f} | {expected:.2f} "
            f"| {score - expected:+.2f} | {row['cc_mask']:.2f} | {row['fsc_05_A']:.1f} "
            f"| {row['explained_density_share']:.0%} | {flags} |"
        )
    line = f"{row['case']:<24} {row['part']:<44}"
    if "peak_bytes" in row:
        figures = [row[key] / 1e6 for key in ("peak_bytes", "stated_bytes", "map_bytes")]
        line += "{:7.0f} MB (stated {:.0f} MB; the map {:.0f} MB)".format(*figures)
    else:
        line += f"{row['seconds']:7.2f} s"
    if "ms_per_atom" in row:
        line += f"  {row['ms_per_atom']:.3f} ms an atom, goal {row['goal_ms_per_atom']:g}"
    return line + ("" if "met" not in row else "  met" if row["met"] else "  MISSED")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--large", action="store_true", help="400^3 voxels, 200,000 atoms as well")
    parser.add_argument("--pairs", type=Path, default=PAIRS, help="folder of real pairs")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    rows = run(large=options.large, folder=options.pairs)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("\n".join(map(show, rows)))
    for row in rows:
        for message in row.get("messages", ()):
            print(f"{row['case']}: {message}")


if __name__ == "__main__":
    main()
