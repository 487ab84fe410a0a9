"""Objects as files: no way through a link, nothing but files, and what a killed writer leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from c2s_data.errors import MissingChunkError, StoreError
from c2s_data.store.local_objects import LocalObjects


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    (folder / "secret").write_bytes(b"of another")
    (folder / "sub/secret").write_bytes(b"of another")
    return folder


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    objects = LocalObjects(tmp_path / "store")
    objects.put("a/b/x", b"own")
    return objects


CALLS = {
    "get": lambda objects, key: objects.get(key),
    "span": lambda objects, key: objects.span(key, 0, 3),
    "tail": lambda objects, key: objects.tail(key, 3),
    "holds": lambda objects, key: objects.holds(key, b"of another"),
    "size": lambda objects, key: objects.size(key),
    "put": lambda objects, key: objects.put(key, b"new"),
    "put, not durable": lambda objects, key: objects.put(key, b"new", durable=False),
    "create": lambda objects, key: objects.create(key, b"new"),
    "names": lambda objects, key: list(objects.names(key)),
    "walk": lambda objects, key: list(objects.walk(key)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("link", ["a/link", "a/b/link/sub/secret", "a/b/link/secret"])
def test_no_way_leads_through_a_link(objects: LocalObjects, outside: Path, call, link: str) -> None:
    if link == "a/link":
        (objects.root / link).symlink_to(outside / "secret")
    else:
        (objects.root / "a/b/link").symlink_to(outside)
    place = str(objects.root / "a/link" if link == "a/link" else objects.root / "a/b/link")
    with pytest.raises(StoreError, match=f"{place}: a symbolic link inside a store is refused"):
        call(objects, link)
    assert (outside / "secret").read_bytes() == (outside / "sub/secret").read_bytes()
    assert sorted(path.name for path in outside.rglob("*")) == ["secret", "secret", "sub"]


@pytest.mark.parametrize("target", ["nowhere", "link", "../b/x"])
def test_a_link_that_dangles_circles_or_stays_inside_is_refused_too(
    objects: LocalObjects, target: str
) -> None:
    (objects.root / "a/b/link").symlink_to(target)
    for name in ("get", "put", "size", "create"):
        with pytest.raises(StoreError, match="a/b/link: a symbolic link inside a store"):
            CALLS[name](objects, "a/b/link")
    for call in (objects.walk, objects.leftovers):
        with pytest.raises(StoreError, match="a/b/link: a symbolic link inside a store"):
            list(call())


def test_a_link_can_be_deleted_but_nothing_behind_one(objects: LocalObjects, outside: Path) -> None:
    (objects.root / "a/link").symlink_to(outside)
    with pytest.raises(StoreError, match="a/link: a symbolic link inside a store"):
        objects.delete("a/link/secret")
    objects.delete("a/link")
    assert list(objects.walk()) == [("a/b/x", 3)]
    assert (outside / "secret").exists()


def test_the_store_itself_may_be_a_link(objects: LocalObjects, tmp_path: Path) -> None:
    (tmp_path / "name").symlink_to(objects.root)
    linked = LocalObjects(tmp_path / "name")
    linked.put("a/b/y", b"1")
    linked.flush(["a/b/y"])
    assert linked.get("a/b/x") == b"own"
    assert list(linked.walk()) == [("a/b/x", 3), ("a/b/y", 1)]
    assert objects.get("a/b/y") == b"1"


def test_what_is_no_file_is_refused_and_never_waited_for(objects: LocalObjects) -> None:
    os.mkfifo(objects.root / "a/pipe")
    for key in ("a/pipe", "a/b"):
        with pytest.raises(StoreError, match=f"{key}: not a file"):
            objects.get(key)
    with pytest.raises(MissingChunkError, match="a/b/x/y"):
        objects.get("a/b/x/y")


def test_what_a_killed_writer_left_is_no_object(objects: LocalObjects) -> None:
    left = objects.root / "a/b/.x.77.abcdef01.part"
    left.write_bytes(b"half")
    os.utime(left, (left.stat().st_atime, left.stat().st_mtime - 100))
    (objects.root / "apart").write_bytes(b"an object")
    assert list(objects.names("a/b")) == ["x"]
    assert list(objects.walk()) == [("a/b/x", 3), ("apart", 9)]
    [(key, age_s)] = objects.leftovers()
    assert key == "a/b/.x.77.abcdef01.part"
    assert 100 <= age_s < 160
    objects.delete(key)
    assert list(objects.leftovers()) == []
