"""Which chain stands for which: against every permutation, and the ways of numbering."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from made_backbones import ca_chain, letters, moved, part, walk

from c2s_model.evaluation.chain_mapping import map_chains
from c2s_model.evaluation.chains import joined_xyz_A
from c2s_model.evaluation.correspondence import align, masked, pairs_by_number
from c2s_model.evaluation.evaluate import evaluate_chains

UP_A = np.array([0.0, 0.0, 45.0])


def near(target, query, mapping):
    gap_A = joined_xyz_A(target)[mapping.pairs[:, 0]] - joined_xyz_A(query)[mapping.pairs[:, 1]]
    return int((np.linalg.norm(gap_A, axis=1) <= 3).sum())


@pytest.fixture
def copies():
    """Return three copies of one chain and two of another, each displaced."""
    rng = np.random.default_rng(21)
    one, two = letters(rng, 40), letters(rng, 30)
    first, second = walk(rng, 40), walk(rng, 30)
    target = [ca_chain(name, one, first + k * UP_A) for k, name in enumerate("ABC")]
    return target + [ca_chain(n, two, second + (k + 4) * UP_A) for k, n in enumerate("DE")]


def test_no_permutation_of_copies_is_better(copies):
    rng = np.random.default_rng(22)
    for _ in range(6):
        # every copy lies partly on several target chains: which is best is not obvious
        query = []
        for chain in copies:
            other = copies[rng.choice(3)] if len(chain) == 40 else copies[3 + rng.choice(2)]
            some = rng.random(len(chain)) < 0.5
            xyz_A = np.where(some[:, None], chain.xyz_A, other.xyz_A) + rng.normal(
                0, 1, (len(chain), 3)
            )
            query.append(ca_chain(chain.name, chain.letters, xyz_A))
        query = [query[k] for k in rng.permutation(5)]
        best = 0
        for order in permutations(range(5)):
            chosen = [(t, q) for t, q in enumerate(order) if len(query[q]) == len(copies[t])]
            if len(chosen) == 5:
                gaps = [np.linalg.norm(copies[t].xyz_A - query[q].xyz_A, axis=1) for t, q in chosen]
                best = max(best, sum(int((gap <= 3).sum()) for gap in gaps))
        mapping = map_chains(copies, query)
        assert near(copies, query, mapping) == best
        assert mapping.method == "number"
        assert len(np.unique(mapping.pairs[:, 1])) == len(mapping.pairs) == 180


def test_residues_in_place_go_before_a_fair_fit_of_all(copies):
    xyz_A = copies[1].xyz_A + np.array([0, 3.5, 0])  # 40 terms of 0.48, none within 3 A
    xyz_A[:10] = copies[0].xyz_A[:10]
    query = [ca_chain("A", copies[0].letters, xyz_A)]
    (chosen,) = map_chains(copies[:2], query).chains
    assert chosen.target == 0


def test_copies_far_from_everything_still_map(copies):
    query = [moved(chain, np.array([9.0, 0, 0])) for chain in copies[:3]]
    mapping = map_chains(copies[:3], [query[2], query[0], query[1]])
    assert [(m.target, m.query) for m in mapping.chains] == [(0, 1), (1, 2), (2, 0)]


def test_one_chain_with_its_own_numbers_is_cut_into_the_targets_chains(copies):
    joined = "".join(chain.letters for chain in copies)
    rng = np.random.default_rng(23)
    xyz_A = joined_xyz_A(copies) + rng.normal(0, 0.3, (len(joined), 3))
    query = [ca_chain("A", joined, xyz_A, range(len(joined)))]
    # what the target lacks, the query has: it was made from the full sequence
    target = [part(chain, np.r_[4:18, 25 : len(chain)]) for chain in copies]
    mapping = map_chains(target, query)
    assert mapping.method == "alignment"
    kept = np.concatenate([np.r_[4:18, 25 : len(chain)] + start for chain, start in
                           zip(copies, np.cumsum([0, 40, 40, 40, 30]), strict=True)])  # fmt: skip
    assert mapping.pairs.tolist() == [[row, place] for row, place in enumerate(kept.tolist())]


def test_fragments_written_as_chains_fill_one_chain(copies):
    chain = copies[0]
    query = [
        part(chain, slice(0, 12), "a"),
        part(chain, slice(12, 30), "b"),
        part(chain, slice(33, 40), "c"),
    ]
    mapping = map_chains(copies[:1], query)
    assert len(mapping.pairs) == 37
    assert near(copies[:1], query, mapping) == 37
    # a whole copy elsewhere takes no residue that another one has
    mapping = map_chains(copies[:1], [*query, copies[1]])
    assert len(mapping.pairs) == near(copies[:1], [*query, copies[1]], mapping) == 37
    # nor does the same chain a second time
    mapping = map_chains(copies[:1], [chain, *query])
    assert mapping.pairs.tolist() == [[k, k] for k in range(40)]


def test_a_trace_of_something_else_maps_nowhere():
    rng = np.random.default_rng(24)
    target = [ca_chain("A", letters(rng, 300), walk(rng, 300))]
    query = [ca_chain("A", letters(rng, 300), target[0].xyz_A, range(1000, 1300))]
    found = evaluate_chains(target, query)
    assert (found.mapping.method, len(found.mapping.pairs)) == ("none", 0)
    document = found.as_json()
    assert (document["pairs"], document["mapping"]) == (300, "none")
    assert (document["tm_map_frame"], document["tm_superposed"], document["lddt_ca"]) == (0, 0, 0)


def test_numbers_decide_only_where_the_residues_agree():
    rng = np.random.default_rng(25)
    sequence = letters(rng, 60)
    target = ca_chain("A", sequence, walk(rng, 60), range(11, 71))
    same = part(target, np.r_[5:20, 30:50])
    assert pairs_by_number(target, same).tolist() == [
        [row, place] for place, row in enumerate([*range(5, 20), *range(30, 50)])
    ]
    shifted = ca_chain("A", sequence, target.xyz_A, range(12, 72))
    assert pairs_by_number(target, shifted) is None
    assert map_chains([target], [shifted]).method == "alignment"
    assert map_chains([target], [shifted]).pairs.tolist() == [[k, k] for k in range(60)]
    twice = ca_chain("A", sequence, target.xyz_A, [7] * 60)
    assert pairs_by_number(target, twice) is None


def test_numbers_of_the_sequence_correspond_to_numbers_of_the_author():
    rng = np.random.default_rng(26)
    target = ca_chain("A", letters(rng, 50), walk(rng, 50), range(301, 351))
    target = type(target)(**{**vars(target), "label_number": np.arange(8, 58)})
    query = ca_chain("B", target.letters, target.xyz_A, range(8, 58))
    assert pairs_by_number(target, query).tolist() == [[k, k] for k in range(50)]


def test_alignment_needs_more_than_chance_and_skips_what_is_masked():
    rng = np.random.default_rng(27)
    one, other = letters(rng, 400), letters(rng, 400)
    assert align(one, other) is None
    found = align(one[100:200], other + one[90:210])
    assert found.pairs.tolist() == [[k, 410 + k] for k in range(100)]
    assert found.score == 200
    assert align(one[100:200], masked(other + one[90:210], np.arange(400, 520))) is None
    assert align("ARNDC", "GGARNDCGG").pairs.tolist() == [[k, 2 + k] for k in range(5)]
