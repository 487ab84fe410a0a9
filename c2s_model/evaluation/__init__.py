"""How good a prediction is: scores of a built backbone against a known one, and of voxels."""
