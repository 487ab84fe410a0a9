"""Presets, their overrides and the fingerprint."""

import numpy as np
import pytest

from c2s_data.config import PRESETS, fingerprint, make_config
from c2s_data.errors import ConfigError
from c2s_data.transforms.label import voxel_index


def test_paper_is_the_default() -> None:
    assert make_config().preset == "paper"
    assert make_config() == make_config("paper")


@pytest.mark.parametrize(
    ("preset", "rule", "offset", "error", "scale", "dtype"),
    [
        ("paper", "formula1", 0.5, 0.96, "positive", "float16"),
        ("released", "formula1-float32", 0.5, 0.96, "nonzero", "float32"),
        ("recommended", "nearest", 0.0, 0.48, "signal", "float16"),
    ],
)
def test_presets(
    preset: str, rule: str, offset: float, error: float, scale: str, dtype: str
) -> None:
    config = make_config(preset)
    assert config.label_rule == rule
    assert config.decode_offset_voxel == offset
    assert config.label_error_A == error
    assert config.scale == scale
    assert config.density_dtype == dtype
    assert (config.box, config.core) == (32, 20)


@pytest.mark.parametrize("preset", PRESETS)
def test_label_error_and_decode_offset_are_those_of_the_labels(preset: str) -> None:
    config = make_config(preset)
    xyz_A = np.random.default_rng(3).uniform(20, 80, (200_000, 3))
    voxel_zyx = voxel_index(xyz_A, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), config.label_rule)
    off_A = xyz_A - voxel_zyx[:, ::-1]
    assert np.linalg.norm(off_A, axis=1).mean() == pytest.approx(config.label_error_A, abs=0.005)
    assert off_A.mean(axis=0) == pytest.approx([config.decode_offset_voxel] * 3, abs=0.005)


def test_override_replaces_one_option_and_none_replaces_nothing() -> None:
    config = make_config("released", box=64, core=50, origin=None)
    assert (config.box, config.core, config.origin) == (64, 50, "extension")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"box": 32, "core": 19}, "even"),
        ({"box": 20, "core": 32}, "must not exceed"),
        ({"origin": "header"}, "origin"),
        ({"scales": "positive"}, "scales"),
        ({"percentile": 100.0}, "percentile"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_config("paper", **options)


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="paper, released, recommended"):
        make_config("best")


def test_fingerprint_tells_options_and_inputs_apart() -> None:
    inputs = [{"entry_id": "EMD-0001", "map_bytes": 7}]
    prints = {fingerprint(make_config(name), inputs) for name in PRESETS}
    prints |= {
        fingerprint(make_config("paper", core=30), inputs),
        fingerprint(make_config("paper"), [{"entry_id": "EMD-0001", "map_bytes": 8}]),
    }
    assert len(prints) == 5
    assert fingerprint(make_config("paper"), inputs) == fingerprint(make_config(), list(inputs))
