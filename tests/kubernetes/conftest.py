"""An emulated Kubernetes, one for each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from api_server import Kubernetes

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "faults"))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubernetes]:
    """An API server with an operator and a node; KUBECONFIG leads to it."""
    for name in ("aiohttp", "kr8s", "dask_kubernetes", "jsonschema"):
        pytest.importorskip(name, reason=f"{name} is not installed; `make test-kubernetes` has it")
    from api_server import Kubernetes

    (tmp_path / "pods").mkdir()
    made = Kubernetes(tmp_path / "pods")
    monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig()))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    yield made
    made.stop()
    assert not made.pods.is_running()
