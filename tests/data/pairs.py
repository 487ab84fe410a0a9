"""The real pairs of map and model in ../shared/data/pairs, and what its README measured on them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple


class Pair(NamedTuple):
    emdb_id: str
    map: str
    model: str
    resolution_A: float
    split: str
    ca_sigma: float


PAIRS = (
    Pair("EMD-20026", "emd_20026_zone_apoferritin.mrc.gz", "3ajo_fitted_refined.pdb", 1.75, "train", 7.37),  # noqa: E501
    Pair("EMD-4413", "emd_4413_box_6i5a.ccp4.gz", "6i5a_box_complete.pdb", 2.3, "train", 2.05),
    Pair("EMD-6272", "emd_6272_sub_strudel.mrc.gz", "strudel_6272.pdb", 2.6, "train", 3.89),
    Pair("EMD-5185", "emd_5185_box_3j06.ccp4.gz", "3j06_no_ligand_box_complete.pdb", 3.3, "validation", 4.85),  # noqa: E501
    Pair("EMD-2513", "emd_2513_zone_4ci0.mrc.gz", "4ci0.pdb", 3.36, "train", 5.38),
    Pair("EMD-0093", "emd_0093_masked_6gyn.mrc.gz", "6gyn.pdb", 3.4, "train", 17.35),
    Pair("EMD-5830", "emd_5830_box_3j63A.ccp4.gz", "3j63_A_box_complete.pdb", 3.8, "train", 3.40),
    Pair("EMD-1044", "emd_1044_box_1oed.ccp4.gz", "1oed_box_complete.pdb", 4.0, "validation", 2.16),
    Pair("EMD-3240", "emd_3240_box_5fn5.ccp4.gz", "5fn5_box_complete.pdb", 4.3, "train", 3.47),
    Pair("EMD-6187", "emd_6187_box_3j8xA.ccp4.gz", "3j8x_chain_A_box_complete.pdb", 5.0, "train", 2.69),  # noqa: E501
    Pair("EMD-2867", "emd_2867_box_4uft.mrc.gz", "4uft_af3.cif", 4.3, "test", 1.84),
)  # fmt: skip


def write_catalog(path: Path, data: Path, pairs: tuple[Pair, ...] = PAIRS) -> Path:
    """Write a catalog of real pairs."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["emdb_id", "map", "model", "resolution_A", "split"])
        for pair in pairs:
            folder = data / "pairs"
            row = [folder / pair.map, folder / pair.model, pair.resolution_A, pair.split]
            writer.writerow([pair.emdb_id, *row])
    return path
