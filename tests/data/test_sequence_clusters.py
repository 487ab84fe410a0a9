"""Related proteins: alignments against the plain recursion, both engines against planted ones."""

from __future__ import annotations

import itertools
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from made_families import global_identity, made_protein, plain_alignment, relative

from c2s_data import sequence_clusters
from c2s_data.sequence_clusters import BuiltIn, MMseqs, SequenceError, choose_engine
from c2s_data.splitting.components import cluster_labels
from c2s_data.transforms import kmer_clusters
from c2s_data.transforms.local_alignment import (
    BLOSUM62,
    LETTERS,
    align_local,
    best_score,
    encode,
    lowest_score,
)

IDENTITIES = (1.0, 0.9, 0.6, 0.35)


@pytest.fixture(params=["mmseqs", "builtin"])
def engine(request):
    if request.param == "mmseqs" and shutil.which("mmseqs") is None:
        pytest.skip("mmseqs (Debian package mmseqs2) is not installed")
    return choose_engine(request.param)


@pytest.fixture(params=["every pair", "by words"])
def by_words(request, monkeypatch):
    """Both ways of the built-in search."""
    if request.param == "by words":
        monkeypatch.setattr(kmer_clusters, "ALL_PAIRS_CELLS", 0)
    return BuiltIn()


def families(seed: int = 5, n: int = 6) -> tuple[list[str], np.ndarray]:
    """Families of five, at 100 % to 35 % of their first, and as many strangers of equal make."""
    rng = np.random.default_rng(seed)
    sequences, family = [], []
    for number in range(n):
        first = made_protein(rng, 150 + 31 * number)
        members = [first, *(relative(rng, first, share, gap=4) for share in IDENTITIES)]
        sequences += members
        family += [number] * len(members)
    strangers = [made_protein(rng, 90 + 17 * i) for i in range(n)]
    return sequences + strangers, np.array(family + list(range(n, 2 * n)))


def same_groups(labels: np.ndarray, truth: np.ndarray) -> bool:
    pairs = set(zip(labels.tolist(), truth.tolist(), strict=True))
    return len(pairs) == len(set(labels.tolist())) == len(set(truth.tolist()))


def test_the_matrix_is_the_public_one() -> None:
    assert (BLOSUM62 == BLOSUM62.T).all()
    spots = {"WW": 11, "AA": 4, "CC": 9, "HH": 8, "IV": 3, "FY": 3, "DE": 2, "KR": 2, "WC": -2,
             "GI": -4, "PW": -4, "ND": 1, "ST": 1, "LM": 2}  # fmt: skip
    for (a, b), score in spots.items():
        assert BLOSUM62[LETTERS.index(a), LETTERS.index(b)] == score
    assert int(np.trace(BLOSUM62[:20, :20])) == 116
    assert int(BLOSUM62[:20, :20].sum()) == -426  # as in Biopython's copy
    assert (BLOSUM62[20] == -1).all()


def test_alignment_equals_the_plain_recursion() -> None:
    rng = np.random.default_rng(3)
    pairs = []
    for _ in range(25):
        first = made_protein(rng, int(rng.integers(8, 60)))
        share, gap = float(rng.uniform(0.2, 1)), int(rng.integers(0, 5))
        pairs.append((first, made_protein(rng, 7) + relative(rng, first, share, gap)))
        pairs.append((pairs[-1][1], made_protein(rng, 33)))
    for query, target in pairs:
        codes, offsets = encode([query, target])
        q, t = codes[: offsets[1]], codes[offsets[1] :]
        expected = plain_alignment(query, target)
        assert align_local(q, t, BLOSUM62) == pytest.approx(expected, abs=1e-12)
        assert best_score(q, t, BLOSUM62) == expected[0]


def test_alignment_of_known_pairs() -> None:
    def align(query: str, target: str) -> tuple[int, float, float]:
        codes, offsets = encode([query, target])
        return align_local(codes[: offsets[1]], codes[offsets[1] :], BLOSUM62)

    assert align("WWWWW", "AAWWWWWAA") == (55, 1.0, 1.0)
    assert align("PPPPP", "WWWWWW") == (0, 0.0, 0.0)
    # Ten W, a gap of three, ten W: 20 x 11 - (11 + 2 x 1), 23 columns.
    assert align("W" * 10 + "CCC" + "W" * 10, "W" * 20) == (207, 20 / 23, 1.0)
    assert align("W" * 20, "W" * 10 + "CCC" + "W" * 10) == (207, 20 / 23, 1.0)
    # An unknown residue costs 1 and is no identity.
    assert align("WWXWW", "WWXWW") == (43, 0.8, 1.0)


def test_bits_are_those_of_the_published_parameters() -> None:
    # BLAST prints 40.0 bits for a raw score of 92 with BLOSUM62, 11, 1.
    assert lowest_score(40.0) == 92


def test_planted_relatives_are_joined_and_strangers_are_not(engine) -> None:
    sequences, truth = families()
    labels = cluster_labels(len(sequences), engine.links(sequences))
    assert same_groups(labels, truth)


def test_both_built_in_ways_join_the_planted_relatives(by_words) -> None:
    sequences, truth = families(seed=6)
    labels = cluster_labels(len(sequences), by_words.links(sequences))
    assert same_groups(labels, truth)


def test_a_search_finds_every_pair_that_plain_alignments_find(by_words) -> None:
    sequences, _ = families(seed=7, n=3)
    queries, targets = sequences[::2], sequences[1::2]
    found = by_words.search(queries, targets)
    expected = {}
    for i, j in itertools.product(range(len(queries)), range(len(targets))):
        score, identity, coverage = plain_alignment(queries[i], targets[j])
        if score >= 92 and identity >= 0.3 and coverage >= 0.8:
            expected[i, j] = (identity, coverage)
    keys = list(zip(found.query.tolist(), found.target.tolist(), strict=True))
    if kmer_clusters.ALL_PAIRS_CELLS:
        assert keys == sorted(expected)
    else:  # Words may miss what is hardly alike, never what is half alike.
        assert keys == sorted(keys)
        assert set(keys) <= set(expected)
        assert {key for key in expected if expected[key][0] >= 0.5} <= set(keys)
        assert len(keys) >= 0.9 * len(expected)
    got = np.column_stack((found.identity, found.coverage))
    assert got == pytest.approx(np.array([expected[key] for key in keys]))
    assert len(expected) > 10


def test_identities_of_mmseqs_are_those_of_plain_alignments(engine) -> None:
    rng = np.random.default_rng(8)
    first = made_protein(rng, 240)
    others = [relative(rng, first, share) for share in IDENTITIES]
    found = engine.search([first], [*others, made_protein(rng, 240)])
    assert found.target.tolist() == [0, 1, 2, 3]
    # Substitutions only, so the local alignment is the global one less its frayed ends.
    for place, share in enumerate(IDENTITIES):
        assert found.identity[place] == pytest.approx(share, abs=0.03)
        assert share - 1e-9 <= global_identity(first, others[place]) <= share + 0.06
    assert (found.coverage > 0.9).all()


def test_a_shared_domain_alone_makes_no_relative(engine) -> None:
    rng = np.random.default_rng(9)
    domain = made_protein(rng, 120)
    first = domain + made_protein(rng, 200)
    second = made_protein(rng, 210) + domain
    found = engine.search([first, domain], [second])
    assert found.query.tolist() == [1]  # The domain on its own is covered; 120 of 320 are not.
    assert found.coverage[0] >= 0.99
    assert engine.search([second], [first, domain]).target.tolist() == [1]


def test_representatives_stand_for_what_is_much_alike(engine) -> None:
    rng = np.random.default_rng(10)
    first, other = made_protein(rng, 300), made_protein(rng, 280)
    sequences = [first, relative(rng, first, 0.97), other, relative(rng, other, 0.5)]
    chosen = engine.representatives(sequences)
    assert chosen[chosen].tolist() == chosen.tolist()
    if engine.name.startswith("MMseqs2"):
        assert chosen[0] == chosen[1]
        assert len(set(chosen.tolist())) == 3


def test_nothing_is_searched_in_nothing(engine) -> None:
    assert len(engine.search([], ["A" * 30])) == len(engine.search(["A" * 30], [])) == 0
    assert engine.links([]).shape == (0, 2)


def test_the_order_of_the_sequences_does_not_matter() -> None:
    sequences, _ = families(seed=11, n=3)
    turned = sequences[::-1]

    def pairs(given: list[str]) -> set[frozenset[str]]:
        return {frozenset((given[i], given[j])) for i, j in BuiltIn().links(given).tolist()}

    assert pairs(sequences) == pairs(turned)


def test_a_missing_program_is_said(monkeypatch) -> None:
    many = ["A" * 200] * 400
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert isinstance(choose_engine("auto", many), BuiltIn)
    with pytest.raises(SequenceError, match="Debian package mmseqs2"):
        choose_engine("mmseqs")


def script(path, body: str) -> str:
    path.write_text(f"#!{sys.executable}\nimport sys, os, subprocess, time\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_few_sequences_are_all_aligned_and_many_are_for_mmseqs(tmp_path, monkeypatch) -> None:
    program = script(tmp_path / "mmseqs", "print('14')")
    monkeypatch.setattr(shutil, "which", lambda _: program)
    assert isinstance(choose_engine("auto", ["A" * 200] * 300), BuiltIn)  # 60,000 residues
    assert isinstance(choose_engine("auto", ["A" * 200] * 320), MMseqs)
    assert choose_engine("mmseqs").name == "MMseqs2 14"


def test_a_failing_program_is_quoted(tmp_path) -> None:
    program = script(tmp_path / "mmseqs", "print('14'); sys.exit(sys.argv[1] != 'version')")
    with pytest.raises(SequenceError, match="easy-search ended with code 1: 14"):
        MMseqs(program).search(["A" * 30], ["C" * 30])


def test_a_program_that_hangs_ends_with_its_children(tmp_path, monkeypatch) -> None:
    body = f"""
if sys.argv[1] == "version": sys.exit(0)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(60)"""
    made = MMseqs(script(tmp_path / "mmseqs", body))
    monkeypatch.setattr(sequence_clusters, "TIMEOUT_S", 3)
    with pytest.raises(SequenceError, match="took more than"):
        made.search(["A" * 30], ["C" * 30])
    pid = int((tmp_path / "pid").read_text())
    state = Path(f"/proc/{pid}/stat")
    deadline = time.monotonic() + 20  # A signal takes its time on a busy machine.
    while state.exists() and state.read_text().split()[2] not in "ZX":
        assert time.monotonic() < deadline
        time.sleep(0.05)
