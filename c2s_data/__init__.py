"""Maps and models become one Zarr store of labeled subgrids.

`open_map`, `open_catalog` and `open_tree` are here for notebooks; xarray is imported when one of
them is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c2s_data.explore.datasets import open_catalog, open_map, open_tree

__version__ = "0.1.0"
__all__ = ["__version__", "open_catalog", "open_map", "open_tree"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - one of three functions
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from c2s_data.explore import datasets  # noqa: PLC0415 - `import c2s_data` stays light

    return getattr(datasets, name)
