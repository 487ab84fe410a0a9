"""Which residues of a built model are right, by a model that is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from c2s_data.sources.residue_letter import plain_letters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from c2s_data.sources.fasta import FastaRecord
    from c2s_model.backbone.built_chain import BuiltChain

RIGHT_WITHIN_A: Final = 3.0
TrueResidues = Mapping[tuple[str, int], "NDArray[np.float64]"]
"""Positions (k, 3) of the C-alphas of a residue in all copies, by sequence and place from 0."""


def right_residues(
    built: Iterable[BuiltChain], truth: TrueResidues, radius_A: float = RIGHT_WITHIN_A
) -> NDArray[np.bool_]:
    """Tell which residues lie within 3 A of the same residue of any copy of their chain.

    Returns
    -------
    (r,) bool
        Of all chains one after another.
    """
    nowhere = np.zeros((0, 3))
    found = []
    for chain in built:
        for number, xyz_A in zip(chain.residue_number.tolist(), chain.xyz_A, strict=True):
            copies = truth.get((chain.sequence, number - 1), nowhere)
            found.append(bool((np.linalg.norm(copies - xyz_A, axis=1) <= radius_A).any()))
    return np.array(found, np.bool_)


def true_residues(
    rows: Iterable[tuple[str, int, tuple[float, float, float]]],
) -> TrueResidues:
    """Collect C-alphas by sequence and place from 0; residues without either are left out."""
    places: dict[tuple[str, int], list[tuple[float, float, float]]] = defaultdict(list)
    for sequence, place, xyz_A in rows:
        if sequence and place >= 0 and np.isfinite(xyz_A).all():
            places[sequence, place].append(xyz_A)
    return {key: np.array(points) for key, points in places.items()}


def stored_residues(
    columns: Mapping[str, NDArray[Any]], records: Iterable[FastaRecord]
) -> Iterator[tuple[str, int, tuple[float, float, float]]]:
    """Yield sequence, place and C-alpha of the rows of a store's residue table.

    Parameters
    ----------
    columns
        `c2s_data.store.reader.Store.residues`.
    records
        The entry's sequences.
    """
    sequence_of = {name: plain_letters(one.sequence) for one in records for name in one.chains}
    names = ("label_asym_id", "chain", "sequence_index", "ca_x_A", "ca_y_A", "ca_z_A")
    for label, auth, place, *xyz_A in zip(*(columns[name].tolist() for name in names), strict=True):
        # Copies that an assembly made are named as their original, and -2, -3 behind it.
        original = (label.rpartition("-")[0] or label, auth.rpartition("-")[0] or auth)
        sequence = sequence_of.get((label, auth)) or sequence_of.get(original, "")
        x, y, z = xyz_A
        yield sequence, int(place), (x, y, z)
