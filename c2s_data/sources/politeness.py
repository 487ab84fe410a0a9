"""How often and how fast the archives are asked: pace, connections per host, retries, stopping.

What can pass (a busy server, a broken connection, a body cut short) is asked for again after a
growing random pause or when the server said to come back; what cannot (no such file, a refused
address) is reported at once. All threads share the pace of a host, and its requests to wait.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar
from urllib.parse import urlsplit

from c2s_data.errors import C2SError, ConfigError
from c2s_data.sources.web_origin import DownloadError

Answer = TypeVar("Answer")
_PREFIX: Final = "C2S_FETCH_"
_WHOLE_NUMBERS: Final = ("tries", "per_host")


class StoppedError(C2SError):
    """The user stopped the program, or nothing more can be stored; all other threads end too."""


@dataclass(frozen=True)
class FetchPolicy:
    """Bounds of what is asked; each can be set in the environment, as ``C2S_FETCH_TRIES=3``.

    Parameters
    ----------
    tries
        Requests in a row that may fail without bringing a file further.
    pause_s, longest_pause_s
        First and longest pause between two tries; it doubles, and half of it is random.
    longest_wait_s
        A server that asks for a longer wait (Retry-After) is given up instead.
    api_pace_s, file_pace_s
        Seconds between the beginnings of two requests to one host: searches and documents made
        on demand, and stored files.
    per_host
        Connections to one host at a time.
    timeout_s, deadline_s
        Longest silence of a server, and longest time of one request.
    """

    tries: int = 6
    pause_s: float = 1.0
    longest_pause_s: float = 60.0
    longest_wait_s: float = 600.0
    api_pace_s: float = 0.5
    file_pace_s: float = 0.1
    per_host: int = 4
    timeout_s: float = 30.0
    deadline_s: float = 6 * 3600.0

    @classmethod
    def from_environment(cls) -> FetchPolicy:
        """Return the policy with what the environment changes of it.

        Raises
        ------
        ConfigError
            A variable is not a positive number.
        """
        changed: dict[str, float] = {}
        for item in fields(cls):
            name = _PREFIX + item.name.upper()
            if (text := os.environ.get(name)) is None:
                continue
            try:
                value = int(text) if item.name in _WHOLE_NUMBERS else float(text)
            except ValueError:
                value = -1
            if not 0 < value < 1e9:
                raise ConfigError(f"{name}={text!r} in the environment is not a positive number")
            changed[item.name] = value
        return cls(**changed)  # type: ignore[arg-type]

    def pause_after(self, tries: int) -> float:
        """Return the seconds to wait after so many tries failed."""
        longest = min(self.longest_pause_s, self.pause_s * 2.0 ** (tries - 1))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing


@dataclass
class _Host:
    free: threading.BoundedSemaphore
    next_start: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Hosts:
    """What all threads share about the servers they ask.

    Parameters
    ----------
    policy
        Bounds.
    """

    def __init__(self, policy: FetchPolicy) -> None:
        self.policy = policy
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def stop(self) -> None:
        """Make every thread end at its next step."""
        self._stop.set()

    def check(self) -> None:
        """Raise `StoppedError` if `stop` was called."""
        if self._stop.is_set():
            raise StoppedError("stopped; what is finished is kept, the same command goes on")

    def ask(
        self,
        url: str,
        attempt: Callable[[], Answer],
        *,
        pace_s: float,
        progress: Callable[[], int] = lambda: 0,
    ) -> Answer:
        """Return what ``attempt`` returns, which is called again after faults that can pass.

        Parameters
        ----------
        url
            What is asked for; its host's pace and connections are kept.
        attempt
            Makes one request.
        pace_s
            Seconds between the beginnings of two requests to this host.
        progress
            How many bytes are there. An attempt that got further than all before it is no
            failure, however it ended: a large file over a poor line arrives in pieces.

        Raises
        ------
        DownloadError
            The last fault, when asking again cannot help or did not.
        """
        tries, furthest = 0, progress()
        while True:
            with self._slot(url, pace_s):
                try:
                    return attempt()
                except DownloadError as error:
                    if not error.transient:
                        raise
                    fault = error
            if (reached := progress()) > furthest:
                tries, furthest = 0, reached
            tries += 1
            if tries >= self.policy.tries:
                raise DownloadError(f"{fault} (asked {tries} times)", fault.status) from fault
            self._pause(url, fault, tries)

    def _pause(self, url: str, fault: DownloadError, tries: int) -> None:
        seconds = self.policy.pause_after(tries)
        asked = _asked_wait(fault.retry_after)
        if asked > self.policy.longest_wait_s:
            raise DownloadError(
                f"{fault}; the server asks to come back in {asked:,.0f} s", fault.status
            ) from fault
        if asked > 0:
            seconds = max(asked, seconds)
            host = self._host(url)
            with host.lock:
                host.next_start = max(host.next_start, time.monotonic() + seconds)
        self._wait(seconds)

    @contextmanager
    def _slot(self, url: str, pace_s: float) -> Iterator[None]:
        host = self._host(url)
        while not host.free.acquire(timeout=0.2):
            self.check()
        try:
            with host.lock:
                begin = max(time.monotonic(), host.next_start)
                host.next_start = begin + pace_s
            self._wait(begin - time.monotonic())
            yield
        finally:
            host.free.release()

    def _host(self, url: str) -> _Host:
        name = urlsplit(url).netloc.lower()
        with self._lock:
            if name not in self._hosts:
                self._hosts[name] = _Host(threading.BoundedSemaphore(self.policy.per_host))
            return self._hosts[name]

    def _wait(self, seconds: float) -> None:
        self._stop.wait(max(0.0, seconds))
        self.check()


def _asked_wait(retry_after: str | None) -> float:
    """Return the seconds that a Retry-After header means, 0 if it means nothing."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
