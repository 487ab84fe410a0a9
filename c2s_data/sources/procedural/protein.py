"""A small protein made from nothing but geometry and a seed: test and demonstration input.

Each chain is a three-layer sandwich, helix / four-stranded antiparallel sheet / two helices,
joined by tight turns and loops; a twofold axis makes the second chain. Bonds and angles are
ideal, the sheet has its hydrogen bonds, side chains are complete. It resembles no protein of
nature, and its sequence is drawn at random by what each part of the fold tolerates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import gemmi
import numpy as np
from scipy.spatial import cKDTree

from c2s_data.schema import AMINO_ACIDS
from c2s_data.sources.procedural.fold import FoldTarget, fold
from c2s_data.sources.procedural.geometry import BACKBONE
from c2s_data.sources.procedural.side_chains import design_side_chains

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_RESIDUES: Final = 90
MAX_RESIDUES: Final = 150
ATTEMPTS: Final = 20
CHAIN_CONTACT_A: Final = 3.4
B_FACTOR_A2: Final = 30.0
_N, _CA, _CB, _C, _O = range(len(BACKBONE))

HELIX_DEG: Final = (-63.0, -42.0)
STRAND_DEG: Final = (-115.0, 132.0)
TURN_DEG: Final = ((55.0, 38.0), (78.0, 6.0))
"""The two middle residues of a type I' turn, which closes the tightest hairpins."""
LOOP_DEG: Final = ((-63.0, -42.0), (-70.0, 145.0), (-110.0, 125.0))
PROLINE_DEG: Final = (-65.0, 145.0)

RESIDUES_BY_KIND: Final = {
    "helix": ("ALA", "LEU", "GLU", "LYS", "MET", "GLN", "ARG", "ILE", "PHE", "TRP", "ASP"),
    "strand": ("VAL", "ILE", "TYR", "PHE", "THR", "CYS", "LEU", "ARG", "TRP"),
    "loop": ("GLY", "ASN", "ASP", "SER", "THR", "HIS", "LYS", "GLU"),
}

SHEET_SPACING_A: Final = 4.8
LAYER_SPACING_A: Final = 10.0
STRAND_RISE_A: Final = 3.3
PLEAT_A: Final = 0.9
HELIX_RISE_A: Final = 1.5
HELIX_RADIUS_A: Final = 2.3
HELIX_TURN_DEG: Final = 100.0


class Segment(NamedTuple):
    """A stretch of the chain: ``kind`` is helix, strand, turn or loop; ``start`` counts from 0."""

    kind: str
    start: int
    length: int


class _Chain(NamedTuple):
    names: list[str]
    residues: list[dict[str, NDArray[np.float64]]]


def procedural_protein(seed: int, n_residues: int = 120) -> gemmi.Structure:
    """Build a dimer of two equal chains, A and B, that shows all 20 amino acids.

    Parameters
    ----------
    seed
        Decides sequence, loop lengths and loop shapes. Equal seeds give equal structures.
    n_residues
        Residues per chain, 90 to 150.

    Returns
    -------
    gemmi.Structure
        One model, one protein entity with its sequence, no secondary-structure records (so that
        they have to be computed), no hydrogens. The twofold axis is z, the sheets lie near the
        plane z = 0.

    Raises
    ------
    ValueError
        If ``n_residues`` is out of range.
    RuntimeError
        If no attempt gives a chain without clashes and with all hydrogen bonds of its sheet.
    """
    if not MIN_RESIDUES <= n_residues <= MAX_RESIDUES:
        message = f"{n_residues} residues asked for; choose {MIN_RESIDUES} to {MAX_RESIDUES}"
        raise ValueError(message)
    for rng in np.random.default_rng(seed).spawn(ATTEMPTS):
        segments = plan_segments(rng, n_residues)
        backbone_xyz_A = _fold_once(rng, segments)
        if not _is_sound(backbone_xyz_A, _sheet_bonds(segments)):
            continue
        chain = _Chain(*design_side_chains(rng, _choices(rng, segments), backbone_xyz_A))
        if set(chain.names) == set(AMINO_ACIDS):
            return _structure(f"PROCEDURAL-{seed}", chain, _second_chain(chain))
    message = f"no sound fold in {ATTEMPTS} attempts for seed {seed}; try another seed"
    raise RuntimeError(message)


def plan_segments(rng: np.random.Generator, n_residues: int) -> list[Segment]:
    """Cut the chain into tail, helix, loop, four strands with turns, and two more helices.

    Strands have an even length: in a meander of two-residue turns only then does the residue
    that ends one hairpin start the next with its hydrogen bonds on the other side.
    """
    strand = 8 if n_residues < 118 else 10
    loops = rng.integers(5, 8, size=3)
    tail = 4
    helices = np.full(3, n_residues - 2 * tail - int(loops.sum()) - 4 * strand - 6)
    helices = (helices + np.arange(3)) // 3
    pieces = [("loop", tail), ("helix", helices[0]), ("loop", loops[0]), ("strand", strand)]
    pieces += [("turn", 2), ("strand", strand)] * 3
    pieces += [("loop", loops[1]), ("helix", helices[1])]
    pieces += [("loop", loops[2]), ("helix", helices[2]), ("loop", tail)]
    starts = np.cumsum([0] + [length for _, length in pieces])
    return [
        Segment(kind, int(start), int(length))
        for (kind, length), start in zip(pieces, starts, strict=False)
    ]


def _choices(rng: np.random.Generator, segments: list[Segment]) -> list[list[str]]:
    """Residue names that suit each place, in the order in which to try them."""
    choices: list[list[str]] = []
    for segment in segments:
        if segment.kind == "turn":
            choices += [["ASN", "ASP", "GLY"], ["GLY"]]
            continue
        names = RESIDUES_BY_KIND[segment.kind]
        choices += [[str(name) for name in rng.permutation(names)] for _ in range(segment.length)]
    for place in _proline_places(segments):
        choices[place].insert(0, "PRO")
    return choices


def _proline_places(segments: list[Segment]) -> list[int]:
    return [s.start + s.length // 2 for s in segments if s.kind == "loop"]


def _fold_once(rng: np.random.Generator, segments: list[Segment]) -> NDArray[np.float64]:
    """Backbone (n, 5, 3), A, from targets whose loops are drawn at random."""
    n = segments[-1].start + segments[-1].length
    wanted_deg = np.empty((n, 2))
    stiffness = np.ones(n)
    for kind, start, length in segments:
        span = slice(start, start + length)
        if kind == "helix":
            wanted_deg[span] = HELIX_DEG
            stiffness[span] = 3.0
        elif kind == "strand":
            wanted_deg[span] = STRAND_DEG
        elif kind == "turn":
            wanted_deg[span] = TURN_DEG
        else:
            wanted_deg[span] = rng.choice(LOOP_DEG, size=length)
            stiffness[span] = 0.5
    for place in _proline_places(segments):
        wanted_deg[place] = PROLINE_DEG
        stiffness[place] = 10.0
    phi_rad, psi_rad = np.deg2rad(wanted_deg).T
    atoms, distances = _bond_restraints(_sheet_bonds(segments))
    target = FoldTarget(phi_rad, psi_rad, stiffness, _layout(segments), atoms, distances)
    jitter = np.deg2rad(rng.normal(scale=5.0, size=(2, n)))
    return fold(target, phi_rad + jitter[0], psi_rad + jitter[1])[2]


def _layout(segments: list[Segment]) -> NDArray[np.float64]:
    """Wanted C-alpha positions (n, 3), A; NaN in loops and turns.

    Strands run along x, side by side in y; helices lie above and below in z. Each segment starts
    near the end of the one before it.
    """
    n = segments[-1].start + segments[-1].length
    layout = np.full((n, 3), np.nan)
    strands = [s for s in segments if s.kind == "strand"]
    for row, (_, start, length) in enumerate(strands):
        k = np.arange(length)
        along = (k - (length - 1) / 2) * STRAND_RISE_A * (-1) ** row
        layout[start : start + length, 0] = along
        layout[start : start + length, 1] = SHEET_SPACING_A * (row - 1.5)
        layout[start : start + length, 2] = PLEAT_A * (-1.0) ** (k + row)
    half = LAYER_SPACING_A / 2
    places = [(-1, 0.0, -LAYER_SPACING_A), (1, half, LAYER_SPACING_A), (-1, -half, LAYER_SPACING_A)]
    helices = [s for s in segments if s.kind == "helix"]
    for (_, start, length), (sign, y, z) in zip(helices, places, strict=True):
        k = np.arange(length)
        angle = np.deg2rad(HELIX_TURN_DEG) * k * sign
        layout[start : start + length, 0] = (k - (length - 1) / 2) * HELIX_RISE_A * sign
        layout[start : start + length, 1] = y + HELIX_RADIUS_A * np.cos(angle)
        layout[start : start + length, 2] = z + HELIX_RADIUS_A * np.sin(angle)
    return layout


def _sheet_bonds(segments: list[Segment]) -> list[tuple[int, int]]:
    """Residue pairs (donor of N-H, acceptor of C=O) of the antiparallel sheet."""
    bonds = []
    for turn in segments:
        if turn.kind != "turn":
            continue
        before, after = turn.start - 1, turn.start + 2
        strand = next(s for s in segments if s.start == after)
        for k in range(0, strand.length, 2):
            bonds += [(before - k, after + k), (after + k, before - k)]
    return bonds


def _bond_restraints(
    bonds: list[tuple[int, int]],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Three distances fix length and direction of one N-H...O=C hydrogen bond."""
    width = len(BACKBONE)
    atoms, distances = [], []
    for donor, acceptor in bonds:
        oxygen, nitrogen = width * acceptor + _O, width * donor + _N
        atoms += [(oxygen, nitrogen), (width * acceptor + _C, nitrogen)]
        atoms += [(oxygen, width * donor + _CA)]
        distances += [2.9, 4.0, 3.75]
    return np.array(atoms, dtype=np.int64), np.array(distances)


def _is_sound(xyz: NDArray[np.float64], bonds: list[tuple[int, int]]) -> bool:
    donor, acceptor = np.array(bonds).T
    bond_A = np.linalg.norm(xyz[donor, _N] - xyz[acceptor, _O], axis=1)
    ca_pairs = cKDTree(xyz[:, _CA]).query_pairs(3.7, output_type="ndarray")
    clashes = np.abs(np.diff(ca_pairs, axis=1)) > 1
    return bool(bond_A.max() < 3.3 and not clashes.any())


def _second_chain(chain: _Chain) -> _Chain:
    """The chain turned by 180 degrees about an axis along z and slid in y until it touches."""
    xyz = np.array([position for residue in chain.residues for position in residue.values()])
    tree = cKDTree(xyz)
    turn = np.array([-1.0, -1.0, 1.0])
    shift = np.array([2.0 * np.median(xyz[:, 0]), 2.0 * xyz[:, 1].min() - CHAIN_CONTACT_A, 0.0])
    step = np.array([0.0, 0.25, 0.0])
    while np.min(tree.query(xyz * turn + shift + step)[0]) >= CHAIN_CONTACT_A:
        shift = shift + step
    turned = [{name: p * turn + shift for name, p in residue.items()} for residue in chain.residues]
    return _Chain(chain.names, turned)


def _structure(name: str, *chains: _Chain) -> gemmi.Structure:
    structure = gemmi.Structure()
    structure.name = name
    structure.spacegroup_hm = "P 1"
    model = gemmi.Model(1)
    entity = gemmi.Entity("1")
    entity.entity_type = gemmi.EntityType.Polymer
    entity.polymer_type = gemmi.PolymerType.PeptideL
    entity.full_sequence = chains[0].names
    entity.subchains = list("AB")
    for chain_id, chain in zip("AB", chains, strict=True):
        model.add_chain(_gemmi_chain(chain_id, chain, entity.name))
    structure.add_model(model)
    structure.entities.append(entity)
    structure.assign_serial_numbers()
    return structure


def _gemmi_chain(chain_id: str, chain: _Chain, entity_id: str) -> gemmi.Chain:
    gemmi_chain = gemmi.Chain(chain_id)
    for number, (name, atoms) in enumerate(zip(chain.names, chain.residues, strict=True), start=1):
        residue = gemmi.Residue()
        residue.name = name
        residue.seqid = gemmi.SeqId(number, " ")
        residue.label_seq = number
        residue.subchain = chain_id
        residue.entity_id = entity_id
        residue.entity_type = gemmi.EntityType.Polymer
        residue.het_flag = "A"
        for atom_name, xyz_A in atoms.items():
            residue.add_atom(_gemmi_atom(atom_name, xyz_A))
        gemmi_chain.add_residue(residue)
    return gemmi_chain


def _gemmi_atom(name: str, xyz_A: NDArray[np.float64]) -> gemmi.Atom:
    atom = gemmi.Atom()
    atom.name = name
    atom.element = gemmi.Element(name[0])
    atom.pos = gemmi.Position(*np.round(xyz_A, 3).tolist())
    atom.occ = 1.0
    atom.b_iso = B_FACTOR_A2
    return atom
