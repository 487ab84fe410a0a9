"""Secondary structure from HELIX and SHEET records and from mmCIF categories."""

from __future__ import annotations

import pytest
from atom_records import backbone, chain_of, loop, mmcif, pdb

from c2s_data.sources.atomic_model import AtomicModel, read_atomic_model


@pytest.fixture
def read(tmp_path):
    """Write a text and read it as a model."""

    def read_text(text: str) -> AtomicModel:
        path = tmp_path / "model"
        path.write_text(text)
        return read_atomic_model(path)

    return read_text


def helix(number, start, end, chain="A", icodes="  "):
    return (
        f"HELIX  {number:>3} {number:>3} ALA {chain} {start:>4}{icodes[0]} ALA {chain} "
        f"{end:>4}{icodes[1]} 1" + " " * 30 + f"{5:>5}\n"
    )


def strand(start, end, chain="A", icodes="  "):
    return f"SHEET    1   A 1 ALA {chain}{start:>4}{icodes[0]} ALA {chain}{end:>4}{icodes[1]} 0\n"


def test_strand_records_override_helix_records(read):
    model = read(pdb(*chain_of(*["ALA"] * 9), head=helix(1, 2, 6) + strand(5, 7)))
    assert model.has_records
    assert model.residues.record_secondary.tolist() == [1, 2, 2, 2, 3, 3, 3, 1, 1]


def test_record_ranges_follow_insertion_codes_and_chains(read):
    numbers = [(51, ""), (52, ""), (52, "A"), (52, "B"), (53, "")]
    atoms = [
        atom
        for chain in "AB"
        for i, (number, icode) in enumerate(numbers)
        for atom in backbone("ALA", number, 4.2 * i, chain=chain, icode=icode)
    ]
    head = helix(1, 52, 52, icodes="AB") + strand(52, 53, "B", icodes="B ")
    table = read(pdb(*atoms, head=head)).residues
    assert table.record_secondary.tolist() == [1, 1, 2, 2, 1, *[1, 1, 1, 3, 3]]


def test_records_whose_ends_are_not_in_the_model(read):
    atoms = [a for n in (3, 4, 8, 9) for a in backbone("ALA", n, 4.2 * n)]
    head = helix(1, 1, 4) + strand(7, 8) + helix(2, 20, 30) + helix(3, 3, 4, "Q") + strand(9, 3)
    model = read(pdb(*atoms, head=head))
    assert model.residues.record_secondary.tolist() == [2, 2, 3, 1]
    assert any("3 secondary-structure records unused" in note for note in model.notes)


def test_the_end_that_is_in_the_model_is_covered_though_the_other_is_not(read):
    atoms = [a for n in (3, 4, 5, 8) for a in backbone("ALA", n, 4.2 * n)]
    table = read(pdb(*atoms, head=helix(1, 4, 7) + strand(6, 8))).residues
    assert table.record_secondary.tolist() == [1, 2, 2, 3]


def test_records_of_other_chains_only_count_as_none(read):
    model = read(pdb(*chain_of("ALA", "ALA"), head=helix(1, 1, 2, "Q")))
    assert not model.has_records
    assert model.residues.record_secondary.tolist() == [1, 1]


def test_records_of_mmcif(read):
    atoms = [
        a for i in range(6) for a in backbone("ALA", 10 + i, 4.2 * i, chain="LONG", label_seq=i + 1)
    ]
    ends = " ".join(
        f"{e}_{c}"
        for e in ("beg", "end")
        for c in ("label_comp_id", "label_asym_id", "label_seq_id")
    )
    author = " ".join(
        f"{e}_{c}" for e in ("beg", "end") for c in ("auth_comp_id", "auth_asym_id", "auth_seq_id")
    )
    codes = "pdbx_beg_PDB_ins_code pdbx_end_PDB_ins_code"
    extra = loop(
        "struct_conf",
        f"conf_type_id id {ends} {author} {codes}",
        ["HELX_P H1 ALA LONG 2 ALA LONG 4 ALA LONG 11 ALA LONG 13 ? ?"],
    )
    extra += loop("struct_sheet", "id number_strands", ["S 1"])
    extra += loop(
        "struct_sheet_range",
        f"sheet_id id {ends} {author} {codes}",
        ["S 1 ALA LONG 4 ALA LONG 5 ALA LONG 13 ALA LONG 14 ? ?"],
    )
    model = read(mmcif(*atoms, extra=extra))
    assert model.has_records
    assert model.residues.record_secondary.tolist() == [1, 2, 2, 3, 3, 1]
