"""Arrays in nameless files of the temporary folder, for maps that are larger than memory."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from c2s_data.errors import MapError, MapReason

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

_ON_A_DISK = "/var/tmp"  # noqa: S108 - only named files are at risk there, ours have no name


def scratch_array(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return a new array in a file that has no name and is gone with the array or the process.

    Parameters
    ----------
    shape, dtype
        Of the array; it is C-contiguous and holds zeros.

    Raises
    ------
    MapError
        SCRATCH_SPACE if the temporary folder (`scratch_folder`) cannot take a file of this size.
        All of it is reserved at once: to run out of space later would kill the process.
    """
    dtype, folder = np.dtype(dtype), scratch_folder()
    nbytes = max(1, math.prod(shape) * dtype.itemsize)
    try:
        with tempfile.TemporaryFile(prefix="c2s-", dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, nbytes)
            mapping = mmap.mmap(file.fileno(), nbytes)
    except OSError as error:
        raise MapError(
            MapReason.SCRATCH_SPACE,
            f"{folder}: no temporary file of {nbytes / 1e9:.2f} GB can be made there for a map "
            f"that is larger than --task-memory: {error.strerror}; set TMPDIR to a disk with more "
            "room, or raise --task-memory",
        ) from error
    return np.frombuffer(mapping, dtype, math.prod(shape)).reshape(shape)


def scratch_folder() -> str:
    """Return the folder of large temporary files: $TMPDIR, else /var/tmp, else the system's.

    The system's own, /tmp, is kept in memory on many machines, where a file would help nobody.
    """
    if given := os.environ.get("TMPDIR"):
        return given
    return _ON_A_DISK if os.access(_ON_A_DISK, os.W_OK | os.X_OK) else tempfile.gettempdir()
