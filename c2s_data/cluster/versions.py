"""Versions of client, scheduler and workers: unequal ones fail late and without a word of why."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from c2s_data import __version__
from c2s_data.cluster import settings
from c2s_data.errors import ClusterError

COMPARED: Final = ("dask", "distributed", "zarr", "numcodecs", "numpy")
"""Dask's messages change with every version of it; the others decide the bytes of a store."""
OPTIONAL: Final = ("bokeh",)
THIS: Final = "cryo2struct-store"
_SHOWN: Final = 8
_NOT_THERE: Final = re.compile(r"\b(ModuleNotFound|Import|Attribute)Error\b")

Versions = Mapping[str, str | None]


def versions_here() -> dict[str, str | None]:
    """Return the versions of this process; None for what is not installed.

    Of Python what matters to code that is sent: 3.11 and 3.11.9 understand each other, 3.11 and
    3.12 do not. That a worker can run this at all shows that it has the package.
    """
    found: dict[str, str | None] = {
        "python": ".".join(platform.python_version_tuple()[:2]),
        THIS: __version__,
    }
    for name in (*COMPARED, *OPTIONAL):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def check_versions(client: Any) -> Versions:  # noqa: ANN401 - this module runs on workers too
    """Compare this process with the scheduler and every worker; return the scheduler's versions.

    Raises
    ------
    ClusterError
        If one of them lacks the package or has other versions; lists where and which.
    """

    async def ask() -> tuple[Any, dict[str, Any]]:
        # A scheduler that lacks the package cannot even read the question.
        try:
            scheduler = await client.run_on_scheduler(versions_here)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            scheduler = error
        return scheduler, await client.run(versions_here, on_error="return")

    try:
        scheduler, workers = client.sync(ask, callback_timeout=settings.ANSWER_TIMEOUT_S)
    except TimeoutError as error:
        raise ClusterError(
            "scheduler and workers have not said their versions for "
            f"{settings.ANSWER_TIMEOUT_S:.0f} s; see whether they are stopped or overloaded"
        ) from error
    here = versions_here()
    answers = {f"scheduler {client.scheduler.address}": scheduler}
    answers |= {f"worker {address}": answer for address, answer in workers.items()}
    told = [
        f"{where} {what}" for where, answer in answers.items() if (what := _fault(here, answer))
    ]
    if told:
        more = f"\n  and {len(told) - _SHOWN} more" * (len(told) > _SHOWN)
        raise ClusterError(
            "this process, the scheduler and all workers must run the same versions:\n  "
            + "\n  ".join(told[:_SHOWN])
            + f"{more}\nInstall there what is installed here ({THIS} {here[THIS]}, Python "
            f"{here['python']}), best the same environment or image, and start them again"
        )
    found: Versions = scheduler
    return found


def _fault(here: Versions, answer: object) -> str | None:
    # What a process raises when it cannot even read the question comes back wrapped.
    if isinstance(answer, BaseException) and _NOT_THERE.search(repr(answer)):
        return f"has no {THIS} {here[THIS]} that Python can import ({answer})"
    if isinstance(answer, BaseException):
        return f"could not say its versions ({type(answer).__name__}: {answer})"
    if not isinstance(answer, dict):
        return "gave no answer"
    names = ("python", THIS, *COMPARED)
    other = [name for name in names if answer.get(name) != here[name]]
    return ", ".join(
        f"has {name} {answer.get(name) or 'missing'} where this process has {here[name]}"
        for name in other
    )
