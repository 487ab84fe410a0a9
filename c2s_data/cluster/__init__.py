"""Clusters of Dask workers: which one, how it is started, and a client of it that was checked."""
