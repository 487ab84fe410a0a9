"""Fixtures of the loader's tests."""

from __future__ import annotations

import pytest
import torch
from small_store import write_store


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Sums in one order everywhere: digests of runs are compared, also with those of fixtures."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def plain_store(tmp_path_factory):
    """Opens a store of seven maps, 331 subgrids, 148 of them with C-alphas."""
    maps = [
        ("train", 70, 33),
        ("train", 41, 41),
        ("train", 3, 1),
        ("validation", 50, 17),
        ("train", 64, 0),
        ("train", 33, 20),
        ("train", 70, 36),
    ]
    return write_store(tmp_path_factory.mktemp("plain") / "store.zarr", maps)
