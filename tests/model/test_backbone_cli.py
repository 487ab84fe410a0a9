"""``c2s-model backbone`` and ``calibrate``: from a network and a map to files and back."""

from __future__ import annotations

import json
from types import SimpleNamespace

import gemmi
import numpy as np
import pytest
from made_prediction import simulated, write_protein
from prediction_cases import card, network_file
from typer.testing import CliRunner

from c2s_data.errors import ConfigError
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.density_map import DensityMap, write_density_map
from c2s_model.backbone.calibration import read_calibration, write_calibration
from c2s_model.backbone.pipeline import PredictionSource
from c2s_model.backbone.simulated_prediction import Imperfections
from c2s_model.cli import backbone as _backbone  # noqa: F401 - it registers its command
from c2s_model.cli import calibrate as calibrate_module
from c2s_model.cli.app import app


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def density(tmp_path):
    """A raw map of noise: an untrained network finds atoms everywhere in it."""
    values = np.random.default_rng(5).normal(0, 0.3, (31, 24, 27)).astype(np.float32)
    values[6:25, 5:20, 4:22] += np.random.default_rng(6).random((19, 15, 18), np.float32) * 3
    path = tmp_path / "emd_1.map"
    write_density_map(path, DensityMap(values, (1.0, 1.0, 1.0), (-7.5, 30.25, 4.0)))
    return path


def test_two_networks_one_map_and_no_sequence(tmp_path, density) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    network_file(run_folder / "best.safetensors", card(("atom",)))
    other = network_file(tmp_path / "amino.safetensors", card(("amino",)), 1)
    arguments = ("backbone", run_folder, density, "-o", tmp_path / "m.cif", "--also", other)
    arguments += ("--threshold", "0.3", "--json")
    first = json.loads(run(*arguments))
    assert [name for name, one in first["stages"].items() if one["repeated"]] == [
        "predict", "candidates", "trace", "structure", "report",
    ]  # fmt: skip
    assert first["stages"]["candidates"]["facts"]["candidates"] > 50
    assert first["stages"]["candidates"]["facts"]["decode_offset_voxel"] == 0
    model = gemmi.read_structure(first["files"]["model"])
    assert model[0].count_atom_sites() > 8
    again = json.loads(run(*arguments))
    assert not any(one["repeated"] for one in again["stages"].values())
    text = run(*arguments[:-1], "--radius", "3")
    assert "predict: done before" in text
    assert "chain A:" in text
    assert "confidences uncalibrated" in text


def test_options_that_do_not_fit_are_refused(tmp_path, density) -> None:
    net = network_file(tmp_path / "a.safetensors", card(("atom",)))
    command = ("backbone", net, density, "-o", tmp_path / "m.cif")
    with pytest.raises(ConfigError, match="not amino"):
        run(*command)
    with pytest.raises(ConfigError, match="--lambda belongs"):
        run(*command, "--lambda", "5")
    with pytest.raises(ConfigError, match="decode offset"):
        run(*command, "--decode-offset", "half")
    with pytest.raises(ConfigError, match="no such map"):
        run("backbone", net, tmp_path / "none.map")
    different = network_file(tmp_path / "b.safetensors", card(("amino",), preset="paper"), 1)
    with pytest.raises(ConfigError, match="rules"):
        run(*command, "--also", different)


class StubStore:
    """What `calibrate` asks a store for: two copies of one made entry."""

    def __init__(self, folder):
        model_path, fasta = write_protein(folder)
        self.model = read_atomic_model(model_path)
        self.fingerprint = "f1" * 32
        self.entries = [SimpleNamespace(entry_id=name, split="validation") for name in ("a", "b")]
        self._text = fasta.read_text()

    def sequences(self, entry_id):
        return self._text

    def residues(self, entry_id):
        table = self.model.residues
        x, y, z = table.ca_xyz_A.T
        # A part of the truth lies elsewhere, so that some residues are wrong.
        x = x + np.where((table.label_seq_id > 30) & (table.label_seq_id < 45), 20.0, 0.0)
        return {
            "label_asym_id": table.label_asym_id,
            "chain": table.chain,
            "sequence_index": table.label_seq_id - 1,
            "ca_x_A": x,
            "ca_y_A": y,
            "ca_z_A": z,
        }


@pytest.fixture
def calibrated(tmp_path, monkeypatch):
    """A run folder with a calibration, and what the command printed."""
    store = StubStore(tmp_path)
    poor = Imperfections(noise_A=0.4, missed=0.08, invented=0.1, right=0.7)

    def source_of(networks, prepare, of_map, folder, options):
        seed = {"a": 1, "b": 2}[of_map["entry"]]
        prediction = simulated(store.model, seed=seed, imperfections=poor)
        return PredictionSource({}, folder, dict, lambda: prediction)

    monkeypatch.setattr("c2s_data.store.reader.open_store", lambda url: store)
    monkeypatch.setattr(calibrate_module, "network_source", source_of)
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    out = run("calibrate", run_folder, "--store", "made.zarr", "--json")
    return run_folder, json.loads(out)


def test_a_run_is_calibrated(calibrated) -> None:
    run_folder, printed = calibrated
    made = read_calibration(run_folder / "calibration.json")
    assert (run_folder / "calibration.png").read_bytes().startswith(b"\x89PNG")
    assert made.n_entries == 2
    assert 100 < made.n_residues == printed["n_residues"] <= 2 * 192
    assert 0.75 < made.share_right < 0.95
    assert made.ece_after < made.ece_before + 0.05
    assert made.facts["entries"] == ["a", "b"]
    with pytest.raises(ConfigError, match="no map in split"):
        run("calibrate", run_folder, "--store", "made.zarr", "--split", "test")
    with pytest.raises(ConfigError, match="no folder of a training"):
        run("calibrate", run_folder / "none", "--store", "made.zarr")


def test_a_calibration_of_other_options_is_not_used(calibrated, tmp_path, density) -> None:
    run_folder, _ = calibrated
    network_file(run_folder / "best.safetensors", card(("atom", "amino")))
    made = read_calibration(run_folder / "calibration.json")
    fasta = tmp_path / "s.fasta"
    fasta.write_text(">x|Chain A|made\nMKTAYIAKQRLVGSDEFWHNPC\n")
    command = ("backbone", run_folder, density, fasta, "-o", tmp_path / "m.cif", "--hmm", "gap")
    with pytest.raises(ConfigError, match="was made with other options of candidates"):
        run(*command, "--threshold", "0.3", "--calibration", run_folder / "calibration.json")
    other = tmp_path / "other.json"
    write_calibration(other, made)
    assert read_calibration(other).facts["hmm"] == "gap"
