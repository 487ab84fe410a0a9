"""A cluster that was started or found, whatever its kind."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from c2s_data.errors import ConfigError

Tell = Callable[[str], None]
"""Takes a line for a user who waits."""


@dataclass(frozen=True)
class Started:
    """Where a client connects, and what to expect.

    Parameters
    ----------
    target
        Address of the scheduler, or the cluster object.
    security
        Certificates of a scheduler that is given by its address.
    most_workers, workers_timeout_s
        See `c2s_data.cluster.membership.Membership`.
    why_none
        Says why no worker will ever come, or nothing while one may.
    """

    target: Any
    security: Any = None
    most_workers: int | None = None
    workers_timeout_s: float | None = None
    why_none: Callable[[], str | None] = lambda: None


def need(module: str, extra: str, what: str) -> None:
    """Refuse what needs a package of an extra that is not installed.

    Raises
    ------
    ConfigError
        Naming the extra.
    """
    if importlib.util.find_spec(module) is None:
        raise ConfigError(
            f"{what} needs the package {module}; install it with "
            f"`pip install 'cryo2struct-store[{extra}]'`"
        )
