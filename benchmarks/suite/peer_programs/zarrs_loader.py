"""zarrs: the same arrays and blocks, through its codec pipeline for zarr-python."""

from __future__ import annotations

import numpy as np
import zarr
import zarr_store
import zarrs  # noqa: F401 - registers the pipeline
from answers import rate, serve
from samples import given
from shuffled_blocks import epoch_of


def main() -> None:
    density, atom, folder = given()
    rng = np.random.default_rng(0)
    zarr_store.write(folder, density, atom)
    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    arrays = {name: zarr.open_array(folder / name, mode="r") for name in ("density", "atom")}

    def epoch() -> int:
        return epoch_of(len(density), lambda name, first, end: arrays[name][first:end], rng)

    serve(["zarrs", "zarr"], {"epoch": rate(epoch)})


main()
