"""What a store holds, as plain values and as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from c2s_data.plan import Failure, Plan
from c2s_data.schema import CLASS_NAMES
from c2s_data.store.commit import outcomes
from c2s_data.store.objects import Objects
from c2s_data.store.reader import Store
from c2s_data.store.receipt import Receipt
from c2s_data.store.root_documents import root_attributes


def store_summary(store: Store) -> dict[str, Any]:
    """Return options, maps with their facts, label counts and failures of a store.

    The result holds only what JSON can say.
    """
    maps = [
        {
            "entry_id": entry.entry_id,
            "split": entry.split,
            "resolution_A": entry.resolution_A,
            "shape_zyx": list(entry.shape_zyx),
            "origin_xyz_A": list(entry.origin_xyz_A),
            "first_subgrid": entry.first_subgrid,
            "n_subgrids": entry.n_subgrids,
            "n_occupied": entry.n_occupied,
            **entry.facts,
        }
        for entry in store.entries
    ]
    return {
        "store": store.url,
        "generation": store.generation,
        "attributes": dict(store.attrs),
        "n_rows": store.n_rows,
        "n_subgrids": sum(entry.n_subgrids for entry in store.entries),
        "n_occupied": sum(entry.n_occupied for entry in store.entries),
        "maps": maps,
        "failures": store.failures,
        "pending": [],
    }


def unfinished_summary(objects: Objects, plan: Plan) -> dict[str, Any]:
    """Return the same of what was built so far where nothing is committed: generation 0."""
    found = outcomes(objects, plan)
    maps = []
    for entry in plan.buildable:
        receipt = found[entry.entry_id]
        if isinstance(receipt, Receipt):
            maps.append(
                {
                    "entry_id": entry.entry_id,
                    "split": entry.entry.split,
                    "resolution_A": entry.entry.resolution_A,
                    "shape_zyx": list(entry.shape_zyx),
                    "origin_xyz_A": list(entry.origin_xyz_A),
                    "first_subgrid": entry.first_subgrid,
                    "n_subgrids": entry.n_subgrids,
                    "n_occupied": len(receipt.occupied),
                    **receipt.facts,
                }
            )
    failed = {name: why for name, why in found.items() if isinstance(why, Failure)}
    return {
        "store": objects.url,
        "generation": 0,
        "attributes": root_attributes(plan)["c2s"],
        "n_rows": plan.n_rows,
        "n_subgrids": sum(row["n_subgrids"] for row in maps),
        "n_occupied": sum(row["n_occupied"] for row in maps),
        "maps": maps,
        "failures": {name: f"[{why.reason}] {why.message}" for name, why in failed.items()},
        "pending": [name for name, outcome in found.items() if outcome is None],
    }


def print_store(console: Console, summary: dict[str, Any]) -> None:
    """Print a summary as a table for people."""
    attrs = summary["attributes"]
    number = summary["generation"]
    state = f"generation {number}" if number else "NOT COMMITTED, no reader will open it"
    console.print(
        f"{summary['store']}: {state}, preset {attrs['preset']}, labels "
        f"by {attrs['label_rule']} (decode offset {attrs['decode_offset_voxel']} voxel), box "
        f"{attrs['box']} core {attrs['core']}",
        highlight=False,
        markup=False,
    )
    console.print(
        f"{len(summary['maps'])} maps, {summary['n_subgrids']:,} subgrids, "
        f"{summary['n_occupied']:,} of them with C-alphas",
        highlight=False,
    )
    console.print(_table(summary["maps"], _GRID_COLUMNS))
    console.print(_table(summary["maps"], _LABEL_COLUMNS))
    measured = any(row["quality_flags"] is not None for row in summary["maps"])
    shown = [name for name in _FIT_COLUMNS if measured or name == "observed"]
    console.print(_table(summary["maps"], {name: _FIT_COLUMNS[name] for name in shown}))
    for row in summary["maps"]:
        console.print(f"{row['entry_id']}: {_labels(row)}", highlight=False, markup=False)
        for note in row["notes"]:
            console.print(f"{row['entry_id']}: note: {note}", style="yellow", markup=False)
    for name, why in summary["failures"].items():
        console.print(f"{name}: not in the store: {why}", style="red", markup=False)
    if summary["pending"]:
        console.print(f"still to be built: {', '.join(summary['pending'])}", markup=False)


def _table(
    maps: list[dict[str, Any]], columns: dict[str, Callable[[dict[str, Any]], str]]
) -> Table:
    table = Table()
    table.add_column("entry", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for row in maps:
        # Text, because a name in brackets would be taken as markup.
        table.add_row(row["entry_id"], *(Text(text(row)) for text in columns.values()))
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _observed(row: dict[str, Any]) -> str:
    known = row["n_sequence_residues"]
    return f"{row['n_observed_residues']:,}/{known:,}" if known else ""


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


# Three tables, because one would not fit the 80 columns of a terminal.
_GRID_COLUMNS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "split": lambda row: row["split"] or "",
    "A": lambda row: _number(row["resolution_A"]),
    "voxels z,y,x": lambda row: ",".join(map(str, row["shape_zyx"])),
    "subgrids": lambda row: f"{row['n_subgrids']:,}",
    "with CA": lambda row: f"{row['n_occupied']:,}",
    "residues": lambda row: f"{row['n_residues']:,}",
}
_LABEL_COLUMNS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "CA in box": lambda row: f"{row['ca_in_box']:.1%}",
    "CA sigma": lambda row: _number(row["ca_density_sigma"]),
    "at 1": lambda row: f"{row['saturated_voxel_share']:.1%}",
    "CA at 1": lambda row: f"{row['saturated_ca_share']:.1%}",
    "dropped": lambda row: str(row["n_atoms_outside"]),
    "collided": lambda row: str(row["n_collisions"]),
    "excluded": lambda row: str(sum(row["excluded_atoms"].values())),
}
_FIT_COLUMNS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "observed": _observed,
    "Q": lambda row: _number(row["q_score"]),
    "expected": lambda row: _number(row["q_score_expected"]),
    "CC mask": lambda row: _number(row["cc_mask"]),
    "FSC 0.5 A": lambda row: _number(row["fsc_05_A"]),
    "explained": lambda row: _share(row["explained_density_share"]),
    "flags": lambda row: " ".join(row["quality_flags"] or ()),
}


def _labels(row: dict[str, Any]) -> str:
    counts = row["label_counts"]
    atoms = ", ".join(
        f"{n} {name}" for n, name in zip(counts["atom"], CLASS_NAMES["atom"][1:], strict=True)
    )
    secondary = ", ".join(
        f"{n} {name}"
        for n, name in zip(counts["secondary"], CLASS_NAMES["secondary"][1:], strict=True)
    )
    told = [f"labels {atoms}", f"secondary structure ({row['secondary_source']}) {secondary}"]
    if any(nucleic := counts.get("nucleic_atom", ())):
        names = CLASS_NAMES["nucleic_atom"][1:]
        named = ", ".join(f"{n} {name}" for n, name in zip(nucleic, names, strict=True))
        told.append(f"nucleic acids {named}")
    if n_ignored := sum(counts.get("ignore", ())):
        told.append(f"{n_ignored} voxels to ignore")
    if row["excluded_atoms"]:
        excluded = ", ".join(f"{n} {why}" for why, n in row["excluded_atoms"].items())
        told.append(f"excluded atoms: {excluded}")
    return "; ".join(told)
