"""Inputs that lie in a bucket: read where they are, checked like files, named without secrets."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from bucket import command, digests_in, put_file
from builds import digests
from seaweed import BUCKET, boto_client

from c2s_data.errors import MapError, MapReason, StoreError
from c2s_data.sources.density_map import read_density_map
from c2s_data.sources.file_digest import digest_of_ends, digest_of_file
from c2s_data.sources.input_file import RemoteFile, beside, input_bytes, is_input


@pytest.fixture(scope="module")
def uploaded(endpoint: str, catalog: Path) -> str:
    """The catalog and its files in a bucket: the catalog's address."""
    for path in catalog.parent.iterdir():
        put_file(endpoint, f"inputs/{path.name}", path)
    return f"s3://{BUCKET}/inputs/{catalog.name}"


def test_a_build_from_a_bucket_into_a_bucket(
    uploaded: str, endpoint: str, on_disk: Path, tmp_path: Path
) -> None:
    store = f"s3://{BUCKET}/from-bucket/store.zarr"
    for arguments in (
        ("plan", uploaded, store, "--preset=recommended"),
        ("build", uploaded, store, "--part=1/1"),
        ("commit", store),
    ):
        done = command(tmp_path, endpoint, *arguments)
        assert done.process.returncode == 0, done.output
    stored, expected = digests_in(endpoint, "from-bucket/store.zarr"), digests(on_disk)
    assert stored.keys() == expected.keys()
    # Where inputs lie is in the plan alone; what they are made into does not depend on it.
    differing = {name for name in expected if stored[name] != expected[name]}
    assert differing == {"_c2s/plan.json", "_c2s/generations/000001/plan.json"}
    done = command(tmp_path, endpoint, "validate", store, who="reader")
    assert done.process.returncode == 0, done.output
    assert "the source map is not at hand" not in done.output


def test_a_catalog_on_a_disk_names_maps_in_a_bucket(
    uploaded: str, endpoint: str, catalog: Path, tmp_path: Path
) -> None:
    with catalog.open(newline="") as stream:
        rows = list(csv.DictReader(stream))[:2]
    home = uploaded.rpartition("/")[0]
    rows[0]["map"] = f"{home}/{rows[0]['map']}"
    rows[0]["model"] = str(catalog.parent / rows[0]["model"])
    rows[1]["map"] = f"{home}/absent.map"
    rows[1]["model"] = f"{home}/{rows[1]['model']}"
    mixed = tmp_path / "mixed.csv"
    with mixed.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    store = tmp_path / "mixed.zarr"
    done = command(tmp_path, endpoint, "plan", mixed, store, who="reader")
    assert done.process.returncode == 1
    assert f"{home}/absent.map: no such file" in done.output
    done = command(tmp_path, endpoint, "build", mixed, store, "--part=1/1", who="reader")
    assert "TINY-00: built" in done.output, done.output


def test_a_map_is_read_by_ranges(
    uploaded: str, as_writer: None, catalog: Path, endpoint: str
) -> None:
    for name in ("TINY-00.map", "TINY-01.map"):
        local, remote = catalog.parent / name, beside(uploaded, name)
        assert is_input(remote)
        assert input_bytes(remote) == local.stat().st_size
        assert digest_of_ends(remote) == digest_of_ends(str(local))
        assert digest_of_file(remote) == digest_of_file(str(local))
        there, here = read_density_map(remote, sha256=True), read_density_map(local, sha256=True)
        np.testing.assert_array_equal(there.values_zyx, here.values_zyx)
        assert there.file_sha256 == here.file_sha256
    body = (catalog.parent / "TINY-00.map").read_bytes()
    boto_client(endpoint).put_object(Bucket=BUCKET, Key="inputs/cut.map", Body=body[:-1000])
    with pytest.raises(MapError) as cut:
        read_density_map(beside(uploaded, "cut.map"))
    assert cut.value.reason == MapReason.TRUNCATED
    with pytest.raises(MapError) as absent:
        read_density_map(beside(uploaded, "none.map"))
    assert absent.value.reason == MapReason.NOT_FOUND


def test_a_remote_file_is_a_file(as_writer: None, endpoint: str) -> None:
    body = os.urandom(3_000_017)
    boto_client(endpoint).put_object(Bucket=BUCKET, Key="inputs/random", Body=body)
    with RemoteFile(f"s3://{BUCKET}/inputs/random") as file:
        assert file.read() == body
        for place, n in ((2_999_999, 100), (5, 60_000), (65_000, 5), (17, 0), (3_000_016, 9)):
            file.seek(place)
            assert file.read(n) == body[place : place + n]
        assert file.seek(-10, os.SEEK_END) == len(body) - 10
        assert file.read(50) == body[-10:]
        assert file.read(50) == b""


def test_addresses_of_inputs(tmp_path: Path) -> None:
    assert beside("s3://b/in/catalog.csv", "maps/x.map") == "s3://b/in/maps/x.map"
    assert beside("s3://b/in/catalog.csv", "gs://other/x.map") == "gs://other/x.map"
    assert beside("s3://b/in/catalog.csv", "/data/x.map") == "/data/x.map"
    assert beside(tmp_path / "catalog.csv", "x.map") == str(tmp_path / "x.map")
    assert beside(tmp_path / "catalog.csv", "../x.map") == str(tmp_path / "../x.map")
    assert beside("s3://b/c.csv", f"file://{tmp_path}/x.map") == str(tmp_path / "x.map")
    for name in ("../x.map", "a/../../x.map", "https://host/x.map", "s3://key:secret@b/x.map"):
        with pytest.raises(StoreError) as refused:
            beside("s3://b/in/catalog.csv", name)
        assert "secret" not in str(refused.value)


def test_a_split_of_a_catalog_in_a_bucket(uploaded: str, endpoint: str, tmp_path: Path) -> None:
    put_file(endpoint, "inputs/held-out.txt", _written(tmp_path / "held-out.txt", "TINY-03\n"))
    options = ("--policy=resolution", "--engine=builtin", f"--splits={tmp_path / 'splits.csv'}")
    held_out = f"--held-out=s3://{BUCKET}/inputs/held-out.txt"
    done = command(tmp_path, endpoint, "split", uploaded, *options, held_out, who="reader")
    assert done.process.returncode == 0, done.output
    with (tmp_path / "splits.csv").open(newline="") as stream:
        rows = {row["entry_id"]: row["split"] for row in csv.DictReader(stream)}
    assert rows.keys() == {"TINY-00", "TINY-01", "TINY-02", "TINY-03"}
    assert rows["TINY-03"] == "test"


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
