"""Leakage: planted relatives counted by hand, none left by clusters, and the split of a store."""

from __future__ import annotations

import csv
import itertools
import json
import shutil

import numpy as np
import pytest
from grown_store import FAILED, WITHDRAWN, make_first_generation, make_grown_store
from made_families import made_protein, plain_alignment, relative
from memory_objects import MemoryObjects
from pairs import write_catalog
from typer.testing import CliRunner

from c2s_data import leakage as leakage_module
from c2s_data.cli import app, splitting  # noqa: F401 - registers its command
from c2s_data.errors import ConfigError
from c2s_data.leakage import THRESHOLDS, measure_leakage, split_numbers
from c2s_data.sequence_clusters import BuiltIn, choose_engine
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.split import SplitOptions, cluster_split, with_leakage
from c2s_data.split_store import split_plan, split_store
from c2s_data.splitting.assignment import Assignment, Shares
from c2s_data.splitting.proteins import proteins_of
from c2s_data.store.begin import load_plan
from c2s_data.store.generation import latest_generation


@pytest.fixture(params=["mmseqs", "builtin"])
def engine(request):
    if request.param == "mmseqs" and shutil.which("mmseqs") is None:
        pytest.skip("mmseqs (Debian package mmseqs2) is not installed")
    return choose_engine(request.param)


def entries(n: int) -> list[CatalogEntry]:
    return [CatalogEntry(f"EMD-{1000 + i}", "a", "b", 3.0, f"EMD-{1000 + i}") for i in range(n)]


def catalog(seed: int, n_families: int = 5) -> list[list[str]]:
    """Chains of entries: each has a family's protein at some identity, some a stranger as well."""
    rng = np.random.default_rng(seed)
    chains = []
    for number in range(n_families):
        first = made_protein(rng, 110 + 13 * number)
        more = [first] * (number % 2)
        chains += [[relative(rng, first, share), *more] for share in (1.0, 0.95, 0.6, 0.38)]
    chains += [[made_protein(rng, 100)] for _ in range(4)] + [[]]
    return chains


def test_the_matrix_counts_what_was_planted(engine) -> None:
    rng = np.random.default_rng(0)
    p, q, r = (made_protein(rng, n) for n in (150, 170, 130))
    chains = [
        [p, p, q],  # train
        [r],  # train
        [relative(rng, p, 0.6)],  # validation: 60 % to p
        [q, "A" * 12],  # test: equal to q
        [relative(rng, q, 0.94), made_protein(rng, 90)],  # test: 94 % to q
        [p],  # in no split
    ]
    made = [
        Assignment(item.entry_id, word, "")
        for item, word in zip(
            entries(6), ["train", "train", "validation", "test", "test", None], strict=True
        )
    ]
    found = with_leakage(made, proteins_of(chains), engine).leakage
    assert found is not None
    # Rows and columns: train, validation, test. Residues of train: p twice is 300, q 170.
    at_30, at_50, at_90, at_100 = found.entries
    assert at_30.tolist() == [[0, 1, 1], [1, 0, 0], [2, 0, 0]]
    assert at_50.tolist() == at_30.tolist()
    assert at_90.tolist() == [[0, 0, 1], [0, 0, 0], [2, 0, 0]]
    assert at_100.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert found.residues[0].tolist() == [[0, 300, 170], [150, 0, 0], [340, 0, 0]]
    assert found.residues[3].tolist() == [[0, 0, 170], [0, 0, 0], [170, 0, 0]]
    assert found.total_entries.tolist() == [2, 1, 2]
    assert found.total_residues.tolist() == [600, 150, 430]
    assert found.n_pairs == 3  # p with its relative, q with itself and with its relative
    assert THRESHOLDS == (0.3, 0.5, 0.9, 1.0)


def test_a_protein_of_two_splits_has_relatives_in_the_third() -> None:
    rng = np.random.default_rng(12)
    q = made_protein(rng, 140)
    chains = [[q], [relative(rng, q, 0.6)], [q]]
    made = [Assignment(f"EMD-{i}", s, "") for i, s in enumerate(("train", "validation", "test"))]
    found = with_leakage(made, proteins_of(chains), BuiltIn()).leakage
    assert found.entries[1].tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert found.entries[2].tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert found.n_pairs == 2


def test_clusters_leave_no_pair_that_plain_alignments_find(engine) -> None:
    chains = catalog(1)
    result = cluster_split(
        entries(len(chains)), proteins_of(chains), engine, SplitOptions(Shares(0.3, 0.3), seed=3)
    )
    assert result.leakage is not None
    assert result.leakage.n_pairs == 0
    assert not result.leakage.entries.any()
    splits = [item.split for item in result.assignments]
    assert set(splits) == {"train", "validation", "test"}
    n_checked = 0
    for a, b in itertools.combinations(range(len(chains)), 2):
        for first, second in itertools.product(chains[a], chains[b]):
            if splits[a] == splits[b]:
                continue
            score, identity, coverage = plain_alignment(first[:80], second[:80])
            assert not (score >= 92 and identity >= 0.3 and coverage >= 0.8)
            n_checked += 1
    assert n_checked > 100
    components = {item.component for item in result.assignments}
    assert len(components) == 5 + 4 + 1


def test_what_clusters_miss_is_found_between_the_splits_and_joined() -> None:
    class Blind(BuiltIn):
        """Its clusters hold equal proteins only."""

        def links(self, sequences):
            return np.empty((0, 2), np.int64)

    chains = catalog(2)
    options = SplitOptions(Shares(0.3, 0.3), seed=1)
    proteins = proteins_of(chains)
    result = cluster_split(entries(len(chains)), proteins, Blind(), options)
    assert result.leakage.n_pairs == 0
    splits = [item.split for item in result.assignments]
    assert measure_leakage(proteins, split_numbers(splits), BuiltIn()).n_pairs == 0
    assert len(set(splits)) > 1


def test_many_proteins_are_searched_by_representatives(engine, monkeypatch) -> None:
    monkeypatch.setattr(leakage_module, "CONDENSE_ABOVE", 3)
    chains = catalog(4, n_families=2)
    options = SplitOptions(Shares(0.3, 0.3), seed=2)
    proteins = proteins_of(chains)
    result = cluster_split(entries(len(chains)), proteins, engine, options)
    assert result.leakage.condensed == engine.name.startswith("MMseqs2")
    monkeypatch.setattr(leakage_module, "CONDENSE_ABOVE", 10**6)
    whole = with_leakage(result.assignments, proteins, engine).leakage
    assert not whole.condensed
    assert whole.n_pairs == 0


def test_joining_by_shared_residues_leaves_leakage_and_says_so() -> None:
    rng = np.random.default_rng(5)
    common = made_protein(rng, 60)
    chains = [[common, made_protein(rng, 300)] for _ in range(12)]
    strict = cluster_split(entries(12), proteins_of(chains), BuiltIn(), SplitOptions(seed=1))
    assert len({item.component for item in strict.assignments}) == 1
    options = SplitOptions(Shares(0.3, 0.3), seed=1, min_shared=0.3)
    loose = cluster_split(entries(12), proteins_of(chains), BuiltIn(), options)
    assert len({item.component for item in loose.assignments}) == 12
    assert loose.leakage.n_pairs == 1  # the common protein
    of_split = [
        sum(a.split == s for a in loose.assignments) for s in ("train", "validation", "test")
    ]
    assert loose.leakage.entries[3].tolist() == [
        [0, of_split[0], of_split[0]], [of_split[1], 0, of_split[1]], [of_split[2], of_split[2], 0],
    ]  # fmt: skip
    assert loose.leakage.residues[0, 0, 1] == 60 * of_split[0]


def run(*arguments: object, code: int = 0):
    done = CliRunner().invoke(app, ["split", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


@pytest.fixture
def real(tmp_path, shared_data):
    path = write_catalog(tmp_path / "real.csv", shared_data)
    row = shared_data / "pairs" / "emd_20026_zone_apoferritin.mrc.gz"
    with path.open("a") as stream:
        stream.write(f"EMD-99999,{row},{shared_data / 'models' / '7a4m.cif'},1.22,train\n")
    return path


def test_real_pairs_of_one_protein_stay_together(real, tmp_path) -> None:
    out = ["--splits", tmp_path / "s.csv", "-o", tmp_path / "out.csv", "--engine", "builtin"]
    (tmp_path / "held.txt").write_text("5185\nEMD-1234\n")
    picture = tmp_path / "leak.png"
    pytest.importorskip("matplotlib")
    said = run(real, "--held-out", tmp_path / "held.txt", "--picture", picture, *out)
    assert "held-out ids that no entry has: 1: EMD-1234" in said.output
    assert "0 pairs of related proteins" in said.output
    with (tmp_path / "s.csv").open(newline="") as stream:
        rows = {row["entry_id"]: row for row in csv.DictReader(stream)}
    assert rows["EMD-4413"]["component"] == rows["EMD-5185"]["component"] == "EMD-4413"
    assert rows["EMD-99999"]["component"] == rows["EMD-20026"]["component"] == "EMD-20026"
    assert {name for name, row in rows.items() if row["split"] == "test"} == {
        "EMD-4413",
        "EMD-5185",
    }
    assert len({row["component"] for row in rows.values()}) == 10
    assert picture.read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "out.csv").open(newline="") as stream:
        assert {r["emdb_id"]: r["split"] for r in csv.DictReader(stream)} == {
            name: row["split"] for name, row in rows.items()
        }
    document = json.loads(
        run(
            real, "--policy", "id", "--fold", "5", "--engine", "builtin", "--dry-run", "--json"
        ).output
    )
    # EMD-5185 and EMD-5830 are validation; TMV's coat protein of 4413 is in train.
    assert document["leakage"]["entries"][0] == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_an_entry_whose_proteins_cannot_be_read_has_no_split(tmp_path) -> None:
    path = tmp_path / "c.csv"
    (tmp_path / "a.fasta").write_text(">a\n" + "MKVLAW" * 10)
    path.write_text(
        "emdb_id,map,model,resolution_A,sequence\n"
        "EMD-1000,a,b,3,a.fasta\nEMD-1001,a,b,3,gone.fasta\n"
    )
    out = tmp_path / "s.csv"
    said = run(path, "--engine", "builtin", "--splits", out, code=1)
    assert "EMD-1001: proteins not read:" in said.output
    assert out.read_text().splitlines()[2] == "EMD-1001,EMD-1001,,,EMD-1001,proteins unreadable"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "luck"], "choose one of recommended"),
        (["--engine", "luck"], "choose one of auto"),
        (["--policy", "published"], "--list FILE belong together"),
        (["--policy", "id", "--previous", "s.csv"], "--previous is for"),
        (["-o", "x.csv"], "is a store"),
    ],
)
def test_options_that_cannot_stand_together(tmp_path, arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, *arguments)


def test_a_store_gets_a_generation_and_nothing_else_changes() -> None:
    objects = MemoryObjects()
    plan = make_grown_store(objects)
    before = {key: objects.get(key) for key, _ in objects.walk() if "leases" not in key}
    split = {e.entry_id: ("test", "train", None)[i % 3] for i, e in enumerate(plan.live)}
    committed = split_store(objects, split)
    assert committed is not None
    assert (committed.generation, committed.is_new) == (3, True)
    again = split_store(objects, split)
    assert again is not None
    assert (again.generation, again.is_new) == (3, False)
    now = load_plan(objects)
    assert {e.entry_id: e.entry.split for e in now.live} == split
    assert [e.fingerprint for e in now.entries] == [e.fingerprint for e in plan.entries]
    assert now.fingerprint == plan.fingerprint
    gone = next(e for e in now.entries if e.entry_id == WITHDRAWN)
    assert gone == next(e for e in plan.entries if e.entry_id == WITHDRAWN)
    assert FAILED in split
    changed = {key for key, data in before.items() if objects.get(key) != data}
    assert all("plan" in key or "LATEST" in key for key in changed), changed


def test_a_store_that_grew_meanwhile_is_not_split_by_half() -> None:
    objects = MemoryObjects()
    plan = make_first_generation(objects)
    with pytest.raises(ConfigError, match="joined the store while"):
        split_plan(plan, {plan.live[0].entry_id: "train"})
    with pytest.raises(ConfigError, match="run the command again"):
        split_store(objects, {})
    assert latest_generation(objects) == 1


def test_the_command_splits_a_store(tmp_path, capsys) -> None:
    from c2s_data.cli.building import _print_changed_splits
    from c2s_data.store.objects import open_objects
    from c2s_data.store.reader import open_store

    folder = tmp_path / "store.zarr"
    make_first_generation(open_objects(str(folder)))
    options = ["--policy", "resolution", "--validation", "0.5", "--no-leakage"]
    said = run(folder, *options, "--splits", tmp_path / "s.csv")
    assert "generation 2 has the split; earlier ones keep theirs" in said.output
    with (tmp_path / "s.csv").open(newline="") as stream:
        expected = {row["entry_id"]: row["split"] for row in csv.DictReader(stream)}
    found = {e.entry_id: e.split for e in open_store(str(folder)).entries}
    assert found == {name: split for name, split in expected.items() if name != FAILED}
    assert "validation" in found.values()
    assert "has this split already" in run(folder, *options, "--splits", tmp_path / "s.csv").output
    first = open_store(str(folder), 1).entries
    moved = [e.entry_id for e in first if found[e.entry_id] != e.split]
    capsys.readouterr()
    _print_changed_splits(str(folder), 1)
    assert capsys.readouterr().out == ""
    _print_changed_splits(str(folder), 2)
    told = capsys.readouterr().out
    assert moved
    assert "another split than generation 1 had" in told
    assert [e.entry_id for e in first if f"{e.entry_id} (" in told] == moved[:5]
