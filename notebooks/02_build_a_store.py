# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. Build a store, and look into it
#
# A **store** holds many maps, cut into small cubes that a network can digest, with their labels. Here
# three simulated proteins become one. The same lines build ten thousand real maps on a cluster.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from c2s_data.config import make_config
from c2s_data.distribute import build_store
from c2s_data.sources.simulate import write_demo_inputs

folder = Path(tempfile.mkdtemp())
catalog = write_demo_inputs(folder / "inputs")
print(catalog.read_text())

# %% [markdown]
# A **catalog** has a row for each map: where it lies, where its model lies, its resolution, and which
# split it belongs to. Splits go by map, and in real datasets by sequence family (`c2s-data split`), so
# that nothing in the test set was seen in training.

# %%
outcomes = []
committed = build_store(
    catalog,
    folder / "dataset.zarr",
    make_config("recommended"),
    workers=2,
    on_outcome=outcomes.append,
)
for outcome in outcomes:
    print(f"{outcome.entry_id}: {outcome.n_subgrids} subgrids in {outcome.seconds:.1f} s")
print(f"generation {committed.generation}, failures: {committed.failures}")

# %% [markdown]
# ## What is in it

# %%
import pandas as pd

from c2s_data.store.reader import open_store

store = open_store(folder / "dataset.zarr")
table = pd.DataFrame(list(store.rows)).set_index("entry_id")
table[["split", "resolution_A", "n_residues", "n_subgrids", "n_occupied", "q_score", "cc_mask"]]

# %% [markdown]
# `n_occupied` subgrids hold at least one C-alpha; in real maps they are a small part, because most of a
# box is solvent. They come first within each map, so that training on them alone reads a prefix.
#
# ## Subgrids
#
# A subgrid is 32 voxels a side. The inner 20 voxels of all of them tile the map without gaps; the
# margin of 6 is context, so that a network never has to judge a voxel at the edge of what it sees.

# %%
entry = store.entries[0]
map_index, corner_zyx, n_ca = store.index()
of_this = np.flatnonzero(map_index == 0)
richest = of_this[np.argmax(n_ca[of_this])]
z, y, x = corner_zyx[richest]
print(f"row {richest}: corner z, y, x = {z}, {y}, {x}; {n_ca[richest]} voxels hold a C-alpha")

density = store.read_map(entry.entry_id, "density").astype(np.float32)
atom = store.read_map(entry.entry_id, "atom")
plane = z + 16
rows, columns = slice(max(y, 0), y + 32), slice(max(x, 0), x + 32)
extent = (columns.start - 0.5, columns.stop - 0.5, rows.start - 0.5, rows.stop - 0.5)
figure, panels = plt.subplots(1, 2, figsize=(10.5, 4.8), layout="constrained")
panels[0].imshow(density[plane], cmap="gray", origin="lower")
for side, start, style in ((32, 0, "-"), (20, 6, ":")):
    corner = (x + start - 0.5, y + start - 0.5)
    box = plt.Rectangle(corner, side, side, fill=False, color="#f2a33a", lw=2, ls=style)
    panels[0].add_patch(box)
panels[0].set(title=f"{entry.entry_id}, z = {plane}: a subgrid and its core")
cut = density[plane, rows, columns]
panels[1].imshow(cut, cmap="gray_r", origin="lower", extent=extent)
for value, color, name in ((1, "#d1495b", "C-alpha"), (2, "#2563a8", "N"), (3, "#3a9d6e", "C")):
    at_y, at_x = np.nonzero((atom[plane - 2 : plane + 3, rows, columns] == value).any(axis=0))
    panels[1].scatter(at_x + columns.start, at_y + rows.start, s=36, color=color, label=name)
panels[1].set(title="the subgrid, labels within 2 voxels")
panels[1].legend(loc="upper right")
for panel in panels:
    panel.set(xlabel="x (Å from the map's corner)", ylabel="y (Å)")

# %% [markdown]
# ## Any Zarr program reads it
#
# The same map with xarray, which knows where each voxel lies in Å:

# %%
import xarray as xr

level = xr.open_zarr(f"{folder}/dataset.zarr/maps/{entry.entry_id}/s0")
level["density"].isel(z=plane).plot(cmap="gray", size=4)
level

# %% [markdown]
# ## The primary truth: the residue table
#
# Masks are one way to show atoms to a network. The coordinates behind them are kept too, so other
# labels derive from them without building anything again ([own labels](../docs/own-labels.md)).

# %%
residues = pd.DataFrame(store.residues(entry.entry_id))
residues[["chain", "residue_name", "label_seq_id", "ca_x_A", "ca_y_A", "ca_z_A", "dssp", "q_score"]]

# %% [markdown]
# Next: [train a small network](03_train_small.ipynb) on it.
