"""L1 to L3: from a label back to the coordinate it was made from (paper, formula 2).

The labels are looked up by distance, not by the rule that made them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from c2s_data.schema import ATOM_CA
from c2s_data.validation.checks import Finding, Status
from c2s_data.validation.label_atoms import LabelAtoms
from c2s_data.validation.sparse_mask import SparseMask
from c2s_data.validation.subject import Subject

_UNIFORM_SD: Final = 1 / math.sqrt(12)
"""Standard deviation in voxels of positions spread evenly over a voxel."""
MAX_BIAS_VOXEL: Final = 0.25
STANDARD_ERRORS: Final = 5.0
_NEAR_VOXELS: Final = 2.0
_UNTRACED_SHARE: Final = 0.01


def judged(share_wrong: float, atoms: LabelAtoms) -> Status:
    """Return what a share of labels that do not fit means where not all atoms may be known."""
    if not share_wrong:
        return "pass"
    return "fail" if atoms.is_exact or share_wrong > _UNTRACED_SHARE else "warn"


def round_trip(subject: Subject, atoms: LabelAtoms, ca: SparseMask) -> Iterator[Finding]:
    """L1 to L3 of one entry.

    Parameters
    ----------
    subject
        The entry.
    atoms
        All atoms that were labeled.
    ca
        The mask of C-alphas.
    """
    is_ca = atoms.atom_class == ATOM_CA
    yield _as_the_paper_counts(subject, atoms.xyz_A[is_ca], ca)
    inside = atoms.select(is_ca & atoms.inside(subject.entry.shape_zyx))
    if not len(inside.xyz_A) or not len(ca.flat):
        nothing = f"{subject.entry_id}: no C-alpha or no label of one lies in the map"
        yield subject.found("L2", "fail", f"{nothing}; build it anew", 1.0)
        yield subject.found("L3", "skip", nothing)
        return
    offset_voxel = subject.config.decode_offset_voxel
    point_zyx = (inside.xyz_A - subject.entry.origin_xyz_A)[:, ::-1]
    cells = cKDTree(ca.index_zyx + offset_voxel)
    found = cells.query(point_zyx, p=np.inf)
    distance, nearest = np.asarray(found[0]), np.asarray(found[1])
    yield _in_its_cell(subject, inside, distance)
    label_zyx = ca.index_zyx[nearest[distance <= _NEAR_VOXELS]]
    yield _bias(subject, (label_zyx - point_zyx[distance <= _NEAR_VOXELS])[:, ::-1])


def _as_the_paper_counts(
    subject: Subject, ca_xyz_A: NDArray[np.float64], ca: SparseMask
) -> Finding:
    """L1: labels whose position by formula 2 equals a known C-alpha, both cut to whole numbers.

    With a whole-number origin and positive coordinates this compares a number with itself, so it
    is reported and never fails; with others it says little in the other direction.
    """
    decoded_xyz_A = ca.index_zyx[:, ::-1] + np.array(subject.entry.origin_xyz_A)
    known = set(map(tuple, np.trunc(ca_xyz_A).astype(np.int64).tolist()))
    found = sum(
        position in known for position in map(tuple, np.trunc(decoded_xyz_A).astype(int).tolist())
    )
    share = found / len(ca.flat) if len(ca.flat) else 0.0
    if subject.config.label_rule == "nearest":
        why = "it takes labels for rounded down, and `nearest` ones are not"
    elif any(value % 1 for value in subject.entry.origin_xyz_A):
        why = "the origin is no whole number, so both sides are cut at different places"
    elif len(ca_xyz_A) and ca_xyz_A.min() < 0:
        why = "int() cuts negative coordinates upwards, where labels are rounded down"
    else:
        why = "both sides are rounded down, so a label 0.5 A low on each axis counts as exact"
    message = (
        f"{subject.entry_id}: {share:.1%} of {len(ca.flat):,} labels match; reported, not judged: "
        f"{why} (L2 is the true check)"
    )
    return subject.found("L1", "pass", message, 1 - share, share=share, exact=float(share == 1))


def _in_its_cell(subject: Subject, inside: LabelAtoms, distance: NDArray[np.float64]) -> Finding:
    """L2: the coordinate lies in the voxel that its label stands for.

    The cell reaches half a voxel from the decoded position, which is [0, 1)^3 from the index for
    formula 1 and [-0.5, 0.5)^3 for the nearest voxel.
    """
    tolerance = 1e-9
    if subject.config.label_rule == "formula1-float32":
        largest = np.float32(np.abs(inside.xyz_A).max() + 1)
        tolerance = 2 * float(np.spacing(largest))  # position and origin are rounded first
    within = distance <= 0.5 + tolerance
    share = float(within.mean())
    n_out = int((~within).sum())
    numbers = {"share": share, "n_checked": len(within), "n_outside_cell": n_out}
    status = judged(1 - share, inside)
    told = f"{subject.entry_id}: {share:.2%} of {len(within):,} C-alphas lie in their label's cell"
    if status == "pass":
        return subject.found("L2", "pass", told, **numbers)
    row = int(np.argmax(distance))
    place = ", ".join(f"{value:.2f}" for value in inside.xyz_A[row])
    reason = f" ({inside.why_not})" if inside.why_not else ""
    message = (
        f"{told}; the one at {place} A (x, y, z) is {distance[row]:.2f} voxels from the nearest "
        f"label's middle{reason}; check the origin, or build it anew"
    )
    return subject.found("L2", status, message, 1 - share, **numbers)


def _bias(subject: Subject, label_minus_atom_xyz_A: NDArray[np.float64]) -> Finding:
    """L3: mean of decoded (formula 2, no offset) minus true position, per axis."""
    n = len(label_minus_atom_xyz_A)
    if not n:
        message = f"{subject.entry_id}: no label lies within {_NEAR_VOXELS:g} voxels of a C-alpha"
        return subject.found("L3", "fail", f"{message}; build it anew", 2.0)
    expected = 0.0 - subject.config.decode_offset_voxel
    bias = label_minus_atom_xyz_A.mean(axis=0)
    mean_distance = float(np.linalg.norm(label_minus_atom_xyz_A, axis=1).mean())
    off = float(np.abs(bias - expected).max())
    numbers = {f"bias_{axis}_A": float(value) for axis, value in zip("xyz", bias, strict=True)}
    numbers |= {"mean_distance_A": mean_distance, "expected_A": expected}
    told = (
        f"{subject.entry_id}: ({', '.join(f'{value:+.2f}' for value in bias)}) A along x, y, z, "
        f"expected {expected:+.1f}; mean distance {mean_distance:.2f} A, expected "
        f"{subject.config.label_error_A}"
    )
    if off <= STANDARD_ERRORS * _UNIFORM_SD / math.sqrt(n):
        return subject.found("L3", "pass", told, off, **numbers)
    offset = subject.config.decode_offset_voxel
    message = (
        f"{told}; decoding by the store's offset ({offset} voxel) leaves {off:.2f} A: the "
        "coordinates may lie on a grid (a model that was itself decoded), or the labels are shifted"
    )
    return subject.found("L3", "fail" if off > MAX_BIAS_VOXEL else "warn", message, off, **numbers)
