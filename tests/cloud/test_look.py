"""What shows a store shows one in a bucket as it shows the same store on a disk."""

from __future__ import annotations

import http.client
import json
import pickle
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from bucket import command, put_file
from builds import environment
from seaweed import BUCKET, credentials, sign_in

import c2s_data
from c2s_data.explore.mrc_engine import MrcBackend
from c2s_data.store.traffic import traffic

ENTRY, PLANE = "TINY-02", 22
# Programs that a shell starts in the background ignore Ctrl-C, and so do their children.
COMMAND = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from c2s_data.cli import main; sys.argv[0] = 'c2s-data'; main()"
)


@pytest.fixture
def as_reader(in_bucket: str, endpoint: str, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks may write nothing."""
    sign_in(monkeypatch, endpoint, "reader")
    monkeypatch.setenv("C2S_S3_CLIENT", client)


def test_a_map_and_its_levels(as_reader: None, in_bucket: str, on_disk: Path) -> None:
    there, here = c2s_data.open_map(in_bucket, ENTRY), c2s_data.open_map(on_disk, ENTRY)
    assert there.attrs == here.attrs | {"store": in_bucket}
    assert np.count_nonzero(here["density"]) > 1000
    xr.testing.assert_identical(there.load().assign_attrs(here.attrs), here.load())
    rows_there, rows_here = there.c2s.residues(), here.c2s.residues()
    assert len(rows_here) == 182
    assert rows_there.equals(rows_here)
    xr.testing.assert_equal(there.c2s.subgrid(1), here.c2s.subgrid(1))
    tree = c2s_data.open_tree(in_bucket, [ENTRY])
    expected = c2s_data.open_tree(on_disk, [ENTRY])
    assert {f"/{ENTRY}/s{level}" for level in range(3)} <= set(tree.groups)
    for level in (1, 2):
        place = f"/{ENTRY}/s{level}/density"
        np.testing.assert_array_equal(tree[place].values, expected[place].values)


def test_only_the_chunks_of_a_plane_are_read(
    as_reader: None, in_bucket: str, on_disk: Path
) -> None:
    here = c2s_data.open_map(on_disk, ENTRY)["density"].isel(z=3).load()
    before = traffic()
    lazy = c2s_data.open_map(in_bucket, ENTRY)
    opening = traffic() - before
    sent = pickle.loads(pickle.dumps(lazy))
    before = traffic()
    np.testing.assert_array_equal(sent["density"].isel(z=3), here)
    plane = traffic() - before
    before = traffic()
    lazy["density"].load()
    whole = traffic() - before
    assert 1 <= opening.requests <= 8, opening
    assert 0 < plane.bytes_read < whole.bytes_read


def test_the_catalog(as_reader: None, in_bucket: str, on_disk: Path) -> None:
    there, here = c2s_data.open_catalog(in_bucket), c2s_data.open_catalog(on_disk)
    assert list(here["entry"].values) == [f"TINY-{k:02d}" for k in range(4)]
    assert there.attrs.pop("store") == in_bucket
    here.attrs.pop("store")
    xr.testing.assert_identical(there, here)


def test_a_map_file(as_reader: None, endpoint: str, catalog: Path) -> None:
    file = catalog.parent / f"{ENTRY}.map"
    put_file(endpoint, f"looked/{file.name}", file)
    here = xr.open_dataset(file, engine=MrcBackend)
    before = traffic()
    there = xr.open_dataset(f"s3://{BUCKET}/looked/{file.name}", engine=MrcBackend)
    box = {"z": slice(2, 5), "y": slice(1, 9), "x": slice(7, 8)}
    np.testing.assert_array_equal(there["density"].isel(box), here["density"].isel(box))
    assert 0 < (traffic() - before).bytes_read < file.stat().st_size / 4
    xr.testing.assert_identical(there.load(), here.load())


def test_the_report(in_bucket: str, on_disk: Path, endpoint: str, tmp_path: Path) -> None:
    for store, name in ((in_bucket, "there.html"), (str(on_disk), "here.html")):
        done = command(tmp_path, endpoint, "report", store, tmp_path / name, who="reader")
        assert done.process.returncode == 0, done.output
        assert "4 entries, 4 pages of maps" in done.output
    pages = [(tmp_path / name).read_text("utf-8") for name in ("there.html", "here.html")]
    maps, expected = (dict(re.findall(r'id="(map-[^"]+)"[^>]*>([^<]+)<', p)) for p in pages)
    assert len(expected) == 4
    assert maps == expected


@pytest.fixture
def viewed(in_bucket: str, endpoint: str, client: str) -> Iterator[str]:
    """Address of the viewer of the bucket's store, ended as a user ends it."""
    settings = environment(
        **credentials("reader"),
        AWS_ENDPOINT_URL=endpoint,
        C2S_S3_CLIENT=client,
        PYTHONUNBUFFERED=1,
    )
    words = [sys.executable, "-c", COMMAND, "view", in_bucket]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=settings) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield line.partition("open ")[2].strip()
        finally:
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=60)
    assert (process.returncode, said.splitlines()[-1]) == (0, "stopped")


def test_the_viewer_reads_a_plane(viewed: str, on_disk: Path) -> None:
    _, _, place, token, _ = viewed.split("/")
    connection = http.client.HTTPConnection(place, timeout=60)
    connection.request("GET", f"/{token}/plane/{ENTRY}/secondary/0/{PLANE}")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body
    (length,) = struct.unpack("<I", body[:4])
    plane = json.loads(body[4 : 4 + length])["plane"]
    count = int(np.prod(plane["shape"]))
    found = np.frombuffer(body, plane["dtype"], count, 4 + length + plane["at"])
    expected = c2s_data.open_map(on_disk, ENTRY)["secondary"].isel(z=PLANE).values
    assert np.count_nonzero(expected) == 20
    np.testing.assert_array_equal(found.reshape(plane["shape"]), expected)
