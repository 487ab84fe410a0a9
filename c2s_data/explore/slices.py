"""One figure per map: slices before and after normalization, histograms, and the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from c2s_data.explore.palette import FAINT, INK
from c2s_data.explore.slice_panels import Volume, density_row, label_row

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from c2s_data.explore.slice_panels import Triple

DPI: Final = 110
SLAB_A: Final = 6.0
_PANELS: Final = (("atom", "Atoms"), ("amino", "Amino acids"), ("secondary", "Secondary structure"))
_HEADER_INCH, _SLICES_INCH, _LABELS_INCH, _WIDTH_INCH = 0.75, 3.7, 6.3, 15.0


def slice_figure(
    density_zyx: NDArray[np.floating],
    labels: Mapping[str, NDArray[np.uint8]],
    *,
    entry_id: str,
    voxel_size_zyx_A: Triple = (1.0, 1.0, 1.0),
    origin_xyz_A: Triple = (0.0, 0.0, 0.0),
    raw_zyx: NDArray[np.floating] | None = None,
    raw_voxel_size_zyx_A: Triple | None = None,
    raw_white: float | None = None,
    subtitle: str = "",
) -> Figure:
    """Draw slices through the slab richest in C-alphas, histograms, and the labels in that slab.

    Parameters
    ----------
    density_zyx
        Normalized density, (z, y, x), values 0 to 1. Values of 1 are drawn in a color of their
        own: there the density was cut off.
    labels
        Dense masks uint8 (z, y, x) on the same grid, by name; ``ca`` (or else ``atom``) finds the
        slab, of ``atom``, ``amino`` and ``secondary`` each that is given gets a panel.
    entry_id, subtitle
        Title and the smaller line below it.
    voxel_size_zyx_A, origin_xyz_A
        Grid of density and labels; the origin is the center of voxel (0, 0, 0).
    raw_zyx, raw_voxel_size_zyx_A
        The map before resampling and its voxel size (that of the density if not given), with
        the same origin; adds a row.
    raw_white
        Raw value that became 1: the row then has the gray scale of the normalized one. By default
        it is drawn from its 0.1 to its 99.95 percentile.

    Notes
    -----
    Atoms and amino acids are shown in the slab, seen along the axis for which the slab holds most
    C-alphas; secondary structure is shown for the whole map from the side.

    Returns
    -------
    matplotlib.figure.Figure
        Bound to no window and to no global state; see `save_figure`.

    Raises
    ------
    ImportError
        Without matplotlib.
    ValueError
        If a mask has another shape than the density, or no mask has a labeled voxel.
    """
    for name, mask in labels.items():
        if mask.shape != density_zyx.shape:
            raise ValueError(
                f"{entry_id}: mask {name!r} has shape {mask.shape}, the density "
                f"{density_zyx.shape}; give both on one grid"
            )
    volume = Volume(density_zyx, voxel_size_zyx_A, origin_xyz_A)
    finder = labels.get("ca", labels.get("atom"))
    if finder is None or not finder.any():
        raise ValueError(f"{entry_id}: no C-alpha is labeled; give the mask 'ca' or 'atom'")
    rows = [("Normalized", volume)]
    if raw_zyx is not None:
        raw_voxel = raw_voxel_size_zyx_A or voxel_size_zyx_A
        rows.insert(0, ("Raw map", Volume(raw_zyx, raw_voxel, origin_xyz_A)))
    return _compose(rows, labels, finder == 1, (entry_id, subtitle), raw_white)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure; the suffix of ``path`` chooses the format (.png, .svg, .pdf)."""
    figure.savefig(path, dpi=DPI, facecolor="white")


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches, bound to no window; raises without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional extra
    except ImportError as error:
        raise ImportError(
            "figures need matplotlib, which is not installed; "
            "install it with: pip install 'cryo2struct-store[explore]'"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def _compose(
    rows: list[tuple[str, Volume]],
    labels: Mapping[str, NDArray[np.uint8]],
    is_ca: NDArray[np.bool_],
    header: tuple[str, str],
    raw_white: float | None,
) -> Figure:
    volume = rows[-1][1]
    panels = [(mask, title) for mask, title in _PANELS if mask in labels]
    heights = [_HEADER_INCH, *[_SLICES_INCH] * len(rows), *[_LABELS_INCH] * bool(panels)]
    figure = new_figure(_WIDTH_INCH, sum(heights))
    parts = np.ravel(figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights))
    parts[0].text(0.012, 0.72, header[0], fontsize=19, fontweight="bold", color=INK, va="center")
    parts[0].text(0.012, 0.22, header[1], fontsize=11.5, color=FAINT, va="center")
    slabs = [_richest_slab(is_ca, volume, axis) for axis in range(3)]
    for part, (title, shown) in zip(parts[1:], rows, strict=False):
        centers_A = [volume.position_A(axis, slabs[axis]) for axis in range(3)]
        density_row(
            part,
            title,
            shown,
            centers_A,
            white=1.0 if shown is volume else raw_white,
            saturates=shown is volume,
        )
    if panels:
        axis = int(np.argmax([np.moveaxis(is_ca, k, 0)[slabs[k]].sum() for k in range(3)]))
        label_row(parts[-1], panels, volume, labels, axis, slabs[axis])
    return figure


def _richest_slab(is_ca: NDArray[np.bool_], volume: Volume, axis: int) -> slice:
    """The planes normal to ``axis``, `SLAB_A` together, that hold most C-alphas."""
    per_plane = is_ca.sum(axis=tuple(k for k in range(3) if k != axis))
    width = min(per_plane.size, max(1, round(SLAB_A / volume.voxel_size_zyx_A[axis])))
    start = int(np.argmax(np.convolve(per_plane, np.ones(width), mode="valid")))
    return slice(start, start + width)
