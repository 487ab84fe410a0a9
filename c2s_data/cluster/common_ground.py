"""What workers must have in common with this process: the endpoint it was given, and files.

A worker that asks another server, or sees another file under a name, fails map by map or makes
something else; so all are asked before any work is given to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from c2s_data.cluster import settings
from c2s_data.endpoint import asked_endpoint, endpoint_here
from c2s_data.errors import ClusterError

_SHOWN: Final = 8


class Seen(NamedTuple):
    """What a process has: its endpoint; of each path the bytes, -1 for a folder, None if absent."""

    endpoint: str | None
    nbytes: Mapping[str, int | None]


def seen(files: Sequence[str]) -> Seen:
    """Return what this process has; runs on workers."""
    return Seen(endpoint_here(), {path: _nbytes(Path(path)) for path in files})


def _nbytes(path: Path) -> int | None:
    try:
        return -1 if path.is_dir() else path.stat().st_size
    except OSError:
        return None


def check_common_ground(client: Any, files: Sequence[str]) -> None:  # noqa: ANN401 - runs on workers
    """Ask every worker for the endpoint, if one was given, and for files that are named by paths.

    Raises
    ------
    ClusterError
        Some lack what this process has; lists where and what.
    """
    if asked_endpoint() is None and not files:
        return

    async def ask() -> dict[str, Any]:
        found: dict[str, Any] = await client.run(seen, list(files), on_error="return")
        return found

    try:
        answers = client.sync(ask, callback_timeout=settings.ANSWER_TIMEOUT_S)
    except TimeoutError as error:
        raise ClusterError(
            f"workers have not said for {settings.ANSWER_TIMEOUT_S:.0f} s which files they see; "
            "see whether they are stopped or overloaded"
        ) from error
    here = seen(files)
    told = [f"worker {where} {what}" for where, it in answers.items() if (what := _fault(here, it))]
    if told:
        more = f"\n  and {len(told) - _SHOWN} more" * (len(told) > _SHOWN)
        raise ClusterError(
            "workers lack what this command needs:\n  " + "\n  ".join(told[:_SHOWN]) + more
        )


def _fault(here: Seen, there: object) -> str | None:
    if not isinstance(there, Seen):
        return f"could not say which files it sees ({there})"
    if asked_endpoint() is not None and there.endpoint != here.endpoint:
        return (
            f"asks {there.endpoint or 'Amazon'} for s3://, this command {here.endpoint}; start it "
            f"with AWS_ENDPOINT_URL={here.endpoint} in its environment"
        )
    for path, nbytes in here.nbytes.items():
        if there.nbytes.get(path) != nbytes:
            fact = "has no" if there.nbytes.get(path) is None else "has another"
            return f"{fact} {path}; use a folder that all machines share, or give a URL"
    return None
