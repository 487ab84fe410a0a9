"""Candidates for the tests of the hidden Markov models: walks, real C-alphas, grids of ties."""

from __future__ import annotations

import gemmi
import numpy as np

from c2s_model.backbone.residue_codes import residue_codes


def emissions_of(codes, rng, top=0.6):
    """Return (n, 20) probabilities that mostly favor the given codes."""
    emission = rng.dirichlet(np.full(20, 0.3), len(codes)) * (1 - top)
    emission[np.arange(len(codes)), codes] += top * rng.random(len(codes)) ** 0.3
    return emission / emission.sum(axis=1, keepdims=True)


def blurred(xyz_A, codes, rng, share=0.05):
    """Return positions and emissions: 0.5 A noise, a share missing and as many false."""
    keep = rng.random(len(xyz_A)) >= share
    xyz_A, codes = xyz_A[keep] + rng.normal(0, 0.5, (keep.sum(), 3)), codes[keep]
    n_false = round(share * len(xyz_A))
    false_A = xyz_A[rng.integers(0, len(xyz_A), n_false)] + rng.normal(0, 3, (n_false, 3))
    xyz_A = np.concatenate([xyz_A, false_A])
    codes = np.concatenate([codes, rng.integers(0, 20, n_false)])
    order = np.lexsort((xyz_A[:, 2], xyz_A[:, 1], xyz_A[:, 0]))
    return xyz_A[order], emissions_of(codes[order], rng)


def compact_walk(n, rng):
    """Return (n, 3) positions: steps of 3.8 A inside a ball of a protein's density."""
    radius_A = (n * 130 * 3 / (4 * np.pi)) ** (1 / 3)
    xyz_A = np.zeros((n, 3))
    for i in range(1, n):
        steps = rng.normal(size=(60, 3))
        tries = xyz_A[i - 1] + 3.8 * steps / np.linalg.norm(steps, axis=1)[:, None]
        tries = tries[np.linalg.norm(tries, axis=1) < radius_A + 1]
        apart = np.linalg.norm(tries[:, None] - xyz_A[None, :i], axis=2).min(axis=1)
        xyz_A[i] = tries[np.argmax(apart)]
    return xyz_A


def model_chains(path):
    """Return a model's C-alpha positions (n, 3), their codes (n,), and the codes by chain."""
    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    xyz_A, chains = [], []
    for chain in structure[0]:
        letters = ""
        for residue in chain.get_polymer():
            atom = residue.find_atom("CA", "*", gemmi.Element("C"))
            letter = gemmi.find_tabulated_residue(residue.name).one_letter_code.upper()
            if atom is not None and residue_codes(letter)[0] >= 0:
                xyz_A.append(atom.pos.tolist())
                letters += letter
        if letters:
            chains.append(residue_codes(letters))
    return np.array(xyz_A), np.concatenate(chains), chains
