"""No model of the shared set is left out where DSSP letters are compared with mkdssp."""

from __future__ import annotations

import numpy as np
from test_secondary_structure import REAL_MODELS

from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.transforms.secondary_structure import incomplete


def test_every_model_with_a_backbone_is_compared(shared_data):
    files = [
        str(path.relative_to(shared_data))
        for folder in ("models", "pairs")
        for pattern in ("*.pdb", "*.cif")
        for path in sorted((shared_data / folder).glob(pattern))
    ]
    left_out = sorted(set(files) - set(REAL_MODELS))
    assert sorted(REAL_MODELS) == sorted(set(files) - set(left_out))
    for name in left_out:
        table = read_atomic_model(shared_data / name).residues
        bare = incomplete(table.n_xyz_A, table.ca_xyz_A, table.c_xyz_A, table.o_xyz_A)
        assert np.all(bare), f"{name} has a backbone: add it to REAL_MODELS"
