"""Which masks lie beside a normalized map, by the file names of the published data records."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MASK_PREFIXES: Final = {
    "atom": "atom_",
    "ca": "atom_ca_",
    "amino": "amino_",
    "secondary": "sec_struc_",
    "ignore": "ignore_",
    "nucleic_atom": "nucleic_atom_",
    "nucleic_base": "nucleic_base_",
}
"""What stands before the name of a map in the name of each of its masks.

The first four are the paper's ("Data Records"), the others this package's own.
"""


def mask_files(map_path: str | os.PathLike[str]) -> dict[str, Path]:
    """Return the masks that lie beside a map, by mask.

    Parameters
    ----------
    map_path
        The map; the published one is called ``emd_normalized_map.mrc``.

    Returns
    -------
    dict
        Only plain files: a link could lead out of the folder.
    """
    path = Path(map_path)
    found = {name: path.with_name(prefix + path.name) for name, prefix in MASK_PREFIXES.items()}
    return {name: file for name, file in found.items() if file.is_file() and not file.is_symlink()}
