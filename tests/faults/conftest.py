"""How a fault test gets its budget and reports what was lost; one line per row at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from guarantees_table import BUDGET, ROW_IDS, chosen, lines_of, merge_results, results_path

_PROPERTY = "fault-row"
_rows: dict[str, list[dict[str, object]]] = {}
_ran: set[str] = set()


@pytest.fixture(scope="session")
def budget() -> Callable[[int, int], int]:
    """``budget(smoke, full)``: the second number with FULL=1 in the environment."""
    return chosen


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Callable[..., None]:
    """``row(id, injected, times, lost, note="")``: to be called once the assertions hold.

    A test that fails afterwards reports nothing.
    """

    def report(id: str, injected: str, times: int, lost: int, note: str = "") -> None:
        if id not in ROW_IDS:
            raise ValueError(f"{id!r} is no row of the matrix: {' '.join(ROW_IDS)}")
        said = {"id": id, "injected": injected, "times": int(times), "lost": int(lost)}
        # User properties travel with the report, from the workers of xdist too.
        request.node.user_properties.append((_PROPERTY, said | {"note": note}))

    return report


@pytest.fixture(scope="session")
def tiny_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Catalog of eight small maps, to be read only."""
    from builds import write_inputs

    return write_inputs(tmp_path_factory.mktemp("tiny") / "inputs")


@pytest.fixture(scope="session")
def undisturbed(tiny_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of the store that one process, without Dask, makes of ``tiny_catalog``."""
    from builds import digests, run

    folder = tmp_path_factory.mktemp("undisturbed")
    store = folder / "store.zarr"
    for arguments in (
        ("plan", tiny_catalog, store, "--preset=recommended"),
        ("build", tiny_catalog, store, "--part=1/1"),
        ("commit", store),
    ):
        done = run(folder / "logs", *arguments)
        assert done.process.returncode == 0, done.output
    return digests(store)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "faults" not in report.nodeid:
        return
    _ran.add(report.nodeid)
    if report.when == "call" and report.passed:
        said = [value for name, value in report.user_properties if name == _PROPERTY]
        if said:
            _rows[report.nodeid] = said


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _ran and not hasattr(session.config, "workerinput"):
        merge_results(results_path(), BUDGET, _ran, _rows, session.config.rootpath)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = lines_of({BUDGET: _rows})
    if not lines:
        return
    terminalreporter.section(f"faults, {BUDGET} budgets: injected, how often, lost")
    for line in lines:
        note = f" ({line.note})" if line.note else ""
        terminalreporter.write_line(
            f"{line.id:<3} {line.injected}: {line.times:,} times, {line.lost:,} lost{note}"
        )
