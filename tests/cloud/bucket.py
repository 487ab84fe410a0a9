"""What a bucket holds, read past this package, and commands that work on it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from builds import NOT_CONTENT, Build, run
from seaweed import BUCKET, boto_client, credentials


def listed(endpoint: str, prefix: str) -> dict[str, int]:
    """Return name and bytes of every object below a prefix."""
    pages = boto_client(endpoint).get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=BUCKET, Prefix=prefix.rstrip("/") + "/")
    items: list[Any] = [item for page in found for item in page.get("Contents", ())]
    return {item["Key"][len(prefix.rstrip("/")) + 1 :]: item["Size"] for item in items}


def digests_in(endpoint: str, prefix: str) -> dict[str, str]:
    """Return the sha256 of every object of a store but those that tell who held it."""
    client = boto_client(endpoint)
    return {
        name: hashlib.sha256(
            client.get_object(Bucket=BUCKET, Key=f"{prefix}/{name}")["Body"].read()
        ).hexdigest()
        for name in listed(endpoint, prefix)
        if not name.startswith(NOT_CONTENT)
    }


def put_file(endpoint: str, key: str, path: Path) -> None:
    boto_client(endpoint).put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())


def command(
    folder: Path, endpoint: str, *arguments: str | Path, who: str = "writer", **settings: object
) -> Build:
    """Run a command of c2s-data to its end as one of the accounts."""
    return run(
        folder,
        *arguments,
        **credentials(who) | {"AWS_ENDPOINT_URL": endpoint} | settings,
    )
