"""One SeaweedFS for all tests of the folder, and a small store in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from builds import run, write_inputs
from seaweed import BUCKET, credentials, find_weed, serve, sign_in

N_MAPS = 4


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """Address of a running SeaweedFS; its tests skip where the program is absent."""
    weed = find_weed()
    if weed is None:
        pytest.skip("no SeaweedFS on this machine; `make test-cloud` installs it into .cache")
    with serve(weed) as address:
        yield address


@pytest.fixture(params=["s3fs", "obstore"])
def client(request: pytest.FixtureRequest) -> str:
    """Each library that speaks S3."""
    return str(request.param)


@pytest.fixture
def as_writer(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the server from this process, as one who may read, write and list, but not administer."""
    sign_in(monkeypatch, endpoint, "writer")


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Catalog of a few small maps, on the disk."""
    return write_inputs(tmp_path_factory.mktemp("inputs") / "inputs", N_MAPS)


@pytest.fixture(scope="session")
def on_disk(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that one process makes of the catalog on a disk."""
    folder = tmp_path_factory.mktemp("on-disk")
    store = folder / "store.zarr"
    for arguments in (
        ("plan", catalog, store, "--preset=recommended"),
        ("build", catalog, store, "--part=1/1"),
        ("commit", store),
    ):
        done = run(folder / "logs", *arguments)
        assert done.process.returncode == 0, done.output
    return store


@pytest.fixture(scope="session")
def in_bucket(endpoint: str, catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same store, built straight into the bucket: its address."""
    folder, store = tmp_path_factory.mktemp("in-bucket"), f"s3://{BUCKET}/built/store.zarr"
    settings = credentials("writer") | {"AWS_ENDPOINT_URL": endpoint}
    done = run(folder, "build", catalog, store, "--preset=recommended", "--workers=1", **settings)
    assert done.process.returncode == 0, done.output
    return store
