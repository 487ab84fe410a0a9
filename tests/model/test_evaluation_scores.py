"""TM, GDT, lDDT, coverage and geometry: other programs' numbers, geometry, brute force."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from made_backbones import ca_chain, letters, moved, part, walk, waves

from c2s_model.evaluation.chain_mapping import map_chains
from c2s_model.evaluation.chains import joined_xyz_A, read_chains
from c2s_model.evaluation.coverage import chain_coverage
from c2s_model.evaluation.evaluate import evaluate, evaluate_chains
from c2s_model.evaluation.gdt import HA_A, gdt
from c2s_model.evaluation.geometry import geometry
from c2s_model.evaluation.lddt import lddt_ca
from c2s_model.evaluation.residue_status import Status, residue_status
from c2s_model.evaluation.tm_score import superposition, tm_d0_A, tm_score, tm_superposed


def rotation(rng):
    made, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return made * np.sign(np.linalg.det(made))


@pytest.fixture
def displaced_7kjr(shared_data):
    target_A = joined_xyz_A(read_chains(shared_data / "models" / "7kjr.pdb"))
    return target_A, target_A + waves(len(target_A), 1.0)


def test_lddt_is_biotites(displaced_7kjr):
    # biotite 2.0.0 lddt of these arrays, with a query position of every ninth set to NaN
    target_A, query_A = displaced_7kjr
    rows = np.flatnonzero(np.arange(len(target_A)) % 9 != 4)
    found = lddt_ca(target_A, query_A, np.stack([rows, rows], axis=1))
    assert found.score == pytest.approx(0.5868765331152903, abs=1e-12)
    assert found.per_residue[:6] == pytest.approx(
        [0.58823529, 0.58928571, 0.65909091, 0.67647059, 0.0, 0.63297872], abs=1e-8
    )


@pytest.mark.parametrize(
    ("amplitude_A", "tm_align"), [(1.0, 0.9747278464468921), (2.4, 0.8720697008229402)]
)
def test_superposed_tm_is_that_of_tm_align_where_its_alignment_is_the_identity(
    displaced_7kjr, amplitude_A, tm_align
):
    # tmtools 0.3.0, of coordinates rounded to 0.001 A in a PDB file
    target_A, _ = displaced_7kjr
    query_A = np.round(target_A + waves(len(target_A), amplitude_A), 3)
    turned_A = query_A @ rotation(np.random.default_rng(1)).T + [30, -5, 11]
    assert tm_superposed(target_A, turned_A, len(target_A)) == pytest.approx(tm_align, abs=2e-5)


def test_lddt_is_what_a_loop_over_all_pairs_says():
    rng = np.random.default_rng(31)
    target_A, query_A = walk(rng, 70), walk(rng, 60)
    query_A[:40] = target_A[5:45] + rng.normal(0, 1.0, (40, 3))
    pairs = np.stack([np.arange(5, 60), np.arange(55)], axis=1)
    place = dict(pairs.tolist())
    kept, total = np.zeros(70), np.zeros(70)
    for i in range(70):
        for j in range(70):
            true_A = np.linalg.norm(target_A[i] - target_A[j])
            if i != j and true_A <= 15:
                total[i] += 4
                if i in place and j in place:
                    off_A = abs(np.linalg.norm(query_A[place[i]] - query_A[place[j]]) - true_A)
                    kept[i] += sum(off_A <= limit for limit in (0.5, 1, 2, 4))
    found = lddt_ca(target_A, query_A, pairs)
    assert found.per_residue == pytest.approx(kept / total)
    assert found.score == pytest.approx(kept.sum() / total.sum())
    lonely = lddt_ca(np.eye(3) * 100, np.eye(3) * 100, np.array([[0, 0]]))
    assert math.isnan(lonely.score)
    assert np.isnan(lonely.per_residue).all()


def test_tm_and_gdt_by_hand():
    d0_A = 1.24 * 85 ** (1 / 3) - 1.8
    assert tm_d0_A(100) == pytest.approx(d0_A)
    assert tm_d0_A(15) == tm_d0_A(3) == 0.5
    apart_A = np.array([0.0, d0_A, 3 * d0_A])
    assert tm_score(apart_A, 100) == pytest.approx((1 + 0.5 + 0.1) / 100)
    apart_A = np.array([0.2, 0.5, 0.9, 1.0, 3.0, 4.1, 8.0, 20.0])
    assert gdt(apart_A, 10) == pytest.approx((4 + 4 + 5 + 7) / 40)
    assert gdt(apart_A, 10, HA_A) == pytest.approx((2 + 4 + 4 + 5) / 40)
    assert tm_score(np.empty(0), 0) == gdt(np.empty(0), 0) == 0


def test_superposition_undoes_a_motion_and_no_mirror():
    rng = np.random.default_rng(32)
    query_A = walk(rng, 50)
    turn, shift_A = rotation(rng), np.array([100.0, -7, 3])
    target_A = query_A @ turn.T + shift_A
    found, by_A = superposition(target_A, query_A)
    assert found == pytest.approx(turn)
    assert by_A == pytest.approx(shift_A)
    mirrored, _ = superposition(-target_A, query_A)
    assert np.linalg.det(mirrored) == pytest.approx(1)
    assert tm_superposed(target_A, query_A, 50) == pytest.approx(1)
    assert tm_superposed(-target_A, query_A, 50) < 0.5


def test_tm_search_finds_the_larger_of_two_bodies():
    rng = np.random.default_rng(33)
    target_A = walk(rng, 160)
    query_A = target_A.copy()
    query_A[100:] = query_A[100:] @ rotation(rng).T + 200
    query_A[:100] = query_A[:100] @ rotation(rng).T - 90
    assert tm_superposed(target_A, query_A, 200) == pytest.approx(0.5, abs=2e-3)
    assert tm_superposed(target_A[:2], query_A[:2], 200) == tm_score(
        np.linalg.norm(target_A[:2] - query_A[:2], axis=1), 200
    )


def test_tm_search_leaves_out_what_is_displaced_everywhere():
    rng = np.random.default_rng(38)
    target_A = walk(rng, 120)
    kept = rng.random(120) < 0.65  # no stretch is free of displaced residues
    query_A = target_A + rng.normal(0, np.where(kept, 0.3, 9.0)[:, None], (120, 3))
    turn, by_A = superposition(target_A[kept], query_A[kept])
    known = tm_score(np.linalg.norm(query_A @ turn.T + by_A - target_A, axis=1), 120)
    query_A = query_A @ rotation(rng).T + [60, 0, 9]
    assert known > 0.6
    assert tm_superposed(target_A, query_A, 120) == pytest.approx(known, abs=2e-3)


def test_superposed_is_never_below_the_map_frame():
    for seed in range(20):
        rng = np.random.default_rng([seed, 34])
        target_A = walk(rng, 30)
        query_A = target_A + rng.normal(0, rng.choice([0.1, 1, 5, 30]), (30, 3))
        in_map = tm_score(np.linalg.norm(target_A - query_A, axis=1), 40)
        assert tm_superposed(target_A, query_A, 40) >= in_map


def test_coverage_counts_by_chain():
    rng = np.random.default_rng(35)
    target = [ca_chain(n, letters(rng, 40), walk(rng, 40) + 60.0 * k) for k, n in enumerate("ABC")]
    shift_A = np.zeros((30, 3))
    shift_A[:8, 1] = 3.5  # mapped, not near
    query = [
        moved(part(target[0], slice(5, 35)), shift_A, "x"),
        part(target[1], slice(0, 20), "y"),
        part(target[1], slice(20, 40), "z"),
    ]
    found = chain_coverage(target, query, map_chains(target, query))
    assert found[0] == ("A", ("x",), 40, 30, 22, 22)
    assert found[1] == ("B", ("y", "z"), 40, 40, 40, 40)
    assert found[2] == ("C", (), 40, 0, 0, 0)
    assert found[0].as_json()["coverage"] == 22 / 40


def test_status_tells_right_wrong_and_alone():
    rng = np.random.default_rng(36)
    chain = ca_chain("A", letters(rng, 30), walk(rng, 30))
    wrong = part(chain, slice(0, 20))
    # residues 10..19 lie where 20..29 belong, and one extra lies nowhere
    xyz_A = np.concatenate([chain.xyz_A[:10], chain.xyz_A[20:30], [[500.0, 0, 0]]])
    named = ("A" if wrong.letters[0] != "A" else "G") + wrong.letters[1:] + "G"
    query = ca_chain("A", named, xyz_A, [*range(1, 21), 99])
    found = residue_status([chain], [query], evaluate_chains([chain], [query]))
    right, placed, alone = Status.RIGHT, Status.PLACED, Status.ALONE
    assert found.query.tolist() == [placed] + [right] * 9 + [placed] * 10 + [alone]
    assert found.target.tolist() == [placed] + [right] * 9 + [alone] * 10 + [placed] * 10


def test_geometry_counts_outliers_clashes_and_fragments():
    x = np.array([0, 3.8, 7.6, 10.55, 14.35, 19.0, 22.8, 26.6, 30.4])  # 2.95 cis, 4.65 outlier
    xyz_A = np.stack([x, np.zeros(9), np.zeros(9)], axis=1)
    numbers = [1, 2, 3, 4, 5, 6, 7, 9, 10]
    chain = ca_chain("A", "AAAAAAAAA", xyz_A, numbers)
    other = ca_chain("B", "AA", np.array([[0, 2.9, 0], [0, 2.9, 3.8]]))
    found = geometry([chain, other])
    assert found == (7 + 1, 1, 1, 4, 5)
    label = type(chain)(**{**vars(chain), "label_number": np.arange(1, 10)})
    assert geometry([label]) == (8, 1, 0, 2, 5)
    assert geometry([ca_chain("A", "A", np.zeros((1, 3)))]) == (0, 0, 0, 1, 1)
    close = np.array([[0.0, 0, 0], [2.5, 0, 0]])
    assert geometry([ca_chain("A", "AA", close, [1, 5])]) == (0, 0, 1, 2, 1)
    assert geometry([ca_chain("A", "AA", close, [4, 4])]) == (0, 0, 1, 2, 1)
    inserted = type(chain)(**{**vars(ca_chain("A", "AA", close, [4, 4]))})
    inserted.number[1] += ord("A") - ord(" ")
    assert geometry([inserted]) == (1, 1, 0, 1, 2)


def test_deposited_models_have_no_outlier(shared_data):
    for name in ("7kjr.pdb", "1igy.cif", "8hb0.pdb"):
        found = geometry(read_chains(shared_data / "models" / name))
        assert found.n_bonds > 400
        assert (found.n_outliers, found.n_clashes) == (0, 0)


def test_a_model_against_itself_is_perfect(shared_data):
    path = shared_data / "models" / "1igy.cif"
    document = evaluate(path, path).as_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    for key in ("tm_map_frame", "tm_superposed", "gdt_map_frame", "gdt_ha_map_frame", "lddt_ca"):
        assert document[key] == pytest.approx(1)
    assert (document["found_percent"], document["far"], document["sequence_recall"]) == (100, 0, 1)
    assert document["mapping"] == "number"
    assert [one["f1"] for one in document["one_to_one"]] == [1, 1, 1]


def test_sequence_recall_wants_the_own_residue():
    rng = np.random.default_rng(37)
    chain = ca_chain("A", letters(rng, 50), walk(rng, 50))
    named = list(chain.letters)
    named[3] = "A" if named[3] != "A" else "G"
    query = ca_chain("A", "".join(named), chain.xyz_A)
    found = evaluate_chains([chain], [query])
    assert found.sequence_recall == 49 / 50
    assert found.placed[0].as_json()["amino_recall"] == 49 / 50
    assert found.comparison.whole.sequence_match_percent == 98
