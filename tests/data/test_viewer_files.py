"""Files for ChimeraX and Mol*: stored voxels and atoms at their places, scripts that fit."""

from __future__ import annotations

import dataclasses
import json
import re

import gemmi
import mrcfile
import numpy as np
import pytest
from made_maps import ORIGIN_XYZ_A, made_map, made_plan
from typer.testing import CliRunner

from c2s_data.cli import app
from c2s_data.errors import ConfigError, StoreError
from c2s_data.explore.palette import CLASS_COLORS
from c2s_data.explore.viewer_files import write_viewer_files
from c2s_data.schema import AMINO_ACIDS, CLASS_NAMES
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import Store, open_store
from c2s_data.store.writer import write_entry

ENTRY = "MADE-0"
# Two chains; a break of 20 A in the first, one residue without a C-alpha, one insertion code.
SECONDARY = [1, 2, 2, 2, 2, 3, 3, 1, 1, 2]
CA_XYZ_A = [[3.8 * k, 1.0, 110.0] for k in range(4)] + [
    [40 + 3.8 * k, 2.0, 115.0] for k in range(3)
] + [[np.nan] * 3, [5, 20, 120.0], [8.8, 20, 120.0]]  # fmt: skip


def made_residues() -> dict[str, np.ndarray]:
    n = len(SECONDARY)
    table = {
        "chain": np.array(["A"] * 8 + ["B-2"] * 2),
        "label_asym_id": np.array(["A"] * 8 + ["C-2"] * 2),
        "auth_seq_id": np.array([10, 11, 12, 12, 30, 31, 32, 33, -1, 0], np.int32),
        "insertion_code": np.array(["", "", "", "A", "", "", "", "", "", ""]),
        "residue_name": np.array([AMINO_ACIDS[k] for k in range(n - 1)] + ["MSE"]),
        "is_modified": np.array([False] * (n - 1) + [True]),
        "secondary": np.array(SECONDARY, np.uint8),
        "occupancy": np.ones(n, np.float32),
        "b_factor": np.full(n, 30, np.float32),
    }
    ca = np.array(CA_XYZ_A)
    for atom, away in {"n": -1.0, "ca": 0.0, "c": 1.0, "o": np.nan}.items():
        for axis, name in enumerate("xyz"):
            table[f"{atom}_{name}_A"] = ca[:, axis] + away
    return table


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    objects = open_objects(tmp_path_factory.mktemp("viewers") / "made.zarr")
    plan = begin_store(objects, made_plan())
    for planned in plan.entries:
        made = made_map(planned, plan.config)
        facts = dict(made.facts) | {"raw_mean": 0.02, "raw_sd": 0.01, "ca_density_sigma": 8.0}
        made = dataclasses.replace(made, residues=made_residues(), facts=facts)
        write_entry(objects, Layout.of(plan.config), planned, made)
    commit(objects, plan)
    return open_store(objects.url)


@pytest.fixture(scope="module")
def folder(store: Store, tmp_path_factory: pytest.TempPathFactory):
    place = tmp_path_factory.mktemp("viewers") / "files"
    names = write_viewer_files(store, ENTRY, place)
    assert sorted(names) == sorted(path.name for path in place.iterdir())
    return place


def placed(path, shape_zyx) -> np.ndarray:
    """Return what a file holds on the map's grid, found by its ORIGIN words."""
    with mrcfile.open(path) as mrc:
        values = np.asarray(mrc.data)
        assert mrc.voxel_size.tolist() == (1, 1, 1)
        origin_xyz_A = [float(mrc.header.origin[axis]) for axis in "xyz"]
    low = np.rint(np.subtract(origin_xyz_A, ORIGIN_XYZ_A)[::-1]).astype(int)
    whole = np.zeros(shape_zyx, values.dtype)
    whole[tuple(slice(a, a + n) for a, n in zip(low, values.shape, strict=True))] = values
    return whole


def test_density_and_masks_are_the_stored_voxels_at_their_places(store: Store, folder) -> None:
    shape = store.entry(ENTRY).shape_zyx
    density = store.read_map(ENTRY, "density").astype(np.float32)
    np.testing.assert_array_equal(placed(folder / "density.mrc", shape), density)
    amino = store.read_map(ENTRY, "amino")
    assert amino.any()
    np.testing.assert_array_equal(placed(folder / "amino.mrc", shape), amino)
    for mask, files in {
        "atom": ("C-alpha", "N", "C"), "secondary": ("coil", "helix", "strand"), "ca": ("C-alpha",),
        "ignore": ("ignore",),
    }.items():  # fmt: skip
        whole = np.zeros(shape, np.uint8)
        for name in files:
            value = CLASS_NAMES[mask].index(name)
            whole += value * placed(folder / f"{mask}-{name}.mrc", shape).astype(np.uint8)
        np.testing.assert_array_equal(whole, store.read_map(ENTRY, mask))


def test_the_trace_has_the_atoms_of_the_residue_table(folder) -> None:
    structure = gemmi.read_structure(str(folder / "trace.cif"))
    table = made_residues()
    read = [(chain.name, residue) for chain in structure[0] for residue in chain]
    kept = [k for k in range(10) if np.isfinite(table["ca_x_A"][k])]
    assert len(kept) == 9
    for (chain, residue), k in zip(read, kept, strict=True):
        assert chain == table["chain"][k]
        assert residue.subchain == table["label_asym_id"][k]
        assert residue.name == table["residue_name"][k]
        assert str(residue.seqid) == f"{table['auth_seq_id'][k]}{table['insertion_code'][k]}"
        assert [atom.name for atom in residue] == ["N", "CA", "C"]
        for atom, away in zip(residue, (-1.0, 0.0, 1.0), strict=True):
            np.testing.assert_allclose(atom.pos.tolist(), np.add(CA_XYZ_A[k], away), atol=1e-3)
    # The break leaves a number out; the second chain begins at 1.
    assert [residue.label_seq for _, residue in read] == [1, 2, 3, 4, 6, 7, 8, 1, 2]
    helices = [
        (str(one.start.res_id.seqid), str(one.end.res_id.seqid)) for one in structure.helices
    ]
    assert helices == [("11", "12A"), ("30", "30"), ("0", "0")]
    (sheet,) = structure.sheets
    (strand,) = sheet.strands
    assert (str(strand.start.res_id.seqid), str(strand.end.res_id.seqid)) == ("31", "32")


def test_the_chimerax_script_opens_every_file_in_the_colors_of_the_classes(store, folder) -> None:
    lines = (folder / "view.cxc").read_text().splitlines()
    opened = [line.removeprefix("open ") for line in lines if line.startswith("open ")]
    maps = {path.name for path in folder.glob("*.mrc")}
    assert opened[:2] == ["trace.cif", "density.mrc"]
    assert sorted(opened) == sorted({*maps, "trace.cif"})
    colors = {
        f"{mask}-{name}.mrc": color
        for mask in ("atom", "secondary") for _, name, color in CLASS_COLORS[mask]
    }  # fmt: skip
    for number, name in enumerate(opened[1:], start=2):  # models are numbered as they are opened
        shown = next(line for line in lines if line.startswith(f"volume #{number} "))
        assert lines.index(shown) == lines.index(f"open {name}") + 1
        assert f"color {colors.get(name, '#')}" in shown
        assert (f"hide #{number} models" in lines) == (not name.startswith(("atom", "density")))
    amino = dict(re.findall(r"^color #1:(\w{3}) (#\w{6}) target a$", "\n".join(lines), re.M))
    assert amino == {name: color for _, name, color in CLASS_COLORS["amino"]}
    # (0.02 + 8 * 0.01 / 2) / 0.25, halfway to the C-alphas in units of the normalized map
    assert "level 0.24 " in lines[lines.index("open density.mrc") + 1]


def test_the_molstar_view_colors_each_run_of_secondary_structure(folder) -> None:
    view = json.loads((folder / "view.mvsj").read_text())
    volume, model = view["root"]["children"]
    assert (volume["params"]["url"], model["params"]["url"]) == ("density.mrc", "trace.cif")
    surface = volume["children"][0]["children"][0]["children"][0]
    assert surface["params"]["absolute_isovalue"] == pytest.approx(0.24)
    cartoon = model["children"][0]["children"][0]["children"][0]["children"][0]
    coil, helix, strand = (color for _, _, color in CLASS_COLORS["secondary"])
    runs = [
        (*one["params"]["selector"].values(), one["params"]["color"]) for one in cartoon["children"]
    ]
    assert runs == [
        ("A", 1, 1, coil), ("A", 2, 4, helix), ("A", 6, 6, helix), ("A", 7, 8, strand),
        ("C-2", 1, 1, coil), ("C-2", 2, 2, helix),
    ]  # fmt: skip


def test_the_molstar_view_fits_the_specification(folder) -> None:
    nodes = pytest.importorskip(
        "molviewspec.nodes", reason="molviewspec, the specification's models, is not installed"
    )
    from pydantic import ValidationError

    text = (folder / "view.mvsj").read_text()
    assert nodes.State.model_validate_json(text).root.kind == "root"
    with pytest.raises(ValidationError):
        nodes.State.model_validate_json(text.replace('"kind": "parse"', '"kind": "pars"'))


def test_nothing_is_replaced_unasked_and_nothing_old_is_left(store: Store, tmp_path) -> None:
    runner, told = CliRunner(), [store.url, ENTRY, str(tmp_path / "out")]
    assert runner.invoke(app, ["chimerax", *told]).exit_code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(ConfigError, match=r"is there already; give --overwrite"):
        write_viewer_files(store, ENTRY, tmp_path / "out")
    (tmp_path / "out/nucleic_atom-base.mrc").write_bytes(b"of an earlier store")
    (tmp_path / "out/notes.txt").write_text("mine")
    done = runner.invoke(app, ["chimerax", *told, "--overwrite", "--json"])
    assert done.exit_code == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert after == before | {"notes.txt": b"mine"}  # the same bytes, too
    assert sorted(json.loads(done.stdout)["files"]) == sorted(before)


def test_a_file_of_the_users_own_is_kept(store: Store, tmp_path) -> None:
    (tmp_path / "density.mrc").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"density\.mrc is there already"):
        write_viewer_files(store, ENTRY, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"density.mrc"}


def test_an_unknown_entry_is_refused_before_anything_is_written(store: Store, tmp_path) -> None:
    with pytest.raises(StoreError, match="no entry 'MADE-9'"):
        write_viewer_files(store, "MADE-9", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_script_holds_no_word_of_the_store(folder) -> None:
    text = (folder / "view.cxc").read_text()
    assert ENTRY not in text
    assert "B-2" not in text
