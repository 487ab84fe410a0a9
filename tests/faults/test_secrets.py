"""C1: a credential of the environment turns up nowhere: not in stores, output, logs or tasks."""

from __future__ import annotations

import base64
import io
import pickle
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builds import run
from guarantees_table import chosen
from s3_server import BUCKET, CLIENTS, environment, needs_s3, serve_s3

PRESET = "--preset=recommended"
SECRET, KEY_ID = "CANARYq7Rw2ZsX9kLm4TbV1nP8", "AKIACANARY5H3J7D2F"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": KEY_ID,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": f"{SECRET}-session",
    "DASK_LOGGING__DISTRIBUTED": "debug",  # What debugging shows is shown to others, too.
}


def spellings() -> Iterator[bytes]:
    for word in (SECRET, KEY_ID):
        yield word.encode()
        # Within longer base64 text the word begins at one of three places.
        for shift in range(3):
            yield base64.b64encode(b"x" * shift + word.encode())[4:-4]


def hits(named: Iterable[tuple[str, bytes]]) -> list[str]:
    """Return the names of what holds the canary, as it is or within a known container."""
    words = list(spellings())
    return [name for name, data in named if any(word in unpacked(name, data) for word in words)]


def unpacked(name: str, data: bytes) -> bytes:
    if name.endswith(".parquet"):
        table = pq.read_table(io.BytesIO(data))
        return repr((table.to_pylist(), table.schema.metadata)).encode()
    if name.endswith(".npz"):
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return b"".join(array.tobytes() for array in arrays.values()) + data
    return data


def files_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    return ((str(path), path.read_bytes()) for path in folder.rglob("*") if path.is_file())


def test_the_search_finds_a_canary() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"note": [f"a {SECRET} b"] * 2}), sink, compression="zstd")
    log = base64.b64encode(f"Authorization: {KEY_ID}".encode())
    found = [("x.parquet", sink.getvalue()), ("log", log), ("y.json", b"{}")]
    assert hits(found) == ["x.parquet", "log"]


@pytest.fixture(scope="module")
def one_bad(tiny_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three entries, the last of which fails in a worker: its map lost its end since the plan."""
    folder = tmp_path_factory.mktemp("inputs") / "inputs"
    shutil.copytree(tiny_catalog.parent, folder)
    catalog = folder / "catalog.csv"
    catalog.write_text("\n".join(catalog.read_text().splitlines()[:4]) + "\n")
    damaged = folder / "TINY-02.map"
    content = bytearray(damaged.read_bytes())
    content[-4:] = np.float32(np.nan).tobytes()
    damaged.write_bytes(content)
    return catalog


def test_a_local_build_leaks_nothing(one_bad: Path, tmp_path: Path, row) -> None:
    store, logs = tmp_path / "store.zarr", tmp_path / "logs"
    commands = [
        ("build", one_bad, store, PRESET, "--workers=1"),
        ("build", one_bad, store, "--preset=paper"),
        ("status", store, "--json"),
        ("inspect", store, "--json"),
        ("verify", store),
    ]
    codes = [run(logs, *command, **CREDENTIALS).process.returncode for command in commands]
    assert codes[:4] == [1, 2, 0, 0]
    searched = [*files_of(store), *files_of(logs)]
    assert any("distributed" in data.decode("utf-8", "replace") for _, data in files_of(logs))
    assert hits(searched) == []
    row("C1", "canary credentials, local build, Dask at debug", len(searched), 0, "0 hits in files")


@pytest.mark.parametrize("address", [
    f"s3://{KEY_ID}:{SECRET}@{BUCKET}/x",
    f"s3://{BUCKET}/x?aws_secret_access_key={SECRET}",
    f"https://user:{SECRET}@store.invalid/x",
    f"filecache::s3://{KEY_ID}:{SECRET}@{BUCKET}/x",
])  # fmt: skip
def test_a_credential_in_an_address_is_refused_and_not_repeated(
    address: str, tmp_path: Path, row
) -> None:
    done = run(tmp_path, "status", address)
    assert done.process.returncode == 2, done.output
    assert hits([("output", done.output.encode())]) == []
    row("C1", "a credential in an address", 1, 0, "refused, not repeated")


def test_what_is_submitted_to_dask_holds_no_secret(
    one_bad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row
) -> None:
    from distributed import Client, LocalCluster
    from distributed.protocol.pickle import dumps

    from c2s_data.config import make_config
    from c2s_data.distribute import build_store
    from c2s_data.store.objects import open_objects

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    submitted: list[tuple[str, bytes]] = []
    map_over = Client.map

    def recording(self, function, *iterables, key, **options):
        for one, *arguments in zip(key, *iterables, strict=True):
            submitted.append((one, dumps((function, arguments, options))))
        return map_over(self, function, *iterables, key=key, **options)

    monkeypatch.setattr(Client, "map", recording)
    store = tmp_path / "store.zarr"
    with LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        address = cluster.scheduler_address
        committed = build_store(one_bad, store, make_config("recommended"), cluster=address)
    assert len(submitted) == 3
    for _, data in submitted:  # a URL and plain facts of the plan: nothing that could hold more
        function, (url, planned, facts), _ = pickle.loads(data)
        kinds = {type(thing).__module__.partition(".")[0] for thing in (url, planned, facts)}
        assert kinds <= {"builtins", "c2s_data"}
        assert (function.__name__, url) == ("build_and_write", str(store))
    objects = open_objects(f"s3://{BUCKET}/x")
    texts = [repr(objects), str(vars(objects)), repr(committed), repr(committed.failures)]
    found = [("texts", "".join(texts).encode()), ("objects", pickle.dumps(objects)), *submitted]
    assert hits(found) == []
    row("C1", "pickles of tasks and stores, reprs", len(found), 0, "0 hits")


FAILING = {"403": "AccessDenied", "503": "SlowDown"}


@needs_s3
@pytest.mark.parametrize("client", CLIENTS[: chosen(1, 2)])
def test_a_build_on_s3_leaks_nothing(client: str, one_bad: Path, tmp_path: Path, row) -> None:
    from s3_proxy import FOR_EVER, Fault, S3Proxy

    from c2s_data.store.objects import open_objects

    logs = tmp_path / "logs"
    quick = {"C2S_S3_TRIES": "2", "C2S_S3_PAUSE_S": "0.05"}
    with serve_s3() as server, S3Proxy(server) as proxy:
        settings = environment(proxy.url, client) | CREDENTIALS | quick
        store = f"s3://{BUCKET}/store.zarr"
        command = ("build", one_bad, store, PRESET, "--workers=1")
        for status, code in FAILING.items():
            proxy.inject(Fault("status", "PUT", FOR_EVER, float(status)))
            done = run(logs, *command, **settings)
            assert done.process.returncode == 2, done.output
            assert code in done.output
        proxy.inject()
        assert run(logs, *command, **settings).process.returncode == 1
        proxy.inject(Fault("status", "GET", FOR_EVER, 403))
        assert run(logs, "inspect", store, **settings).process.returncode == 2
        proxy.inject()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            objects = open_objects(store)
            searched = [(name, objects.get(name)) for name, _ in objects.walk()]
    assert len(searched) > 80
    searched += files_of(logs)
    assert hits(searched) == []
    row("C1", "canary credentials, builds on S3, 403 and 503", len(searched), 0, "0 hits in files")
