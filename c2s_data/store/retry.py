"""How often and how long an object storage is asked before its fault is reported.

The libraries' own retries are switched off, so that both S3 clients behave alike and no wait is
multiplied. What can pass (a busy or restarting service, a connection that broke, an answer cut
short) is asked again after a growing random pause; what cannot (no permission, no such bucket) is
reported at once.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final, TypeVar

from c2s_data.errors import ConfigError, StoreError
from c2s_data.store.traffic import count_request

Answer = TypeVar("Answer")

TIMEOUT: Final = "timeout"
"""What `ServiceFaultError` says of a request that took too long."""
_PREFIX: Final = "C2S_S3_"
_TRANSIENT_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
# S3 says these with a status that otherwise means the request itself is wrong.
_TRANSIENT_CODES: Final = frozenset(
    {
        "InternalError",
        *("BadDigest", "ConditionalRequestConflict", "IncompleteBody", "OperationAborted"),
        *("RequestTimeout", "SlowDown", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"),
    }
)


@dataclass(frozen=True)
class RetryPolicy:
    """Bounds of one call; each can be set in the environment, as ``C2S_S3_TRIES=3``.

    Parameters
    ----------
    tries
        Requests made before a fault that could pass is reported.
    pause_s, longest_pause_s
        First and longest pause between two requests; it doubles, and half of it is random.
    request_s
        Seconds until a request that does not answer is given up; a large body gets its bytes /
        ``bytes_per_s`` more, so long as a second request fits into ``give_up_s``.
    bytes_per_s
        The slowest network that is still served.
    give_up_s
        Seconds within which the call must end: no request is begun that would end later if it
        took as long as the one before.
    """

    tries: int = 10
    pause_s: float = 0.1
    longest_pause_s: float = 4.0
    request_s: float = 10.0
    bytes_per_s: float = 4e6
    give_up_s: float = 50.0

    @classmethod
    def from_environment(cls) -> RetryPolicy:
        """Return the policy with what the environment changes of it.

        Raises
        ------
        ConfigError
            A variable is not a positive number.
        """
        changed = {}
        for field in fields(cls):
            name = _PREFIX + field.name.upper()
            if (text := os.environ.get(name)) is None:
                continue
            try:
                changed[field.name] = int(text) if field.name == "tries" else float(text)
            except ValueError:
                changed[field.name] = -1
            if not changed[field.name] > 0:
                raise ConfigError(f"{name}={text!r} in the environment is not a positive number")
        return cls(**changed)  # type: ignore[arg-type]

    def allowed_s(self, nbytes: int) -> float:
        """Return the seconds that one request with a body of ``nbytes`` may take."""
        longest = max(self.request_s, 0.45 * self.give_up_s)
        return min(self.request_s + nbytes / self.bytes_per_s, longest)

    def pause_after(self, tries: int) -> float:
        """Return the seconds to wait after so many requests failed."""
        longest = min(self.longest_pause_s, self.pause_s * 2.0 ** (tries - 1))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing


class NoSuchObjectError(Exception):
    """The service says that there is no object of this name."""


class NameTakenError(Exception):
    """The service says that an object of this name exists."""


class ServiceFaultError(Exception):
    """A request failed.

    Parameters
    ----------
    what
        The service's code or the kind of fault; never the library's text, which may quote
        addresses, names of keys and signatures.
    status
        HTTP status, if there was an answer.
    transient
        Whether asking again can help; by default what status and code say.
    """

    def __init__(self, what: str, status: int | None = None, transient: bool | None = None) -> None:
        super().__init__(what, status)
        self.what, self.status = what, status
        if transient is None:
            transient = status in _TRANSIENT_STATUSES or what in _TRANSIENT_CODES
        self.transient = transient

    def __str__(self) -> str:
        return self.what if self.status is None else f"HTTP {self.status} {self.what}".rstrip()


@dataclass
class Attempt:
    """How far one call has come.

    ``unsure`` once a request failed that may have been carried out; ``late`` if the last one took
    too long.
    """

    tries: int = 0
    unsure: bool = False
    late: bool = False


def persist(
    policy: RetryPolicy, where: str, doing: str, request: Callable[[Attempt], Answer]
) -> Answer:
    """Ask until there is an answer, or report the fault.

    Parameters
    ----------
    policy
        How often and how long.
    where, doing
        Name the object and what is done to it in the error: ``"cannot be read"``.
    request
        Makes one request; raises `ServiceFaultError` when it fails.

    Raises
    ------
    StoreError
        Names the object, the last status and the number of requests. The library's exception is
        not chained: its text may hold what must not be printed.
    """
    begun, attempt = time.monotonic(), Attempt()
    fault: ServiceFaultError | None = None
    while True:
        attempt.tries += 1
        asked = time.monotonic()
        count_request(None if fault is None else str(fault))
        try:
            return request(attempt)
        except ServiceFaultError as error:
            fault = error
        answered, pause = time.monotonic(), policy.pause_after(attempt.tries)
        attempt.unsure |= fault.transient
        attempt.late = fault.what == TIMEOUT
        expected = answered + pause + (answered - asked)
        if (
            not fault.transient
            or attempt.tries >= policy.tries
            or expected - begun > policy.give_up_s
        ):
            break
        time.sleep(pause)
    raise StoreError(_report(where, doing, fault, attempt.tries, answered - begun))


def _report(where: str, doing: str, fault: ServiceFaultError, tries: int, waited_s: float) -> str:
    often = "1 try" if tries == 1 else f"{tries} tries"
    if fault.transient:
        remedy = "the service or the network is failing; run the same command again later"
    else:
        remedy = "check the address, the credentials and what they permit"
    return f"{where} {doing}: {fault} after {often} in {waited_s:.1f} s; {remedy}"
