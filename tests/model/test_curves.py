"""Curves show the numbers of the history, and nothing is drawn of a run without an epoch."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
from typer.testing import CliRunner

from c2s_data.errors import ConfigError
from c2s_data.schema import AMINO_CLASSES
from c2s_model.cli import app
from c2s_model.training.curves import curves_of, draw_curves, spread
from c2s_model.training.history import HistoryRow, write_history


def history(epochs: int = 4) -> list[HistoryRow]:
    rows = []
    for epoch in range(epochs):
        for part, gain in (("train", 0.2), ("validation", 0.1)):
            for target in ("atom", "amino"):
                for metric, value in (
                    ("loss", 2.0 / (1 + epoch) + gain),
                    ("batch_mean_macro_f1", 0.3 + gain * epoch / 2),
                    ("macro_f1_foreground", 0.1 + gain * epoch / 2),
                    ("macro_recall", 0.4),
                    ("macro_recall_foreground", 0.1 * epoch + gain),
                ):
                    rows.append(HistoryRow(epoch, 7 * epoch, part, target, metric, "", value))
            for number, name in enumerate(AMINO_CLASSES):
                value = math.nan if name == "TRP" else 0.02 * number + 0.1 * epoch
                rows.append(HistoryRow(epoch, 7 * epoch, part, "amino", "recall", name, value))
    return rows


def lines(ax) -> dict[str, tuple[list[float], list[float]]]:
    return {
        str(line.get_label()): (list(line.get_xdata()), list(line.get_ydata()))
        for line in ax.get_lines()
    }


def test_each_panel_shows_its_numbers() -> None:
    figure = draw_curves({"run": history()})
    axes = figure.axes
    assert len(axes) == 6
    titles = [part.texts[0].get_text() for part in figure.subfigs]
    assert titles == ["atoms", "amino acids"]
    loss, f1, recall = (lines(ax) for ax in axes[3:])
    assert loss["validation, plain cross-entropy"] == (
        [1, 2, 3, 4],
        pytest.approx([2.1, 1.1, 2 / 3 + 0.1, 0.6]),
    )
    assert f1["training, as published"][1] == pytest.approx([0.3, 0.4, 0.5, 0.6])
    assert f1["validation, no background"][1] == pytest.approx([0.1, 0.15, 0.2, 0.25])
    assert recall["mean"][1] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert recall["GLY"][1] == pytest.approx([0.16, 0.26, 0.36, 0.46])
    assert "TRP" not in recall
    assert "none or unknown" not in recall
    assert len(recall) == 20
    # Each line has its name at its end, and names do not cover each other.
    names = {one.get_text(): one for one in axes[5].texts if one.get_text() in recall}
    assert names.keys() == recall.keys()
    assert names["GLY"].xy == (4, pytest.approx(0.46))
    heights = sorted(one.get_position()[1] for one in names.values())
    assert min(b - a for a, b in pairwise(heights)) > 0.04
    assert 0 <= heights[0] < heights[-1] <= 1


def test_losses_that_differ_a_hundredfold_are_both_seen() -> None:
    rows = history()
    assert draw_curves({"run": rows}).axes[0].get_yscale() == "linear"
    small = [r._replace(value=r.value / 100) if r.part == "validation" else r for r in rows]
    assert draw_curves({"run": small}).axes[0].get_yscale() == "log"


def test_names_are_moved_as_little_as_possible() -> None:
    assert spread([]) == []
    assert spread([0.2, 0.5, 0.9], 0.1) == pytest.approx([0.2, 0.5, 0.9])
    assert spread([0.5, 0.5, 0.9], 0.1) == pytest.approx([0.45, 0.55, 0.9])
    assert spread([0.99, 1.0], 0.1) == pytest.approx([0.9, 1.0])
    assert spread([0.0, 0.0], 0.1) == pytest.approx([0.0, 0.1])


def test_undefined_numbers_are_no_points() -> None:
    found = curves_of(history(2))
    assert ("train", "amino", "recall", "TRP") not in found
    assert found["train", "atom", "loss", ""] == [(1, 2.2), (2, 1.2)]


def test_two_runs_stand_below_each_other() -> None:
    figure = draw_curves({"first": history(2), "second": history(1)})
    assert len(figure.axes) == 12
    assert figure.subfigs[2].texts[0].get_text() == "second: atoms"
    with pytest.raises(ConfigError, match="third: no epoch has ended"):
        draw_curves({"third": []})


def test_the_command_draws_a_run_and_refuses_what_is_none(tmp_path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(ConfigError, match="no training is kept there"):
        CliRunner().invoke(app, ["plot", str(run)], catch_exceptions=False)
    (run / "config.json").write_text(json.dumps({}))
    with pytest.raises(ConfigError, match="no epoch has ended"):
        CliRunner().invoke(app, ["plot", str(run)], catch_exceptions=False)
    write_history(run / "history.csv", history())
    result = CliRunner().invoke(app, ["plot", str(run)])
    assert result.exit_code == 0, result.output
    assert (run / "curves.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ConfigError, match="say which with --out"):
        CliRunner().invoke(app, ["plot", str(run), str(run)], catch_exceptions=False)


def test_no_picture_is_replaced_unasked(tmp_path) -> None:
    for name in ("a/run", "b/run"):
        run = tmp_path / name
        run.mkdir(parents=True)
        (run / "config.json").write_text("{}")
        write_history(run / "history.csv", history(2))
    runs, out = [str(tmp_path / "a/run"), str(tmp_path / "b/run")], tmp_path / "both.svg"

    def plot(*arguments: str) -> None:
        CliRunner().invoke(app, ["plot", *runs, *arguments], catch_exceptions=False)

    out.write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        plot("--out", str(out))
    assert out.read_text() == "mine"
    plot("--out", str(out), "--overwrite")
    # Runs of equal names are told apart by their folders, and none is left out.
    picture = out.read_text()
    assert all(f"<!-- {run}: atoms -->" in picture for run in runs)
    with pytest.raises(ConfigError, match="end its name in one of"):
        plot("--out", str(tmp_path / "both.gif"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "b", "both.svg"]
