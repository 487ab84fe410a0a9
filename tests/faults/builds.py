"""Builds in processes of their own, for tests that kill, freeze and starve them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import c2s_data

INSTRUMENTED = Path(__file__).with_name("instrumented.py")
N_ENTRIES = 8
DEADLINE_S = 240.0

# What no two builds share: who held the store, and when.
NOT_CONTENT = ("_c2s/leases/",)


def write_inputs(folder: Path, n_entries: int = N_ENTRIES) -> Path:
    """Write small maps of one made protein, each with its own grid, place and noise."""
    import gemmi
    import numpy as np

    from c2s_data.sources.density_map import write_density_map
    from c2s_data.sources.procedural import procedural_protein
    from c2s_data.sources.simulate import simulated_map, write_model

    folder.mkdir(parents=True)
    structure = procedural_protein(91, 91)
    lines = ["entry_id,map,model,resolution_A,split"]
    for number in range(n_entries):
        name = f"TINY-{number:02d}"
        shift = gemmi.Transform(gemmi.Mat33(), gemmi.Vec3(3.7 * number, -11.2, 5.1))
        structure[0].transform_pos_and_adp(shift)
        density = simulated_map(
            structure,
            np.random.default_rng(number),
            voxel_size_zyx_A=(1.07 + number / 50, 0.93, 0.99),
            volume_ratio=1.6 + number / 10,
        )
        write_density_map(folder / f"{name}.map", density)
        write_model(folder / f"{name}.cif", structure)
        split = ("train", "validation")[number % 2]
        lines.append(f"{name},{name}.map,{name}.cif,3.0,{split}")
    catalog = folder / "catalog.csv"
    catalog.write_text("\n".join(lines) + "\n")
    return catalog


class Event(NamedTuple):
    """A line of a build's log: ``begin`` or ``end`` of an entry, in a process."""

    what: str
    entry_id: str
    pid: int


class Build:
    """One run of the command line with its log, output and processes."""

    def __init__(self, folder: Path, *arguments: str | Path, **settings: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log_path = folder / f"events-{time.monotonic_ns()}.log"
        self.output_path = self.log_path.with_suffix(".out")
        self._mark = f"C2S_TEST_RUN={self.log_path}"
        self.environment = environment(
            C2S_TEST_LOG=self.log_path, C2S_TEST_RUN=self.log_path, **settings
        )
        with self.output_path.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, INSTRUMENTED, *arguments],
                env=self.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    @property
    def output(self) -> str:
        return self.output_path.read_text("utf-8", errors="replace")

    def events(self) -> list[Event]:
        if not self.log_path.exists():
            return []
        words = (line.split() for line in self.log_path.read_text().splitlines())
        return [Event(what, entry_id, int(pid)) for what, entry_id, pid in words]

    def begun(self) -> list[str]:
        return [event.entry_id for event in self.events() if event.what == "begin"]

    def in_flight(self, pid: int | None = None) -> list[Event]:
        """Entries that were begun and never ended, of one process or of all."""
        events = [event for event in self.events() if pid in (None, event.pid)]
        ended = {event[1:] for event in events if event.what == "end"}
        return [e for e in events if e.what == "begin" and e[1:] not in ended]

    def wait(self, seconds: float = DEADLINE_S) -> int:
        """Wait for the command to end and return its exit code."""
        return self.process.wait(seconds)

    def wait_until(self, condition: Callable[[], object], seconds: float = 60.0) -> bool:
        """Poll until the condition holds; False if the command ended before."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < deadline, f"nothing came of it:\n{self.output}"
            time.sleep(0.01)
        return True

    def processes(self) -> list[int]:
        """Every process that inherited this build's environment, other than itself."""
        mark = self._mark.encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return [pid for pid in found if pid != self.process.pid]

    def stop(self) -> None:
        """Leave nothing behind, whatever became of the test."""
        for pid in [self.process.pid, *self.processes()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def environment(**settings: object) -> dict[str, str]:
    """Return the environment of a process that imports the same package as this one."""
    package = Path(c2s_data.__file__).parents[1]
    asked = {name: str(value) for name, value in settings.items() if value is not None}
    return os.environ | {"PYTHONPATH": str(package), "PYTHONUNBUFFERED": "1"} | asked


@contextlib.contextmanager
def building(folder: Path, *arguments: str | Path, **settings: object) -> Iterator[Build]:
    """Run a command of c2s-data; every process of it is gone at the end."""
    build = Build(folder, *arguments, **settings)
    try:
        yield build
    finally:
        build.stop()


def run(folder: Path, *arguments: str | Path, **settings: object) -> Build:
    """Run a command of c2s-data to its end; its exit code is ``process.returncode``."""
    with building(folder, *arguments, **settings) as build:
        build.wait()
    return build


class Cluster:
    """``dask scheduler`` and ``dask worker`` processes on the loopback interface."""

    def __init__(self, folder: Path, log_path: Path, **settings: object) -> None:
        self._folder = folder
        self._environment = environment(C2S_TEST_LOG=log_path, **settings)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._file = folder / f"scheduler-{time.monotonic_ns()}.json"
        self.scheduler = self._start("scheduler", "--port=0", "--no-dashboard")
        deadline = time.monotonic() + 60
        while not (self._file.exists() and self._file.read_text().endswith("}")):
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.05)

    @property
    def address(self) -> str:
        import json

        return json.loads(self._file.read_text())["address"]

    def add_workers(self, n: int, *options: str) -> list[subprocess.Popen[bytes]]:
        preload = f"--preload={INSTRUMENTED}"
        return [
            self._start("worker", "--no-dashboard", "--death-timeout=60", preload, *options)
            for _ in range(n)
        ]

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        common = ["--host=127.0.0.1", f"--scheduler-file={self._file}"]
        with (self._folder / f"{what}.out").open("ab") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + what, *common, *options],
                env=self._environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def stop(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def digests(store: Path) -> dict[str, str]:
    """Return the sha256 of every file of a store but those that tell who held it.

    What a killed writer left beside its name is no part of the store either.
    """
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file()
        and path.suffix != ".part"
        and not (name := path.relative_to(store).as_posix()).startswith(NOT_CONTENT)
    }


def finished(store: Path) -> set[str]:
    """Return the entries that have a receipt."""
    return {path.stem for path in (store / "_c2s" / "receipts").glob("*.json")}


def is_committed(store: Path) -> bool:
    return (store / "_c2s" / "LATEST.json").exists()


def discard(store: Path) -> None:
    """Make room for the next cell: a full run makes hundreds of stores."""
    shutil.rmtree(store)
