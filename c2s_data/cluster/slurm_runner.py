"""The tasks of one ``srun`` as a cluster: task 0 schedules, task 1 commands, the others work.

No job is submitted: for sites that allow none from inside, or that start whole allocations at once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Never

import dask
from distributed import Security, rpc

from c2s_data.cluster.certificates import read_temporary, remove_temporary, write_temporary
from c2s_data.cluster.settings import DEATH_TIMEOUT_S, settings_of
from c2s_data.cluster.spec import SlurmRunner
from c2s_data.cluster.started import Started, need
from c2s_data.errors import ConfigError
from c2s_data.plan import DEFAULT_TASK_MEMORY

_FEWEST_TASKS: Final = 3
_SCHEDULER, _COMMAND = 0, 1


def take_part(spec: SlurmRunner, *, insecure: bool) -> None:
    """Become scheduler or worker, and never return, unless this process is the one that commands.

    Raises
    ------
    ConfigError
        Outside of ``srun``, or with fewer than three tasks.
    """
    need("dask_jobqueue", "slurm", "--cluster slurm-runner")
    job, rank = _place(os.environ)
    if rank != _COMMAND:
        _run(spec, job, rank, insecure=insecure)


@contextlib.contextmanager
def slurm_runner(spec: SlurmRunner, memory_bytes: int, *, insecure: bool) -> Iterator[Started]:
    """Connect to the tasks that became scheduler and workers; they end with this context."""
    from dask_jobqueue.slurm import SLURMRunner

    take_part(spec, insecure=insecure)
    job, _ = _place(os.environ)
    security = Security()
    if not insecure:
        security = read_temporary(_certificates(spec, job), timeout_s=DEATH_TIMEOUT_S)

    class Runner(SLURMRunner):
        """Ends the scheduler over TLS, too."""

        async def before_client_start(self) -> None:
            arguments = security.get_connection_args("client")
            comm = rpc(self.scheduler_address, connection_args=arguments)
            self.scheduler_comm = comm  # type: ignore[assignment]

    with Runner(scheduler_file=_file(spec)) as runner:  # type: ignore[no-untyped-call]
        yield Started(runner, security=security)


def _place(environment: Mapping[str, str]) -> tuple[str, int]:
    try:
        job, rank = environment["SLURM_JOB_ID"], int(environment["SLURM_PROCID"])
        n_tasks = int(environment["SLURM_NTASKS"])
    except (KeyError, ValueError) as error:
        raise ConfigError(
            "--cluster slurm-runner: this is no task of srun; start the command with `srun -n 18 "
            "c2s-data ...` in an allocation, one task for the scheduler and one for the command"
        ) from error
    if n_tasks < _FEWEST_TASKS:
        raise ConfigError(
            f"--cluster slurm-runner: srun started {n_tasks} tasks; scheduler, command and one "
            "worker need `srun -n 3` or more, on few cores with --overcommit"
        )
    return job, rank


def _file(spec: SlurmRunner) -> str:
    return f"{spec.shared_directory.absolute()}/c2s-scheduler-{{job_id}}.json"


def _certificates(spec: SlurmRunner, job: str) -> Path:
    return spec.shared_directory.absolute() / f".c2s-tls-{job}"


def _run(spec: SlurmRunner, job: str, rank: int, *, insecure: bool) -> Never:
    from dask_jobqueue.slurm import SLURMRunner

    folder = _certificates(spec, job)
    security = None
    if not insecure and rank == _SCHEDULER:
        security = write_temporary(folder)
    elif not insecure:
        security = read_temporary(folder, timeout_s=DEATH_TIMEOUT_S)
    common = {
        "protocol": "tcp://" if insecure else "tls://",
        "security": security,
        "interface": spec.interface,
    }
    try:
        with dask.config.set(settings_of(spec)):
            SLURMRunner(
                scheduler_file=_file(spec),
                scheduler_options=common | {"port": 0, "dashboard_address": "127.0.0.1:0"},
                # With a nanny, so that a worker which dies of its map is replaced.
                worker_class="distributed.Nanny",
                worker_options=common
                | {
                    "nthreads": 1,
                    "memory_limit": spec.memory_per_worker or 2 * DEFAULT_TASK_MEMORY,
                    "death_timeout": DEATH_TIMEOUT_S,
                    # It knows neither TLS nor passwords.
                    "dashboard_address": "127.0.0.1:0",
                },
            )
    finally:
        if rank == _SCHEDULER and not insecure:
            remove_temporary(folder)
    raise SystemExit(0)
