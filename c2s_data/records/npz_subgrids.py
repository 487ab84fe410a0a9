"""Subgrids as single ``.npz`` files with the published keys, for programs written for those.

One file a window, in the published order (axis 0 fastest, axis 2 slowest), every window of the map:
``<id>_<number>.npz`` with ``protein_grid``, ``atom_grid`` and ``amino_grid``, float64 (z, y, x), as
the published programs store them. Compressed, because 786 kB of mostly zeros become some ten; the
store itself is what to train from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.transforms.subgrid import extract
from c2s_data.transforms.windows import window_corners

KEYS: Final = {"protein_grid": "density", "atom_grid": "atom", "amino_grid": "amino"}
"""Array of the store behind each published key."""
_WINDOWS_AT_ONCE: Final = 64


def subgrid_arrays(
    maps: Mapping[str, NDArray[Any]], box: int, core: int
) -> Iterator[dict[str, NDArray[np.float64]]]:
    """Yield the arrays of each window, (box, box, box) float64 (z, y, x), in published order.

    Parameters
    ----------
    maps
        The arrays that `KEYS` names, all of one shape (z, y, x).
    box, core
        Sides of a window and of its core in voxels.
    """
    corners_zyx = window_corners(maps["density"].shape, box, core)
    for first in range(0, len(corners_zyx), _WINDOWS_AT_ONCE):
        corners = corners_zyx[first : first + _WINDOWS_AT_ONCE]
        cut = {key: extract(maps[name], corners, box) for key, name in KEYS.items()}
        for row in range(len(corners)):
            yield {key: windows[row].astype(np.float64) for key, windows in cut.items()}


def write_npz(path: Path, arrays: Mapping[str, NDArray[np.float64]]) -> None:
    """Write one compressed file; equal arrays give equal bytes."""
    with path.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
