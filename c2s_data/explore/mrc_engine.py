"""The xarray engine ``mrc``: MRC2014/CCP4 maps with coordinates in Angstrom.

``xr.open_dataset("emd_1234.map.gz", engine="mrc")`` gives what `read_density_map` reads: any mode,
byte order and axis order, transposed to (z, y, x), placed by the origin rule. Of a plain file only
what is indexed is read, from a disk through a memory map, from a bucket by ranges; a .gz file is
inflated as a whole when it is first used.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

import c2s_data.explore.accessor  # noqa: F401 - registers ds.c2s
from c2s_data.errors import MapError, MapReason
from c2s_data.explore.lazy_boxes import Window, lazy
from c2s_data.explore.map_coordinates import CONVENTIONS, map_coordinates, without_none
from c2s_data.sources.density_map import (
    MAX_DENSITY,
    MAX_VOXELS,
    NonFinite,
    OriginRule,
    read_density_map,
)
from c2s_data.sources.density_map_file import open_map
from c2s_data.sources.input_file import is_url, local_path
from c2s_data.store.objects import open_objects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from c2s_data.sources.density_map_header import MapHeader

SUFFIXES: Final = (".mrc", ".map", ".ccp4")


class MapFileBoxes:
    """The values of a map file, float32 (z, y, x), read by boxes.

    Parameters
    ----------
    address
        Path or URL.
    header
        What `parse_header` made of its first bytes.
    gzipped
        Whether it has to be inflated as a whole.
    non_finite
        As for `read_density_map`, here of the voxels that are read.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self, address: str, header: MapHeader, *, gzipped: bool, non_finite: NonFinite
    ) -> None:
        self.address, self.header, self.gzipped = address, header, gzipped
        self.non_finite = non_finite
        self.shape_zyx = header.shape_zyx

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_inflated"}

    @cached_property
    def _inflated(self) -> NDArray[np.float32]:
        read = read_density_map(
            self.address, max_voxels=self.header.n_voxels, non_finite=self.non_finite
        )
        return read.values_zyx

    def read(self, window: Window) -> NDArray[np.float32]:
        """Return the voxels of a window.

        Raises
        ------
        MapError
            The file can no longer be read, or holds values that are not finite.
        """
        if self.gzipped:
            return self._inflated[window].copy()
        z, y, x = (window[axis] for axis in self.header.zyx_of_stored)
        stored = self._stored((z, y, x)).transpose(np.argsort(self.header.zyx_of_stored))
        with np.errstate(invalid="ignore"):
            values = stored.astype(np.float32, order="C")
            bad = ~(np.abs(values) <= MAX_DENSITY)
        if bad.any():
            if self.non_finite == "refuse":
                raise MapError(
                    MapReason.NOT_FINITE,
                    f"{self.address}: the map holds nan, infinite values or such beyond "
                    f"{MAX_DENSITY:g}; repair it, or open it with non_finite='zero'",
                )
            values[bad] = 0.0
        return values

    def _stored(self, block: Window) -> NDArray[Any]:
        """Return sections, rows and columns as they lie in the file."""
        header = self.header
        if not is_url(self.address):
            whole = np.memmap(
                local_path(self.address),
                header.stored_dtype,
                "r",
                header.data_offset,
                header.stored_shape,
            )
            return whole[block]
        sections, rows, columns = block
        n_columns = header.stored_shape[2]
        row_bytes = n_columns * header.stored_dtype.itemsize
        folder, _, name = self.address.rpartition("/")
        objects = open_objects(folder)
        parts = []
        for first, last in self._runs(sections, rows):
            start = header.data_offset + first * row_bytes
            data = objects.span(name, start, start + (last - first) * row_bytes)
            parts.append(np.frombuffer(data, header.stored_dtype).reshape(-1, n_columns))
        n_sections, taken = sections.stop - sections.start, rows.stop - rows.start
        together = np.concatenate(parts) if parts else np.empty((0, n_columns))
        return together.reshape(n_sections, taken, n_columns)[:, :, columns]

    def _runs(self, sections: slice, rows: slice) -> Iterable[tuple[int, int]]:
        """Yield runs of rows of the whole file, one a section unless all its rows are wanted."""
        n_rows = self.header.stored_shape[1]
        if rows == slice(0, n_rows):
            if sections.start < sections.stop:
                yield sections.start * n_rows, sections.stop * n_rows
            return
        for section in range(sections.start, sections.stop):
            yield section * n_rows + rows.start, section * n_rows + rows.stop


class MrcBackend(BackendEntrypoint):
    """Opens density maps; see the module."""

    description = "Cryo-EM density maps in MRC2014/CCP4 files, plain or gzipped"
    open_dataset_parameters = (
        "filename_or_obj", "drop_variables", "origin", "max_voxels", "non_finite",
    )  # fmt: skip

    def open_dataset(  # type: ignore[override] # the options are this engine's
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        origin: OriginRule = "auto",
        max_voxels: int = MAX_VOXELS,
        non_finite: NonFinite = "refuse",
    ) -> xr.Dataset:
        """Open a map: variable ``density`` (z, y, x) with coordinates in A.

        Parameters
        ----------
        filename_or_obj
            Path or URL (``s3://``, ``gs://``, ``az://``) of the file.
        drop_variables
            Variables to leave out.
        origin, max_voxels, non_finite
            As for `c2s_data.sources.density_map.read_density_map`.

        Raises
        ------
        MapError
            The file is no map that can be read; its ``reason`` says why.
        """
        address = os.fspath(filename_or_obj)
        with open_map(address, origin, max_voxels) as file:
            header, gzipped = file.header, file.gzipped
        source = MapFileBoxes(address, header, gzipped=gzipped, non_finite=non_finite)
        attributes = {"long_name": "density", "units": "1"}
        density = xr.Variable(("z", "y", "x"), lazy(source), attributes)
        coordinates = map_coordinates(
            header.shape_zyx, header.voxel_size_zyx_A, header.origin_xyz_A
        )
        opened = xr.Dataset({"density": density}, coordinates, _attributes(address, header))
        return opened.drop_vars([] if drop_variables is None else drop_variables)

    def guess_can_open(self, filename_or_obj: object) -> bool:
        """Say whether the name is that of a map."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        name = PurePath(os.fspath(filename_or_obj)).name.lower().removesuffix(".gz")
        return name.endswith(SUFFIXES)


def _attributes(address: str, header: MapHeader) -> dict[str, Any]:
    return without_none(
        {
            "Conventions": CONVENTIONS,
            "title": PurePath(address).name,
            "voxel_size_zyx_A": list(header.voxel_size_zyx_A),
            "origin_xyz_A": list(header.origin_xyz_A),
            "origin_from": header.origin_from,
            "mrc_mode": header.mode,
            "mrc_axis_order": list(header.axis_order),
            "mrc_leniencies": " ".join(header.leniencies) or None,
        }
    )
