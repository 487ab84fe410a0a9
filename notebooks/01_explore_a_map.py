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
# # 1. Explore a map
#
# What is in a cryo-EM map, and what happens to it before a network sees it? We take one map and the
# atomic model that was built into it, and look at every step: the header, the values, the resampling
# to 1 Å, the scale, the labels.
#
# Without real data the notebook simulates a small protein. To look at a map of your own, set
# `C2S_MAP` and `C2S_MODEL` to two files.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from c2s_data.sources.density_map import read_density_map
from c2s_data.sources.simulate import write_demo_inputs

folder = Path(tempfile.mkdtemp())
if "C2S_MAP" in os.environ:
    map_path, model_path = Path(os.environ["C2S_MAP"]), Path(os.environ["C2S_MODEL"])
else:
    inputs = write_demo_inputs(folder / "inputs").parent
    map_path, model_path = inputs / "DEMO-0001.map.gz", inputs / "DEMO-0001.cif"
density = read_density_map(map_path)
nz, ny, nx = density.values_zyx.shape
print(f"{map_path.name}: {nz} x {ny} x {nx} voxels (z, y, x)")
print("voxel size z, y, x:", np.round(density.voxel_size_zyx_A, 3), "Å")
print("voxel (0, 0, 0) lies at x, y, z =", np.round(density.origin_xyz_A, 2), "Å")

# %% [markdown]
# Files store axes in any order and place a map by one of two header fields. The reader has sorted that
# out: axis 0 is z, axis 2 is x, and one number triple says where the map lies.
#
# ## Three planes
#
# A map is mostly noise around a particle. Planes through the middle show both.

# %%
middle = [n // 2 for n in density.values_zyx.shape]
planes = [np.take(density.values_zyx, middle[axis], axis) for axis in range(3)]
low, high = np.percentile(density.values_zyx, [1, 99.9])
figure, panels = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for panel, plane, axis, (up, across) in zip(panels, planes, "zyx", ["yx", "zx", "zy"], strict=True):
    panel.imshow(plane, cmap="gray", vmin=low, vmax=high, origin="lower")
    panel.set(title=f"plane normal to {axis}", xlabel=f"{across} (voxel)", ylabel=f"{up} (voxel)")

# %% [markdown]
# ## Where is the model?
#
# The model's coordinates are in Å in the same frame. To find an atom's voxel, subtract the origin,
# divide by the voxel size and mind the order: coordinates come as x, y, z, arrays are z, y, x.

# %%
from c2s_data.sources.atomic_model import read_atomic_model

residues = read_atomic_model(model_path).residues
ca_voxel_zyx = (residues.ca_xyz_A - density.origin_xyz_A)[:, ::-1] / density.voxel_size_zyx_A
inside = ((ca_voxel_zyx >= 0) & (ca_voxel_zyx < density.values_zyx.shape)).all(axis=1)
at_ca = density.values_zyx[tuple(np.rint(ca_voxel_zyx[inside]).astype(int).T)]
sigma = density.values_zyx.std()
print(f"{len(inside)} C-alphas, {inside.mean():.1%} of them in the box")
print(f"density at C-alphas: {at_ca.mean() / sigma:.1f} standard deviations above zero")

near = np.abs(ca_voxel_zyx[:, 0] - middle[0]) < 3
figure, panel = plt.subplots(figsize=(6, 6), layout="constrained")
panel.imshow(planes[0], cmap="gray", vmin=low, vmax=high, origin="lower")
panel.scatter(ca_voxel_zyx[near, 2], ca_voxel_zyx[near, 1], s=14, color="#f2a33a")
_ = panel.set(title="C-alphas within 3 voxels of the plane", xlabel="x (voxel)", ylabel="y (voxel)")

# %% [markdown]
# If the dots lie on bright spots, map and model are in the same place. If they do not, nothing that
# follows can be right: `c2s-data build` refuses such an entry and says which origin would fit.
#
# ## To 1 Å, and to [0, 1]
#
# Networks want one voxel size and one scale. The map is resampled to 1 Å, divided by a percentile of
# its positive values, and clipped. What matters is the scale: too small, and the protein itself is
# clipped to 1 and loses its contrast.

# %%
from c2s_data.config import make_config
from c2s_data.stored_density import resample, scale

figure, panels = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
panels[0].hist(density.values_zyx.ravel(), bins=120, log=True, color="#5b6b7a")
panels[0].set(title="as in the file", xlabel="density", ylabel="voxels")
for panel, preset in zip(panels[1:], ("paper", "recommended"), strict=True):
    config = make_config(preset)
    normalized_zyx, facts = scale(resample(density, str(map_path), config), str(map_path), config)
    panel.hist(normalized_zyx.ravel().astype(np.float32), bins=100, log=True, color="#5b6b7a")
    at_one = (normalized_zyx == 1).mean()
    panel.set(title=f"preset {preset}: {at_one:.2%} of the voxels at 1", xlabel="density")

# %% [markdown]
# [docs/beware.md](../docs/beware.md) measures what that choice does to a map with much solvent.
#
# ## Labels
#
# Each backbone atom labels its voxel. That is what a network learns to find: three voxels of a residue
# among thousands of empty ones.

# %%
from c2s_data.distribute import build_store
from c2s_data.explore.slices import slice_figure
from c2s_data.store.reader import open_store

catalog = folder / "catalog.csv"
catalog.write_text(f"entry_id,map,model,resolution_A\nMINE,{map_path},{model_path},3.0\n")
build_store(catalog, folder / "one.zarr", make_config("recommended"), workers=1)
store = open_store(folder / "one.zarr")
labels = {name: store.read_map("MINE", name) for name in ("atom", "ca", "amino", "secondary")}
for name, mask in labels.items():
    print(f"{name}: {np.count_nonzero(mask):,} of {mask.size:,} voxels, {(mask > 0).mean():.3%}")

# %%
slice_figure(
    store.read_map("MINE", "density").astype(np.float32),
    labels,
    entry_id=map_path.name,
    origin_xyz_A=store.entry("MINE").origin_xyz_A,
    raw_zyx=density.values_zyx,
    raw_voxel_size_zyx_A=density.voxel_size_zyx_A,
)

# %% [markdown]
# Next: [build a store](02_build_a_store.ipynb) of many maps.
