"""The samples that all loaders are given: two .npy files, as the suite writes them."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np


def given() -> tuple[np.ndarray, np.ndarray, Path]:
    """Return densities (n, 32, 32, 32) float16, masks uint8, both mapped, and an empty folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    density, atom = (
        np.load(options.samples / f"{name}.npy", mmap_mode="r") for name in ("density", "atom")
    )
    return density, atom, options.folder
