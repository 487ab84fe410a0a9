"""Lists and tables of splits: what is read, what is refused, what is written."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from c2s_data.errors import CatalogError
from c2s_data.sources.catalog import CatalogEntry, read_catalog
from c2s_data.splitting.assignment import (
    SPLITS,
    Shares,
    split_word,
)
from c2s_data.splitting.components import (
    assign_components,
)
from c2s_data.splitting.tables import (
    match,
    published_split,
    read_ids,
    read_published,
    write_catalog_with_split,
    write_splits,
)


def entry(number: int, resolution_A: float | None = 3.0, **more) -> CatalogEntry:
    name = f"EMD-{number:04d}"
    return CatalogEntry(name, "a.map", "a.cif", resolution_A, emdb_id=name, **more)


def splits_of(made) -> dict[str, str | None]:
    return {item.entry_id: item.split for item in made}


def write(path, text: str):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "emdb_id,split\nEMD-1000,train\n1001,valid\nemd_1002,TEST\n",
        "EMDB ID;Set\n1000;Training\nEMD-1001;val\n1002;test set\n",
        "train,valid,test\nEMD-1000,EMD-1001,EMD-1002\n",
        "\ufeffpdb,Partition,emd_id\n1abc,train,01000\n2abc,Validation,1001\n3abc,held-out,1002\n",
    ],
    ids=["long", "semicolons", "wide", "marked"],
)
def test_published_lists_in_their_evident_forms(tmp_path, text) -> None:
    entries = [entry(1000), entry(1001), entry(1002)]
    found = match(read_published(write(tmp_path / "s.csv", text)), entries)
    assert found.split == {"EMD-1000": "train", "EMD-1001": "validation", "EMD-1002": "test"}
    assert (found.without_data, found.without_split) == ((), ())


def test_what_a_list_lacks_and_what_the_data_lack_is_named_and_nothing_invented(tmp_path) -> None:
    path = write(tmp_path / "s.csv", "emdb_id,split\nEMD-1000,train\nEMD-7777,test\n8888,train\n")
    entries = [entry(1000), entry(1001)]
    found = match(read_published(path), entries)
    assert found.without_data == ("EMD-7777", "8888")
    assert found.without_split == ("EMD-1001",)
    assert splits_of(published_split(found, entries)) == {"EMD-1000": "train", "EMD-1001": None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emdb_id,split\nEMD-1,middle\n", "which is no split"),
        ("emdb_id,split\nEMD-1,train\nEMD-1,test\n", "in train and in test"),
        ("a,b\n1,2\n", "columns a, b"),
        ("", "empty"),
        ("emdb_id,split\n", "no id"),
        ("emdb_id,split\n../../x,train\n", "no entry, EMDB or PDB id"),
    ],
)
def test_lists_that_are_none_are_refused(tmp_path, text, message) -> None:
    with pytest.raises(CatalogError, match=message):
        read_published(write(tmp_path / "s.csv", text))


def test_held_out_ids_from_lines_or_a_table(tmp_path) -> None:
    lines = write(tmp_path / "a.txt", "# tested before\nEMD-1000\n\n7kjr\n")
    assert read_ids(lines) == ("EMD-1000", "7kjr")
    assert read_ids(write(tmp_path / "b.csv", "name,emdb_id\nx,EMD-1000\n")) == ("EMD-1000",)
    by_pdb = [entry(1000, pdb_id="7KJR"), entry(1001, pdb_id="7KJR"), entry(1002)]
    assert set(match({"7kjr": "test"}, by_pdb).split) == {"EMD-1000", "EMD-1001"}


def test_words_for_splits() -> None:
    assert [split_word(w) for w in ("Train", "val", "VALID", "Hold-out", "all", "")] == [
        "train", "validation", "validation", "test", None, None,
    ]  # fmt: skip


def test_the_table_is_read_back_and_replaces_an_older_one(tmp_path) -> None:
    entries = [entry(1000, pdb_id="7kjr"), entry(1001)]
    made, _ = assign_components(entries, np.array([0, 0]), Shares(0, 0), 0)
    path = write(tmp_path / "splits.csv", "old")
    write_splits(path, entries, made)
    with path.open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["entry_id", "emdb_id", "pdb_id", "split", "component", "reason"],
        [
            "EMD-1000",
            "EMD-1000",
            "7kjr",
            "train",
            "EMD-1000",
            "component of more than half of the entries",
        ],
        [
            "EMD-1001",
            "EMD-1001",
            "",
            "train",
            "EMD-1000",
            "component of more than half of the entries",
        ],
    ]
    assert read_published(path) == {"EMD-1000": "train", "EMD-1001": "train"}
    assert [p.name for p in tmp_path.iterdir()] == ["splits.csv"]


def test_a_catalog_gets_its_split_and_keeps_the_rest(tmp_path) -> None:
    source = write(
        tmp_path / "c.csv",
        'emdb_id,map,model,resolution_A,title\nEMD-1000,m/a.map,a.cif,3.10,"A, b"\n',
    )
    for folder in (tmp_path, tmp_path / "sub"):
        folder.mkdir(exist_ok=True)
        write_catalog_with_split(source, folder / "out.csv", {"EMD-1000": "test"})
        before, after = read_catalog(source)[0], read_catalog(folder / "out.csv")[0]
        assert after.split == "test"
        assert (after.map, after.model, after.metadata) == (
            before.map, before.model, before.metadata,
        )  # fmt: skip
    assert '3.10,"A, b",test' in (tmp_path / "out.csv").read_text()
    assert set(SPLITS) == {"train", "validation", "test"}
