"""The server that speaks S3 which a command was told to use, for it and for the workers it starts.

An endpoint is no secret. It travels in the environment, where every S3 client looks for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from c2s_data.errors import ConfigError

VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Where an endpoint is looked for, the first that is set."""
_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(?:/[A-Za-z0-9./_-]*)?")
"""Goes into the job scripts of workers as well, so nothing else may be in it."""
_ASKED: dict[str, str] = {}
"""What the option of this process says, under ``url``."""


def use_endpoint(url: str) -> Callable[[], None]:
    """Let this process, and those it starts, ask a server; return what undoes that.

    Raises
    ------
    ConfigError
        It is no address of a server, or it holds a credential.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ConfigError(
            f"--endpoint {parts.scheme}://***: credentials belong in the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), never in an address"
        )
    if not _ADDRESS.fullmatch(url):
        raise ConfigError(
            "--endpoint is the address of a server that speaks S3, such as https://s3.example.org "
            "or http://127.0.0.1:8333"
        )
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ |= dict.fromkeys(VARIABLES, url)
    _ASKED["url"] = url

    def undo() -> None:
        _ASKED.clear()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    return undo


def asked_endpoint() -> str | None:
    """Return what the option says; None where the environment alone decides."""
    return _ASKED.get("url")


def endpoint_here() -> str | None:
    """Return the endpoint of this process, None for Amazon's own."""
    return next(filter(None, map(os.environ.get, VARIABLES)), None)


def endpoint_variables() -> dict[str, str]:
    """Return what the environment of a worker must hold for the option."""
    url = asked_endpoint()
    return {} if url is None else dict.fromkeys(VARIABLES, url)
