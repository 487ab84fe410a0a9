"""HDF5: two contiguous data sets, by single random samples and by shuffled blocks."""

from __future__ import annotations

import h5py
import numpy as np
import torch
from answers import BATCH, rate, serve
from samples import given
from shuffled_blocks import epoch_of


def main() -> None:
    density, atom, folder = given()
    rng = np.random.default_rng(0)
    with h5py.File(folder / "samples.h5", "w") as file:
        for name, values in (("density", density), ("atom", atom)):
            file.create_dataset(name, data=values)
    file = h5py.File(folder / "samples.h5", "r")
    n = len(density)

    def blocks() -> int:
        return epoch_of(n, lambda name, first, end: file[name][first:end], rng)

    def single() -> int:
        done, order = 0, rng.permutation(n)
        for rows in (order[i : i + BATCH] for i in range(0, n, BATCH)):
            batch = {}
            for name in ("density", "atom"):
                out = np.empty((len(rows), 32, 32, 32), file[name].dtype)
                for place, row in enumerate(rows.tolist()):
                    file[name].read_direct(out, np.s_[row], np.s_[place])
                batch[name] = torch.from_numpy(out)
            done += len(batch["density"])
        return done

    serve(["h5py"], {"epoch": rate(single), "blocks": rate(blocks)})


main()
