"""Damaged atomic models, PDB and mmCIF, reproducible from (seed, number)."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Callable
from typing import NamedTuple

from atom_records import TER, A, backbone, chain_of, loop, mmcif, pdb

TOKENS = (
    *("nan", "inf", "-inf", "1e400", "-1e308", "1e-400", "0x1p3", "1_0", "٣", "1,5", "1(2)"),
    *("?", ".", "''", '""', "'open", '"open', "\n;open text\n", "\n;text\n;\n", "$frame", "[", "_"),
    *("99999999999999999999", "-2147483649", "2147483648", "4294967296", "-1", "0", "-0.0"),
    *(
        "loop_",
        "data_",
        "data_again",
        "save_",
        "save_frame",
        "stop_",
        "global_",
        "#",
        "_atom_site.",
    ),
    *("\0", "a\0b", "\x7f", "\xff", "\u2028", "A" * 300, "9" * 400, "A" * 100_000, "-" * 40),
    *("ATOM", "HETATM", "TER", "END", "ENDMDL", "MODEL", "CA", "N", "ALA", "MSE", "ZZZZZZZZ", "*"),
)
PDB_FIELDS = (
    *((0, 6), (6, 11), (12, 16), (16, 17), (17, 20), (20, 22), (22, 26), (26, 27), (30, 38)),
    *((38, 46), (46, 54), (54, 60), (60, 66), (72, 76), (76, 78), (78, 80)),
)
PDB_HEAD = (
    "HEADER    TEST PROTEIN                            01-JAN-26   1ABC              \n"
    "MODRES 1ABC MSE A    3  MET  SELENOMETHIONINE                                   \n"
    "HELIX    1  H1 ALA A    1  GLY A    3  1                                   3    \n"
    "SHEET    1  S1 2 SER A   4  LEU A   5  0                                        \n"
    "SSBOND   1 CYS A    4    CYS A    5                          1555   1555  2.03  \n"
    "LINK         C   ALA A   1                 N   GLY A   2     1555   1555  1.33  \n"
    "CRYST1   60.000   60.000   60.000  90.00  90.00  90.00 P 1           1          \n"
    "ORIGX1      1.000000  0.000000  0.000000        0.00000                         \n"
    "SCALE1      0.016667  0.000000  0.000000        0.00000                         \n"
    "MTRIX1   1  1.000000  0.000000  0.000000        0.00000    1                    \n"
    "SEQRES   1 A    5  ALA GLY MSE SER LEU                                          \n"
)
CIF_EXTRA = (
    "_cell.length_a 60\n_cell.length_b 60\n_cell.length_c 60\n_cell.angle_alpha 90\n"
    "_cell.angle_beta 90\n_cell.angle_gamma 90\n_symmetry.space_group_name_H-M 'P 1'\n"
    + loop(
        "entity_poly_seq",
        "entity_id num mon_id",
        ["1 1 ALA", "1 2 GLY", "1 3 MSE", "1 4 SER", "1 5 LEU"],
    )
    + loop("struct_asym", "id entity_id", ["A 1", "B 1"])
    + loop(
        "struct_conf",
        "conf_type_id id pdbx_PDB_helix_class beg_auth_asym_id beg_auth_comp_id beg_auth_seq_id "
        "pdbx_beg_PDB_ins_code end_auth_asym_id end_auth_comp_id end_auth_seq_id "
        "pdbx_end_PDB_ins_code",
        ["HELX_P H1 1 A ALA 1 ? A MSE 3 ?"],
    )
    + loop("struct_sheet", "id type number_strands", ["S1 ? 1"])
    + loop(
        "struct_sheet_range",
        "sheet_id id beg_auth_asym_id beg_auth_comp_id beg_auth_seq_id pdbx_beg_PDB_ins_code "
        "end_auth_asym_id end_auth_comp_id end_auth_seq_id pdbx_end_PDB_ins_code",
        ["S1 1 A SER 4 ? A LEU 5 ?"],
    )
    + loop(
        "pdbx_struct_mod_residue",
        "id auth_asym_id auth_comp_id auth_seq_id PDB_ins_code parent_comp_id",
        ["1 A MSE 3 ? MET"],
    )
    + loop(
        "struct_conn",
        "id conn_type_id ptnr1_label_asym_id ptnr1_label_comp_id ptnr1_label_seq_id "
        "ptnr1_label_atom_id ptnr1_auth_asym_id ptnr1_auth_comp_id ptnr1_auth_seq_id "
        "ptnr2_label_asym_id ptnr2_label_comp_id ptnr2_label_seq_id ptnr2_label_atom_id "
        "ptnr2_auth_asym_id ptnr2_auth_comp_id ptnr2_auth_seq_id",
        ["c1 covale A ALA 1 C A ALA 1 A GLY 2 N A GLY 2"],
    )
    + loop("pdbx_struct_assembly_gen", "assembly_id oper_expression asym_id_list", ["1 1 A,B"])
)


def _atoms() -> list[A]:
    protein = chain_of("ALA", "GLY", "MSE", "SER", "LEU")
    other = backbone("CYS", 1, 40.0, chain="B", altloc="A", occupancy=0.6)
    other += backbone("SER", 1, 40.5, chain="B", altloc="B", occupancy=0.4)
    return [*protein, *other]


def bases() -> list[bytes]:
    """Return sound models; each becomes an `AtomicModel`."""
    water = A("O", "HOH", number=9, xyz=(3.0, 9.0, 3.0), het=True)
    calcium = A("CA", "CA", number=10, xyz=(5.0, 9.0, 3.0), element="Ca", het=True)
    second = chain_of("ALA", "GLY", model=2)
    texts = [
        pdb(*_atoms(), TER, water, calcium, head=PDB_HEAD),
        pdb(*chain_of("ALA", "GLY"), *second),
        mmcif(*_atoms(), water, calcium, extra=CIF_EXTRA, entities="1 polymer,2 water"),
        mmcif(*chain_of("ALA", "GLY", "VAL"), *second),
    ]
    return [text.encode() for text in texts]


class ModelMutant(NamedTuple):
    """Bytes of a model file and what was done to it."""

    content: bytes
    changes: tuple[str, ...]


Change = Callable[[random.Random, bytes], bytes]


def model_mutant(seed: int, number: int) -> ModelMutant:
    """Return the same mutant for the same pair, on every machine."""
    rng = random.Random(f"model {seed} {number}")
    content = rng.choice(_BASES)
    changes = rng.choices(list(_CHANGES), k=rng.choice((1, 1, 2, 3, 6)))
    for change in changes:
        content = _CHANGES[change](rng, content)
    if rng.random() < 0.05:
        content = gzip.compress(content, 1, mtime=0)
        if rng.random() < 0.5:
            content = rng.choice((_truncate, _flip))(rng, content)
        changes.append("gzip")
    return ModelMutant(content, tuple(changes))


def _token(rng: random.Random) -> bytes:
    return rng.choice(TOKENS).encode("utf-8", "surrogateescape")


def _replace_token(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"\S+", content))
    if not found:
        return content
    start, stop = rng.choice(found).span()
    return content[:start] + _token(rng) + content[stop:]


def _remove_token(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"\S+", content))
    if not found:
        return content
    start, stop = rng.choice(found).span()
    return content[:start] + content[stop:]


def _insert_token(rng: random.Random, content: bytes) -> bytes:
    at = rng.randint(0, len(content))
    return content[:at] + _token(rng) + content[at:]


def _field(rng: random.Random, content: bytes) -> bytes:
    """Overwrite the columns of one field of a PDB record."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    row = rng.randrange(len(lines))
    start, stop = rng.choice(PDB_FIELDS)
    value = _token(rng)[: stop - start].rjust(stop - start)
    lines[row] = lines[row][:start].ljust(start) + value + lines[row][stop:]
    return b"".join(lines)


def _number(rng: random.Random, content: bytes) -> bytes:
    """Replace one number by one of another size, sign or kind."""
    found = list(re.finditer(rb"-?\d+\.?\d*", content))
    if not found:
        return content
    start, stop = rng.choice(found).span()
    value = rng.choice(("nan", "inf", "1e400", "1e39", "-1e300", "-9999.999", "999999", "0", "-1"))
    return content[:start] + value.encode() + content[stop:]


def _lines(rng: random.Random, content: bytes) -> bytes:
    """Repeat, drop or exchange lines."""
    lines = content.splitlines(keepends=True)
    if len(lines) < 2:
        return content
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    how = rng.randrange(4)
    if how == 0:
        lines.insert(b, lines[a])
    elif how == 1:
        del lines[min(a, b) : min(a, b) + rng.randint(1, 4)]
    elif how == 2:
        lines[a], lines[b] = lines[b], lines[a]
    else:
        lines[b:b] = [lines[a]] * 200
    return b"".join(lines)


def _category(rng: random.Random, content: bytes) -> bytes:
    """Repeat or empty a whole loop, or a stretch of records."""
    loops = list(re.finditer(rb"loop_\n(?:_\S+\n)+(?:(?!loop_|_)[^\n]*\n)*", content))
    if not loops:
        half = content[: len(content) // 2]
        return half + content
    found = rng.choice(loops)
    tags = re.match(rb"loop_\n(?:_\S+\n)+", found.group())
    assert tags
    value = rng.choice((found.group() * 2, tags.group(), b"loop_\n", found.group()[: -len(b"x\n")]))
    return content[: found.start()] + value + content[found.end() :]


def _tag(rng: random.Random, content: bytes) -> bytes:
    """Rename, repeat or drop a tag."""
    found = list(re.finditer(rb"^_\S+", content, re.MULTILINE))
    if not found:
        return content
    start, stop = rng.choice(found).span()
    tag = content[start:stop]
    other = content[slice(*rng.choice(found).span())]
    value = rng.choice((b"", tag + b"\n" + tag, other, tag.upper(), tag + b"x" * 5000, tag[:-1]))
    return content[:start] + value + content[stop:]


def _truncate(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randint(0, len(content))]


def _flip(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 4, 30)) if changed else 0):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _shift(rng: random.Random, content: bytes) -> bytes:
    """Insert or drop a few bytes, so that columns no longer stand where they should."""
    at = rng.randint(0, len(content))
    if rng.random() < 0.5:
        return content[:at] + b" " * rng.randint(1, 9) + content[at:]
    return content[:at] + content[at + rng.randint(1, 9) :]


def _ends(rng: random.Random, content: bytes) -> bytes:
    """Change the ends of all lines."""
    return content.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b" ", b"\n\0")))


def _splice(rng: random.Random, content: bytes) -> bytes:
    """Continue in the middle of another model."""
    other = rng.choice(_BASES)
    return content[: rng.randint(0, len(content))] + other[rng.randint(0, len(other)) :]


_BASES = bases()
_CHANGES: dict[str, Change] = {
    "replace-token": _replace_token,
    "remove-token": _remove_token,
    "insert-token": _insert_token,
    "field": _field,
    "number": _number,
    "lines": _lines,
    "category": _category,
    "tag": _tag,
    "truncate": _truncate,
    "flip": _flip,
    "shift": _shift,
    "ends": _ends,
    "splice": _splice,
}
