"""Exports that cannot be whole, folders that are not ours, and the cards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from records_store import build, small_store
from test_records_export import FIRST, SECOND, listing
from typer.testing import CliRunner

import c2s_data.cli.records  # noqa: F401 - registers its commands
from c2s_data.cli.app import app
from c2s_data.config import make_config
from c2s_data.errors import ConfigError
from c2s_data.records.data_card import weaknesses
from c2s_data.records.export import export_store
from c2s_data.store.reader import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose inputs a test may change."""
    return small_store(tmp_path / "home", "paper")


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card")
    made = small_store(folder, "recommended")
    export_store(made.url, folder / "out", licence="CC-BY-4.0")
    return folder / "out"


def test_inputs_that_are_gone_or_changed_are_listed_as_missing(
    store: Store, tmp_path: Path
) -> None:
    inputs, out = tmp_path / "home/inputs", tmp_path / "out"
    (inputs / "one.map.gz").unlink()
    model = (inputs / "unknown.cif").read_bytes()
    (inputs / "unknown.cif").write_bytes(model + b"\n")
    done = export_store(store.url, out)
    assert not done.is_complete
    first, second = done.entries
    assert list(first.missing) == ["emd_22898.map"]
    assert "does not exist any more" in first.missing["emd_22898.map"]
    parts = {f"made-up{part}.pdb" for part in ("", "_helix", "_coil", "_strand")}
    assert set(second.missing) == {*parts, "made-up.fasta"}
    assert all("has changed since" in why for why in second.missing.values())
    assert not any(name.endswith((".pdb", ".cif")) for name in listing(out / SECOND))
    # What comes back is written by the next run.
    (inputs / "unknown.cif").write_bytes(model)
    done = export_store(store.url, out)
    assert [bool(entry.missing) for entry in done.entries] == [True, False]
    assert (out / SECOND / "made-up_coil.pdb").is_file()


def test_a_damaged_entry_fails_alone(store: Store, tmp_path: Path) -> None:
    shard = Path(store.url) / "maps/EMD-22898/s0/density/c/0/0/0"
    shard.write_bytes(shard.read_bytes()[:-100])
    out = tmp_path / "out"
    done = export_store(store.url, out)
    first, second = done.entries
    assert "EMD-22898" in str(first.failure)
    assert second.failure is None
    assert done.n_in_folder == 1
    assert "EMD-22898" not in (out / "metadata.csv").read_text()
    assert not (out / FIRST / "c2s_entry.json").exists()


def test_an_older_generation_is_exported_as_it_was(store: Store, tmp_path: Path) -> None:
    catalog = tmp_path / "home/inputs/catalog.csv"
    catalog.write_text(catalog.read_text().replace(",2.5,test,", ",2.5,validation,"))
    assert build(catalog, Path(store.url), make_config("paper")).generation == 2
    for generation, split in ((1, "test"), (2, "validation"), (None, "validation")):
        export_store(store.url, tmp_path / "out", generation=generation)
        assert f"made-up,,,{split}\n" in (tmp_path / "out/splits.csv").read_text()


def test_only_an_export_of_the_same_store_is_added_to(store: Store, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match="not empty and no export"):
        export_store(store.url, other)
    assert listing(other) == {"README.md"}
    export_store(store.url, tmp_path / "out")
    second = small_store(tmp_path / "second", "released")
    with pytest.raises(ConfigError, match="export of another store"):
        export_store(second.url, tmp_path / "out")
    with pytest.raises(ConfigError, match="is no folder"):
        export_store(store.url, other / "README.md")


def test_nothing_is_written_through_a_link(store: Store, tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    export_store(store.url, out)
    shutil.rmtree(out / "EMD_2")
    (out / "EMD_2").symlink_to(outside)
    target = outside / "target"
    target.write_text("untouched")
    (out / SECOND / "atomic.fasta").unlink()
    (out / SECOND / "atomic.fasta").symlink_to(target)
    (out / SECOND / ".made-up.cif.part").symlink_to(target)
    first, second = export_store(store.url, out).entries
    assert "is a symbolic link" in str(first.failure)
    assert (second.failure, second.n_written) == (None, 1)
    assert target.read_text() == "untouched"
    assert listing(outside) == {"target"}
    assert not (out / SECOND / "atomic.fasta").is_symlink()


def test_the_command_tells_what_it_did(store: Store, tmp_path: Path) -> None:
    run = CliRunner().invoke
    args = ["export", store.url, str(tmp_path / "out"), "--entries", "EMD-22898", "--no-raw-maps"]
    done = run(app, args)
    assert (done.exit_code, done.exception) == (0, None)
    assert f"EMD-22898: {FIRST}, 14 files written" in done.output
    assert "no-map" in done.output
    done = run(app, [*args, "--json"])
    assert json.loads(done.output)["entries"][0]["n_written"] == 0
    (tmp_path / "home/inputs/model.pdb").unlink()
    (tmp_path / "out" / FIRST / "7kjr.pdb").unlink()
    done = run(app, args)
    assert done.exit_code == 1
    assert "missing: 7kjr.pdb: the recorded input" in done.output


def test_the_card_counts_what_is_there(card: Path) -> None:
    text = (card / "README.md").read_text()
    assert "preset `recommended`" in text
    assert "CC-BY-4.0" in text
    rows = [line for line in text.splitlines() if line.startswith(("| train", "| test"))]
    record = json.loads((card / FIRST / "c2s_entry.json").read_text())
    nz, ny, nx = (-(-n // 20) for n in record["shape_zyx"])
    assert rows[1] == f"| train | 1 | 90 | {nz * ny * nx:,} |"
    assert rows[0].startswith("| test | 1 | 90 | ")
    assert "- no-map: [not-found]" in text
    for name in (name for name in listing(card / FIRST) if name.endswith("_map.mrc")):
        assert f"`{name}`" in text


def test_weaknesses_are_those_of_the_options() -> None:
    paper, released, recommended = (
        " ".join(weaknesses(make_config(name))) for name in ("paper", "released", "recommended")
    )
    for words in ("half a voxel low", "clipped to 1.0", "blurs", "two definitions", "background"):
        assert words in paper
        assert words in released
        assert words not in recommended
    assert "float16" in paper
    assert "float16" not in released


def test_croissant_describes_the_files(card: Path) -> None:
    document = json.loads((card / "croissant.json").read_text())
    assert document["@type"] == "sc:Dataset"
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert document["license"] == "CC-BY-4.0"
    identifiers = set()
    for item in document["distribution"]:
        assert item["@id"] not in identifiers
        identifiers.add(item["@id"])
        if item["@type"] == "cr:FileObject":
            assert len(item["sha256"]) == 64
            assert (card / item["contentUrl"]).stat().st_size == int(item["contentSize"].split()[0])
        else:
            assert item["@type"] == "cr:FileSet"
            if item["@id"] not in ("mmcif-models", "subgrids"):
                assert list(card.glob(item["includes"])), item["includes"]
    for record_set in document["recordSet"]:
        fields = {field["@id"] for field in record_set["field"]}
        assert all(name.startswith(record_set["@id"] + "/") for name in fields)
        for field in record_set["field"]:
            if "source" in field:
                file = field["source"]["fileObject"]["@id"]
                assert file in identifiers
                header = (card / file).read_text().splitlines()[0].split(",")
                assert field["source"]["extract"]["column"] in header
        if "data" in record_set:
            assert all(set(row) == fields for row in record_set["data"])
            assert {"classes/mask": "secondary", "classes/value": 2, "classes/name": "helix"} in (
                record_set["data"]
            )


@pytest.mark.filterwarnings("ignore")
def test_mlcroissant_reads_the_card(card: Path) -> None:
    oracle = pytest.importorskip("mlcroissant", reason="mlcroissant, the reference reader")
    dataset = oracle.Dataset(card / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    records = list(dataset.records("entries"))
    assert [record["entries/entry_id"] for record in records] == [b"EMD-22898", b"made-up"]
    assert records[0]["entries/resolution_A"] == 3.08
