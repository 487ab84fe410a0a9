"""An epoch in blocks of 16 samples in random order, two a batch: the kindest order for chunks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

BLOCK = 16


def epoch_of(n: int, read: Callable[[str, int, int], np.ndarray], rng: np.random.Generator) -> int:
    """Read every block once, join two to a batch of tensors; return the samples."""
    firsts = rng.permutation(np.arange(0, n, BLOCK)).tolist()
    done = 0
    for pair in (firsts[i : i + 2] for i in range(0, len(firsts), 2)):
        batch = {
            name: torch.from_numpy(
                np.concatenate([read(name, first, min(first + BLOCK, n)) for first in pair])
            )
            for name in ("density", "atom")
        }
        done += len(batch["density"])
    return done
