"""The end of the demonstration: from a simulated prediction to a backbone and its scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from c2s_data.errors import ConfigError
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.store.reader import open_store
from c2s_data.transforms.secondary_structure import dssp, three_state
from c2s_model.backbone.pipeline import BackboneRequest, PredictionSource, build_backbone
from c2s_model.backbone.simulated_prediction import VERSION, simulated_prediction
from c2s_model.evaluation.chains import read_chains, read_model
from c2s_model.evaluation.evaluate import Evaluation, evaluate_chains
from c2s_model.evaluation.pictures import backbone_figure, save_figure

SEED: Final = 2024


class BackboneDemo(NamedTuple):
    """What the demonstration made."""

    entry_id: str
    model: Path
    picture: Path
    evaluation: Evaluation


def backbone_demo(folder: Path, say: Callable[[str], None] = lambda text: None) -> BackboneDemo:
    """Build a backbone for the first entry of the demonstration's store.

    The prediction is simulated from the known model, with missed, invented and displaced atoms and
    mistaken amino acids, because a network that is worth looking at takes longer to train than a
    demonstration may last (`make train-demo`).

    Parameters
    ----------
    folder
        What ``c2s-data demo`` was given. Gets a folder ``backbone``, replaced if there is one.
    say
        Told of each stage.

    Raises
    ------
    ConfigError
        The demonstration was not run there.
    """
    store_path = folder / "demo.zarr"
    if not store_path.is_dir():
        raise ConfigError(f"{folder}: no demo.zarr there; run `c2s-data demo {folder}` first")
    store = open_store(store_path)
    entry_id = store.entries[0].entry_id
    truth = folder / "inputs" / f"{entry_id}.cif"
    out = folder / "backbone"
    out.mkdir(exist_ok=True)
    fasta = out / f"{entry_id}.fasta"
    fasta.write_text(store.sequences(entry_id))
    request = BackboneRequest(
        out=out / f"{entry_id}.cif", work=out / "work", fasta=fasta, overwrite=True
    )
    build_backbone(_simulated(truth, out / "work"), request, say=say)
    target, query = read_model(truth).chains, read_chains(request.out)
    found = evaluate_chains(target, query)
    picture = out / "backbone.png"
    save_figure(backbone_figure(target, query, found, f"{entry_id}, simulated prediction"), picture)
    return BackboneDemo(entry_id, request.out, picture, found)


def _simulated(truth: Path, work: Path) -> PredictionSource:
    table = read_atomic_model(truth).residues
    atoms = (table.n_xyz_A, table.ca_xyz_A, table.c_xyz_A, table.o_xyz_A)
    letters = dssp(*atoms, table.chain_index, table.residue_name == "PRO")
    prediction = simulated_prediction(table, three_state(letters), np.random.default_rng(SEED))
    marker = work / "simulated.txt"

    def make() -> dict[str, int]:
        marker.write_text(f"simulated from {truth.name}\n")
        return {"voxels": int(np.prod(prediction.shape_zyx))}

    made_from = {"simulated": VERSION, "seed": SEED, "model": truth.name}
    return PredictionSource(made_from, marker, make, lambda: prediction)
