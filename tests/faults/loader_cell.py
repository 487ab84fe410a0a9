"""One cell of a matrix of loader faults, in a process of its own; prints JSON lines.

python loader_cell.py start METHOD READ URL    DataLoader workers started by METHOD
python loader_cell.py kill BATCHES WORKER URL  a worker killed after so many batches
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from torch.utils.data import DataLoader

from c2s_data.errors import C2SError
from c2s_model.data import SubgridDataset


def rows(batches) -> list[int]:
    return sorted(row for batch in batches for row in batch["row"].tolist())


def say(**facts) -> None:
    sys.stdout.write(f"{json.dumps(facts)}\n")
    sys.stdout.flush()


def make(url: str) -> SubgridDataset:
    return SubgridDataset(url, batch_size=4, seed=1, rank=0, world_size=1)


def start(method: str, read: str, url: str) -> None:
    dataset = make(url)
    if read == "read":
        say(parent=rows(dataset))
    loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context=method)
    begun = time.monotonic()
    try:
        say(rows=rows(loader))
    except C2SError as error:
        # The worker's traceback comes before its message.
        say(error=type(error).__name__, message=str(error)[-400:], s=time.monotonic() - begun)


def kill(batches: str, worker: str, url: str) -> None:
    dataset = make(url)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, prefetch_factor=1)
    iterator = iter(loader)
    pids = [process.pid for process in iterator._workers]
    say(pids=pids)
    for _ in range(int(batches)):
        next(iterator)
    os.kill(pids[int(worker)], signal.SIGKILL)
    begun = time.monotonic()
    try:
        try:
            for _ in iterator:
                pass
        except (OSError, EOFError):
            time.sleep(1)  # torch's own word comes with the signal of the death
            raise
    except (RuntimeError, OSError, EOFError) as error:
        # torch says that the worker was killed, unless a tensor was just on its way from it.
        say(error=type(error).__name__, message=str(error), s=time.monotonic() - begun)
    del iterator
    say(alive=[pid for pid in pids if Path(f"/proc/{pid}").exists()])
    say(rows=rows(loader))


if __name__ == "__main__":
    {"start": start, "kill": kill}[sys.argv[1]](*sys.argv[2:])
