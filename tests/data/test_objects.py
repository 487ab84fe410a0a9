"""Objects at a place: whole or not at all, on a folder and behind fsspec alike."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from c2s_data.errors import MissingChunkError, StoreError
from c2s_data.store.address import checked_url
from c2s_data.store.objects import LocalObjects, Objects, RemoteObjects, open_objects
from c2s_data.store.receipt import WrittenObject, put_checked


@pytest.fixture(params=["folder", "file-url", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return open_objects(tmp_path / "place")
    if request.param == "file-url":
        return open_objects(f"file://{tmp_path}/place")
    return open_objects(f"memory://{tmp_path.name}")


def test_put_get_size_delete(objects: Objects) -> None:
    objects.put("a/b/c.bin", memoryview(b"first"))
    objects.put("a/b/c.bin", bytearray(b"second"))
    objects.put("a/b/d.bin", b"")
    assert objects.get("a/b/c.bin") == b"second"
    assert objects.get("a/b/d.bin") == b""
    assert objects.size("a/b/c.bin") == 6
    assert objects.size("a/b/none") is None
    assert list(objects.names("a/b")) == ["c.bin", "d.bin"]
    assert list(objects.names("none")) == []
    objects.delete("a/b/c.bin")
    objects.delete("a/b/c.bin")
    assert list(objects.names("a/b")) == ["d.bin"]
    with pytest.raises(MissingChunkError, match=r"a/b/c\.bin"):
        objects.get("a/b/c.bin")


def test_create_has_one_winner(objects: Objects) -> None:
    assert objects.create("lease", b"mine")
    assert not objects.create("lease", b"theirs")
    assert objects.get("lease") == b"mine"


@pytest.mark.parametrize(
    "key", ["../x", "a/../../x", "/etc/x", "a/..", "a//b", "", ".", "a/./b", "a/", "a\\b", "a\0b"]
)
def test_no_name_leaves_the_place(objects: Objects, key: str) -> None:
    calls = [
        objects.get,
        objects.size,
        objects.delete,
        lambda key: objects.put(key, b""),
        lambda key: objects.create(key, b""),
        lambda key: objects.holds(key, b""),
        lambda key: objects.span(key, 0, 1),
        lambda key: objects.tail(key, 1),
    ]
    for call in calls:
        with pytest.raises(StoreError, match="leave the store"):
            call(key)
    if key.strip("/") not in ("", "a"):
        for listing in (objects.names, objects.walk):
            with pytest.raises(StoreError, match="leave the store"):
                list(listing(key))


def test_parts_of_an_object(objects: Objects) -> None:
    objects.put("a/x", b"0123456789")
    objects.put("empty", b"")
    assert objects.span("a/x", 2, 5) == b"234"
    assert objects.span("a/x", 0, 10) == b"0123456789"
    assert objects.span("a/x", 7, 99) == b"789"
    assert objects.span("a/x", 10, 12) == objects.span("a/x", 50, 60) == b""
    assert objects.span("a/x", 4, 4) == b""
    assert objects.tail("a/x", 3) == b"789"
    assert objects.tail("a/x", 10) == objects.tail("a/x", 99) == b"0123456789"
    assert objects.tail("empty", 5) == objects.span("empty", 0, 5) == b""
    assert objects.get("a/x", check=lambda data: data == b"0123456789") == b"0123456789"
    for missing in (lambda: objects.span("a/none", 0, 1), lambda: objects.tail("a/none", 1)):
        with pytest.raises(MissingChunkError, match="a/none"):
            missing()


def test_walk_names_everything_below(objects: Objects) -> None:
    sizes = {"a/b/c": 3, "a/b.x": 1, "a.json": 2, "z/0/0": 5, "a/b/d/e": 0}
    for key, nbytes in sizes.items():
        objects.put(key, b"x" * nbytes)
    assert list(objects.walk()) == sorted(sizes.items())
    assert list(objects.walk("a/b")) == [("a/b/c", 3), ("a/b/d/e", 0)]
    assert list(objects.walk("a/")) == [("a/b.x", 1), ("a/b/c", 3), ("a/b/d/e", 0)]
    assert list(objects.walk("none")) == list(objects.leftovers()) == []


def test_kinds_of_place(tmp_path: Path) -> None:
    assert isinstance(open_objects(str(tmp_path)), LocalObjects)
    assert isinstance(open_objects("memory://x"), RemoteObjects)
    assert open_objects(f"file://{tmp_path}/a%20b").url == str(tmp_path / "a b")
    with pytest.raises(StoreError, match="three slashes"):
        open_objects("file://store.zarr")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_objects("nosuch://x/y")


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA1:CANARY@bucket/x",
        "s3://CANARY@bucket/x",
        "s3://AKIA1:CAN/ARY@bucket/x",
        "s3://AKIA1:CANARY+/bucket/x",
        "s3://bucket/x?secret=CANARY",
        "s3://bucket/x?aws_secret_access_key=CANARY",
        "https://host/x?X-Amz-Signature=CANARY&a=b",
        "https://host/x?X-Amz-Credential=CANARY",
        "az://bucket/x#token=CANARY",
        "simplecache::s3://AKIA1:CANARY@bucket/x",
    ],
)
def test_an_address_with_a_credential_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(StoreError, match=r"refused; .*(environment|itself)") as caught:
        open_objects(url)
    for hidden in ("CANARY", "CAN/ARY", "AKIA1", "ARY@"):
        assert hidden not in str(caught.value)


def test_a_path_may_hold_what_looks_like_a_credential(tmp_path: Path) -> None:
    assert open_objects(str(tmp_path / "a:b@c?key=d")).url == str(tmp_path / "a:b@c?key=d")
    assert checked_url("s3://bucket/a@b") == "s3://bucket/a@b"
    assert checked_url("http://host:9000/a?list=1") == "http://host:9000/a?list=1"


def test_failed_write_leaves_the_old_object_and_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = open_objects(tmp_path)
    objects.put("x", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device; free space"):
        objects.put("x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_object_holds_what_was_written_and_nothing_else(objects: Objects) -> None:
    data = os.urandom(2**21 + 5)  # more than two of the pieces that are compared
    objects.put("a/b", data)
    assert objects.holds("a/b", data)
    assert objects.holds("a/b", memoryview(data))
    for place in (0, 2**20, len(data) - 1):
        changed = bytearray(data)
        changed[place] ^= 1
        assert not objects.holds("a/b", changed)
    assert not objects.holds("a/b", data[:-1])
    assert not objects.holds("a/b", data + b"x")
    objects.put("empty", b"")
    assert objects.holds("empty", b"")
    assert not objects.holds("empty", b"x")
    assert not objects.holds("a/b", b"")
    with pytest.raises(MissingChunkError, match="none"):
        objects.holds("none", b"")


def test_what_reads_back_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = open_objects(tmp_path)
    item = put_checked(objects, "a/b", memoryview(b"right"))
    assert item == WrittenObject("a/b", 5, hashlib.sha256(b"right").hexdigest())
    put = objects.put

    def put_badly(key: str, data: bytes, *, durable: bool = True) -> None:
        put(key, bytes(data[:-1]) + b"!", durable=durable)

    monkeypatch.setattr(objects, "put", put_badly)
    with pytest.raises(StoreError, match="reads back changed"):
        put_checked(objects, "a/b", b"right")


def test_flush_reaches_every_file_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = open_objects(tmp_path / "place")
    keys = ["a/b/c", "a/d", "e"]
    for key in keys:
        objects.put(key, b"x", durable=False)
    flushed = set()

    def record(descriptor: int) -> None:
        flushed.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(os, "fsync", record)
    objects.flush(keys)
    root = tmp_path / "place"
    assert flushed == {str(root / name) for name in [*keys, "a/b", "a", ""]}


def test_a_disk_that_fills_while_it_is_flushed_is_the_fault_of_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = open_objects(tmp_path)
    objects.put("x", b"new", durable=False)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device; free space"):
        objects.flush(["x"])
    with pytest.raises(StoreError, match="No space left on device; free space"):
        objects.create("y", b"")
