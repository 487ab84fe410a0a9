"""One HTML file that needs nothing else: style, programs, data, and a policy that says so.

The policy names the sha256 of the style and of each program, so a browser runs nothing else that
might find its way into the page, and asks no other place for anything.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

STYLE: Final = ("base.css",)


@cache
def asset(name: str) -> str:
    """Return the text of one of the package's style sheets or programs."""
    return (files("c2s_data.explore.pages") / "assets" / name).read_text("utf-8")


def page(
    title: str, programs: Sequence[str], data: Mapping[str, str], *, connects: bool = False
) -> str:
    """Return a page.

    Parameters
    ----------
    title
        Any text.
    programs
        Names of assets, run in this order.
    data
        Packed documents by the id that programs find them under; see `packed.as_text`.
    connects
        Whether the page may ask the server that it came from.
    """
    style = "".join(asset(name) for name in STYLE)
    scripts = [asset(name) for name in programs]
    blocks = [
        f'<script type="text/plain" id="{html.escape(k)}">{v}</script>' for k, v in data.items()
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy(programs, connects)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            '<link rel="icon" href="data:,">',
            f"<title>{html.escape(title)}</title>",
            f"<style>{style}</style></head><body>",
            '<main id="page"><noscript>This page is drawn by its own programs; '
            "allow JavaScript to see it.</noscript></main>",
            *blocks,
            *(f"<script>{script}</script>" for script in scripts),
            "</body></html>\n",
        ]
    )


def policy(programs: Sequence[str], connects: bool) -> str:
    """Return the content security policy of a page with these programs."""
    scripts = " ".join(_digest(asset(name)) for name in programs)
    style = _digest("".join(asset(name) for name in STYLE))
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {scripts}",
            f"style-src {style}",
            "img-src data: blob:",
            f"connect-src {_SELF if connects else _NONE}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


_SELF, _NONE = "'self'", "'none'"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
