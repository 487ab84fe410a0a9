"""SLURM jobs of workers, submitted by `dask_jobqueue.SLURMCluster` from a login node."""

from __future__ import annotations

import contextlib
import logging
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from distributed import Security

from c2s_data.cluster.settings import DEATH_TIMEOUT_S, as_environment, lifetime_s, settings_of
from c2s_data.cluster.spec import Slurm
from c2s_data.cluster.started import Started, Tell, need
from c2s_data.endpoint import endpoint_variables
from c2s_data.errors import ClusterError, ConfigError

_ONE_THREAD: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_LOOK_EVERY_S: Final = 5.0
_ANSWER_S: Final = 30.0
_ALIVE: Final = frozenset({"PENDING", "RUNNING", "CONFIGURING", "REQUEUED", "SUSPENDED"})
_LOG_LINES: Final = 12


@contextlib.contextmanager
def slurm(spec: Slurm, memory_bytes: int, tell: Tell, *, insecure: bool) -> Iterator[Started]:
    """Submit jobs as there is work for them, and cancel them at the end.

    The scheduler lives in this process, on the login node. It and the workers talk TLS with
    certificates made for this run, whose key lies in ``shared_directory`` where only its owner can
    read it.

    Raises
    ------
    ConfigError
        If SLURM or a package is missing, or SLURM refuses such a job.
    """
    need("dask_jobqueue", "slurm", "--cluster slurm")
    if shutil.which("sbatch") is None:
        raise ConfigError("--cluster slurm: there is no sbatch here; run it on a login node")
    if not insecure:
        need("cryptography", "slurm", "TLS between the jobs")
    with _cluster(spec, memory_bytes, insecure=insecure) as cluster:
        _try_submission(cluster.job_script())
        jobs = -(-spec.workers // spec.workers_per_job)
        # Adaptive even where the number is fixed: it replaces jobs that were cancelled or lost.
        cluster.adapt(
            minimum_jobs=min(jobs, -(-spec.minimum // spec.workers_per_job)), maximum_jobs=jobs
        )
        tell(
            f"SLURM: up to {jobs} jobs of {spec.workers_per_job} workers, walltime "
            f"{_walltime(spec.walltime)}, logs in {spec.log_directory}"
        )
        yield Started(
            cluster,
            most_workers=jobs * spec.workers_per_job,
            workers_timeout_s=float(spec.queue_timeout),
            why_none=_Queue(cluster, spec.log_directory, tell).why_none,
        )


def _cluster(spec: Slurm, memory_bytes: int, *, insecure: bool) -> Any:  # noqa: ANN401 - untyped
    from dask_jobqueue.slurm import SLURMCluster

    lifetime, stagger = lifetime_s(spec.walltime)
    exports = dict.fromkeys(_ONE_THREAD, "1") | dict(as_environment(settings_of(spec)))
    exports |= endpoint_variables()
    try:
        return SLURMCluster(
            job_name="c2s-worker",
            cores=spec.workers_per_job,
            processes=spec.workers_per_job,
            memory=f"{memory_bytes * spec.workers_per_job}B",
            walltime=_walltime(spec.walltime),
            queue=spec.partition,
            account=spec.account,
            job_extra_directives=list(spec.directives),
            job_script_prologue=[
                *(f"export {name}='{value}'" for name, value in exports.items()),
                *spec.prologue,
            ],
            python=spec.python,
            interface=spec.interface,
            protocol="tcp://" if insecure else "tls://",
            security=None if insecure else Security.temporary(),
            shared_temp_directory=str(spec.shared_directory.absolute()),
            log_directory=str(spec.log_directory),
            death_timeout=DEATH_TIMEOUT_S,
            worker_extra_args=[
                *("--lifetime", f"{lifetime}s", "--lifetime-stagger", f"{stagger}s"),
                # Their pages know neither TLS nor passwords.
                *("--dashboard-address", "127.0.0.1:0"),
            ],
            scheduler_options={"dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"--cluster slurm: the scheduler does not start: {error}; name a network interface of "
            "this machine that the nodes reach (key interface) and a folder that they share (key "
            "shared_directory)"
        ) from error


def _walltime(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}-{hour:02d}:{minute:02d}:{second:02d}"


def _try_submission(script: str) -> None:
    """Let SLURM judge a job without running it: adaptive scaling would try for ever."""
    try:
        done = subprocess.run(
            ["sbatch", "--test-only"],  # noqa: S607 - sites install SLURM where they like
            input=script,
            text=True,
            capture_output=True,
            check=False,
            timeout=_ANSWER_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            f"SLURM has not answered for {_ANSWER_S:.0f} s; see `sinfo`, then run again"
        ) from error
    if done.returncode:
        raise ConfigError(
            f"SLURM refuses such a job: {' '.join(done.stderr.split())}; correct partition, "
            "account, walltime, memory_per_worker, workers_per_job or directives"
        )


class _Queue:
    """The jobs of a cluster while no worker of them has come."""

    def __init__(self, cluster: Any, log_directory: Path, tell: Tell) -> None:  # noqa: ANN401
        self._cluster = cluster
        self._log_directory = log_directory
        self._tell: Callable[[str], None] = tell
        self._next_look = time.monotonic() + _LOOK_EVERY_S
        self._told = ""

    def why_none(self) -> str | None:
        """Return why no worker will come: all jobs have ended; tell what they wait for."""
        if time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + _LOOK_EVERY_S
        jobs = [job.job_id for job in list(self._cluster.workers.values()) if job.job_id]
        states = self._states(jobs) if jobs else None
        if states is None:
            return None
        if not any(state.split()[0] in _ALIVE for state in states):
            return (
                f"SLURM started job {', '.join(jobs)} and it ended without a worker joining; the "
                f"end of its log:\n{self._log(jobs)}\nThe nodes need this package and Python "
                "(keys python, prologue) and must reach this machine (key interface)"
            )
        if (line := ", ".join(sorted(set(states)))) != self._told:
            self._tell(f"SLURM: {len(states)} jobs are {line}")
            self._told = line
        return None

    def _states(self, jobs: list[str]) -> list[str] | None:
        """Return state and reason of each job; None if SLURM cannot say."""
        try:
            done = subprocess.run(  # noqa: S603 - numbers that sbatch gave
                ["squeue", "--noheader", "--format=%T %r", f"--jobs={','.join(jobs)}"],  # noqa: S607
                text=True,
                capture_output=True,
                check=False,
                timeout=_ANSWER_S,
            )
        except subprocess.TimeoutExpired:
            return None
        # Where it has forgotten a single job, squeue calls its number invalid.
        if done.returncode and "Invalid job id" not in done.stderr:
            return None
        return done.stdout.splitlines()

    def _log(self, jobs: list[str]) -> str:
        for path in (self._log_directory / f"c2s-worker-{job}.err" for job in reversed(jobs)):
            with contextlib.suppress(OSError):
                lines = path.read_text("utf-8", "replace").splitlines()
                return "\n".join(f"  {line}" for line in lines[-_LOG_LINES:])
        return f"  (no log in {self._log_directory})"
