"""The loaders give the same batches whether or not the density of a store is compressed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from grown_store import make_first_generation
from torch.utils.data import DataLoader

from c2s_data.errors import CorruptChunkError
from c2s_data.store.objects import open_objects
from c2s_model.data import SubgridDataset, WindowDataset

COMMON = {"targets": ("amino", "atom"), "batch_size": 3, "seed": 11, "rank": 0, "world_size": 1}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("codecs")
    for codec in ("lz4", "none"):
        make_first_generation(open_objects(folder / codec), compressor=codec)
    return {codec: folder / codec for codec in ("lz4", "none")}


def assert_equal_batches(first: list, second: list) -> None:
    assert len(first) == len(second) > 3
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys() >= {"density", "amino", "atom"}
        for name, values in one.items():
            if isinstance(values, torch.Tensor):
                assert values.dtype == other[name].dtype
                assert torch.equal(values, other[name]), name
            else:
                assert values == other[name], name


@pytest.mark.parametrize("dataset", [SubgridDataset, WindowDataset])
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_the_same(stores: dict[str, Path], dataset: type, workers: int) -> None:
    found = []
    for path in stores.values():
        one = dataset(path, **COMMON)
        one.set_epoch(1)
        found.append(list(DataLoader(one, batch_size=None, num_workers=workers)))
    assert_equal_batches(*found)
    assert any(batch["density"].any() for batch in found[1])


def test_float32_and_in_order(stores: dict[str, Path]) -> None:
    options = COMMON | {"density_dtype": "float32", "shuffle": False}
    assert_equal_batches(*(list(SubgridDataset(path, **options)) for path in stores.values()))


def test_damage_ends_an_epoch(stores: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    make_first_generation(open_objects(folder), compressor="none")
    shard = folder / "subgrids/density/c/0/0/0/0"
    changed = bytearray(shard.read_bytes())
    changed[100] ^= 2
    shard.write_bytes(changed)
    with pytest.raises(CorruptChunkError, match="chunk 0 fails its crc32c"):
        list(SubgridDataset(folder, **COMMON))
