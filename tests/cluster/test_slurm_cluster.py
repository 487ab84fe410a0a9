"""Builds by SLURM jobs of Dask workers: the same bytes, whatever becomes of jobs and nodes."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
import yaml
from builds import INSTRUMENTED, Build, building, digests, run
from slurm_server import SlurmServer

BAD_INPUT_S = 60.0


def slurm_file(folder: Path, **keys: object) -> Path:
    """Write a file as deploy/slurm.yaml explains it: jobs of one worker, one job on each node."""
    document = {
        "kind": "slurm",
        "workers": 2,
        "minimum": 2,
        "workers_per_job": 1,
        "memory_per_worker": "5GB",
        "walltime": "00:10:00",
        "interface": "lo",
        "shared_directory": str(folder),
        "log_directory": str(folder / "slurm-logs"),
    }
    path = folder / "slurm.yaml"
    path.write_text(yaml.safe_dump(document | keys))
    return path


def build_command(catalog: Path, store: Path, where: Path, *options: str) -> list[str | Path]:
    return ["build", catalog, store, "--preset=recommended", f"--cluster={where}", *options]


def slowed(slurm: SlurmServer) -> dict[str, object]:
    """Environment that jobs inherit: their workers log what they build, and take their time.

    So long that one worker is not done with all maps before another takes the place of a lost one.
    """
    return {
        "SLURM_CONF": slurm.environment["SLURM_CONF"],
        "C2S_TEST_DELAY": 8,
        "DASK_DISTRIBUTED__WORKER__PRELOAD": f'["{INSTRUMENTED}"]',
    }


def wait_for_end_of(build: Build, n: int) -> None:
    ended = lambda: sum(e.what == "end" for e in build.events()) >= n  # noqa: E731
    assert build.wait_until(ended, 120), build.output


def test_a_job_cancelled_and_a_node_taken_down_leave_no_trace(
    tiny_catalog: Path, as_on_a_laptop: dict[str, str], slurm: SlurmServer, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    command = build_command(tiny_catalog, store, slurm_file(tmp_path))
    with building(tmp_path, *command, **slowed(slurm)) as build:
        wait_for_end_of(build, 1)
        first = slurm.jobs("RUNNING")
        assert sorted(first.values()) == ["n1", "n2"], "one job on each node"
        cancelled = min(first)
        slurm.run("scancel", cancelled)
        replaced = lambda: set(slurm.jobs("RUNNING")) - set(first)  # noqa: E731
        assert build.wait_until(replaced, 120), build.output
        assert cancelled not in slurm.jobs("RUNNING")
        slurm.set_node("n2", "DOWN")
        assert set(slurm.jobs("RUNNING").values()) <= {"n1"}
        assert build.wait() == 0, build.output
        assert build.in_flight(), "a map was being built by a worker that was lost"
    assert digests(store) == as_on_a_laptop
    assert "Dask dashboard: http://127.0.0.1:" in build.output
    assert "SLURM: up to 2 jobs of 1 workers, walltime 0-00:10:00" in build.output
    slurm.wait_until(lambda: not slurm.waiting(), "end of all jobs when the command has ended")
    # The key of the connections is gone with it.
    assert list(tmp_path.glob(".dask-jobqueue*")) == []


def test_one_node_goes_on_with_what_a_laptop_began_and_reports(
    tiny_catalog: Path, as_on_a_laptop: dict[str, str], slurm: SlurmServer, tmp_path: Path
) -> None:
    store, report = tmp_path / "store.zarr", tmp_path / "report.html"
    for begun in (("plan",), ("build", "--part=1/2")):
        laptop = run(tmp_path, begun[0], tiny_catalog, store, "--preset=recommended", *begun[1:])
        assert laptop.process.returncode == 0, laptop.output
    where = slurm_file(tmp_path, partition="one", workers_per_job=2, memory_per_worker="2GB")
    command = build_command(tiny_catalog, store, where, f"--performance-report={report}")
    done = run(tmp_path, *command, SLURM_CONF=slurm.environment["SLURM_CONF"])
    assert done.process.returncode == 0, done.output
    assert "4 were finished by an earlier run" in done.output
    assert digests(store) == as_on_a_laptop
    assert "build_and_write" in report.read_text("utf-8")
    scripts = [path.name for path in (tmp_path / "slurm-logs").iterdir()]
    assert scripts, "logs of the jobs"


def fails(folder: Path, slurm: SlurmServer, where: Path, catalog: Path) -> str:
    """Return what a build says that cannot begin, and see that it left nothing behind."""
    store, began = folder / "store.zarr", time.monotonic()
    done = run(
        folder,
        *build_command(catalog, store, where),
        SLURM_CONF=slurm.environment["SLURM_CONF"],
    )
    assert time.monotonic() - began < BAD_INPUT_S
    assert done.process.returncode == 2, done.output
    assert not (store / "_c2s" / "LATEST.json").exists()
    with contextlib.suppress(FileNotFoundError):
        assert list((store / "_c2s" / "receipts").iterdir()) == []
    slurm.wait_until(lambda: not slurm.waiting(), "no job left behind")
    return done.output


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"partition": "none"}, "SLURM refuses such a job: .*invalid partition"),
        ({"memory_per_worker": "900GB"}, "SLURM refuses such a job: .*correct partition"),
        ({"interface": "eth77"}, "the scheduler does not start: .*eth77"),
    ],
)
def test_a_job_that_slurm_refuses_is_told(
    keys: dict, told: str, tiny_catalog: Path, slurm: SlurmServer, tmp_path: Path
) -> None:
    import re

    output = fails(tmp_path, slurm, slurm_file(tmp_path, **keys), tiny_catalog)
    assert re.search(told, " ".join(output.split())), output


def test_a_node_without_python_is_told_with_the_log(
    tiny_catalog: Path, slurm: SlurmServer, tmp_path: Path
) -> None:
    where = slurm_file(tmp_path, python="/none/bin/python")
    output = fails(tmp_path, slurm, where, tiny_catalog)
    assert "it ended without a worker joining" in output
    assert "/none/bin/python: No such file" in output


def test_a_node_without_the_package_is_told(
    tiny_catalog: Path, slurm: SlurmServer, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "sitecustomize.py").write_text(
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'c2s_data':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
    )
    where = slurm_file(tmp_path, prologue=[f"export PYTHONPATH={bare}"])
    output = fails(tmp_path, slurm, where, tiny_catalog)
    assert "has no cryo2struct-store" in output
    assert "No module named 'c2s_data'" in output
