"""A headless Chromium that is watched, and a store with everything that a page must show."""

from __future__ import annotations

import csv
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import gemmi
import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "data"))

pytest.register_assert_rewrite("watched")

from records_store import build  # noqa: E402 - found on the path of the line above
from watched import Watched  # noqa: E402

from c2s_data.cli import app  # noqa: E402
from c2s_data.config import make_config  # noqa: E402
from c2s_data.store.reader import Store, open_store  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FLAGS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
HOSTILE = '</script><img src=x onerror="document.title=\'taken over\'"> & "quotes"'
RESOLUTION_A = {"DEMO-0001": 2.8, "DEMO-0003": 3.6, "SHIFTED": 3.2, "GONE": 3.0, "BROKEN": 4.5}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; skips where it or Playwright is absent."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed; `make test-look` installs it on Debian")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    as_root = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS + as_root)
        yield launched
        launched.close()


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """A page whose requests and messages are recorded; the test fails on what should not be."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = Watched(context.new_page())
    yield page
    context.close()
    page.check()


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[str], Path]:
    """Where a picture goes: beside the test, or into the folder that C2S_PICTURES names."""
    folder = Path(os.environ.get("C2S_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: folder / name


@pytest.fixture(scope="session")
def looked(demo_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two good maps, one whose model is moved, one withdrawn, one that is no map; hostile text."""
    folder = tmp_path_factory.mktemp("looked")
    inputs = demo_catalog.parent
    moved = gemmi.read_structure(str(inputs / "DEMO-0003.cif"))
    moved[0].transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(), gemmi.Vec3(3, 2, 1)))
    moved.make_mmcif_document().write_file(str(folder / "moved.cif"))
    (folder / "broken.map").write_text("no map at all\n" * 200)
    files = {
        "DEMO-0001": (inputs / "DEMO-0001.map.gz", inputs / "DEMO-0001.cif", "train"),
        "DEMO-0003": (inputs / "DEMO-0003.map.gz", inputs / "DEMO-0003.cif", "validation"),
        "SHIFTED": (inputs / "DEMO-0003.map.gz", folder / "moved.cif", "test"),
        "GONE": (inputs / "DEMO-0003.map.gz", inputs / "DEMO-0003.cif", "train"),
        "BROKEN": (folder / "broken.map", inputs / "DEMO-0001.cif", "train"),
    }
    catalog = folder / "catalog.csv"
    with catalog.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["entry_id", "map", "model", "resolution_A", "split", "title"])
        for name, (density, model, split) in files.items():
            rows.writerow([name, density, model, RESOLUTION_A[name], split, HOSTILE])
    store = build(catalog, folder / "looked.zarr", make_config("recommended"))
    left_out = CliRunner().invoke(app, ["withdraw", store.url, "GONE", "--reason", HOSTILE])
    assert left_out.exit_code == 0, left_out.output
    return open_store(store.url)
