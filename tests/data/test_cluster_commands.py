"""Every command that spreads its work takes one set of options, and finds and makes the same."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from distributed import Client
from typer.main import get_command
from typer.testing import CliRunner

from c2s_data.build import run_entries
from c2s_data.cli import app
from c2s_data.cluster.connect import connect
from c2s_data.cluster.spec import Local
from c2s_data.config import make_config
from c2s_data.distribute import map_over_workers
from c2s_data.errors import ClusterError, ConfigError
from c2s_data.plan import make_plan
from c2s_data.repair import repair
from c2s_data.sources.catalog import read_catalog
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.objects import open_objects
from c2s_data.store.spread import in_order, one_after_another
from c2s_data.store.verify import Report, verify
from c2s_data.validation.run import validate_store

OPTIONS = {"cluster", "workers", "insecure", "performance_report"}


@pytest.fixture(scope="module")
def built(demo_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "store.zarr"
    plan = make_plan(read_catalog(demo_catalog), make_config("recommended"))
    objects = open_objects(folder)
    begin_store(objects, plan)
    run_entries(objects.url, plan, plan.entries, lambda outcome: None)
    assert not commit(objects, plan).failures
    return folder


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with connect(Local(workers=2)) as made:
        yield made


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "store.zarr"))


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "leases"
    }


def damage(store: Path) -> list[str]:
    """Change a byte, cut a file off, remove one, each in another array."""
    shards = sorted((store / "subgrids").glob("*/c/*/0/0/0"))
    changed, cut, gone = shards[0], shards[2], shards[-1]
    data = bytearray(changed.read_bytes())
    data[len(data) // 3] ^= 1
    changed.write_bytes(data)
    cut.write_bytes(cut.read_bytes()[:-100])
    gone.unlink()
    return [path.relative_to(store).as_posix() for path in (changed, cut, gone)]


def told(report: Report) -> tuple[Any, ...]:
    return report.faults, report.notes, report.stored_sha256, report.decoded_sha256


def test_every_command_with_workers_takes_every_option_of_a_cluster() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    names = {name: {p.name for p in command.params} for name, command in commands.items()}
    found = {name for name, options in names.items() if "cluster" in options}
    assert found == {"build", "import", "verify", "repair", "report", "validate"}
    for name in found:
        assert names[name] >= OPTIONS, name
    assert {name for name, options in names.items() if "endpoint" not in options} == {"demo"}


@pytest.mark.parametrize("level", ["quick", "default", "full"])
def test_verifying_on_workers_finds_the_same(level: Any, store: Path, client: Client) -> None:
    objects, spread = open_objects(store), partial(map_over_workers, client)
    here, there = verify(objects, level), verify(objects, level, spread=spread)
    assert here.is_clean
    assert told(there) == told(here)
    assert (there.n_objects, there.nbytes) == (here.n_objects, here.nbytes)
    assert (here.decoded_sha256 is None) == (level != "full")
    keys = damage(store)
    here, there = verify(objects, level), verify(objects, level, spread=spread)
    assert told(there) == told(here)
    by_size = keys[1:]  # A changed byte shows in the sha256 alone.
    expected = by_size if level == "quick" else keys
    assert {fault.key for fault in there.faults} == set(expected)


def test_repair_on_workers_restores_the_same_bytes(
    store: Path, built: Path, client: Client
) -> None:
    keys = damage(store)
    steps: list[str] = []
    spread = partial(map_over_workers, client)
    done = repair(open_objects(store), on_step=steps.append, spread=spread)
    assert sorted(done.restored) == sorted(keys)
    assert not done.refused
    assert done.after.is_clean
    assert digests(store) == digests(built)
    assert steps[0] == "verifying"
    assert all("building anew for" in step for step in steps[1:])


def test_validating_on_workers_finds_the_same(built: Path, client: Client) -> None:
    here = validate_store(str(built))
    there = validate_store(str(built), spread=partial(map_over_workers, client))
    assert there.findings == here.findings
    assert len({finding.entry_id for finding in there.findings}) >= 3


def failing(function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterator[Any]:
    """Spread over workers that are all lost."""
    for item in items:
        yield item, ClusterError("lost")


def test_lost_workers_turn_no_damage_into_a_clean_store(store: Path) -> None:
    keys = damage(store)
    objects = open_objects(store)
    assert told(verify(objects, "full", spread=failing)) == told(verify(objects, "full"))
    done = repair(objects, spread=failing)
    assert {key for key in keys if "lost" in done.refused.get(key, "")} == set(keys)
    assert not done.after.is_clean
    with pytest.raises(ClusterError, match="no worker could check it"):
        validate_store(str(store), spread=failing)


def backwards(function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterator[Any]:
    yield from reversed(list(one_after_another(function, items)))


def test_results_come_in_the_order_of_their_items() -> None:
    assert list(in_order(backwards, abs, [-3, 2, -1])) == [(-3, 3), (2, 2), (-1, 1)]
    assert list(in_order(one_after_another, abs, [])) == []


def run(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_commands_pass_it_on(store: Path) -> None:
    keys = damage(store)
    found = run("verify", store, "--json", "--cluster=local", "--workers=1")
    document = json.loads(found.stdout)
    assert {fault["key"] for fault in document["faults"]} >= set(keys)
    mended = run("repair", store, "--workers=1")
    assert mended.exit_code == 0, mended.output
    assert "Dask dashboard: http://127.0.0.1:" in mended.output
    with pytest.raises(ConfigError, match="add --cluster or --workers"):
        raise run("verify", store, "--insecure").exception
    with pytest.raises(ConfigError, match="--jobs makes processes here"):
        raise run("validate", store, "--jobs=2", "--workers=1").exception
