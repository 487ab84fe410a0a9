"""The transformer: pre-norm blocks of self-attention and two linear layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from c2s_model.nets.variants import Architecture


class SelfAttention(nn.Module):
    """Multi-head self-attention, softmax(q k^T / sqrt(D / H)) v, without biases.

    Rows of the joint projection are ordered (q, k, v), then by head, then by feature.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend among (B, T, D): (B, T, D)."""
        qkv = self.qkv(tokens).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, H, D/H)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, T, D/H)
        attended = scaled_dot_product_attention(q, k, v)  # (B, H, T, D/H)
        mixed: Tensor = self.out(attended.transpose(1, 2).flatten(2))  # (B, T, D)
        return mixed


class TransformerBlock(nn.Module):
    """x + drop(attention(norm(x))), then y + drop(linear(drop(GELU(linear(norm(y))))))."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.dropout = nn.Dropout(dropout)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform (B, T, D): (B, T, D)."""
        tokens = tokens + self.dropout(self.attention(self.attention_norm(tokens)))
        transformed: Tensor = tokens + self.mlp(self.mlp_norm(tokens))
        return transformed


class Transformer(nn.Module):
    """All blocks; four of them are heard by the decoder. No norm follows the last one."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.extraction = architecture.extraction
        self.blocks = nn.ModuleList(
            TransformerBlock(
                architecture.width,
                architecture.attention_heads,
                architecture.hidden,
                architecture.dropout,
            )
            for _ in range(architecture.layers)
        )

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """Transform (B, T, D): four times (B, T, D), from the earliest block to the latest."""
        extracted = []
        for number, block in enumerate(self.blocks, start=1):
            tokens = block(tokens)
            if number in self.extraction:
                extracted.append(tokens)
        return extracted
