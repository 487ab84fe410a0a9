"""The scripts of deploy/slurm, run as docs/cluster.md shows them."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from builds import INSTRUMENTED, digests, finished, is_committed
from slurm_server import SlurmServer

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(
    r"^```\n(.*?)^```", (ROOT / "docs/cluster.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)
JOBS_S = 180.0


def block(word: str) -> str:
    """Return the block of docs/cluster.md that has a word."""
    [found] = [text for text in BLOCKS if word in text]
    return found


@pytest.fixture
def site(tiny_catalog: Path, tmp_path: Path) -> Path:
    """A folder in which the blocks run as they stand, and whose builds log what they do."""
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    rows = tiny_catalog.read_text().splitlines()
    inputs = [row.replace("TINY-", f"{tiny_catalog.parent}/TINY-").split(",") for row in rows[1:]]
    for row in inputs:
        row[0] = Path(row[0]).name
    text = "\n".join([rows[0], *(",".join(row) for row in inputs)])
    (tmp_path / "catalog.csv").write_text(text + "\n")
    program = tmp_path / "bin" / "c2s-data"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {INSTRUMENTED} "$@"\n')
    program.chmod(0o755)
    return tmp_path


def run_block(text: str, site: Path, slurm: SlurmServer, **settings: object) -> str:
    path = os.pathsep.join((str(site / "bin"), slurm.environment["PATH"]))
    asked = {name: str(value) for name, value in settings.items()}
    return slurm.run("bash", "-euxc", text, cwd=site, PATH=path, **asked)


def outputs(site: Path) -> Iterator[str]:
    for path in sorted(site.glob("slurm-*.out")):
        yield f"{path.name}:\n{path.read_text('utf-8', 'replace')}"


def events(log: Path, what: str) -> list[str]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.split()[1] for line in lines if line.startswith(what)]


def test_a_job_array_survives_a_cancelled_part_and_a_lost_node(
    as_on_a_laptop: dict[str, str], slurm: SlurmServer, site: Path
) -> None:
    store, log = site / "dataset.zarr", site / "events.log"
    array = block("--array=1-16").replace("1-16", "1-4")
    slowed = {"C2S_TEST_LOG": log, "C2S_TEST_DELAY": 2}
    run_block(array, site, slurm, **slowed)
    slurm.wait_until(lambda: events(log, "end"), "map", JOBS_S)
    running = slurm.jobs("RUNNING")
    assert sorted(set(running.values())) == ["n1", "n2"]
    assert len(running) == 4, "parts run at the same time"
    cancelled = next(job for job, node in running.items() if node == "n1")
    slurm.run("scancel", cancelled)
    lost = [job for job, node in running.items() if node == "n2"]
    slurm.set_node("n2", "DOWN")
    slurm.wait_until(lambda: set(lost) <= slurm.jobs("PENDING").keys(), "parts in the queue again")
    for job in lost:  # SLURM waits two minutes before it begins such a job again
        slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")
    slurm.wait_until(lambda: not slurm.waiting(), "end of all parts", JOBS_S)
    assert not is_committed(store)
    assert 4 <= len(finished(store)) < 8, "\n".join(outputs(site))
    missing = {f"TINY-{number:02d}" for number in range(8)} - finished(store)
    [refusal] = [text for text in outputs(site) if "commit" in text and "TINY" in text]
    assert {name for name in missing if name in refusal} == missing

    done_before = finished(store)
    began_before = len(events(log, "begin"))
    slurm.set_node("n2", "RESUME")
    _, *again = array.strip().splitlines()
    run_block("\n".join(again), site, slurm, **slowed)
    slurm.wait_until(lambda: not slurm.waiting(), "end of all parts", JOBS_S)
    assert is_committed(store), "\n".join(outputs(site))
    assert set(events(log, "begin")[began_before:]) == missing
    assert done_before | missing == finished(store)
    assert digests(store) == as_on_a_laptop


def test_the_tasks_of_one_allocation_build_the_same(
    as_on_a_laptop: dict[str, str], slurm: SlurmServer, site: Path
) -> None:
    text = block("allocation.sbatch").replace("--ntasks=18", "--wait --ntasks=5 --mem-per-cpu=1G")
    log = site / "events.log"
    run_block(text, site, slurm, C2S_TEST_LOG=log)
    [said] = outputs(site)
    assert "committed: " in said, said
    assert digests(site / "dataset.zarr") == as_on_a_laptop
    # Neither the scheduler's address nor the key of its connections is left.
    left = {path.name for path in site.iterdir()}
    assert not [name for name in left if name.startswith((".c2s-tls", "c2s-scheduler"))], left


def test_an_allocation_that_is_none_or_too_small_is_told(slurm: SlurmServer, site: Path) -> None:
    command = "c2s-data build catalog.csv dataset.zarr --cluster slurm-runner"
    said = run_block(f"{command} 2>&1 || echo exit code $?", site, slurm)
    assert "this is no task of srun" in said
    assert "exit code 2" in said
    said = run_block(f"srun -n 2 --mem=1G {command} 2>&1 || echo exit code $?", site, slurm)
    assert said.count("srun started 2 tasks") == 2
    assert "exit code 2" in said
    assert not (site / "dataset.zarr").exists()


def network(run: Path) -> str:
    [path] = (run / "checkpoints").glob("step-*/network.safetensors")
    return f"{path.parent.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_training_on_two_nodes_is_training_in_two_processes(
    local_store: Path, slurm: SlurmServer, site: Path
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    (site / "dataset.zarr").symlink_to(local_store)
    options = "--variant tiny --max-steps 3 --batch-size 2 --no-logs --no-validation"
    text = block("train.sbatch").strip().replace("--variant small", options)
    text = text.replace("--gpus-per-node=4", "--wait --cpus-per-task=1")
    run_block(text, site, slurm, PROCESSES=1)
    [said] = outputs(site)
    together = options.replace("--max-steps", "--threads 2 --max-steps")
    run_block(
        "torchrun --nproc-per-node 2 --no-python c2s-model train dataset.zarr alone " + together,
        site,
        slurm,
        OMP_NUM_THREADS=1,
    )
    assert network(site / "run") == network(site / "alone"), said
    assert network(site / "run").startswith("step-00000003 ")
