"""The same arrays as a store of this project has, written by zarr-python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec


def write(folder: Path, density: np.ndarray, atom: np.ndarray) -> None:
    """Write shards of 512 samples with chunks of 16, blosc-lz4 and crc32c."""
    for name, values in (("density", density), ("atom", atom)):
        array = zarr.create_array(
            folder / name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=(16, 32, 32, 32),
            shards=(512, 32, 32, 32),
            compressors=[
                BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
                Crc32cCodec(),
            ],
        )
        for first in range(0, len(values), 512):
            array[first : first + 512] = values[first : first + 512]
