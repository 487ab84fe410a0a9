"""tensorstore: the same arrays and blocks through its own reader."""

from __future__ import annotations

import numpy as np
import tensorstore
import zarr_store
from answers import rate, serve
from samples import given
from shuffled_blocks import epoch_of


def main() -> None:
    density, atom, folder = given()
    rng = np.random.default_rng(0)
    zarr_store.write(folder, density, atom)
    arrays = {
        name: tensorstore.open(
            {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder / name)}},
            read=True,
        ).result()
        for name in ("density", "atom")
    }

    def epoch() -> int:
        return epoch_of(
            len(density), lambda name, first, end: arrays[name][first:end].read().result(), rng
        )

    serve(["tensorstore"], {"epoch": rate(epoch)})


main()
