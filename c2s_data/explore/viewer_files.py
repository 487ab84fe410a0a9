"""One map of a store as files that ChimeraX and Mol* open: density, masks, model trace, scripts.

The scripts hold numbers, and names and colors of this package alone, nothing of what a store says:
a ChimeraX script may run any command, and a store may come from anywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c2s_data.errors import ConfigError
from c2s_data.explore.pages.volume import first_contour
from c2s_data.explore.palette import CLASS_COLORS
from c2s_data.explore.trace_file import TraceRun, trace_structure, trace_text
from c2s_data.schema import CLASS_NAMES, masks_of
from c2s_data.sources.density_map_writer import write_mrc
from c2s_data.store.reader import Store

DENSITY, TRACE, CHIMERAX, MOLSTAR = "density.mrc", "trace.cif", "view.cxc", "view.mvsj"
DENSITY_COLOR: Final = "#b4bec8"
DENSITY_OPACITY: Final = 0.35
MASK_LEVEL: Final = 0.5
_OTHER_COLOR: Final = "#8c96a3"
_SHOWN: Final = "atom"
_WHOLE: Final = "amino"
"""Twenty classes are no surfaces to look at: one file of classes; the trace has the colors."""
_MVS_VERSION: Final = "1"


class ClassFile(NamedTuple):
    """A mask in a file: one class as 0 and 1, or all of them as their values."""

    name: str
    mask: str
    color: str


def write_viewer_files(
    store: Store, entry_id: str, folder: Path, *, overwrite: bool = False
) -> list[str]:
    """Write a map and what lies over it; returns the names, those of the scripts last.

    Density and masks are at 1 A. A mask has one file for each class that occurs, cut to the box of
    its labels; ``amino`` is one file of classes. The scripts come last: where they are, all is.

    Parameters
    ----------
    store, entry_id
        The map.
    folder
        Made where it is missing.
    overwrite
        Replace what an earlier run wrote there.

    Raises
    ------
    StoreError
        There is no such entry, or an object of it is damaged.
    ConfigError
        One of the files is there already.
    """
    entry = store.entry(entry_id)
    there = [folder / name for name in _names() if (folder / name).exists()]
    if there and not overwrite:
        raise ConfigError(f"{there[0]} is there already; give --overwrite, or another folder")
    row = next(one for one in store.rows if one["map_index"] == entry.map_index)
    contour, _ = first_contour(row)
    structure, runs = trace_structure(store.residues(entry_id), entry_id)
    density = store.read_map(entry_id, "density").astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    for path in there:  # all: a mask may have fewer classes than it had
        path.unlink()
    _write(folder / DENSITY, density, entry.origin_xyz_A)
    masks = []
    for mask in masks_of(store.attrs.get("config", {}).get("extra_masks", ())):
        values = store.read_map(entry_id, mask)
        masks += list(_write_mask(folder, mask, values, entry.origin_xyz_A))
    (folder / TRACE).write_text(trace_text(structure), encoding="utf-8")
    (folder / MOLSTAR).write_text(molstar_view(contour, runs), encoding="utf-8")
    (folder / CHIMERAX).write_text(chimerax_script(contour, masks), encoding="utf-8")
    return [DENSITY, *(one.name for one in masks), TRACE, MOLSTAR, CHIMERAX]


def chimerax_script(contour: float, masks: Sequence[ClassFile]) -> str:
    """Return the ChimeraX commands that show the files: #1 the trace, #2 the density, then masks.

    ChimeraX runs a script in the script's own folder, so that names without a path are enough.
    """
    lines = [
        "# Run in ChimeraX: open view.cxc",
        "close session",
        "set bgColor white",
        f"open {TRACE}",
        "hide #1 atoms",
        "cartoon #1",
        f"color #1 {_secondary_color('coil')} target c",
        f"color #1 & helix {_secondary_color('helix')} target c",
        f"color #1 & strand {_secondary_color('strand')} target c",
        "show #1@CA atoms",
        "style #1 ball",
        f"color #1 {_OTHER_COLOR} target a",
        *(f"color #1:{name} {color} target a" for _, name, color in CLASS_COLORS["amino"]),
        f"open {DENSITY}",
        f"volume #2 style surface step 1 level {contour:.4g} color {DENSITY_COLOR} "
        f"transparency {1 - DENSITY_OPACITY:g}",
    ]
    for number, one in enumerate(masks, start=3):
        lines += [
            f"open {one.name}",
            f"volume #{number} style surface step 1 level {MASK_LEVEL:g} color {one.color}",
        ]
        if one.mask != _SHOWN:
            lines.append(f"hide #{number} models")
    return "\n".join([*lines, "view", ""])


def molstar_view(contour: float, runs: Sequence[TraceRun]) -> str:
    """Return a MolViewSpec document: the density's surface, the trace by secondary structure."""
    surface = _node(
        "volume_representation",
        {"type": "isosurface", "absolute_isovalue": round(contour, 6), "show_wireframe": False,
         "show_faces": True},
        [_node("color", {"color": DENSITY_COLOR}),
         _node("opacity", {"opacity": DENSITY_OPACITY})],
    )  # fmt: skip
    colors = {value: color for value, _, color in CLASS_COLORS["secondary"]}
    cartoon = _node(
        "representation",
        {"type": "cartoon"},
        [
            _node("color", {"color": colors.get(run.secondary, _OTHER_COLOR), "selector": {
                "label_asym_id": run.subchain,
                "beg_label_seq_id": run.first, "end_label_seq_id": run.last}})
            for run in runs
        ],
    )  # fmt: skip
    component = _node("component", {"selector": "polymer"}, [cartoon])
    trees = [
        _file(DENSITY, "map", _node("volume", {}, [surface])),
        _file(TRACE, "mmcif", _node("structure", {"type": "model"}, [component])),
    ]
    # A fixed time: the same entry gives the same bytes.
    metadata = {"version": _MVS_VERSION, "timestamp": "1970-01-01T00:00:00Z"}
    return json.dumps({"root": {"kind": "root", "children": trees}, "metadata": metadata}, indent=1)


def _node(
    kind: str, params: dict[str, Any], children: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {"kind": kind, "params": params} | ({"children": children} if children else {})


def _file(url: str, kind: str, child: dict[str, Any]) -> dict[str, Any]:
    return _node("download", {"url": url}, [_node("parse", {"format": kind}, [child])])


def _secondary_color(name: str) -> str:
    return next(color for _, known, color in CLASS_COLORS["secondary"] if known == name)


def _write_mask(
    folder: Path, mask: str, values: NDArray[np.uint8], origin_xyz_A: Sequence[float]
) -> Iterator[ClassFile]:
    """Write a mask and yield its files, those of classes that no voxel has left out."""
    known = {value: color for value, _, color in CLASS_COLORS.get(mask, ())}
    if mask == _WHOLE:
        if values.any():
            _write_cut(folder / f"{mask}.mrc", values, origin_xyz_A)
            yield ClassFile(f"{mask}.mrc", mask, _OTHER_COLOR)
        return
    for value, name in enumerate(CLASS_NAMES[mask]):
        here = values == value
        if value and here.any():
            file = _class_file(mask, name)
            _write_cut(folder / file, here.astype(np.uint8), origin_xyz_A)
            yield ClassFile(file, mask, known.get(value, _OTHER_COLOR))


def _write_cut(path: Path, values: NDArray[np.uint8], origin_xyz_A: Sequence[float]) -> None:
    """Write the box of the labels and a voxel around it: at a map's edge a surface stays open."""
    index = np.nonzero(values)
    low = [max(int(k.min()) - 1, 0) for k in index]
    cut = values[tuple(slice(a, int(k.max()) + 2) for a, k in zip(low, index, strict=True))]
    x, y, z = (origin + a for origin, a in zip(origin_xyz_A, low[::-1], strict=True))
    _write(path, cut, (x, y, z))


def _write(path: Path, values: NDArray[Any], origin_xyz_A: tuple[float, float, float]) -> None:
    dtype: np.dtype[np.generic] = np.dtype(np.float32)
    if values.dtype.kind == "u":
        dtype = np.dtype(np.int8 if values.max(initial=0) <= np.iinfo(np.int8).max else np.int16)
    label = f"{path.stem}, written by cryo2struct-store"
    write_mrc(
        path, values.astype(np.float32), (1.0, 1.0, 1.0), origin_xyz_A, labels=[label], dtype=dtype
    )


def _class_file(mask: str, name: str) -> str:
    return f"{mask}-{re.sub('[^A-Za-z0-9-]', '', name)}.mrc"


def _names() -> list[str]:
    """Return every name that may be written, the scripts first."""
    classes = [_class_file(mask, name) for mask, names in CLASS_NAMES.items() for name in names]
    return [CHIMERAX, MOLSTAR, DENSITY, TRACE, f"{_WHOLE}.mrc", *classes]
