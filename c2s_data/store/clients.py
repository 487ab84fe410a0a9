"""Which client library speaks with an address."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Final, Protocol

from c2s_data.errors import ConfigError
from c2s_data.store.fsspec_client import FsspecClient
from c2s_data.store.obstore_client import ObstoreClient
from c2s_data.store.retry import RetryPolicy

CHOICE: Final = "C2S_S3_CLIENT"
"""Environment variable: ``obstore`` or ``s3fs``."""


class Client(Protocol):
    """One attempt at each request; names are relative to the address it was opened with.

    Every method may raise `c2s_data.store.retry.ServiceFaultError`, and those that need an object
    `c2s_data.store.retry.NoSuchObjectError`.
    """

    repeats_itself: bool
    """Whether the library may send a request twice without saying so."""

    def put(self, key: str, data: bytes) -> str | None:
        """Write an object in one request; return its tag, which for most services is the MD5."""

    def create(self, key: str, data: bytes) -> str | None:
        """Write an object; `c2s_data.store.retry.NameTakenError` if one of that name exists."""

    def get(self, key: str, nbytes: int) -> bytes:
        """Read an object of about ``nbytes``, which only sets the time it may take."""

    def span(self, key: str, start: int, stop: int) -> bytes:
        """Read a part, less where the object ends."""

    def tail(self, key: str, nbytes: int) -> bytes:
        """Read the end."""

    def size(self, key: str) -> int:
        """Ask for an object's bytes."""

    def delete(self, key: str) -> None:
        """Remove an object."""

    def names(self, prefix: str) -> list[str]:
        """List names directly below a prefix."""

    def walk(self, prefix: str) -> list[tuple[str, int]]:
        """List names and sizes of all objects below a prefix."""


def open_client(url: str, policy: RetryPolicy) -> Client:
    """Return a client of this process.

    Raises
    ------
    StoreError
        The address cannot be opened, or not in this process.
    ConfigError
        The environment asks for a client that is unknown or not installed.
    """
    if url.startswith("s3://") and s3_client() == "obstore":
        return ObstoreClient(url, policy)
    if url.startswith(("gs://", "az://")) and _installed("obstore"):
        return ObstoreClient(url, policy)
    return FsspecClient(url, policy)


def s3_client() -> str:
    """Return ``obstore`` or ``s3fs``: what the environment says, else what is installed."""
    chosen = os.environ.get(CHOICE)
    if not chosen:
        usable = _installed("obstore") and not (_installed("s3fs") and _keys_are_in_a_profile())
        return "obstore" if usable else "s3fs"
    if chosen not in ("obstore", "s3fs"):
        raise ConfigError(f"{CHOICE}={chosen!r}: the clients are obstore and s3fs")
    if not _installed(chosen):
        raise ConfigError(f"{CHOICE}={chosen} is not installed: pip install {chosen}")
    return chosen


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _keys_are_in_a_profile() -> bool:
    """Say whether credentials are where botocore looks and obstore does not."""
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return False
    place = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    return "AWS_PROFILE" in os.environ or Path(place).expanduser().exists()
