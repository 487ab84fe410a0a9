"""A real slurmctld with two virtual nodes, started and stopped by the tests, as any user."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TEMPLATE = Path(__file__).with_name("slurm.conf")
PROGRAMS = (
    "setpriv",
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "squeue",
    "scancel",
    "scontrol",
    "sinfo",
)
NODES = ("n1", "n2")
DEADLINE_S = 60.0


def system_path() -> str:
    """Return where programs are looked for; Debian's servers are not on a user's PATH."""
    return os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))


def missing() -> list[str]:
    """Return the programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=system_path()) is None]


def free_ports(n: int) -> int:
    """Return the first of ``n`` successive ports that nobody listens on."""
    for first in range(20000 + secrets.randbelow(8000), 60000, n):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + n):
                bound = stack.enter_context(socket.socket())
                bound.bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")


class SlurmServer:
    """munged, slurmctld and two slurmd in a folder of their own."""

    def __init__(self) -> None:
        # Sockets have short names, and munged trusts no folder that others can write.
        self.folder = Path(tempfile.mkdtemp(prefix="c2s-slurm-", dir="/tmp"))
        self.folder.chmod(0o711)  # munged wants its socket to be reachable by all
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = os.environ | {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": system_path(),
        }
        try:
            self._write_configuration()
            self._start_munge()
            self._start("slurmctld", "-D", "-c")
            for node in NODES:
                self._start("slurmd", "-D", "-N", node, name=node)
            self.wait_until(lambda: set(self.nodes().values()) == {"idle"}, "idle nodes")
        except BaseException:
            self.stop()
            raise

    def _write_configuration(self) -> None:
        first = free_ports(3)
        words = {
            "HOST": socket.gethostname().partition(".")[0],
            "USER": getpass.getuser(),
            "FOLDER": self.folder,
            "PORT": first,
            "NODE_PORTS": f"{first + 1}-{first + 2}",
        }
        text = TEMPLATE.read_text("utf-8")
        for name, value in words.items():
            text = text.replace(f"@{name}@", str(value))
        (self.folder / "slurm.conf").write_text(text)
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir()

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(1024))
        files = {
            "key-file": key,
            "socket": self.folder / "munge.socket",
            "pid-file": self.folder / "munged.pid",
            "log-file": self.folder / "munged.log",
            "seed-file": self.folder / "munged.seed",
        }
        options = [f"--{name}={path}" for name, path in files.items()]
        self._start("munged", "--foreground", "--num-threads=2", *options)
        self.wait_until(files["socket"].exists, "munged")

    def _start(self, program: str, *options: str, name: str | None = None) -> None:
        path = shutil.which(program, path=system_path())
        assert path is not None
        with (self.folder / f"{name or program}.out").open("ab") as stream:
            self._running[name or program] = subprocess.Popen(
                # Should the tests be killed, their servers end too.
                ["setpriv", "--pdeathsig", "TERM", path, *options],
                env=self.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def run(self, *command: str | Path, cwd: Path | None = None, **settings: str | Path) -> str:
        """Run a command of SLURM or of the project and return what it prints."""
        done = subprocess.run(
            [str(word) for word in command],
            env=self.environment | {name: str(value) for name, value in settings.items()},
            cwd=cwd,
            text=True,
            capture_output=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def nodes(self) -> dict[str, str]:
        """Return the state of each node."""
        lines = self.run("sinfo", "--noheader", "-N", "-p", "two", "-o", "%N %T").splitlines()
        return dict(line.split() for line in lines)

    def jobs(self, state: str = "all") -> dict[str, str]:
        """Return the jobs of a state: number and node."""
        lines = self.run("squeue", "--noheader", "-r", f"-t{state}", "-o", "%i %N").splitlines()
        return {number: node for number, _, node in (line.partition(" ") for line in lines)}

    def waiting(self) -> dict[str, str]:
        """Return the jobs that are not over."""
        return self.jobs("PENDING,RUNNING,COMPLETING,CONFIGURING")

    def set_node(self, node: str, state: str) -> None:
        """Take a node down, or resume it."""
        self.run("scontrol", "update", f"NodeName={node}", f"State={state}", "Reason=test")

    def wait_until(
        self, condition: Callable[[], object], what: str, seconds: float = DEADLINE_S
    ) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(AssertionError):  # slurmctld may not answer yet
                if condition():
                    return
            for name, process in self._running.items():
                assert process.poll() is None, f"{name} ended:\n{self._said(name)}"
            assert time.monotonic() < deadline, f"no {what} for {seconds} s:\n{self._said()}"
            time.sleep(0.2)

    def _said(self, name: str = "slurmctld") -> str:
        files = [self.folder / f"{name}.out", *self.folder.glob(f"*{name}.log")]
        return "\n".join(
            file.read_text("utf-8", "replace")[-2000:] for file in files if file.exists()
        )

    def quiet(self) -> None:
        """End all jobs and bring back all nodes, between tests."""
        with contextlib.suppress(AssertionError):
            self.run("scancel", f"--user={getpass.getuser()}")
        self.wait_until(lambda: not self.waiting(), "end of all jobs")
        for node, state in self.nodes().items():
            if state.rstrip("*") in ("down", "drained", "draining"):
                self.set_node(node, "RESUME")
        self.wait_until(lambda: set(self.nodes().values()) == {"idle"}, "idle nodes")

    def stop(self) -> None:
        """Stop what was started, jobs first; leave nothing behind."""
        if {"slurmctld", *NODES} <= self._running.keys():
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                self.quiet()
        for process in reversed(self._running.values()):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
