"""Kabsch-Sander letters against built backbones, a brute-force count and the program mkdssp."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ideal_backbone import Backbone, build
from mkdssp_oracle import NOT_ASSIGNED, mkdssp_letters
from scipy.spatial.transform import Rotation

from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.transforms.hydrogen_bond import amide_hydrogens, best_acceptors, near_pairs
from c2s_data.transforms.secondary_structure import (
    _joined_over_bulges,
    _ladders,
    dssp,
    incomplete,
    three_state,
)

ALPHA, THREE_TEN, PI, EXTENDED = (-57, -47), (-49, -26), (-57, -70), (-120, 130)
STRAND, TURN_2_PRIME = (-105, 100), [(70, -120), (-90, 0)]
HAIRPIN = [STRAND] * 6 + TURN_2_PRIME + [STRAND] * 6
REAL_MODELS = [
    "models/1ema.cif", "models/1igy.cif", "models/1l2y.cif", "models/4i39.cif", "models/7a4m.cif",
    "models/7bv2.pdb", "models/7kjr.pdb", "models/8hb0.pdb", "models/8zpm.cif", "models/9be6.cif",
    "pairs/1oed_box_complete.pdb", "pairs/3ajo_fitted_refined.pdb", "pairs/4ci0.pdb",
    "pairs/3j06_no_ligand_box_complete.pdb", "pairs/3j63_A_box_complete.pdb",
    "pairs/3j8x_chain_A_box_complete.pdb", "pairs/4uft_af3.cif", "pairs/5fn5_box_complete.pdb",
    "pairs/6gyn.pdb", "pairs/6i5a_box_complete.pdb", "pairs/strudel_6272.pdb",
]  # fmt: skip


def letters(backbone: Backbone, chain=None, proline=()) -> str:
    n = len(backbone.ca)
    is_proline = np.isin(np.arange(n), proline)
    return "".join(dssp(*backbone, np.zeros(n, int) if chain is None else chain, is_proline))


def joined(*parts: Backbone) -> Backbone:
    return Backbone(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def moved(backbone: Backbone, by_xyz_A) -> Backbone:
    return Backbone(*(xyz + np.asarray(by_xyz_A) for xyz in backbone))


@pytest.mark.parametrize(
    ("phi_psi", "expected"),
    [
        # Turns start at 0 to 7, so helix residues run from 1 to 10.
        ([ALPHA] * 12, " HHHHHHHHHH "),
        ([THREE_TEN] * 12, " GGGGGGGGGG "),
        ([PI] * 14, " IIIIIIIIIIII "),
        ([EXTENDED] * 8, " " * 8),
        # One turn alone is no helix.
        ([ALPHA] * 5, " TTT "),
        # Bonded pairs 5-8, 3-10 and 1-12, bridges between them too, a 3-turn from 5 to 8.
        (HAIRPIN, " EEEEETTEEEEE "),
    ],
)
def test_ideal_backbones(phi_psi, expected):
    assert letters(build(phi_psi)) == expected


def test_the_built_hairpin_is_one():
    hairpin = build(HAIRPIN)
    for i, j in ((5, 8), (3, 10), (1, 12)):
        for donor, acceptor in ((i, j), (j, i)):
            length = np.linalg.norm(hairpin.n[donor] - hairpin.o[acceptor])
            assert length == pytest.approx(2.95, abs=0.2)
    apart = np.linalg.norm(hairpin.ca[:, None] - hairpin.ca[None], axis=2)
    assert apart[~np.eye(14, dtype=bool)].min() > 3.5


def test_parallel_strands_of_two_chains():
    strand = build([(-119, 113)] * 7)
    pair = joined(strand, moved(strand, (0.01, -3.23, 3.60)))
    assert letters(pair, np.repeat([4, 9], 7)) == " EEEEE  EEEEE "
    assert letters(strand) == " " * 7


@pytest.mark.parametrize(("n", "expected"), [(3, " B "), (4, " EE "), (5, " EEE ")])
def test_one_bridge_is_b_and_two_in_a_row_are_a_strand(n, expected):
    strand = build([(-119, 113)] * n)
    beside = moved(strand, (0.01, -3.23, 3.60))
    chain = np.repeat([0, 1], n)
    # Either order of the chains: the bridge's bonds start from its first residue or its second.
    assert letters(joined(strand, beside), chain) == expected * 2
    assert letters(joined(beside, strand), chain) == expected * 2


def test_a_bend_is_a_turn_of_the_trace_by_more_than_70_degrees():
    rng = np.random.default_rng(11)
    n_bent = n_straight = 0
    for _ in range(200):
        chain = build(np.stack((rng.uniform(-160, -60, 5), rng.uniform(60, 180, 5)), axis=1))
        before, after = chain.ca[2] - chain.ca[0], chain.ca[4] - chain.ca[2]
        cosine = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
        kappa = np.degrees(np.arccos(cosine))
        assert letters(chain) == ("  S  " if kappa > 70 else " " * 5)
        n_bent += 70 < kappa < 85
        n_straight += 55 < kappa < 70
    assert min(n_bent, n_straight) >= 3


def test_a_proline_donates_no_bond():
    helix = build([ALPHA] * 7)
    assert letters(helix) == " HHHHH "
    # Without the bond of residue 5, turns start at 0 and 2 only: no two in a row.
    assert letters(helix, proline=[5]) == " TTTTT "


@pytest.mark.parametrize("kind", ["chain", "gap"])
def test_helices_end_at_a_chain_break(kind):
    helix = build([ALPHA] * 12)
    chain = np.zeros(12, int)
    if kind == "chain":
        chain[6:] = 1
    else:
        helix = joined(
            Backbone(*(x[:6] for x in helix)),
            moved(Backbone(*(x[6:] for x in helix)), (40.0, 0, 0)),
        )
    # Six residues have turns at 0 and 1; the first of a stretch has no hydrogen to give.
    assert letters(helix, chain) == " HHHH  HHHH "


@pytest.mark.parametrize("column", range(4))
def test_an_incomplete_residue_is_blank_and_breaks_the_chain(column):
    helix = build([ALPHA] * 12)
    helix[column][5] = np.nan
    assert letters(helix) == " TTT   HHHH "
    assert np.flatnonzero(incomplete(*helix)).tolist() == [5]


def test_a_model_of_c_alphas_only_is_blank():
    helix = build([ALPHA] * 12)
    for column in (helix.n, helix.c, helix.o):
        column[:] = np.nan
    assert letters(helix) == " " * 12
    assert incomplete(*helix).all()


def test_a_pi_helix_outranks_an_alpha_helix_unless_asked_otherwise():
    # Between the two ideal helices each N-H binds both the fourth and the fifth C=O before it.
    helix, one_chain, no_proline = build([(-57, -62)] * 14), np.zeros(14, int), np.zeros(14, bool)
    assert "".join(dssp(*helix, one_chain, no_proline)) == " IIIIIIIIIIII "
    assert "".join(dssp(*helix, one_chain, no_proline, prefer_pi=False)) == " HHHHHHHHHHHH "


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5])
def test_short_chains(n):
    chain = build([EXTENDED] * max(n, 1))
    part = Backbone(*(x[:n] for x in chain))
    assert letters(part) == " " * n


def test_coinciding_residues_do_not_crash():
    same = Backbone(*(np.ones((9, 3)) for _ in range(4)))
    assert len(letters(same)) == 9


def test_arrays_of_different_lengths_are_refused():
    helix = build([ALPHA] * 6)
    with pytest.raises(ValueError, match=r"must be \(n, 3\)"):
        dssp(*helix, np.zeros(5, int), np.zeros(6, bool))


def test_three_states():
    states = three_state(list("HGIEBTSP -"))
    assert states.dtype == np.uint8
    assert states.tolist() == [2, 2, 2, 3, 1, 1, 1, 1, 1, 1]


def test_the_hydrogen_lies_one_angstrom_from_n_against_the_carbonyl_before():
    strand = build([EXTENDED] * 4)
    proline = np.array([False, False, True, False])
    hydrogen = amide_hydrogens(strand.n, strand.c, strand.o, np.zeros(4, np.int64), proline)
    assert np.isnan(hydrogen).all(axis=1).tolist() == [True, False, True, False]
    bond = hydrogen[1] - strand.n[1]
    carbonyl = strand.o[0] - strand.c[0]
    np.testing.assert_allclose(np.linalg.norm(bond), 1.0)
    np.testing.assert_allclose(bond, -carbonyl / np.linalg.norm(carbonyl))


def test_bonds_are_the_two_strongest_of_all_pairs():
    rng = np.random.default_rng(3)
    whole = joined(build(HAIRPIN), moved(build([ALPHA] * 15), (60.0, 0, 0)))
    noisy = Backbone(*(x + rng.normal(0, 0.2, x.shape) for x in whole))
    n = len(noisy.ca)
    hydrogen = amide_hydrogens(
        noisy.n, noisy.c, noisy.o, np.zeros(n, np.int64), np.zeros(n, np.bool_)
    )
    found = best_acceptors(noisy.n, hydrogen, noisy.c, noisy.o, near_pairs(noisy.ca))
    for donor in range(1, n):
        energies = []
        for other in set(range(n)) - {donor, donor - 1}:
            inverse = {
                pair: 1 / np.linalg.norm(a - b)
                for pair, a, b in (
                    ("ON", noisy.o[other], noisy.n[donor]),
                    ("CH", noisy.c[other], hydrogen[donor]),
                    ("OH", noisy.o[other], hydrogen[donor]),
                    ("CN", noisy.c[other], noisy.n[donor]),
                )
            }
            energy = 27.888 * (inverse["ON"] + inverse["CH"] - inverse["OH"] - inverse["CN"])
            if round(energy, 3) < -0.5:
                energies.append((energy, other))
        expected = [other for _, other in sorted(energies)[:2]]
        assert found[donor].tolist() == [*expected, -1, -1][:2]
    assert (found[:, 0] >= 0).sum() > 15


@given(seed=st.integers(0, 10_000), angles=st.tuples(*[st.floats(-180, 180)] * 3))
@settings(max_examples=25, deadline=None)
def test_letters_do_not_depend_on_place_or_orientation(seed, angles):
    rng = np.random.default_rng(seed)
    noisy = Backbone(*(x + rng.normal(0, 0.05, x.shape) for x in build(HAIRPIN)))
    turn = Rotation.from_euler("zyx", angles, degrees=True)
    turned = moved(Backbone(*(turn.apply(x) for x in noisy)), (310.0, -42.0, 7.5))
    assert letters(turned) == letters(noisy)


PARALLEL, ANTIPARALLEL = 1, 2


@pytest.mark.parametrize(
    ("kind", "second_i", "second_j", "is_joined"),
    [
        # First ladder: i 10 to 12 with j 30 to 32. Gaps of 2 are one extra residue, of 5 four.
        (PARALLEL, (14, 15), (37, 38), True),
        (PARALLEL, (17, 18), (34, 35), True),
        (PARALLEL, (18, 19), (34, 35), False),
        (PARALLEL, (14, 15), (38, 39), False),
        (PARALLEL, (15, 16), (35, 36), False),
        (PARALLEL, (14, 15), (26, 27), False),
        (ANTIPARALLEL, (14, 15), (24, 25), True),
        (ANTIPARALLEL, (17, 18), (27, 28), True),
        (ANTIPARALLEL, (18, 19), (27, 28), False),
        (ANTIPARALLEL, (15, 16), (26, 27), False),
        (ANTIPARALLEL, (14, 15), (34, 35), False),
    ],
)
@pytest.mark.parametrize("breaks_at", [None, 13, 20, 29])
def test_ladders_join_over_a_bulge(kind, second_i, second_j, is_joined, breaks_at):
    first = [kind, 10, 12, 30, 32, 3]
    second = [kind, *second_i, *second_j, 2]
    segment = np.zeros(50, np.int64)
    if breaks_at is not None:
        segment[breaks_at:] = 1
    joined_ladders = _joined_over_bulges(np.array([first, second]), segment)
    low, high = min(30, second_j[0]), max(32, second_j[1])
    broken = breaks_at == 13 or (breaks_at == 29 and low < 29)
    if is_joined and not broken:
        assert joined_ladders.tolist() == [[kind, 10, second_i[1], low, high, 5]]
    else:
        assert joined_ladders.tolist() == [first, second]


def test_bridges_in_a_row_make_ladders():
    bridges = np.array(
        [
            [ANTIPARALLEL, 3, 20],
            [PARALLEL, 3, 40],
            [ANTIPARALLEL, 4, 19],
            [PARALLEL, 4, 41],
            [ANTIPARALLEL, 5, 17],
            [PARALLEL, 6, 43],
        ]
    )
    assert _ladders(bridges).tolist() == [
        [ANTIPARALLEL, 3, 4, 19, 20, 2],
        [PARALLEL, 3, 4, 40, 41, 2],
        [ANTIPARALLEL, 5, 5, 17, 17, 1],
        [PARALLEL, 6, 6, 43, 43, 1],
    ]


def test_a_chain_far_away_changes_nothing():
    helix, hairpin = build([ALPHA] * 12), moved(build(HAIRPIN), (200.0, 0, 0))
    both = joined(helix, hairpin)
    assert letters(both, np.repeat([0, 1], [12, 14])) == letters(helix) + letters(hairpin)


def test_agreement_with_mkdssp(shared_data, tmp_path, record_property):
    program = shutil.which("mkdssp")
    if program is None:
        pytest.skip("the program mkdssp (Debian package dssp) is not installed")
    n = n_letters = n_states = 0
    for name in REAL_MODELS:
        table = read_atomic_model(shared_data / name).residues
        ours = dssp(
            table.n_xyz_A,
            table.ca_xyz_A,
            table.c_xyz_A,
            table.o_xyz_A,
            table.chain_index,
            table.residue_name == "PRO",
        )
        theirs = mkdssp_letters(table, tmp_path, program)
        assigned = theirs != NOT_ASSIGNED
        assert (ours[~assigned] == " ").all()
        n += int(assigned.sum())
        n_letters += int((ours == theirs)[assigned].sum())
        n_states += int((three_state(ours) == three_state(theirs))[assigned].sum())
    record_property("mkdssp_three_state_agreement", n_states / n)
    print(f"mkdssp: {n} residues, letters {n_letters / n:.4%}, three states {n_states / n:.4%}")  # noqa: T201
    assert n > 11_000
    assert n_states / n >= 0.999
    assert n_letters / n >= 0.99
