"""D1, D2: a disk that fills up stops a build in words; one that is too small is seen at plan."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builds import N_ENTRIES, building, digests, is_committed, run
from guarantees_table import chosen

MB = 2**20
PRESET = "--preset=recommended"
Disk = Callable[[int], contextlib.AbstractContextManager[Path]]


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Mounts a disk of so many MB, which only the superuser can."""

    @contextlib.contextmanager
    def mounted(size_mb: int) -> Iterator[Path]:
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", folder]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small disk needs the superuser")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)

    return mounted


def grow(folder: Path, size_mb: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size_mb}m", folder], check=True)


def fill(folder: Path, spare_bytes: int) -> None:
    """Leave at most so many bytes free, while others write."""
    with (folder / "ballast").open("wb") as stream:
        while (size := free_bytes(folder) - spare_bytes) > 0:
            start = os.fstat(stream.fileno()).st_size
            with contextlib.suppress(OSError):  # Somebody was faster: what is free now is less.
                os.posix_fallocate(stream.fileno(), start, size)


def free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


@pytest.mark.parametrize("cell", range(chosen(1, 6)))
def test_a_disk_that_fills_up_stops_the_build_and_more_room_lets_it_go_on(
    cell: int, disk: Disk, tiny_catalog: Path, undisturbed: dict[str, str], tmp_path: Path, row
) -> None:
    with disk(60) as folder:
        store = folder / "store.zarr"
        command = ("build", tiny_catalog, store, PRESET, "--workers=2")
        with building(tmp_path / "logs", *command, C2S_TEST_DELAY=0.2) as build:
            n = 1 + cell % (N_ENTRIES - 3)
            ended = [lambda: sum(event.what == "end" for event in build.events()) >= n]
            assert build.wait_until(ended[0]), build.output
            fill(folder, spare_bytes=300_000 * (cell % 3))
            assert build.wait() == 2, build.output
        assert "No space left on device" in build.output
        assert "free space" in build.output
        assert "FAILED" not in build.output, "no map is to blame"
        assert not is_committed(store)
        grow(folder, 120)
        again = run(tmp_path / "logs", *command)
        assert again.process.returncode == 0, again.output
        assert digests(store) == undisturbed
    row("D1", "disk full while maps are built", 1, 0, "error names the disk; more room, same bytes")


@pytest.mark.parametrize("cell", range(chosen(1, 3)))
def test_a_disk_that_is_full_at_the_commit_leaves_nothing_committed(
    cell: int, disk: Disk, tiny_catalog: Path, undisturbed: dict[str, str], tmp_path: Path, row
) -> None:
    with disk(60) as folder:
        store = folder / "store.zarr"
        for arguments in (("plan", tiny_catalog, store, PRESET),
                          ("build", tiny_catalog, store, "--part=1/1")):  # fmt: skip
            assert run(tmp_path / "logs", *arguments).process.returncode == 0
        fill(folder, spare_bytes=20_000 * cell)
        full = run(tmp_path / "logs", "commit", store)
        assert full.process.returncode == 2, full.output
        assert "No space left on device" in full.output
        assert not is_committed(store)
        grow(folder, 120)
        assert run(tmp_path / "logs", "commit", store).process.returncode == 0
        assert digests(store) == undisturbed
    row("D1", "disk full at the commit", 1, 0, "not committed; more room, same bytes")


def test_a_disk_too_small_for_the_plan_is_refused_before_the_first_map(
    disk: Disk, tiny_catalog: Path, tmp_path: Path, row
) -> None:
    with disk(9) as folder:
        store = folder / "store.zarr"
        for command in ("plan", "build"):
            refused = run(tmp_path / "logs", command, tiny_catalog, store, PRESET)
            assert refused.process.returncode == 2, refused.output
            assert "MB are free there; free space or choose another place" in refused.output
            assert refused.begun() == []
            assert not (store / "subgrids").exists()
        grow(folder, 60)
        assert run(tmp_path / "logs", "plan", tiny_catalog, store, PRESET).process.returncode == 0
    row("D2", "free space below the estimate, plan and build", 2, 0, "refused at plan")


def estimate_over_size(catalog: Path, folder: Path, **options: str) -> float:
    """Return predicted over actual bytes of the objects of a store."""
    from c2s_data.build import run_entries
    from c2s_data.config import make_config
    from c2s_data.plan import make_plan
    from c2s_data.sources.catalog import read_catalog
    from c2s_data.store.begin import begin_store
    from c2s_data.store.objects import open_objects

    objects = open_objects(folder)
    plan = begin_store(objects, make_plan(read_catalog(catalog), make_config(**options)))
    failures = []
    run_entries(objects.url, plan, plan.entries, lambda outcome: failures.append(outcome.failure))
    assert set(failures) == {None}
    return plan.predicted_bytes / sum(nbytes for _, nbytes in objects.walk())


OPTIONS = [
    {"preset": "recommended"},
    {"preset": "recommended", "compressor": "zstd"},
    {"preset": "paper"},
    {"preset": "released"},  # float32
    {"preset": "paper", "compressor": "none"},
]


@pytest.mark.parametrize("options", OPTIONS[: chosen(1, 5)], ids=lambda o: "-".join(o.values()))
def test_the_estimate_of_simulated_maps_is_within_a_quarter(
    options: dict[str, str], demo_catalog: Path, tiny_catalog: Path, tmp_path: Path, row
) -> None:
    for catalog in (demo_catalog, tiny_catalog):
        store = tmp_path / catalog.parent.parent.name
        # "released" takes the origin from header words that made maps leave at 0.
        ratio = estimate_over_size(catalog, store, **options, origin="auto")
        assert 0.75 <= ratio <= 1.25
    row("D2", "estimate of a store", 2, 0, "within 25 % of its size")


@pytest.mark.parametrize("options", OPTIONS[: chosen(1, 5)], ids=lambda o: "-".join(o.values()))
def test_the_estimate_of_real_maps_is_within_a_quarter(
    options: dict[str, str],
    shared_data: Path,
    tmp_path: Path,
    row,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "data")
    from pairs import write_catalog

    catalog = write_catalog(tmp_path / "catalog.csv", shared_data)
    assert 0.75 <= estimate_over_size(catalog, tmp_path / "store.zarr", **options) <= 1.25
    row("D2", "estimate of a store", 1, 0, "within 25 % of its size")
