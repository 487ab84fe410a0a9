"""HDF5: two contiguous data sets, by single random samples, and by blocks that a buffer mixes."""

from __future__ import annotations

import h5py
import numpy as np
import torch
from answers import BATCH, rate, serve
from samples import given

NAMES = ("density", "atom")
BLOCK, IN_BUFFER = 16, 64


def main() -> None:
    density, atom, folder = given()
    rng = np.random.default_rng(0)
    with h5py.File(folder / "samples.h5", "w") as file:
        for name, values in zip(NAMES, (density, atom), strict=True):
            file.create_dataset(name, data=values)
    file = h5py.File(folder / "samples.h5", "r")
    n = len(density)

    def rows_of(starts: list[int], length: int) -> dict[str, np.ndarray]:
        """Read runs of samples one after another into new arrays."""
        ends = [min(start + length, n) for start in starts]
        found = {}
        for name in NAMES:
            out = np.empty((sum(ends) - sum(starts), 32, 32, 32), file[name].dtype)
            place = 0
            for start, end in zip(starts, ends, strict=True):
                file[name].read_direct(out, np.s_[start:end], np.s_[place : place + end - start])
                place += end - start
            found[name] = out
        return found

    def single() -> int:
        done, order = 0, rng.permutation(n).tolist()
        for rows in (order[i : i + BATCH] for i in range(0, n, BATCH)):
            batch = {name: torch.from_numpy(out) for name, out in rows_of(rows, 1).items()}
            done += len(batch["density"])
        return done

    def blocks() -> int:
        done, starts = 0, rng.permutation(np.arange(0, n, BLOCK)).tolist()
        for group in (starts[i : i + IN_BUFFER] for i in range(0, len(starts), IN_BUFFER)):
            held = rows_of(group, BLOCK)
            order = rng.permutation(len(held["density"]))
            for first in range(0, len(order), BATCH):
                rows = order[first : first + BATCH]
                batch = {name: torch.from_numpy(out[rows]) for name, out in held.items()}
                done += len(batch["density"])
        return done

    serve(["h5py"], {"epoch": rate(single), "blocks": rate(blocks)})


main()
