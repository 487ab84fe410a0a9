"""`c2s-data search` and `c2s-data fetch` as a user calls them, against a local server."""

from __future__ import annotations

import csv
import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archive_tree import ArchiveTree, Fault, TreeEntry, archive_tree
from typer.testing import CliRunner, Result

import c2s_data.cli.archive  # noqa: F401 - it registers the commands
from c2s_data.cli.app import app
from c2s_data.errors import CatalogError, ConfigError
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.download import DownloadError
from c2s_data.sources.ledger import Ledger

CIF = "data_7KJR\nloop_\n"
FASTA = ">7KJR_1|Chain A[auth X]\nAG\n"
ENTRIES = [
    TreeEntry("EMD-1001", b"map one", "7kjr,6xyz", CIF, FASTA, half_maps=(b"h1", b"h2")),
    TreeEntry("EMD-1002", b"map two", "8abc", None, FASTA, pdb_model="HEADER    X\n"),
    TreeEntry("EMD-1003", b"map three", "9abc", CIF, None),
    TreeEntry("EMD-1004", b"no model"),
    TreeEntry("EMD-1005", b"too coarse", "5abc", CIF, FASTA, resolution_A=4.5),
    TreeEntry("EMD-1006", None, "6abc", CIF, FASTA, resolution_A=1.5),
]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch) -> Iterator[ArchiveTree]:
    with archive_tree(tmp_path, ENTRIES) as served:
        for name, value in served.environment.items():
            monkeypatch.setenv(name, value)
        yield served


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def table(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_search_writes_what_was_found_and_lists_what_was_dropped(tree, run: Run) -> None:
    done = run("search", "-o", "found.csv")
    assert done.exit_code == 0, done.output
    assert [row["emdb_id"] for row in table("found.csv")] == [
        *("EMD-1001", "EMD-1002", "EMD-1003", "EMD-1006")
    ]
    assert table("found.csv")[0]["other_pdb_ids"] == "6xyz"
    assert table("dropped.csv") == [
        {"emdb_id": "EMD-1004", "title": "a protein, its density", "reason": "no fitted structure"}
    ]
    assert "4 entries: found.csv" in done.output
    assert "dropped EMD-1004: no fitted structure" in done.output


def test_search_asks_for_what_the_options_say(tree, run: Run) -> None:
    words = ["--resolution", 1, 2, "--released-after", "2020-01-01", "--method", "helical"]
    done = run("search", *words, "--fitted-pdb", "--query", "virus", "-o", "found.csv")
    assert done.exit_code == 0, done.output
    assert [row["emdb_id"] for row in table("found.csv")] == ["EMD-1006"]
    assert table("dropped.csv") == []
    asked = tree.asked[0].path
    assert "release_date%3A%5B2020-01-01T00%3A00%3A00Z%20TO%20%2A%5D" in asked
    assert "%28virus%29" in asked
    assert isinstance(run("search", "-o", "dropped.csv").exception, ConfigError)


def test_search_looks_up_details_of_what_lacks_them(tree: ArchiveTree, run: Run) -> None:
    contour = {"map": {"contour_list": {"contour": [{"level": 0.7}]}}}
    lacking = {"map_contour_level_value": ""}
    tree.entries[:] = [
        TreeEntry("EMD-1001", b"", "7kjr", fields=lacking, document=contour),
        TreeEntry("EMD-1002", b"", "7kjr"),
        TreeEntry("EMD-1003", b"", "7kjr", fields=lacking),
    ]
    tree.fault("/entry/EMD-1003", Fault(status=404))
    done = run("search", "--details", "-o", "found.csv")
    assert done.exit_code == 1
    assert [row["contour_level"] for row in table("found.csv")] == ["0.7", "0.25", ""]
    assert "EMD-1003: no details" in done.output
    assert len(tree.requests("/entry/")) == 2


def test_fetch_fills_a_folder_that_can_be_built_from(tree: ArchiveTree, run: Run) -> None:
    run("search", "-o", "found.csv")
    done = run("fetch", "found.csv", "data", "--half-maps", "--jobs", 2)
    assert done.exit_code == 1, done.output  # two have no half maps, one no FASTA, one no map
    first, second, third = read_catalog("data/catalog.csv")
    data = Path("data").absolute()
    assert (first.map, first.model) == (
        str(data / "EMD-1001/emd_1001.map.gz"),
        str(data / "EMD-1001/7kjr.cif.gz"),
    )
    assert gzip.decompress(Path(first.map).read_bytes()) == b"map one"
    assert Path(first.sequence or "").read_text() == FASTA
    assert Path("data", first.metadata["half_map_2"]).name == "emd_1001_half_map_2.map.gz"
    assert first.metadata["title"] == "a protein, its density"
    assert first.contour_level == 0.25
    assert second.model == str(data / "EMD-1002/8abc.pdb.gz")  # its mmCIF is missing
    assert (third.entry_id, third.sequence) == ("EMD-1003", None)
    failed = {(row["emdb_id"], row["file"]) for row in table("data/failed.csv")}
    assert failed == {
        *(("EMD-1002", "half_map_1"), ("EMD-1002", "half_map_2"), ("EMD-1003", "sequence")),
        *(("EMD-1003", "half_map_1"), ("EMD-1003", "half_map_2"), ("EMD-1006", "map")),
        *(("EMD-1006", "half_map_1"), ("EMD-1006", "half_map_2")),
    }
    assert "3 of 4 entries can be built: data/catalog.csv" in done.output
    assert "status 404" in done.output
    assert len(Ledger(Path("data"))._records) == 12


def test_fetch_again_asks_only_for_what_is_missing(tree: ArchiveTree, run: Run) -> None:
    run("search", "--resolution", 3, 4, "-o", "found.csv")
    tree.fault("EMD-1001/map", *[Fault(status=500)] * 6)
    assert run("fetch", "found.csv", "data", "--no-sequence").exit_code == 1
    assert [entry.entry_id for entry in read_catalog("data/catalog.csv")] == [
        "EMD-1002",
        "EMD-1003",
    ]
    before = len(tree.asked)
    done = run("fetch", "found.csv", "data", "--no-sequence")
    assert done.exit_code == 0, done.output
    asked = [a.path for a in tree.asked[before:]]
    # The mmCIF that is missing is looked for again: it may have been released by now.
    assert sorted(path.rpartition("/")[2] for path in asked) == ["8abc.cif.gz", "emd_1001.map.gz"]
    assert len(read_catalog("data/catalog.csv")) == 3
    assert table("data/failed.csv") == []
    assert "(was there)" in done.output


def test_fetch_takes_pdb_files_where_asked_and_no_detour_for_a_busy_server(tree, run) -> None:
    run("search", "--resolution", 3, 3, "-o", "found.csv")
    tree.fault("8abc.cif.gz", *[Fault(status=503)] * 6)
    done = run("fetch", "found.csv", "data", "--no-sequence")
    assert {row["emdb_id"] for row in table("data/failed.csv")} == {"EMD-1002"}
    assert "status 503" in done.output
    assert run("fetch", "found.csv", "d2", "--no-sequence", "--model-format", "pdb").exit_code == 0
    names = [Path(entry.model).name for entry in read_catalog("d2/catalog.csv")]
    assert names == ["7kjr.cif.gz", "8abc.pdb.gz", "9abc.cif.gz"]


def test_fetch_refuses_a_changed_file_and_says_what_to_do(tree: ArchiveTree, run: Run) -> None:
    run("search", "--resolution", 3, 4, "-o", "found.csv")
    run("fetch", "found.csv", "data", "--no-sequence")
    Path("data/EMD-1001/emd_1001.map.gz").write_bytes(b"changed")
    done = run("fetch", "found.csv", "data", "--no-sequence")
    assert done.exit_code == 1
    assert "EMD-1001 map: data/EMD-1001/emd_1001.map.gz: it has 7 bytes" in done.output
    assert "--accept-changed" in done.output
    assert Path("data/EMD-1001/emd_1001.map.gz").read_bytes() == b"changed"
    assert run("fetch", "found.csv", "data", "--no-sequence", "--accept-changed").exit_code == 0


def test_fetch_looks_up_details(tree: ArchiveTree, run: Run) -> None:
    Path("found.csv").write_text("emdb_id,pdb_id,resolution_A,title\nEMD-1001,7KJR,3,\n")
    done = run("fetch", "found.csv", "data", "--details")
    assert done.exit_code == 0, done.output
    (entry,) = read_catalog("data/catalog.csv")
    assert (entry.pdb_id, entry.metadata["title"]) == ("7kjr", "a protein, its density")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("emdb_id,pdb_id\nEMD-1001,7kjr\n", "no column resolution_A"),
        ("emdb_id,pdb_id,resolution_A\nEMD-1/../x,7kjr,3\n", "line 2: emdb_id"),
        ("emdb_id,pdb_id,resolution_A\nEMD-1001,../x,3\n", "line 2: pdb_id"),
        ("emdb_id,pdb_id,resolution_A\nEMD-1001,7kjr,3\nEMD-1001,7kjr,3\n", "occurs twice"),
        ("emdb_id,pdb_id,resolution_A\nEMD-1001,7kjr\n", "line 2: it does not have"),
        ("", "no column"),
        ("emdb_id,pdb_id,resolution_A\n", "no entries"),
    ],
)
def test_fetch_refuses_a_table_that_is_wrong(tree, run: Run, text: str, words: str) -> None:
    Path("found.csv").write_text(text)
    done = run("fetch", "found.csv", "data")
    assert isinstance(done.exception, CatalogError)
    assert words in str(done.exception)
    assert not Path("data").exists()
    assert tree.asked == []


def test_nothing_usable_leaves_an_empty_catalog_and_all_the_reasons(tree, run: Run) -> None:
    Path("found.csv").write_text("emdb_id,pdb_id,resolution_A\nEMD-1006,6abc,3\n")
    done = run("fetch", "found.csv", "data")
    assert done.exit_code == 1
    assert "0 of 1 entries can be built" in done.output
    assert table("data/catalog.csv") == []
    assert [row["file"] for row in table("data/failed.csv")] == ["map"]


def test_fetch_refuses_columns_that_no_catalog_can_have(tree: ArchiveTree, run: Run) -> None:
    Path("found.csv").write_text("emdb_id,pdb_id,resolution_A,n_residues\nEMD-1001,7kjr,3,5\n")
    done = run("fetch", "found.csv", "data")
    assert isinstance(done.exception, CatalogError)
    assert "n_residues" in str(done.exception)


def test_words_that_make_no_sense_are_refused(tree: ArchiveTree, run: Run) -> None:
    wrong = [
        ("fetch", "data"),
        ("fetch", "a", "b", "c"),
        ("fetch", "found.csv", "data", "--files", "*"),
        ("fetch", "--dataverse", "full", "found.csv", "data"),
        ("fetch", "--dataverse", "nothing", "data"),
        ("search", "--resolution", 4, 1, "-o", "x.csv"),
        ("search", "--method", "x-ray", "-o", "x.csv"),
    ]
    for words in wrong:
        assert isinstance(run(*words).exception, ConfigError), words
    Path("found.csv").write_text("emdb_id,pdb_id,resolution_A\nEMD-1001,7kjr,3\n")
    refused = run("fetch", "found.csv", "data", "--allow-origin", "http://x.org").exception
    assert isinstance(refused, DownloadError)
    for words in (["--mirror", "ebi2"], ["--model-format", "xml"], ["--mirror", "http://x.org"]):
        assert isinstance(run("fetch", "found.csv", "data", *words).exception, ConfigError), words
    assert tree.asked == []


def test_a_dataset_is_fetched_by_name_and_pattern(tree: ArchiveTree, run: Run) -> None:
    tree.add_dataset("10.7910/DVN/2GSSC9", {"EMD_1/a.map": b"a" * 1000, "EMD_1/a.fasta": b">"})
    done = run("fetch", "--dataverse", "test", "data", "--files", "*.map")
    assert done.exit_code == 0, done.output
    assert Path("data/EMD_1/a.map").read_bytes() == b"a" * 1000
    assert not Path("data/EMD_1/a.fasta").exists()
    missing = run("fetch", "--dataverse", "test", "data", "--files", "*.nothing")
    assert isinstance(missing.exception, ConfigError)
    tree.add_dataset("10.7910/DVN/2GSSC9", {"x": b"x"}, label="../x")
    done = run("fetch", "data", "--dataverse", "10.7910/DVN/2GSSC9")
    assert done.exit_code == 1
    assert "'../x' is no name that can be stored safely" in done.output
    assert Path("data/EMD_1/a.fasta").exists()
    assert [row["file"] for row in table("data/failed.csv")] == ["../x"]


def test_ctrl_c_leaves_what_the_same_command_resumes(tree: ArchiveTree, run: Run, tmp_path) -> None:
    big = gzip.compress(os.urandom(300_000))
    tree.path("emd_1001.map.gz").write_bytes(big)
    Path("found.csv").write_text("emdb_id,pdb_id,resolution_A\nEMD-1001,7kjr,3\n")
    tree.fault("emd_1001.map.gz", Fault(drip_s=0.02))
    # A shell starts background jobs with SIGINT ignored, and the tests may be one.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from c2s_data.cli import archive, main; main()"
    )
    command = [sys.executable, "-c", program, "fetch", "found.csv", "data"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    part = tmp_path / "data/EMD-1001/emd_1001.map.gz.part"
    while not part.exists() or part.stat().st_size == 0:
        assert process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert b"the same command goes on" in output
    assert 0 < part.stat().st_size < len(big)
    assert run("fetch", "found.csv", "data").exit_code == 0
    assert Path("data/EMD-1001/emd_1001.map.gz").read_bytes() == big
    assert any(asked.start > 0 for asked in tree.asked)
