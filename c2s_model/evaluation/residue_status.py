"""What became of each residue: what pictures and reports color by."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from c2s_model.evaluation.chain_mapping import NEAR_A
from c2s_model.evaluation.chains import CaChain, joined_letters, joined_xyz_A
from c2s_model.evaluation.evaluate import Evaluation


class Status(IntEnum):
    """Of a true residue and of a predicted one alike."""

    ALONE = 0
    """True and not found, or predicted where nothing is, one to one within 3 A."""
    PLACED = 1
    """A C-alpha of the other model lies there, of another residue."""
    RIGHT = 2
    """Its own residue, rightly named, lies there."""


class ResidueStatus(NamedTuple):
    """Status of all residues of target (n,) and query (m,), one chain after another."""

    target: NDArray[np.uint8]
    query: NDArray[np.uint8]


def residue_status(
    target: Sequence[CaChain], query: Sequence[CaChain], evaluation: Evaluation
) -> ResidueStatus:
    """Return what became of each residue at 3 A."""
    found = ResidueStatus(
        np.zeros(sum(map(len, target)), np.uint8), np.zeros(sum(map(len, query)), np.uint8)
    )
    match = next(one.match for one in evaluation.placed if one.radius_A == NEAR_A)
    own = evaluation.mapping.pairs
    apart_A = np.linalg.norm(
        joined_xyz_A(target)[own[:, 0]] - joined_xyz_A(query)[own[:, 1]], axis=1
    )
    same = joined_letters(target)[own[:, 0]] == joined_letters(query)[own[:, 1]]
    for pairs, status in (
        (match.pairs, Status.PLACED),
        (own[(apart_A <= NEAR_A) & same], Status.RIGHT),
    ):
        found.target[pairs[:, 0]] = status
        found.query[pairs[:, 1]] = status
    return found
