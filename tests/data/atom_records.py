"""Small PDB and mmCIF texts, atom by atom."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class A:
    """One atom; the defaults make a backbone atom of an alanine."""

    name: str
    residue: str = "ALA"
    chain: str = "A"
    number: int = 1
    xyz: tuple[float, float, float] = (0.0, 0.0, 0.0)
    element: str = ""
    altloc: str = ""
    occupancy: float = 1.0
    b: float = 20.0
    icode: str = ""
    het: bool = False
    model: int = 1
    label_asym: str = ""
    label_seq: int | None = None

    @property
    def symbol(self) -> str:
        return self.element or self.name[0]


TER = "TER"


def pdb_line(serial: int, a: A) -> str:
    name = f"{a.name:<4}" if len(a.symbol) == 2 or len(a.name) == 4 else f" {a.name:<3}"
    x, y, z = a.xyz
    return (
        f"{'HETATM' if a.het else 'ATOM':<6}{serial:>5} {name}{a.altloc or ' '}{a.residue:>3} "
        f"{a.chain}{a.number:>4}{a.icode or ' '}   {x:8.3f}{y:8.3f}{z:8.3f}"
        f"{a.occupancy:6.2f}{a.b:6.2f}          {a.symbol.upper():>2}\n"
    )


def pdb(*records: A | str, head: str = "") -> str:
    """Join atoms, ``TER`` and other whole lines; models are opened and closed where they change."""
    text, model = head, 0
    many = any(isinstance(r, A) and r.model > 1 for r in records)
    for serial, record in enumerate(records, start=1):
        if isinstance(record, str):
            text += record + "\n"
            continue
        if many and record.model != model:
            text += ("ENDMDL\n" if model else "") + f"MODEL     {record.model:>4}\n"
            model = record.model
        text += pdb_line(serial, record)
    return text + ("ENDMDL\n" if many else "") + "END\n"


COLUMNS = (
    "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id "
    "label_entity_id label_seq_id pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy "
    "B_iso_or_equiv auth_seq_id auth_asym_id pdbx_PDB_model_num"
)


def loop(category: str, columns: str, rows: list[str]) -> str:
    return (
        "loop_\n" + "".join(f"_{category}.{c}\n" for c in columns.split()) + "\n".join(rows) + "\n"
    )


def mmcif(*atoms: A, extra: str = "", entities: str = "1 polymer") -> str:
    rows = []
    for serial, a in enumerate(atoms, start=1):
        x, y, z = a.xyz
        entity = 2 if a.het else 1
        rows.append(
            f"{'HETATM' if a.het else 'ATOM'} {serial} {a.symbol} {a.name} {a.altloc or '.'} "
            f"{a.residue} {a.label_asym or a.chain} {entity} {a.label_seq or '.'} "
            f"{a.icode or '?'} {x} {y} {z} {a.occupancy} {a.b} {a.number} {a.chain} {a.model}"
        )
    entity = loop("entity", "id type", entities.split(",")) if entities else ""
    return "data_TEST\n" + entity + extra + loop("atom_site", COLUMNS, rows)


def backbone(residue="ALA", number=1, at=0.0, names="N CA C O", **other) -> list[A]:
    """One residue along x: N, CA, C 1.4 A apart, 4.2 A a residue, so neighbours are bonded."""
    x0 = {"N": 0.0, "CA": 1.4, "C": 2.8, "O": 2.8}
    return [
        A(name, residue, number=number, xyz=(at + x0[name], float(name == "O"), 0.0), **other)
        for name in names.split()
    ]


def chain_of(*residues: str, first=1, at=0.0, **other) -> list[A]:
    """Bonded residues, numbered on."""
    return [
        atom
        for i, residue in enumerate(residues)
        for atom in backbone(residue, first + i, at + 4.2 * i, **other)
    ]
