"""A SLURM for the session, and builds to hold against those of one process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_server import SlurmServer, missing

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "faults"))
# Jobs inherit what sbatch sees: this package and the programs of this environment.
os.environ["PYTHONPATH"] = str(ROOT)
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))


@pytest.fixture(scope="session")
def slurm_server() -> Iterator[SlurmServer]:
    """SLURM with the nodes n1 and n2; partition ``two`` has both, ``one`` the first."""
    if absent := missing():
        pytest.skip(
            f"SLURM is not installed ({', '.join(absent)}); `make test-cluster` installs it"
        )
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    server = SlurmServer()
    yield server
    server.stop()


@pytest.fixture
def slurm(slurm_server: SlurmServer) -> Iterator[SlurmServer]:
    """The same, without jobs and with all nodes up before and after a test."""
    slurm_server.quiet()
    yield slurm_server
    slurm_server.quiet()


@pytest.fixture(scope="session")
def tiny_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Catalog of eight small maps, to be read only."""
    from builds import write_inputs

    return write_inputs(tmp_path_factory.mktemp("tiny") / "inputs")


@pytest.fixture(scope="session")
def local_store(tiny_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that a laptop makes of ``tiny_catalog``: ``--cluster local``."""
    from builds import run

    store = tmp_path_factory.mktemp("local") / "store.zarr"
    command = ("build", tiny_catalog, store, "--preset=recommended", "--cluster=local")
    done = run(store.parent / "logs", *command, "--workers=2")
    assert done.process.returncode == 0, done.output
    return store


@pytest.fixture(scope="session")
def as_on_a_laptop(local_store: Path) -> dict[str, str]:
    """Digests of every file of ``local_store``."""
    from builds import digests

    return digests(local_store)
