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
# # 4. From a prediction to a backbone, and how good it is
#
# A trained network gives probabilities at every voxel. They become a model in three steps: peaks of the
# C-alpha probability are **candidates**; a **hidden Markov model** walks over them so that neighbors in
# the sequence lie 3.8 Å apart and amino acids agree; the path is written as mmCIF. Then we compare.
#
# A good network needs hours. So the prediction here is simulated from the known model, with the faults
# that real ones have: missed atoms, invented ones, displaced ones, mistaken amino acids.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from c2s_data.config import make_config
from c2s_data.distribute import build_store
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.simulate import write_demo_inputs
from c2s_data.transforms.secondary_structure import dssp, three_state
from c2s_model.backbone.simulated_prediction import simulated_prediction

folder = Path(tempfile.mkdtemp())
catalog = write_demo_inputs(folder / "inputs")
truth_path = folder / "inputs" / "DEMO-0001.cif"
table = read_atomic_model(truth_path).residues
atoms = (table.n_xyz_A, table.ca_xyz_A, table.c_xyz_A, table.o_xyz_A)
secondary = three_state(dssp(*atoms, table.chain_index, table.residue_name == "PRO"))
prediction = simulated_prediction(table, secondary, np.random.default_rng(2024))
p_atom = prediction.read("atom", 0, prediction.shape_zyx[0])
p_ca = p_atom[1].astype(np.float32)
print("probabilities (class, z, y, x):", p_atom.shape)

# %% [markdown]
# ## Candidates
#
# Voxels above a threshold, clustered so that one residue gives one point. The histogram of distances
# between neighbors tells whether it worked: bonded C-alphas are 3.8 Å apart.

# %%
from scipy.spatial import KDTree

from c2s_model.backbone.candidate_voxels import predicted_points

points = predicted_points(prediction)
candidates_xyz_A = points.candidates.xyz_A
true_xyz_A = table.ca_xyz_A
to_truth = KDTree(true_xyz_A).query(candidates_xyz_A)[0]
to_next = KDTree(candidates_xyz_A).query(candidates_xyz_A, k=2)[0][:, 1]
print(f"{len(candidates_xyz_A)} candidates for {len(true_xyz_A)} residues;")
print(f"{(to_truth < 2).mean():.0%} of them within 2 Å of a true C-alpha")
figure, panels = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
panels[0].imshow(p_ca.max(axis=0), cmap="magma", origin="lower")
panels[0].set(title="probability of C-alpha, greatest along z", xlabel="x (Å)", ylabel="y (Å)")
panels[1].hist(to_next, bins=40, color="#5b6b7a")
panels[1].axvline(3.8, color="#d1495b")
_ = panels[1].set(title="distance to the nearest other candidate", xlabel="Å", ylabel="candidates")

# %% [markdown]
# ## The backbone
#
# `c2s-model backbone` does it all in one command; this is the same from Python.

# %%
from c2s_model.demo import backbone_demo

build_store(catalog, folder / "demo.zarr", make_config("recommended"), workers=2)
demo = backbone_demo(folder)
print(demo.model.read_text()[:600])

# %% [markdown]
# ## How good is it?
#
# The paper scores a model by how many of its C-alphas lie within 3 Å of a true one. That is generous:
# several may share one true atom. The stricter scores pair each with one, ask for the right amino acid
# in the right place, and compare folds (TM, GDT, lDDT). [docs/evaluation.md](../docs/evaluation.md)
# defines each.

# %%
from c2s_model.evaluation.chains import read_chains, read_model
from c2s_model.evaluation.evaluate import evaluate_chains
from c2s_model.evaluation.pictures import backbone_figure

target, built = read_model(truth_path).chains, read_chains(demo.model)
found = evaluate_chains(target, built)
for placed in found.placed:
    print(placed.as_json())
print(f"TM-score {found.tm_map_frame:.3f}, GDT {found.gdt_map_frame:.3f}")
print(f"lDDT of C-alphas {found.lddt.score:.3f}")

# %%
backbone_figure(target, built, found, "DEMO-0001, from a simulated prediction")

# %% [markdown]
# Red and gaps show where the walk went wrong: look there first, as the confidence in the model's B
# column does. [docs/backbone.md](../docs/backbone.md) tells how both hidden Markov models work, and how
# often each is right.
