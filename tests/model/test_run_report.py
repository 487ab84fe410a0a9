"""What the page of a backbone carries: places, probabilities, scores, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest
from made_prediction import write_protein
from typer.testing import CliRunner

from c2s_data.errors import ConfigError
from c2s_data.schema import ATOM_CA, CLASS_NAMES
from c2s_data.store.prediction_facts import PredictionFacts
from c2s_data.store.prediction_store import PredictionWriter, open_prediction
from c2s_model.backbone.candidate_voxels import PredictedPoints
from c2s_model.backbone.candidates import AtomPoints, Candidates
from c2s_model.backbone.stage_files import write_points
from c2s_model.cli import app
from c2s_model.run_document import probability_volume, run_document
from c2s_model.run_report import write_run_report

OFFSET = 0.5
ORIGIN_XYZ_A = (10.0, -40.0, 60.0)


def built_model(folder: Path) -> tuple[Path, Path]:
    """A model of chain A alone that misses five residues and has ten off by 8 A; and the truth."""
    truth, _ = write_protein(folder)
    structure = gemmi.read_structure(str(truth))
    chain = structure[0]["A"]
    for residue in list(chain)[60:70]:
        for atom in residue:
            atom.pos += gemmi.Position(8, 0, 0)
    del chain[20:25]
    structure[0].remove_chain("B")
    for atom in (atom for residue in structure[0]["A"] for atom in residue):
        atom.b_iso = 75
    built = folder / "built.cif"
    structure.make_mmcif_document().write_file(str(built))
    return built, truth


def write_prediction(url: Path, peak_zyx, origin_xyz_A=ORIGIN_XYZ_A) -> None:
    """A prediction that is sure of one voxel and of nothing else."""
    facts = PredictionFacts(
        shape_zyx=(50, 41, 62),
        origin_xyz_A=tuple(map(float, origin_xyz_A)),
        classes={"atom": CLASS_NAMES["atom"]},
        preset="paper",
        label_rule="formula1",
        decode_offset_voxel=OFFSET,
        core=20,
        options={},
        sources={},
        identity="12" * 32,
    )
    values = np.zeros((4, *facts.shape_zyx), np.float16)
    values[(ATOM_CA, *peak_zyx)] = 1
    writer = PredictionWriter(str(url), facts)
    for column in facts.columns():
        for block in facts.blocks(column):
            writer.put(block, values[:, block.z, block.y, block.x])
    writer.finish()


@pytest.mark.parametrize("max_voxels", [10**6, 5000, 100])
def test_a_peak_stays_at_its_place(tmp_path: Path, max_voxels: int) -> None:
    write_prediction(tmp_path / "p.zarr", (23, 9, 47))
    prediction = open_prediction(str(tmp_path / "p.zarr"))
    volume = probability_volume(prediction, np.zeros((0, 3)), max_voxels)
    codes, step_A = volume["codes"], volume["step_A"]
    assert codes.size <= 2 * max_voxels
    assert (codes > 0).sum() == 1
    found = np.argwhere(codes == 255)[0][::-1] * step_A + volume["origin_xyz_A"]
    wanted = np.array([47, 9, 23]) + OFFSET + ORIGIN_XYZ_A
    assert np.abs(found - wanted).max() <= (step_A - 1) / 2 + 1e-6


def test_only_the_surroundings_of_candidates_travel(tmp_path: Path) -> None:
    write_prediction(tmp_path / "p.zarr", (23, 9, 47))
    prediction = open_prediction(str(tmp_path / "p.zarr"))
    here = np.array([[47.0, 9.0, 23.0]]) + ORIGIN_XYZ_A
    volume = probability_volume(prediction, here)
    assert volume["codes"].shape == (11, 11, 11)
    assert np.argwhere(volume["codes"]).tolist() == [[5, 5, 5]]


def test_residues_get_what_became_of_them(tmp_path: Path) -> None:
    built, truth = built_model(tmp_path)
    document = run_document(built, None, truth)
    status, found = document["built"]["status"], document["truth"]["found"]
    assert (len(status), len(found)) == (91, 192)
    assert (status == 2).sum() == 81
    assert (found == 2).sum() == 81
    assert (found[96:] == 2).sum() == 0, "chain B was not built"
    assert document["scores"]["chains"][0]["n_residues"] == 96
    np.testing.assert_allclose(document["built"]["confidence"], 0.75)


def test_what_belongs_to_another_model_is_refused(tmp_path: Path) -> None:
    built, truth = built_model(tmp_path)
    table = tmp_path / "built.confidence.csv"
    table.write_text("chain,confidence,ca_x_A,ca_y_A,ca_z_A\nA,0.5,1,2,3\n")
    with pytest.raises(ConfigError, match="belongs to another model"):
        run_document(built, None, truth)
    table.unlink()
    with pytest.raises(ConfigError, match="holds no stage"):
        run_document(built, tmp_path, truth)
    with pytest.raises(ConfigError, match=r"give a name \*\.html"):
        write_run_report(built, tmp_path / "run.txt", None, None)


def write_work(folder: Path, xyz_A: np.ndarray) -> None:
    """Stages that found candidates at these places, sure of the first alone."""
    folder.mkdir()
    n = len(xyz_A)
    candidates = Candidates(
        xyz_A.astype(np.float64),
        np.linspace(0.2, 1, n, dtype=np.float32),
        np.full((n, 20), 0.05),
        None,
        np.ones(n, np.int32),
    )
    nothing = AtomPoints(np.zeros((0, 3)), np.zeros(0, np.float32))
    write_points(folder / "points.npz", PredictedPoints(candidates, nothing, nothing, n, OFFSET))
    peak_xyz = (47, 9, 23)
    origin_xyz_A = xyz_A[0] - peak_xyz - OFFSET
    write_prediction(folder / "prediction-ab" / "0.zarr", peak_xyz[::-1], origin_xyz_A)
    for name, outputs in (("predict", {"elsewhere/prediction-ab": 1}), ("candidates", {})):
        facts = {"candidates": n, "notes": ["a <b>note</b>"]}
        record = {"format": 1, "seconds": 1.5, "outputs": outputs, "facts": facts}
        (folder / f"{name}.json").write_text(json.dumps(record))


def test_the_command_finds_the_stages_beside_the_model(tmp_path: Path) -> None:
    built, truth = built_model(tmp_path)
    write_work(tmp_path / "built.work", np.array([[57.0, -31.0, 83.0], [50.0, -30.0, 80.0]]))
    document = run_document(built, tmp_path / "built.work", truth)
    assert document["candidates"]["p_ca"].tolist() == pytest.approx([0.2, 1.0])
    volume = document["volume"]
    peak = np.argwhere(volume["codes"] == 255)[0][::-1] * volume["step_A"]
    np.testing.assert_allclose(peak + volume["origin_xyz_A"], [57.0, -31.0, 83.0])
    assert [one["name"] for one in document["stages"]] == ["predict", "candidates"]
    asked = ["report", str(built), str(tmp_path / "run.html"), "--truth", str(truth)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    again = CliRunner().invoke(app, asked)
    assert isinstance(again.exception, ConfigError)
