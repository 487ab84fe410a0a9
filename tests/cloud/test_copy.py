"""A store goes into a bucket and comes back, whole or in part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from bucket import command, digests_in
from builds import digests
from seaweed import BUCKET, boto_client

from c2s_data.store.reader import open_store


def test_into_a_bucket_and_back(on_disk: Path, endpoint: str, tmp_path: Path) -> None:
    there, back = f"s3://{BUCKET}/copied/store.zarr", tmp_path / "back.zarr"
    done = command(tmp_path, endpoint, "copy", on_disk, there)
    assert done.process.returncode == 0, done.output
    assert digests_in(endpoint, "copied/store.zarr") == digests(on_disk)
    key = "copied/store.zarr/subgrids/density/c/2/0/0/0"
    boto_client(endpoint).put_object(Bucket=BUCKET, Key=key, Body=b"cut")
    boto_client(endpoint).delete_object(Bucket=BUCKET, Key=key.replace("/2/", "/1/"))
    done = command(tmp_path, endpoint, "copy", on_disk, there, "--json")
    assert json.loads(done.output)["written"] == 2
    done = command(tmp_path, endpoint, "copy", there, back, who="owner")
    assert done.process.returncode == 0, done.output
    assert digests(back) == digests(on_disk)


def test_one_split_of_a_store_in_a_bucket(
    in_bucket: str, on_disk: Path, endpoint: str, tmp_path: Path
) -> None:
    part = tmp_path / "validation.zarr"
    done = command(tmp_path, endpoint, "copy", in_bucket, part, "--split=validation", who="reader")
    assert done.process.returncode == 0, done.output
    whole, copied = open_store(on_disk), open_store(part)
    assert [entry.entry_id for entry in copied.entries] == ["TINY-01", "TINY-03"]
    for name in ("TINY-01", "TINY-03"):
        np.testing.assert_array_equal(
            copied.read_map(name, "density"), whole.read_map(name, "density")
        )
    verified = command(tmp_path, endpoint, "verify", part, "--full")
    assert verified.process.returncode == 0, verified.output
