"""``c2s-model train`` from the command line."""

from __future__ import annotations

import json

import pytest
from training_store import made_store
from typer.testing import CliRunner

from c2s_model.cli import app, main, train  # noqa: F401 - it registers its command
from c2s_model.nets.network_file import read_card
from c2s_model.training.loop import TrainSummary
from c2s_model.training.stopping import Wish


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    shapes = ((19, 20, 18), (17, 12, 12))
    return made_store(tmp_path_factory.mktemp("store") / "made.zarr", shapes, box=32)


def run(*arguments: object):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


OPTIONS = (
    "--variant", "tiny", "--target", "atom", "--target", "secondary", "--preset", "recommended",
    "--batch-size", 1, "--epochs", 2, "--no-logs", "--device", "cpu", "--gamma", 1.5,
)  # fmt: skip


def test_train_stop_and_go_on(tmp_path, store):
    folder = tmp_path / "run"
    first = run(store.url, folder, *OPTIONS, "--max-steps", 1)
    assert first.exit_code == 0, first.output
    assert "epoch 1 of 2" not in first.output
    assert "stopped: as many steps as asked for; the same command goes on" in first.output
    again = run(store.url, folder, "--resume", "--no-logs", "--device", "cpu", "--json")
    assert again.exit_code == 0, again.output
    document = json.loads(again.stdout)
    assert (document["step"], document["epoch"], document["finished"]) == (2, 2, True)
    assert 0 <= document["validation"]["atom/macro_f1"] <= 1
    assert document["network"] == str(folder / "best.safetensors")
    card = read_card(folder / "best.safetensors")
    assert (card.variant, list(card.classes)) == ("tiny", ["atom", "secondary"])
    assert card.source["training"]["loss"]["gamma"] == 1.5
    done = run(store.url, folder, *OPTIONS, "--json")
    assert json.loads(done.stdout)["subgrids"] == 0


def test_resume_takes_no_options_that_decide_weights(tmp_path, store):
    result = run(store.url, tmp_path, "--resume", "--learning-rate", 0.1)
    assert "--resume goes on with the options of the folder" in str(result.exception)
    result = run(store.url, tmp_path, "--resume")
    assert "no run to go on with" in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_an_error_is_one_message_and_code_2(tmp_path, store, monkeypatch, capsys):
    command = ["c2s-model", "train", store.url, str(tmp_path / "run"), "--variant", "huge"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: there is no variant 'huge'")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("wish", "code", "told"),
    [(Wish.STOP_INTERRUPTED, 130, "Ctrl-C"), (Wish.STOP_TERMINATED, 143, "SIGTERM"),
     (Wish.STOP_SECONDS, 0, "its time is spent")],
)  # fmt: skip
def test_the_code_says_which_signal(tmp_path, monkeypatch, wish, code, told):
    def stopped(store, folder, *_: object) -> TrainSummary:
        return TrainSummary(folder, 7, 0, False, wish, None, None, None, {}, 14, 2.0)

    monkeypatch.setattr("c2s_model.training.loop.train", stopped)
    result = run("store.zarr", tmp_path, *OPTIONS)
    assert result.exit_code == code
    assert f"stopped: {told}; the same command goes on, or --resume" in result.output
    assert "7 steps, 0 epochs, 7.0 subgrids a second" in result.output
