"""dask.array over zarr-python: shuffled blocks, a compute for each."""

from __future__ import annotations

import dask.array
import numpy as np
import zarr_store
from answers import rate, serve
from samples import given
from shuffled_blocks import epoch_of


def main() -> None:
    density, atom, folder = given()
    rng = np.random.default_rng(0)
    zarr_store.write(folder, density, atom)
    arrays = {
        name: dask.array.from_zarr(str(folder / name), chunks=(16, 32, 32, 32))
        for name in ("density", "atom")
    }

    def epoch() -> int:
        return epoch_of(
            len(density), lambda name, first, end: arrays[name][first:end].compute(), rng
        )

    serve(["dask", "zarr"], {"epoch": rate(epoch)})


main()
