"""How long a split of many entries takes, and what it leaves.

    python benchmarks/split.py [--entries 60000] [--engine mmseqs|builtin] [--policies id,date]
    python benchmarks/split.py --check 3000

Made entries: families whose sizes have a heavy tail, subfamilies at 35 to 70 % of their first
member, variants at 90 to 100 %, and
complexes of up to six proteins of neighboring families; there are four times as many entries as
different proteins, since complexes are solved again and again. With
--check, the proteins are searched through representatives however few they are, and then all of
them once more without, by MMseqs2 at its highest sensitivity.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from c2s_data import leakage
from c2s_data.leakage import measure_leakage, split_numbers
from c2s_data.sequence_clusters import choose_engine
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.split import SplitOptions, cluster_split, plain_split
from c2s_data.splitting.assignment import counts
from c2s_data.splitting.proteins import proteins_of
from c2s_data.transforms.local_alignment import LETTERS

CODES = np.frombuffer(LETTERS.encode(), np.uint8)


def changed(rng: np.random.Generator, protein: np.ndarray, identity: float) -> np.ndarray:
    """Return a copy with substitutions, and now and then a few residues more or less."""
    made = protein.copy()
    at = rng.random(len(made)) > identity
    made[at] = rng.choice(CODES, at.sum())
    for _ in range(len(made) // 120 if identity < 0.9 else 0):
        place, n = rng.integers(5, len(made) - 10), rng.integers(1, 5)
        more = rng.choice(CODES, n)
        if rng.random() < 0.5:
            made = np.insert(made, place, more)
        else:
            made = np.delete(made, np.s_[place : place + n])
    return made


def made_proteins(n: int, rng: np.random.Generator) -> list[str]:
    """Return proteins, family by family."""
    proteins: list[str] = []
    while len(proteins) < n:
        size = min(int(rng.pareto(0.9) * 1.5) + 1, n // 20 + 1)
        first = rng.choice(CODES, int(np.clip(rng.lognormal(5.7, 0.6), 40, 2500)))
        n_subfamilies = max(1, min(size // 4, 40))
        heads = [first] + [
            changed(rng, first, rng.uniform(0.35, 0.7)) for _ in range(n_subfamilies - 1)
        ]
        for _ in range(size):
            head = heads[rng.integers(n_subfamilies)]
            proteins.append(changed(rng, head, rng.uniform(0.9, 1.0)).tobytes().decode())
    return proteins[:n]


def made_catalog(n_entries: int, seed: int = 0) -> tuple[list[CatalogEntry], list[list[str]]]:
    """Return entries and their chains."""
    rng = np.random.default_rng(seed)
    proteins = made_proteins(max(20, n_entries // 4), rng)
    entries, chains = [], []
    for number in range(n_entries):
        name = f"EMD-{1000 + number}"
        day = np.datetime64("2010-01-01") + int(rng.integers(5000))
        entries.append(
            CatalogEntry(
                name, "map", "model", round(float(rng.uniform(1.2, 4.3)), 2), name,
                metadata={"release_date": str(day)},
            )
        )  # fmt: skip
        # Partners come from near by: chance pairs would join all families to one component.
        at = int(rng.integers(len(proteins)))
        near = at // 50 * 50
        partners = proteins[near : near + 50][:: int(rng.integers(10, 60))]
        mine = [proteins[at], *(partners if rng.random() < 0.15 else ())]
        chains.append([text for text in mine for _ in range(int(rng.integers(1, 5)))])
    return entries, chains


def cpu_s() -> float:
    """Return the seconds of all cores that this process and its programs have used."""
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(who)[:2]) for who in both)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--entries", type=int, default=60_000)
    parser.add_argument("--engine", default="mmseqs")
    parser.add_argument("--policies", default="resolution,small,id,date,cluster")
    parser.add_argument("--check", type=int, metavar="ENTRIES")
    arguments = parser.parse_args()
    entries, chains = made_catalog(arguments.check or arguments.entries)
    options = SplitOptions()
    if arguments.check:
        leakage.CONDENSE_ABOVE = 100
    print(f"{len(entries):,} entries")
    used = cpu_s()
    for policy in arguments.policies.split(",") if not arguments.check else ["cluster"]:
        start = time.perf_counter()
        if policy != "cluster":
            made = plain_split(policy, entries, options)
            print(f"{policy:<12} {time.perf_counter() - start:7.1f} s  {dict(counts(made))}")
            continue
        proteins = proteins_of(chains)
        engine = choose_engine(arguments.engine)
        result = cluster_split(entries, proteins, engine, options)
        assert result.leakage is not None
        sizes = np.unique([item.component for item in result.assignments], return_counts=True)[1]
        print(
            f"{policy:<12} {time.perf_counter() - start:7.1f} s  {dict(counts(result.assignments))}"
            f"\n  {result.leakage.engine}: {result.n_proteins:,} proteins of "
            f"{int(proteins.lengths.mean())} residues, {result.n_clusters:,} clusters, "
            f"{len(sizes):,} components (largest {sizes.max():,}), {result.leakage.n_pairs} pairs "
            f"left, {cpu_s() - used:.0f} s of CPU, "
            f"through representatives: {result.leakage.condensed}"
        )
        if arguments.check:
            split = split_numbers([item.split for item in result.assignments])
            whole = measure_leakage(proteins, split, choose_engine("mmseqs", sensitivity=7.5))
            print(f"  every protein searched once more: {whole.n_pairs} pairs in different splits")


if __name__ == "__main__":
    main()
