"""Which masks lie beside a normalized map, by the file names of the published data records."""

from __future__ import annotations

import os
from typing import Final

from c2s_data.sources.input_file import is_input, is_url, local_path

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


def mask_files(map_path: str | os.PathLike[str]) -> dict[str, str]:
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
    folder, slash, name = os.fspath(map_path).rpartition("/")
    found = {mask: f"{folder}{slash}{prefix}{name}" for mask, prefix in MASK_PREFIXES.items()}
    return {mask: file for mask, file in found.items() if is_input(file) and not _is_link(file)}


def _is_link(address: str) -> bool:
    return not is_url(address) and local_path(address).is_symlink()
