"""Percentile, normalization, float16 rounding and histogram against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from c2s_data.transforms.normalize import (
    density_histogram,
    normalize,
    normalize_to_float16,
    percentile_of,
    signal_threshold,
    to_float16,
)

POPULATIONS = ("positive", "nonzero", "signal")


def members(values: np.ndarray, population: str) -> np.ndarray:
    if population == "positive":
        return values[values > 0]
    if population == "nonzero":
        return values[values != 0]
    negative = values[values < 0].astype(np.float64)
    limit = 4 * np.sqrt(np.mean(negative**2)) if negative.size * 1000 >= values.size else 0.0
    return values[values > limit]


def masked_map(seed: int = 3) -> np.ndarray:
    """Noise with signal, ties, both zeros and subnormal values."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (31, 23, 17)).astype(np.float32)
    values[rng.random(values.shape) < 0.05] *= 9
    values[rng.random(values.shape) < 0.2] = 0.0
    values[rng.random(values.shape) < 0.1] = -0.0
    values[rng.random(values.shape) < 0.1] = 2.5
    values[0, 0, :4] = [1e-42, -1e-42, 3e38, -3e38]
    return values


@pytest.mark.parametrize("q", [0.0, 0.1, 12.3, 33.3, 50.0, 77.7, 95.0, 99.9, 100.0])
@pytest.mark.parametrize("population", POPULATIONS)
def test_percentile_equals_numpy_to_the_bit(population: str, q: float) -> None:
    values = masked_map()
    want = float(np.percentile(members(values, population).astype(np.float64), q))
    if want > 0:
        assert percentile_of(values, population, q) == want
    else:
        with pytest.raises(ValueError, match="must be positive"):
            percentile_of(values, population, q)


@settings(deadline=None)  # the first call may compile
@given(
    values=hnp.arrays(
        np.float32,
        st.integers(1, 300),
        elements=st.floats(width=32, allow_infinity=False, allow_nan=False),
    ),
    population=st.sampled_from(["positive", "nonzero"]),
    q=st.floats(0, 100),
)
def test_percentile_of_any_values_equals_numpy(
    values: np.ndarray, population: str, q: float
) -> None:
    chosen = members(values, population).astype(np.float64)
    if chosen.size == 0:
        with pytest.raises(ValueError, match="no voxel"):
            percentile_of(values, population, q)
        return
    want = float(np.percentile(chosen, q))
    if want > 0:
        assert percentile_of(values, population, q) == want
    else:
        with pytest.raises(ValueError, match="must be positive"):
            percentile_of(values, population, q)


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 4095, 4096, 4097, 100_003])
def test_percentile_of_any_length_equals_numpy(n: int) -> None:
    values = np.random.default_rng(n).gamma(2.0, 1.0, n).astype(np.float32)
    assert percentile_of(values, "positive") == np.percentile(values.astype(np.float64), 95)


def test_percentile_between_few_values_equals_numpy() -> None:
    rng = np.random.default_rng(12)
    for q in rng.uniform(0, 100, 300):
        values = rng.gamma(1.0, 1.0, 5).astype(np.float32)
        assert percentile_of(values, "positive", q) == np.percentile(values.astype(np.float64), q)


def test_published_figures_for_noise_with_two_percent_signal() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0, 1, 2_000_000).astype(np.float32)
    values[:40_000] += 20
    assert percentile_of(values, "nonzero") == pytest.approx(1.87, abs=0.02)
    assert percentile_of(values, "positive") == pytest.approx(2.53, abs=0.09)


def test_signal_scale_does_not_depend_on_the_amount_of_solvent() -> None:
    rng = np.random.default_rng(6)
    noise = rng.normal(0, 0.3, 1_100_000).astype(np.float32)
    protein = rng.normal(3.6, 0.9, 10_000).astype(np.float32)
    tight = np.concatenate([protein, noise[:100_000]])
    wide = np.concatenate([protein, noise])
    assert percentile_of(wide, "signal") == pytest.approx(percentile_of(tight, "signal"), rel=0.05)
    for published in ("positive", "nonzero"):
        assert percentile_of(tight, published) > 1.5 * percentile_of(wide, published)


def test_signal_threshold_is_four_times_the_noise() -> None:
    values = np.array([-3.0, -4.0, 0.0, 100.0, 7.0, -0.0, 15.0], np.float32)
    assert signal_threshold(values) == pytest.approx(4 * np.sqrt(12.5), rel=1e-15)
    assert percentile_of(values, "signal", 0) == 15.0


def test_signal_excludes_a_value_at_the_threshold() -> None:
    values = np.array(
        [-2.0] * 5 + [8.0, np.nextafter(np.float32(8), np.float32(9)), 10], np.float32
    )
    assert signal_threshold(values) == 8.0
    assert percentile_of(values, "signal", 0) == values[6]


def test_signal_threshold_between_two_float32_values() -> None:
    rounded_up = set()
    for seed in range(8):
        negative = -np.random.default_rng(seed).gamma(2.0, 1.0, 3).astype(np.float32)
        limit = signal_threshold(negative)
        nearest = np.float32(limit)
        around = np.nextafter(nearest, np.float32([0, np.inf]))
        tested = np.concatenate([negative, [nearest], around]).astype(np.float32)
        assert signal_threshold(tested) == limit
        assert percentile_of(tested, "signal", 0) == min(v for v in tested if float(v) > limit)
        rounded_up.add(float(nearest) > limit)
    assert rounded_up == {True, False}


@pytest.mark.parametrize(("n_negative", "falls_back"), [(0, True), (9, True), (10, False)])
def test_signal_needs_a_thousandth_of_negative_voxels(n_negative: int, falls_back: bool) -> None:
    values = np.linspace(0.1, 5, 10_000, dtype=np.float32)
    values[:n_negative] = -1
    assert signal_threshold(values) == (0.0 if falls_back else 4.0)
    same = percentile_of(values, "signal") == percentile_of(values, "positive")
    assert same is falls_back


def test_negative_zero_is_zero() -> None:
    values = np.array([-0.0, -0.0, 0.0, 3.0], np.float32)
    assert percentile_of(values, "nonzero", 0) == 3.0
    assert percentile_of(values, "positive", 0) == 3.0


@pytest.mark.parametrize(
    ("values", "population", "q", "message"),
    [
        (np.zeros(5, np.float32), "positive", 95, "no voxel .* 'positive'"),
        (np.zeros(5, np.float32), "nonzero", 95, "no voxel .* 'nonzero'"),
        (-np.ones(5, np.float32), "signal", 95, "no voxel .* 'signal'"),
        (-np.ones(5, np.float32), "nonzero", 95, "must be positive"),
        (np.ones(5), "positive", 95, "float64"),
        (np.ones(5, np.float32), "all", 95, "'all'"),
        (np.ones(5, np.float32), "positive", 101, "outside 0 to 100"),
    ],
)
def test_no_percentile_is_an_error(
    values: np.ndarray, population: str, q: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        percentile_of(values, population, q)


def test_normalize_divides_in_float32_and_clips() -> None:
    values = masked_map()
    divisor = 1.960274291038513
    ours, n_saturated = normalize(values, divisor)
    want = np.clip(values / np.float32(divisor), 0, 1)
    np.testing.assert_array_equal(ours, want)
    assert ours.dtype == np.float32
    assert n_saturated == np.count_nonzero(want == 1) > 0
    assert not np.signbit(ours).any()


def test_saturated_means_at_least_the_divisor() -> None:
    divisor = np.float32(1.9)
    values = np.array(
        [np.nextafter(divisor, np.float32(0)), divisor, np.nextafter(divisor, np.float32(9))]
    )
    ours, n_saturated = normalize(values, float(divisor))
    assert n_saturated == 2
    assert (ours == 1).tolist() == [False, True, True]


def test_normalize_in_place_and_into_out() -> None:
    values = masked_map()
    want, n_saturated = normalize(values, 0.7)
    out = np.full(values.shape, np.nan, np.float32)
    assert normalize(values, 0.7, out=out)[0] is out
    np.testing.assert_array_equal(out, want)
    again, n_again = normalize(values, 0.7, out=values)
    assert again is values
    assert n_again == n_saturated
    np.testing.assert_array_equal(values, want)


@pytest.mark.parametrize("divisor", [0.0, -1.0, float("nan"), float("inf"), 1e-60, 1e60])
def test_impossible_divisors_are_refused(divisor: float) -> None:
    values = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="cannot normalize by"):
        normalize(values, divisor)
    with pytest.raises(ValueError, match="cannot normalize by"):
        normalize_to_float16(values, divisor)


@pytest.mark.parametrize(
    "out", [np.zeros(4, np.float32), np.zeros(3), np.zeros(6, np.float32)[::2]]
)
def test_unfit_out_is_refused(out: np.ndarray) -> None:
    values = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="out must be"):
        normalize(values, 1.0, out=out)
    with pytest.raises(ValueError, match="out must be"):
        to_float16(values, out=out)
    with pytest.raises(ValueError, match="float64"):
        normalize(values.astype(np.float64), 1.0)
    with pytest.raises(ValueError, match="float64"):
        to_float16(values.astype(np.float64))


def every_half_and_its_neighbourhood() -> np.ndarray:
    """All halves in [0, 1], all midpoints between them, and two float32 on either side of each."""
    halves = np.arange(0x3C01, dtype=np.uint16).view(np.float16).astype(np.float32)
    centres = np.concatenate([halves, (halves[1:] + halves[:-1]) / 2]).view(np.uint32)
    around = centres[:, None].astype(np.int64) + np.arange(-2, 3)
    return np.clip(around, 0, 0x3F800000).astype(np.uint32).view(np.float32)


def test_float16_rounds_every_boundary_as_numpy() -> None:
    values = every_half_and_its_neighbourhood()
    ours = to_float16(values)
    want = values.astype(np.float16)
    np.testing.assert_array_equal(ours.view(np.uint16), want.view(np.uint16))
    assert len(np.unique(ours)) == 0x3C01


def test_float16_rounds_random_bit_patterns_as_numpy() -> None:
    bits = np.random.default_rng(8).integers(0, 0x3F800001, 3_000_000, dtype=np.uint32)
    values = bits.view(np.float32).reshape(100, 300, 100)
    np.testing.assert_array_equal(
        to_float16(values).view(np.uint16), values.astype(np.float16).view(np.uint16)
    )


def test_float16_keeps_the_sign_of_zero() -> None:
    ours = to_float16(np.array([0.0, -0.0, 1.0], np.float32))
    assert ours.view(np.uint16).tolist() == [0, 0x8000, 0x3C00]


@pytest.mark.parametrize("value", [-1e-30, -0.5, 1.0000001, 7.0, np.inf, -np.inf, np.nan])
def test_float16_refuses_what_is_not_normalized(value: float) -> None:
    values = np.full(1000, 0.5, np.float32)
    values[777] = value
    with pytest.raises(ValueError, match=r"1 of 1000 values are outside \[0, 1\]"):
        to_float16(values)


@pytest.mark.parametrize("divisor", [0.3, 1.0, 2.5, 1234.5])
def test_the_fused_form_is_the_two_steps(divisor: float) -> None:
    values = np.concatenate([masked_map().ravel(), every_half_and_its_neighbourhood().ravel()])
    values = np.concatenate([values, np.clip(values, -9, 9) * np.float32(divisor)])
    normalized, n_saturated = normalize(values, divisor)
    want = to_float16(normalized)
    ours, n_fused = normalize_to_float16(values, divisor)
    np.testing.assert_array_equal(ours.view(np.uint16), want.view(np.uint16))
    assert n_fused == n_saturated
    out = np.full(values.shape, np.nan, np.float16)
    assert normalize_to_float16(values, divisor, out=out)[0] is out
    np.testing.assert_array_equal(out, want)


def test_strided_maps_are_accepted() -> None:
    values = masked_map()
    part, packed = values[::2, :, ::3], values[::2, :, ::3].copy()
    np.testing.assert_array_equal(normalize(part, 2.0)[0], normalize(packed, 2.0)[0])
    np.testing.assert_array_equal(
        normalize_to_float16(part, 2.0)[0], normalize_to_float16(packed, 2.0)[0]
    )
    assert percentile_of(part, "positive") == percentile_of(packed, "positive")


@pytest.mark.parametrize("n_bins", [1, 2, 7, 256])
@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(3, 2, (20, 30, 11)).astype(np.float32),
        np.random.default_rng(1).integers(-128, 128, 10_000).astype(np.float32),
        np.linspace(-1, 1, 257, dtype=np.float32),
        np.arange(99, dtype=np.float32),  # 49 * (1 / 49) < 1 in float64
        np.array([1.0, np.nextafter(np.float32(1), np.float32(2))] * 50, np.float32),
        np.array([-3e38, 0, 3e38], np.float32),
    ],
    ids=["normal", "int8", "on-the-edges", "integers", "neighbours", "widest"],
)
def test_histogram_equals_numpy(values: np.ndarray, n_bins: int) -> None:
    counts, low, high = density_histogram(values, n_bins)
    want, edges = np.histogram(values.astype(np.float64), bins=n_bins)
    assert (low, high) == (edges[0], edges[-1])
    np.testing.assert_array_equal(counts, want)
    assert counts.dtype == np.int64


def test_histogram_of_equal_values() -> None:
    counts, low, high = density_histogram(np.full(9, 2.5, np.float32), 4)
    assert (counts.tolist(), low, high) == ([9, 0, 0, 0], 2.5, 2.5)


@pytest.mark.parametrize(
    ("values", "n_bins"),
    [
        (np.zeros(0, np.float32), 4),
        (np.ones(3), 4),
        (np.ones(3, np.float32), 0),
        (np.array([1, np.nan], np.float32), 4),
        (np.array([1, np.inf], np.float32), 4),
    ],
)
def test_histogram_refuses_what_it_cannot_count(values: np.ndarray, n_bins: int) -> None:
    with pytest.raises(ValueError, match=r"histogram needs finite|expected float32 values"):
        density_histogram(values, n_bins)
