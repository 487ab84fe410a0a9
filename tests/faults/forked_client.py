"""Read and write one object in a forked child, and say in JSON what became of it.

    python forked_client.py URL used|unused inherited|reopened

The parent has used the client before, or only opened the place; the child goes on with the
parent's `Objects` or opens its own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from c2s_data.errors import StoreError
from c2s_data.store.objects import Objects, open_objects


def in_child(objects: Objects | None, url: str) -> int:
    try:
        here = objects or open_objects(url)
        here.put("of the child", here.get("k"))
    except StoreError as error:
        sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        return 7
    return 0


def main(url: str, used: str, inherited: str) -> None:
    objects = open_objects(url)
    if used == "used":
        objects.get("k")
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        code = in_child(objects if inherited == "inherited" else None, url)
        sys.stdout.flush()
        os._exit(code)
    begun = time.monotonic()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seconds = time.monotonic() - begun
    parent_reads = objects.get("k") == b"value"
    sys.stdout.write(
        json.dumps({"code": code, "seconds": seconds, "parent_reads": parent_reads}) + "\n"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
