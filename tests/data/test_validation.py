"""A sound store passes every check with the numbers that its preset must give."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from validation_stores import (
    ENTRY_ID,
    PRESETS,
    Built,
    build,
    config_of,
    message,
    numbers,
    numbers_with,
    statuses,
    store_of,
    with_facts,
    write_pair,
    write_store,
)

import c2s_data.cli.validating
from c2s_data.cli.app import app
from c2s_data.errors import StoreError
from c2s_data.plan import make_plan
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.sources.density_map import DensityMap, read_density_map, write_density_map
from c2s_data.store.reader import open_store
from c2s_data.validation.checks import CHECKS
from c2s_data.validation.run import validate_store

assert c2s_data.cli.validating  # it registers the command


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> CatalogEntry:
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module", params=PRESETS)
def sound(
    request: pytest.FixtureRequest, entry: CatalogEntry, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Built, str]:
    built = build(entry, config_of(request.param))
    return built, store_of(tmp_path_factory.mktemp("sound"), built)


def test_every_check_is_made_and_none_fails(sound: tuple[Built, str]) -> None:
    built, url = sound
    report = validate_store(url)
    found = statuses(report)
    assert list(CHECKS) == [outcome.check.number for outcome in report.outcomes]
    assert set(found) == set(CHECKS)
    assert numbers_with(report, "fail") == set(), [f.message for f in report.findings]
    assert numbers_with(report, "skip") == set()
    saturated = built.made.facts["saturated_ca_share"] > 0.5
    assert numbers_with(report, "warn") == ({"P8"} if saturated else set())
    assert report.is_valid
    # With noise over the whole box both published percentiles saturate, the signal's does not.
    assert saturated == (built.plan.config.preset != "recommended")


def test_numbers_of_a_sound_store(sound: tuple[Built, str]) -> None:
    built, url = sound
    report = validate_store(url)
    store = open_store(url)
    nearest = built.plan.config.label_rule == "nearest"
    assert numbers(report, "L2")["share"] == 1.0
    bias = numbers(report, "L3")
    n_ca = numbers(report, "L8")["n_ca"]
    for axis in "xyz":
        # Five standard errors of an even spread over one voxel.
        assert bias[f"bias_{axis}_A"] == pytest.approx(
            0.0 if nearest else -0.5, abs=5 * 12**-0.5 / n_ca**0.5
        )
    assert bias["mean_distance_A"] == pytest.approx(0.48 if nearest else 0.96, abs=0.1)
    density = store.read_map(ENTRY_ID, "density").astype(np.float64)
    ca = store.read_map(ENTRY_ID, "ca")
    assert numbers(report, "P8")["saturated_ca_share"] == (density[ca > 0] == 1).mean()
    assert numbers(report, "P9")["normalized_mean"] == pytest.approx(density.mean(), rel=1e-9)
    assert numbers(report, "P6") == {"smallest": 0.0, "largest": 1.0, "n_outside": 0}
    assert numbers(report, "L10")["n_compared"] == built.planned.n_subgrids
    assert numbers(report, "M12") == {"n_files": 5, "n_wrong": 0}
    assert numbers(report, "L13")["right_handed_share"] > 0.9
    assert numbers(report, "L12")["ca_density_sd"] > 2


def test_the_papers_round_trip_is_exact_only_for_whole_number_origins(
    entry: CatalogEntry, tmp_path: Path
) -> None:
    density = read_density_map(entry.map)
    origin = tuple(float(round(value)) for value in density.origin_xyz_A)
    assert origin != density.origin_xyz_A
    moved = DensityMap(density.values_zyx, density.voxel_size_zyx_A, origin)
    write_density_map(tmp_path / "whole.mrc", moved)
    shares = []
    for name, path in (("fraction", entry.map), ("whole", str(tmp_path / "whole.mrc"))):
        built = build(replace(entry, map=path), config_of("paper"))
        report = validate_store(store_of(tmp_path / name, built))
        assert statuses(report)["L1"] == "pass"
        assert "reported, not judged" in message(report, "L1")
        assert numbers(report, "L2")["share"] == 1.0
        shares.append(numbers(report, "L1")["share"])
    # The labels are right in both: the count tells the origin, not a fault.
    assert shares[1] == 1.0
    assert shares[0] < 0.6


def test_a_source_that_is_gone_is_not_held_against_the_store(
    entry: CatalogEntry, tmp_path: Path
) -> None:
    moved = write_pair(tmp_path / "inputs")
    url = store_of(tmp_path, build(moved, config_of("released")))
    Path(moved.map).unlink()
    Path(moved.model).unlink()
    report = validate_store(url)
    assert report.is_valid
    assert numbers_with(report, "skip") == {"L12"}
    assert "not at hand" in message(report, "P4")
    assert "not at hand" in message(report, "L12")


def test_entries_jobs_and_json(entry: CatalogEntry, tmp_path: Path) -> None:
    config = config_of("paper")
    entries = [entry, replace(entry, entry_id="MADE-0002", emdb_id=None)]
    plan = make_plan(entries, config)
    built = build(entry, config)
    other = with_facts(built.made, raw_mean=7.0)
    other = replace(other, inputs=())
    url = write_store(tmp_path, plan, [built.made, other])
    both = validate_store(url, jobs=2)
    assert [f.entry_id for f in both.findings] == sorted(f.entry_id for f in both.findings)
    alone = validate_store(url, ["MADE-0002"])
    assert set(statuses(alone, "MADE-0002")) == set(CHECKS)
    assert alone.findings == tuple(f for f in both.findings if f.entry_id == "MADE-0002")
    assert numbers_with(alone, "fail") == {"P9"}  # by its histogram the mean is not 7
    with pytest.raises(StoreError, match="no entry 'nobody'"):
        validate_store(url, ["nobody"])

    done = CliRunner().invoke(app, ["validate", url, "--json"])
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["valid"] is False
    assert [check["number"] for check in document["checks"]] == list(CHECKS)
    (statistics,) = (check for check in document["checks"] if check["number"] == "P9")
    assert statistics["worst_entry"] == "MADE-0002"
    assert statistics["counts"] == {"skip": 0, "pass": 1, "warn": 0, "fail": 1}
    assert statistics["numbers"]["raw_mean"]["max"] == 7.0
    done = CliRunner().invoke(app, ["validate", url, "--entries", ENTRY_ID])
    assert done.exit_code == 0, done.output
    for check in CHECKS.values():
        assert check.section in done.output
    assert "0% of the maps exact" in done.output  # The origin is no whole number.
    assert "94 % of the maps exact" in " ".join(done.output.split())
