"""What commands of c2s-data write into a bucket is what they write on a disk."""

from __future__ import annotations

import csv
from pathlib import Path

import fsspec
import pytest
from records_store import same_arrays, small_store
from typer.testing import CliRunner

from c2s_data.cli import app
from c2s_data.copying import copy
from c2s_data.errors import CatalogError, ConfigError
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import Store, open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return small_store(tmp_path_factory.mktemp("small"), "recommended", box=24, core=12)


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    return f"memory://{tmp_path.name}"


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def below(place: str | Path) -> dict[str, bytes]:
    objects = open_objects(place)
    return {
        name: objects.get(name)
        for name, _ in objects.walk()
        if not name.startswith(("_c2s/leases/", "."))
    }


def test_records_of_a_store_and_back(bucket: str, store: Store, tmp_path: Path) -> None:
    run("export", store.url, tmp_path / "records", "--npz")
    said = run("export", store.url, f"{bucket}/records", "--npz")
    expected = below(tmp_path / "records")
    assert below(f"{bucket}/records") == expected
    assert f"{bucket}/records: generation 1, 2 entries in the folder" in said
    assert "c2s-kept" not in said
    assert "was there already" in run("export", store.url, f"{bucket}/records", "--npz")
    damaged = next(name for name in expected if name.endswith("atom_emd_normalized_map.mrc"))
    open_objects(f"{bucket}/records").put(damaged, b"damaged")
    assert "files written" in run("export", store.url, f"{bucket}/records", "--npz")
    assert below(f"{bucket}/records") == expected


def test_a_stopped_export_is_no_entry_yet(
    bucket: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def killed(kept: object) -> str:
        raise KilledError

    place, real = f"{bucket}/records", open_objects("memory://x").__class__.put
    documents: list[str] = []

    def put(self, key, data, *, durable=True):
        documents.append(key)
        if key.endswith("c2s_entry.json"):
            raise KilledError
        real(self, key, data, durable=durable)

    monkeypatch.setattr("c2s_data.kept_folder._send_what_is_there", killed)
    with monkeypatch.context() as patched:
        patched.setattr("c2s_data.store.remote_objects.RemoteObjects.put", put)
        with pytest.raises(KilledError):
            run("export", store.url, place)
    left = below(place)
    assert len(left) > 5
    assert not any(name.endswith("c2s_entry.json") for name in left)
    open_objects(place).put("notes/of/mine.txt", b"kept")
    monkeypatch.undo()
    run("export", store.url, place)
    run("export", store.url, tmp_path / "records")
    assert below(place) == below(tmp_path / "records") | {"notes/of/mine.txt": b"kept"}


def test_a_folder_of_others_is_left(bucket: str, store: Store) -> None:
    open_objects(f"{bucket}/other").put("EMD_1/0001/notes", b"mine")
    with pytest.raises(ConfigError, match="is not empty and no export") as told:
        run("export", store.url, f"{bucket}/other")
    assert f"{bucket}/other" in str(told.value)
    assert below(f"{bucket}/other") == {"EMD_1/0001/notes": b"mine"}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_import_from_a_bucket(
    bucket: str, store: Store, tmp_path: Path, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("export", store.url, tmp_path / "records")
    for path in (tmp_path / "records").rglob("7abc.*"):
        path.unlink()  # Its parts are put together.
    records = f"{bucket}/records"
    copy(open_objects(tmp_path / "records"), open_objects(records))
    built: list[str] = []

    def build_all(catalog, url, config, **options):
        from records_store import build

        built.append(catalog)
        build(catalog, Path(url), config)
        return type("Committed", (), {"failures": {}})

    monkeypatch.setattr("c2s_data.cli.building.build_all", build_all)
    catalog = tmp_path / "own.csv" if elsewhere else f"{records}/c2s_import.csv"
    options = (f"--catalog={catalog}",) if elsewhere else ()
    before = below(records)
    said = run("import", records, tmp_path / "back.zarr", *options)
    assert built == [str(catalog)]
    assert f"catalog {catalog}" in said
    same_arrays(store, open_store(tmp_path / "back.zarr"), ("density", "atom", "amino"))
    assert "c2s-kept" not in catalog.read_text() if elsewhere else True
    assert {name for name in below(records).keys() - before.keys() if name[0] != "_"} == (
        set() if elsewhere else {"c2s_import.csv"}
    )


def test_splits_and_a_catalog_with_them(bucket: str, store: Store, tmp_path: Path) -> None:
    catalog = Path(store.url).parent / "inputs/catalog.csv"
    for path in catalog.parent.iterdir():
        fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/in/{path.name}", path.read_bytes())
    options = ("--policy=id", "--engine=builtin", "--no-leakage")
    for number, output in enumerate((f"{bucket}/in/split.csv", f"{bucket}/out/split.csv")):
        splits = f"{bucket}/splits-{number}.csv"
        said = run(
            "split", f"{bucket}/in/catalog.csv", *options, f"--splits={splits}", "-o", output
        )
        assert f"{splits}: 3 entries" in said
        table = open_objects(bucket).get(f"splits-{number}.csv").decode()
        assert [row["entry_id"] for row in csv.DictReader(table.splitlines())]
        text = open_objects(output.rpartition("/")[0]).get("split.csv").decode()
        maps = [row["map"] for row in csv.DictReader(text.splitlines())]
        folder = "" if number == 0 else f"{bucket}/in/"
        assert maps[:2] == [f"{folder}one.map.gz", f"{folder}two.map.gz"]


def test_what_is_of_this_machine_is_refused_as_a_url(bucket: str) -> None:
    open_objects(bucket).put("found.csv", b"emdb_id\n")
    for arguments in (("demo", f"{bucket}/demo"), ("fetch", f"{bucket}/found.csv", f"{bucket}/in")):
        with pytest.raises(ConfigError, match="c2s-data copy"):
            run(*arguments)
    assert below(bucket) == {"found.csv": b"emdb_id\n"}


def test_a_search_result_in_a_bucket(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from c2s_data.sources import archive_search
    from c2s_data.sources.archive_rows import Found

    found = Found([], [("EMD-1", "a title", "no structure")])
    monkeypatch.setattr(archive_search, "search", lambda *given, **named: found)
    said = run("search", "-o", f"{bucket}/in/found.csv")
    assert f"0 entries: {bucket}/in/found.csv" in said
    assert f"1 entries dropped: {bucket}/in/dropped.csv" in said
    made = below(f"{bucket}/in")
    assert made.keys() == {"found.csv", "dropped.csv"}
    assert made["dropped.csv"].splitlines()[1] == b"EMD-1,a title,no structure"
    # It is no table to fetch by, which is found out from the copy of it.
    with pytest.raises(CatalogError, match="no entries"):
        run("fetch", f"{bucket}/in/found.csv", tmp_path / "in")
