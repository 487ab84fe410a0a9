"""What a network is trained to make small: the paper's loss, and one that imbalance calls for.

Every loss here is a function of sums over voxels. Where several processes train together, the sums
run over the voxels of all of them, so that R processes with B subgrids each take the step that one
process would take with R x B. A sum S has the value over all ranks and the gradient of the local
part,

    S = S_r + stop(sum over ranks of S_q - S_r),

so a loss f(S, T, ...) has on rank r the gradient f_S dS_r + f_T dT_r + ..., and these add up over
ranks to that of the whole batch. DistributedDataParallel takes their mean instead of their sum, so
the gradient, not the value, is multiplied by R.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from c2s_data.errors import ConfigError
from c2s_data.schema import IGNORE

Kind = Literal["cross-entropy", "focal-dice"]
ClassWeights = Literal["batch", "balanced", "none"]
SumOverRanks = Callable[[Tensor], Tensor]
TYPES: Final = ("amino", "secondary")
"""Targets that say what a residue is, at the voxel of its C-alpha."""
_TINY: Final = 1e-12


@dataclass(frozen=True)
class LossOptions:
    """How voxels count.

    Parameters
    ----------
    kind
        ``cross-entropy``; or ``focal-dice``: focal cross-entropy (Lin et al. 2017), in which the
        99.9 % of voxels that are plainly background do not outweigh the rest, and soft Dice
        (Milletari et al. 2016), which scores overlap and so does not depend on how rare a class is.
    class_weights
        ``batch``: w_c = 1 - n_c / N + 1e-5 of the batch of each process, as published; this leaves
        atoms and background nearly equal in weight (1 to 0.003), and a batch without atoms almost
        without one. ``balanced``: w_c proportional to n_c^(-1/2) over the batches of all processes,
        1 on average over voxels: between no balance, which finds nothing, and full balance (1/n_c),
        which finds a thousand false atoms for each true one. ``none``: all voxels alike.
    gamma
        Of the focal loss: a voxel given probability p counts (1 - p)^gamma.
    dice_share
        Share of Dice in the loss.
    type_at_ca
        Ask for amino acid and secondary structure only where there is a C-alpha, and elsewhere only
        whether there is one. The two questions are the factors of the softmax,
        p(c) = p(not none) p(c | not none), so nothing is lost; but the second, on which sequence
        assignment rests, no longer drowns in the first.
    ignore_index
        Class of voxels that are left out.
    """

    kind: Kind = "cross-entropy"
    class_weights: ClassWeights = "batch"
    gamma: float = 2.0
    dice_share: float = 0.5
    type_at_ca: bool = False
    ignore_index: int = IGNORE

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if not (self.gamma >= 0 and 0 <= self.dice_share < 1):
            raise ConfigError(
                f"gamma {self.gamma} must be at least 0, dice_share {self.dice_share} from 0 to "
                "below 1"
            )
        if self.kind not in ("cross-entropy", "focal-dice") or self.class_weights not in (
            "batch",
            "balanced",
            "none",
        ):
            raise ConfigError(f"no loss of kind {self.kind!r} with weights {self.class_weights!r}")


PAPER: Final = LossOptions("cross-entropy", "batch")
"""The published programs' loss."""
RECOMMENDED: Final = LossOptions("focal-dice", "balanced", type_at_ca=True)
UNWEIGHTED: Final = LossOptions("cross-entropy", "none")
"""Plain cross-entropy, by which the published programs choose their checkpoints."""


class Losses(NamedTuple):
    """The loss of a batch, () float32 each: over all targets, and of each."""

    total: Tensor
    of_target: dict[str, Tensor]


def _alone(values: Tensor) -> Tensor:
    return values


class SegmentationLoss:
    """Loss of the logits of a batch, target by target, added up.

    Parameters
    ----------
    options
        How voxels count.
    heads
        Target -> number of classes.
    sum_over_ranks
        Returns the sum of a tensor over all processes, without gradient; by default there is one.
    """

    def __init__(
        self,
        options: LossOptions,
        heads: Mapping[str, int],
        sum_over_ranks: SumOverRanks = _alone,
    ) -> None:
        self.options = options
        self.heads = dict(heads)
        # The published weights are those of each process's own batch, and so is its loss.
        self._sum = _alone if options.class_weights == "batch" else sum_over_ranks
        self._ranks: float | None = None

    def __call__(
        self,
        logits: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        ignore: Tensor | None = None,
    ) -> Losses:
        """Return the losses of a batch.

        Parameters
        ----------
        logits
            Target -> (B, C, Z, Y, X), of any floating dtype; computed with in float32.
        targets
            Target -> (B, Z, Y, X) uint8.
        ignore
            (B, Z, Y, X) bool: voxels to leave out of all targets; None for none.
        """
        of_target = {
            name: self._of_target(name, logits[name].float(), targets[name], ignore)
            for name in self.heads
        }
        return Losses(torch.stack(list(of_target.values())).sum(), of_target)

    def _of_target(
        self, name: str, logits: Tensor, target: Tensor, ignore: Tensor | None
    ) -> Tensor:
        kept = target != self.options.ignore_index
        if ignore is not None:
            kept &= ~ignore
        truth = target.long().masked_fill(~kept, 0)
        log_p = functional.log_softmax(logits, dim=1)
        if self.options.type_at_ca and name in TYPES:
            return self._scaled(self._presence(log_p, truth, kept) + self._type(log_p, truth, kept))
        return self._scaled(self._classes(log_p, truth, kept))

    def _presence(self, log_p: Tensor, truth: Tensor, kept: Tensor) -> Tensor:
        """Return the loss of "is there a residue": classes none, and any other."""
        log_none, log_any = log_p[:, :1], torch.logsumexp(log_p[:, 1:], dim=1, keepdim=True)
        return self._classes(torch.cat((log_none, log_any), 1), (truth > 0).long(), kept)

    def _type(self, log_p: Tensor, truth: Tensor, kept: Tensor) -> Tensor:
        """Return the cross-entropy of the class given that there is one, where there is one."""
        here = kept & (truth > 0)
        found = log_p[:, 1:].movedim(1, -1)[here]  # (n, C - 1)
        given = found - torch.logsumexp(found, dim=1, keepdim=True)
        label = truth[here] - 1
        weight = self._weights(label, given.shape[1])[label]
        loss = -given.gather(1, label[:, None])[:, 0]
        return self._mean(weight * loss, weight)

    def _classes(self, log_p: Tensor, truth: Tensor, kept: Tensor) -> Tensor:
        """Return (focal) cross-entropy, and Dice of the classes other than the first."""
        options, n = self.options, log_p.shape[1]
        weight = self._weights(truth[kept], n)[truth] * kept
        log_true = log_p.gather(1, truth[:, None])[:, 0]
        loss = -log_true
        if options.kind == "cross-entropy":
            return self._mean(weight * loss, weight)
        if options.gamma:
            loss = loss * (1 - log_true.exp()).clamp(min=0) ** options.gamma
        focal = self._mean(weight * loss, weight)
        if not options.dice_share:
            return focal
        dice = self._dice(log_p, truth, kept)
        return (1 - options.dice_share) * focal + options.dice_share * dice

    def _dice(self, log_p: Tensor, truth: Tensor, kept: Tensor) -> Tensor:
        """Return 1 - 2 sum(p t) / (sum(p) + sum(t)), mean over the classes that are there."""
        classes = torch.arange(1, log_p.shape[1], device=log_p.device)
        p = log_p[:, 1:].exp() * kept[:, None]
        is_class = (truth[:, None] == classes[:, None, None, None]) & kept[:, None]
        axes = (0, 2, 3, 4)
        both, given = (p * is_class).sum(axes), p.sum(axes)
        there = is_class.sum(axes).float()
        both, given, there = self._over_ranks(torch.stack((both, given, there)))
        present = (there > 0).float()
        scores = 1 - (2 * both + _TINY) / (given + there + _TINY)
        mean: Tensor = (scores * present).sum() / present.sum().clamp(min=1)
        return mean

    def _weights(self, labels: Tensor, n_classes: int) -> Tensor:
        """Return the weight of each class (C,) float32; 0 of one that nowhere occurs."""
        if self.options.class_weights == "none":
            return torch.ones(n_classes, device=labels.device)
        local = torch.bincount(labels, minlength=n_classes).float()
        counts = self._sum(local)
        total = counts.sum().clamp(min=1)
        if self.options.class_weights == "batch":
            return 1 - counts / total + 1e-5
        inverse = torch.where(counts > 0, counts.clamp(min=1).rsqrt(), 0.0)
        weights: Tensor = inverse * total / (inverse * counts).sum().clamp(min=_TINY)
        return weights

    def _mean(self, weighted: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted mean over the voxels of all ranks; 0 where there are none."""
        sums = self._over_ranks(torch.stack((weighted.sum(), weight.sum())))
        return sums[0] / sums[1].clamp(min=_TINY)

    def _over_ranks(self, local: Tensor) -> Tensor:
        """Return sums over all ranks, with the gradient of the local part."""
        values = local.detach()
        return local + (self._sum(values) - values)

    def _scaled(self, loss: Tensor) -> Tensor:
        """Multiply the gradient by the number of ranks, by which it will be divided."""
        if self._ranks is None:
            self._ranks = float(self._sum(torch.ones((), device=loss.device)))
        if self._ranks == 1:
            return loss
        return loss.detach() + self._ranks * (loss - loss.detach())
