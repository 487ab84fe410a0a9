"""The coarser levels of a map against numpy's block means."""

import numpy as np
import pytest

from c2s_data.transforms.coarsen import coarsen
from c2s_data.transforms.moments import moments


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("shape", [(7, 4, 9), (2, 2, 2), (6, 5, 8)])
def test_block_means(shape: tuple[int, int, int], dtype: str) -> None:
    values = np.random.default_rng(1).random(shape, np.float32).astype(dtype)
    z, y, x = (n // 2 for n in shape)
    blocks = values[: 2 * z, : 2 * y, : 2 * x].astype(np.float64).reshape(z, 2, y, 2, x, 2)
    expected = blocks.mean(axis=(1, 3, 5))
    half = coarsen(values)
    assert half.dtype == dtype
    tolerance = 2.5e-4 if dtype == "float16" else 1e-7
    np.testing.assert_allclose(half, expected, atol=tolerance, rtol=0)


def test_constants_are_exact() -> None:
    assert (coarsen(np.full((4, 6, 8), 0.5, np.float16)) == 0.5).all()
    assert (coarsen(np.ones((4, 6, 8), np.float32)) == 1).all()


@pytest.mark.parametrize("values", [np.zeros((1, 4, 4), np.float32), np.zeros((4, 4, 4))])
def test_refusals(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"coarser|float16 or float32"):
        coarsen(values)


@pytest.mark.parametrize("n", [1, 3, 4, 1001])
def test_moments_are_those_of_float64(n: int) -> None:
    values = (np.random.default_rng(n).standard_normal(n) + 1000).astype(np.float32)
    mean, sd = moments(values)
    assert mean == pytest.approx(values.astype(np.float64).mean(), rel=1e-12)
    assert sd == pytest.approx(values.astype(np.float64).std(), rel=1e-9, abs=1e-12)


def test_moments_of_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        moments(np.zeros((0, 3), np.float32))
