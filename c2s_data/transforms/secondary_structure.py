"""Secondary structure from backbone coordinates, by the dictionary of Kabsch and Sander.

W. Kabsch, C. Sander, Biopolymers 22 (1983) 2577. A turn of n residues is a bond from the C=O of i
to the N-H of i+n; two turns in a row make a helix. A bridge is one of four patterns of bonds
between two stretches of three residues; bridges in a row make a ladder, and ladders joined over a
bulge of at most one extra residue on one side and four on the other make one strand pair.

The letters follow version 4 of the reference program, where a pi helix outranks an alpha helix;
its extra letter for polyproline helices is a blank here. All helices are one class of three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

from c2s_data.schema import COIL, HELIX, STRAND
from c2s_data.transforms.hydrogen_bond import (
    amide_hydrogens,
    best_acceptors,
    chain_segments,
    near_pairs,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LETTERS: Final = " STBEGHI"
_BLANK, _BEND, _TURN, _BRIDGE, _STRAND, _HELIX3, _HELIX4, _HELIX5 = range(8)
_PARALLEL, _ANTIPARALLEL = 1, 2
_BEND_DEGREES: Final = 70.0


class _Backbone(NamedTuple):
    n: NDArray[np.float64]
    ca: NDArray[np.float64]
    c: NDArray[np.float64]
    o: NDArray[np.float64]
    chain: NDArray[np.int64]
    is_proline: NDArray[np.bool_]

    def rows(self, mask: NDArray[np.bool_]) -> _Backbone:
        return _Backbone(
            n=self.n[mask],
            ca=self.ca[mask],
            c=self.c[mask],
            o=self.o[mask],
            chain=self.chain[mask],
            is_proline=self.is_proline[mask],
        )


def dssp(
    n_xyz_A: ArrayLike,
    ca_xyz_A: ArrayLike,
    c_xyz_A: ArrayLike,
    o_xyz_A: ArrayLike,
    chain_index: ArrayLike,
    is_proline: ArrayLike,
    *,
    prefer_pi: bool = True,
) -> NDArray[np.str_]:
    """Return the Kabsch-Sander letter of each residue.

    Parameters
    ----------
    n_xyz_A, ca_xyz_A, c_xyz_A, o_xyz_A : (n, 3) float
        Backbone positions x, y, z in A, residues in sequence order; NaN for an absent atom.
    chain_index : (n,) int
        Residues of one chain share a number. A chain also breaks where C and the next N are more
        than 2.5 A apart and at an incomplete residue.
    is_proline : (n,) bool
        Residues whose N carries no hydrogen.
    prefer_pi : bool
        Whether a pi helix (I) overwrites an alpha helix (H), as in version 4 of the reference
        program; ``False`` is the 1983 order.

    Returns
    -------
    (n,) str
        H alpha, G 3-10 and I pi helix, E strand, B lone bridge, T turn, S bend, blank for the rest.
        A residue that lacks one of the four atoms is blank: `incomplete` names these.

    Raises
    ------
    ValueError
        If the arrays differ in length.
    """
    backbone = _Backbone(
        n=np.asarray(n_xyz_A, np.float64),
        ca=np.asarray(ca_xyz_A, np.float64),
        c=np.asarray(c_xyz_A, np.float64),
        o=np.asarray(o_xyz_A, np.float64),
        chain=np.asarray(chain_index, np.int64),
        is_proline=np.asarray(is_proline, np.bool_),
    )
    n_residues = len(backbone.chain)
    if backbone.is_proline.shape != (n_residues,) or any(
        xyz.shape != (n_residues, 3) for xyz in backbone[:4]
    ):
        raise ValueError("backbone arrays must be (n, 3) with one row for each chain_index entry")

    codes = np.zeros(n_residues, np.int8)
    complete = ~incomplete(backbone.n, backbone.ca, backbone.c, backbone.o)
    if complete.any():
        codes[complete] = _letter_codes(backbone.rows(complete), prefer_pi)
    letters: NDArray[np.str_] = np.array(list(LETTERS))[codes]
    return letters


def incomplete(
    n_xyz_A: NDArray[np.float64],
    ca_xyz_A: NDArray[np.float64],
    c_xyz_A: NDArray[np.float64],
    o_xyz_A: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Return which residues lack N, C-alpha, C or O, and so cannot be assigned: (n,) bool."""
    atoms = np.concatenate([n_xyz_A, ca_xyz_A, c_xyz_A, o_xyz_A], axis=1)
    lacking: NDArray[np.bool_] = ~np.isfinite(atoms).all(axis=1)
    return lacking


def three_state(letters: ArrayLike) -> NDArray[np.uint8]:
    """Return coil 1, helix 2 (H, G, I) or strand 3 (E) for each Kabsch-Sander letter: (n,) uint8.

    Lone bridges, turns, bends and anything else are coil.
    """
    letter = np.asarray(letters, np.str_)
    helix, strand = np.isin(letter, ["H", "G", "I"]), letter == "E"
    return np.select([helix, strand], [HELIX, STRAND], COIL).astype(np.uint8)


def _letter_codes(residues: _Backbone, prefer_pi: bool) -> NDArray[np.int8]:
    n, ca, c, o, chain, is_proline = residues
    segment = chain_segments(n, c, chain)
    hydrogen = amide_hydrogens(n, c, o, segment, is_proline)
    pairs = near_pairs(ca)
    acceptor = best_acceptors(n, hydrogen, c, o, pairs)
    codes = np.zeros(len(ca), np.int8)
    _mark_strands(codes, _joined_over_bulges(_ladders(_bridges(acceptor, segment, pairs)), segment))
    starts = [_turn_starts(acceptor, segment, span) for span in (3, 4, 5)]
    _mark_helices(codes, starts[0], starts[1], starts[2], prefer_pi)
    _mark_turns_and_bends(codes, starts[0], starts[1], starts[2], _bends(ca, segment))
    return codes


@njit(cache=True, nogil=True)
def _bonded(acceptor: NDArray[np.int64], donor: int, other: int) -> bool:
    return bool(acceptor[donor, 0] == other or acceptor[donor, 1] == other)


@njit(cache=True, nogil=True)
def _bridge_kind(acceptor: NDArray[np.int64], i: int, j: int) -> int:
    """Return the kind of bridge between residues i and j, 0 for none (1983, page 2581)."""
    if (_bonded(acceptor, i + 1, j) and _bonded(acceptor, j, i - 1)) or (
        _bonded(acceptor, j + 1, i) and _bonded(acceptor, i, j - 1)
    ):
        return _PARALLEL
    if (_bonded(acceptor, i + 1, j - 1) and _bonded(acceptor, j + 1, i - 1)) or (
        _bonded(acceptor, j, i) and _bonded(acceptor, i, j)
    ):
        return _ANTIPARALLEL
    return 0


@njit(cache=True, nogil=True)
def _bridges(
    acceptor: NDArray[np.int64], segment: NDArray[np.int64], pairs: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the bridges as rows (kind, i, j) with i < j, in the order of ``pairs``: (m, 3)."""
    found = np.empty((len(pairs), 3), np.int64)
    count, last = 0, len(segment) - 1
    for row in range(len(pairs)):
        i, j = pairs[row]
        if j < i + 3 or i == 0 or j == last:
            continue
        if segment[i - 1] != segment[i + 1] or segment[j - 1] != segment[j + 1]:
            continue
        kind = _bridge_kind(acceptor, i, j)
        if kind:
            found[count] = (kind, i, j)
            count += 1
    return found[:count]


@njit(cache=True, nogil=True)
def _ladders(bridges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Chain bridges that follow one another into ladders.

    Returns rows (kind, first i, last i, lowest j, highest j, number of bridges) by first i.
    """
    ladder = np.empty((len(bridges), 6), np.int64)
    count = 0
    # Bridges come ordered by i, and a bridge extends one at i - 1: the rows from ``window`` on.
    row_of = np.empty(len(bridges), np.int64)
    window = 0
    for row in range(len(bridges)):
        kind, i, j = bridges[row]
        while bridges[window, 1] < i - 1:
            window += 1
        step = 1 if kind == _PARALLEL else -1
        row_of[row] = -1
        for before in range(window, row):
            if (
                bridges[before, 0] == kind
                and bridges[before, 1] == i - 1
                and bridges[before, 2] == j - step
            ):
                row_of[row] = row_of[before]
        target = row_of[row]
        if target < 0:
            ladder[count] = (kind, i, i, j, j, 1)
            row_of[row] = count
            count += 1
        else:
            ladder[target, 2] = i
            ladder[target, 3] = min(ladder[target, 3], j)
            ladder[target, 4] = max(ladder[target, 4], j)
            ladder[target, 5] += 1
    return ladder[:count]


@njit(cache=True, nogil=True)
def _is_bulge(one: NDArray[np.int64], two: NDArray[np.int64]) -> bool:
    """Tell whether ladder ``two`` continues ladder ``one`` over a bulge."""
    gap_i = two[1] - one[2]
    gap_j = two[3] - one[4] if one[0] == _PARALLEL else one[3] - two[4]
    if gap_i <= 0 or gap_j < 0:
        return False
    return bool((gap_i < 6 and gap_j < 3) or (gap_i < 3 and gap_j < 6))


@njit(cache=True, nogil=True)
def _joined_over_bulges(
    ladders: NDArray[np.int64], segment: NDArray[np.int64]
) -> NDArray[np.int64]:
    joined = ladders.copy()
    alive = np.ones(len(joined), np.bool_)
    for a in range(len(joined)):
        if not alive[a]:
            continue
        for b in range(a + 1, len(joined)):
            if joined[b, 1] - joined[a, 2] >= 6:
                break
            if not alive[b] or joined[a, 0] != joined[b, 0]:
                continue
            if segment[joined[a, 1]] != segment[joined[b, 2]]:
                continue
            low, high = min(joined[a, 3], joined[b, 3]), max(joined[a, 4], joined[b, 4])
            if segment[low] != segment[high] or not _is_bulge(joined[a], joined[b]):
                continue
            joined[a, 2], joined[a, 3], joined[a, 4] = joined[b, 2], low, high
            joined[a, 5] += joined[b, 5]
            alive[b] = False
    return joined[alive]


@njit(cache=True, nogil=True)
def _mark_strands(codes: NDArray[np.int8], ladders: NDArray[np.int64]) -> None:
    for row in range(len(ladders)):
        code = _STRAND if ladders[row, 5] > 1 else _BRIDGE
        for side in range(2):
            for k in range(ladders[row, 1 + 2 * side], ladders[row, 2 + 2 * side] + 1):
                codes[k] = max(codes[k], code)


@njit(cache=True, nogil=True)
def _turn_starts(
    acceptor: NDArray[np.int64], segment: NDArray[np.int64], span: int
) -> NDArray[np.bool_]:
    """Return where a turn of ``span`` residues begins: (n,) bool."""
    start = np.zeros(len(segment), np.bool_)
    for i in range(len(segment) - span):
        start[i] = segment[i] == segment[i + span] and _bonded(acceptor, i + span, i)
    return start


@njit(cache=True, nogil=True)
def _mark_helices(
    codes: NDArray[np.int8],
    starts3: NDArray[np.bool_],
    starts4: NDArray[np.bool_],
    starts5: NDArray[np.bool_],
    prefer_pi: bool,
) -> None:
    n = len(codes)
    for i in range(1, n - 4):
        if starts4[i] and starts4[i - 1]:
            codes[i : i + 4] = _HELIX4
    # A 3-10 or pi helix is drawn only where all of its residues are free.
    for i in range(1, n - 3):
        if starts3[i] and starts3[i - 1]:
            part = codes[i : i + 3]
            if np.all((part == _BLANK) | (part == _HELIX3)):
                part[:] = _HELIX3
    for i in range(1, n - 5):
        if starts5[i] and starts5[i - 1]:
            part = codes[i : i + 5]
            free = (part == _BLANK) | (part == _HELIX5)
            if prefer_pi:
                free |= part == _HELIX4
            if np.all(free):
                part[:] = _HELIX5


@njit(cache=True, nogil=True)
def _bends(ca: NDArray[np.float64], segment: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where the C-alpha trace turns by more than 70 degrees over five residues: (n,)."""
    bend = np.zeros(len(ca), np.bool_)
    limit = np.cos(np.deg2rad(_BEND_DEGREES))
    for i in range(2, len(ca) - 2):
        if segment[i - 2] != segment[i + 2]:
            continue
        before, after = ca[i] - ca[i - 2], ca[i + 2] - ca[i]
        length = np.sqrt(np.dot(before, before) * np.dot(after, after))
        bend[i] = np.dot(before, after) < limit * length
    return bend


@njit(cache=True, nogil=True)
def _mark_turns_and_bends(
    codes: NDArray[np.int8],
    starts3: NDArray[np.bool_],
    starts4: NDArray[np.bool_],
    starts5: NDArray[np.bool_],
    bend: NDArray[np.bool_],
) -> None:
    turn = np.zeros(len(codes), np.bool_)
    for i in range(len(codes)):
        if starts3[i]:
            turn[i + 1 : i + 3] = True
        if starts4[i]:
            turn[i + 1 : i + 4] = True
        if starts5[i]:
            turn[i + 1 : i + 5] = True
    for i in range(len(codes)):
        if codes[i] == _BLANK:
            codes[i] = _TURN if turn[i] else (_BEND if bend[i] else _BLANK)
