"""Peers, each in an environment of its own, measured in turns with ours.

An environment is made once under ``build/bench-envs`` with pip, from whatever index pip is set up
for. Some peers want a torch or numpy of their own, so nothing is installed beside ours; instead
the environment sees our packages behind its own. A peer that cannot be installed, or whose program
fails, is a row with the reason.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.suite.results import ROOT

ENVIRONMENTS: Final = ROOT / "build" / "bench-envs"
PROGRAMS: Final = Path(__file__).with_name("peer_programs")
_INSTALL_WITHIN_S: Final = 900.0
_END_WITHIN_S: Final = 10.0


class PeerUnavailableError(Exception):
    """A peer cannot be measured here; the text is the reason."""


@dataclass(frozen=True)
class Peer:
    """A library that a user would take instead.

    Attributes
    ----------
    name
        As the table shows it.
    program
        Of ``peer_programs``; it prepares, then measures once for each line it is sent.
    requirements
        What pip installs; nothing for what our environment holds.
    alone
        Without what the requirements ask for: where that would be another torch, or a hundred
        megabytes of clients for clouds that are not measured.
    """

    name: str
    program: str
    requirements: tuple[str, ...] = ()
    alone: bool = False


PEERS: Final = {
    peer.name: peer
    for peer in (
        Peer(
            "WebDataset", "webdataset_loader.py", ("webdataset==1.0.2", "braceexpand"), alone=True
        ),
        Peer(
            "MosaicML streaming",
            "mosaicml_loader.py",
            (
                *("mosaicml-streaming==0.13.0", "catalogue", "cramjam", "python-snappy"),
                *("zstandard", "zstd", "Brotli", "xxhash"),
            ),
            alone=True,
        ),
        Peer(
            "LitData",
            "litdata_loader.py",
            ("litdata==0.2.76", "lightning-utilities", "tifffile", "boto3"),
            alone=True,
        ),
        Peer("HDF5", "hdf5_loader.py", ("h5py==3.16.0",)),
        Peer("zarr-python", "zarr_loader.py"),
        Peer("zarrs", "zarrs_loader.py", ("zarrs==0.2.3",)),
        Peer("tensorstore", "tensorstore_loader.py", ("tensorstore==0.1.86",)),
        Peer("dask.array", "dask_loader.py"),
        Peer("MONAI", "monai_windows.py", ("monai==1.6.1",), alone=True),
    )
}


def python_of(peer: Peer, folder: Path = ENVIRONMENTS) -> Path:
    """Return the interpreter of a peer's environment, made where it is not there.

    Raises
    ------
    PeerUnavailableError
        pip failed; its last line is the reason.
    """
    if not peer.requirements:
        return Path(sys.executable)
    wanted = json.dumps([sys.version, sys.prefix, peer.requirements, peer.alone])
    name = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    place = folder / f"{Path(peer.program).stem}-{name}"
    python = place / "bin" / "python"
    if (place / "ready").is_file():
        return python
    shutil.rmtree(place, ignore_errors=True)
    print(f"   an environment for {peer.name}: {', '.join(peer.requirements)}", flush=True)
    _run([sys.executable, "-m", "venv", str(place)], peer)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    ours = place / "lib" / version / "site-packages" / "zz_ours.pth"  # the last of the .pth files
    ours.write_text(sysconfig.get_path("purelib") + "\n")
    install = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _run([*install, *(["--no-deps"] if peer.alone else []), *peer.requirements], peer)
    (place / "ready").touch()
    return python


def _run(command: list[str], peer: Peer) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_INSTALL_WITHIN_S
        )
    except subprocess.TimeoutExpired as error:
        raise PeerUnavailableError(f"{peer.name} was not installed in time") from error
    if done.returncode:
        raise PeerUnavailableError(f"cannot be installed: {_last_line(done.stderr)}")


class PeerProcess:
    """A peer's program under way, which measures when it is asked to.

    Parameters
    ----------
    peer
        Which one.
    arguments
        For its program, as strings.
    within_s
        For each answer; a program that takes longer is ended.
    python
        Its interpreter, by default the one of its environment.

    Attributes
    ----------
    versions
        Of the libraries that it uses.
    """

    def __init__(
        self,
        peer: Peer,
        arguments: Mapping[str, object],
        within_s: float = 300.0,
        python: Path | None = None,
    ) -> None:
        self.peer = peer
        self._within_s = within_s
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        given = [f"--{name}={value}" for name, value in arguments.items()]
        self._process = subprocess.Popen(
            [str(python or python_of(peer)), "-W", "ignore", str(PROGRAMS / peer.program), *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )
        try:
            self.versions: dict[str, str] = self._answer()["versions"]
        except BaseException:
            self.close()
            raise

    def measure(self, name: str = "") -> float:
        """Have it measure once; return the figure.

        Raises
        ------
        PeerUnavailableError
            It failed or took too long; the last line it wrote is the reason.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{name}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise PeerUnavailableError(f"ended early: {self._reason()}") from error
        return float(self._answer()["figure"])

    def close(self) -> None:
        """Let the program end, which takes its shared memory down; or end it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(min(_END_WITHIN_S, self._within_s))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        watch = threading.Timer(self._within_s, self._process.kill)
        watch.start()
        try:
            for line in self._process.stdout:
                if line.startswith("{"):  # what a library prints is none
                    answer: dict[str, Any] = json.loads(line)
                    return answer
        finally:
            watch.cancel()
        self._process.wait()
        raise PeerUnavailableError(f"its program failed: {self._reason()}")

    def _reason(self) -> str:
        self._errors.seek(0)
        return _last_line(self._errors.read().decode("utf-8", "replace")) or "without a word"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200].replace("|", "/") if lines else ""
