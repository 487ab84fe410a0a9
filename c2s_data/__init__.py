"""Maps and models become one Zarr store of labeled subgrids."""

__version__ = "0.1.0"
