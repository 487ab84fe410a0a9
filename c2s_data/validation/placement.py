"""L12 and L13: whether the model lies where the map is, and whether it is right-handed."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.origin_diagnosis import diagnose_origin
from c2s_data.schema import HELIX
from c2s_data.sources.density_map import DensityMap
from c2s_data.validation.checks import Finding
from c2s_data.validation.label_atoms import VOXEL_SIZE_ZYX_A
from c2s_data.validation.subject import Subject

MIN_TORSIONS: Final = 8
MIN_RIGHT_HANDED: Final = 0.9
_BONDED_A: Final = (3.3, 4.3)
"""Distance of C-alphas that follow each other in a chain, trans or nearly so."""


def origin_convention(subject: Subject, values_zyx: NDArray[np.float32]) -> Finding:
    """L12: whether another header convention would put clearly more C-alphas into density.

    Judged by the stored density; see `c2s_data.origin_diagnosis` for the conventions and for what
    is clearly better. A place that no convention names, such as a shift by a few A, is found when
    the quality of an entry is measured, and its flag counts as a warning.
    """
    flagged = "wrong-origin" in (subject.row.get("quality_flags") or ())
    note = "; flagged wrong-origin when it was built: its notes name a better place" * flagged
    origin, source = subject.entry.origin_xyz_A, subject.source_map
    if source is None:
        message = f"{subject.entry_id}: the header of the source map is not at hand{note}"
        return subject.found("L12", "warn" if flagged else "skip", message)
    stored = DensityMap(values_zyx, VOXEL_SIZE_ZYX_A, origin)
    found = diagnose_origin(source, stored, subject.atom_xyz_A("ca"))
    if not found.fits:
        message = f"{subject.entry_id}: there is no C-alpha or no contrast to judge by{note}"
        return subject.found("L12", "warn" if flagged else "skip", message)
    used, others = found.fits[0], found.fits[1:]
    best = max((fit.score_sd for fit in others), default=math.nan)
    numbers = {"ca_density_sd": used.score_sd, "ca_in_box": used.in_box, "best_other_sd": best}
    if found.better is not None:
        message = f"{subject.entry_id}: {found.message}"
        return subject.found("L12", "fail", message, best - used.score_sd, **numbers)
    names = " = ".join(used.conventions) or "as planned"
    rest = "; ".join(f"{' = '.join(fit.conventions)} {fit.score_sd:.2f} sd" for fit in others)
    x, y, z = origin
    message = (
        f"{subject.entry_id}: origin ({x:g}, {y:g}, {z:g}) A ({names}) puts the C-alphas at "
        f"{used.score_sd:.2f} sd of the stored density; {rest or 'all conventions agree'}{note}"
    )
    return subject.found("L12", "warn" if flagged else "pass", message, -used.score_sd, **numbers)


def handedness(subject: Subject) -> Finding:
    """L13: the sense of the helices, from four C-alphas in a row; else that of the main chain.

    A right-handed helix turns by about +50 degrees at each C-alpha. A model without helices is
    judged by phi, which is negative in L-amino acids other than glycine. Both change sign in a
    mirror image. The hand of the map is measured with the entry's quality, and its flag counts.
    """
    if "wrong-hand" in (subject.row.get("quality_flags") or ()):
        message = (
            f"{subject.entry_id}: flagged wrong-hand when it was built: the map is a mirror image; "
            "mirror it, or withdraw the entry"
        )
        return subject.found("L13", "fail", message, 1.0)
    table = subject.residues
    ca_xyz_A = subject.atom_xyz_A("ca")
    follows = _follows(table, ca_xyz_A)
    in_helix = table["secondary"] == HELIX
    runs = follows[:-2] & follows[1:-1] & follows[2:]
    runs &= in_helix[:-3] & in_helix[1:-2] & in_helix[2:-1] & in_helix[3:]
    starts = np.flatnonzero(runs)
    torsion = _dihedral_degrees(*(ca_xyz_A[starts + i] for i in range(4)))
    right, what = torsion > 0, "torsions of helices (C-alpha i to i + 3)"
    if len(right) < MIN_TORSIONS:
        phi = _phi_degrees(subject, follows)
        right, what = phi < 0, "phi angles"
    if len(right) < MIN_TORSIONS:
        message = f"{subject.entry_id}: {len(right)} angles are too few to tell the hand"
        return subject.found("L13", "skip", message)
    share = float(right.mean())
    numbers = {"right_handed_share": share, "n_angles": len(right)}
    told = f"{subject.entry_id}: {share:.1%} of {len(right):,} {what} are right-handed"
    if share >= MIN_RIGHT_HANDED:
        return subject.found("L13", "pass", told, 1 - share, **numbers)
    if share >= 0.5:
        message = f"{told}; the model is poor or its secondary structure wrong"
        return subject.found("L13", "warn", message, 1 - share, **numbers)
    message = f"{told}: it is a mirror image; withdraw the entry"
    return subject.found("L13", "fail", message, 1 - share, **numbers)


def _follows(table: dict[str, NDArray[Any]], ca_xyz_A: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say (n - 1,) whether residue i + 1 is bonded to residue i."""
    low, high = _BONDED_A
    distance = np.linalg.norm(np.diff(ca_xyz_A, axis=0), axis=1)
    same_chain = table["chain"][1:] == table["chain"][:-1]
    return np.asarray(same_chain & (distance > low) & (distance < high))


def _phi_degrees(subject: Subject, follows: NDArray[np.bool_]) -> NDArray[np.float64]:
    n_xyz, ca_xyz, c_xyz = (subject.atom_xyz_A(name) for name in ("n", "ca", "c"))
    rows = np.flatnonzero(follows & (subject.residues["residue_name"][1:] != "GLY"))
    phi = _dihedral_degrees(c_xyz[rows], n_xyz[rows + 1], ca_xyz[rows + 1], c_xyz[rows + 1])
    return phi[np.isfinite(phi)]


def _dihedral_degrees(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    c: NDArray[np.float64],
    d: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the torsion about b-c (n,), positive clockwise when looking from b to c (IUPAC)."""
    axis = c - b
    first, second = np.cross(b - a, axis), np.cross(axis, d - c)
    length = np.linalg.norm(axis, axis=1, keepdims=True)
    sine = (np.cross(first, second) * axis / length).sum(axis=1)
    torsion: NDArray[np.float64] = np.degrees(np.arctan2(sine, (first * second).sum(axis=1)))
    return torsion
