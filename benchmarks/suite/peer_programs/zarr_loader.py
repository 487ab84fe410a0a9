"""zarr-python: shuffled blocks of one chunk each from sharded arrays."""

from __future__ import annotations

import numpy as np
import zarr
import zarr_store
from answers import rate, serve
from samples import given
from shuffled_blocks import epoch_of


def main() -> None:
    density, atom, folder = given()
    rng = np.random.default_rng(0)
    zarr_store.write(folder, density, atom)
    arrays = {name: zarr.open_array(folder / name, mode="r") for name in ("density", "atom")}

    def epoch() -> int:
        return epoch_of(len(density), lambda name, first, end: arrays[name][first:end], rng)

    serve(["zarr"], {"epoch": rate(epoch)})


main()
