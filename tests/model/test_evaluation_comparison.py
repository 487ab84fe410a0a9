"""The chain comparison against cctbx's numbers and against the description, word by word."""

from __future__ import annotations

import numpy as np
import pytest
from made_backbones import ca_chain, letters, moved, part, walk, waves, write_ca

from c2s_data.errors import ModelError
from c2s_data.sources.procedural import procedural_protein
from c2s_data.sources.simulate import write_model
from c2s_model.evaluation.chain_comparison import compare, compare_chains
from c2s_model.evaluation.chains import joined_xyz_A, read_chains
from c2s_model.evaluation.unique_part import chain_kinds, similarity, unique_part

# Reference page, section 12, "cctbx's chain_comparison gives"
PUBLISHED = {
    ("8hb0", "34610"): (476, 1.2471020592631898, 77.39837398373983, 55.88235294117647, 314),
    ("34610", "8hb0"): (477, 1.0813056922073427, 60.379746835443036, 53.24947589098532, 138),
}
FILES = {"8hb0": "8hb0.pdb", "34610": "34610_cryo2struct_full_conf_score.pdb"}

# cctbx-base 2025.11: pairs, RMSD, found, sequence match, far, forward, reverse, unaligned,
# forward fragments; of 7KJR with waves of 1.0 and 2.4 A, and of 7BV2 (chains in reverse order, one
# residue of seven missing) with waves of 1.5 A, all written as C-alphas in PDB format.
CCTBX = {
    ("7kjr", 1.0, False): (448, 1.2233102485819827, 100.0, 100.0, 0, 448, 0, 0, 1),
    ("7kjr", 2.4, False): (
        286, 2.2848985188096953, 63.839285714285715, 58.39160839160839, 162, 84, 30, 172, 31
    ),
    ("7kjr", 2.4, True): (
        294, 2.3237603322271974, 65.625, 63.265306122448976, 154, 101, 36, 157, 36
    ),
    ("7bv2", 1.5, False): (
        862, 1.8492619155356511, 85.26211671612265, 95.93967517401393, 5, 673, 18, 171, 143
    ),
    ("7bv2", 1.5, True): (
        864, 1.8664870151645248, 99.65397923875433, 94.67592592592592, 147, 690, 12, 162, 144
    ),
}  # fmt: skip


def numbers(found):
    return (
        len(found.pairs),
        found.rmsd,
        found.found_percent,
        found.sequence_match_percent,
        found.far,
        *found.directions,
    )


@pytest.mark.parametrize("roles", list(PUBLISHED), ids=" ".join)
def test_published_output_scores_as_cctbx_says(shared_data, roles):
    target, query = (read_chains(shared_data / "models" / FILES[name]) for name in roles)
    whole = compare_chains(target, query).whole
    assert numbers(whole)[:5] == pytest.approx(PUBLISHED[roles], abs=1e-9, rel=0)


@pytest.mark.parametrize(("name", "amplitude_A", "swapped"), list(CCTBX))
def test_displaced_models_score_as_cctbx_says(shared_data, tmp_path, name, amplitude_A, swapped):
    target = read_chains(shared_data / "models" / f"{name}.pdb")
    shifts_A = np.split(
        waves(sum(map(len, target)), amplitude_A), np.cumsum([len(c) for c in target])[:-1]
    )
    made = [moved(chain, by_A) for chain, by_A in zip(target, shifts_A, strict=True)]
    if name == "7bv2":
        made = [part(chain, np.arange(len(chain)) % 7 != 3) for chain in reversed(made)]
    query = read_chains(write_ca(tmp_path / "query.pdb", made))
    roles = (query, target) if swapped else (target, query)
    expected = CCTBX[name, amplitude_A, swapped]
    assert numbers(compare_chains(*roles).whole) == pytest.approx(expected, abs=1e-9, rel=0)


def as_described(target, query):
    """Pair as the reference page says, one query C-alpha after another."""
    used, pairs = [], []
    for i, point in enumerate(query):
        apart = np.sqrt(((target - point) ** 2).sum(axis=1))
        j = int(np.argmin(apart))
        if j in used:
            elsewhere = target.copy()
            elsewhere[j] += 8.0
            apart = np.sqrt(((elsewhere - point) ** 2).sum(axis=1))
            j = int(np.argmin(apart))
            if j in used:
                continue
        if apart[j] > 3.0:
            continue
        used.append(j)
        pairs.append((j, i))
    return np.array(pairs).reshape(-1, 2)


@pytest.mark.parametrize("grid_A", [0.0, 1.0, 2.0])
def test_pairs_are_those_of_the_description(grid_A):
    for seed in range(30):
        rng = np.random.default_rng([seed, 17])
        target = rng.uniform((-3, 5, 100), (12, 17, 109), (rng.integers(1, 60), 3))
        query = rng.uniform((-3, 5, 100), (12, 17, 109), (rng.integers(1, 60), 3))
        if grid_A:  # many equal distances
            target, query = np.round(target / grid_A) * grid_A, np.round(query / grid_A) * grid_A
        names = np.array(["ALA"] * 60)
        found = compare(target, names[: len(target)], query, names[: len(query)])
        assert found.pairs.tolist() == as_described(target, query).tolist()


def test_runs_forward_and_backward_are_told_apart():
    xyz_A = np.arange(12)[:, None] * [3.8, 0.0, 0.0]
    names = np.array(list("ABCDEFGHIJKL"))
    order = [0, 1, 2, 3, 7, 6, 5, 4, 9, 8, 11, 10]
    found = compare(xyz_A, names, xyz_A[order], names)
    # 0-3 forward; 7-4 goes back, but a run is on, so its first pair stands alone
    assert found.directions == (4, 5, 3, 1)
    assert found.sequence_match_percent == pytest.approx(100 * 4 / 12)
    assert found.input_fragments == 4  # steps of 4 x 3.8 and 5 x 3.8 A, and of 3 x 3.8 A


def test_nothing_near_is_no_pair_and_no_rmsd():
    rng = np.random.default_rng(2)
    chain = ca_chain("A", letters(rng, 20), walk(rng, 20))
    found = compare_chains([chain], [moved(chain, np.array([500.0, 0, 0]))]).whole
    assert (found.pairs.shape, found.rmsd, found.far) == ((0, 2), None, 20)
    assert found.as_json()["rmsd"] is None


def test_hetero_residues_are_left_out_here_and_kept_elsewhere(tmp_path):
    protein = procedural_protein(7, 95)
    write_model(tmp_path / "plain.cif", protein)
    for number, residue in enumerate(protein[0]["A"]):
        residue.het_flag = "H" if number % 5 == 2 else "A"
    write_model(tmp_path / "hetero.cif", protein)
    plain, hetero = (read_chains(tmp_path / f"{name}.cif") for name in ("plain", "hetero"))
    assert [len(chain) for chain in hetero] == [95, 95]
    whole = compare_chains(hetero, plain).whole
    assert (whole.n_target, whole.n_query, len(whole.pairs)) == (190 - 19, 190, 190 - 19)


def test_two_of_each_kind_become_one_of_each_nearest_to_the_query():
    rng = np.random.default_rng(4)
    first, second = letters(rng, 60), letters(rng, 25)
    heavy, light = walk(rng, 60), walk(rng, 25)
    away = np.array([70.0, 0, 0])
    target = [
        ca_chain("A", first, heavy),
        ca_chain("B", first, heavy + away),
        ca_chain("C", second, light + away),
        ca_chain("D", second, light),
    ]
    query = [moved(target[1], np.zeros(3)), moved(target[2], np.zeros(3))]
    found = compare_chains(target, query)
    assert found.unique_chains == ("B", "C")
    assert (found.whole.found_percent, found.unique.found_percent) == (50.0, 100.0)
    assert (found.mode, found.better) == ("unique", found.unique)
    assert compare_chains(target, target).mode == "whole"


def test_unique_part_keeps_all_where_the_smallest_number_divides_not_all():
    points = [np.zeros((3, 3)) + k for k in range(5)]
    assert unique_part(["AAC", "AAC", "GGW", "GGW", "GGW"], points, np.zeros((1, 3))) == [
        0, 1, 2, 3, 4,
    ]  # fmt: skip
    six = [*points, np.full((3, 3), -0.5)]
    kinds = ["AAC", "GGW", "GGW", "AAC", "GGW", "GGW"]
    assert chain_kinds(kinds) == [[0, 3], [1, 2, 4, 5]]
    assert unique_part(kinds, six, np.zeros((1, 3))) == [0, 1, 5]


def test_similarity_is_equal_residues_over_the_longer():
    rng = np.random.default_rng(5)
    whole = letters(rng, 200)
    assert similarity(whole, whole) == 1.0
    assert similarity(whole, whole[3:]) == pytest.approx(197 / 200)
    assert similarity(whole[:100] + whole[101:], whole) == pytest.approx(199 / 200)
    assert similarity("A" * 10, "A" * 100) == 0.1
    assert len(chain_kinds([whole, whole[2:], whole[3:]])) == 2


def test_all_kinds_of_residues_are_read(shared_data):
    selenium = read_chains(shared_data / "models" / "1ema.cif")[0]
    named = dict(zip(selenium.residue_name.tolist(), selenium.letters, strict=True))
    assert (named["MSE"], named["TRP"]) == ("M", "W")
    antibody = read_chains(shared_data / "models" / "1igy.cif")
    assert all(len(np.unique(chain.number)) == len(chain) for chain in antibody)  # 52, 52A
    assert len(joined_xyz_A(antibody)) == sum(map(len, antibody))


def test_a_file_without_a_c_alpha_is_refused(tmp_path):
    path = tmp_path / "rna.pdb"
    path.write_text(
        "ATOM      1  P     A A   1      11.000  12.000  13.000  1.00  0.00           P\n"
    )
    with pytest.raises(ModelError, match="no C-alpha"):
        read_chains(path)
