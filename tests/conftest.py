"""Fixtures that every test shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No deadline, because the first call of a kernel compiles it. "ci" tries the same examples on
# every run, "nightly" a hundred times as many, other ones each time.
_QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("dev", deadline=None, suppress_health_check=_QUIET)
settings.register_profile(
    "ci",
    deadline=None,
    suppress_health_check=_QUIET,
    derandomize=True,
    database=None,
    max_examples=50,
    print_blob=True,
)
settings.register_profile(
    "nightly", deadline=None, suppress_health_check=_QUIET, max_examples=5000, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real maps and models beside the project; the test skips where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("real maps and models (../shared/data) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def fuzz_factor() -> int:
    """How many times the usual number of mutants a fuzz test tries: 10 in the nightly profile."""
    return 10 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 1


@pytest.fixture(scope="session")
def golden_labels() -> Path:
    """JSON file of masks made by the published label programs; skips where it is absent."""
    path = SHARED / "reference" / "golden_labels.json"
    if not path.is_file():
        pytest.skip("golden label file (../shared/reference) is not on this machine")
    return path


@pytest.fixture(scope="session")
def demo_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Catalog of the demonstration's simulated maps and models, to be read only."""
    from c2s_data.sources.simulate import write_demo_inputs

    return write_demo_inputs(tmp_path_factory.mktemp("demo-inputs"))
