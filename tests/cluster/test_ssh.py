"""A build whose scheduler and workers are started over SSH, on a real sshd."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from builds import digests, run
from slurm_server import free_ports, system_path

ROOT = Path(__file__).resolve().parents[2]
BAD_INPUT_S = 60.0


@pytest.fixture(scope="module")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Keys of a YAML file of kind ssh that reach this machine through an sshd of its own."""
    sshd = shutil.which("sshd", path=system_path())
    if sshd is None or shutil.which("ssh-keygen") is None:
        pytest.skip("sshd is not installed; `make test-cluster` installs it")
    pytest.importorskip("asyncssh", reason="asyncssh is not installed")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "client"):
        path = folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    port = free_ports(1)
    (folder / "authorized").write_text((folder / "client.pub").read_text())
    host_key = (folder / "host.pub").read_text()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host_key}")
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nPermitRootLogin yes\n"
        f"SetEnv PYTHONPATH={ROOT}\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([sshd, "-D", "-e", "-f", folder / "config"])
    yield {
        "kind": "ssh",
        "hosts": ["127.0.0.1", "127.0.0.1"],
        "workers_per_host": 2,
        "memory_per_worker": "2GB",
        "username": getpass.getuser(),
        "port": port,
        "client_key": str(folder / "client"),
        "known_hosts": str(folder / "known"),
        "python": sys.executable,
    }
    server.terminate()
    server.wait()


def build(folder: Path, catalog: Path, keys: dict[str, object]) -> tuple[int, str]:
    where = folder / "ssh.yaml"
    where.write_text(yaml.safe_dump(keys))
    done = run(
        folder,
        "build",
        catalog,
        folder / "store.zarr",
        "--preset=recommended",
        f"--cluster={where}",
    )
    return done.process.returncode, done.output


def test_a_build_over_ssh_is_the_same(
    ssh_server: dict[str, object],
    tiny_catalog: Path,
    as_on_a_laptop: dict[str, str],
    tmp_path: Path,
) -> None:
    code, output = build(tmp_path, tiny_catalog, ssh_server)
    assert code == 0, output
    assert digests(tmp_path / "store.zarr") == as_on_a_laptop


def test_hosts_beyond_this_machine_need_tls(
    ssh_server: dict[str, object], tiny_catalog: Path, tmp_path: Path
) -> None:
    code, output = build(tmp_path, tiny_catalog, ssh_server | {"hosts": ["192.0.2.1", "192.0.2.2"]})
    assert code == 2
    assert "talk to each other without TLS" in output


@pytest.mark.parametrize("wrong", ["port", "client_key", "python"])
def test_a_host_that_cannot_be_used_is_told(
    wrong: str, ssh_server: dict[str, object], tiny_catalog: Path, tmp_path: Path
) -> None:
    other = {"port": free_ports(1), "client_key": str(tmp_path / "none"), "python": "/none/python"}
    began = time.monotonic()
    code, output = build(tmp_path, tiny_catalog, ssh_server | {wrong: other[wrong]})
    assert time.monotonic() - began < BAD_INPUT_S
    assert code == 2, output
    assert "did not start over SSH" in output
