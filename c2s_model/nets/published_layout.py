"""How the published networks name and order their weights, and how ours do.

The names are those of the PyPI package self-attention-cv 1.2.3 behind the prefix ``model.`` of
the Lightning module; the package's own description is in its class ``UNETR``.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor

PREFIX: Final = "model."
QKV: Final = ".attention.qkv.weight"

_PLACES: Final = {
    "embedding.patches": "embed.patch_embeddings",
    "embedding.positions": "embed.position_embeddings.abs_pos_enc",
    "transformer.blocks": "transformer.block_list",
    "decoder.input_0": "init_conv",
    "decoder.up_3": "z12_deconv.block",
    "decoder.up_2": "z9_deconv.block",
    "decoder.up_1": "z6_deconv.block",
    "decoder.up_0": "z3_deconv.block",
    "decoder.block_3": "z9_blue_conv.blocks",
    "decoder.block_2": "z6_blue_conv.blocks",
    "decoder.block_1": "z3_blue_conv.blocks",
    "decoder.join_3": "z9_conv",
    "decoder.join_2": "z6_conv",
    "decoder.join_1": "z3_conv",
    "decoder.join_0": "out_conv.0",
}
_BLOCK_PARTS: Final = {
    "attention.qkv": "mhsa.to_qvk",
    "attention.out": "mhsa.W_0",
    "attention_norm": "norm_1",
    "mlp_norm": "norm_2",
    "mlp": "linear",
}
_CONV_PARTS: Final = {"convolutions": "conv_block", "shortcut": "conv_down"}


def published_name(own: str) -> str | None:
    """Return the published key of one of our weights; None for those of the sequence.

    What the published network with sequences calls its two additional layers is not known.
    """
    if own.startswith("embedding.sequence."):
        return None
    if own.startswith("heads."):
        return f"{PREFIX}out_conv.1.{own.rsplit('.', 1)[1]}"
    first, second, *rest = own.split(".")
    inner = ".".join(rest)
    place = _PLACES[f"{first}.{second}"]
    if first == "transformer":
        number, inner = inner.split(".", 1)
        return f"{PREFIX}{place}.{number}.{_renamed(inner, _BLOCK_PARTS)}"
    if second.startswith("block_"):  # each step of a stack is wrapped once more
        number, inner = inner.split(".", 1)
        return f"{PREFIX}{place}.{number}.block.{inner}"
    return ".".join(part for part in (PREFIX + place, _renamed(inner, _CONV_PARTS)) if part)


def _renamed(inner: str, parts: dict[str, str]) -> str:
    for own, theirs in parts.items():
        if inner.startswith(f"{own}."):
            return theirs + inner.removeprefix(own)
    return inner


def own_qkv(published: Tensor, heads: int) -> Tensor:
    """Reorder the rows of a joint projection from (d, k, h) to (k, h, d).

    Parameters
    ----------
    published
        (3 D, D): row d * 3 H + k * H + h makes feature d of head h of query, key or value k.
    heads
        H; another number reads the same rows as other features.

    Returns
    -------
    torch.Tensor
        (3 D, D): row k * D + h * D/H + d.
    """
    rows, width = published.shape
    ordered = published.view(rows // (3 * heads), 3, heads, width).permute(1, 2, 0, 3)
    return ordered.reshape(rows, width)
