"""Operators of assemblies as PDB and mmCIF files state them, and what is refused of them."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from assembly_records import (
    MOTIONS,
    TURN_Z,
    cif_assembly,
    cif_ncs,
    motion,
    mtrix,
    remark_350,
    two_chains,
)
from atom_records import TER, mmcif, pdb
from hypothesis import given
from hypothesis import strategies as st

from c2s_data.assembly import assemble, expand
from c2s_data.errors import ModelError
from c2s_data.sources.assembly_operators import MAX_OPERATORS, take_mmcif_operators
from c2s_data.sources.atomic_model import AtomicModel, read_atomic_model

NO_MAP = np.zeros((2, 2, 2), np.float32)


@pytest.fixture
def read(tmp_path):
    """Write a text and read it as a model."""

    def read_text(text: str) -> AtomicModel:
        path = tmp_path / "model"
        path.write_text(text)
        return read_atomic_model(path)

    return read_text


def names(model: AtomicModel) -> list[str]:
    return [operator.name for operator in model.operators]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1", []),
        ("1,2", [200]),
        ("1-4", [200, 300, 400]),
        ("(1-2, 5)", [200, 500]),
        ("(1,2)(4-6)", [400, 500, 600, 600, 700, 800]),
        ("2(3,4)", [500, 600]),
    ],
)
def test_expressions_of_mmcif(read, expression, expected):
    model = read(mmcif(*two_chains(), extra=cif_assembly(MOTIONS, (expression, "A,B"))))
    assert model.assembly_fault == ""
    # Equal motions count once: 600 comes of 1 x 6 and of 2 x 4.
    assert [op.matrix[0, 3] for op in model.operators] == list(dict.fromkeys(expected))
    assert all(op.chains == {"A", "B"} for op in model.operators)
    assert len(set(names(model))) == len(model.operators)


def test_products_apply_the_right_factor_first(read):
    model = read(mmcif(*two_chains(), extra=cif_assembly(MOTIONS, ("(P)(2)", "A"))))
    (operator,) = model.operators
    # Shifted by 200 along x first, then turned by 90 degrees: y.
    np.testing.assert_allclose(operator.apply(np.array([[1.0, 2, 3]])), [[-2, 201, 3]], atol=1e-9)
    assert operator.chains == {"A"}


def test_each_generator_copies_its_own_chains(read):
    stated = cif_assembly(MOTIONS, ("1,2", "A"), ("1,3,2", "B"), ("1,2", "Z"))
    model = read(mmcif(*two_chains(), extra=stated))
    found = {op.name: (op.matrix[0, 3], sorted(op.chains)) for op in model.operators}
    assert found == {"2": (200, ["A", "B"]), "3": (300, ["B"])}


def test_assembly_1_or_else_the_first(read):
    stated = cif_assembly(MOTIONS, ("1,2", "A,B"))
    later = stated.replace("\n1 '1,2'", "\n7 '1,3' A,B\n8 '1,2'")
    both = stated.replace("\n1 '1,2'", "\n7 '1,3' A,B\n1 '1,2'")
    assert names(read(mmcif(*two_chains(), extra=stated))) == ["2"]
    assert names(read(mmcif(*two_chains(), extra=later))) == ["3"]
    assert names(read(mmcif(*two_chains(), extra=both))) == ["2"]


def test_a_file_without_assembly(read):
    for text in (mmcif(*two_chains()), pdb(*two_chains())):
        model = read(text)
        assert (model.operators, model.assembly_fault) == ((), "")
        assert expand(model, model.operators).residues is model.residues


def test_symmetry_of_struct_ncs_oper_joins_the_assembly(read):
    stated = cif_assembly(MOTIONS, ("1,2", "A,B"))
    further = {"1": motion(), "2": motion(shift=(0, 70, 0)), "x/y": motion(shift=(200, 0, 0))}
    model = read(mmcif(*two_chains(), extra=stated + cif_ncs(further)))
    assert [(op.name, *op.matrix[:2, 3]) for op in model.operators] == [("2", 200, 0), ("3", 0, 70)]
    assert read(mmcif(*two_chains(), extra=cif_ncs(further, "given"))).operators == ()


@pytest.mark.parametrize(
    ("motions", "expression", "fault"),
    [
        (MOTIONS, "1,9", "operator '9'"),
        (MOTIONS, "1-100000000", "more than 2000"),
        (MOTIONS, "(1-60)(1-60)", "more than 2000"),
        (MOTIONS, "1-x", "no range"),
        (MOTIONS, "(1)" * 9, "multiplies more than 8"),
        (MOTIONS | {"2": motion(-np.eye(3))}, "1,2", "no proper rotation"),
        (MOTIONS | {"2": motion(1.01 * np.eye(3))}, "1,2", "no proper rotation"),
        (MOTIONS | {"2": motion(np.full((3, 3), np.nan))}, "1,2", "no proper rotation"),
        (MOTIONS | {"2": motion(shift=(1e9, 0, 0))}, "1,2", "moves the model"),
        (MOTIONS | {"2": motion(shift=(np.nan, 0, 0))}, "1,2", "moves the model"),
    ],
)
def test_what_is_no_assembly_is_refused_only_where_it_is_asked_for(
    read, motions, expression, fault
):
    text = mmcif(*two_chains(), extra=cif_assembly(motions, (expression, "A,B")))
    model = read(text.replace("nan", "?"))
    assert model.operators == ()
    assert fault in model.assembly_fault
    grid = (NO_MAP, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert assemble(model, "deposited", *grid) is model
    with pytest.raises(ModelError, match=fault):
        assemble(model, "1", *grid)
    kept = assemble(model, "auto", *grid)
    assert kept.residues is model.residues
    assert fault in kept.notes[-1]


def test_more_operators_than_any_assembly_has(read, monkeypatch):
    monkeypatch.setattr("c2s_data.sources.assembly_operators.MAX_OPERATORS", 4)
    many = [("1-2", "A"), ("3-4", "A"), ("5-6", "A")]
    model = read(mmcif(*two_chains(), extra=cif_assembly(MOTIONS, *many)))
    assert "5 operators, above the limit of 4" in model.assembly_fault
    monkeypatch.setattr("c2s_data.sources.assembly_operators.MAX_ROWS", 3)
    assert "3 ways" in read(
        mmcif(*two_chains(), extra=cif_assembly(MOTIONS, *many))
    ).assembly_fault  # fmt: skip


@given(st.text("0123456P(),- ", max_size=12))
def test_every_expression_is_read_or_refused(expression):
    block = gemmi.cif.Block("x")
    for part in gemmi.cif.read_string("data_x\n" + cif_assembly(MOTIONS, ("1", "A"))).sole_block():
        block.add_item(part)
    block.find("_pdbx_struct_assembly_gen.", ["oper_expression"])[0][0] = f'"{expression}"'
    found = take_mmcif_operators(block)
    assert len(found.operators) <= MAX_OPERATORS
    assert not (found.fault and found.operators)
    assert not block.find_values("_pdbx_struct_assembly_gen.assembly_id")


def test_remark_350_and_mtrix(read):
    turned = motion(TURN_Z, (0, 60, 5))
    atoms = [*two_chains()[:12], TER, *two_chains()[12:]]
    model = read(pdb(*atoms, head=remark_350([motion(), turned])))
    assert [(op.name, sorted(op.chains)) for op in model.operators] == [("2", ["A", "B"])]
    np.testing.assert_allclose(model.operators[0].matrix, turned, atol=1e-6)
    one = read(pdb(*atoms, head=remark_350([motion(), turned], "B")))
    assert [sorted(op.chains) for op in one.operators] == [["B"]]
    generated = read(pdb(*atoms, head=mtrix([motion(), turned])))
    assert [sorted(op.chains) for op in generated.operators] == [["A", "B"]]
    assert read(pdb(*atoms, head=mtrix([motion(), turned], given="1"))).operators == ()
