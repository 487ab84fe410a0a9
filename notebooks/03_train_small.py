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
# # 3. Train a small network and look at the curves
#
# A network reads subgrids and says for every voxel: nothing, C-alpha, N or C. Half a minute of training
# teaches it little, but everything is here that a long training has. `make train-demo` trains for a
# quarter of an hour and finds C-alphas in real maps it has never seen ([report](../docs/train-demo.md)).

# %%
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from c2s_data.config import make_config
from c2s_data.distribute import build_store
from c2s_data.sources.simulate import write_demo_inputs

folder = Path(tempfile.mkdtemp())
catalog = write_demo_inputs(folder / "inputs")
committed = build_store(catalog, folder / "dataset.zarr", make_config("recommended"), workers=2)

# %% [markdown]
# ## What a batch is
#
# The dataset hands out ready batches, shuffled as a pure function of seed and epoch. So the
# `DataLoader` gets `batch_size=None`: it only brings the batches here.

# %%
from torch.utils.data import DataLoader

from c2s_model.data import SubgridDataset

dataset = SubgridDataset(
    str(folder / "dataset.zarr"), split="train", subgrids="occupied", batch_size=8
)
batch = next(iter(DataLoader(dataset, batch_size=None)))
for name, value in batch.items():
    print(f"{name:12} {tuple(value.shape)} {value.dtype}")

figure, panels = plt.subplots(2, 8, figsize=(14, 4.2), layout="constrained")
for column in range(8):
    volume = batch["density"][column, 0].float().numpy()
    mask = batch["atom"][column].numpy() == 1
    panels[0, column].imshow(volume.max(axis=0), cmap="gray")
    panels[1, column].imshow(mask.max(axis=0), cmap="magma")
for panel in panels.ravel():
    panel.set_axis_off()
panels[0, 0].set_title("density, brightest along z", loc="left")
_ = panels[1, 0].set_title("its C-alphas", loc="left")

# %% [markdown]
# ## Train
#
# The same command runs on a laptop, on eight GPUs under `torchrun`, and again after it was killed.


# %%
def c2s_model(command: str) -> None:
    """Run a command as a terminal would, and show the end of what it prints."""
    program = [sys.executable, "-c", "from c2s_model.cli import main; main()"]
    words = [*program, *shlex.split(command)]
    # Jupyter asks programs for colors and moving bars, which make no sense in a pipe.
    plain = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=plain)
    print("\n".join((done.stdout + done.stderr).splitlines()[-8:]))
    done.check_returncode()


run = folder / "run"
c2s_model(
    f"train {folder}/dataset.zarr {run} --variant tiny --target atom --preset recommended "
    "--batch-size 8 --epochs 3 --max-steps 24"
)

# %%
from c2s_model.training.curves import draw_curves
from c2s_model.training.history import read_history

draw_curves({"half a minute": read_history(run / "history.csv")})

# %% [markdown]
# Three voxels in a thousand are labeled. A network that always says "nothing" would nearly always be
# right, which is why accuracy is not shown. The curve to watch is macro F1: the mean over classes of how
# well each is found *and* found only where it is.
#
# ## What it says of a map it has not seen

# %%
from c2s_data.store.prediction_store import open_prediction
from c2s_data.store.reader import open_store

store = open_store(folder / "dataset.zarr")
entry = next(entry for entry in store.entries if entry.split == "validation")
c2s_model(f"predict {run} {folder}/inputs/{entry.entry_id}.map.gz {folder}/prediction.zarr")
prediction = open_prediction(str(folder / "prediction.zarr"))
p_ca = prediction.read("atom")[1]
density = store.read_map(entry.entry_id, "density").astype(np.float32)
truth = store.read_map(entry.entry_id, "ca")
pictures = {
    "density": density.max(axis=0),
    "true C-alphas": truth.max(axis=0),
    "probability of C-alpha": p_ca.max(axis=0).astype(np.float32),
}
figure, panels = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
for panel, (title, picture) in zip(panels, pictures.items(), strict=True):
    shown = panel.imshow(picture, cmap="gray" if title == "density" else "magma", origin="lower")
    panel.set(title=f"{title}, greatest along z", xlabel="x (Å)", ylabel="y (Å)")
    figure.colorbar(shown, ax=panel, shrink=0.8)

# %% [markdown]
# Half a minute taught it nothing yet: the pattern is that of its patches, and it is unsure everywhere.
# A quarter of an hour on simulated and real maps gives this, for real maps that it never saw:
#
# ![density, predicted and true C-alphas in slabs of real maps](../docs/images/train-demo-slabs.png)
#
# Next: what becomes of a *good* prediction, [a backbone](04_backbone_and_evaluation.ipynb).
