"""The command line with faults built in, for tests: ``python instrumented.py build ...``.

Workers of a local cluster import the main module again, and ``dask worker --preload`` takes this
file too, so that what the environment asks for happens in every process of a build:

- C2S_TEST_LOG=file: one line for each entry that a process begins and ends to compute
- C2S_TEST_ABORT=entry_id: the process dies there as it would in native code
- C2S_TEST_SHUFFLE=seed: entries are submitted in another order
- C2S_TEST_DELAY=seconds: a map takes at least that long between computing and writing
- C2S_TEST_STOP="before key", "after key" or "compared key": the process stops itself (SIGSTOP) the
  first time that it changes, or has read back, an object whose key contains these words
- C2S_TEST_LEASE=seconds: its leases live that long
"""

from __future__ import annotations

import os
import random
import signal
import time

import c2s_data.build

if not hasattr(c2s_data.build, "originals"):  # Dask runs what it preloads more than once.
    c2s_data.build.originals = (c2s_data.build.build_entry, c2s_data.build.write_entry)
_build_entry, _write_entry = c2s_data.build.originals


def log(what: str, entry_id: str) -> None:
    """Append one line at once: a process that is killed leaves no half of it."""
    if path := os.environ.get("C2S_TEST_LOG"):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{what} {entry_id} {os.getpid()}\n".encode())
        os.close(descriptor)


def build_entry(planned, config):
    log("begin", planned.entry_id)
    if planned.entry_id == os.environ.get("C2S_TEST_ABORT"):
        os.abort()
    return _build_entry(planned, config)


def write_entry(objects, layout, planned, *rest):
    time.sleep(float(os.environ.get("C2S_TEST_DELAY", "0")))
    receipt = _write_entry(objects, layout, planned, *rest)
    log("end", planned.entry_id)
    return receipt


c2s_data.build.build_entry = build_entry
c2s_data.build.write_entry = write_entry

if seed := os.environ.get("C2S_TEST_SHUFFLE"):
    import c2s_data.distribute

    def shuffled(entries):
        return random.Random(seed).sample(list(entries), len(entries))

    c2s_data.distribute.largest_first = shuffled

if asked := os.environ.get("C2S_TEST_STOP"):
    from c2s_data.store.local_objects import LocalObjects

    when, _, words = asked.partition(" ")
    stops = [words]

    def stop(now: str, key: str) -> None:
        if now == when and stops and stops[0] in key:
            stops.clear()
            os.kill(os.getpid(), signal.SIGSTOP)

    def stopping(act, first, then):
        def acting(self, key, *rest, **options):
            stop(first, key)
            done = act(self, key, *rest, **options)
            stop(then, key)
            return done

        return acting

    for name in ("put", "create", "delete"):
        setattr(LocalObjects, name, stopping(getattr(LocalObjects, name), "before", "after"))
    LocalObjects.holds = stopping(LocalObjects.holds, "", "compared")

if seconds := os.environ.get("C2S_TEST_LEASE"):
    import c2s_data.store.lease

    c2s_data.store.lease.TTL_S = float(seconds)

if __name__ == "__main__":
    from c2s_data.cli import main

    main()
