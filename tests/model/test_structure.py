"""What is written comes back with the same values, by gemmi and by the project's own reader."""

from __future__ import annotations

import dataclasses

import gemmi
import numpy as np
import pytest

from c2s_data.errors import C2SError
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_model.backbone.structure import BuiltChain, write_confidence, write_model

SEQUENCE = "MKTAYXWUGSP"


def built(name="A", sequence=SEQUENCE, numbers=(2, 3, 4, 7, 8, 9), fragment=(0, 0, 0, 0, 1, 1)):
    """Two fragments: 2-4 with a gap to 7, then 8-9, where 7 and 8 are neighbours but not bonded."""
    rng = np.random.default_rng(len(name) + len(sequence) + sum(numbers))
    r = len(numbers)
    letters = [sequence[n - 1] for n in numbers]
    xyz_A = np.add(rng.normal(scale=30, size=(r, 3)), (100, -50, 20))
    n_xyz_A, c_xyz_A, o_xyz_A = (xyz_A + rng.normal(size=(r, 3)) for _ in range(3))
    n_xyz_A[0] = o_xyz_A[2:3] = c_xyz_A[2:3] = np.nan
    return BuiltChain(
        name=name,
        sequence=sequence,
        residue_number=np.array(numbers, np.int32),
        residue_name=np.array([gemmi.expand_one_letter(a, gemmi.ResidueKind.AA) for a in letters]),
        xyz_A=xyz_A,
        n_xyz_A=n_xyz_A,
        c_xyz_A=c_xyz_A,
        o_xyz_A=o_xyz_A,
        confidence=rng.random(r),
        fragment=np.array(fragment, np.int32),
        interpolated=np.arange(r) == 1,
    )


def same_points(found, wanted) -> None:
    """Equal to the 0.001 A that both formats keep, absent where absent."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=0.00051)


@pytest.mark.parametrize("suffix", ["cif", "pdb"])
def test_both_readers_find_what_was_written(tmp_path, suffix: str) -> None:
    chains = [built("A"), built("B", "GGAVLIMCFYW", (1, 3, 5), (0, 0, 0))]
    written = write_model(tmp_path / "m.cif", chains, title="a test", pdb_path=tmp_path / "m.pdb")
    assert written.notes == ()
    model = read_atomic_model(tmp_path / f"m.{suffix}")
    table = model.residues
    assert table.chain.tolist() == ["A"] * 6 + ["B"] * 3
    for chain, rows in zip(chains, (slice(0, 6), slice(6, 9)), strict=True):
        assert table.label_seq_id[rows].tolist() == chain.residue_number.tolist()
        assert table.auth_seq_id[rows].tolist() == chain.residue_number.tolist()
        assert table.residue_name[rows].tolist() == chain.residue_name.tolist()
        same_points(table.ca_xyz_A[rows], chain.xyz_A)
        same_points(table.n_xyz_A[rows], chain.n_xyz_A)
        same_points(table.c_xyz_A[rows], chain.c_xyz_A)
        same_points(table.o_xyz_A[rows], chain.o_xyz_A)
        np.testing.assert_allclose(table.b_factor[rows], 100 * chain.confidence, atol=0.0051)
        assert table.occupancy[rows].tolist() == (~chain.interpolated).astype(float).tolist()
    read = gemmi.read_structure(str(tmp_path / f"m.{suffix}"))
    assert [chain.name for chain in read[0]] == ["A", "B"]
    assert [residue.seqid.num for residue in read[0]["A"]] == [2, 3, 4, 7, 8, 9]
    assert [atom.name for atom in read[0]["A"][1]] == ["N", "CA", "C", "O"]
    assert [atom.name for atom in read[0]["A"][2]] == ["N", "CA"]


def test_the_mmcif_holds_the_sequence_the_gaps_and_the_break(tmp_path) -> None:
    chain = built()
    write_model(tmp_path / "m.cif", [chain, built("C")], title="it's a test")
    block = gemmi.cif.read(str(tmp_path / "m.cif")).sole_block()
    names = ["MET", "LYS", "THR", "ALA", "TYR", "UNK", "TRP", "SEC", "GLY", "SER", "PRO"]
    assert list(block.find_values("_entity_poly_seq.mon_id")) == names  # one entity for both
    assert list(block.find_values("_struct_asym.id")) == ["A", "C"]
    unseen = block.find("_pdbx_unobs_or_zero_occ_residues.", ["label_seq_id", "occupancy_flag"])
    flags = [(int(row[0]), row[1]) for row in unseen]
    assert flags[:6] == [(1, "1"), (3, "0"), (5, "1"), (6, "1"), (10, "1"), (11, "1")]
    tags = ["auth_seq_id_1", "auth_seq_id_2", "auth_comp_id_1", "auth_comp_id_2", "dist"]
    breaks = [list(row) for row in block.find("_pdbx_validate_polymer_linkage.", tags)]
    length_A = np.linalg.norm(chain.xyz_A[4] - chain.xyz_A[3])
    assert breaks[0] == ["7", "8", "TRP", "SEC", f"{length_A:.2f}"]
    assert len(breaks) == 2
    assert block.find_value("_struct.title") == '"it\'s a test"'
    assert block.find_value("_c2s_model.confidence") == "uncalibrated"
    assert "uncalibrated" in block.find_value("_struct.pdbx_model_details")
    assert block.find_loop("_struct_conn.id").get_loop() is None
    scheme = block.find("_pdbx_poly_seq_scheme.", ["asym_id", "seq_id", "pdb_mon_id"])
    assert [(row[0], row[2]) for row in scheme][:3] == [("A", "?"), ("A", "LYS"), ("A", "THR")]


def test_a_pdb_file_says_uncalibrated_too_and_bonds_nothing(tmp_path) -> None:
    write_model(tmp_path / "m.cif", [built()], title="t", pdb_path=tmp_path / "m.pdb")
    lines = (tmp_path / "m.pdb").read_text().splitlines()
    assert any(line.startswith("REMARK") and "uncalibrated" in line for line in lines)
    assert sum(line.startswith("TER") for line in lines) == 1  # one mid-chain would end the polymer
    assert not any(line.startswith(("CONECT", "LINK")) for line in lines)
    assert sum(line.startswith("SEQRES") for line in lines) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "AB"}, "more than one character"),
        ({"xyz_A": np.full((6, 3), 1e5)}, "more than eight characters"),
        (
            {
                "sequence": "A" * 10_009,
                "residue_number": np.arange(10_000, 10_006, dtype=np.int32),
            },
            "above 9,999",
        ),
    ],
)
def test_what_the_pdb_format_cannot_hold_is_mmcif_only(tmp_path, change, reason) -> None:
    chain = dataclasses.replace(built(), **change)
    written = write_model(tmp_path / "m.cif", [chain], title="t", pdb_path=tmp_path / "m.pdb")
    assert written.pdb is None
    assert reason in written.notes[0]
    assert not (tmp_path / "m.pdb").exists()
    assert len(read_atomic_model(tmp_path / "m.cif").residues) == 6


def test_kept_chains_stand_beside_the_new_ones(tmp_path) -> None:
    write_model(tmp_path / "old.cif", [built("A")], title="old")
    kept = gemmi.read_structure(str(tmp_path / "old.cif"))
    write_model(tmp_path / "m.cif", [built("B", "GGAVL", (1, 2), (0, 0))], title="n", kept=kept)
    table = read_atomic_model(tmp_path / "m.cif").residues
    assert table.chain.tolist() == ["A"] * 6 + ["B"] * 2
    same_points(table.ca_xyz_A[:6], built("A").xyz_A)
    assert table.label_seq_id.tolist() == [2, 3, 4, 7, 8, 9, 1, 2]
    with pytest.raises(C2SError, match="share a name"):
        write_model(tmp_path / "x.cif", [built("A")], title="n", kept=kept)


def test_confidences_as_a_table(tmp_path) -> None:
    chain = built()
    write_confidence(tmp_path / "c.csv", [chain], "uncalibrated")
    lines = (tmp_path / "c.csv").read_text().splitlines()
    assert lines[0].split(",")[:3] == ["chain", "residue_number", "residue_name"]
    fields = lines[2].split(",")
    assert fields[:5] == ["A", "3", "THR", "0", "1"]
    assert fields[5:7] == [f"{chain.confidence[1]:.4f}", "uncalibrated"]
    assert [float(one) for one in fields[7:]] == np.round(chain.xyz_A[1], 3).tolist()


def test_nothing_placed_is_an_error_that_says_what_to_do(tmp_path) -> None:
    empty = dataclasses.replace(
        built(),
        **{
            name: getattr(built(), name)[:0]
            for name in ("residue_number", "residue_name", "xyz_A", "confidence", "fragment")
        },
        n_xyz_A=None,
        c_xyz_A=None,
        o_xyz_A=None,
        interpolated=np.zeros(0, np.bool_),
    )
    assert empty.coverage == 0
    with pytest.raises(C2SError, match="lower the threshold"):
        write_model(tmp_path / "m.cif", [empty], title="t")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"residue_number": np.array([2, 3, 4, 7, 8, 12], np.int32)}, "from 1 to 11"),
        ({"residue_number": np.array([2, 3, 3, 7, 8, 9], np.int32)}, "ascend"),
        ({"xyz_A": np.full((6, 3), np.nan)}, "not finite"),
        ({"confidence": np.full(6, 1.2)}, "from 0 to 1"),
        ({"fragment": np.zeros(5, np.int32)}, "one row per residue"),
    ],
)
def test_impossible_chains_are_refused(change, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(built(), **change)
