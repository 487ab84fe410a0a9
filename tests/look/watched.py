"""A page of a browser that remembers what it asked for and what it complained of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

READY_MS = 60_000

PIXEL = """(canvas, [x, y]) => {
  if (!canvas.dataset.triangles) {
    const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, -x, -y);
    return [...copy.getImageData(0, 0, 1, 1).data];
  }
  const gl = canvas.getContext("webgl2"), found = new Uint8Array(4);
  gl.readPixels(x, canvas.height - 1 - y, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, found);
  return [...found];
}"""


class Watched:
    """A page under watch.

    Parameters
    ----------
    page
        A new page.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.messages: list[str] = []
        self.allowed: tuple[str, ...] = ("file://", "data:", "blob:")
        self.may_complain = False
        page.context.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.messages.append(f"uncaught: {error}"))

    def open(self, url: str, *, allow: str | None = None) -> Page:
        """Go to an address and wait until its program has drawn it."""
        if allow is not None:
            self.allowed = (*self.allowed, allow)
        self.page.goto(url)
        self.page.wait_for_selector("main[data-ready]", timeout=READY_MS)
        return self.page

    def outside(self) -> list[str]:
        """Return what was asked of another place than is allowed."""
        return [url for url in self.requests if not url.startswith(self.allowed)]

    def check(self) -> None:
        """Fail on a request to elsewhere, on any message of the console, on an uncaught error."""
        assert self.requests, "the page was never opened"
        assert self.outside() == []
        if not self.may_complain:
            assert self.messages == []

    def texts(self, selector: str) -> list[str]:
        """Return the text of each element."""
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]

    def pixel(self, selector: str, x: float, y: float) -> list[int]:
        """Return red, green, blue, alpha of a canvas, counted from its upper left corner."""
        found: list[int] = self.page.locator(selector).evaluate(PIXEL, [int(x), int(y)])
        return found

    def data(self, selector: str, name: str) -> Any:
        """Return a data attribute of an element."""
        return self.page.locator(selector).get_attribute(f"data-{name}")

    def slide(self, selector: str, value: float) -> None:
        """Put a slider to a value, as a hand does."""
        self.page.locator(selector).evaluate(
            "(one, value) => { one.value = value; one.dispatchEvent(new Event('input')); }", value
        )

    def shot(self, path: Path, *, whole: bool = False, height: int = 900) -> Path:
        """Take a picture and return where it is."""
        self.page.set_viewport_size({"width": 1280, "height": height})
        self.page.wait_for_timeout(300)
        self.page.screenshot(path=path, full_page=whole, type="jpeg", quality=70)
        return path
