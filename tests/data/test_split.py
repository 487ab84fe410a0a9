"""Components against brute force, their splits stable by property, and proteins of entries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2s_data.errors import ConfigError
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.splitting.assignment import (
    Shares,
    age_key,
    counts,
)
from c2s_data.splitting.components import (
    assign_components,
    cluster_labels,
    join_any,
    join_shared,
)
from c2s_data.splitting.proteins import comparable, proteins_of, sequences_of


def entry(number: int, resolution_A: float | None = 3.0, **more) -> CatalogEntry:
    name = f"EMD-{number:04d}"
    return CatalogEntry(name, "a.map", "a.cif", resolution_A, emdb_id=name, **more)


def splits_of(made) -> dict[str, str | None]:
    return {item.entry_id: item.split for item in made}


def test_age_goes_by_number() -> None:
    entries = [entry(22898), entry(9012), CatalogEntry("EMD-1", "a", "b", 3.0), entry(93)]
    names = [item.entry_id for item in sorted(entries, key=age_key)]
    assert names == ["EMD-0093", "EMD-9012", "EMD-22898", "EMD-1"]


# Entries as sets of made proteins; equal letters are equal proteins.
KINDS = {letter: letter * 40 for letter in "ARNDCQEGHIKL"}
ENTRIES = st.lists(st.sets(st.sampled_from(sorted(KINDS)), max_size=3), min_size=1, max_size=14)


def components_of(chains: list[list[str]]) -> np.ndarray:
    proteins = proteins_of(chains)
    return join_any(proteins, np.arange(len(proteins.sequences)))


def brute_components(chains: list[set[str]]) -> list[frozenset[int]]:
    groups = [({i}, set(found)) for i, found in enumerate(chains)]
    merged = True
    while merged:
        merged = False
        for a, b in itertools.combinations(range(len(groups)), 2):
            if groups[a][1] & groups[b][1]:
                groups[a] = (groups[a][0] | groups[b][0], groups[a][1] | groups[b][1])
                del groups[b]
                merged = True
                break
    return sorted((frozenset(members) for members, _ in groups), key=min)


@given(ENTRIES)
def test_components_are_those_of_brute_force(chains: list[set[str]]) -> None:
    labels = components_of([[KINDS[x] for x in found] for found in chains])
    found = {label: frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels)}
    assert sorted(found.values(), key=min) == brute_components(chains)


@given(ENTRIES, ENTRIES, st.integers(0, 5), st.randoms(use_true_random=False))
def test_added_entries_move_no_old_one_unless_components_merge(before, added, seed, order) -> None:
    old = [entry(1000 + i) for i in range(len(before))]
    new = old + [entry(5000 + i) for i in range(len(added))]
    chains = [[KINDS[x] for x in sorted(found)] for found in before + added]
    first, _ = assign_components(old, components_of(chains[: len(old)]), Shares(0.3, 0.3), seed)
    rows = list(range(len(new)))
    order.shuffle(rows)
    second, _ = assign_components(
        [new[i] for i in rows], components_of([chains[i] for i in rows]), Shares(0.3, 0.3), seed
    )
    then, now = {a.entry_id: a for a in first}, {a.entry_id: a for a in second}
    joined = {now[name].component: set() for name in then}
    for name, item in then.items():
        joined[now[name].component].add(item.component)
    for name, item in then.items():
        sides = ((first, item.component), (second, now[name].component))
        if any(2 * sum(a.component == c for a in made) > len(made) for made, c in sides):
            assert now[name].split == "train" or item.split == "train"
        elif len(joined[now[name].component]) == 1:
            assert (now[name].split, now[name].component) == (item.split, item.component)
    by_component: dict[str, set[str | None]] = {}
    for item in second:
        by_component.setdefault(item.component, set()).add(item.split)
    assert all(len(found) == 1 for found in by_component.values())


@given(ENTRIES, ENTRIES, st.integers(0, 5))
def test_with_the_previous_split_older_entries_move_nothing_either(before, added, seed) -> None:
    old = [entry(5000 + i) for i in range(len(before))]
    new = [entry(1000 + i) for i in range(len(added))] + old  # Older than all there were.
    chains = [[KINDS[x] for x in sorted(found)] for found in added + before]
    first, _ = assign_components(old, components_of(chains[len(added) :]), Shares(0.3, 0.3), seed)
    previous = {item.entry_id: item.split for item in first}
    second, moved = assign_components(
        new, components_of(chains), Shares(0.3, 0.3), seed, previous=previous
    )
    now = {item.entry_id: item for item in second}
    differing = {name for name, split in previous.items() if now[name].split != split}
    assert {move.entry_id for move in moved} == differing
    for name in differing:
        together = [o for o in previous if now[o].component == now[name].component]
        votes = [previous[other] for other in together]
        assert votes.count(now[name].split) >= votes.count(previous[name])
        assert len(set(votes)) > 1


def test_held_out_entries_take_their_component_along() -> None:
    entries = [entry(1000), entry(1001), entry(1002)]
    made, moved = assign_components(
        entries, np.array([4, 4, 7]), Shares(0, 0), 0, held_out=frozenset({"EMD-1001"}),
        previous={"EMD-1000": "train", "EMD-1002": "validation"},
    )  # fmt: skip
    assert splits_of(made) == {"EMD-1000": "test", "EMD-1001": "test", "EMD-1002": "validation"}
    assert [item.reason for item in made] == [
        "shares a protein with held-out EMD-1001", "held-out list", "as before",
    ]  # fmt: skip
    assert [(move.entry_id, move.was, move.now) for move in moved] == [
        ("EMD-1000", "train", "test")
    ]


def test_most_of_the_entries_can_only_be_trained_on() -> None:
    entries = [entry(1000 + i) for i in range(7)]
    shares = Shares(0, 0.999)
    made, _ = assign_components(entries, np.array([0, 0, 0, 0, 1, 1, 1]), shares, 0)
    assert [item.split for item in made] == ["train"] * 4 + ["test"] * 3
    assert made[0].reason == "component of more than half of the entries"
    half, _ = assign_components(entries[1:], np.array([0, 0, 0, 1, 1, 1]), shares, 0)
    assert {item.split for item in half} == {"test"}


def test_shares_come_out_about_right() -> None:
    entries = [entry(10000 + i) for i in range(6000)]
    made, _ = assign_components(entries, np.arange(6000), Shares(0.1, 0.05), 1)
    found = counts(made)
    assert found["validation"] == pytest.approx(600, abs=75)
    assert found["test"] == pytest.approx(300, abs=55)
    with pytest.raises(ConfigError, match="leave something to train on"):
        Shares(0.6, 0.4)


@given(
    st.lists(
        st.dictionaries(st.sampled_from("ARND"), st.integers(1, 4), max_size=3),
        min_size=1,
        max_size=9,
    ),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_joining_by_shared_residues_is_what_the_definition_says(held, share) -> None:
    chains = [[KINDS[x] for x, n in found.items() for _ in range(n)] for found in held]
    proteins = proteins_of(chains)
    cluster = np.arange(len(proteins.sequences))
    labels = join_shared(proteins, cluster, share)
    links = []
    for a, b in itertools.permutations(range(len(held)), 2):
        if not set(held[a]) & set(held[b]):
            continue
        small, large = sum(held[a].values()), sum(held[b].values())
        common = sum(n for x, n in held[a].items() if x in held[b])
        if small <= large and common >= share * small:
            links.append((a, b))
    expected = cluster_labels(len(held), np.array(links, np.int64).reshape(-1, 2))
    assert len(set(zip(labels.tolist(), expected.tolist(), strict=True))) == len(set(expected))
    assert len(set(labels.tolist())) == len(set(expected.tolist()))


def test_what_of_a_chain_is_compared() -> None:
    assert comparable("acdefghiklmnpqrstvwyac") == "ACDEFGHIKLMNPQRSTVWYAC"
    assert comparable("XX(MSE)" + "A" * 10 + "UB" + "C" * 10 + "XXX*") == "A" * 10 + "XX" + "C" * 10
    assert comparable("A" * 19 + "X" * 50) == ""
    assert comparable("HHHHHH") == ""


def test_sequences_come_from_the_fasta_with_all_copies(tmp_path) -> None:
    protein, other = "MKV" * 12, "MSTAYWQ" * 5
    text = f">1_1|Chains A, B[auth X]|p|\n{protein}\n>1_2|Chain C|q|\n{other}\n"
    text += ">1_3|Chain D|RNA|\nGGCUAAUCCGGAUNACGUACGUACG\n>1_4|Chain E|DNA|\n" + "(DA)(DC)GT" * 8
    (tmp_path / "a.fasta").write_text(text)
    chains = sequences_of(entry(1000, sequence=str(tmp_path / "a.fasta")))
    assert chains == (protein, protein, other)
    proteins = proteins_of([chains, [other]])
    assert proteins.sequences == (protein, other)
    assert proteins.entry.tolist() == [0, 0, 1]
    assert proteins.residues.tolist() == [72, 35, 35]
