"""The whole network: values, several heads, other boxes, precision, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from published_files import TINY, published_forward, published_shapes, random_state

from c2s_model.nets.published_layout import published_name
from c2s_model.nets.unetr import make_network, shapes_only
from c2s_model.nets.variants import TARGETS, VARIANTS, Architecture, classes_of

TINY_VARIANT = VARIANTS["tiny"]
MINI = Architecture(4, 2, (1, 2, 3, 4), width=16, hidden=24, filters=2)


def made(architecture: Architecture, targets: tuple[str, ...] = ("atom",), seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return make_network(architecture, classes_of(targets), generator)


def density(box: tuple[int, int, int] = (32, 32, 32), batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 1, *box, generator=torch.Generator().manual_seed(5))


def test_the_generator_alone_decides_the_weights() -> None:
    first = made(MINI)
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    again, other = made(MINI), made(MINI, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state), "nothing global is drawn from"
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
        assert weight.isfinite().all(), name
        is_norm = "norm" in name
        assert is_norm or not torch.equal(weight, other.state_dict()[name]), name


@pytest.mark.parametrize("box", [(16, 16, 16), (32, 32, 32), (48, 16, 32)])
def test_every_voxel_of_any_box_gets_its_logits(box: tuple[int, int, int]) -> None:
    network = made(replace(MINI, box_zyx=box), TARGETS).eval()
    logits = network(density(box, 1))
    assert {target: tuple(found.shape) for target, found in logits.items()} == {
        "atom": (1, 4, *box),
        "amino": (1, 21, *box),
        "secondary": (1, 4, *box),
    }
    assert network.classes == {"atom": 4, "amino": 21, "secondary": 4}


@pytest.mark.parametrize(
    ("sequence_width", "box"), [(0, (32, 32, 32)), (10, (16, 32, 48)), (10, (16, 16, 16))]
)
def test_the_network_is_the_published_formulas(
    sequence_width: int, box: tuple[int, int, int]
) -> None:
    sizes = Architecture(
        5, 1, (1, 2, 4, 5), width=24, hidden=40, filters=3,
        sequence_width=sequence_width, box_zyx=box,
    )  # fmt: skip
    network = made(sizes).eval()
    z, y, x = sizes.tokens_zyx
    names = published_shapes(**(TINY | {"tokens": z * y * x, "sequence_width": sequence_width}))
    state = random_state(3, tokens=z * y * x, sequence_width=sequence_width)
    own = {}
    for name, weight in network.state_dict().items():
        theirs = (
            published_name(name)
            or "model."
            + {
                "embedding.sequence.project": "sequence_embedding",
                "embedding.sequence.mix": "fuse",
            }[name.rsplit(".", 1)[0]]
            + "."
            + name.rsplit(".", 1)[1]
        )
        assert names.pop(theirs) == tuple(weight.shape), name
        own[name] = state[theirs]
        if name.endswith("qkv.weight"):  # one head: (d k) to (k d)
            own[name] = torch.cat([own[name][k::3] for k in range(3)])
    assert names == {}, "each published weight has exactly one place"
    network.load_state_dict(own)
    sequence = torch.randn(2, sequence_width) if sequence_width else None
    with torch.no_grad():
        found = network(density(box), sequence)["atom"]
        expected = published_forward(state, density(box), 1, (1, 2, 4, 5), sequence)
    assert expected.std() > 0.05
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_one_pass_with_three_heads_is_three_networks_with_one() -> None:
    together = made(MINI, TARGETS).eval()
    logits = together(density())
    for target in TARGETS:
        alone = made(MINI, (target,), seed=9).eval()
        alone.load_state_dict(
            {name: weight for name, weight in together.state_dict().items()
             if not name.startswith("heads.") or name.startswith(f"heads.{target}.")}
        )  # fmt: skip
        assert torch.equal(alone(density())[target], logits[target])


def test_every_weight_learns_from_every_head() -> None:
    network = made(replace(MINI, sequence_width=6), TARGETS)
    logits = network(density(), torch.randn(2, 6))
    sum(found.square().mean() for found in logits.values()).backward()
    silent = [name for name, weight in network.named_parameters() if not weight.grad.any()]
    # A constant that is added before a norm is taken away by it: these biases exist as published.
    assert all(name.endswith(".bias") and "decoder" in name for name in silent), silent


def test_dropout_acts_in_training_only() -> None:
    network = made(replace(MINI, dropout=0.5))
    torch.manual_seed(0)
    assert not torch.equal(network(density())["atom"], network(density())["atom"])
    network.eval()
    assert torch.equal(network(density())["atom"], network(density())["atom"])


def test_each_subgrid_is_computed_by_itself() -> None:
    network = made(MINI).eval()
    x = density(batch=3)
    torch.testing.assert_close(network(x)["atom"][1:2], network(x[1:2])["atom"], rtol=0, atol=1e-5)


def test_bfloat16_stays_near_float32() -> None:
    network = made(replace(TINY_VARIANT, box_zyx=(16, 16, 32))).eval()
    x = density((16, 16, 32))
    with torch.no_grad():
        exact = network(x)["atom"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(x)["atom"]
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).abs().mean() < 0.05 * exact.std()


def test_the_compiler_sees_one_graph() -> None:
    network = made(replace(MINI, sequence_width=6), TARGETS).eval()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    sequence = torch.randn(2, 6)
    with torch.no_grad():
        found, expected = compiled(density(), sequence), network(density(), sequence)
    assert all(torch.equal(found[target], expected[target]) for target in TARGETS)


@pytest.mark.parametrize(
    ("shape", "sequence_shape", "fact"),
    [
        ((2, 1, 32, 32, 48), None, "density"),
        ((2, 2, 32, 32, 32), None, "density"),
        ((1, 32, 32, 32), None, "density"),
        ((2, 1, 32, 32, 32), (2, 6), "a sequence"),
    ],
)
def test_other_input_is_refused(shape: tuple, sequence_shape: tuple | None, fact: str) -> None:
    network = shapes_only(MINI, {"atom": 4})
    sequence = None if sequence_shape is None else torch.zeros(sequence_shape)
    with pytest.raises(ValueError, match=fact):
        network(torch.zeros(shape), sequence)


@pytest.mark.parametrize("sequence_shape", [None, (2, 5), (1, 6), (6,)])
def test_a_sequence_that_does_not_fit_is_refused(sequence_shape: tuple | None) -> None:
    network = shapes_only(replace(MINI, sequence_width=6), {"atom": 4})
    sequence = None if sequence_shape is None else torch.zeros(sequence_shape)
    with pytest.raises(ValueError, match="sequence"):
        network(torch.zeros(2, 1, 32, 32, 32), sequence)
