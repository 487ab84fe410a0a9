"""Training reads a bucket: whole shards, ahead of use, kept on a disk within bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bucket import listed
from s3_proxy import Fault, S3Proxy
from seaweed import BUCKET, sign_in

from c2s_data.store.generation import generation_key, swap_latest
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store
from c2s_data.store.sealed import seal, unseal
from c2s_data.store.traffic import traffic

torch = pytest.importorskip("torch")

OPENING = 4
INDEX_COLUMNS = 3


@pytest.fixture
def proxy(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Proxy]:
    """What counts the requests of this process, and disturbs them."""
    with S3Proxy(endpoint) as proxy:
        sign_in(monkeypatch, proxy.url, "reader")
        monkeypatch.setenv("C2S_S3_CLIENT", "obstore")
        monkeypatch.setenv("C2S_S3_PAUSE_S", "0.01")
        yield proxy


def batches(url: str | Path, **options: object) -> dict[int, tuple[bytes, bytes]]:
    """Return density and mask of every row that one epoch gives."""
    from c2s_model.data import SubgridDataset

    given = {"batch_size": 16, "seed": 5, "rank": 0, "world_size": 1} | options
    found = {}
    for batch in SubgridDataset(url, **given):
        for number, row in enumerate(batch["row"].tolist()):
            assert row not in found
            found[row] = (
                batch["density"][number].numpy().tobytes(),
                batch["atom"][number].numpy().tobytes(),
            )
    return found


@pytest.mark.parametrize("subgrids", ["all", "occupied"])
def test_a_shard_is_one_request(
    proxy: S3Proxy, in_bucket: str, on_disk: Path, subgrids: str
) -> None:
    expected = batches(on_disk, subgrids=subgrids)
    proxy.inject()
    assert batches(in_bucket, subgrids=subgrids) == expected
    n_maps = len(open_store(on_disk).entries)
    shards = 2 * n_maps  # density and one mask; each of these maps has one shard
    assert proxy.requests == {"GET": OPENING + INDEX_COLUMNS + shards}


def test_few_rows_of_a_shard_do_not_cost_the_whole(
    proxy: S3Proxy, in_bucket: str, on_disk: Path, endpoint: str
) -> None:
    import dataclasses

    from c2s_data.store.subgrid_reader import SubgridReader

    store = open_store(in_bucket)
    spec = store.subgrid_spec("density")
    in_use = np.array([36] * 4)
    out = np.empty((16, 32, 32, 32), spec.dtype)
    proxy.inject()
    reader = SubgridReader(
        f"{in_bucket}/subgrids/density", spec, root=in_bucket, rows_in_use=in_use
    )
    reader.read_rows(1, 0, 16, out)  # one chunk of three: its index, then its bytes
    assert proxy.requests == {"GET": 2}
    reader.read_rows(1, 0, 16, out)  # the index is known
    assert proxy.requests == {"GET": 3}
    reader.read_rows(2, 0, 32, np.empty((32, 32, 32, 32), spec.dtype))  # two of three
    assert proxy.requests == {"GET": 4}
    here = np.empty_like(out)
    local = dataclasses.replace(open_store(on_disk))
    local.read_shard_rows("density", 1, 0, 16, here)
    np.testing.assert_array_equal(out, here)


def test_a_cache_keeps_what_was_read(
    proxy: S3Proxy, in_bucket: str, on_disk: Path, tmp_path: Path
) -> None:
    from c2s_data.store.object_cache import CacheOptions

    cache, expected = CacheOptions(str(tmp_path / "cache"), 10**9), batches(on_disk)
    shards = 2 * len(open_store(on_disk).entries)
    proxy.inject()
    assert batches(in_bucket, cache=cache) == expected
    assert proxy.requests == {"GET": OPENING + INDEX_COLUMNS + shards}
    proxy.inject()
    assert batches(in_bucket, cache=cache, seed=6) == expected
    assert proxy.requests == {"GET": OPENING + INDEX_COLUMNS}
    for path in (tmp_path / "cache").glob("*.cached"):  # A disk may fail too.
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 1
        path.write_bytes(body)
    proxy.inject()
    assert batches(in_bucket, cache=cache) == expected
    assert proxy.requests == {"GET": OPENING + INDEX_COLUMNS + shards}


def test_a_cache_stays_within_its_bound(
    proxy: S3Proxy, in_bucket: str, on_disk: Path, tmp_path: Path
) -> None:
    from c2s_data.store.object_cache import CacheOptions

    bound = 1_000_000  # of the four maps' 1.9 MB or so
    cache = CacheOptions(str(tmp_path / "cache"), bound)
    expected = batches(on_disk)
    for _ in range(2):
        proxy.inject()
        assert batches(in_bucket, cache=cache) == expected
        held = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*.cached"))
        assert bound / 3 < held <= bound
    first = OPENING + INDEX_COLUMNS + 2 * len(open_store(on_disk).entries)
    assert OPENING + INDEX_COLUMNS < proxy.requests["GET"] < first


def test_requests_that_are_repeated_are_counted(
    proxy: S3Proxy, in_bucket: str, on_disk: Path
) -> None:
    store, expected = open_store(in_bucket), batches(on_disk)
    before = traffic()
    proxy.inject(Fault("status", "GET", 2, 503), Fault("reset", "GET", 1))
    assert batches(store) == expected
    counted = (traffic() - before).repeated
    assert counted["HTTP 503 SlowDown"] == 2
    assert counted.total() == 3


def test_a_cache_never_keeps_what_failed(
    proxy: S3Proxy, in_bucket: str, on_disk: Path, tmp_path: Path
) -> None:
    from c2s_data.store.object_cache import CacheOptions, ObjectCache
    from c2s_data.store.subgrid_reader import SubgridReader

    spec, expected = open_store(in_bucket).subgrid_spec("density"), np.empty((36, 32, 32, 32), "f2")
    open_store(on_disk).read_shard_rows("density", 2, 0, 36, expected)
    in_use = np.array([36] * 4)

    def read(name: str) -> np.ndarray:
        cache = ObjectCache(CacheOptions(str(tmp_path / "cache"), 10**9), name)
        place = f"{in_bucket}/subgrids/density"
        reader = SubgridReader(place, spec, root=in_bucket, rows_in_use=in_use, cache=cache)
        out = np.empty_like(expected)
        reader.read_rows(2, 0, 36, out)
        return out

    proxy.inject(Fault("flip", "GET", 2))
    np.testing.assert_array_equal(read("a"), expected)
    assert proxy.requests == {"GET": 3}
    np.testing.assert_array_equal(read("a"), expected)
    assert proxy.requests == {"GET": 3}
    np.testing.assert_array_equal(read("another store"), expected)
    assert proxy.requests == {"GET": 4}


@pytest.mark.parametrize("n_maps", [1, 50_000])
def test_opening_takes_the_same_few_requests(
    n_maps: int, endpoint: str, in_bucket: str, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _with_catalog_of(n_maps, endpoint, in_bucket, monkeypatch)
    sign_in(monkeypatch, proxy.url, "reader")
    for client in ("obstore", "s3fs"):
        monkeypatch.setenv("C2S_S3_CLIENT", client)
        proxy.inject()
        assert len(open_store(url).entries) == n_maps
        assert proxy.requests == {"GET": OPENING}
    assert OPENING <= 6


def _with_catalog_of(
    n_maps: int, endpoint: str, in_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Copy what opening needs of a store, with its first entry many times in the catalog."""
    import hashlib

    from c2s_data.store.catalog_table import encode_catalog

    sign_in(monkeypatch, endpoint, "owner")
    source = open_objects(in_bucket)
    target = open_objects(f"s3://{BUCKET}/catalog-{n_maps}/store.zarr")
    row = open_store(in_bucket).rows[0]
    rows = [
        {**row, "entry_id": f"MANY-{number:05d}", "map_index": number} for number in range(n_maps)
    ]
    catalog = encode_catalog(rows)
    document = unseal(source.get(generation_key(1, "COMMITTED")), "here")
    document.pop("checksum", None)
    document["sha256"]["catalog.parquet"] = hashlib.sha256(catalog).hexdigest()
    committed = seal(document)
    target.put("subgrids/zarr.json", source.get("subgrids/zarr.json"))
    target.put(generation_key(1, "catalog.parquet"), catalog)
    target.put(generation_key(1, "COMMITTED"), committed)
    swap_latest(target, 1, committed)
    return target.url


def test_a_training_from_a_bucket(
    in_bucket: str, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from c2s_model.cli import app

    sign_in(monkeypatch, endpoint, "writer")
    options = ["--variant=tiny", "--epochs=1", "--batch-size=8", "--no-logs", "--device=cpu"]
    cache = [f"--cache={tmp_path / 'cache'}", "--cache-size=1GB"]
    run, prediction = f"s3://{BUCKET}/runs/a", f"s3://{BUCKET}/predictions"

    def do(*arguments: str) -> str:
        done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    train = ("train", in_bucket, run, *options, *cache, "--json")
    assert json.loads(do(*train, "--max-steps=4"))["finished"] is False
    checkpoint = {name for name in listed(endpoint, "runs/a") if name.startswith("checkpoints/")}
    assert "checkpoints/step-00000004/state.json" in checkpoint
    said = json.loads(do(*train))
    # How large the simulated maps are depends on how the processor's library rounds; a training
    # leaves out the rest that fills no batch.
    entries = open_store(in_bucket).entries
    n_steps = sum(entry.n_subgrids for entry in entries if entry.split == "train") // 8
    assert n_steps > 4
    assert (said["step"], said["subgrids"]) == (n_steps, 8 * (n_steps - 4))
    assert said["network"] == f"{run}/best.safetensors"
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    do(
        "predict",
        run,
        prediction,
        f"--store={in_bucket}",
        "--entry=TINY-00",
        "--endpoint",
        endpoint,
    )
    sign_in(monkeypatch, endpoint, "reader")
    from c2s_data.store.prediction_store import open_prediction

    found = open_prediction(f"{prediction}/TINY-00.zarr")
    assert found.shape_zyx == open_store(in_bucket).entry("TINY-00").shape_zyx
    values = np.asarray(found.read("atom", 0, 4), np.float32)
    np.testing.assert_allclose(values.sum(axis=0), 1, atol=2e-3)
