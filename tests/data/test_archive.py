"""Addresses, queries and search results, also such as no archive should send."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from archive_tree import ArchiveTree, Fault, TreeEntry, archive_tree
from hostile_names import HOSTILE_NAMES
from hypothesis import given
from hypothesis import strategies as st

from c2s_data.errors import CatalogError, ConfigError
from c2s_data.sources import archive
from c2s_data.sources.archive_entry import lacks_details
from c2s_data.sources.archive_rows import COLUMNS, Found, add_rows, fitted_ids, parse_page
from c2s_data.sources.archive_search import FIELDS, Query, search
from c2s_data.sources.download import ALLOWED_ORIGINS, DownloadError, check_url
from c2s_data.sources.politeness import FetchPolicy, Hosts
from c2s_data.sources.web_origin import origin_of_url

PUBLIC = archive.choose_mirrors([])
QUICK = FetchPolicy(tries=3, pause_s=0.01, file_pace_s=0.0001, api_pace_s=0.0001, timeout_s=2.0)


def test_addresses_are_those_of_the_public_mirrors() -> None:
    assert archive.map_urls(PUBLIC, "EMD-22898") == (
        "https://ftp.ebi.ac.uk/pub/databases/emdb/structures/EMD-22898/map/emd_22898.map.gz",
        "https://files.wwpdb.org/pub/emdb/structures/EMD-22898/map/emd_22898.map.gz",
        "https://files.pdbj.org/pub/emdb/structures/EMD-22898/map/emd_22898.map.gz",
    )
    half = archive.half_map_urls(PUBLIC, "EMD-22898", 2)[0]
    assert half.endswith("/emdb/structures/EMD-22898/other/emd_22898_half_map_2.map.gz")
    assert archive.model_urls(PUBLIC, "7KJR", "mmcif")[1:] == (
        "https://files.wwpdb.org/pub/pdb/data/structures/divided/mmCIF/kj/7kjr.cif.gz",
        "https://files.pdbj.org/pub/pdb/data/structures/divided/mmCIF/kj/7kjr.cif.gz",
        "https://files.rcsb.org/download/7kjr.cif.gz",
    )
    legacy = archive.model_urls(PUBLIC, "pdb_00007kjr", "pdb")
    assert legacy[1].endswith("/divided/pdb/kj/pdb7kjr.ent.gz")
    assert archive.model_urls(PUBLIC, "pdb_12ab7kjr", "mmcif")[1].endswith(
        "/kj/pdb_12ab7kjr.cif.gz"
    )
    assert archive.fasta_urls(PUBLIC, "7kjr") == ("https://www.rcsb.org/fasta/entry/7KJR",)
    urls = [*archive.map_urls(PUBLIC, "EMD-0001"), *archive.model_urls(PUBLIC, "1abc", "pdb")]
    assert all(check_url(url, ALLOWED_ORIGINS) for url in urls)


@pytest.mark.parametrize("name", [n for n in HOSTILE_NAMES if n.isprintable()])
def test_a_hostile_id_never_becomes_an_address(name: str) -> None:
    for emdb_id in (name, f"EMD-{name}", f"EMD-0001{name}" if name else "EMD-"):
        with pytest.raises(CatalogError):
            archive.map_urls(PUBLIC, emdb_id)
    for pdb_id in (name, f"7kjr{name}" if name else "7kj", f"pdb_{name}"):
        with pytest.raises(CatalogError):
            archive.model_urls(PUBLIC, pdb_id, "mmcif")


def test_mirrors_are_asked_in_the_order_given() -> None:
    own, wwpdb = archive.choose_mirrors(["http://127.0.0.1:8000/copy/", "wwpdb"])
    assert own.map.startswith("http://127.0.0.1:8000/copy/pub/emdb/structures/EMD-")
    assert wwpdb is archive.MIRRORS["wwpdb"]
    for bad in (
        "ebii",
        "http://example.org",
        "file:///etc",
        "https://a@b/",
        "https://x/{emdb}",
        "",
    ):
        with pytest.raises(ConfigError):
            archive.choose_mirrors([bad])


@given(st.text(max_size=60) | st.from_regex(r"https?://[\w.:@%\[\]/-]{0,30}", fullmatch=True))
def test_an_address_of_a_user_gives_an_origin_or_is_refused(text: str) -> None:
    try:
        origin = origin_of_url(text)
    except DownloadError:
        return
    assert check_url(text, [origin]).netloc in origin
    assert text.lower().startswith(origin.lower())


def test_the_origin_of_an_address() -> None:
    assert origin_of_url("https://a.example:8443/x/y") == "https://a.example:8443"
    assert origin_of_url("http://[::1]:80/x") == "http://[::1]:80"
    for bad in ("a.example", "http://a.example", "ftp://a/x", "https://a@b", "https://", "//a/b"):
        with pytest.raises(DownloadError):
            origin_of_url(bad)


def test_a_query_says_what_was_asked_for() -> None:
    assert Query().text() == 'current_status:"REL" AND resolution:[1 TO 4]'
    full = Query(
        resolution_A=(2.5, 4.0),
        released=(None, date(2023, 3, 27)),
        method="helical",
        fitted_pdb=True,
        raw="ribosome OR virus",
    )
    assert full.text() == (
        'current_status:"REL" AND resolution:[2.5 TO 4] AND '
        'release_date:[* TO 2023-03-27T23:59:59Z] AND structure_determination_method:"helical" '
        'AND xref_links:"pdb" AND (ribosome OR virus)'
    )
    wrong = [
        Query(resolution_A=(4.0, 1.0)),
        Query(resolution_A=(float("nan"), 4.0)),
        Query(resolution_A=(1.0, float("inf"))),
        Query(method="xray"),
        Query(released=(date(2024, 1, 1), date(2023, 1, 1))),
        Query(raw="a\nb"),
        Query(raw=" "),
    ]
    for query in wrong:
        with pytest.raises(ConfigError):
            query.text()


def row_of(**fields: str) -> dict[str, str]:
    return TreeEntry("EMD-1001", pdb_id="7kjr", fields=fields).search_fields()


def test_a_row_of_the_service_becomes_a_row_of_the_catalog() -> None:
    found = Found()
    title = 'Cryo-EM structure of "X",\nwith\x1b[31m a twist'
    add_rows(found, [row_of(title=title, fitted_pdbs="7KJR, 6XYZ;7kjr pdb_00001abc")])
    assert found.rows == [
        {
            "emdb_id": "EMD-1001",
            "pdb_id": "7kjr",
            "resolution_A": "3",
            "method": "singleParticle",
            "software": "cryoSPARC",
            "title": 'Cryo-EM structure of "X", with [31m a twist',
            "journal": "Acta Cryst D",
            "contour_level": "0.25",
            "release_date": "2023-03-27",
            "article": "An article",
            "other_pdb_ids": "6xyz 1abc",
        }
    ]
    assert tuple(found.rows[0]) == COLUMNS


DROPPED = {
    "no structure": ({"fitted_pdbs": ""}, "no fitted structure"),
    "no resolution": ({"resolution": " "}, "no resolution"),
    "words": ({"resolution": "low"}, "not a positive number"),
    "nan": ({"resolution": "nan"}, "not a positive number"),
    "zero": ({"resolution": "0"}, "not a positive number"),
    "out of range": ({"resolution": "4.01"}, "out of the range"),
    "obsolete": ({"current_status": "OBS"}, "not REL"),
    "hostile id": ({"emdb_id": "EMD-1/../.."}, "not of the form"),
    "hostile model": ({"fitted_pdbs": "../x"}, "not of the form"),
}


@pytest.mark.parametrize("kind", DROPPED)
def test_what_is_dropped_is_listed_with_the_reason(kind: str) -> None:
    fields, words = DROPPED[kind]
    found = Found()
    add_rows(found, [row_of(**fields), row_of()], (1.0, 4.0))
    assert [row["emdb_id"] for row in found.rows] == ["EMD-1001"]
    ((name, title, reason),) = found.dropped
    assert words in reason
    assert (name, title) == (fields.get("emdb_id", "EMD-1001"), "a protein, its density")


def test_fields_that_the_service_does_not_know_are_empty() -> None:
    found = Found()
    add_rows(found, [{"emdb_id": "EMD-1001", "resolution": "3.10", "fitted_pdbs": "7kjr"}])
    (row,) = found.rows
    assert row["resolution_A"] == "3.1"
    assert {name for name in COLUMNS if not row[name]} == set(COLUMNS[3:])
    assert lacks_details(row)


@pytest.mark.parametrize("text", ["", "n/a", "nan", "inf", "1e999", "x0.2"])
def test_a_contour_level_that_is_no_number_is_empty(text: str) -> None:
    found = Found()
    add_rows(found, [row_of(map_contour_level_value=text)])
    assert found.rows[0]["contour_level"] == ""


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=20))))
def test_any_text_gives_rows_or_reasons(raw: list[dict[str, str]]) -> None:
    found = Found()
    add_rows(found, raw)
    assert len(found.rows) + len(found.dropped) == len(raw)
    for row in found.rows:
        archive.check_emdb_id(row["emdb_id"])
        assert fitted_ids(row["pdb_id"]) == [row["pdb_id"]]
        assert all(value.isprintable() for value in row.values())


def page(text: str) -> list[dict[str, str]]:
    return parse_page(io.StringIO(text, newline=""))


def test_a_page_is_read_with_its_quotes() -> None:
    rows = page('emdb_id,title\r\nEMD-0001,"a, ""b""\r\nc"\r\n\r\nEMD-0002,\r\n')
    assert rows == [
        {"emdb_id": "EMD-0001", "title": 'a, "b"\r\nc'},
        {"emdb_id": "EMD-0002", "title": ""},
    ]
    assert page("") == page("emdb_id,title\n") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html><body>", "did not send a table"),
        ('{"error": "no"}', "did not send a table"),
        ("emdb_id,title,resolution\nEMD-0001,x,3\nEMD-00", "cut off"),
        ("emdb_id,title\nEMD-0001,a,b\n", "3 fields instead of 2"),
        ("emdb_id,title\nEMD-0001," + "x" * 200_000 + "\n", "no CSV"),
    ],
)
def test_what_is_no_table_is_an_error(text: str, words: str) -> None:
    with pytest.raises(DownloadError, match=words):
        page(text)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ArchiveTree]:
    entries = [TreeEntry(f"EMD-{1000 + n}", pdb_id="7kjr", resolution_A=n) for n in range(1, 8)]
    with archive_tree(tmp_path, entries) as served:
        yield served


def find(tree: ArchiveTree, query: Query | None = None, **options) -> Found:
    return search(query or Query(), Hosts(QUICK), api=f"{tree.url}/emdb/api", **options)


def test_pages_are_asked_for_until_one_is_not_full(tree: ArchiveTree) -> None:
    every = Query(resolution_A=None)
    assert [len(find(tree, every, page_rows=n).rows) for n in (2, 7, 100)] == [7, 7, 7]
    assert [len(tree.requests(f"rows={n}&")) for n in (2, 7, 100)] == [4, 2, 1]
    assert [row["resolution_A"] for row in find(tree).rows] == ["1", "2", "3", "4"]
    assert "search/current_status%3A%22REL%22%20AND%20resolution%3A%5B1%20TO%204%5D?rows=" in (
        tree.asked[-1].path
    )


def test_a_service_without_pages_is_asked_once_more_and_no_entry_comes_twice(tree) -> None:
    whole = "emdb_id,resolution,fitted_pdbs\nEMD-0001,3,7kjr\nEMD-0001,3,7kjr\nEMD-0002,3,7kjr\n"
    tree.fault("/search/", *[Fault(body=whole.encode())] * 9)
    found = find(tree, page_rows=3)
    assert [row["emdb_id"] for row in found.rows] == ["EMD-0001", "EMD-0002"]
    assert len(tree.asked) == 2


def test_a_page_that_is_cut_off_or_refused_is_asked_for_again(tree: ArchiveTree) -> None:
    short = "emdb_id,resolution,fitted_pdbs\nEMD-0001,3,7kjr\nEMD-00"
    tree.fault("/search/", Fault(cut=50), Fault(status=503), Fault(body=short.encode()))
    with pytest.raises(DownloadError, match="cut off"):
        find(tree)
    assert len(find(tree).rows) == 4
    with pytest.raises(DownloadError, match="status 404"):
        search(Query(), Hosts(QUICK), api=f"{tree.url}/nowhere")


def test_a_found_table_is_a_catalog_once_files_are_added(tmp_path: Path) -> None:
    from c2s_data.sources.archive_rows import rows_of
    from c2s_data.sources.catalog import read_catalog
    from c2s_data.sources.fetch_tables import read_found, replace_table

    found = Found()
    add_rows(found, [row_of(), row_of(emdb_id="EMD-1002", map_contour_level_value="")])
    replace_table(tmp_path / "found.csv", COLUMNS, rows_of(found))
    rows = read_found(tmp_path / "found.csv")
    assert rows == found.rows
    with (tmp_path / "catalog.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [*COLUMNS, "map", "model", "sequence"])
        writer.writeheader()
        writer.writerows(row | {"map": "x.map", "model": "x.cif", "sequence": ""} for row in rows)
    first, second = read_catalog(tmp_path / "catalog.csv")
    assert (first.resolution_A, first.contour_level, second.contour_level) == (3.0, 0.25, None)
    assert first.metadata["journal"] == "Acta Cryst D"
