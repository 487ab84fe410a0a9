"""The viewer's server answers its own page and nobody else."""

from __future__ import annotations

import http.client
import json
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from grown_store import first_plan, write

from c2s_data.errors import ConfigError
from c2s_data.explore.pages.lazy_maps import LazyMaps
from c2s_data.explore.pages.view_server import ViewServer
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import Store, open_store

ENTRY = "MADE-0"
MASK_PLANE = f"plane/{ENTRY}/secondary/2/51"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    objects = open_objects(tmp_path_factory.mktemp("viewed") / "viewed.zarr")
    plan = begin_store(objects, first_plan())
    for planned in plan.entries:
        write(objects, plan, planned)
    commit(objects, plan)
    return open_store(objects.url)


@pytest.fixture(scope="module")
def server(store: Store):
    with ViewServer(store) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def ask(server: ViewServer, path: str, method: str = "GET", **headers: str):
    """Return status, headers and body; ``path`` is below the secret unless it begins with /."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    whole = path if path.startswith("/") else f"/{server.token}/{path}"
    connection.putrequest(method, whole, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def unpacked(body: bytes) -> dict:
    """Read what `pack` packs, past the package."""
    (length,) = struct.unpack("<I", body[:4])
    document = json.loads(body[4 : 4 + length])
    for name, value in document.items():
        if isinstance(value, dict) and "dtype" in value:
            count = int(np.prod(value["shape"]))
            array = np.frombuffer(body, value["dtype"], count, 4 + length + value["at"])
            document[name] = array.reshape(value["shape"])
    return document


def test_only_the_loopback_interface_listens(server: ViewServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert len(server.token) >= 32


def test_a_plane_is_that_of_the_store(server: ViewServer, store: Store) -> None:
    labels = np.moveaxis(store.read_map(ENTRY, "atom"), 2, 0)
    index = next(k for k in range(2, 50) if labels[k].any() and labels[k - 1].any())
    status, headers, body = ask(server, f"plane/{ENTRY}/atom/2/{index}")
    found = unpacked(body)
    assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
    np.testing.assert_array_equal(found["plane"], labels[index])
    wanted = labels[index].copy()
    for near in labels[[index - 1, index + 1, index - 2, index + 2]]:
        wanted[wanted == 0] = near[wanted == 0]
    np.testing.assert_array_equal(found["around"], wanted)
    assert (wanted > 0).sum() > (labels[index] > 0).sum()


def test_the_density_is_gray(server: ViewServer, store: Store) -> None:
    density = store.read_map(ENTRY, "density").astype(np.float64)
    found = unpacked(ask(server, f"plane/{ENTRY}/density/1/12")[2])["plane"]
    wanted = np.where(density[:, 12] >= 1, 255, np.floor(density[:, 12] * 254) + 1)
    assert np.abs(found.astype(int) - wanted).max() <= 1
    overview = unpacked(ask(server, f"overview/{ENTRY}")[2])
    assert overview["codes"].shape == (10, 8, 13)


@pytest.mark.parametrize(
    "host", ["evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", ""]
)
def test_a_name_pointed_here_is_refused(server: ViewServer, host: str) -> None:
    status, _, body = ask(server, "", Host=host.format(port=server.server_port))
    assert status == 403
    assert b"<html" not in body


def test_localhost_is_this_machine(server: ViewServer) -> None:
    assert ask(server, "", Host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_from_elsewhere_is_refused(server: ViewServer, site: str) -> None:
    assert ask(server, MASK_PLANE, Sec_Fetch_Site=site)[0] == 403
    assert ask(server, MASK_PLANE, Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/favicon.ico", "/x/", f"/{'a' * 32}/{MASK_PLANE}", "//", "/é"]
)
def test_without_the_secret_there_is_nothing(server: ViewServer, path: str) -> None:
    path = path.replace("é", "%C3%A9")
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "overview/..",
        "overview/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        f"overview/{ENTRY}/more",
        "overview/NOBODY",
        f"plane/{ENTRY}/density/3/0",
        f"plane/{ENTRY}/density/-1/0",
        f"plane/{ENTRY}/density/0/²",
        f"plane/{ENTRY}/..%2f..%2fzarr.json/0/0",
        f"plane/../{ENTRY}/density/0/0",
    ],
)
def test_no_path_leads_out(server: ViewServer, path: str) -> None:
    status, _, body = ask(server, path.replace("²", "%C2%B2"))
    assert status in (404, 500)
    assert b"root:" not in body
    assert len(body) < 300


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_only_get_exists(server: ViewServer, method: str) -> None:
    assert ask(server, "", method)[0] == 501


def test_what_every_answer_says(server: ViewServer) -> None:
    _, headers, body = ask(server, "")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"] == "c2s-data"
    assert server.token.encode() not in body
    assert b"Access-Control-Allow-Origin" not in json.dumps(headers).encode()


def test_a_damaged_object_is_told(server: ViewServer, store: Store) -> None:
    shard = next(
        path
        for path in (Path(store.url) / "maps/MADE-1/s0/ca").rglob("*")
        if path.name == "0" and path.is_file()
    )
    data = bytearray(shard.read_bytes())
    data[10] ^= 1
    shard.write_bytes(data)
    status, _, body = ask(server, "plane/MADE-1/ca/0/0")
    assert status == 500
    assert b"fails its crc32c" in body


def test_a_port_in_use_is_refused(server: ViewServer, store: Store) -> None:
    with pytest.raises(ConfigError, match=f"port {server.server_port} of this machine cannot be"):
        ViewServer(store, server.server_port)


def test_memory_is_bounded(store: Store) -> None:
    maps = LazyMaps(store, kept_bytes=150_000)
    for axis, n in enumerate(store.entry(ENTRY).shape_zyx):
        for index in range(n):
            maps.plane(ENTRY, "density", axis, index)
    kept = maps._kept.values()
    assert sum(one.nbytes for one in kept) <= 150_000
    assert len(kept) >= 2
