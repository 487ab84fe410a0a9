"""L4 to L9: the masks against the atoms they show and against what the catalog says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c2s_data.schema import ATOM_CA, CLASS_NAMES, IGNORE, MASKS
from c2s_data.transforms.label import voxel_index
from c2s_data.validation.checks import Finding
from c2s_data.validation.label_atoms import VOXEL_SIZE_ZYX_A, LabelAtoms, winners
from c2s_data.validation.round_trip import judged
from c2s_data.validation.sparse_mask import SparseMask
from c2s_data.validation.subject import Subject

MIN_CA_IN_BOX: Final = 0.99
MAX_CA_LOST: Final = 0.005
"""Share of C-alphas that share a voxel with another: 0 to 0.12 % in deposited models."""


class _Expected(NamedTuple):
    """What a mask must hold: ``flat`` (m,) sorted voxels and ``value`` (m,), perhaps 0."""

    flat: NDArray[np.int64]
    value: NDArray[np.uint8]


def labels(
    subject: Subject, atoms: LabelAtoms, masks: Mapping[str, SparseMask]
) -> Iterator[Finding]:
    """L4 to L9 of one entry.

    Parameters
    ----------
    subject
        The entry.
    atoms
        All atoms that were labeled.
    masks
        Every mask of the store by name.
    """
    expected = _expected(subject, atoms)
    yield _every_residue_labeled(subject, atoms, expected, masks)
    yield _no_stray(subject, atoms, expected, masks)
    yield _classes(subject, masks)
    yield _counts(subject, masks)
    yield _in_box(subject, atoms)
    yield _collisions(subject, atoms)


def _expected(subject: Subject, atoms: LabelAtoms) -> dict[str, _Expected]:
    shape = subject.entry.shape_zyx
    inside = atoms.select(atoms.inside(shape))
    flat = np.ravel_multi_index(tuple(inside.voxel_zyx.T), shape).astype(np.int64)
    kept = winners(flat, inside.atom_class, subject.config.collision)
    ca = np.flatnonzero(inside.atom_class == ATOM_CA)
    kept_ca = ca[winners(flat[ca], inside.atom_class[ca], subject.config.collision)]
    return {
        "atom": _Expected(flat[kept], inside.atom_class[kept]),
        "ca": _Expected(flat[kept_ca], np.ones(len(kept_ca), np.uint8)),
        "amino": _Expected(flat[kept_ca], inside.amino[kept_ca]),
        "secondary": _Expected(flat[kept_ca], inside.secondary[kept_ca]),
    }


def _values_at(mask: SparseMask, flat: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return a mask's values at some voxels, 0 where it has no label."""
    if not len(mask.flat):
        return np.zeros(len(flat), np.uint8)
    place = np.minimum(np.searchsorted(mask.flat, flat), len(mask.flat) - 1)
    return np.where(mask.flat[place] == flat, mask.value[place], 0).astype(np.uint8)


def _every_residue_labeled(
    subject: Subject,
    atoms: LabelAtoms,
    expected: Mapping[str, _Expected],
    masks: Mapping[str, SparseMask],
) -> Finding:
    """L4: at the voxel of each atom that keeps it stands the atom's class."""
    faults, n_wrong, n_all = [], 0, 0
    for name in MASKS:
        flat, value = expected[name]
        stored = _values_at(masks[name], flat)
        wrong = np.flatnonzero(stored != value)
        n_wrong, n_all = n_wrong + len(wrong), n_all + len(flat)
        if len(wrong):
            first = wrong[0]
            voxel = tuple(int(i) for i in np.unravel_index(flat[first], subject.entry.shape_zyx))
            faults.append(
                f"{len(wrong)} of {len(flat)} voxels of {name}, first {voxel}: "
                f"{_class_name(name, stored[first])} for {_class_name(name, value[first])}"
            )
    share = n_wrong / n_all if n_all else 0.0
    numbers = {"n_expected": len(expected["ca"].flat), "n_wrong": n_wrong}
    status = judged(share, atoms)
    if status == "pass":
        message = f"{subject.entry_id}: {len(expected['ca'].flat):,} C-alpha voxels and their atoms"
        return subject.found("L4", "pass", message, **numbers)
    reason = f"; {atoms.why_not}" if atoms.why_not else ""
    message = f"{subject.entry_id}: wrong label in {'; '.join(faults)}{reason}; build it anew"
    return subject.found("L4", status, message, share, **numbers)


def _class_name(mask: str, value: int) -> str:
    names = CLASS_NAMES[mask]
    return names[value] if value < len(names) else "ignore" if value == IGNORE else str(value)


def _no_stray(
    subject: Subject,
    atoms: LabelAtoms,
    expected: Mapping[str, _Expected],
    masks: Mapping[str, SparseMask],
) -> Finding:
    """L5: every labeled voxel has an atom; under ``atoms: named`` it need not be of a residue."""
    stray = {
        name: np.setdiff1d(masks[name].flat, expected[name].flat, assume_unique=True)
        for name in MASKS
    }
    n_stray = sum(len(flat) for flat in stray.values())
    residues = subject.residues
    voxel_zyx = np.stack([residues[f"voxel_{axis}"] for axis in "zyx"], axis=1)
    inside = ((voxel_zyx >= 0) & (voxel_zyx < subject.entry.shape_zyx)).all(axis=1)
    of_residue = np.ravel_multi_index(tuple(voxel_zyx[inside].T), subject.entry.shape_zyx)
    n_other = len(np.setdiff1d(masks["ca"].flat, of_residue))
    numbers = {"n_stray": n_stray, "n_ca_of_no_residue": n_other}
    note = ""
    if n_other and subject.config.atoms == "named":
        note = (
            f"; {n_other} C-alpha labels are of no residue of the table, as `atoms: named` takes "
            "ions, ligands, caps and further models too"
        )
    if not n_stray:
        message = f"{subject.entry_id}: every label has its atom{note}"
        return subject.found("L5", "pass", message, **numbers)
    told = ", ".join(f"{len(flat)} of {name}" for name, flat in stray.items() if len(flat))
    if not atoms.is_exact:
        message = f"{subject.entry_id}: {told} could not be traced: {atoms.why_not}{note}"
        return subject.found("L5", "skip", message, n_stray, **numbers)
    message = f"{subject.entry_id}: no atom explains the labels {told}{note}; build it anew"
    return subject.found("L5", "fail", message, n_stray, **numbers)


def _classes(subject: Subject, masks: Mapping[str, SparseMask]) -> Finding:
    """L6: no mask holds a value that its table of classes does not name."""
    faults, n_bad = [], 0
    for name, mask in masks.items():
        known = mask.value < len(CLASS_NAMES[name])
        if name == "amino" and subject.config.unknown_amino == "ignore":
            known |= mask.value == IGNORE
        n_bad += int((~known).sum())
        if not known.all():
            faults.append(f"{name} holds {sorted(set(mask.value[~known].tolist()))}")
    if not faults:
        message = f"{subject.entry_id}: {', '.join(masks)}"
        return subject.found("L6", "pass", message, n_unknown=0)
    message = f"{subject.entry_id}: values of no class: {'; '.join(faults)}; build it anew"
    return subject.found("L6", "fail", message, n_bad, n_unknown=n_bad)


def _counts(subject: Subject, masks: Mapping[str, SparseMask]) -> Finding:
    """L7: voxels of each class against ``label_counts``."""
    recorded: Mapping[str, Any] = subject.entry.facts["label_counts"] or {}
    wrong = []
    for name, mask in masks.items():
        counted = np.bincount(mask.value, minlength=256)[1 : len(CLASS_NAMES[name])].tolist()
        if list(recorded.get(name) or ()) != counted:
            wrong.append(f"{name} {counted}, in the catalog {recorded.get(name)}")
    total = sum(len(mask.flat) for mask in masks.values())
    if not wrong:
        message = f"{subject.entry_id}: {total:,} labels in {len(masks)} masks"
        return subject.found("L7", "pass", message, n_labels=total)
    message = f"{subject.entry_id}: counted {'; '.join(wrong)}; build it anew"
    return subject.found("L7", "fail", message, len(wrong), n_labels=total)


def _in_box(subject: Subject, atoms: LabelAtoms) -> Finding:
    """L8: C-alphas inside the map, by their coordinates, the residue table and the catalog."""
    table, facts = subject.residues, subject.entry.facts
    ca_xyz_A = subject.atom_xyz_A("ca")
    has_ca: NDArray[np.bool_] = np.asarray(np.isfinite(ca_xyz_A).all(axis=1))
    voxel_zyx = voxel_index(
        ca_xyz_A[has_ca], subject.entry.origin_xyz_A, VOXEL_SIZE_ZYX_A, subject.config.label_rule
    )
    inside = np.zeros(len(has_ca), np.bool_)
    inside[has_ca] = ((voxel_zyx >= 0) & (voxel_zyx < subject.entry.shape_zyx)).all(axis=1)
    share = float(inside.sum() / max(1, has_ca.sum()))
    faults = []
    if not np.array_equal(inside, table["in_box"]):
        faults.append(f"the residue table has {int(table['in_box'].sum())} inside")
    counted = {"n_residues": len(has_ca), "n_ca": int(has_ca.sum()), "ca_in_box": share}
    if atoms.is_exact:
        counted["n_atoms_outside"] = int((~atoms.inside(subject.entry.shape_zyx)).sum())
    faults += [
        f"the catalog has {name} {facts[name]}, counted {value:g}"
        for name, value in counted.items()
        if facts[name] is None or abs(facts[name] - value) > 1e-12
    ]
    numbers = {"n_ca": counted["n_ca"], "n_outside": int(has_ca.sum() - inside.sum())}
    numbers["share"] = share
    told = f"{subject.entry_id}: {numbers['n_outside']} of {numbers['n_ca']} C-alphas lie outside"
    if faults:
        message = f"{told}; {'; '.join(faults)}; build it anew"
        return subject.found("L8", "fail", message, 1 - share, **numbers)
    if share < MIN_CA_IN_BOX:
        x, y, z = subject.entry.origin_xyz_A
        message = (
            f"{told} the map at origin ({x:g}, {y:g}, {z:g}) A; another origin convention "
            "may fit (L12), or the model is of a larger assembly"
        )
        return subject.found("L8", "warn", message, 1 - share, **numbers)
    return subject.found("L8", "pass", told, 1 - share, **numbers)


def _collisions(subject: Subject, atoms: LabelAtoms) -> Finding:
    """L9: atoms that met a voxel already taken, and the C-alphas that were lost by it."""
    shape = subject.entry.shape_zyx
    inside = atoms.select(atoms.inside(shape))
    flat = np.ravel_multi_index(tuple(inside.voxel_zyx.T), shape)
    is_ca = inside.atom_class == ATOM_CA
    n_shared = len(flat) - len(np.unique(flat))
    n_lost = int(is_ca.sum()) - len(np.unique(flat[is_ca]))
    share = n_lost / max(1, int(is_ca.sum()))
    numbers = {"n_collisions": n_shared, "n_ca_lost": n_lost, "ca_lost_share": share}
    told = f"{subject.entry_id}: {n_shared} of {len(flat)} atoms share a voxel, {n_lost} C-alphas"
    recorded = subject.entry.facts["n_collisions"]
    if atoms.is_exact and recorded != n_shared:
        message = f"{told}; the catalog has {recorded}; build it anew"
        return subject.found("L9", "fail", message, share, **numbers)
    if share > MAX_CA_LOST:
        message = f"{told}, {share:.1%} of them: are copies of the model on top of each other?"
        return subject.found("L9", "warn", message, share, **numbers)
    return subject.found("L9", "pass", told, share, **numbers)
