"""Seconds that the evaluation of a model takes, against 2 s for 5,000 residues.

    python benchmarks/evaluation.py [--repeats 3]

The target is 20 dimers of four made proteins on a lattice, 5,000 residues with all atoms. The model
has its C-alphas with 0.8 A noise per axis, a tenth of them missing; or, like the output of the
published program, all of them in one chain numbered from 0, a tenth far from their places. The last
rows are a shell of 60 equal chains and a C-alpha F1 curve of a whole map. Importing is timed apart,
in a new process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from c2s_data.sources.procedural import procedural_protein
from c2s_data.sources.simulate import write_model
from c2s_model.evaluation.chains import read_chains
from c2s_model.evaluation.evaluate import evaluate_chains
from c2s_model.evaluation.voxel_curve import f1_curve

Row = dict[str, Any]
GOAL_S = 2.0
SPACING_A = 90.0
NOISE_A = 0.8
DISPLACED_A = 15.0
WRONG = 0.1
IMPORT = "import time; t = time.perf_counter(); import c2s_model.evaluation.evaluate; " + (
    "print(time.perf_counter() - t)"
)


def complex_of(proteins: list[gemmi.Structure], n_copies: int) -> gemmi.Structure:
    """Put copies of proteins on a lattice, each chain under a name of its own."""
    whole = proteins[0].clone()
    for name in [chain.name for chain in whole[0]]:
        whole[0].remove_chain(name)
    side = int(np.ceil(n_copies ** (1 / 3)))
    for copy in range(n_copies):
        place = np.array(np.unravel_index(copy, (side,) * 3)) * SPACING_A
        for chain in proteins[copy % len(proteins)][0]:
            moved = chain.clone()
            moved.name = f"{chain.name}{copy}"
            for residue in moved:
                residue.subchain = moved.name
                for atom in residue:
                    atom.pos += gemmi.Position(*place)
            whole[0].add_chain(moved)
    for entity in whole.entities:
        entity.subchains = [chain.name for chain in whole[0]]
    return whole


def predicted(
    target: gemmi.Structure, rng: np.random.Generator, *, one_chain: bool
) -> gemmi.Structure:
    """Return noisy C-alphas, a tenth of them missing, or all in one chain and a tenth displaced."""
    model = gemmi.Model("1")
    joined = gemmi.Chain("A")
    for chain in target[0]:
        own = joined if one_chain else gemmi.Chain(chain.name)
        for residue in chain:
            wrong = rng.random() < WRONG
            if wrong and not one_chain:
                continue
            made = gemmi.Residue()
            made.name = residue.name
            made.seqid = gemmi.SeqId(len(joined) if one_chain else residue.seqid.num, " ")
            atom = gemmi.Atom()
            atom.name, atom.element = "CA", gemmi.Element("C")
            noise_A = rng.normal(0, DISPLACED_A if wrong else NOISE_A, 3)
            atom.pos = residue["CA"][0].pos + gemmi.Position(*noise_A)
            made.add_atom(atom)
            own.add_residue(made)
        if not one_chain:
            model.add_chain(own)
    if one_chain:
        model.add_chain(joined)
    structure = gemmi.Structure()
    structure.add_model(model)
    return structure


def timed(action: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the median of the seconds, after one turn that compiles and warms, and the result."""
    seconds, result = [], action()
    for _ in range(repeats):
        start = time.perf_counter()
        result = action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def model_row(
    name: str, target: Path, query: Path, repeats: int, goal_s: float | None = None
) -> Row:
    """Time reading and scoring of one pair of files."""
    read_s, (known, built) = timed(lambda: (read_chains(target), read_chains(query)), repeats)
    score_s, found = timed(lambda: evaluate_chains(known, built), repeats)
    return {
        "what": name,
        "n": sum(map(len, known)),
        "read_s": read_s,
        "score_s": score_s,
        "goal_s": goal_s,
        "note": f"mapped by {found.mapping.method}, TM {found.tm_map_frame:.3f}, "
        f"F1 {found.placed[-1].match.f1:.3f}",
    }


def run(repeats: int) -> list[Row]:
    """Return all rows."""
    rng = np.random.default_rng(11)
    proteins = [procedural_protein(seed, 125) for seed in (3, 7, 11, 19)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.cif" for name in ("large", "shell", "query", "one")}
        for name, structure in (
            ("large", complex_of(proteins, 20)),
            ("shell", complex_of(proteins[:1], 30)),
        ):
            write_model(paths[name], structure)  # all atoms, as a deposited file
            for query, one_chain in (("query", False), ("one", True)):
                made = predicted(structure, rng, one_chain=one_chain)
                made.make_mmcif_document().write_file(str(paths[query]))
                label = f"{name}, {'one chain' if one_chain else 'chains'}"
                goal_s = GOAL_S if name == "large" else None
                rows.append(model_row(label, paths[name], paths[query], repeats, goal_s))
    truth = rng.random((200, 220, 240)) < 4e-5
    score = rng.beta(0.3, 12, truth.shape).astype(np.float16)
    curve_s, _ = timed(lambda: f1_curve(score, truth), repeats)
    rows.append({"what": "F1 curve, voxels", "n": truth.size, "score_s": curve_s})
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True, timeout=120
    )
    rows.append({"what": "import", "score_s": float(done.stdout)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = run(options.repeats)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print("| what | size | read s | score s | goal s | met | |")
    print("|---|---:|---:|---:|---:|---|---|")
    for row in rows:
        read_s, goal_s = row.get("read_s"), row.get("goal_s")
        total = row["score_s"] + (read_s or 0.0)
        met = "" if goal_s is None else "yes" if total <= goal_s else "NO"
        print(
            f"| {row['what']} | {row.get('n', 1):,} | {_seconds(read_s)} | "
            f"{row['score_s']:.2f} | {_seconds(goal_s)} | {met} | {row.get('note', '')} |"
        )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
