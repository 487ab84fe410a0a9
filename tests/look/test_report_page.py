"""The report of a store in a browser: what it shows, and that it shows it alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import HOSTILE, RESOLUTION_A

from c2s_data.explore.pages.catalog_document import catalog_document
from c2s_data.explore.pages.constants import constants
from c2s_data.explore.pages.packed import as_text, pack
from c2s_data.explore.pages.page import page as page_of
from c2s_data.explore.pages.report import PROGRAMS, write_report
from c2s_data.store.reader import Store

SHOWN = "#catalog tbody tr"
FIRST = f"{SHOWN} td:nth-child(2)"


@pytest.fixture(scope="session")
def one_file(looked: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = write_report(looked, tmp_path_factory.mktemp("one") / "report.html")
    assert (done.folder, done.n_pages, done.errors) == (None, 3, {})
    return done.path


def test_the_catalog_sorts_by_values(watched, one_file, picture) -> None:
    page = watched.open(one_file.as_uri())
    assert watched.texts(FIRST) == ["BROKEN", "DEMO-0001", "DEMO-0003", "GONE", "SHIFTED"]
    page.click("th[data-key=resolution_A] button")
    falling = sorted(RESOLUTION_A, key=RESOLUTION_A.get, reverse=True)
    assert watched.texts(FIRST) == falling
    page.click("th[data-key=resolution_A] button")
    assert watched.texts(FIRST) == falling[::-1]
    assert page.get_attribute("th[data-key=resolution_A]", "aria-sort") == "ascending"
    page.click("th[data-key=q_score] button")
    assert watched.texts(FIRST)[-2:] == ["BROKEN", "GONE"], "what has no value comes last"
    assert watched.texts(FIRST)[2] == "SHIFTED"
    assert watched.shot(picture("report-test-catalog.jpg")).stat().st_size > 10_000


def test_the_catalog_filters_and_counts(watched, one_file, looked) -> None:
    page = watched.open(one_file.as_uri())
    count = lambda: page.inner_text("#count")  # noqa: E731
    assert count() == "5 of 5 entries"
    page.fill("#search", "demo")
    assert (count(), watched.texts(FIRST)) == ("2 of 5 entries", ["DEMO-0001", "DEMO-0003"])
    page.fill("#search", "mismatch")
    assert watched.texts(FIRST) == ["SHIFTED"], "a flag is found"
    page.fill("#search", "")
    page.select_option("#split", "train")
    assert count() == "3 of 5 entries"
    page.fill("#to", "2.9")
    assert watched.texts(FIRST) == ["DEMO-0001"]
    page.select_option("#split", "")
    page.fill("#to", "")
    page.fill("#from", "4")
    assert watched.texts(FIRST) == ["BROKEN"]
    page.fill("#from", "")
    page.select_option("#state", "withdrawn")
    assert watched.texts(FIRST) == ["GONE"]
    n_subgrids = sum(entry.n_subgrids for entry in looked.entries)
    assert f"{n_subgrids:,}" in watched.texts(".tile b")


def test_failed_and_withdrawn_entries_say_why(watched, one_file, looked) -> None:
    page = watched.open(one_file.as_uri())
    page.click("tr[data-entry=BROKEN] a")
    page.wait_for_selector("main[data-ready=BROKEN]")
    assert "[not-mrc]" in page.inner_text("main")
    assert looked.failures["BROKEN"] in page.inner_text("main")
    page.click("main a")
    page.wait_for_selector("main[data-ready=catalog]")
    assert HOSTILE in page.inner_text("tr[data-entry=GONE]"), "markup of a store is only text"
    assert page.title() == "looked.zarr"
    assert page.locator("img").count() == 0


def test_a_map_shows_what_the_store_says(watched, one_file, looked, picture) -> None:
    page = watched.open(f"{one_file.as_uri()}#SHIFTED")
    facts, text = looked.entry("SHIFTED").facts, page.inner_text("main")
    assert facts["quality_flags"] != []
    assert all(flag in page.inner_text("#flags") for flag in facts["quality_flags"])
    assert f"{facts['q_score']:.2f}".replace("-", "\N{MINUS SIGN}") in page.inner_text("#quality")
    assert HOSTILE in text
    assert looked.fingerprint in text
    assert page.title() == "SHIFTED"
    assert watched.shot(picture("report-test-map.jpg"), whole=True).stat().st_size > 30_000


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_have_the_gray_of_their_voxels(watched, one_file, looked, axis) -> None:
    page = watched.open(f"{one_file.as_uri()}#DEMO-0001")
    page.select_option("#labels", "")
    row = next(row for row in looked.rows if row["entry_id"] == "DEMO-0001")
    density = looked.read_map("DEMO-0001", "density").astype(float)
    middle = row["source_shape_zyx"][axis] // 2
    at = int(middle * row["source_voxel_size_zyx_A"][axis] + 0.5)
    plane = np.take(density, at, axis=axis)
    raw = looked.statistics("DEMO-0001")[("raw_slice_yx", "raw_slice_zx", "raw_slice_zy")[axis]]
    for name, values in (("normalized", plane), ("raw", raw / row["percentile_value"])):
        check_grays(watched, f"#{name}-{'zyx'[axis]}", values)


def check_grays(watched, canvas: str, values) -> None:
    """The brightest voxel, the lowest and some others, each at its place in the picture."""
    size = watched.page.locator(canvas).evaluate("one => [one.width, one.height]")
    rng = np.random.default_rng(5)
    rows, columns = values.shape
    places = [
        divmod(int(one), columns)
        for one in rng.integers(0, values.size // 2, 25) + values.size // 2
    ]
    places += [
        np.unravel_index(values.argmax(), values.shape),
        np.unravel_index(values.argmin(), values.shape),
    ]
    seen = set()
    for r, c in places:
        x, y = (c + 0.5) * size[0] / columns, size[1] - (r + 0.5) * size[1] / rows
        if y > size[1] - 30:
            continue  # Under the scale bar.
        value = float(values[r, c])
        wanted = (
            [24, 38, 66] if value < 0 else [242, 163, 58] if value >= 1 else [int(value * 254)] * 3
        )
        found = watched.pixel(canvas, x, y)[:3]
        assert np.abs(np.subtract(found, wanted)).max() <= 1, (r, c, value)
        seen.add(tuple(wanted))
    assert len(seen) > 5


def test_the_surface_and_the_trace_are_drawn(watched, one_file) -> None:
    page = watched.open(f"{one_file.as_uri()}#DEMO-0001")
    page.wait_for_selector("#scene[data-drawn]")
    triangles = lambda: int(watched.data("#scene", "triangles"))  # noqa: E731
    both = triangles()
    watched.slide("#contour", 0.9)
    higher = triangles()
    page.uncheck("#surface")
    tube_alone = triangles()
    assert both > higher > tube_alone > 5000
    page.wait_for_timeout(200)
    colors = scene_colors(page)
    assert colors["red"] > 1000, "helices"
    assert colors["blue"] > 1000, "strands"
    page.select_option("#coloring", "chain")
    page.wait_for_timeout(200)
    assert scene_colors(page)["red"] == 0
    page.uncheck("#tube")
    page.wait_for_timeout(200)
    assert scene_colors(page) == {"red": 0, "blue": 0}
    assert triangles() == 0


def scene_colors(page) -> dict[str, int]:
    """Count pixels of the scene that are clearly red, or blue."""
    found = page.locator("#scene").evaluate(
        """canvas => {
          const gl = canvas.getContext("webgl2");
          const data = new Uint8Array(4 * canvas.width * canvas.height);
          gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, data);
          let [red, blue] = [0, 0];
          for (let i = 0; i < data.length; i += 4) {
            red += data[i] > 1.6 * data[i + 1] && data[i] > 1.3 * data[i + 2];
            blue += data[i + 2] > 1.4 * data[i] && data[i + 2] > 1.15 * data[i + 1];
          }
          return { red, blue };
        }"""
    )
    return dict(found)


def test_turning_changes_the_picture(watched, one_file) -> None:
    page = watched.open(f"{one_file.as_uri()}#DEMO-0001")
    page.wait_for_selector("#scene[data-drawn]")
    before = page.locator("#scene").screenshot()
    box = page.locator("#scene").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 420, box["y"] + 240, steps=4)
    page.mouse.up()
    page.wait_for_timeout(300)
    assert page.locator("#scene").screenshot() != before


def test_without_webgl_the_rest_is_there(watched, one_file) -> None:
    watched.page.add_init_script(
        "const old = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...more) {"
        "  return kind === 'webgl2' ? null : old.call(this, kind, ...more); };"
    )
    page = watched.open(f"{one_file.as_uri()}#DEMO-0001")
    assert "WebGL" in page.inner_text("#no-webgl")
    assert page.locator("#quality .tile").count() == 6
    assert page.locator("#normalized-z").evaluate("one => one.width") > 100


def test_beyond_a_few_maps_there_is_a_page_each(watched, looked, tmp_path) -> None:
    done = write_report(looked, tmp_path / "many maps.html", inline_maps=2)
    assert sorted(path.name for path in done.folder.iterdir()) == [
        f"{name}.html" for name in ("DEMO-0001", "DEMO-0003", "SHIFTED")
    ]
    page = watched.open(done.path.as_uri())
    page.click("tr[data-entry=DEMO-0003] td:nth-child(5)")
    page.wait_for_selector("main[data-ready=DEMO-0003]")
    assert page.url.endswith("many%20maps_maps/DEMO-0003.html")
    page.click("#to-catalog")
    page.wait_for_selector("main[data-ready=catalog]")
    page.click("tr[data-entry=BROKEN] a")
    page.wait_for_selector("main[data-ready=BROKEN]")


def test_ten_thousand_entries_stay_small_and_quick(watched, looked, tmp_path) -> None:
    good = [row for row in looked.rows if row["failure_reason"] is None]
    rows = [
        {
            **good[k % len(good)],
            "entry_id": f"EMD-{k:05d}",
            "resolution_A": 2 + (k * 7919 % 997) / 500,
        }
        for k in range(10_000)
    ]
    document = catalog_document(replace(looked, rows=tuple(rows)), "maps")
    data = {"constants": as_text(pack(constants())), "catalog": as_text(pack(document))}
    path = tmp_path / "big.html"
    path.write_text(page_of("big", PROGRAMS, data))
    assert path.stat().st_size < 3e6
    page = watched.open(path.as_uri())
    assert page.inner_text("#count") == "10,000 of 10,000 entries"
    page.click("th[data-key=resolution_A] button")
    page.click("th[data-key=resolution_A] button")
    page.click("#next")
    ordered = sorted(rows, key=lambda row: (round(row["resolution_A"], 3), row["entry_id"]))
    assert watched.texts(f"{SHOWN} td:nth-child(1)") == [row["entry_id"] for row in ordered[50:100]]
    page.fill("#search", "emd-0999")
    assert page.inner_text("#count") == "10 of 10,000 entries"


def test_nothing_of_elsewhere_can_run(watched, one_file, tmp_path) -> None:
    watched.may_complain = True
    path = tmp_path / "changed.html"
    evil = "<script>document.title = 'taken over'</script><img src='http://127.0.0.1:9/x'>"
    path.write_text(one_file.read_text().replace("</body>", f"{evil}</body>"))
    page = watched.open(path.as_uri())
    assert page.title() == "looked.zarr"
    assert len([text for text in watched.messages if "Content Security Policy" in text]) == 2
    watched.requests = [url for url in watched.requests if not url.endswith(":9/x")]
