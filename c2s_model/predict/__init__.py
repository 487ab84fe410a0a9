"""From a network and a density map to the probabilities of every class at every voxel.

`prepared_density` makes a map what the network learned from; `window_plan` says which subgrids are
needed; `probabilities` runs the network on them; `predict_map` puts their cores together, layer by
layer, into a Zarr group; `many` does so for the maps of a store.
"""
