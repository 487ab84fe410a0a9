"""Whether what a plan will write fits on the disk: told before the first map is read."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Final

from c2s_data.errors import StoreError
from c2s_data.plan import PlannedEntry
from c2s_data.store.local_objects import LocalObjects
from c2s_data.store.objects import Objects

# What a file system adds to the forty files and sixty folders of an entry, in blocks of 4 KiB.
_BLOCKS_BYTES: Final = 400_000


def require_space(objects: Objects, pending: Iterable[PlannedEntry]) -> None:
    """Refuse to begin where the entries that are still to be built will not fit.

    Object storage has no end, and quotas are not asked for: where those run out, the build stops
    with an error of its own and goes on once there is room.

    Raises
    ------
    StoreError
        If the disk below a local store has less free space than the plan predicts.
    """
    if not isinstance(objects, LocalObjects):
        return
    needed = sum(entry.predicted_bytes + _BLOCKS_BYTES for entry in pending)
    folder = next(path for path in (objects.root, *objects.root.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"{objects.url}: the maps still to be built need about {needed / 1e6:,.0f} MB, but "
            f"only {free / 1e6:,.0f} MB are free there; free space or choose another place"
        )
