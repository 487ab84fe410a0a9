"""A store that is built straight into a bucket is the one that a disk would hold."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from bucket import command, digests_in, listed
from builds import building, digests
from s3_proxy import Fault, S3Proxy
from seaweed import BUCKET, boto_client, credentials

from c2s_data.store.reader import open_store


def test_the_same_bytes_as_on_a_disk(in_bucket: str, on_disk: Path, endpoint: str) -> None:
    assert digests_in(endpoint, "built/store.zarr") == digests(on_disk)


def test_a_killed_build_goes_on(
    endpoint: str, catalog: Path, on_disk: Path, tmp_path: Path
) -> None:
    store, prefix = f"s3://{BUCKET}/killed/store.zarr", "killed/store.zarr"
    arguments = ("build", catalog, store, "--preset=recommended", "--workers=1")
    settings = credentials("writer") | {"AWS_ENDPOINT_URL": endpoint}
    with building(tmp_path, *arguments, **settings) as build:
        assert build.wait_until(lambda: len(build.begun()) >= 2, seconds=120)
        pids = [build.process.pid, *build.processes()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        build.process.wait()
    assert 0 < len(listed(endpoint, prefix)) < len(digests(on_disk))
    assert "_c2s/LATEST.json" not in listed(endpoint, prefix)
    # Its lease runs out by itself; whoever comes sooner waits for it.
    done = command(tmp_path, endpoint, *arguments)
    assert done.process.returncode == 0, done.output
    assert digests_in(endpoint, prefix) == digests(on_disk)


def test_requests_that_are_repeated_are_told(
    endpoint: str, catalog: Path, on_disk: Path, tmp_path: Path
) -> None:
    store, quick = f"s3://{BUCKET}/throttled/store.zarr", {"C2S_S3_PAUSE_S": "0.01"}
    with S3Proxy(endpoint) as proxy:
        arguments = ("build", catalog, store, "--preset=recommended", "--workers=1")
        proxy.inject(Fault("status", "PUT", 5, 503), Fault("lost", "GET", 2))
        done = command(tmp_path, proxy.url, *arguments, **quick)
        assert done.process.returncode == 0, done.output
        # Of this process: a few of the plan's; the worker's are told with its maps.
        assert "requests to object storage were repeated (" in done.output
        assert "HTTP 503 SlowDown" in done.output
        proxy.inject(Fault("status", "PUT", 2, 503))
        done = command(tmp_path, proxy.url, "copy", on_disk, f"{store}-copy", **quick)
        assert done.output.count("2 of ") == 1
        assert "repeated (HTTP 503 SlowDown: 2)" in done.output
    assert digests_in(endpoint, "throttled/store.zarr") == digests(on_disk)


def test_what_is_damaged_is_found_and_repaired(
    endpoint: str, catalog: Path, on_disk: Path, tmp_path: Path
) -> None:
    store, prefix = f"s3://{BUCKET}/damaged/store.zarr", "damaged/store.zarr"
    boto = boto_client(endpoint)
    for name in digests(on_disk):
        boto.put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=(on_disk / name).read_bytes())
    shard = "subgrids/density/c/1/0/0/0"
    body = bytearray((on_disk / shard).read_bytes())
    body[len(body) // 3] ^= 4
    boto.put_object(Bucket=BUCKET, Key=f"{prefix}/{shard}", Body=bytes(body))
    boto.delete_object(Bucket=BUCKET, Key=f"{prefix}/_c2s/residues/TINY-02.parquet")
    found = command(tmp_path, endpoint, "verify", store, who="reader")
    assert found.process.returncode == 1
    assert shard in found.output
    assert "_c2s/residues/TINY-02.parquet" in found.output
    refused = command(tmp_path, endpoint, "repair", store, who="reader")
    assert refused.process.returncode != 0
    mended = command(tmp_path, endpoint, "repair", store)
    assert mended.process.returncode == 0, mended.output
    assert digests_in(endpoint, prefix) == digests(on_disk)


def test_status_inspect_export_and_import(
    in_bucket: str, endpoint: str, on_disk: Path, tmp_path: Path
) -> None:
    said = command(tmp_path, endpoint, "status", in_bucket, who="reader")
    assert "4 finished, 0 to be built, 0 failed" in said.output
    said = command(tmp_path, endpoint, "inspect", in_bucket, who="reader")
    assert "TINY-03: labels 182 C-alpha" in said.output
    records, again = f"s3://{BUCKET}/records", f"s3://{BUCKET}/imported/store.zarr"
    done = command(tmp_path, endpoint, "export", in_bucket, records)
    assert done.process.returncode == 0, done.output
    folders = {name.rpartition("/")[0] for name in listed(endpoint, "records")} - {""}
    assert len({folder for folder in folders if folder.startswith("EMD_other/")}) == 4
    # The environment names no server: the option does, for this process and for its worker.
    given = ("--workers=1", f"--endpoint={endpoint}")
    done = command(tmp_path, endpoint, "import", records, again, *given, AWS_ENDPOINT_URL=None)
    assert done.process.returncode == 0, done.output
    # The folder's MRC files hold float32, the store what they were made from.
    os.environ.update(credentials("reader") | {"AWS_ENDPOINT_URL": endpoint})
    imported, first = open_store(again), open_store(on_disk)
    for entry in first.entries:
        there = imported.read_map(entry.entry_id, "density")
        assert (there == first.read_map(entry.entry_id, "density")).all()
