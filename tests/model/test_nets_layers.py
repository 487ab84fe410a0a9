"""Each part of the network against torch's own layers or the plain formula."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from c2s_model.nets.decoder_blocks import ConvBlock, Up, ups
from c2s_model.nets.initial_weights import fill_initial_weights
from c2s_model.nets.patch_embedding import PatchEmbedding
from c2s_model.nets.sequence_fusion import SequenceFusion
from c2s_model.nets.transformer import SelfAttention, Transformer, TransformerBlock
from c2s_model.nets.variants import Architecture

WIDTH, HEADS, HIDDEN = 48, 4, 72


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(std=0.2, generator=generator)
    return module.double().eval()  # so that a difference is one of formulas


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randn(3, 7, WIDTH, generator=torch.Generator().manual_seed(1)).double()


def test_attention_is_that_of_torch(tokens: torch.Tensor) -> None:
    ours = filled(SelfAttention(WIDTH, HEADS))
    theirs = nn.MultiheadAttention(WIDTH, HEADS, bias=False, batch_first=True).double()
    theirs.in_proj_weight.data = ours.qkv.weight.data
    theirs.out_proj.weight.data = ours.out.weight.data
    expected, _ = theirs(tokens, tokens, tokens)
    torch.testing.assert_close(ours(tokens), expected, rtol=0, atol=1e-10)


def test_another_number_of_heads_is_another_function(tokens: torch.Tensor) -> None:
    six, four = filled(SelfAttention(WIDTH, 6)), filled(SelfAttention(WIDTH, 4))
    assert (six(tokens) - four(tokens)).abs().max() > 1e-2


def test_a_block_is_the_prenorm_layer_of_torch(tokens: torch.Tensor) -> None:
    ours = filled(TransformerBlock(WIDTH, HEADS, HIDDEN, dropout=0.1))
    theirs = nn.TransformerEncoderLayer(
        WIDTH, HEADS, HIDDEN, activation="gelu", batch_first=True, norm_first=True
    )
    theirs = theirs.double().eval()
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": ours.attention.qkv.weight,
            "self_attn.in_proj_bias": torch.zeros(3 * WIDTH),
            "self_attn.out_proj.weight": ours.attention.out.weight,
            "self_attn.out_proj.bias": torch.zeros(WIDTH),
            **{f"linear1.{k}": v for k, v in ours.mlp[0].state_dict().items()},
            **{f"linear2.{k}": v for k, v in ours.mlp[3].state_dict().items()},
            **{f"norm1.{k}": v for k, v in ours.attention_norm.state_dict().items()},
            **{f"norm2.{k}": v for k, v in ours.mlp_norm.state_dict().items()},
        }
    )
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens), rtol=0, atol=1e-10)


def test_a_block_drops_out_after_attention_and_both_linear_layers(tokens: torch.Tensor) -> None:
    block = TransformerBlock(WIDTH, HEADS, HIDDEN, dropout=0.25)
    assert [m.p for m in block.modules() if isinstance(m, nn.Dropout)] == [0.25] * 3
    dropped = TransformerBlock(WIDTH, HEADS, HIDDEN, dropout=1.0 - 1e-9).double().train()
    torch.testing.assert_close(dropped(tokens), tokens)


def test_four_blocks_are_heard_in_their_order(tokens: torch.Tensor) -> None:
    sizes = Architecture(6, HEADS, (1, 3, 4, 6), width=WIDTH, hidden=HIDDEN)
    transformer = filled(Transformer(sizes))
    x, after = tokens, []
    for block in transformer.blocks:
        x = block(x)
        after.append(x)
    for found, number in zip(transformer(tokens), (1, 3, 4, 6), strict=True):
        torch.testing.assert_close(found, after[number - 1], rtol=0, atol=0)


def test_patches_become_tokens_with_x_fastest() -> None:
    sizes = Architecture(4, 2, (1, 2, 3, 4), width=8, box_zyx=(16, 32, 48), dropout=0.5)
    embedding = filled(PatchEmbedding(sizes))
    density = torch.rand(2, 1, 16, 32, 48).double()
    found = embedding(density, None)
    assert found.shape == (2, 6, 8)
    for y in range(2):
        for x in range(3):
            patch = density[:, 0, :, 16 * y : 16 * y + 16, 16 * x : 16 * x + 16].flatten(1)
            place = 3 * y + x
            expected = patch @ embedding.patches.weight.flatten(1).T + embedding.positions[0, place]
            torch.testing.assert_close(found[:, place], expected, rtol=0, atol=1e-10)


def test_the_sequence_is_mixed_into_every_token(tokens: torch.Tensor) -> None:
    fusion = filled(SequenceFusion(20, WIDTH))
    sequence = torch.randn(3, 20).double()
    found = fusion(tokens, sequence)
    own, other = fusion.mix.weight[:, :WIDTH], fusion.mix.weight[:, WIDTH:]
    e = sequence @ fusion.project.weight.T + fusion.project.bias
    for t in range(7):
        expected = tokens[:, t] @ own.T + e @ other.T + fusion.mix.bias
        torch.testing.assert_close(found[:, t], expected, rtol=0, atol=1e-10)


def test_up_writes_each_voxel_into_its_own_eight() -> None:
    up = filled(Up(3, 5))
    coarse = torch.randn(2, 3, 2, 3, 4).double()
    fine = up(coarse)
    assert fine.shape == (2, 5, 4, 6, 8)
    expected = torch.einsum("bi,io->bo", coarse[:, :, 1, 2, 3], up.weight[:, :, 1, 0, 1])
    torch.testing.assert_close(fine[:, :, 3, 4, 7], expected, rtol=0, atol=1e-10)


def test_a_stack_of_ups_changes_the_features_first() -> None:
    stack = ups(6, 2, 3)
    assert [(up.in_channels, up.out_channels) for up in stack] == [(6, 2), (2, 2), (2, 2)]
    assert all(up.bias is None for up in stack)


@pytest.mark.parametrize("outputs", [4, 6])
def test_a_conv_block_is_its_formula(outputs: int) -> None:
    block = filled(ConvBlock(4, outputs))
    x = torch.randn(2, 4, 5, 6, 7).double()
    first, second = block.convolutions[0], block.convolutions[3]

    def normed(features: torch.Tensor) -> torch.Tensor:
        flat = features.flatten(2)
        scaled = (flat - flat.mean(2, keepdim=True)) / (
            flat.var(2, correction=0, keepdim=True) + 1e-5
        ).sqrt()
        return scaled.view_as(features)

    y = functional.conv3d(x, first.weight, first.bias, padding=1)
    y = functional.leaky_relu(normed(y), 0.01)
    y = normed(functional.conv3d(y, second.weight, second.bias, padding=1))
    if outputs == 4:
        skip = x
    else:
        one = block.shortcut[0]
        skip = normed(
            torch.einsum("bizyx,oi->bozyx", x, one.weight.flatten(1)) + one.bias.view(-1, 1, 1, 1)
        )
    before = x.clone()
    found = block(x)
    torch.testing.assert_close(found, functional.leaky_relu(y + skip, 0.01), rtol=0, atol=1e-10)
    assert torch.equal(x, before)
    assert torch.equal(found, block.train()(x)), "norms keep no running statistics"


def test_initial_weights_are_torchs_own_distributions() -> None:
    modules = nn.ModuleList(
        [nn.Linear(30, 400), nn.Conv3d(6, 80, 3), nn.ConvTranspose3d(40, 70, 2)]
    )
    fill_initial_weights(modules, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    defaults = [nn.Linear(30, 400), nn.Conv3d(6, 80, 3), nn.ConvTranspose3d(40, 70, 2)]
    for ours, theirs in zip(modules, defaults, strict=True):
        for name in ("weight", "bias"):
            mine, default = getattr(ours, name), getattr(theirs, name)
            assert mine.abs().max().item() == pytest.approx(default.abs().max().item(), rel=0.05)
            assert mine.std().item() == pytest.approx(default.std().item(), rel=0.2)
