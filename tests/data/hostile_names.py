"""Names that must never become a path, and a watch over what is written."""

from __future__ import annotations

from pathlib import Path

HOSTILE_NAMES = (
    *("", ".", "..", "...", "../x", "../../x", "a/../../x", "a/../b", "x/..", "..x", "x..", "a..b"),
    *("/x", "/etc/passwd", "//x", "a/b", "a//b", "a/", "./x", "a/./b", "~", "~root", "~/x", "*"),
    *("a\\b", "..\\x", "C:\\x", "\\\\host\\x", "C:x", "file:///x", "s3://b/x", "a::b", "a:b"),
    *("a\0b", "a\0/../x", "\0", "a\nb", "a\r\nb", "a\n", "a\tb", "a b", " a", "a ", "\u00a0a"),
    *("-x", "--help", "-", "_x", ".x", ".hidden", "x.", "x" * 65, "x" * 255, "x" * 256, "x" * 5000),
    *("é", "e\u0301", "ａ", "а", "٣", "x\u200b", "x\u202ey", "a\u2024\u2024b", "a\uff0fb", "𝐚"),
    *("\ud800", "\ufeffa", "zarr.json", "Zarr.JSON", "a.r2", "EMD-22898.r2", "a.R10", "a.r0"),
    *("`id`", "$(id)", "$HOME", "a;b", "a|b", "a&b", "a'b", 'a"b', "a,b", "<a>", "{a}", "[a]"),
    *("a#b", "a@b", "a*", "a?b", "%2e%2e", "a%2fb"),
)
"""Each refused as an entry_id."""

TWINS = (("Map", "mAp"), ("EMD-0001", "emd-0001"), ("x_1", "X_1"), ("a.B-c", "A.b-C"))
"""Usable alone, never together: a file system may not tell them apart."""


def everything_below(folder: Path) -> set[str]:
    """Return the paths of all files, folders and links below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
