"""The paper's hidden Markov model: how fast the search is, beside two dense ones, on the same path.

    python benchmarks/viterbi.py [--large] [--no-published] [--models FOLDER]

Peers, in the same run and with the matrices made for them outside of the clock: the algorithm as
published (benchmarks/peers/published_viterbi.c, compiled here with cc) and a dense search with
bitsets in numba. Ours is timed from coordinates to path, matrices included. Cases are C-alphas
with 0.5 A noise, 5 % missing and 5 % false: compact random walks, and with ``--models`` a folder of
PDB files. ``--large`` adds the growth from N = T = 1,000 to 10,000, the dense peer at 5,000 and the
recommended tracing with gaps (two minutes). Memory is the peak of a process of its own above what
it held once all was compiled.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from c2s_model.backbone.candidates import Candidates
from c2s_model.backbone.hmm_gap import trace_gap
from c2s_model.backbone.hmm_matrices import emission_matrix, log_initial, sparse_transitions
from c2s_model.backbone.hmm_paper import trace_paper
from c2s_model.backbone.residue_codes import residue_codes

Case = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int8]]
PEERS = Path(__file__).resolve().parent / "peers"
VOLUME_A3 = 130.0  # of a residue


def compact_walk(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (n, 3) positions of a self-avoiding walk in a ball; it jumps where it is caught."""
    radius_A = (n * VOLUME_A3 * 3 / (4 * np.pi)) ** (1 / 3)
    cells: dict[tuple[int, ...], list[NDArray[np.float64]]] = defaultdict(list)
    walk: list[NDArray[np.float64]] = []

    def is_open(place: NDArray[np.float64]) -> bool:
        if np.linalg.norm(place) > radius_A:
            return False
        x, y, z = np.floor(place / 4).astype(int)
        beside = [
            other
            for i in (x - 1, x, x + 1)
            for j in (y - 1, y, y + 1)
            for k in (z - 1, z, z + 1)
            for other in cells.get((i, j, k), ())
        ]
        return not beside or float(((np.array(beside) - place) ** 2).sum(1).min()) > 3.6**2

    while len(walk) < n:
        steps = rng.normal(size=(40, 3))
        tries = walk[-1] + 3.8 * steps / np.linalg.norm(steps, axis=1)[:, None] if walk else []
        place = next((place for place in tries if is_open(place)), None)
        if place is None:
            place = rng.uniform(-radius_A, radius_A, 3)
        walk.append(place)
        cells[tuple(np.floor(place / 4).astype(int))].append(place)
    return np.array(walk)


def candidates(xyz_A: NDArray[np.float64], codes: NDArray[np.int8], seed: int = 0) -> Case:
    """Return blurred candidates in the order of x, emissions with a top probability near 0.6."""
    rng = np.random.default_rng(seed)
    keep = rng.random(len(xyz_A)) >= 0.05
    n_false = len(xyz_A) - int(keep.sum())
    false_A = xyz_A[rng.integers(0, len(xyz_A), n_false)] + rng.normal(0, 3, (n_false, 3))
    true_A = xyz_A[keep] + rng.normal(0, 0.5, (int(keep.sum()), 3))
    amino = np.concatenate([codes[keep], rng.integers(0, 20, n_false)])
    emission = rng.dirichlet(np.full(20, 0.3), len(amino)) * 0.4
    emission[np.arange(len(amino)), amino] += 0.6 * rng.random(len(amino)) ** 0.3
    points_A = np.concatenate([true_A, false_A])
    order = np.argsort(points_A[:, 0])
    return points_A[order], emission[order] / emission[order].sum(1, keepdims=True), codes


def walk_case(n: int, length: int, seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 20, n).astype(np.int8)
    xyz_A, emission, _ = candidates(compact_walk(n, rng), codes, seed)
    return xyz_A, emission, codes[:length]


def model_case(path: Path) -> Case:
    """Return candidates of a model, its chains joined to one."""
    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    found = [
        (
            atom.pos.tolist(),
            residue_codes(gemmi.find_tabulated_residue(residue.name).fasta_code())[0],
        )
        for chain in structure[0]
        for residue in chain.get_polymer()
        for atom in residue
        if atom.name == "CA" and atom.element == gemmi.Element("C")
    ]
    known = [(xyz_A, code) for xyz_A, code in found if code >= 0]
    return candidates(np.array([a for a, _ in known]), np.array([c for _, c in known], np.int8))


def ours(case: Case) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    xyz_A, emission, codes = case
    (trace,) = trace_paper(xyz_A, emission, [codes]).chains
    return trace.candidate, trace.fragment


def dense_matrices(case: Case) -> tuple[NDArray[np.float64], ...]:
    """Return log T, log E and log pi in full."""
    xyz_A, emission, codes = case
    transitions, e = sparse_transitions(xyz_A), emission_matrix(emission)
    log_t = np.repeat(transitions.log_far[:, None], len(xyz_A), axis=1)
    target = np.repeat(np.arange(len(xyz_A)), np.diff(transitions.start))
    log_t[transitions.source, target] = transitions.log_near
    return log_t, np.log(e), log_initial(e, int(codes[0]))


def compile_published(folder: str) -> Callable[..., int]:
    library = Path(folder) / "published.so"
    source = PEERS / "published_viterbi.c"
    subprocess.run(
        ["cc", "-O3", "-march=native", "-shared", "-fPIC", "-o", str(library), str(source)],
        check=True,
    )
    return ctypes.CDLL(str(library)).published_viterbi


def run_published(search: Callable[..., int], case: Case) -> tuple[float, NDArray[np.int32]]:
    log_t, log_e, log_pi = dense_matrices(case)
    codes = case[2].astype(np.int64)
    path, number = np.full(len(codes), -1, np.int32), np.full(len(codes), -1, np.int32)

    def pointer(array: NDArray[np.generic]) -> ctypes.c_void_p:
        return array.ctypes.data_as(ctypes.c_void_p)

    begin = time.perf_counter()
    search(
        pointer(log_t), pointer(log_e), pointer(log_pi), pointer(codes),
        ctypes.c_long(len(codes)), len(log_pi), pointer(path), pointer(number),
    )  # fmt: skip
    return time.perf_counter() - begin, np.stack([path, number])


def run_dense(case: Case) -> tuple[float, NDArray[np.integer]]:
    sys.path.insert(0, str(PEERS))
    from dense_viterbi import dense_viterbi

    log_t, log_e, log_pi = dense_matrices(case)
    to_from = np.ascontiguousarray(log_t.T)
    del log_t
    dense_viterbi(np.zeros((3, 3)), np.zeros((3, 20)), np.zeros(3), np.zeros(2, np.int64))
    begin = time.perf_counter()
    path, number = dense_viterbi(to_from, log_e, log_pi, case[2].astype(np.int64))
    return time.perf_counter() - begin, np.stack([path, number])


def run_lists(case: Case) -> tuple[float, NDArray[np.integer]]:
    sys.path.insert(0, str(PEERS))
    from list_viterbi import list_viterbi

    log_t, log_e, log_pi = (matrix.tolist() for matrix in dense_matrices(case))
    begin = time.perf_counter()
    path, number = list_viterbi(log_t, log_e, log_pi, case[2].tolist())
    return time.perf_counter() - begin, np.array([path, number])


def timed(case: Case, repeats: int) -> tuple[float, NDArray[np.integer]]:
    best, result = np.inf, np.empty(0)
    for _ in range(repeats):
        begin = time.perf_counter()
        result = np.stack(ours(case))
        best = min(best, time.perf_counter() - begin)
    full = np.full((2, len(case[2])), -1)
    full[:, : result.shape[1]] = result
    return best, full


def child(n: int, length: int) -> None:
    """Print the peak of this process above its compiled state, in bytes (Linux)."""
    case = walk_case(n, length)
    ours(walk_case(60, 40))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from what is held now

    def status(key: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))

    before = status("VmRSS")
    ours(case)
    print(json.dumps(status("VmHWM") - before))


def in_child(n: int, length: int, **env: str) -> tuple[float, float]:
    """Return the seconds of a child process and what it prints, in MB."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(n), str(length)],
        check=True, capture_output=True, env={**os.environ, **env},
    )  # fmt: skip
    return time.perf_counter() - begin, json.loads(done.stdout) / 1e6


def compare(name: str, case: Case, published: Callable[..., int] | None, memory: str = "") -> None:
    seconds, mine = timed(case, 5)
    dense_s, dense = run_dense(case)
    c_s, c_path = run_published(published, case) if published else (np.nan, mine)
    same = "yes" if (mine == dense).all() and (mine == c_path).all() else "NO"
    print(
        f"| {name} | {len(case[0]):,} | {len(case[2]):,} | {mine[1].max() + 1} | {seconds:.4f} "
        f"| {dense_s:.2f} ({dense_s / seconds:.0f} x) | {c_s:.1f} ({c_s / seconds:.0f} x) "
        f"| {same} | {memory} |"
    )


def growth(sizes: tuple[int, ...], dense_at: int) -> None:
    print("\n| N = T | fragments | ours, s | ns a state and step | MB |\n|---|---|---|---|---|")
    seconds: dict[int, float] = {}
    for n in sizes:
        case = walk_case(n, n)
        seconds[n], found = timed(case, 3 if n < 5000 else 1)
        each = seconds[n] / len(case[0]) / n * 1e9
        memory = in_child(n, n)[1]
        print(f"| {n:,} | {found[1].max() + 1} | {seconds[n]:.3f} | {each:.0f} | {memory:.0f} |")
    first, last = sizes[0], sizes[-1]
    power = np.log(seconds[last] / seconds[first]) / np.log(last / first)
    print(f"\ngrowth from {first:,} to {last:,}: N^{power:.2f} (goal: at most 2.1)")
    dense_s, _ = run_dense(walk_case(dense_at, dense_at))
    print(f"dense numba at {dense_at:,}: {dense_s:.1f} s; ours at {last:,}: "
          f"{seconds[last] / dense_s:.3f} of it (goal: at most 0.2)")  # fmt: skip


def with_gaps(sizes: tuple[int, ...]) -> None:
    """Print the seconds of tracing with gaps, from positions and emissions alone."""
    print("\n| N = T | with gaps, s | paper, s | ratio (goal: at most 10) |\n|---|---|---|---|")
    for n in sizes:
        xyz_A, emission, codes = case = walk_case(n, n)
        paper_s, _ = timed(case, 3)
        points = Candidates(xyz_A, np.ones(n), emission, None, np.ones(n, np.int32))
        begin = time.perf_counter()
        trace_gap(points, [codes])
        seconds = time.perf_counter() - begin
        print(f"| {n:,} | {seconds:.2f} | {paper_s:.3f} | {seconds / paper_s:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="growth to N = T = 10,000")
    parser.add_argument("--no-published", action="store_true", help="leave the slow C peer out")
    parser.add_argument("--models", type=Path, help="folder of PDB files")
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    ours(walk_case(60, 40))
    with tempfile.TemporaryDirectory() as folder:
        published = None if options.no_published else compile_published(folder)
        print("| case | N | T | fragments | ours, s | dense numba, s | as published, C, s "
              "| same path | MB |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
        for path in sorted(options.models.glob("*.pdb")) if options.models else ():
            if not path.name.startswith("34610"):
                compare(path.stem, model_case(path), published)
        for n, length in ((500, 300), (1000, 400), (2000, 500)):
            memory = f"{in_child(n, length)[1]:.0f}"
            compare("walk", walk_case(n, length), published, memory)
        cold, _ = in_child(60, 40, NUMBA_CACHE_DIR=folder)
        warm, _ = in_child(60, 40)
    print(f"\ncompiling, once for each installation: {cold - warm:.1f} s")
    if options.large:
        growth((1000, 2000, 5000, 10000), 5000)
        with_gaps((300, 1000, 2000, 5000))


if __name__ == "__main__":
    main()
