"""The sizes of the networks: exact counts, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from c2s_data.errors import ConfigError
from c2s_model.nets.describe import count_parameters, describe
from c2s_model.nets.unetr import shapes_only
from c2s_model.nets.variants import (
    TARGETS,
    VARIANTS,
    Architecture,
    classes_of,
    nearest_variant,
    variant_named,
)

PUBLISHED = {
    ("small", "atom"): 35_603_204,
    ("small", "secondary"): 35_603_204,
    ("small", "amino"): 35_603_493,
    ("full-v1", "atom"): 92_281_604,
    ("full-v1", "secondary"): 92_281_604,
    ("full-v1", "amino"): 92_281_893,
    ("full-v2-seq", "atom"): 179_463_428,
    ("full-v2-seq", "secondary"): 179_463_428,
    ("full-v2-seq", "amino"): 179_463_717,
    ("tiny", "atom"): 1_462_660,
    ("tiny", "amino"): 1_462_813,
}


@pytest.mark.parametrize(("variant", "target"), PUBLISHED)
def test_a_variant_has_exactly_the_published_parameters(variant: str, target: str) -> None:
    network = shapes_only(variant_named(variant), classes_of([target]))
    assert count_parameters(network) == PUBLISHED[variant, target]


def test_three_heads_add_only_their_last_convolutions() -> None:
    network = shapes_only(VARIANTS["full-v1"], classes_of(TARGETS))
    assert count_parameters(network) == 92_281_604 + 17 * 21 + 17 * 4


def test_a_transformer_block_and_the_sequence_have_their_listed_parameters() -> None:
    layers = {row.name: row for row in describe(VARIANTS["full-v2-seq"], {"atom": 4}).layers}
    assert layers["transformer.blocks.23"].parameters == 7_084_800
    plain = {row.name: row for row in describe(VARIANTS["full-v1"], {"atom": 4}).layers}
    more = layers["embedding"].parameters - plain["embedding"].parameters
    assert more == 2_164_224


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rows_of_a_description_hold_every_parameter_once(variant: str) -> None:
    found = describe(VARIANTS[variant], classes_of(TARGETS))
    assert sum(row.parameters for row in found.layers) == found.parameters
    assert found.layers[0].shape == (1, 8, VARIANTS[variant].width)
    assert found.layers[-1].shape == (1, 4, 32, 32, 32)
    assert found.as_json()["parameters"] == found.parameters


def test_a_table_of_positions_follows_the_box() -> None:
    sizes = replace(VARIANTS["tiny"], box_zyx=(16, 32, 48))
    assert sizes.tokens_zyx == (1, 2, 3)
    assert describe(sizes, {"atom": 4}).layers[0].shape == (1, 6, 96)


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"box_zyx": (32, 32, 40)}, "box"),
        ({"box_zyx": (32, 32, 0)}, "box"),
        ({"box_zyx": (32, 32)}, "box"),
        ({"attention_heads": 5}, "attention heads"),
        ({"extraction": (1, 2, 3, 5)}, "extraction"),
        ({"extraction": (1, 3, 2, 4)}, "extraction"),
        ({"extraction": (0, 1, 2, 3)}, "extraction"),
        ({"extraction": (1, 2, 4)}, "extraction"),
        ({"dropout": 1.0}, "dropout"),
        ({"sequence_width": -1}, "sequence_width"),
        ({"layers": 0}, "layers"),
        ({"layers": 10**9}, "layers"),
        ({"filters": 2**40}, "filters"),
        ({"width": 6 * 2**40}, "width"),
        ({"box_zyx": (32, 32, 2**40)}, "box"),
    ],
)
def test_sizes_that_cannot_be_built_are_refused(change: dict, fact: str) -> None:
    with pytest.raises(ConfigError, match=fact):
        replace(VARIANTS["tiny"], **change)


@pytest.mark.parametrize("targets", [[], ["atoms"], ["atom", "atom"], ["ca"]])
def test_other_targets_are_refused(targets: list[str]) -> None:
    with pytest.raises(ConfigError, match="targets"):
        classes_of(targets)


def test_an_unknown_variant_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="full-v2-seq"):
        variant_named("full")


@pytest.mark.parametrize("heads", [{}, {"atom": 1}])
def test_a_network_without_classes_is_refused(heads: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="heads"):
        shapes_only(VARIANTS["tiny"], heads)


def test_sizes_are_named_whatever_their_heads_dropout_and_box() -> None:
    changed = replace(VARIANTS["full-v1"], attention_heads=6, dropout=0.0, box_zyx=(48, 32, 16))
    assert nearest_variant(changed) == "full-v1"
    assert nearest_variant(Architecture(12, 12, (3, 6, 9, 11))) == "custom"
