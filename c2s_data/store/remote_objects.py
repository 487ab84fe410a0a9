"""Objects behind a service that is reached over a network.

What a request means for the store is decided here, once for every client library: names are
checked, requests are repeated under one policy, and what comes back damaged is fetched again. The
clients only translate calls and faults.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from c2s_data.errors import MissingChunkError, StoreError
from c2s_data.store.address import Data, checked_key, checked_prefix
from c2s_data.store.clients import Client, open_client
from c2s_data.store.retry import (
    Attempt,
    NameTakenError,
    NoSuchObjectError,
    RetryPolicy,
    ServiceFaultError,
    persist,
)
from c2s_data.store.traffic import count_bytes

Answer = TypeVar("Answer")

FETCHES: Final = 3
"""How often bytes that fail a checksum are fetched before they are believed to be stored so."""


class RemoteObjects:
    """Objects behind an address; safe from several threads and, where the client is, over a fork.

    Parameters
    ----------
    url
        ``s3://bucket/folder`` or any other fsspec URL, without credentials.
    policy
        How often and how long the service is asked; by default what the environment says.

    Raises
    ------
    StoreError
        The kind of address cannot be opened, or not in this process.
    """

    confirms = True  # By the MD5 of the service, or by reading the object back.

    def __init__(self, url: str, policy: RetryPolicy | None = None) -> None:
        self.url = url.rstrip("/")
        self.policy = policy or RetryPolicy.from_environment()
        self._client, self._pid = open_client(self.url, self.policy), os.getpid()

    def __reduce__(self) -> tuple[type[RemoteObjects], tuple[str, RetryPolicy]]:
        return RemoteObjects, (self.url, self.policy)  # A client holds credentials: it stays here.

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def _ask(self, key: str, doing: str, request: Callable[[Client, Attempt], Answer]) -> Answer:
        client = self._client_here()
        where = f"{self.url}: object {key!r}" if key else self.url
        return persist(self.policy, where, doing, lambda attempt: request(client, attempt))

    def _client_here(self) -> Client:
        if self._pid != os.getpid():  # A connection cannot be shared with the parent of a fork.
            self._client, self._pid = open_client(self.url, self.policy), os.getpid()
        return self._client

    def put(self, key: str, data: Data, *, durable: bool = True) -> None:
        """Write in one request; what a service has acknowledged is durable.

        A body that did not arrive as it was sent is written once more.
        """
        name, body = checked_key(key, self.url), bytes(data)
        for _ in range(2):
            tag = self._ask(
                key,
                "cannot be written",
                lambda client, _: _accepted(lambda: client.put(name, body)),
            )
            if self._arrived(key, body, tag):
                return
        raise StoreError(
            f"{self.url}: object {key!r} reads back changed, twice; the network or the service is "
            "failing; run the same command again elsewhere"
        )

    def _arrived(self, key: str, body: bytes, tag: str | None) -> bool:
        """Say whether the service has the bytes that were sent, by its MD5 or by reading them."""
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        # A service that encrypts tags objects otherwise; then only the bytes themselves tell.
        return tag == md5 or self.holds(key, body)

    def flush(self, keys: Iterable[str]) -> None:
        """Nothing is left to wait for."""

    def create(self, key: str, data: Data) -> bool:
        """Write in one request that the service refuses where the name is taken.

        If an earlier request of this call may have broken off, the name may be taken by its
        object: then what is there decides, so no two writers should create the same bytes.
        """
        name, body = checked_key(key, self.url), bytes(data)

        def request(client: Client, attempt: Attempt) -> tuple[bool | None, str | None]:
            try:
                return True, _accepted(lambda: client.create(name, body))
            except NameTakenError:
                return None if attempt.unsure or client.repeats_itself else False, None

        wrote, tag = self._ask(key, "cannot be written", request)
        if wrote and not self._arrived(key, body, tag):
            self.put(key, body)
        return self.holds(key, body) if wrote is None else wrote

    def get(self, key: str, *, check: Callable[[bytes], bool] | None = None) -> bytes:
        """Read a whole object, again if ``check`` fails."""
        return self._fetch(key, lambda client, name, n: client.get(name, n), check)

    def span(self, key: str, start: int, stop: int) -> bytes:
        """Read a part in one request, again if it is shorter than it should be."""
        if start >= stop:
            return b""
        return self._fetch(
            key,
            lambda client, name, _: client.span(name, start, stop),
            lambda data: len(data) == stop - start,
        )

    def tail(self, key: str, nbytes: int) -> bytes:
        """Read the end in one request."""
        if nbytes <= 0:
            return b""
        return self._fetch(
            key,
            lambda client, name, _: client.tail(name, nbytes),
            lambda data: len(data) == nbytes,
        )

    def _fetch(
        self,
        key: str,
        read: Callable[[Client, str, int], bytes],
        check: Callable[[bytes], bool] | None,
    ) -> bytes:
        """Read until the bytes pass ``check``, a few times; return the last otherwise."""
        name = checked_key(key, self.url)

        def request(client: Client, attempt: Attempt) -> bytes:
            # A body of unknown size got the time of a small one; a large one needs longer.
            nbytes = client.size(name) if attempt.late else 0
            return _twice(lambda: read(client, name, nbytes))

        for _ in range(FETCHES):
            try:
                data = self._ask(key, "cannot be read", request)
            except NoSuchObjectError:
                raise MissingChunkError(f"{self.url}: object {key!r} is missing") from None
            count_bytes(len(data))
            if check is None or check(data):
                break
        return data

    def holds(self, key: str, data: Data) -> bool:
        """Read a whole object, again if it differs: the way back may have changed it."""
        body = bytes(data)
        read = self._fetch(
            key, lambda client, name, _: client.get(name, len(body)), lambda found: found == body
        )
        return read == body

    def size(self, key: str) -> int | None:
        """Ask the service, never a cached listing."""
        name = checked_key(key, self.url)
        try:
            return self._ask(
                key, "cannot be asked for", lambda client, _: _twice(lambda: client.size(name))
            )
        except NoSuchObjectError:
            return None

    def delete(self, key: str) -> None:
        """Remove the object."""
        name = checked_key(key, self.url)
        with contextlib.suppress(NoSuchObjectError):
            self._ask(key, "cannot be deleted", lambda client, _: client.delete(name))

    def names(self, prefix: str) -> Iterator[str]:
        """List below a prefix."""
        folder = checked_prefix(prefix, self.url)
        with contextlib.suppress(NoSuchObjectError):
            yield from sorted(
                self._ask(prefix, "cannot be listed", lambda client, _: client.names(folder))
            )

    def walk(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """List everything below a prefix."""
        folder = checked_prefix(prefix, self.url)
        with contextlib.suppress(NoSuchObjectError):
            yield from sorted(
                self._ask(prefix, "cannot be listed", lambda client, _: client.walk(folder))
            )

    def leftovers(self) -> Iterator[tuple[str, float]]:
        """Nothing: an object whose writing broke off was never there."""
        yield from ()


def _twice(request: Callable[[], Answer]) -> Answer:
    """Ask once more for an object that is said not to exist: one frontend may be behind."""
    try:
        return request()
    except NoSuchObjectError:
        return request()


def _accepted(request: Callable[[], Answer]) -> Answer:
    """Ask once more for a write that is said to have no place; then it is a fault like others."""
    try:
        return _twice(request)
    except NoSuchObjectError:
        fault = ServiceFaultError("no such bucket or folder", 404)
    raise fault
