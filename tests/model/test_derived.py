"""Derived labels in batches: each subgrid's are that part of its map's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_maps import ORIGIN_XYZ_A, made_map, made_plan
from torch.utils.data import DataLoader

from c2s_data.derived_labels import derive_labels
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store
from c2s_data.store.writer import write_entry
from c2s_data.transforms.derived_target import DerivedTarget
from c2s_model.data import SubgridDataset
from c2s_model.data.derived import WithDerivedLabels

WANTED = {
    "spheres": DerivedTarget("atom", "sphere"),
    "heat": DerivedTarget("secondary", "gaussian"),
    "offset": DerivedTarget("ca", "offset"),
    "weight": DerivedTarget("atom", "weight", weight="b_factor"),
}


def residue_table(shape_zyx, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    ca = rng.uniform(-2, shape_zyx, (70, 3))[:, ::-1] + ORIGIN_XYZ_A
    columns = {
        f"{atom}_{axis}_A": ca[:, i] + shift
        for atom, shift in (("n", -0.8), ("ca", 0.0), ("c", 0.9))
        for i, axis in enumerate("xyz")
    }
    classes = {"amino_class": rng.integers(1, 21, 70), "secondary": rng.integers(1, 4, 70)}
    return columns | classes | {"b_factor": rng.uniform(10, 200, 70)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("derived") / "made.zarr"
    plan = made_plan()
    objects = open_objects(path)
    begin_store(objects, plan)
    for planned in plan.entries:
        table = residue_table(planned.shape_zyx, planned.map_index)
        made = replace(made_map(planned, plan.config), residues=table)
        write_entry(objects, Layout.of(plan.config), planned, made)
    commit(objects, plan)
    return open_store(path)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_each_subgrid_has_the_labels_of_its_place(store, num_workers):
    whole = {
        (entry.map_index, name): np.pad(
            volume := derive_labels(store, entry.entry_id, wanted),
            [(0, 0)] * (volume.ndim - 3) + [(6, 32)] * 3,
            constant_values=1 if name == "weight" else 0,
        )
        for entry in store.entries
        for name, wanted in WANTED.items()
    }
    dataset = SubgridDataset(store.url, batch_size=5, seed=3)
    rows = []
    for batch in DataLoader(
        WithDerivedLabels(dataset, WANTED), batch_size=None, num_workers=num_workers
    ):
        n = len(batch["row"])
        assert batch["spheres"].shape == (n, 32, 32, 32)
        assert batch["spheres"].dtype == torch.uint8
        assert batch["heat"].shape == batch["offset"].shape == (n, 3, 32, 32, 32)
        assert {batch[name].dtype for name in ("heat", "offset", "weight")} == {torch.float32}
        for k in range(n):
            z, y, x = (slice(i + 6, i + 38) for i in batch["corner_zyx"][k].tolist())
            for name in WANTED:
                expected = whole[int(batch["map"][k]), name][..., z, y, x]
                np.testing.assert_array_equal(batch[name][k].numpy(), expected)
        rows += batch["row"].tolist()
    assert len(rows) == len(set(rows)) == sum(entry.n_subgrids for entry in store.entries)


def test_a_name_that_a_batch_has_is_refused(store):
    batches = WithDerivedLabels(SubgridDataset(store), {"atom": DerivedTarget()})
    with pytest.raises(ValueError, match=r"\['atom'\] already"):
        next(iter(batches))
