"""Groups of rows: modules with ``rows(size, folder)``, each run in a process of its own."""

from typing import Final

GROUPS: Final = {
    "read_map": "Reading maps",
    "voxels": "Voxels",
    "build": "Build",
    "loader": "Loader, warm",
    "loader_files": "Loader, from a disk",
    "loader_peers": "Loader, against others",
    "windows": "Random windows",
    "cloud": "Object storage",
    "memory": "Memory",
    "verify": "Trust",
    "prediction": "Prediction",
    "candidates": "Candidates",
    "hmm": "Hidden Markov models",
    "evaluation": "Evaluation",
    "start": "Starting",
}
"""Module and title of each group, in the order of the table."""
