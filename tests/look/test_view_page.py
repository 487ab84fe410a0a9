"""``c2s-data view`` in a browser: what a click, a wheel and a slider show."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from c2s_data.explore.palette import CLASS_COLORS
from c2s_data.store.reader import Store

ENTRY = "DEMO-0001"
# Programs that a shell starts in the background ignore Ctrl-C, and so do their children.
COMMAND = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from c2s_data.cli import main; sys.argv[0] = 'c2s-data'; main()"
)


@pytest.fixture(scope="session")
def address(looked: Store) -> Iterator[str]:
    """Address of the command as a user runs it; it must end with Ctrl-C."""
    command = [sys.executable, "-c", COMMAND, "view", looked.url]
    settings = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=settings) as process:
        line = process.stdout.readline()
        yield re.search(r"http://\S+", line).group()
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
        assert (process.returncode, said.splitlines()[-1]) == (0, "stopped")


@pytest.fixture
def middle(looked: Store) -> list[int]:
    """Voxel z, y, x that a map is opened at.

    How large the simulated map is depends by a voxel on how the processor's library rounds.
    """
    return [n // 2 for n in looked.entry(ENTRY).shape_zyx]


@pytest.fixture
def map_page(watched, address, middle):
    """The page of one map, all of it drawn, at its middle."""
    page = watched.open(f"{address}#{ENTRY}", allow=address)
    page.wait_for_selector("main[data-volume]")
    wait_for_planes(page, middle)
    return page


def wait_for_planes(page, position_zyx, labels: str = "") -> None:
    for axis, index in zip("zyx", position_zyx, strict=True):
        page.wait_for_selector(
            f"#plane-{axis}[data-index='{index}'][data-level='0'][data-labels='{labels}']"
        )


def place(page, axis: int, down: int, across: int, shape) -> tuple[float, float]:
    """Return where the middle of a voxel of a plane is, as shares of its picture's sides."""
    rows, columns = (shape[k] for k in range(3) if k != axis)
    return (across + 0.5) / columns, 1 - (down + 0.5) / rows


def gray_of(value: float) -> list[int]:
    return [242, 163, 58] if value >= 1 else [int(float(value) * 254)] * 3


def test_from_the_catalog_to_a_map_and_back(watched, address) -> None:
    page = watched.open(address, allow=address)
    assert page.inner_text("#count") == "5 of 5 entries"
    page.click(f"tr[data-entry={ENTRY}] td:nth-child(5)")
    page.wait_for_selector(f"main[data-ready={ENTRY}]")
    page.click("#to-catalog")
    page.wait_for_selector("main[data-ready=catalog]")
    page.click("tr[data-entry=BROKEN] a")
    page.wait_for_selector("main[data-ready=BROKEN]")
    assert "[not-mrc]" in page.inner_text("main")


def test_the_middle_comes_first_with_its_gray(watched, map_page, looked, middle) -> None:
    density = looked.read_map(ENTRY, "density").astype(float)
    z, y, x = middle
    assert map_page.inner_text("#readout").startswith(f"voxel z {z}, y {y}, x {x}")
    plane = density[z]
    brightest = np.unravel_index(plane.argmax(), plane.shape)
    x, y = place(map_page, 0, *brightest, density.shape)
    size = map_page.locator("#plane-z").evaluate("one => [one.width, one.height]")
    found = watched.pixel("#plane-z", x * size[0], y * size[1])
    assert np.abs(np.subtract(found[:3], gray_of(plane[brightest]))).max() <= 1


def test_a_click_moves_the_other_planes(watched, map_page, looked, middle) -> None:
    z, shape = middle[0], looked.entry(ENTRY).shape_zyx
    density = looked.read_map(ENTRY, "density").astype(float)
    box = map_page.locator("#plane-z").bounding_box()
    x, y = place(map_page, 0, 60, 30, shape)
    map_page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    wait_for_planes(map_page, [z, 60, 30])
    value = density[z, 60, 30]
    origin = looked.entry(ENTRY).origin_xyz_A
    world = ", ".join(f"{o + v:.1f}" for o, v in zip(origin, (30, 60, z), strict=True))
    said = map_page.inner_text("#readout").replace("\N{MINUS SIGN}", "-")
    assert said.startswith(f"voxel z {z}, y 60, x 30; at ({world}) Å; density ")
    assert float(said.rsplit(" ", 1)[-1]) == pytest.approx(min(value, 1), abs=0.01)
    box = map_page.locator("#plane-x").bounding_box()
    x, y = place(map_page, 2, 20, 50, shape)
    map_page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    wait_for_planes(map_page, [20, 50, 30])


def test_wheel_and_slider_slide(watched, map_page, looked, middle) -> None:
    z, y, x = middle
    map_page.locator("#plane-y").hover()
    map_page.mouse.wheel(0, -100)
    wait_for_planes(map_page, [z, y + 1, x])
    map_page.mouse.wheel(0, 100)
    wait_for_planes(map_page, [z, y, x])
    watched.slide("#slider-z", z + 20)
    wait_for_planes(map_page, [z + 20, y, x])
    map_page.locator("#slider-z").focus()
    map_page.keyboard.press("End")
    last = looked.entry(ENTRY).shape_zyx[0] - 1
    wait_for_planes(map_page, [last, y, x])


@pytest.mark.parametrize("mask", ["atom", "secondary", "amino"])
def test_labels_lie_on_their_voxels(watched, map_page, looked, mask, picture) -> None:
    labels = looked.read_map(ENTRY, mask)
    voxel = tuple(int(one) for one in np.argwhere(labels)[len(np.argwhere(labels)) // 2])
    for axis, index in zip("zyx", voxel, strict=True):
        watched.slide(f"#slider-{axis}", index)
    map_page.select_option("#mask", mask)
    map_page.uncheck("#around")
    wait_for_planes(map_page, voxel, mask)
    color = next(color for value, _, color in CLASS_COLORS[mask] if value == labels[voxel])
    wanted = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
    for axis in range(3):
        down, across = (voxel[k] for k in range(3) if k != axis)
        canvas = f"#plane-{'zyx'[axis]}"
        size = map_page.locator(canvas).evaluate("one => [one.width, one.height]")
        x, y = place(map_page, axis, down, across, labels.shape)
        assert watched.pixel(canvas, x * size[0], y * size[1])[:3] == wanted
    name = next(name for value, name, _ in CLASS_COLORS[mask] if value == labels[voxel])
    assert map_page.inner_text("#readout").endswith(f"{mask} {name}")
    assert watched.shot(picture(f"view-test-{mask}.jpg"), whole=True).stat().st_size > 20_000


def test_only_what_is_looked_at_is_read(watched, map_page, middle) -> None:
    asked = [re.sub(r"^http://[^/]+/[^/]+/", "", url) for url in watched.requests]
    assert asked[1:3] == [f"overview/{ENTRY}", f"plane/{ENTRY}/density/0/{middle[0]}"]
    assert len(asked) == 6, "the page, the overview, three planes, the volume"


def test_a_closer_look_keeps_clicks_and_pixels_in_place(watched, map_page, looked, middle) -> None:
    z = middle[0]
    map_page.check("#closer")
    table, density = looked.residues(ENTRY), looked.read_map(ENTRY, "density").astype(float)
    low = [max(0, int(table[f"voxel_{axis}"].min()) - 12) for axis in "zyx"]
    high = [
        min(n, int(table[f"voxel_{axis}"].max()) + 13)
        for axis, n in zip("zyx", density.shape, strict=True)
    ]
    assert high[1] - low[1] < density.shape[1], "there is something to leave out"
    box = map_page.locator("#plane-z").bounding_box()
    x, y = ((v + 0.5 - low[k]) / (high[k] - low[k]) for k, v in ((2, 30), (1, 60)))
    map_page.mouse.click(box["x"] + x * box["width"], box["y"] + (1 - y) * box["height"])
    wait_for_planes(map_page, [z, 60, 30])
    size = map_page.locator("#plane-z").evaluate("one => [one.width, one.height]")
    inside = density[z, low[1] : high[1], low[2] : high[2]]
    r, c = np.unravel_index(inside.argmax(), inside.shape)
    x, y = (c + 0.5) / inside.shape[1] * size[0], (1 - (r + 0.5) / inside.shape[0]) * size[1]
    found = watched.pixel("#plane-z", x, y)[:3]
    assert np.abs(np.subtract(found, gray_of(inside.max()))).max() <= 1


def test_the_place_is_marked_in_the_surface(watched, map_page) -> None:
    map_page.uncheck("#surface")
    map_page.uncheck("#tube")
    assert watched.data("#scene", "triangles") == "8"
    map_page.check("#tube")
    assert int(watched.data("#scene", "triangles")) > 5000
