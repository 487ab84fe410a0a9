"""What an address of a store and a name in it may be.

An address is printed, logged, pickled and written into reports, so it may carry no secret; a name
comes out of documents that anyone may have written, so it may not lead out of its store.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from c2s_data.errors import StoreError

Data = bytes | bytearray | memoryview

_SECRET_WORD: Final = re.compile(
    r"key|secret|token|passw|credential|signature|session|auth", re.IGNORECASE
)
_ENVIRONMENT: Final = (
    "give credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
    "AWS_PROFILE; GOOGLE_APPLICATION_CREDENTIALS; AZURE_STORAGE_ACCOUNT_NAME, "
    "AZURE_STORAGE_ACCOUNT_KEY) or through a role of the machine, never in an address"
)


def checked_key(key: str, url: str) -> str:
    """Return an object's name if it stays inside its store.

    Raises
    ------
    StoreError
        It is empty, absolute, or has an empty component, ``.``, ``..``, a backslash or a NUL.
    """
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in key or "\0" in key:
        raise StoreError(
            f"object name {key!r} would leave the store {url}, or names nothing in it; names are "
            "like maps/EMD-0001/zarr.json"
        )
    return key


def checked_prefix(prefix: str, url: str) -> str:
    """Return a folder's name, "" for the whole store; raises as `checked_key`."""
    prefix = prefix.rstrip("/")
    return checked_key(prefix, url) if prefix else ""


def checked_url(text: str) -> str:
    """Return an address if it carries no secret.

    Raises
    ------
    StoreError
        It has a user name, a password, or a query or fragment that looks like a credential; the
        message repeats none of it.
    """
    if "::" in text:
        raise StoreError(
            "an address that goes through another (::) is refused; name the place itself"
        )
    parts = urlsplit(text)
    host, _, port = parts.netloc.partition(":")
    # A secret may hold a slash, which ends the host: what is left of it is then no port number.
    if "@" in parts.netloc or (port and not port.isdecimal()):
        raise StoreError(
            f"{parts.scheme}://***: an address with a user name or password is refused; "
            f"{_ENVIRONMENT}"
        )
    for part in (parts.query, parts.fragment):
        if any(_SECRET_WORD.search(name) for name, _ in parse_qsl(part, keep_blank_values=True)):
            raise StoreError(
                f"{parts.scheme}://{host}{parts.path}?***: an address with a credential "
                f"in its query is refused; {_ENVIRONMENT}"
            )
    return text


def local_folder(url: str | os.PathLike[str]) -> Path | None:
    """Return the folder that a path or ``file://`` URL names, None for any other address."""
    text = os.fspath(url)
    if "://" not in text:
        return Path(text).expanduser()
    parts = urlsplit(text)
    if parts.scheme != "file":
        return None
    if parts.netloc not in ("", "localhost"):
        raise StoreError(f"{text}: a file URL has three slashes, file:///folder/store.zarr")
    return Path(unquote(parts.path))
