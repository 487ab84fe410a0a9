"""Kill children while they write objects into a folder, and print what each of them left.

    python interrupted_writer.py FOLDER KILLS SEED

A process of its own, because it forks: nothing else may run in it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from c2s_data.store.objects import Objects, open_objects

KEYS = ("arrays/c/0/0", "arrays/c/1/0", "document.json")
_PIECE_BYTES = 65536


def body(number: int) -> bytes:
    """Return an object that tells its own number and length: a cut or mixed one is recognized."""
    record = b"%015d\n" % number
    return record * ((48 + 8 * (number % 9)) * _PIECE_BYTES // len(record))


def is_whole(data: bytes) -> bool:
    return data == body(int(data[:15]))


def write_for_ever(objects: Objects, first: int) -> None:
    for number in range(first, sys.maxsize):
        key = KEYS[number % len(KEYS)]
        objects.put(key, body(number), durable=number % 4 == 0)
        if number % 5 == 0:
            objects.create(f"created/{number}", body(number))


def kill_one(objects: Objects, first: int, seconds: float) -> dict[str, int]:
    """Fork a writer, kill it, and count what is whole, cut and left beside."""
    child = os.fork()
    if child == 0:
        write_for_ever(objects, first)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    kept = [objects.get(key) for key, _ in objects.walk()]
    beside = {key for key, _ in objects.leftovers()}
    root = Path(objects.url)
    found = {str(path.relative_to(root)) for path in root.rglob("*.part")}
    cut = sum(not is_whole((root / key).read_bytes() or b"0") for key in found)
    for key in beside | {key for key, _ in objects.walk("created")}:
        objects.delete(key)
    return {
        "objects": len(kept),
        "truncated": sum(not is_whole(data) for data in kept),
        "left": len(found),
        "left_cut": cut,
        "not_listed": len(found ^ beside),
        "not_removed": sum(1 for _ in root.rglob("*.part")),
    }


def main(folder: str, kills: int, seed: int) -> None:
    objects, rng = open_objects(folder), random.Random(seed)
    for key in KEYS:
        objects.put(key, body(0))
    for kill in range(kills):
        counted = kill_one(objects, 1000 * (kill + 1), rng.uniform(0.002, 0.05))
        sys.stdout.write(json.dumps(counted) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
