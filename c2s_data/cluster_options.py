"""The options of every command that can spread its work, defined once for both programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2s_data.errors import ConfigError
from c2s_data.outputs import output_file, output_place

if TYPE_CHECKING:
    from c2s_data.cluster.spec import ClusterSpec
    from c2s_data.store.spread import Spread

ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="WHERE",
        help="local, slurm, slurm-runner, kubernetes, the address of a Dask scheduler, its "
        "scheduler file *.json, or a YAML file such as deploy/slurm.yaml.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Worker processes to start, at most.",
        show_default="one a core, or what the YAML file says",
    ),
]
InsecureOption = Annotated[
    bool,
    typer.Option(
        "--insecure",
        help="Use a cluster beyond this machine without TLS: whoever reaches its network can read "
        "what it does and run code on it.",
    ),
]
ReportOption = Annotated[
    str | None,
    typer.Option(
        "--performance-report",
        parser=output_place,
        metavar="FILE",
        help="Write what Dask measured as one HTML file that loads nothing from elsewhere.",
    ),
]


def asked_cluster(
    cluster: str | None, workers: int | None, insecure: bool, report: str | None
) -> ClusterSpec | None:
    """Return the cluster that a command asks for; None if it asks for none.

    In an allocation of ``srun`` every process but one becomes part of the cluster here and never
    returns: so this comes before anything that only one of them may do.

    Raises
    ------
    ConfigError
        If the options or the YAML file are not usable.
    """
    from c2s_data.cluster.spec import SlurmRunner, read_cluster

    if cluster is None and workers is None:
        if insecure or report is not None:
            raise ConfigError(
                "--insecure and --performance-report are of a cluster; add --cluster or --workers"
            )
        return None
    spec = read_cluster(cluster, workers)
    if isinstance(spec, SlurmRunner):
        from c2s_data.cluster.slurm_runner import take_part

        take_part(spec, insecure=insecure)
    return spec


@contextmanager
def spread_over(
    cluster: ClusterSpec | None,
    task_memory_bytes: int | None = None,
    *,
    insecure: bool = False,
    report: str | None = None,
    files: Sequence[str] = (),
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[Spread | None]:
    """Give what spreads work over a cluster; None, without importing Dask, if there is none.

    Parameters are those of `c2s_data.cluster.connect.connect`, which says what is raised; of
    ``files`` URLs are left out, which workers fetch for themselves; ``tell`` also gets the
    dashboard's address.
    """
    if cluster is None:
        yield None
        return
    from c2s_data.cluster.connect import connect
    from c2s_data.distribute import map_over_workers
    from c2s_data.plan import DEFAULT_TASK_MEMORY

    memory = task_memory_bytes or DEFAULT_TASK_MEMORY
    with (
        output_file(report, resumable=True) if report else nullcontext() as page,
        connect(
            cluster,
            None,
            memory,
            insecure=insecure,
            report=page and page.path,
            files=[str(Path(file).absolute()) for file in files if "://" not in file],
            tell=tell,
        ) as client,
    ):
        tell(f"Dask dashboard: {client.dashboard_link}")
        yield partial(map_over_workers, client)
