"""Which cluster: what ``--cluster`` names, or a YAML file says, checked before anything starts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from c2s_data.config import parse_bytes
from c2s_data.errors import ConfigError
from c2s_data.sources.bounded_documents import DocumentError, parse_yaml

_TIME: Final = re.compile(r"(?:(\d+)-)?(\d{1,3}):([0-5]\d):([0-5]\d)")
SHORTEST_WALLTIME_S: Final = 120


def _seconds(value: object) -> object:
    """Read ``HH:MM:SS`` or ``D-HH:MM:SS``; YAML itself makes seconds of an unquoted 12:00:00."""
    if isinstance(value, str) and (found := _TIME.fullmatch(value)):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if isinstance(value, str):
        raise ValueError("write it as HH:MM:SS or D-HH:MM:SS")
    return value


def _nbytes(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("write it with a unit, such as 4GB")
    try:
        return parse_bytes(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


Walltime = Annotated[int, BeforeValidator(_seconds), Field(ge=SHORTEST_WALLTIME_S)]
Timeout = Annotated[int, BeforeValidator(_seconds), Field(ge=1)]
Nbytes = Annotated[int, BeforeValidator(_nbytes), Field(ge=100_000_000)]
Line = Annotated[str, Field(pattern=r"^[^\n\r]+$")]
"""Goes into a job script, of which it must not begin another line."""
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/@,+-]+$")]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Tls(_Spec):
    """Certificates of a cluster that others run, unless Dask's configuration names them."""

    ca_file: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class Local(_Spec):
    """Worker processes on this machine."""

    kind: Literal["local"] = "local"
    workers: PositiveInt | None = None
    memory_per_worker: Nbytes | None = None


class Address(_Tls):
    """A scheduler that runs already."""

    kind: Literal["address"] = "address"
    address: Line


class SchedulerFile(_Tls):
    """A scheduler that runs already and has written down its address."""

    kind: Literal["scheduler-file"] = "scheduler-file"
    file: Path


class Slurm(_Spec):
    """SLURM jobs of several workers each, submitted from here as they are needed."""

    kind: Literal["slurm"] = "slurm"
    workers: PositiveInt = 16
    minimum: PositiveInt = 1
    workers_per_job: PositiveInt = 4
    memory_per_worker: Nbytes | None = None
    walltime: Walltime = 4 * 3600
    partition: Word | None = None
    account: Word | None = None
    directives: tuple[Line, ...] = ()
    prologue: tuple[Line, ...] = ()
    python: Line | None = None
    interface: Word | None = None
    shared_directory: Path = Path()
    log_directory: Path = Path("slurm-logs")
    queue_timeout: Timeout = 12 * 3600


class SlurmRunner(_Spec):
    """The tasks of one ``srun``: a scheduler, the command itself, and workers."""

    kind: Literal["slurm-runner"] = "slurm-runner"
    memory_per_worker: Nbytes | None = None
    interface: Word | None = None
    shared_directory: Path = Path()


class Ssh(_Tls):
    """Processes started over SSH: the scheduler on the first host, workers on all others."""

    kind: Literal["ssh"] = "ssh"
    hosts: Annotated[tuple[Word, ...], Field(min_length=2)]
    workers_per_host: PositiveInt = 1
    memory_per_worker: Nbytes | None = None
    username: Word | None = None
    port: PositiveInt | None = None
    client_key: Path | None = None
    known_hosts: Path | None = None
    python: Line | None = None
    connect_timeout: PositiveFloat = 20.0


class Kubernetes(_Tls):
    """Pods that the Dask operator of a Kubernetes cluster starts, for the time of a command."""

    kind: Literal["kubernetes"] = "kubernetes"
    image: Word = "c2s:latest"
    workers: PositiveInt = 16
    minimum: PositiveInt = 1
    memory_per_worker: Nbytes | None = None
    context: Line | None = None
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] | None = None
    name: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")] = "c2s"
    service_account: Word = "c2s"
    secrets: tuple[Word, ...] = ()
    volumes: dict[Word, Annotated[str, Field(pattern=r"^/[^:\n\r]+$")]] = {}
    node_selector: dict[Word, Word] = {}
    tls_secret: Word | None = None
    queue_timeout: Timeout = 3600


ClusterSpec = Local | Address | SchedulerFile | Slurm | SlurmRunner | Ssh | Kubernetes
"""One of the kinds."""

KINDS: Final[dict[str, type[BaseModel]]] = {
    kind.model_fields["kind"].default: kind for kind in get_args(ClusterSpec)
}
_ADAPTER: Final[TypeAdapter[ClusterSpec]] = TypeAdapter(
    Annotated[ClusterSpec, Field(discriminator="kind")]
)


def read_cluster(
    cluster: str | Path | ClusterSpec | None, workers: int | None = None
) -> ClusterSpec:
    """Find out which cluster is meant.

    Parameters
    ----------
    cluster
        A kind (``local``, ``slurm``, ``slurm-runner``, ...), the address of a running scheduler,
        its scheduler file (``*.json``), or a YAML file with a key ``kind``; None for ``local``.
    workers
        Replaces the number of workers; those of a running cluster are its own.

    Raises
    ------
    ConfigError
        If the file cannot be read, a key of it is unknown or its value not usable.
    """
    spec = _spec_of(cluster)
    if workers is None:
        return spec
    if not hasattr(spec, "workers"):
        raise ConfigError(
            f"--workers says how many workers to start; a cluster of kind {spec.kind} has its own"
        )
    minimum = {"minimum": min(spec.minimum, workers)} if hasattr(spec, "minimum") else {}
    return spec.model_copy(update={"workers": workers} | minimum)


def _spec_of(cluster: str | Path | ClusterSpec | None) -> ClusterSpec:
    if not isinstance(cluster, str | Path | None):
        return cluster
    text = "local" if cluster is None else str(cluster)
    if text in KINDS:
        return spec_from({"kind": text}, f"--cluster {text}")
    if text.endswith((".yaml", ".yml")):
        return _from_file(Path(text))
    if text.endswith(".json"):
        return SchedulerFile(file=Path(text))
    if ":" in text:
        return Address(address=text)
    near = difflib.get_close_matches(text, KINDS, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(
        f"--cluster {text}: no such kind; {guess}Give one of {', '.join(KINDS)}, an address such "
        "as tls://host:8786, a scheduler file *.json, or a YAML file such as deploy/slurm.yaml"
    )


def _from_file(path: Path) -> ClusterSpec:
    try:
        document = parse_yaml(path.read_bytes(), name=str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error}; see deploy/ for examples") from error
    except DocumentError as error:
        raise ConfigError(f"{error}; see deploy/ for examples") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: not a table of keys; see deploy/ for examples")
    return spec_from(document, str(path))


def spec_from(document: Mapping[str, Any], where: str) -> ClusterSpec:
    """Check the keys and values of a cluster; ``where`` they stand begins an error.

    Raises
    ------
    ConfigError
        Naming each key that is unknown, missing or not usable, and the remedy.
    """
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(f"{where}: kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    try:
        return _ADAPTER.validate_python(dict(document))
    except ValidationError as error:
        told = "; ".join(_told(fault, kind) for fault in error.errors())
        example = f"deploy/{kind}.yaml explains every key"
        raise ConfigError(f"{where}: {told}; {example}") from error


def _told(fault: Mapping[str, Any], kind: str) -> str:
    path = [str(part) for part in fault["loc"][1:]]
    known = [name for name in KINDS[kind].model_fields if name != "kind"]
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[0], known, n=1)
        guess = f", did you mean {near[0]}?" if near else ""
        return f"unknown key {path[0]!r}{guess} (kind {kind} knows {', '.join(known)})"
    if fault["type"] == "missing":
        return f"key {path[0]!r} is missing"
    return f"key {'.'.join(path)!r}: {fault['msg']}"
