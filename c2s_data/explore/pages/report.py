"""Write the report of a store: one file while it is small, beyond that a catalog and many pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import C2SError, ConfigError
from c2s_data.explore.pages.catalog_document import HAS_MAP, catalog_document
from c2s_data.explore.pages.constants import constants
from c2s_data.explore.pages.map_document import map_document
from c2s_data.explore.pages.packed import as_text, pack
from c2s_data.explore.pages.page import page
from c2s_data.store.reader import Store, open_store
from c2s_data.store.spread import Spread, one_after_another

PROGRAMS: Final = (
    "packed.js", "colors.js", "plots.js", "surface.js", "tube.js", "scene.js", "planes.js",
    "map_page.js", "catalog.js", "report.js",
)  # fmt: skip
INLINE_MAPS: Final = 20
"""Up to so many maps are all inside one file."""
THUMBNAILS: Final = 200
"""Up to so many maps have a small picture in the catalog, so that its page stays small."""
THUMBNAIL_SIDE: Final = 48


class MadePage(NamedTuple):
    """The page of one map before it is written: its packed text and a small picture (y, x)."""

    text: str
    thumbnail: NDArray[np.uint8]


@dataclass(frozen=True)
class Report:
    """What was written: the first page, the pages of maps, and why some could not be made."""

    path: Path
    folder: Path | None
    n_pages: int
    errors: dict[str, str] = field(default_factory=dict)


def write_report(
    store: Store,
    out: Path,
    *,
    spread: Spread = one_after_another,
    inline_maps: int = INLINE_MAPS,
    overwrite: bool = False,
    on_page: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Write the report of a store's generation.

    Parameters
    ----------
    store
        An opened store, of any place.
    out
        The HTML file; beyond ``inline_maps`` maps their pages are in the folder beside it that is
        named as it is, with ``_maps`` in the place of the suffix.
    spread
        Makes the pages; see `c2s_data.store.spread`. Workers return them, and this process writes.
    overwrite
        Whether to replace a report of this name.
    on_page
        Told how many pages are made, and how many there will be.

    Raises
    ------
    ConfigError
        If something of this name is there.
    StoreError
        In this process, without workers, nothing: a map whose objects are damaged is in
        ``errors``, and on the first page, with the reason.
    """
    entries = [entry.entry_id for entry in store.entries]
    is_inline = len(entries) <= inline_maps
    folder = out.with_name(f"{out.stem}_maps")
    _check(out, folder, overwrite=overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.{os.getpid()}.part")
    pages = out.with_name(f".{folder.name}.{os.getpid()}.part")
    document = catalog_document(store, "inline" if is_inline else folder.name)
    data: dict[str, str] = {"constants": as_text(pack(constants()))}
    errors: dict[str, str] = {}
    thumbnails: dict[str, NDArray[np.uint8]] = {}
    make = partial(_made, store.url, store.generation, "" if is_inline else f"../{out.name}")
    try:
        if not is_inline:
            pages.mkdir()
        for done, (entry_id, made) in enumerate(spread(make, entries), 1):
            if isinstance(made, MadePage):
                if len(entries) <= THUMBNAILS:
                    thumbnails[entry_id] = made.thumbnail
                if is_inline:
                    data[f"map-{entry_id}"] = made.text
                else:
                    text = page(
                        entry_id, PROGRAMS, {"constants": data["constants"], "map": made.text}
                    )
                    (pages / f"{entry_id}.html").write_text(text, "utf-8")
            else:
                errors[entry_id] = str(made)
            on_page(done, len(entries))
        _mark(document, errors)
        document |= {"thumbnails": thumbnails, "errors": errors}
        data["catalog"] = as_text(pack(document))
        beside.write_text(page(document["title"], PROGRAMS, data), "utf-8")
        _publish(beside, out, None if is_inline else pages, folder)
    finally:
        beside.unlink(missing_ok=True)
        shutil.rmtree(pages, ignore_errors=True)
    return Report(out, None if is_inline else folder, len(entries) - len(errors), errors)


def _made(url: str, generation: int, back: str, entry_id: str) -> MadePage | str:
    """Make the page of one map, in any process; a damaged object is told, not raised."""
    try:
        document = map_document(_opened(url, generation), entry_id) | {"back": back}
    except C2SError as error:
        return str(error)
    return MadePage(as_text(pack(document)), thumbnail(document["volume"]["codes"]))


@lru_cache(maxsize=2)
def _opened(url: str, generation: int) -> Store:
    return open_store(url, generation)


def thumbnail(codes_zyx: NDArray[np.uint8], side: int = THUMBNAIL_SIDE) -> NDArray[np.uint8]:
    """Return the mean density seen along z, no more than ``side`` pixels wide or high."""
    seen = codes_zyx.mean(axis=0, dtype=np.float32)
    step = max(1, -(-max(seen.shape) // side))
    y, x = (n // step * step for n in seen.shape)
    small = seen[:y, :x].reshape(y // step, step, x // step, step).mean(axis=(1, 3))
    bright: NDArray[np.uint8] = np.rint(255 * small / max(float(small.max()), 1e-6)).astype(
        np.uint8
    )
    return bright


def _mark(document: dict[str, Any], errors: dict[str, str]) -> None:
    """Say in the catalog which maps have no page, and why."""
    columns = document["columns"]
    for row, entry_id in enumerate(columns["entry_id"]):
        if entry_id in errors and columns["state"][row] in HAS_MAP:
            columns["why"][row] = f"no page: {errors[entry_id]}"


def _check(out: Path, folder: Path, *, overwrite: bool) -> None:
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{out}: a report is an HTML file; give a name *.html")
    there: Sequence[Path] = [path for path in (out, folder) if path.exists()]
    if there and not overwrite:
        names = " and ".join(map(str, there))
        raise ConfigError(f"{names} exists already; choose another name, or add --overwrite")


def _publish(beside: Path, out: Path, pages: Path | None, folder: Path) -> None:
    """Put everything in its place; an older report of that name goes."""
    if folder.exists():
        shutil.rmtree(folder)
    if pages is not None:
        pages.replace(folder)
    beside.replace(out)
