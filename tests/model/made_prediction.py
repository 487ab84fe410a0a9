"""A made protein, its FASTA file, and a prediction simulated from it, as a source of a pipeline."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from c2s_data.sources.atomic_model import AtomicModel, read_atomic_model
from c2s_data.sources.procedural import procedural_protein
from c2s_data.sources.simulate import write_model
from c2s_model.backbone.pipeline import PredictionSource
from c2s_model.backbone.residue_codes import residue_letters
from c2s_model.backbone.simulated_prediction import (
    Imperfections,
    SimulatedPrediction,
    simulated_prediction,
)

SHIFT_A = (31.4, -12.7, 84.2)


@cache
def _structure():
    return procedural_protein(7, 96)


def write_protein(folder: Path) -> tuple[Path, Path]:
    """Write model and FASTA; two equal chains A and B of 96 residues."""
    structure = _structure().clone()
    for chain in structure[0]:
        for residue in chain:
            for atom in residue:
                atom.pos += type(atom.pos)(*SHIFT_A)
    model, fasta = folder / "truth.cif", folder / "truth.fasta"
    write_model(model, structure)
    residues = read_atomic_model(model).residues
    letters = residue_letters(residues.amino_class[residues.chain == "A"].astype(int) - 1)
    fasta.write_text(f">MADE_1|Chains A, B|made|\n{letters}\n")
    return model, fasta


def simulated(
    model: AtomicModel, *, seed: int = 0, imperfections: Imperfections | None = None, **options
) -> SimulatedPrediction:
    return simulated_prediction(
        model.residues,
        model.residues.record_secondary,
        np.random.default_rng(seed),
        imperfections=imperfections,
        **options,
    )


class CountedSource:
    """A pipeline's source that counts how often it is made and opened."""

    def __init__(self, prediction: SimulatedPrediction, folder: Path, name: str = "one"):
        self.made = self.opened = 0
        self.prediction, self.path, self.name = prediction, folder / "prediction.txt", name

    def __call__(self) -> PredictionSource:
        return PredictionSource({"simulated": self.name}, self.path, self._make, self._open)

    def _make(self):
        self.made += 1
        self.path.write_text(self.name)
        return {"voxels": int(np.prod(self.prediction.shape_zyx))}

    def _open(self):
        self.opened += 1
        return self.prediction
