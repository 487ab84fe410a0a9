"""The last steps of ``c2s-data demo``: batches by torch, and a picture of what was built."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from c2s_data.schema import MASKS
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.density_map import read_density_map
from c2s_data.store.reader import open_store


def read_with_torch(store: Path) -> bool:
    """Print a few training batches of the store; say what is missing where torch is not there.

    A process of its own, because this package neither needs torch nor imports the one that does.
    """
    sys.stdout.flush()
    if importlib.util.find_spec("torch") is None:
        print("   torch is not installed; `pip install cryo2struct-store[torch]` adds it")  # noqa: T201
        return False
    command = [sys.executable, "-m", "c2s_model.data.preview", str(store)]
    subprocess.run(command, check=True)  # noqa: S603 - our own module, no shell
    return True


def draw_demo(store: Path, catalog: Path, picture: Path) -> Path:
    """Draw slices, labels and histograms of the store's first map into ``picture`` (PNG)."""
    from c2s_data.explore.slices import save_figure, slice_figure

    opened = open_store(store)
    entry = opened.entries[0]
    source = next(row for row in read_catalog(catalog) if row.entry_id == entry.entry_id)
    raw = read_density_map(source.map)
    figure = slice_figure(
        opened.read_map(entry.entry_id, "density").astype("float32"),
        {name: opened.read_map(entry.entry_id, name) for name in MASKS},
        entry_id=entry.entry_id,
        origin_xyz_A=entry.origin_xyz_A,
        raw_zyx=raw.values_zyx,
        raw_voxel_size_zyx_A=raw.voxel_size_zyx_A,
        subtitle=f"preset {opened.attrs['preset']}, {entry.resolution_A:g} \u00c5, simulated",
    )
    save_figure(figure, picture)
    return picture
