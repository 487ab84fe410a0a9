"""The commands of docs/dataset.md, in their order, against a local server."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from archive_tree import TreeEntry, archive_tree
from typer.testing import CliRunner

from c2s_data.cli import app
from c2s_data.sources.sequence import chain_sequences
from c2s_data.sources.sequence_table import to_fasta
from c2s_data.store.reader import Store, open_store

PAGE = Path(__file__).resolve().parents[2] / "docs/dataset.md"
PDB_IDS = {"DEMO-0001": "1abc", "DEMO-0002": "2abc", "DEMO-0003": "3abc"}


def walk_through() -> list[str]:
    (block,) = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return block.splitlines()


def archive_entries(inputs: Path) -> list[TreeEntry]:
    found = []
    for number, (name, pdb_id) in enumerate(PDB_IDS.items(), 1001):
        model = inputs / f"{name}.cif"
        fasta = to_fasta(chain_sequences(model), pdb_id)
        entry = TreeEntry(f"EMD-{number}", inputs / f"{name}.map.gz", pdb_id, model, fasta)
        found.append(entry)
    coarse = TreeEntry("EMD-1005", b"coarse", "5abc", "data_x", resolution_A=5.0)
    return [*found, TreeEntry("EMD-1004", b"no structure"), coarse]


@pytest.fixture(scope="module")
def done(
    demo_catalog: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder after all commands, and what each of them printed."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    folder = tmp_path_factory.mktemp("walk")
    printed: dict[str, str] = {}
    with (
        archive_tree(folder, archive_entries(demo_catalog.parent)) as tree,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in tree.environment.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        for line in walk_through():
            words = shlex.split(line)
            result = CliRunner().invoke(app, words[1:])
            assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
            printed[words[1]] = result.output
        yield folder, printed


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_command_of_a_dataset_is_in_the_walk_through() -> None:
    named = [line.split()[1] for line in walk_through()]
    wanted = "search fetch split build inspect validate verify export import"
    assert named == wanted.split()


def test_what_was_searched_is_what_was_built(done: tuple[Path, dict[str, str]]) -> None:
    folder, _ = done
    store = open_store(folder / "dataset.zarr")
    assert [entry.entry_id for entry in store.entries] == ["EMD-1001", "EMD-1002", "EMD-1003"]
    assert [row["emdb_id"] for row in table(folder / "dropped.csv")] == ["EMD-1004"]
    assert {row["journal"] for row in store.rows} == {"Acta Cryst D"}
    assert {row["contour_level"] for row in store.rows} == {0.25}


def test_the_store_has_the_split_and_nothing_leaks(done: tuple[Path, dict[str, str]]) -> None:
    folder, printed = done
    splits = {row["entry_id"]: row["split"] for row in table(folder / "splits.csv")}
    store = open_store(folder / "dataset.zarr")
    assert {entry.entry_id: entry.split for entry in store.entries} == splits
    assert set(splits.values()) <= {"train", "validation", "test"}
    assert (folder / "leakage.png").stat().st_size > 5_000
    assert "leak" in printed["split"]


def test_sequences_of_the_archive_are_in_the_store(done: tuple[Path, dict[str, str]]) -> None:
    folder, _ = done
    for entry in open_store(folder / "dataset.zarr").entries:
        facts = entry.facts
        assert facts["n_observed_residues"] == facts["n_residues"]
        assert facts["sequence_mismatches"] == 0
        assert facts["quality_flags"] == []


def arrays(store: Store) -> Iterator[tuple[str, str, np.ndarray]]:
    for entry in store.entries:
        for name in ("density", "atom", "ca", "amino", "secondary", "ignore"):
            yield entry.entry_id, name, store.read_map(entry.entry_id, name)


def test_what_comes_back_is_identical(done: tuple[Path, dict[str, str]]) -> None:
    folder, _ = done
    there, back = open_store(folder / "dataset.zarr"), open_store(folder / "again.zarr")
    assert [e.split for e in back.entries] == [e.split for e in there.entries]
    for (entry_id, name, before), (_, _, after) in zip(arrays(there), arrays(back), strict=True):
        assert before.dtype == after.dtype
        assert np.array_equal(before, after), f"{entry_id}: {name} changed on the way"


def test_the_records_are_complete(done: tuple[Path, dict[str, str]]) -> None:
    folder, _ = done
    (entry,) = (path.parent for path in (folder / "records").rglob("emd_1002.map*"))
    names = {path.name for path in entry.iterdir()}
    masks = {f"{what}emd_normalized_map.mrc" for what in ("", "atom_", "atom_ca_", "amino_")}
    parts = {f"2abc_{part}.pdb" for part in ("helix", "coil", "strand")}
    assert masks | parts | {"sec_struc_emd_normalized_map.mrc", "atomic.fasta"} <= names
    assert {row["emdb_id"] for row in table(folder / "records/metadata.csv")} >= {"EMD-1001"} or (
        (folder / "records/metadata.csv").read_text().count("1001") > 0
    )
    card = next((folder / "records").glob("croissant*.json"))
    assert json.loads(card.read_text())["@type"] == "sc:Dataset"
