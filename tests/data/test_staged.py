"""Inputs of a bucket as files of this machine."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from c2s_data.errors import StoreError
from c2s_data.staged import staged_input, staged_network


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    memory = fsspec.filesystem("memory")
    for name, body in {
        "table.csv": b"a,b\n",
        "weights/config.json": b"{}",
        "weights/deep/model.safetensors": bytes(100_000),
        "run/best.safetensors": b"best",
        "run/config.json": b"{}",
        "run/checkpoints/step-1/large": b"not wanted",
    }.items():
        memory.pipe_file(f"/{tmp_path.name}/{name}", body)
    return f"memory://{tmp_path.name}"


def below(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_path_stays_as_it_is(tmp_path: Path) -> None:
    assert staged_input("some/where.csv") == Path("some/where.csv")
    assert staged_input(f"file://{tmp_path}/x.csv") == tmp_path / "x.csv"
    assert staged_network("runs/a") == Path("runs/a")


def test_a_file_and_a_folder_come_whole_under_their_names(bucket: str) -> None:
    table = staged_input(f"{bucket}/table.csv")
    assert (table.name, table.read_bytes()) == ("table.csv", b"a,b\n")
    weights = staged_input(f"{bucket}/weights/")
    assert weights.name == "weights"
    assert below(weights) == {"config.json": 2, "deep/model.safetensors": 100_000}
    for name in ("absent.csv", "tab"):
        with pytest.raises(StoreError, match="no such file or folder"):
            staged_input(f"{bucket}/{name}")


def test_of_a_run_only_the_network_comes(bucket: str) -> None:
    assert below(staged_network(f"{bucket}/run")) == {"best.safetensors": 4, "config.json": 2}
    assert staged_network(f"{bucket}/run/best.safetensors").read_bytes() == b"best"
    with pytest.raises(StoreError, match="neither a network file nor a run"):
        staged_network(f"{bucket}/nothing")


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/w/../../evil", b"1")
    with pytest.raises(StoreError, match="leave the store"):
        staged_input(f"memory://{tmp_path.name}/w")
