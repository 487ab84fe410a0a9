"""The demonstration ends with a backbone that is nearly all right, and says what it scored."""

from __future__ import annotations

import shutil

import pytest
from typer.testing import CliRunner

from c2s_data.build import run_entries
from c2s_data.config import make_config
from c2s_data.errors import ConfigError
from c2s_data.plan import make_plan
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.objects import open_objects
from c2s_model.cli import app
from c2s_model.demo import backbone_demo
from c2s_model.evaluation.evaluate import evaluate


@pytest.fixture
def folder(demo_catalog, tmp_path):
    """What `c2s-data demo` leaves, of its first map alone."""
    shutil.copytree(demo_catalog.parent, tmp_path / "inputs")
    objects = open_objects(tmp_path / "demo.zarr")
    config = make_config("recommended", quality=False, gate="off")
    entries = read_catalog(tmp_path / "inputs" / demo_catalog.name)[:1]
    plan = begin_store(objects, make_plan(entries, config))
    run_entries(objects.url, plan, plan.buildable, lambda outcome: None)
    commit(objects, plan)
    return tmp_path


def test_it_ends_with_a_backbone_and_its_scores(folder) -> None:
    done = backbone_demo(folder)
    again = evaluate(folder / "inputs" / f"{done.entry_id}.cif", done.model)
    assert again.comparison.whole.found_percent > 75
    assert again.comparison.whole.sequence_match_percent > 90
    assert done.evaluation.as_json() == again.as_json()
    assert done.picture.read_bytes()[:4] == b"\x89PNG"
    result = CliRunner().invoke(app, ["demo", str(folder)])  # over what is there
    assert result.exit_code == 0, result.output
    assert f"matching {again.comparison.whole.found_percent:.1f} %" in result.output


def test_without_the_store_it_says_what_to_run_first(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"run `c2s-data demo .*` first"):
        backbone_demo(tmp_path)
