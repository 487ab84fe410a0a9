"""The subgrids of an entry against the map and the masks that they were cut from.

Windows are sliced and counted here by plain means, not by the code that cut them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c2s_data.schema import PADDING_MAP
from c2s_data.validation.checks import Finding
from c2s_data.validation.sparse_mask import SparseMask
from c2s_data.validation.subject import Subject

_BATCH = 64


class Windows:
    """Where the subgrids of an entry must lie: occupied ones first, each part in grid order.

    Parameters
    ----------
    subject
        The entry.
    ca
        Its mask of C-alphas, which decides the order.

    Attributes
    ----------
    corner_zyx
        (n, 3) first voxel of each subgrid, z y x, by row.
    n_ca
        (n,) C-alphas in each.
    """

    def __init__(self, subject: Subject, ca: SparseMask) -> None:
        box, core = subject.config.box, subject.config.core
        starts, members = [], []
        for axis, n in enumerate(subject.entry.shape_zyx):
            start = np.arange(-(-n // core)) * core - (box - core) // 2
            offset = ca.index_zyx[:, axis] - start[:, None]  # (windows of the axis, C-alphas)
            starts.append(start)
            members.append(((offset >= 0) & (offset < box)).astype(np.float32))
        z, y, x = members
        n_ca = np.einsum("zm,ym,xm->xyz", z, y, x, optimize=True)  # axis 0 varies fastest
        corner = np.stack(np.meshgrid(*starts[::-1], indexing="ij")[::-1], axis=-1).reshape(-1, 3)
        counts = np.rint(n_ca).astype(np.int64).reshape(-1)
        order = np.concatenate([np.flatnonzero(counts > 0), np.flatnonzero(counts == 0)])
        self.corner_zyx = corner[order]
        self.n_ca = counts[order]


def index_columns(
    subject: Subject,
    windows: Windows,
    index: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]],
) -> Finding:
    """L11: the columns ``map``, ``corner_zyx`` and ``n_ca`` of the entry's rows."""
    entry = subject.entry
    first, n = entry.first_subgrid, entry.n_subgrids
    rows = slice(first, first + n)
    map_index, corner_zyx, n_ca = index
    faults = []
    n_occupied = int(np.count_nonzero(windows.n_ca))
    if (n, entry.n_occupied) != (len(windows.n_ca), n_occupied):
        faults.append(
            f"the catalog has {n} subgrids, {entry.n_occupied} of them with C-alphas; the map has "
            f"{len(windows.n_ca)}, {n_occupied} with"
        )
    else:
        wrong = {
            "map": map_index[rows] != entry.map_index,
            "corner_zyx": (corner_zyx[rows] != windows.corner_zyx).any(axis=1),
            "n_ca": n_ca[rows] != windows.n_ca,
        }
        faults += [
            f"{name} is wrong in {int(bad.sum())} rows, first {first + int(bad.argmax())}"
            for name, bad in wrong.items()
            if bad.any()
        ]
    shard_rows = subject.store.subgrid_spec("density").shard_shape[0]
    padding = map_index[first + n : first + -(-n // shard_rows) * shard_rows]
    if (padding != PADDING_MAP).any():
        faults.append("padding rows claim to belong to a map")
    numbers = {"n_subgrids": n, "n_occupied": entry.n_occupied}
    if faults:
        message = f"{subject.entry_id}: {'; '.join(faults)}; `c2s-data repair` writes it anew"
        return subject.found("L11", "fail", message, len(faults), **numbers)
    message = f"{subject.entry_id}: {n:,} subgrids, the {entry.n_occupied:,} occupied ones first"
    return subject.found("L11", "pass", message, **numbers)


def wrong_rows(
    subject: Subject, array: str, values_zyx: NDArray[Any], corner_zyx: NDArray[np.int64]
) -> list[int]:
    """Return the rows of ``subgrids/<array>`` that are not the windows of the map, to the bit.

    Parameters
    ----------
    subject, array
        Which subgrids.
    values_zyx
        The map they must have been cut from, as stored.
    corner_zyx
        (n, 3) where the windows lie, by row.
    """
    first = subject.entry.first_subgrid
    return [
        first + row
        for row, stored in _stored_rows(subject, array)
        if not _is_window(stored, values_zyx, corner_zyx[row])
    ]


def windows_finding(subject: Subject, wrong: dict[str, list[int]], n_compared: int) -> Finding:
    """L10: put together what `wrong_rows` found in each array."""
    bad = {name: rows for name, rows in wrong.items() if rows}
    n_bad = sum(len(rows) for rows in bad.values())
    numbers = {"n_compared": n_compared, "n_different": n_bad}
    if not bad:
        message = f"{subject.entry_id}: all {n_compared:,} subgrids of {len(wrong)} arrays"
        return subject.found("L10", "pass", message, **numbers)
    told = ", ".join(f"{len(rows)} of {name} (first row {rows[0]})" for name, rows in bad.items())
    message = (
        f"{subject.entry_id}: {told} differ from the window of their map; `c2s-data verify --full` "
        "says which of the two was written wrongly"
    )
    return subject.found("L10", "fail", message, n_bad, **numbers)


def _stored_rows(subject: Subject, array: str) -> Iterator[tuple[int, NDArray[Any]]]:
    store, entry = subject.store, subject.entry
    spec = store.subgrid_spec(array)
    shard_rows = spec.shard_shape[0]
    buffer = np.empty((min(_BATCH, shard_rows), *spec.shard_shape[1:]), spec.dtype)
    for low in range(0, entry.n_subgrids, len(buffer)):
        shard, start = divmod(entry.first_subgrid + low, shard_rows)
        rows = buffer[: min(len(buffer), entry.n_subgrids - low)]
        store.read_shard_rows(array, shard, start, start + len(rows), rows)
        yield from ((low + number, row) for number, row in enumerate(rows))


def _is_window(
    stored: NDArray[Any], values_zyx: NDArray[Any], corner_zyx: NDArray[np.int64]
) -> bool:
    """Compare bits, so that a nan equals itself; outside the map everything must be zero."""
    inner, outer = [], []
    for corner, box, n in zip(corner_zyx.tolist(), stored.shape, values_zyx.shape, strict=True):
        low, high = max(0, -corner), min(box, n - corner)
        inner.append(slice(low, high))
        outer.append(slice(corner + low, corner + high))
    unsigned = f"u{stored.dtype.itemsize}"
    here, there = stored.view(unsigned), values_zyx.view(unsigned)
    part = here[tuple(inner)]
    if not np.array_equal(part, there[tuple(outer)]):
        return False
    sticks_out = part.size != here.size
    return not sticks_out or np.count_nonzero(here) == np.count_nonzero(part)
