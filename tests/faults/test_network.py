"""X1: nothing listens beyond this machine, and a cluster beyond it uses TLS or is refused."""

from __future__ import annotations

import contextlib
import ipaddress
import time
from pathlib import Path
from typing import NamedTuple

import dask
import pytest
from builds import building, digests, run

from c2s_data.cluster.connect import connect
from c2s_data.config import make_config
from c2s_data.distribute import build_store
from c2s_data.errors import ConfigError

PRESET = "--preset=recommended"
# 192.0.2.0/24 and 2001:db8::/32 are reserved for documentation: nobody is there.
EXPOSED = [
    "tcp://192.0.2.1:8786",
    "192.0.2.1:8786",
    "tcp://[2001:db8::1]:8786",
    "tcp://0.0.0.0:8786",
    "tcp://[::]:8786",
    "ws://192.0.2.1:8786",
    "tcp://scheduler.invalid:8786",
    "tcp://127.0.0.1.invalid:8786",
    "tcp://:8786",
]


class Socket(NamedTuple):
    pid: int
    port: int
    local: str
    is_listening: bool
    remote: str


def sockets_of(pids: list[int]) -> set[Socket]:
    """Return the TCP sockets of processes, from the tables of the kernel."""
    owners = {}
    for pid in pids:
        # A process, or one of its descriptors, may be gone by now.
        descriptors: list[Path] = []
        with contextlib.suppress(OSError):
            descriptors.extend(Path(f"/proc/{pid}/fd").iterdir())
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                target = str(descriptor.readlink())
                owners[target.removeprefix("socket:[").removesuffix("]")] = pid
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, remote, state, *rest = line.split()
            if (pid := owners.get(rest[5])) is not None:
                port = int(local.partition(":")[2], 16)
                found.add(Socket(pid, port, address_of(local), state == "0A", address_of(remote)))
    return found


def address_of(field: str) -> str:
    """Decode 0100007F:1F90: words of four bytes in the order of this machine."""
    digits = field.partition(":")[0]
    words = [bytes.fromhex(digits[i : i + 8])[::-1] for i in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def test_the_tables_of_the_kernel_are_read_right() -> None:
    assert address_of("0100007F:1F90") == "127.0.0.1"
    assert address_of("00000000:1F90") == "0.0.0.0"
    assert address_of("00000000000000000000000001000000:1F90") == "::1"
    assert address_of("0000000000000000FFFF00000100007F:1F90") == "127.0.0.1"


def test_every_socket_of_a_local_build_is_on_loopback(
    tiny_catalog: Path, undisturbed: dict[str, str], tmp_path: Path, row
) -> None:
    store = tmp_path / "store.zarr"
    seen: set[Socket] = set()
    with building(tmp_path, "build", tiny_catalog, store, PRESET, "--workers=2",
                  C2S_TEST_DELAY=0.3) as build:  # fmt: skip
        while build.process.poll() is None:
            seen |= sockets_of([build.process.pid, *build.processes()])
            time.sleep(0.1)
        assert build.process.returncode == 0, build.output
    listening = {socket for socket in seen if socket.is_listening}
    # Scheduler, dashboard, two nannies in the client; two workers of their own.
    assert len(listening) >= 6
    assert len({socket.pid for socket in listening}) >= 3
    assert [s for s in listening if not ipaddress.ip_address(s.local).is_loopback] == []
    talking = [s for s in seen if not s.is_listening]
    assert talking
    assert [s for s in talking if not ipaddress.ip_address(s.remote).is_loopback] == []
    assert digests(store) == undisturbed
    row("X1", "sockets of a local build", len(seen), 0, "none off loopback")


@pytest.mark.parametrize("address", EXPOSED)
def test_an_address_beyond_this_machine_is_refused_without_tls(address: str, row) -> None:
    with pytest.raises(ConfigError, match=r"uses no TLS.*tls://.*--insecure"), connect(address):
        pass
    row("X1", "schedulers beyond loopback without TLS", 1, 0, "refused, remedy named")


def test_the_command_line_refuses_it_too(tiny_catalog: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    done = run(tmp_path, "build", tiny_catalog, store, PRESET, f"--cluster={EXPOSED[0]}")
    assert done.process.returncode == 2
    assert "--insecure" in done.output


def test_insecure_is_taken_at_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("c2s_data.cluster.connect.CONNECT_TIMEOUT", "500ms")
    with (
        pytest.raises(ConfigError, match="no Dask scheduler answers"),
        connect(EXPOSED[0], insecure=True),
    ):
        pass


@pytest.mark.parametrize("exposed", ["scheduler", "worker"])
def test_a_cluster_that_listens_elsewhere_too_is_refused(
    exposed: str, monkeypatch: pytest.MonkeyPatch, row
) -> None:
    from distributed import Client, LocalCluster

    here, there = "tcp://127.0.0.1:1", EXPOSED[0]
    said = {"address": here, "workers": {here: {}}}
    said |= {"address": there} if exposed == "scheduler" else {"workers": {here: {}, there: {}}}
    with LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        monkeypatch.setattr(Client, "scheduler_info", lambda self, n_workers=5: said)
        address = cluster.scheduler_address
        with pytest.raises(ConfigError, match=r"192\.0\.2\.1:8786.*no TLS"), connect(address):
            pass
        with connect(address, insecure=True) as client:
            assert client.submit(len, "abc").result() == 3
    row("X1", "a scheduler or worker that other machines reach", 1, 0, "refused, remedy named")


def tls_settings() -> dict[str, str]:
    """Certificates made for this test, as a user names them in Dask's configuration."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    from distributed import Security

    made = Security.temporary()
    return {
        "distributed.comm.tls.ca-file": made.tls_ca_file,
        "distributed.comm.tls.client.cert": made.tls_client_cert,
        "distributed.comm.tls.client.key": made.tls_client_key,
        "distributed.comm.tls.scheduler.cert": made.tls_scheduler_cert,
        "distributed.comm.tls.scheduler.key": made.tls_scheduler_key,
        "distributed.comm.tls.worker.cert": made.tls_worker_cert,
        "distributed.comm.tls.worker.key": made.tls_worker_key,
    }


def test_a_build_over_tls_and_nobody_without_the_certificates(
    tiny_catalog: Path,
    undisturbed: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    row,
) -> None:
    from distributed import LocalCluster, Security

    config = make_config("recommended")
    settings, others = tls_settings(), tls_settings()
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=1,
            processes=False,
            protocol="tls://",
            host="127.0.0.1",
            security=Security(require_encryption=True),
            dashboard_address="127.0.0.1:0",
        ) as cluster,
    ):
        address = cluster.scheduler_address
        assert address.startswith("tls://127.0.0.1:")
        build_store(tiny_catalog, tmp_path / "store.zarr", config, cluster=address)
        monkeypatch.setattr("c2s_data.cluster.connect.CONNECT_TIMEOUT", "2s")
        with dask.config.set(others), pytest.raises(ConfigError), connect(address):
            pass
        plain = address.replace("tls://", "tcp://")
        with pytest.raises(ConfigError, match="no Dask scheduler answers"), connect(plain):
            pass
    with pytest.raises(ConfigError, match=r"distributed\.comm\.tls\.ca-file"), connect(address):
        pass
    assert digests(tmp_path / "store.zarr") == undisturbed
    row("X1", "a cluster with TLS", 1, 0, "same bytes; other or no certificates refused")
