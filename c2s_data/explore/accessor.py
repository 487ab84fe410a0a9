"""What is particular to a density map, on every dataset that this package opens: ``ds.c2s``.

Positions are x, y, z in A, indices z, y, x in voxels of the dataset at hand: after ``ds.isel`` or
at a coarser level they count from its own first voxel, because they follow from its coordinates.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from c2s_data.errors import ConfigError
from c2s_data.explore.map_coordinates import AXES, map_coordinates
from c2s_data.schema import BOX, CORE
from c2s_data.sources.density_map_writer import write_mrc

if TYPE_CHECKING:
    import pandas as pd

    from c2s_data.store.reader import Store

Triple = tuple[float, float, float]
_LARGEST_INT8 = 127


@xr.register_dataset_accessor("c2s")  # type: ignore[no-untyped-call]
class MapAccessor:
    """Methods of ``ds.c2s`` for a dataset with the coordinates z, y and x in A."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    @property
    def voxel_size_zyx_A(self) -> Triple:
        """Voxel size along z, y, x.

        Raises
        ------
        ConfigError
            The dataset has no such coordinates, or they are not evenly spaced.
        """
        z, y, x = (self._step(axis) for axis in range(3))
        return (z, y, x)

    @property
    def origin_xyz_A(self) -> Triple:
        """Center of voxel (0, 0, 0) of this dataset."""
        z, y, x = (float(self._axis(axis)[0]) for axis in AXES)
        return (x, y, z)

    def to_voxel(self, xyz_A: ArrayLike) -> NDArray[np.float64]:
        """Return where positions lie, in voxels.

        Parameters
        ----------
        xyz_A : (..., 3)
            Positions x, y, z.

        Returns
        -------
        (..., 3) float64
            z, y, x; whole numbers are centers of voxels.
        """
        away_A = np.asarray(xyz_A, np.float64)[..., ::-1] - self.origin_xyz_A[::-1]
        return np.asarray(away_A / self.voxel_size_zyx_A, np.float64)

    def to_world(self, index_zyx: ArrayLike) -> NDArray[np.float64]:
        """Return the positions (..., 3), x y z in A, of indices (..., 3), z y x: the way back."""
        away_A = np.asarray(index_zyx, np.float64) * self.voxel_size_zyx_A
        return np.asarray(away_A + self.origin_xyz_A[::-1], np.float64)[..., ::-1]

    def subgrid(self, number: int, *, box: int = BOX, core: int = CORE) -> xr.Dataset:
        """Return one subgrid, zero where it sticks out of the map.

        Parameters
        ----------
        number
            Of a map at 1 A of a store: the row behind the map's first row, so that it is the
            subgrid the loader reads, those with C-alphas first. Of any other map: the place in
            the published order, axis 0 fastest.
        box, core
            Sides in voxels, of maps that are in no store.

        Raises
        ------
        ConfigError
            There is no such subgrid.
        """
        corner, box = self._corner(number, box, core)
        shape_zyx = tuple(self._dataset.sizes[axis] for axis in AXES)
        start = np.maximum(corner, 0)
        stop = np.minimum(corner + box, shape_zyx)
        inside = self._dataset.isel(
            {a: slice(int(i), int(j)) for a, i, j in zip(AXES, start, stop, strict=True)}
        ).load()
        there = tuple(slice(i, j) for i, j in zip(start - corner, stop - corner, strict=True))
        variables = {}
        for name, array in inside.data_vars.items():
            values = np.zeros((box,) * 3, array.dtype)
            values[there] = array.transpose(*AXES).values
            variables[name] = (AXES, values, array.attrs)
        x, y, z = self.to_world(corner).tolist()
        coordinates = map_coordinates((box,) * 3, self.voxel_size_zyx_A, (x, y, z))
        attributes = self._dataset.attrs | {
            "subgrid": number, "corner_zyx": corner.tolist(), "origin_xyz_A": [x, y, z],
        }  # fmt: skip
        return xr.Dataset(variables, coordinates, attributes)

    def slice_at(self, xyz_A: ArrayLike, axis: str = "z") -> xr.Dataset:
        """Return the plane normal to ``axis`` whose voxel centers are nearest to a position.

        Raises
        ------
        ConfigError
            The axis is none, or the plane lies outside the map.
        """
        if axis not in AXES:
            raise ConfigError(f"axis {axis!r}: planes are normal to z, y or x")
        k = AXES.index(axis)
        index = int(np.rint(self.to_voxel(xyz_A)[k]))
        if not 0 <= index < self._dataset.sizes[axis]:
            low, high = self._axis(axis)[[0, -1]]
            raise ConfigError(
                f"the plane {axis} = {np.asarray(xyz_A)[2 - k]:g} A lies outside the map, which "
                f"reaches from {low:g} to {high:g} A"
            )
        return self._dataset.isel({axis: index})

    def contour(self, level: float | None = None) -> xr.DataArray:
        """Return where the density reaches a level, uint8 1 and 0.

        Parameters
        ----------
        level
            In units of the dataset's density; by default the entry's contour level.

        Raises
        ------
        ConfigError
            No level is given, and the dataset knows none.
        """
        level = self._dataset.attrs.get("contour_level") if level is None else level
        if level is None:
            raise ConfigError("the catalog names no contour level for this map; give one")
        mask = (self._dataset["density"] >= level).astype(np.uint8)
        mask.attrs = {
            "long_name": f"density of at least {level:g}",
            "flag_values": [0, 1],
            "flag_meanings": "below above",
        }
        return mask.rename("contour")

    def to_mrc(self, path: str | os.PathLike[str], name: str = "density") -> None:
        """Write a variable as an MRC2014 file, .gz by its name; whole or not at all.

        Raises
        ------
        ConfigError
            There is no such variable (z, y, x).
        """
        if name not in self._dataset or set(self._dataset[name].dims) != set(AXES):
            raise ConfigError(f"no variable {name!r} with axes z, y and x in this dataset")
        values = np.asarray(self._dataset[name].transpose(*AXES).values)
        dtype: np.dtype[np.generic] = np.dtype(np.float32)
        if values.dtype.kind in "bu":
            values = values.astype(np.uint8)
            dtype = np.dtype(np.int8 if values.max(initial=0) <= _LARGEST_INT8 else np.int16)
        else:
            values = values.astype(np.float32)
        write_mrc(
            Path(path), values, self.voxel_size_zyx_A, self.origin_xyz_A,
            labels=[f"{name}, written by cryo2struct-store"], dtype=dtype,
        )  # fmt: skip

    def residues(self) -> pd.DataFrame:
        """Return the residue table of the map's entry, one row a residue, coordinates in A.

        Raises
        ------
        ConfigError
            The dataset is not of a store.
        """
        import pandas as pd  # noqa: PLC0415 - xarray has loaded it

        return pd.DataFrame(self._store().residues(self._dataset.attrs["entry_id"]))

    def _store(self) -> Store:
        from c2s_data.store.reader import open_store  # noqa: PLC0415 - map files need no store

        attributes = self._dataset.attrs
        if not {"store", "generation", "entry_id"} <= attributes.keys():
            raise ConfigError("this dataset is not of a store; open it with c2s_data.open_map")
        return open_store(attributes["store"], attributes["generation"])

    def _corner(self, number: int, box: int, core: int) -> tuple[NDArray[np.int64], int]:
        if "store" in self._dataset.attrs:
            store = self._store()
            entry = store.entry(self._dataset.attrs["entry_id"])
            if tuple(self._dataset.sizes[axis] for axis in AXES) != entry.shape_zyx:
                raise ConfigError(
                    "subgrids are of the whole map at 1 A: open it with level=0, uncut"
                )
            corners = store.corners(entry.entry_id)
            box = int(store.attrs["box"])
        else:
            from c2s_data.transforms.windows import window_corners  # noqa: PLC0415 - numba

            z, y, x = (self._dataset.sizes[axis] for axis in AXES)
            corners = window_corners((z, y, x), box, core)
        if not 0 <= number < len(corners):
            raise ConfigError(f"subgrid {number}: the map has subgrids 0 to {len(corners) - 1}")
        return corners[number].astype(np.int64), box

    def _axis(self, axis: str) -> NDArray[np.float64]:
        if axis not in self._dataset.coords or self._dataset.coords[axis].dims != (axis,):
            raise ConfigError(f"the dataset has no coordinate {axis} in A; was a plane taken?")
        return np.asarray(self._dataset.coords[axis].values, np.float64)

    def _step(self, k: int) -> float:
        centers_A = self._axis(AXES[k])
        if len(centers_A) == 1:
            known: Any = self._dataset.attrs.get("voxel_size_zyx_A")
            if known is None:
                raise ConfigError(f"one voxel along {AXES[k]} tells no voxel size")
            return float(known[k])
        step = (centers_A[-1] - centers_A[0]) / (len(centers_A) - 1)
        if step == 0 or not np.allclose(np.diff(centers_A), step, rtol=1e-6, atol=1e-9):
            raise ConfigError(f"the coordinates along {AXES[k]} are not evenly spaced")
        return float(step)
