"""What commands of c2s-model write into a bucket is what they write on a disk."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest
import torch
from made_backbones import ca_chain, letters, walk, write_ca
from prediction_cases import card, network_file
from typer.testing import CliRunner

from c2s_data.errors import ConfigError
from c2s_data.sources.density_map import DensityMap, read_density_map, write_density_map
from c2s_data.store.objects import open_objects
from c2s_model.cli import app
from c2s_model.cli import calibrate as calibrate_module
from c2s_model.training.history import HistoryRow, write_history


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    return f"memory://{tmp_path.name}"


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def names(bucket: str) -> set[str]:
    return {name for name, _ in open_objects(bucket).walk()}


def upload(bucket: str, name: str, path: Path) -> str:
    fsspec.filesystem("memory").pipe_file(
        f"/{bucket.partition('://')[2]}/{name}", path.read_bytes()
    )
    return f"{bucket}/{name}"


@pytest.fixture
def density(tmp_path: Path) -> Path:
    values = np.random.default_rng(5).normal(0, 0.3, (24, 22, 20)).astype(np.float32)
    values[6:18, 5:17, 4:16] += np.random.default_rng(6).random((12, 12, 12), np.float32) * 3
    write_density_map(tmp_path / "emd_1.map", DensityMap(values, (1.0,) * 3, (-7.5, 30.25, 4.0)))
    return tmp_path / "emd_1.map"


def test_backbone(bucket: str, tmp_path: Path, density: Path) -> None:
    net = network_file(tmp_path / "n.safetensors", card(("atom", "amino")))
    inputs = (upload(bucket, "in/n.safetensors", net), upload(bucket, "in/emd_1.map", density))
    options = ("--threshold", "0.3", "--work", tmp_path / "work", "--json")
    run("backbone", net, density, "-o", tmp_path / "m.cif", "--threshold", "0.3")
    said = json.loads(run("backbone", *inputs, "-o", f"{bucket}/out/m.cif", *options))
    assert said["files"]["model"] == f"{bucket}/out/m.cif"
    made = names(f"{bucket}/out")
    assert made == {path.name for path in tmp_path.glob("m.*") if path.is_file()}
    assert {"m.cif", "m.pdb", "m.confidence.csv", "m.report.png"} <= made
    there = open_objects(f"{bucket}/out").get("m.cif")
    assert there.count(b"ATOM") == (tmp_path / "m.cif").read_bytes().count(b"ATOM") > 8
    again = json.loads(run("backbone", *inputs, "-o", f"{bucket}/out/m.cif", *options))
    assert not again["stages"]["predict"]["repeated"]
    with pytest.raises(ConfigError, match="is there already") as told:
        run("backbone", *inputs, "-o", f"{bucket}/out/m.cif", "--threshold", "0.3")
    assert f"{bucket}/out/m.cif" in str(told.value)
    with pytest.raises(ConfigError, match="c2s-data copy"):
        run("backbone", *inputs, "-o", f"{bucket}/out/m.cif", "--work", f"{bucket}/work")


def test_maps_of_a_prediction(bucket: str, tmp_path: Path, density: Path) -> None:
    net = network_file(tmp_path / "n.safetensors", card(("atom",)))
    run("predict", net, density, tmp_path / "p.zarr", "--mrc")
    said = run("predict", net, density, f"{bucket}/p.zarr", "--mrc")
    for kind in ("c-alpha", "atom"):
        assert f"{bucket}/p.{kind}.mrc" in said
        there = read_density_map(f"{bucket}/p.{kind}.mrc")
        here = read_density_map(tmp_path / f"p.{kind}.mrc")
        np.testing.assert_array_equal(there.values_zyx, here.values_zyx)
    fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/q.atom.mrc", b"mine")
    with pytest.raises(ConfigError, match=r"q\.atom\.mrc exists and is left"):
        run("predict", net, density, f"{bucket}/q.zarr", "--mrc")


def test_scores_and_their_table(bucket: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(41)
    chains = [ca_chain("A", letters(rng, 40), walk(rng, 40))]
    target = upload(bucket, "known.cif", write_ca(tmp_path / "known.cif", chains))
    out = f"{bucket}/scores"
    run("evaluate", target, target, "--out", out)
    assert names(out) == {"evaluation.json", "backbone.png"}
    assert json.loads(open_objects(out).get("evaluation.json"))["entry"] == "known"
    with pytest.raises(ConfigError, match=r"evaluation\.json, backbone\.png of an earlier") as told:
        run("evaluate", target, target, "--out", out)
    assert out in str(told.value)
    run("evaluate", "--table", out, "--out", f"{bucket}/table")
    assert names(f"{bucket}/table") == {"table.md", "table.csv", "scatter.png"}


def test_curves_of_a_run(bucket: str, tmp_path: Path) -> None:
    rows = [
        HistoryRow(0, 9, part, target, metric, "", 0.5)
        for part in ("train", "validation")
        for target, metric in (("", "loss"), ("atom", "loss"), ("atom", "macro_f1"))
    ]
    write_history(tmp_path / "history.csv", rows)
    upload(bucket, "run/history.csv", tmp_path / "history.csv")
    with pytest.raises(ConfigError, match=f"{bucket}/run: no training is kept there"):
        run("plot", f"{bucket}/run")
    (tmp_path / "config.json").write_text("{}")
    upload(bucket, "run/config.json", tmp_path / "config.json")
    assert run("plot", f"{bucket}/run").strip() == f"wrote {bucket}/run/curves.png"
    assert open_objects(f"{bucket}/run").get("curves.png")[:4] == b"\x89PNG"
    run("plot", f"{bucket}/run", "--out", tmp_path / "here.svg")
    with pytest.raises(ConfigError, match="is there already"):
        run("plot", f"{bucket}/run", "--out", f"{bucket}/run/curves.png")


def test_a_network_of_another_program(bucket: str, tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "released.ckpt")
    source = upload(bucket, "released.ckpt", tmp_path / "released.ckpt")
    fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/mine.safetensors", b"mine")
    with pytest.raises(ConfigError, match="exists and is left as it is") as told:
        run("convert", source, f"{bucket}/mine.safetensors")
    assert f"{bucket}/mine.safetensors" in str(told.value)


def test_a_calibration(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network_file(tmp_path / "best.safetensors", card(("atom", "amino")))
    upload(bucket, "run/best.safetensors", net)
    store = SimpleNamespace(entries=[SimpleNamespace(entry_id="a", split="validation")])
    rng = np.random.default_rng(3)
    confidence = rng.random(400)
    judged = (confidence, rng.random(400) < confidence, np.repeat([0, 1], 200))
    monkeypatch.setattr("c2s_data.store.reader.open_store", lambda url: store)
    monkeypatch.setattr(calibrate_module, "_judged", lambda *given: judged)
    said = json.loads(run("calibrate", f"{bucket}/run", "--store", "made.zarr", "--json"))
    assert said["out"] == f"{bucket}/run/calibration.json"
    assert names(f"{bucket}/run") == {"best.safetensors", "calibration.json", "calibration.png"}
    assert json.loads(open_objects(f"{bucket}/run").get("calibration.json"))["n_residues"] == 400


def test_what_is_of_this_machine_is_refused_as_a_url(bucket: str) -> None:
    for arguments in (
        ("demo", f"{bucket}/demo"),
        ("train", "store.zarr", "run", "--cache", f"{bucket}/cache"),
    ):
        with pytest.raises(ConfigError, match="c2s-data copy"):
            run(*arguments)
    assert names(bucket) == set()
