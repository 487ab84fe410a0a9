"""From simulated and deposited pairs to one store, divided so that no protein crosses.

Everything here goes the way of any other dataset: files and a catalog, `cluster_split`, a build.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.train_demo.simulated import simulated_pair
from benchmarks.train_demo.solvent import Solvent, measure_solvent, refilled
from c2s_data.config import make_config
from c2s_data.distribute import build_store
from c2s_data.sequence_clusters import choose_engine
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.density_map import DensityMap, read_density_map, write_density_map
from c2s_data.sources.simulate import write_model
from c2s_data.split import SplitOptions, SplitResult, cluster_split, read_proteins
from c2s_data.splitting.assignment import Shares
from c2s_data.splitting.tables import write_catalog_with_split

Say = Callable[[str], None]
REFILLED: Final = "-refilled"
SHARES: Final = Shares(validation=0.25, test=0.25)
"""Of the kinds of protein. Most simulated ones count as one kind, which is trained on."""
STORE: Final = "store.zarr"
COPIES: Final = 4
"""So often a deposited pair is trained on: with other noise, and a grid of 1 A that begins
elsewhere and so moves the labels by a part of a voxel. Simulated pairs are many, these are few."""
HELD_OUT: Final = "held-out"
RELATED: Final = "related"


@dataclass(frozen=True)
class RealPair:
    """A deposited map and its model.

    Parameters
    ----------
    emdb_id, map, model
        Its name and files.
    resolution_A
        As deposited.
    part
        ``train`` or ``validation``; ``held-out``; ``related``, which is the same protein as one
        that is held out, so that the division has to hold it out as well.
    """

    emdb_id: str
    map: str
    model: str
    resolution_A: float
    part: str


REAL_PAIRS: Final = (
    RealPair("EMD-20026", "emd_20026_zone_apoferritin.mrc.gz", "3ajo_fitted_refined.pdb", 1.75, "train"),  # noqa: E501
    RealPair("EMD-6272", "emd_6272_sub_strudel.mrc.gz", "strudel_6272.pdb", 2.6, "validation"),
    RealPair("EMD-2513", "emd_2513_zone_4ci0.mrc.gz", "4ci0.pdb", 3.36, "train"),
    RealPair("EMD-5830", "emd_5830_box_3j63A.ccp4.gz", "3j63_A_box_complete.pdb", 3.8, "train"),
    RealPair("EMD-4413", "emd_4413_box_6i5a.ccp4.gz", "6i5a_box_complete.pdb", 2.3, HELD_OUT),
    RealPair("EMD-5185", "emd_5185_box_3j06.ccp4.gz", "3j06_no_ligand_box_complete.pdb", 3.3, RELATED),  # noqa: E501
    RealPair("EMD-0093", "emd_0093_masked_6gyn.mrc.gz", "6gyn.pdb", 3.4, HELD_OUT),
)  # fmt: skip
"""Those of 1 to 4 A. EMD-2867 (a predicted model) and EMD-1044 (out of register) are never used."""


def prepare(
    folder: Path, pairs: Path | None, *, n_simulated: int, seed: int, workers: int, say: Say
) -> dict[str, Any]:
    """Write inputs, divide them and build the store.

    Parameters
    ----------
    folder
        Where everything goes; the store is ``store.zarr`` in it.
    pairs
        Folder of deposited pairs, or None.
    n_simulated, seed
        How many pairs are made, and the key of all chance.
    workers
        Processes that make pairs and build.
    say
        Who is told how it goes.

    Returns
    -------
    dict
        ``split``: who went where and why; ``solvents``: what masked maps were refilled with;
        ``engine``, ``n_clusters``: what compared the proteins, and how many kinds it found.
    """
    inputs = folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    rows = _write_all_simulated(inputs, seed, n_simulated, workers, say)
    solvents: dict[str, Any] = {}
    held_out: set[str] = set()
    settled = {rows[0]["entry_id"]: "train"}  # By chance alone a few pairs may all be elsewhere.
    for pair in REAL_PAIRS if pairs is not None else ():
        assert pairs is not None
        made, solvent = _write_real(inputs, pairs, pair, seed)
        rows += made
        names = [row["entry_id"] for row in made]
        if solvent is not None:
            solvents[pair.emdb_id] = asdict(solvent)
        if pair.part == HELD_OUT:
            held_out |= set(names)
        elif pair.part != RELATED:
            settled |= dict.fromkeys(names, pair.part)
    catalog, divided = inputs / "catalog.csv", inputs / "divided.csv"
    _write_catalog(catalog, rows)
    split, engine = _divide(catalog, frozenset(held_out), settled, seed)
    made_split = {item.entry_id: (item.split, item.reason) for item in split.assignments}
    write_catalog_with_split(catalog, divided, {name: one[0] for name, one in made_split.items()})
    say(f"  {len(rows)} pairs in {split.n_clusters} kinds of protein")
    store, config = folder / STORE, make_config("recommended")
    committed = build_store(
        divided, store, config, workers=workers, on_outcome=_told(len(rows), say)
    )
    if committed.failures:
        raise RuntimeError(f"the build left entries out: {committed.failures}")
    return {
        "split": made_split,
        "solvents": solvents,
        "engine": engine,
        "n_clusters": split.n_clusters,
        "leakage": 0 if split.leakage is None else split.leakage.n_pairs,
    }


def _write_all_simulated(
    inputs: Path, seed: int, n: int, workers: int, say: Say
) -> list[dict[str, Any]]:
    if workers == 1:
        return [write_simulated(inputs, seed, number) for number in range(n)]
    rows = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(write_simulated, inputs, seed, number) for number in range(n)]
        for done, future in enumerate(waiting, start=1):
            rows.append(future.result())
            if done % 10 == 0:
                say(f"  {done} of {n} simulated pairs")
    return rows


def write_simulated(inputs: Path, seed: int, number: int) -> dict[str, Any]:
    """Write one simulated pair and return its row of the catalog."""
    name = f"SIM-{number + 1:04}"
    pair = simulated_pair(seed, number)
    map_name, model_name = f"{name}.map.gz", f"{name}.cif"
    write_density_map(inputs / map_name, pair.density, labels=["simulated density, procedural"])
    write_model(inputs / model_name, pair.structure)
    return _row(name, map_name, model_name, pair.resolution_A)


def _write_real(
    inputs: Path, pairs: Path, pair: RealPair, seed: int
) -> tuple[list[dict[str, Any]], Solvent | None]:
    """Return the rows of a pair: refilled if it is masked, and where it is scored as deposited."""
    density = read_density_map(pairs / pair.map)
    solvent = measure_solvent(density)
    model, scored = str(pairs / pair.model), pair.part in (HELD_OUT, RELATED)
    rows = []
    if scored or solvent is None:
        rows.append(_row(pair.emdb_id, str(pairs / pair.map), model, pair.resolution_A))
    if solvent is None:
        return rows, None
    for copy in range(COPIES if pair.part == "train" else 1):
        name = pair.emdb_id + REFILLED + (f"-{copy + 1}" if copy else "")
        rng = np.random.default_rng([seed, int(pair.emdb_id.removeprefix("EMD-")), copy])
        made = beginning_later(refilled(density, solvent, rng), copy)
        write_density_map(inputs / f"{name}.map.gz", made, labels=["masked part filled with noise"])
        rows.append(_row(name, f"{name}.map.gz", model, pair.resolution_A))
    return rows, solvent


def beginning_later(density: DensityMap, n: int) -> DensityMap:
    """Return a map without its first n, 2 n and 3 n voxels (modulo `COPIES`) along z, y, x."""
    first = [n * step % COPIES for step in (1, 2, 3)]
    z, y, x = first
    values = np.ascontiguousarray(density.values_zyx[z:, y:, x:])
    moved_A = np.multiply(first, density.voxel_size_zyx_A)[::-1]
    ox, oy, oz = (np.asarray(density.origin_xyz_A) + moved_A).tolist()
    return DensityMap(values, density.voxel_size_zyx_A, (ox, oy, oz))


def _row(name: str, map_name: str, model: str, resolution_A: float) -> dict[str, Any]:
    return {"entry_id": name, "map": map_name, "model": model, "resolution_A": resolution_A}


def _write_catalog(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _divide(
    catalog: Path, held_out: frozenset[str], settled: dict[str, str], seed: int
) -> tuple[SplitResult, str]:
    entries = read_catalog(catalog)
    proteins, unread = read_proteins(entries)
    if unread:
        raise RuntimeError(f"proteins could not be read: {unread}")
    engine = choose_engine("builtin")
    options = SplitOptions(SHARES, seed)
    made = cluster_split(entries, proteins, engine, options, held_out=held_out, previous=settled)
    if made.moved:
        raise RuntimeError(f"a pair to train on shares a protein with a held-out one: {made.moved}")
    return made, engine.name


def _told(n: int, say: Say) -> Callable[[Any], None]:
    done = 0

    def tell(outcome: Any) -> None:  # noqa: ANN401 - passed through
        nonlocal done
        done += 1
        if done % 10 == 0 or done == n or outcome.failure is not None:
            say(f"  {done} of {n} maps built" + (f"; {outcome}" if outcome.failure else ""))

    return tell
