"""A viewer that knows OME-Zarr and nothing of us shows a map as it is stored, at its place in Å."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from range_server import serving
from records_store import build

from c2s_data.config import make_config
from c2s_data.store.reader import Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / ".cache/neuroglancer"
VOXELS_A_PIXEL = 0.25
ENTRY = "DEMO-0001"
PATIENCE_S = 120


@pytest.fixture(scope="module")
def store(demo_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Neuroglancer knows float32 and no float16."""
    config = make_config("recommended", density_dtype="float32", quality=False, gate="off")
    return build(demo_catalog, tmp_path_factory.mktemp("neuroglancer") / "store.zarr", config)


def test_a_plane_in_neuroglancer_is_the_stored_one(
    store: Store, browser: Browser, picture: Callable[[str], Path]
) -> None:
    if not INSTALLED.exists():
        pytest.skip("neuroglancer is not installed; `make test-look` installs it aside")
    density = store.read_map(ENTRY, "density")
    entry = next(e for e in store.entries if e.entry_id == ENTRY)
    origin_zyx_A = np.array(entry.origin_xyz_A[::-1])
    middle = np.array(density.shape) // 2
    expected = density[:, :, middle[2]]
    assert expected.std() > 0.05
    with serving(Path(store.url)) as (address, asked):
        source = f"zarr3://{address}/maps/{entry.group}/"
        place = [str(value) for value in (*(origin_zyx_A + middle), VOXELS_A_PIXEL)]
        command = [sys.executable, str(HERE / "neuroglancer_page.py"), source, *place]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(INSTALLED)},
        ) as process:
            page = browser.new_page(viewport={"width": 900, "height": 700})
            outside: list[str] = []
            page.on(
                "request",
                lambda one: None if "//127.0.0.1:" in one.url else outside.append(one.url),
            )
            page.goto(process.stdout.readline().strip())
            deadline = time.monotonic() + PATIENCE_S
            difference = 1.0
            while difference > 0.02 and time.monotonic() < deadline:
                time.sleep(0.5)
                seen = shown(page.screenshot(), middle, expected.shape)
                difference = float(np.abs(seen - expected).mean())
            page.screenshot(path=picture("neuroglancer.jpg"), quality=80, type="jpeg")
            page.close()
            process.stdin.close()
    assert difference <= 0.02
    assert np.corrcoef(seen.ravel(), expected.ravel())[0, 1] > 0.98
    # Mirrored, it would be another picture.
    assert np.abs(seen - expected[::-1]).mean() > 2 * difference
    assert np.abs(seen - expected[:, ::-1]).mean() > 2 * difference
    assert {path.rpartition("/c/")[0] for path in asked if "/s0/density/c/" in path}
    assert outside == []


def shown(screenshot: bytes, middle: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the gray of each voxel of the plane, (z, y), from the middle of what it covers."""
    gray = np.asarray(Image.open(io.BytesIO(screenshot)).convert("L")) / 255
    left, top = 2, 48  # What lies around the plane in neuroglancer's window.
    center = np.array([(left + gray.shape[1]) / 2, (top + gray.shape[0]) / 2])
    columns = center[0] + (np.arange(shape[0]) - middle[0]) / VOXELS_A_PIXEL
    rows = center[1] + (np.arange(shape[1]) - middle[1]) / VOXELS_A_PIXEL
    return gray[np.ix_(np.round(rows).astype(int), np.round(columns).astype(int))].T
