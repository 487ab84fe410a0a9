"""What is refused as an atomic model, and how files are told apart."""

from __future__ import annotations

import gzip

import pytest
from atom_records import TER, A, chain_of, mmcif, pdb

from c2s_data.errors import ModelError, ModelReason
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.structure_file import read_structure

PROTEIN = pdb(*chain_of("ALA", "GLY"))
GARBLED = PROTEIN.replace("   1.400", "********")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", ModelReason.UNREADABLE),
        (b"not a structure\n" * 5, ModelReason.UNREADABLE),
        (b"\x00\xff" * 500, ModelReason.UNREADABLE),
        (b"data_X\n_cell.length_a 1\n", ModelReason.UNREADABLE),
        (b"data_X\nloop_\n_atom_site.id\n1 2\n3", ModelReason.UNREADABLE),
        (b"data_X\nloop_\n_atom_site.id\n_atom_site.Cartn_x\n1\n", ModelReason.UNREADABLE),
        (gzip.compress(PROTEIN.encode())[:-20], ModelReason.UNREADABLE),
        (b"\x1f\x8b" + b"junk" * 9, ModelReason.UNREADABLE),
        (b"ATOM      1  CA  ALA A   1       1.0\n", ModelReason.BAD_COORDINATES),
        (GARBLED.encode(), ModelReason.BAD_COORDINATES),
        (PROTEIN.replace("   1.400", "     nan").encode(), ModelReason.BAD_COORDINATES),
        (PROTEIN.replace("   1.400", "   1.4.0").encode(), ModelReason.BAD_COORDINATES),
        (PROTEIN.replace("   1.400", "        ").encode(), ModelReason.BAD_COORDINATES),
        (mmcif(*chain_of("ALA")).replace(" 1.4 ", " ? ").encode(), ModelReason.BAD_COORDINATES),
        (mmcif(*chain_of("ALA")).replace(" 1.4 ", " 1e999 ").encode(), ModelReason.BAD_COORDINATES),
        (pdb(A("O", "HOH", het=True)).encode(), ModelReason.NO_PROTEIN),
        (pdb(A("P", "DA"), A("C", "DA"), TER).encode(), ModelReason.NO_PROTEIN),
        (pdb(A("CA", "CA", element="Ca", het=True)).encode(), ModelReason.NO_PROTEIN),
    ],
)
def test_refusals(tmp_path, content, reason):
    path = tmp_path / "bad.pdb"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_atomic_model(path)
    assert caught.value.reason == reason
    assert str(path) in str(caught.value)


def test_a_garbled_coordinate_is_named_by_its_line(tmp_path):
    path = tmp_path / "bad.pdb"
    path.write_text("REMARK first line\n" + GARBLED)
    with pytest.raises(ModelError, match=r"line 3 holds no three numbers .*\*{8}"):
        read_atomic_model(path)


@pytest.mark.parametrize("line", [0, 2])
@pytest.mark.parametrize("start", [30, 38, 46])
def test_a_coordinate_is_a_number_of_any_form_or_refused(tmp_path, line, start):
    fields = {
        "   1.250": 1.25, "  -1.250": -1.25, " -12.500": -12.5, "-123.456": -123.456,
        "1234.567": 1234.567, " 123.456": 123.456, "  +1.5  ": 1.5, "     .5 ": 0.5,
        " 12.    ": 12.0, "      -7": -7.0, "0001.000": 1.0, "   0.000": 0.0,
        "        ": None, "   1.0.0": None, "   1e3  ": None, "   1 2.0": None,
        " --1.000": None, "    -.  ": None, "-1-2.000": None, "  1,000 ": None,
        "  12.34x": None, "********": None,
    }  # fmt: skip
    lines = [text for text in PROTEIN.splitlines() if text.startswith("ATOM")]
    path = tmp_path / "made.pdb"
    for field, expected in fields.items():
        made = list(lines)
        made[line] = made[line][:start] + field + made[line][start + 8 :]
        path.write_bytes("\n".join(made).encode())
        if expected is None:
            with pytest.raises(ModelError, match=f"line {line + 1} holds no three numbers"):
                read_structure(path)
        else:
            atoms = [atom for chain in read_structure(path)[0] for r in chain for atom in r]
            assert atoms[line].pos.tolist()[(start - 30) // 8] == expected, field


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ModelError) as caught:
        read_atomic_model(tmp_path / "absent.cif.gz")
    assert caught.value.reason == ModelReason.NOT_FOUND


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ModelError) as caught:
        read_atomic_model(tmp_path)
    assert caught.value.reason == ModelReason.UNREADABLE


def test_a_gzip_bomb_is_not_inflated(tmp_path):
    path = tmp_path / "large.pdb.gz"
    path.write_bytes(gzip.compress(b" " * 1_000_000))
    with pytest.raises(ModelError, match="larger than 1000 bytes"):
        read_structure(path, max_bytes=1000)


@pytest.mark.parametrize("writer", [pdb, mmcif])
def test_compression_and_format_are_told_by_content(tmp_path, writer):
    text = writer(*chain_of("ALA", "MSE", "GLY"))
    plain, packed = tmp_path / "a.txt", tmp_path / "b.pdb"
    plain.write_text(text)
    packed.write_bytes(b"".join(gzip.compress(part.encode()) for part in (text[:99], text[99:])))
    for path in (plain, packed):
        table = read_atomic_model(path).residues
        assert table.residue_name.tolist() == ["ALA", "MSE", "GLY"]
        assert table.ca_xyz_A[:, 0].tolist() == [1.4, 5.6, 9.8]
