"""Pictures of the documentation, of real maps: made on demand, C2S_PICTURES=docs/images."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pairs import PAIRS
from records_store import build
from test_view_page import wait_for_planes

from c2s_data.config import make_config
from c2s_data.explore.pages.report import write_report
from c2s_data.explore.pages.view_server import ViewServer
from c2s_data.store.reader import Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
LARGEST_BYTES = 150_000
NOTEBOOK_STYLE = (
    "body { font: 15px/1.45 sans-serif; margin: 24px 36px; color: #22303c } "
    "pre { background: #f5f7f9; padding: 8px 12px; overflow: hidden; font-size: 13px } "
    ".prompt, .anchor-link { display: none } img { max-width: 100% } "
    "table { border-collapse: collapse } "
    "td, th { padding: 2px 8px }"
)

pytestmark = pytest.mark.skipif(
    not os.environ.get("C2S_PICTURES"), reason="C2S_PICTURES names no folder for pictures"
)

TO_FIRST_FIGURE = (
    "window.scrollBy(0, document.querySelector('img').getBoundingClientRect().top - 420)"
)


@contextlib.contextmanager
def served(store: Store) -> Iterator[str]:
    """Serve a store; a test that fails must not leave the thread that ends with no one."""
    with ViewServer(store) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("real")
    catalog = folder / "catalog.csv"
    with catalog.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["entry_id", "emdb_id", "map", "model", "resolution_A", "split"])
        for pair in PAIRS:
            files = [shared_data / "pairs" / name for name in (pair.map, pair.model)]
            rows.writerow([pair.emdb_id, pair.emdb_id, *files, pair.resolution_A, pair.split])
        (folder / "EMD-9999.map").write_text("a page that says: no such file\n" * 100)
        rows.writerow(["EMD-9999", "EMD-9999", "EMD-9999.map", files[1], 3.1, "train"])
    return build(catalog, folder / "maps.zarr", make_config("recommended"))


def small(path: Path) -> None:
    assert 10_000 < path.stat().st_size <= LARGEST_BYTES


def test_pictures_of_the_report(watched, real, tmp_path, picture) -> None:
    report = write_report(real, tmp_path / "report.html").path
    watched.open(report.as_uri())
    small(watched.shot(picture("report-catalog.jpg")))
    page = watched.open(f"{report.as_uri()}#EMD-2513")
    page.wait_for_selector("#scene[data-drawn]")
    small(watched.shot(picture("report-map.jpg")))
    page.locator("#raw-z").scroll_into_view_if_needed()
    small(watched.shot(picture("report-planes.jpg")))


def test_pictures_of_the_viewer(watched, real, picture) -> None:
    with served(real) as url:
        page = watched.open(f"{url}#EMD-0093", allow=url)
        page.wait_for_selector("main[data-volume]")
        residues = real.residues("EMD-0093")
        middle = [round(float(residues[f"voxel_{axis}"].mean())) for axis in "zyx"]
        for axis, index in zip("zyx", middle, strict=True):
            watched.slide(f"#slider-{axis}", index)
        page.select_option("#mask", "secondary")
        page.check("#closer")
        wait_for_planes(page, middle, "secondary")
        small(watched.shot(picture("view.jpg"), height=1240))


def test_picture_of_a_backbone(watched, demo_catalog, tmp_path, picture) -> None:
    demo = pytest.importorskip("c2s_model.demo", reason="torch is not installed")
    run_report = pytest.importorskip("c2s_model.run_report")
    shutil.copytree(demo_catalog.parent, tmp_path / "inputs")
    catalog = tmp_path / "inputs" / demo_catalog.name
    build(catalog, tmp_path / "demo.zarr", make_config("paper"))
    made = demo.backbone_demo(tmp_path)
    truth = tmp_path / "inputs" / f"{made.entry_id}.cif"
    out = tmp_path / "run.html"
    run_report.write_run_report(made.model, out, made.model.parent / "work", truth)
    page = watched.open(out.as_uri())
    page.check("#show-candidates")
    page.wait_for_selector("#scene[data-drawn]")
    small(watched.shot(picture("report-run.jpg")))


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_picture_of_a_notebook(browser: Browser, picture, tmp_path: Path, path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbconvert = pytest.importorskip("nbconvert", reason="nbconvert is not installed")
    document = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(document, timeout=300, resources=resources).execute()
    html, _ = nbconvert.HTMLExporter(template_name="basic").from_notebook_node(document)
    shown = tmp_path / "notebook.html"
    shown.write_text(f"<meta charset=utf-8><style>{NOTEBOOK_STYLE}</style>{html}", "utf-8")
    page = browser.new_page(viewport={"width": 1000, "height": 1200})
    page.route("http*://**", lambda route: route.abort())
    page.goto(shown.as_uri())
    if page.locator("img").count():
        page.locator("img").first.scroll_into_view_if_needed()
        page.evaluate(TO_FIRST_FIGURE)
    place = picture(f"notebook-{path.stem[:2]}.jpg")
    page.screenshot(path=place, type="jpeg", quality=60)
    page.close()
    small(place)
