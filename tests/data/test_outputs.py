"""Folders that are kept in a bucket: whole files, those that vouch for others last."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from c2s_data.errors import ConfigError, LeaseError, StoreError
from c2s_data.outputs import local_place, output_file, output_folder, output_place
from c2s_data.store.objects import RemoteObjects


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    return f"memory://{tmp_path.name}/folder"


def kept(bucket: str) -> dict[str, bytes]:
    objects = RemoteObjects(bucket)
    return {n: objects.get(n) for n, _ in objects.walk() if not n.startswith("_c2s/leases/")}


def put(bucket: str, name: str, body: bytes) -> None:
    fsspec.filesystem("memory").pipe_file(f"/{bucket.partition('://')[2]}/{name}", body)


def seal(name: str) -> str | None:
    folder, _, _ = name.rpartition("/")
    return f"{folder}/seal" if folder else None


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is put and deleted, in its order."""
    seen: list[str] = []
    real_put, real_delete = RemoteObjects.put, RemoteObjects.delete

    def put_object(self, key, data, *, durable=True):
        seen.append(f"+{key}")
        real_put(self, key, data, durable=durable)

    def delete_object(self, key):
        seen.append(f"-{key}")
        real_delete(self, key)

    monkeypatch.setattr(RemoteObjects, "put", put_object)
    monkeypatch.setattr(RemoteObjects, "delete", delete_object)
    return seen


def test_a_path_is_the_folder_itself(tmp_path: Path) -> None:
    with output_folder(str(tmp_path / "out")) as folder:
        assert folder.path == tmp_path / "out"
        assert folder.told(f"in {tmp_path}") == f"in {tmp_path}"
        folder.send()
    assert not (tmp_path / "out").exists()
    with output_file(str(tmp_path / "a.csv")) as path:
        assert path == (tmp_path / "a.csv", str)


def test_what_is_written_is_kept_and_brought_again(bucket: str) -> None:
    with output_folder(bucket) as folder:
        write(folder.path, a="1", deep__er__b="2", **{".unfinished": "no"})
        private = folder.path
        assert folder.told(f"{private}/a is there") == f"{bucket}/a is there"
    assert kept(bucket) == {"a": b"1", "deep/er/b": b"2"}
    assert not private.exists()
    put(bucket, "deep/.private", b"a stranger's")
    with output_folder(bucket) as folder:
        assert (folder.path / "deep/er/b").read_text() == "2"
        (folder.path / "a").unlink()
    assert kept(bucket) == {"deep/er/b": b"2", "deep/.private": b"a stranger's"}


def test_only_what_changed_is_sent(bucket: str, requests: list[str]) -> None:
    with output_folder(bucket) as folder:
        write(folder.path, a="1", b="2")
        folder.send()
        write(folder.path, b="three")
    assert requests == ["+a", "+b", "+b"]


def test_a_seal_comes_last_and_goes_first(bucket: str, requests: list[str]) -> None:
    with output_folder(bucket, marker=seal) as folder:
        write(folder.path, x__a="1", x__seal="s", x__z="2", top="t")
        folder.send()
        assert requests == ["+top", "+x/a", "+x/z", "+x/seal"]
        requests.clear()
        write(folder.path, x__a="other")
        folder.send()
        assert requests == ["-x/seal", "+x/a", "+x/seal"]
        requests.clear()
        write(folder.path, y__a="1", y__seal="s")
        for name in ("a", "seal", "z"):
            (folder.path / "x" / name).unlink()
        folder.send()
        assert requests == ["+y/a", "+y/seal"], "x is still there while y is not known to be whole"
        requests.clear()
        folder.send()
        assert requests == ["-x/seal", "-x/a", "-x/z"]
    assert kept(bucket).keys() == {"top", "y/a", "y/seal"}


def test_what_lacks_its_seal_is_not_brought(bucket: str) -> None:
    for name in ("x/a", "x/seal", "y/a"):
        put(bucket, name, b"1")
    with output_folder(bucket, marker=seal) as folder:
        assert (folder.path / "x/a").exists()
        assert not (folder.path / "y/a").exists()


def test_a_name_that_leads_out_is_refused(bucket: str) -> None:
    put(bucket, "x/../../../evil", b"1")
    with pytest.raises(StoreError, match="leave the store"), output_folder(bucket):
        pass


def test_a_failure_sends_nothing_unless_it_can_be_gone_on_with(bucket: str) -> None:
    def fail(*, resumable: bool) -> None:
        with output_folder(bucket, resumable=resumable) as folder:
            write(folder.path, a="1")
            raise ConfigError(f"{folder.path}: no")

    for resumable, expected in ((False, {}), (True, {"a": b"1"})):
        with pytest.raises(ConfigError) as told:
            fail(resumable=resumable)
        assert str(told.value) == f"{bucket}: no"
        assert kept(bucket) == expected


def test_one_at_a_time(bucket: str) -> None:
    with output_folder(bucket, purpose="c2s-model train") as folder:
        write(folder.path, a="1")
        with (
            pytest.raises(LeaseError, match="`c2s-model train` of process"),
            output_folder(bucket, purpose="c2s-model train"),
        ):
            pass
    assert kept(bucket) == {"a": b"1"}


def test_what_cannot_be_sent_is_left_and_named(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self, key, data, *, durable=True):
        raise StoreError(f"{self.url}: object {key!r} cannot be written: HTTP 403")

    monkeypatch.setattr(RemoteObjects, "put", refuse)
    with pytest.raises(StoreError, match="c2s-data copy") as told, output_folder(bucket) as folder:
        write(folder.path, a="1")
    assert (folder.path / "a").read_text() == "1"
    assert str(folder.path) in str(told.value)


def test_disk_is_freed_and_the_bucket_keeps(bucket: str) -> None:
    with output_folder(bucket) as folder:
        write(folder.path, x__a="1", x__note="n")
        folder.send("x")
        folder.forget("x", keep=("note",))
        assert not (folder.path / "x/a").exists()
        folder.bring(lambda names: [n for n in names if n.endswith("a")], "x")
        assert (folder.path / "x/a").read_text() == "1"
        folder.forget("x")
    assert kept(bucket) == {"x/a": b"1", "x/note": b"n"}


def test_one_file_beside_others(bucket: str) -> None:
    put(bucket, "table.csv", b"old")
    put(bucket, "large", bytes(10))
    put(bucket, ".DS_Store", b"a stranger's")
    with output_file(f"{bucket}/table.csv") as (path, told):
        assert told(f"{path} is written") == f"{bucket}/table.csv is written"
        assert path.read_bytes() == b"old"
        assert sorted(one.name for one in path.parent.iterdir()) == ["table.csv"]
        path.write_bytes(b"new")
        path.with_name("dropped.csv").write_bytes(b"d")
    others = {"large": bytes(10), ".DS_Store": b"a stranger's"}
    assert kept(bucket) == {"table.csv": b"new", "dropped.csv": b"d"} | others


def test_addresses(tmp_path: Path) -> None:
    assert output_place("runs/a") == "runs/a"
    assert output_place(f"file://{tmp_path}/a") == f"{tmp_path}/a"
    assert output_place("s3://b/run/") == "s3://b/run"
    with pytest.raises(ConfigError, match="s3://"):
        output_place("https://host/x")
    with pytest.raises(StoreError, match="credentials"):
        output_place("s3://key:secret@b/run")
    assert local_place(f"file://{tmp_path}") == tmp_path
    with pytest.raises(ConfigError, match="c2s-data copy"):
        local_place("s3://bucket/x")
