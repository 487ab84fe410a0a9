"""What the demonstration does: every number that decides its result, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from c2s_model.nets.variants import VARIANTS, Architecture
from c2s_model.training.train_config import TrainConfig, make_train_config

_WIDER: Final = replace(VARIANTS["tiny"], filters=16, dropout=0.0)
"""``tiny`` with the decoder of the larger variants: found more in the same time than 8 filters."""


@dataclass(frozen=True)
class Settings:
    """Numbers of one demonstration.

    Parameters
    ----------
    n_simulated
        Pairs that are made.
    seed
        Of proteins, noise, division, initial weights and order.
    epochs, batch_size, learning_rate
        Of the training.
    rest_share
        Share of the subgrids without C-alphas that an epoch has: most of a map is solvent.
    architecture
        The network.
    max_scored
        Simulated maps that are scored, at most.
    workers
        Processes that simulate and build.
    """

    n_simulated: int = 48
    seed: int = 1
    epochs: int = 4
    batch_size: int = 4
    learning_rate: float = 2e-3
    rest_share: float = 0.3
    architecture: Architecture = _WIDER
    max_scored: int = 3
    workers: int = 2

    def training(self, *, validates: bool, precision: str = "float32") -> TrainConfig:
        """Return the options of the training: preset ``recommended`` but for what is named here.

        Atoms alone: with amino acids and secondary structure in the same sum of losses, so short a
        training finds clearly fewer atoms.
        """
        return make_train_config(
            "recommended",
            targets=("atom",),
            architecture=self.architecture,
            validation_split="validation" if validates else None,
            epochs=self.epochs,
            batch_size=self.batch_size,
            rest_share=self.rest_share,
            seed=self.seed,
            learning_rate=self.learning_rate,
            average_decay=0.995,  # The default remembers a thousand steps, a fourth of all here.
            precision=precision,
        )


FULL: Final = Settings()
QUICK: Final = Settings(
    n_simulated=2,
    epochs=1,
    architecture=Architecture(4, 2, (1, 2, 3, 4), width=32, hidden=64, filters=4, dropout=0.0),
    max_scored=1,
    workers=1,
)
"""Only to see every step run: what it learns is worth nothing."""
