"""Requests through obstore, a client in Rust for S3, Google and Azure: fast, lost over a fork."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from c2s_data.errors import StoreError
from c2s_data.store.retry import (
    TIMEOUT,
    NameTakenError,
    NoSuchObjectError,
    RetryPolicy,
    ServiceFaultError,
)

Answer = TypeVar("Answer")

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"(?:<Code>|\(code: )(\w{1,64})(?:</Code>|\))")
_SETTINGS: Final = ("AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR_")
_ENDPOINTS: Final = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    "gs": ("STORAGE_EMULATOR_HOST",),
}
"""Environment variables that name another server than the cloud's own."""
_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound")
_ROLES: Final = "//169.254."
"""Where a machine of a cloud is asked for the credentials of its role."""
_USED_BY: dict[str, int] = {}
"""Process that first used obstore, under ``pid``; a fork copies the note, not the threads."""


def refuse_after_fork() -> None:
    """Refuse to use obstore in a child whose parent used it: its threads are gone, it would hang.

    Raises
    ------
    StoreError
        Says what to do instead.
    """
    if _USED_BY.get("pid", os.getpid()) != os.getpid():
        raise StoreError(
            "obstore was used before this process was forked, and cannot be used after a fork; "
            'start workers with DataLoader(..., multiprocessing_context="forkserver"), or set '
            "C2S_S3_CLIENT=s3fs in the environment"
        )


class ObstoreClient:
    """One folder of a bucket; every method is one attempt.

    Parameters
    ----------
    url
        ``s3://bucket/folder``, ``gs://bucket/folder`` or ``az://container/folder``.
    policy
        Gives the bounds of a single request.

    Raises
    ------
    StoreError
        In a process that was forked from one that used obstore.
    ImportError
        obstore is not installed.
    """

    repeats_itself = False

    def __init__(self, url: str, policy: RetryPolicy) -> None:
        refuse_after_fork()
        import obstore  # noqa: PLC0415 - optional

        parts = urlsplit(url)
        self._obstore, self._policy = obstore, policy
        self._service, self._bucket = parts.scheme, parts.netloc
        self._root = parts.path.strip("/")
        self._stores: dict[float, Any] = {}
        self._lock = threading.Lock()

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}".strip("/")

    def _store(self, allowed_s: float) -> Any:  # noqa: ANN401 - obstore stays optional
        """Return the bucket under a time limit, which obstore sets by store and not by request."""
        with self._lock:
            if allowed_s not in self._stores:
                self._stores[allowed_s] = _open_bucket(
                    self._service,
                    self._bucket,
                    allowed_s,
                    self._policy.request_s,
                    os.getpid(),
                    _environment(),
                )
            return self._stores[allowed_s]

    def _ask(self, key: str, request: Callable[[Any], Answer], nbytes: int = 0) -> Answer:
        """Make one request and translate what it raises."""
        refuse_after_fork()
        _USED_BY.setdefault("pid", os.getpid())
        allowed_s = self._allowed_s(nbytes)
        begun = time.monotonic()
        fault: Exception
        try:
            return request(self._store(allowed_s))
        except (self._obstore.exceptions.BaseError, OSError) as error:
            late = time.monotonic() - begun > 0.9 * allowed_s
            fault = _translated(error, key, late=late)
        raise fault  # Outside the handler: the library's text is not chained to it.

    def _allowed_s(self, nbytes: int) -> float:
        """Return one of few time limits, because each needs connections of its own."""
        needed, rounded = self._policy.allowed_s(nbytes), self._policy.request_s
        while 1.1 * rounded < needed:
            rounded *= 1.5
        return min(rounded, self._policy.allowed_s(2**63))

    def put(self, key: str, data: bytes) -> str | None:
        """Write in one request."""
        return self._put(key, data, "overwrite")

    def create(self, key: str, data: bytes) -> str | None:
        """Write in one request, if the name is free."""
        return self._put(key, data, "create")

    def _put(self, key: str, data: bytes, mode: Any) -> str | None:  # noqa: ANN401 - a literal
        def request(store: Any) -> str | None:  # noqa: ANN401
            path = self._path(key)
            put = self._obstore.put(store, path, data, mode=mode, use_multipart=False)
            return (put["e_tag"] or "").strip('"') or None

        return self._ask(key, request, len(data))

    def get(self, key: str, nbytes: int) -> bytes:
        """Read in one request, which may take the time of ``nbytes``."""
        path = self._path(key)
        return self._ask(key, lambda store: bytes(self._obstore.get(store, path).bytes()), nbytes)

    def span(self, key: str, start: int, stop: int) -> bytes:
        """Read a range."""
        return self._range(key, (start, stop), stop - start)

    def tail(self, key: str, nbytes: int) -> bytes:
        """Read a suffix range; Azure knows none, so there the size is asked for first."""
        if self._service == "az":
            size = self.size(key)
            return self.span(key, max(0, size - nbytes), size) if size else b""
        return self._range(key, {"suffix": nbytes}, nbytes)

    def _range(self, key: str, limits: Any, nbytes: int) -> bytes:  # noqa: ANN401 - typed there
        def request(store: Any) -> bytes:  # noqa: ANN401
            found = self._obstore.get(store, self._path(key), options={"range": limits})
            return bytes(found.bytes())

        try:
            return self._ask(key, request, nbytes)
        except ServiceFaultError as fault:
            if fault.status == 416:  # It begins after the end, or the object is empty.
                return b""
            # Some services give an empty object whole instead, which obstore refuses.
            if fault.what == _WHOLE and self.size(key) == 0:
                return b""
            raise

    def size(self, key: str) -> int:
        """Ask for the size."""
        path = self._path(key)
        return int(self._ask(key, lambda store: self._obstore.head(store, path))["size"])

    def delete(self, key: str) -> None:
        """Remove an object; an absent one may be no fault."""
        path = self._path(key)
        self._ask(key, lambda store: self._obstore.delete(store, path))

    def names(self, prefix: str) -> list[str]:
        """List one level."""
        path = self._path(prefix)
        found = self._ask(prefix, lambda store: self._obstore.list_with_delimiter(store, path))
        paths = [*found["common_prefixes"], *(item["path"] for item in found["objects"])]
        return [name.rstrip("/").rsplit("/", 1)[-1] for name in paths]

    def walk(self, prefix: str) -> list[tuple[str, int]]:
        """List all levels."""
        path = self._path(prefix)
        found = self._ask(prefix, lambda store: self._obstore.list(store, path).collect())
        inside = len(self._root) + 1 if self._root else 0
        return [(item["path"][inside:], int(item["size"])) for item in found]


_WHOLE: Final = "the service sent a whole object for a part"


def _environment() -> int:
    """Return what differs when endpoint or credentials did: no secret is kept in a cache's key."""
    return hash(tuple(sorted(item for item in os.environ.items() if item[0].startswith(_SETTINGS))))


@lru_cache(maxsize=64)
def _open_bucket(
    service: str, bucket: str, allowed_s: float, connect_s: float, _pid: int, _environment: int
) -> Any:  # noqa: ANN401
    """Return a bucket under a time limit; readers of one process share its connections."""
    from obstore.store import AzureStore, GCSStore, S3Store  # noqa: PLC0415 - optional

    named = (os.environ.get(name) for name in _ENDPOINTS[service])
    endpoint = next(filter(None, named), "")
    return {"s3": S3Store, "gs": GCSStore, "az": AzureStore}[service](
        bucket,
        config=_at(service, endpoint) if endpoint else {},
        client_options={
            # Whoever names an http:// endpoint has chosen it.
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=connect_s),
            "timeout": timedelta(seconds=allowed_s),
        },
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=allowed_s)},
    )


def _at(service: str, endpoint: str) -> dict[str, str]:
    """Return what names another server; one that emulates Google's asks for no credentials."""
    if service != "gs":
        return {"endpoint": endpoint}
    account = {"gcs_base_url": endpoint, "disable_oauth": True}
    nobody = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    return {"service_account_key": json.dumps(account | nobody)}


def _translated(error: Exception, key: str, *, late: bool) -> Exception:
    """Return what an exception means; status and code are only in its text."""
    text, name = str(error), type(error).__name__
    status = int(found[1]) if (found := _STATUS.search(text)) else None
    code = found[1] if (found := _CODE.search(text)) else ""
    if name in ("AlreadyExistsError", "PreconditionError"):
        return NameTakenError(key)
    if isinstance(error, FileNotFoundError) and code not in _NO_BUCKET:
        return NoSuchObjectError(key)
    if status is not None or code:  # A deletion goes in a list, whose own status is 200.
        return ServiceFaultError(code, status)
    if "NotPartial" in text:
        return ServiceFaultError(_WHOLE, transient=False)
    if _ROLES in text:
        return ServiceFaultError("no credentials, and no role answers", transient=True)
    broken = "HTTP error" in text or "HttpError" in text
    return ServiceFaultError(
        TIMEOUT if late else "connection broken" if broken else name, transient=late or broken
    )
