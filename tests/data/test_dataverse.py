"""Fetch a dataset's files from a Dataverse: names, checksums, redirects, lists in pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_tree import ArchiveTree, Fault, archive_tree
from hostile_names import everything_below

from c2s_data.errors import CatalogError, ConfigError
from c2s_data.sources import dataverse
from c2s_data.sources.bounded_documents import DocumentError
from c2s_data.sources.dataverse import Listing, check_doi, check_path, fetch_files, list_files
from c2s_data.sources.download import DownloadError
from c2s_data.sources.fetch import Fetched, Fetcher
from c2s_data.sources.politeness import FetchPolicy, Hosts

QUICK = FetchPolicy(tries=3, pause_s=0.01, file_pace_s=0.0001, api_pace_s=0.0001, timeout_s=2.0)
DOI = dataverse.DATASETS["test"]
FILES = {
    "EMD_2/22898/emd_normalized_map.mrc": bytes(range(256)) * 1000,
    "EMD_2/22898/7kjr.fasta": b">7KJR\nAG\n",
    "metadata.csv": b"",
}


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ArchiveTree]:
    with archive_tree(tmp_path) as served:
        served.add_dataset(DOI, FILES)
        yield served


def listed(tree: ArchiveTree, pattern: str | None = None) -> Listing:
    options = {"server": tree.url, "origins": [tree.url], "pattern": pattern}
    return list_files(DOI, Hosts(QUICK), **options)


def fetched(tree: ArchiveTree, folder: Path, **options) -> dict[str, Fetched | str]:
    folder.mkdir(exist_ok=True)
    fetcher = Fetcher(folder, Hosts(QUICK), [tree.url], **options)
    done = fetch_files(listed(tree).files, fetcher, server=tree.url, jobs=2)
    return {file.path: result for file, result in done}


def test_a_doi_or_a_short_name() -> None:
    assert check_doi("full") == "10.7910/DVN/FCDG0W"
    assert check_doi("doi:10.7910/DVN/CGUENL") == check_doi("small") == "10.7910/DVN/CGUENL"
    assert check_doi("https://doi.org/10.7910/DVN/2GSSC9") == DOI
    for bad in ("", "fulll", "10.7910", "10.7910/a b", "10.7910/a&b=c", "10.7910/a#b", "a" * 500):
        with pytest.raises(ConfigError, match="FCDG0W"):
            check_doi(bad)


def test_files_arrive_in_their_folders_and_are_kept(tree: ArchiveTree, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert all(isinstance(result, Fetched) for result in fetched(tree, folder).values())
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    count = len(tree.requests("/access/"))
    assert all(result.was_there for result in fetched(tree, folder).values())
    assert len(tree.requests("/access/")) == count == 3


@pytest.mark.parametrize(
    ("pattern", "count"),
    [("*.fasta", 1), ("EMD_2/*", 2), ("EMD_2/*/*.mrc", 1), ("*", 3), ("*.FASTA", 0), ("x/*", 0)],
)
def test_a_pattern_chooses_files(tree: ArchiveTree, pattern: str, count: int) -> None:
    assert len(listed(tree, pattern).files) == count


def test_long_lists_come_in_pages(tree: ArchiveTree, monkeypatch) -> None:
    monkeypatch.setattr(dataverse, "PAGE_FILES", 2)
    assert [file.path for file in listed(tree).files] == list(FILES)
    assert [asked.path.rpartition("=")[2] for asked in tree.asked] == ["0", "2"]


def test_a_cut_file_is_resumed_after_504s(tree: ArchiveTree, tmp_path: Path) -> None:
    number = listed(tree, "*.mrc").files[0].number
    place = f"/api/access/datafile/{number}"
    tree.fault(place, Fault(status=504), Fault(cut=100_000), Fault(status=504))
    assert isinstance(
        fetched(tree, tmp_path / "data")["EMD_2/22898/emd_normalized_map.mrc"], Fetched
    )
    assert [(a.status, a.start) for a in tree.requests(place)] == [
        *((504, 0), (200, 0), (504, 0), (206, 100_000))
    ]


def test_a_checksum_that_differs_is_an_error_and_the_others_are_kept(tree, tmp_path: Path) -> None:
    number = listed(tree, "*.fasta").files[0].number
    tree.fault(f"/datafile/{number}", Fault(body=b">7KJR\nAV\n"))
    results = fetched(tree, tmp_path / "data")
    why = results.pop("EMD_2/22898/7kjr.fasta")
    assert "is not the published md5:" in why
    assert f"{tree.url}/api/access/datafile/{number}" in why
    assert all(isinstance(result, Fetched) for result in results.values())
    assert not (tmp_path / "data/EMD_2/22898/7kjr.fasta").exists()


def test_a_new_version_of_a_file_is_refused_then_taken(tree, tmp_path: Path) -> None:
    fetched(tree, tmp_path / "data")
    tree._lists.clear()
    tree.add_dataset(DOI, {"metadata.csv": b"emdb_id\n"})
    why = fetched(tree, tmp_path / "data")["metadata.csv"]
    assert "the archive now publishes md5:" in why
    taken = fetched(tree, tmp_path / "data", accept_changed=True)["metadata.csv"]
    assert isinstance(taken, Fetched)
    assert (tmp_path / "data/metadata.csv").read_bytes() == b"emdb_id\n"


def test_storage_elsewhere_must_be_allowed(tree: ArchiveTree, tmp_path: Path) -> None:
    with archive_tree(tmp_path / "storage") as storage:
        bucket = tmp_path / "storage/archive/bucket"
        bucket.mkdir(parents=True)
        (bucket / "x").write_bytes(FILES["EMD_2/22898/7kjr.fasta"])
        (file,) = listed(tree, "*.fasta").files
        (tmp_path / "data").mkdir()
        for allowed, words in (([tree.url], "not opened"), ([tree.url, storage.url], "")):
            tree.fault(
                "/datafile/", Fault(redirect=f"{storage.url}/bucket/x?X-Amz-Signature=secret")
            )
            fetcher = Fetcher(tmp_path / "data", Hosts(QUICK), allowed)
            ((_, result),) = fetch_files([file], fetcher, server=tree.url, jobs=1)
            assert words in result if words else isinstance(result, Fetched)
            assert "secret" not in str(result)
    assert dataverse.STORAGE_ORIGINS == ("https://dvn-cloud.s3.amazonaws.com",)


def test_a_table_is_asked_for_as_it_was_uploaded(tree: ArchiveTree, tmp_path: Path) -> None:
    content = b"emdb_id,pdb_id\nEMD-22898,7kjr\n"
    tree.add_dataset(DOI, {"splits.tab": content})
    data = tree._lists[DOI][-1]["dataFile"]
    data |= {"originalFileFormat": "text/csv", "originalFileName": "splits.csv"}
    data |= {"originalFileSize": len(content), "filesize": 999}
    results = fetched(tree, tmp_path / "data")
    assert isinstance(results["splits.csv"], Fetched)
    assert (tmp_path / "data/splits.csv").read_bytes() == content
    assert tree.requests(f"/datafile/{data['id']}")[0].path.endswith("?format=original")


HOSTILE = [
    *("..", ".", "", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "~/x", "~root", "-rf", ".x"),
    *("..\\x", "C:\\x", "C:x", "a\\b", "a:b", "a\0b", "a\nb", "x\x1b[31m", "CON", "nul.txt"),
    *("x.", "x ", " x", "a/ /b", "x" * 241, "é" * 121, "/".join("a" * 17), "a\u202eb", "\ud800"),
    *("fetched.jsonl", "emd.map.part", "emd.map.part.json", "a|b", "a?b", "a*b", 'a"b', "<a>"),
]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_name_never_becomes_a_path(path: str) -> None:
    folder, slash, name = path.rpartition("/")
    with pytest.raises(CatalogError):
        check_path(folder or slash, name)


def test_names_as_published_are_paths() -> None:
    names = ("EMD_2/22898/7kjr_helix.pdb", "emd_22898.map", "a b (1).tar.gz", "x/fetched.jsonl")
    for path in names:
        folder, _, name = path.rpartition("/")
        assert check_path(folder, name) == path
    assert check_path("é", "ü.csv") == "é/ü.csv"


def test_what_the_list_says_wrongly_is_told_and_nothing_is_written_outside(tree, tmp_path) -> None:
    wrong: list[dict[str, object]] = [
        {"directoryLabel": "../../up", "label": "x"},
        {"label": "/tmp/x"},
        {"restricted": True},
        {"dataFile": None},
        {"dataFile": {"id": "1/../../x", "md5": "0" * 32}},
        {"dataFile": {"id": True, "md5": "0" * 32}},
        {"dataFile": {"id": 7, "md5": "none"}},
        {"dataFile": {"id": 8, "checksum": {"type": "CRC", "value": "0" * 32}}},
        {"dataFile": {"id": 9, "md5": "0" * 32, "filesize": -1}},
        {"dataFile": {"id": 10, "md5": "0" * 32, "filesize": 2**60}},
        {"dataFile": {"id": 11, "md5": "0" * 32, "filesize": "5"}},
        {"label": "METADATA.csv"},
    ]
    for number, changes in enumerate(wrong):
        tree.add_dataset(DOI, {f"w{number}": b"x"}, **changes)
    listing = listed(tree)
    assert [file.path for file in listing.files] == list(FILES)
    assert len(listing.faults) == len(wrong)
    assert ("METADATA.csv", "the list has metadata.csv as well") in listing.faults
    before = everything_below(tmp_path)
    fetched(tree, tmp_path / "data")
    assert {p for p in everything_below(tmp_path) - before if not p.startswith("data")} == set()


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"status": "ERROR"}', b'{"status": "OK", "data": {}}', b"[" * 99_999],
)
def test_what_is_no_list_is_an_error(tree: ArchiveTree, body: bytes) -> None:
    tree.fault("/api/datasets/", Fault(body=body))
    with pytest.raises((DownloadError, DocumentError), match=DOI):
        listed(tree)


def test_items_of_any_shape_are_faults(tree: ArchiveTree) -> None:
    tree.fault("/api/datasets/", Fault(body=b'{"status": "OK", "data": [1, null, [], "x"]}'))
    assert listed(tree).files == []


def test_room_is_looked_for_before_anything_is_fetched(tree, tmp_path, monkeypatch) -> None:
    import shutil

    files = listed(tree).files
    dataverse.require_space(tmp_path, files)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 200_000))
    with pytest.raises(DownloadError, match=r"need 0\.00 GB"):
        dataverse.require_space(tmp_path, files)
    (tmp_path / "EMD_2/22898").mkdir(parents=True)
    (tmp_path / "EMD_2/22898/emd_normalized_map.mrc").write_bytes(b"")
    dataverse.require_space(tmp_path, files)
