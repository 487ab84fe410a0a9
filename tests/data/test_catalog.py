"""Reading the catalog CSV: what is taken, what is refused and how it is named."""

from pathlib import Path

import pytest

from c2s_data.errors import CatalogError
from c2s_data.sources.catalog import check_entry_id, read_catalog

HEADER = "emdb_id,pdb_id,map,model,resolution_A,split"


def catalog(folder: Path, *lines: str) -> Path:
    path = folder / "catalog.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_all_columns(tmp_path: Path) -> None:
    path = catalog(
        tmp_path,
        "entry_id,emdb_id,pdb_id,map,model,resolution_A,sequence,contour_level,split,origin,title",
        "mine_1,EMD-22898,7kjr,maps/a.map.gz,/abs/b.cif,2.08,s.fasta,0.7,train,nstart,A map",
    )
    (entry,) = read_catalog(path)
    assert entry.entry_id == "mine_1"
    assert entry.map == str(tmp_path / "maps/a.map.gz")
    assert entry.model == "/abs/b.cif"
    assert entry.sequence == str(tmp_path / "s.fasta")
    assert (entry.resolution_A, entry.contour_level) == (2.08, 0.7)
    assert (entry.split, entry.origin) == ("train", "nstart")
    assert entry.metadata == {"title": "A map"}


def test_empty_fields_are_none_and_entry_id_defaults_to_emdb_id(tmp_path: Path) -> None:
    path = catalog(tmp_path, "\ufeff" + HEADER, "EMD-0093,,a.mrc,b.pdb,,")
    (entry,) = read_catalog(path)
    assert entry.entry_id == "EMD-0093"
    assert (entry.pdb_id, entry.resolution_A, entry.split, entry.origin) == (None,) * 4


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["map,model,resolution_A", "a,b,3"], "entry_id or emdb_id"),
        (["emdb_id,map,model", "EMD-0001,a,b"], "resolution_A"),
        ([HEADER.replace("split", "splits"), "EMD-0001,,a,b,3,"], "did you mean 'split'"),
        ([HEADER, "EMD-1,,a,b,3,"], "EMD-22898"),
        ([HEADER, "EMD-0001,1234567,a,b,3,"], "pdb_id"),
        ([HEADER, "EMD-0001,,a,b,three,"], "line 2: resolution_A 'three'"),
        ([HEADER, "EMD-0001,,a,b,nan,"], "positive number"),
        ([HEADER, "EMD-0001,,a,b,-1,"], "positive number"),
        ([HEADER, "EMD-0001,,,b,3,"], "map: a path is missing"),
        ([HEADER, "EMD-0001,,a,b"], "6 fields"),
        ([HEADER, "EMD-0001,,a,b,3,train,more"], "6 fields"),
        ([HEADER, "EMD-0001,,a,b,3,", "EMD-0001,,c,d,3,"], "occurs twice"),
        (["entry_id,map,model,resolution_A", "Map,a,b,3", "mAp,c,d,3"], "occurs twice"),
        (["emdb_id,map,model,resolution_A,origin", "EMD-0001,a,b,3,middle"], "origin 'middle'"),
        (["emdb_id,map,model,resolution_A,assembly", "EMD-0001,a,b,3,2"], "assembly '2'"),
        (
            ["emdb_id,map,model,resolution_A,split", 'EMD-0001,a,b,3,"tr\nain"'],
            "split 'tr.*line break",
        ),
        ([HEADER + ",N_residues", "EMD-0001,,a,b,3,,133"], "rename it"),
        ([HEADER + ",failure_reason", "EMD-0001,,a,b,3,,x"], "rename it"),
        ([HEADER], "no rows"),
        ([""], "missing column"),
    ],
)
def test_refusals_name_line_and_remedy(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(CatalogError, match=words):
        read_catalog(catalog(tmp_path, *lines))


def test_every_wrong_row_is_named(tmp_path: Path) -> None:
    path = catalog(tmp_path, HEADER, "EMD-0001,,a,b,x,", "EMD-0002,,a,b,3,", "EMD-3,,a,b,3,")
    with pytest.raises(CatalogError) as caught:
        read_catalog(path)
    assert "2 fault(s)" in str(caught.value)
    assert "line 2" in str(caught.value)
    assert "line 4" in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be read"):
        read_catalog(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "a..b",
        ".hidden",
        "a/b",
        "a\\b",
        "a\0b",
        "a\nb",
        "a b",
        "x" * 65,
        "é",
        "-a",
        "٣",
        "Zarr.json",
    ],
)
def test_names_that_could_leave_the_store_are_refused(name: str) -> None:
    with pytest.raises(CatalogError, match="not usable"):
        check_entry_id(name)


@pytest.mark.parametrize("name", ["EMD-22898", "a", "my_map.v2-b", "7kjr", "x" * 64])
def test_plain_names_pass(name: str) -> None:
    assert check_entry_id(name) == name
