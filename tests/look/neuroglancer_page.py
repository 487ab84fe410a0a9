"""Neuroglancer's page of one density: ``python neuroglancer_page.py SOURCE Z Y X VOXELS_A_PIXEL``.

Runs with neuroglancer on its path, prints the page's address and serves it until its input ends.
"""

from __future__ import annotations

import sys

import neuroglancer


def main(source: str, z: float, y: float, x: float, voxels_a_pixel: float) -> None:
    """Show the plane at x: z to the right, y downwards."""
    neuroglancer.set_server_bind_address("127.0.0.1")
    viewer = neuroglancer.Viewer()
    with viewer.txn() as state:
        shown = neuroglancer.ImageLayer(source=source)
        shown.shader_controls = {"normalized": {"range": [0, 1]}}
        state.layers["density"] = shown
        # The store's unit is the angstrom, neuroglancer's the metre.
        state.dimensions = neuroglancer.CoordinateSpace(
            names=list("zyx"), units="m", scales=[1e-10] * 3
        )
        state.position = [z, y, x]
        state.cross_section_scale = voxels_a_pixel
        state.layout = "xy"
        state.show_axis_lines = False
        state.show_scale_bar = False
        state.show_default_annotations = False
    sys.stdout.write(f"{viewer.get_viewer_url()}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
