"""The command line ``c2s-model``: describe and convert."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from published_files import TINY_HYPER, random_state, save_with_foreign_objects, saved
from typer.testing import CliRunner

from c2s_data.errors import C2SError
from c2s_data.schema import CLASS_NAMES
from c2s_model import cli
from c2s_model.nets.network_file import load_network
from c2s_model.nets.published import load_published


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(cli.app, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_help_needs_no_torch() -> None:
    script = (
        "import sys\nfrom c2s_model.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "print(*[name for name in ('torch', 'safetensors', 'zarr') if name in sys.modules], 'end')"
    )
    for arguments in (["--help"], ["describe", "--help"], ["convert", "--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        last = done.stdout.splitlines()[-1]
        assert (done.stderr, last == "end" or arguments == ["--version"]) == ("", True), last


@pytest.mark.parametrize(
    ("variant", "targets", "parameters"),
    [
        ("small", ["atom"], 35_603_204),
        ("full-v1", ["amino"], 92_281_893),
        ("full-v2-seq", ["secondary"], 179_463_428),
        ("tiny", ["amino", "atom"], 1_462_849),
    ],
)
def test_describe_counts(variant: str, targets: list[str], parameters: int) -> None:
    options = ["--variant", variant, *(part for t in targets for part in ("--target", t))]
    found = json.loads(run("describe", *options, "--json"))
    assert (found["parameters"], found["variant"]) == (parameters, variant)
    assert list(found["classes"]) == targets
    assert sum(layer["parameters"] for layer in found["layers"]) == parameters
    table = run("describe", *options).splitlines()
    assert len(table) == len(found["layers"]) + 4
    assert table[-1].split() == ["in", "all", f"{parameters:,}"]
    assert f"heads.{targets[-1]}" in table[-2]


def refused(*arguments: str | Path) -> str:
    with pytest.raises(C2SError) as caught:
        CliRunner().invoke(cli.app, [str(one) for one in arguments], catch_exceptions=False)
    return str(caught.value)


def test_describe_refuses_what_there_is_not() -> None:
    assert "full-v2-seq" in refused("describe", "--variant", "huge", "--target", "atom")
    assert "secondary" in refused("describe", "--variant", "tiny", "--target", "ca")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_with_foreign_objects(tmp_path / "a.ckpt", random_state(0))


def test_convert_writes_what_load_network_reads(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    said = run("convert", checkpoint, out, "--target", "atom")
    assert "not executed: argparse.Namespace" in said
    assert "callbacks" in said
    assert "4 attention heads (from hyper_parameters)" in said
    network, card = load_network(out, targets=["atom"], preset="released")
    assert (card.label_rule, card.decode_offset_voxel) == ("formula1-float32", 0.5)
    assert card.classes == {"atom": CLASS_NAMES["atom"]}
    assert card.source["sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    read = load_published(checkpoint, target="atom")
    assert network.architecture == read.architecture
    state = network.state_dict()
    assert state.keys() == read.weights.keys()
    assert all(torch.equal(state[name], read.weights[name]) for name in state)


def test_convert_takes_other_heads_and_says_so(tmp_path: Path) -> None:
    stated = {name: TINY_HYPER[name] for name in ("output_dim", "embed_dim", "dropout")}
    path = saved(tmp_path / "a.ckpt", random_state(0, layers=4), stated)
    options = ("--target", "atom", "--json")
    found = json.loads(run("convert", path, tmp_path / "a.safetensors", *options))
    assert (found["attention_heads"], found["attention_heads_from"]) == (6, "variant")
    assert "does not say how many" in found["notes"][0]
    found = json.loads(run("convert", path, tmp_path / "b.safetensors", *options, "--heads", "3"))
    assert (found["attention_heads"], found["attention_heads_from"]) == (3, "option")
    assert load_network(tmp_path / "b.safetensors").card.architecture.attention_heads == 3


def test_convert_overwrites_nothing(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    out.write_bytes(b"mine")
    assert "left as it is" in refused("convert", checkpoint, out, "--target", "atom")
    assert out.read_bytes() == b"mine"
    assert "*.safetensors" in refused("convert", checkpoint, tmp_path / "a.bin")
    assert "atom and secondary" in refused("convert", checkpoint, tmp_path / "b.safetensors")
    assert "divisor" in refused(
        "convert", checkpoint, tmp_path / "b.safetensors", "--target", "atom", "--heads", "7"
    )
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.ckpt", "a.safetensors"]


def test_an_expected_error_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["convert", str(tmp_path / "no.ckpt"), str(tmp_path / "a.safetensors")],
                      ["describe", "--variant", "huge", "--target", "atom"]):  # fmt: skip
        monkeypatch.setattr(sys, "argv", ["c2s-model", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith("error: ")
