"""Google's storage as fake-gcs-server emulates it, where that is installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from builds import digests, run
from fake_gcs import BUCKET, find_server, serve

from c2s_data.errors import MissingChunkError, StoreError
from c2s_data.store.objects import open_objects


@pytest.fixture(scope="module")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    program = find_server()
    if program is None:
        pytest.skip("no fake-gcs-server on this machine; `make test-cloud GCS=1` installs it")
    with serve(program, tmp_path_factory.mktemp("gcs")) as address:
        yield {"STORAGE_EMULATOR_HOST": address}


@pytest.fixture
def signed_in(gcs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in gcs.items():
        monkeypatch.setenv(name, value)


def test_objects(signed_in: None) -> None:
    objects, body = open_objects(f"gs://{BUCKET}/objects"), os.urandom(300_007)
    bodies = [os.urandom(32) for _ in range(16)]
    create = partial(objects.create, "race")
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(create, bodies))
    assert won.count(True) == 1
    assert objects.get("race") == bodies[won.index(True)]
    objects.put("a/b", body)
    assert objects.get("a/b") == body
    assert objects.size("a/b") == len(body)
    assert objects.span("a/b", 100, 200) == body[100:200]
    assert objects.tail("a/b", 9) == body[-9:]
    assert list(objects.walk()) == [("a/b", len(body)), ("race", 32)]
    assert list(objects.names("")) == ["a", "race"]
    objects.put("a/b", b"replaced")
    assert objects.get("a/b") == b"replaced"
    objects.delete("a/b")
    with pytest.raises(MissingChunkError):
        objects.get("a/b")
    assert objects.size("a/b") is None


def test_a_missing_bucket_is_told(signed_in: None) -> None:
    with pytest.raises(StoreError, match=r"404.*check the address"):
        open_objects("gs://absent/x").put("a", b"b")


def test_a_store_is_built_and_copied(
    gcs: dict[str, str], catalog: Path, on_disk: Path, tmp_path: Path
) -> None:
    store = f"gs://{BUCKET}/built/store.zarr"
    for arguments in (
        ("plan", catalog, store, "--preset=recommended"),
        ("build", catalog, store, "--part=1/1"),
        ("commit", store),
        ("verify", store, "--full"),
        ("copy", store, tmp_path / "back.zarr"),
    ):
        done = run(tmp_path, *arguments, **gcs)
        assert done.process.returncode == 0, done.output
    assert digests(tmp_path / "back.zarr") == digests(on_disk)
