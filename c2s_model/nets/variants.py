"""Which networks there are: their sizes as data. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from c2s_data.errors import ConfigError
from c2s_data.schema import BOX, CLASS_NAMES

PATCH: Final = 16
"""Side of a patch in voxels: the decoder doubles the token grid four times, and 2^4 = 16."""
LIMITS: Final = MappingProxyType(
    {
        "layers": (1, 256),
        "attention_heads": (1, 256),
        "width": (1, 2**14),
        "hidden": (1, 2**16),
        "filters": (1, 2**10),
        "sequence_width": (0, 2**16),
    }
)
"""Least and largest sizes: a file that states its own cannot ask for any amount of work."""
MAX_SIDE: Final = 1024
TARGETS: Final = ("atom", "amino", "secondary")
"""Label arrays that the networks of the paper predict."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """The sizes of one UNETR.

    Parameters
    ----------
    layers
        Transformer blocks.
    attention_heads
        Heads of each self-attention. They leave no trace in the weights' shapes, so a file of
        weights without this number cannot be used.
    extraction
        The four blocks, counted from 1, whose outputs the decoder takes.
    width
        Features of a token.
    hidden
        Features between the two linear layers of a block.
    filters
        Features of the decoder at full resolution; 2, 4 and 8 times as many further down.
    dropout
        Probability, in training: after the positions, the attention and both linear layers.
    sequence_width
        Features of a sequence embedding that joins every token (1,280: ESM-2 650M); 0 for none.
    box_zyx
        Sides of the input in voxels, multiples of 16. They fix the table of positions.

    Raises
    ------
    ConfigError
        Sizes that cannot be built.
    """

    layers: int
    attention_heads: int
    extraction: tuple[int, int, int, int]
    width: int = 768
    hidden: int = 3072
    filters: int = 16
    dropout: float = 0.1
    sequence_width: int = 0
    box_zyx: tuple[int, int, int] = (BOX, BOX, BOX)

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        for name, (least, most) in LIMITS.items():
            if not least <= getattr(self, name) <= most:
                raise ConfigError(
                    f"{name} of a network is {getattr(self, name)}; it is from {least} to {most:,}"
                )
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout {self.dropout}; it is at least 0 and below 1")
        if self.width % self.attention_heads:
            raise ConfigError(
                f"{self.width} features of a token cannot be shared by {self.attention_heads} "
                f"attention heads; take a divisor of {self.width}"
            )
        steps: tuple[int, ...] = (0, *self.extraction, self.layers + 1)
        if len(steps) != 6 or any(a >= b for a, b in pairwise(steps)):
            raise ConfigError(
                f"extraction layers {list(self.extraction)} of {self.layers} blocks; four rising "
                f"numbers from 1 to {self.layers} are needed"
            )
        sides: tuple[int, ...] = self.box_zyx
        if len(sides) != 3 or any(side % PATCH or not PATCH <= side <= MAX_SIDE for side in sides):
            raise ConfigError(
                f"a box of {self.box_zyx} voxels cannot be cut into patches of {PATCH}; "
                f"take multiples of {PATCH} up to {MAX_SIDE}"
            )

    @property
    def tokens_zyx(self) -> tuple[int, int, int]:
        """Patches along each axis: (2, 2, 2) for a box of 32."""
        z, y, x = self.box_zyx
        return z // PATCH, y // PATCH, x // PATCH


VARIANTS: Final = MappingProxyType(
    {
        "tiny": Architecture(4, 6, (1, 2, 3, 4), width=96, hidden=384, filters=8),
        "small": Architecture(4, 6, (1, 2, 3, 4)),
        "full-v1": Architecture(12, 12, (3, 6, 9, 12)),
        "full-v2-seq": Architecture(24, 12, (3, 6, 12, 24), sequence_width=1280),
    }
)
"""The networks of the paper's Table 3, and `tiny` for laptops and tests."""


def variant_named(name: str) -> Architecture:
    """Return the sizes of a variant; raise `ConfigError` for a name that is none."""
    if name not in VARIANTS:
        raise ConfigError(
            f"there is no variant {name!r} of the networks; take one of {', '.join(VARIANTS)}"
        )
    return VARIANTS[name]


def nearest_variant(architecture: Architecture) -> str:
    """Return the variant of these sizes whatever its heads, dropout and box, or "custom"."""
    for name, variant in VARIANTS.items():
        if architecture == replace(
            variant,
            attention_heads=architecture.attention_heads,
            dropout=architecture.dropout,
            box_zyx=architecture.box_zyx,
        ):
            return name
    return "custom"


def classes_of(targets: Iterable[str]) -> dict[str, int]:
    """Return how many classes each target has; raise `ConfigError` for unknown or no targets."""
    chosen = list(targets)
    unknown = [target for target in chosen if target not in TARGETS]
    if unknown or not chosen or len(set(chosen)) < len(chosen):
        raise ConfigError(
            f"targets {chosen} of a network; name each of {', '.join(TARGETS)} at most once, and "
            "at least one"
        )
    return {target: len(CLASS_NAMES[target]) for target in chosen}
