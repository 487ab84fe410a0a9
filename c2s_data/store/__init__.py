"""The store: the only package that knows Zarr."""
