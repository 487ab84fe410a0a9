from __future__ import annotations

import numpy as np
import pytest
import torch
import zarr
from small_store import BOX, SHARD, PlainStore, write_store
from torch.utils.data import DataLoader

from c2s_data.errors import StoreError
from c2s_data.transforms.subgrid import extract, window_corners
from c2s_model.data import MapSubgrids

CORE = 4
SHAPE = (17, 14, 9)


@pytest.mark.parametrize("workers", [0, 2])
def test_all_subgrids_of_one_map_in_order(plain_store, workers):
    dataset = MapSubgrids(plain_store, "EMD-1006", targets=("atom",), batch_size=9)
    batches = list(DataLoader(dataset, batch_size=None, num_workers=workers))
    assert len(batches) == len(dataset) == 8
    entry = plain_store().entry("EMD-1006")
    rows = np.arange(entry.first_subgrid, entry.first_subgrid + 70)
    assert torch.cat([batch["row"] for batch in batches]).tolist() == rows.tolist()
    group = zarr.open_group(plain_store().url, path="subgrids", mode="r")
    density = torch.cat([batch["density"] for batch in batches])
    assert density.shape == (70, 1, BOX, BOX, BOX)
    np.testing.assert_array_equal(density[:, 0].numpy(), group["density"][rows[0] : rows[-1] + 1])
    atom = torch.cat([batch["atom"] for batch in batches])
    np.testing.assert_array_equal(atom.numpy(), group["atom"][rows[0] : rows[-1] + 1])
    corners = torch.cat([batch["corner_zyx"] for batch in batches])
    np.testing.assert_array_equal(corners.numpy(), dataset.corners_zyx)
    assert rows[0] % SHARD == 0


@pytest.fixture
def whole_map(tmp_path):
    """A store of one known map, its windows in a mixed order as occupied-first makes them."""
    rng = np.random.default_rng(4)
    values = rng.random(SHAPE).astype("f2")
    corners = window_corners(SHAPE, BOX, CORE)[rng.permutation(60)]
    assert len(corners) == 60
    opener = write_store(tmp_path / "map.zarr", [("test", 3, 1), ("test", 60, 20)])
    store = opener()
    group = zarr.open_group(store.url, path="subgrids", mode="r+")
    first = store.entries[1].first_subgrid
    group["density"][first : first + 60] = extract(values, corners, BOX)
    group["corner_zyx"][first : first + 60] = corners
    entries = (store.entries[0], type(store.entries[1])("EMD-7", 1, "test", first, 60, 20, SHAPE))
    return values, lambda: PlainStore(store.url, entries, store._specs)


def test_stitching_gives_the_map_back(whole_map):
    values, opener = whole_map
    dataset = MapSubgrids(opener, "EMD-7", batch_size=7)
    density = torch.cat([batch["density"] for batch in dataset])
    np.testing.assert_array_equal(dataset.stitch(density[:, 0]).numpy(), values)
    channels = torch.cat([density, density * 2], dim=1).float()
    stitched = dataset.stitch(channels)
    assert stitched.shape == (2, *SHAPE)
    np.testing.assert_array_equal(stitched[1].numpy(), values.astype("f4") * 2)


def test_stitching_batch_by_batch_needs_no_more_than_the_map(whole_map):
    values, opener = whole_map
    dataset = MapSubgrids(opener, "EMD-7", batch_size=7)
    out = torch.full(dataset.entry.shape_zyx, -1, dtype=torch.float16)
    for batch in dataset:
        dataset.stitch_into(out, batch["density"][:, 0], batch["corner_zyx"])
    np.testing.assert_array_equal(out.numpy(), values)


def test_stitching_takes_the_bfloat16_of_autocast(whole_map):
    values, opener = whole_map
    dataset = MapSubgrids(opener, "EMD-7", batch_size=7)
    density = torch.cat([batch["density"] for batch in dataset])[:, 0].bfloat16()
    stitched = dataset.stitch(density)
    assert stitched.dtype == torch.float32
    expected = torch.from_numpy(values).bfloat16().float()
    np.testing.assert_array_equal(stitched.numpy(), expected.numpy())


def test_stitching_part_of_a_map_is_refused(whole_map):
    _, opener = whole_map
    dataset = MapSubgrids(opener, "EMD-7", batch_size=7)
    with pytest.raises(ValueError, match="7 subgrids of float16 do not fit"):
        dataset.stitch(next(iter(dataset))["density"][:, 0])


def test_unknown_maps_and_options_are_refused(plain_store):
    with pytest.raises(StoreError, match="EMD-9999"):
        list(MapSubgrids(plain_store, "EMD-9999"))
    with pytest.raises(ValueError, match="targets"):
        MapSubgrids(plain_store, "EMD-1000", targets=("mass",))
    with pytest.raises(ValueError, match="batch_size"):
        MapSubgrids(plain_store, "EMD-1000", batch_size=0)
