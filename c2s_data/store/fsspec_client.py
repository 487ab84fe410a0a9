"""Requests through fsspec: s3fs for ``s3://``, and whatever serves any other kind of address."""

from __future__ import annotations

import os
from typing import Any, Final

import fsspec
from fsspec.asyn import sync

from c2s_data.errors import StoreError
from c2s_data.store.retry import (
    TIMEOUT,
    NameTakenError,
    NoSuchObjectError,
    RetryPolicy,
    ServiceFaultError,
)

_ONE_REQUEST: Final = 5 * 2**30
"""S3 takes no larger body at once; s3fs would send smaller ones in parts."""
# By name: botocore and aiohttp need not be installed.
_TIMEOUTS: Final = frozenset({"TimeoutError", "FSTimeoutError"})
_BROKEN: Final = frozenset({"HTTPClientError", "ClientError", "ConnectionError"})
_FOREIGN: Final = frozenset({"BotoCoreError", "OSError"})


class FsspecClient:
    """One fsspec file system; every method is one attempt, but for what aiohttp does.

    aiohttp sends a request again, unasked, where a connection that was used before breaks: a name
    that is taken may have been taken by the first of the two (``repeats_itself``).

    Parameters
    ----------
    url
        Any fsspec URL.
    policy
        Gives the bounds of a single request.

    Raises
    ------
    StoreError
        The kind of address cannot be opened.
    """

    def __init__(self, url: str, policy: RetryPolicy) -> None:
        is_s3 = url.startswith(("s3://", "s3a://"))
        try:
            self._fs, self._root = fsspec.core.url_to_fs(
                url, **(_s3_options(policy) if is_s3 else {})
            )
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"{url}: this kind of address cannot be opened: {error}; pip install "
                f"'cryo2struct-store[s3]' for s3://, or the package that fsspec names"
            ) from error
        self._policy = policy
        # As a range, or s3fs reads a large object in pieces, which may be of two versions of it.
        self._whole: dict[str, int] = {"start": 0} if is_s3 else {}
        self._in_one: dict[str, Any] = {"chunksize": _ONE_REQUEST} if is_s3 else {}
        self.repeats_itself = self._fs.async_impl
        if is_s3:
            self._fs.retries = 1  # The rounds that s3fs adds to those of botocore.

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root

    def _ask(self, method: str, key: str, *args: Any, nbytes: int = 0, **options: Any) -> Any:  # noqa: ANN401
        """Make one request and translate what it raises."""
        fault: Exception
        try:
            return self._call(method, self._path(key), *args, nbytes=nbytes, **options)
        except FileExistsError:
            fault = NameTakenError(key)
        except Exception as error:  # noqa: BLE001 - each library has its own; unknown ones go on
            fault = _translated(error, self._path(key))
        raise fault  # Outside the handler: the library's text is not chained to it.

    def _call(self, method: str, *args: Any, nbytes: int, **options: Any) -> Any:  # noqa: ANN401
        if not self._fs.async_impl:
            return getattr(self._fs, method)(*args, **options)
        coroutine = getattr(self._fs, f"_{method}")
        timeout = self._policy.allowed_s(nbytes)
        return sync(self._fs.loop, coroutine, *args, timeout=timeout, **options)

    def put(self, key: str, data: bytes) -> str | None:
        """Write in one request."""
        return _tag(self._ask("pipe_file", key, data, nbytes=len(data), **self._in_one))

    def create(self, key: str, data: bytes) -> str | None:
        """Write in one request, if the name is free."""
        options = self._in_one | {"mode": "create"}
        return _tag(self._ask("pipe_file", key, data, nbytes=len(data), **options))

    def get(self, key: str, nbytes: int) -> bytes:
        """Read in one request, which may take the time of ``nbytes``."""
        return self._range(key, nbytes, **self._whole)

    def span(self, key: str, start: int, stop: int) -> bytes:
        """Read a range."""
        return self._range(key, stop - start, start=start, end=stop)

    def tail(self, key: str, nbytes: int) -> bytes:
        """Read a suffix range."""
        return self._range(key, nbytes, start=-nbytes)

    def _range(self, key: str, nbytes: int, **limits: int) -> bytes:
        try:
            return bytes(self._ask("cat_file", key, nbytes=nbytes, **limits))
        except ServiceFaultError as fault:
            if fault.status == 416:  # It begins after the end, or the object is empty.
                return b""
            raise

    def size(self, key: str) -> int:
        """Ask for the size."""
        self._fs.invalidate_cache()
        found = self._ask("info", key)
        if found["type"] != "file":
            raise NoSuchObjectError(key)
        return int(found["size"])

    def delete(self, key: str) -> None:
        """Remove an object; an absent one may be no fault."""
        self._ask("rm_file", key)

    def names(self, prefix: str) -> list[str]:
        """List one level."""
        self._fs.invalidate_cache()
        found = self._ask("ls", prefix, detail=False)
        whole = self._path(prefix).strip("/")
        names = [str(name).strip("/") for name in found]
        return [name.rsplit("/", 1)[-1] for name in names if name != whole]

    def walk(self, prefix: str) -> list[tuple[str, int]]:
        """List all levels."""
        self._fs.invalidate_cache()
        found = self._ask("find", prefix, detail=True)
        root = self._root.strip("/")
        named = ((path.strip("/"), int(item["size"])) for path, item in found.items())
        return [(path[len(root) :].lstrip("/"), size) for path, size in named]


def _s3_options(policy: RetryPolicy) -> dict[str, Any]:
    """Switch botocore's retries off, and name what tells one service of this process from another.

    Credentials are not among them: botocore finds them in the environment or asks for a role.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return {
        "use_listings_cache": False,
        "config_kwargs": {
            "connect_timeout": policy.request_s,
            "read_timeout": policy.request_s,
            "retries": {"total_max_attempts": 1},
            # What comes back is judged by our own checksums, the same for every client.
            "response_checksum_validation": "when_required",
        },
    } | ({"endpoint_url": endpoint} if endpoint else {})


def _tag(answer: object) -> str | None:
    """Return an object's tag, if the file system passes on what the service said of it."""
    found = answer.get("ETag") if isinstance(answer, dict) else None
    return str(found).strip('"') if found else None


def _translated(error: Exception, path: str) -> Exception:
    """Return what an exception of fsspec, botocore or aiohttp means; itself if nothing is known."""
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict) and "Error" in response:
            status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) or None
            return _answered(str(response["Error"].get("Code", "")), status, path)
    if isinstance(error, FileNotFoundError):
        return NoSuchObjectError(path)
    kinds = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    name = type(error).__name__
    if kinds & _TIMEOUTS:
        return ServiceFaultError(TIMEOUT, transient=True)
    if kinds & _BROKEN:
        return ServiceFaultError(f"connection broken ({name})", transient=True)
    # Of botocore what is left is the caller's: no credentials, no region, a wrong bucket name.
    return ServiceFaultError(name, transient=False) if kinds & _FOREIGN else error


def _answered(code: str, status: int | None, path: str) -> Exception:
    """Translate an answer of the service."""
    if status == 412:
        return NameTakenError(path)
    if status == 404 and code != "NoSuchBucket":
        return NoSuchObjectError(path)
    return ServiceFaultError("" if code == str(status) else code, status)


def _causes(error: BaseException) -> list[BaseException]:
    """Return an exception and those that it came from."""
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__ or following.__context__
    return found
