"""What xarray reads when it is indexed: boxes of a map in a store, or of a map file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from xarray.backends import BackendArray
from xarray.core.indexing import (
    ExplicitIndexer,
    IndexingSupport,
    LazilyIndexedArray,
    explicit_indexing_adapter,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Triple = tuple[int, int, int]
Window = tuple[slice, slice, slice]


class BoxSource(Protocol):
    """An array (z, y, x) that is read by boxes."""

    shape_zyx: Triple
    dtype: np.dtype[Any]

    def read(self, window: Window) -> NDArray[Any]:
        """Return the voxels of a window of slices 0 <= start <= stop without steps."""


class LazyBoxes(BackendArray):
    """A source behind xarray's indexing: the smallest box around what is asked for is read."""

    def __init__(self, source: BoxSource) -> None:
        self.source = source
        self.shape = source.shape_zyx
        self.dtype = source.dtype

    def __getitem__(self, key: ExplicitIndexer) -> Any:  # noqa: ANN401 - as xarray declares it
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        boxes: list[slice] = []
        inside: list[slice | int] = []
        for part, n in zip(key, self.shape, strict=True):
            if isinstance(part, slice):
                wanted = range(n)[part]
                box = slice(min(wanted), max(wanted) + 1) if wanted else slice(0, 0)
                boxes.append(box)
                inside.append(slice(None, None, wanted.step))
            else:
                start = range(n)[part]
                boxes.append(slice(start, start + 1))
                inside.append(0)
        z, y, x = boxes
        values: NDArray[Any] = self.source.read((z, y, x))[tuple(inside)]
        return values


def lazy(source: BoxSource) -> LazilyIndexedArray:
    """Return what a `xarray.Variable` is made of, so that nothing is read before it is used."""
    return LazilyIndexedArray(LazyBoxes(source))
