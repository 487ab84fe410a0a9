"""The second backend: Azure's blob storage as Azurite emulates it, where that is installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from azurite import CONTAINER, find_azurite, serve
from builds import digests, run

from c2s_data.errors import MissingChunkError, StoreError
from c2s_data.store.objects import open_objects


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    program = find_azurite()
    if program is None:
        pytest.skip("no Azurite on this machine; `make test-cloud AZURE=1` installs it by npm")
    with serve(program, tmp_path_factory.mktemp("azurite")) as environment:
        yield environment


@pytest.fixture
def signed_in(azure: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in azure.items():
        monkeypatch.setenv(name, value)


def test_objects(signed_in: None) -> None:
    objects, body = open_objects(f"az://{CONTAINER}/objects"), os.urandom(300_007)
    bodies = [os.urandom(32) for _ in range(16)]
    create = partial(objects.create, "race")
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(create, bodies))
    assert won.count(True) == 1
    assert objects.get("race") == bodies[won.index(True)]
    objects.put("a/b", body)
    assert objects.get("a/b") == body
    assert objects.span("a/b", 100, 200) == body[100:200]
    assert objects.tail("a/b", 9) == body[-9:]
    assert list(objects.walk()) == [("a/b", len(body)), ("race", 32)]
    assert list(objects.names("")) == ["a", "race"]
    objects.delete("a/b")
    with pytest.raises(MissingChunkError):
        objects.get("a/b")


def test_wrong_key_and_missing_container(signed_in: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="ContainerNotFound"):
        open_objects("az://absent/x").put("a", b"b")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=")
    with pytest.raises(StoreError, match=r"HTTP 403.*credentials") as told:
        open_objects(f"az://{CONTAINER}/objects").get("race")
    assert "d3Jvbmc" not in str(told.value)


def test_a_store_is_built_and_copied(
    azure: dict[str, str], catalog: Path, on_disk: Path, tmp_path: Path
) -> None:
    store = f"az://{CONTAINER}/built/store.zarr"
    for arguments in (
        ("plan", catalog, store, "--preset=recommended"),
        ("build", catalog, store, "--part=1/1"),
        ("commit", store),
        ("verify", store, "--full"),
        ("copy", store, tmp_path / "back.zarr"),
    ):
        done = run(tmp_path, *arguments, **azure)
        assert done.process.returncode == 0, done.output
    assert digests(tmp_path / "back.zarr") == digests(on_disk)
