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
        left_out = target == self.options.ignore_index
        if ignore is not None:
            left_out = left_out | (ignore != 0)
        if not (self.options.type_at_ca and name in TYPES):
            labels = target.long().masked_fill_(left_out, logits.shape[1])
            return self._scaled(self._classes(logits, labels))
        n_types = logits.shape[1] - 1
        present = (target != 0).long().masked_fill_(left_out, 2)
        types = (target.long() - 1).masked_fill_(present != 1, n_types)
        # Split, not sliced twice: the gradient of each slice would be as large as the logits.
        none, of_types = torch.split(logits, [1, n_types], dim=1)
        any_type = torch.logsumexp(of_types, dim=1, keepdim=True)
        presence = self._classes(torch.cat((none, any_type), 1), present)
        return self._scaled(presence + self._type(of_types, types))

    def _type(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of the type given that there is one, where there is one.

        `logits` (B, T, Z, Y, X), `labels` (B, Z, Y, X) int64, T where there is none.
        """
        labels = labels.flatten(1)
        n_types = logits.shape[1]
        # Indices over two axes, not a mask over five: its gradient costs a quarter.
        sample, voxel = (labels != n_types).nonzero(as_tuple=True)
        here = labels[sample, voxel]
        of_type = logits.flatten(2)[sample, :, voxel]  # (n, T)
        weights, total = self._weights(here, n_types)
        loss = functional.cross_entropy(of_type, here, weights, reduction="sum")
        return self._mean(loss, total)

    def _classes(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return (focal) cross-entropy, and Dice of the classes other than the first.

        `logits` (B, C, Z, Y, X), `labels` (B, Z, Y, X) int64, C where a voxel is left out.
        """
        options, n = self.options, logits.shape[1]
        weights, total = self._weights(labels, n)
        if options.kind == "cross-entropy":
            loss = functional.cross_entropy(
                logits, labels, weights, ignore_index=n, reduction="sum"
            )
            return self._mean(loss, total)
        log_p = functional.log_softmax(logits, dim=1)
        # -log p of the true class, 0 where a voxel is left out.
        loss = functional.nll_loss(log_p, labels, ignore_index=n, reduction="none")
        missing = -torch.expm1(-loss)
        hard = missing.clamp(min=_TINY) ** options.gamma if options.gamma else 1.0
        weight = functional.pad(weights, (0, 1))[labels]
        focal = self._mean((weight * hard * loss).sum(), total)
        if not options.dice_share:
            return focal
        dice = self._dice(log_p, 1 - missing, labels)
        return (1 - options.dice_share) * focal + options.dice_share * dice

    def _dice(self, log_p: Tensor, p_true: Tensor, labels: Tensor) -> Tensor:
        """Return 1 - 2 sum(p t) / (sum(p) + sum(t)), mean over the classes that are there."""
        n = log_p.shape[1]
        axes = (0, 2, 3, 4)
        given = (log_p[:, 1:].exp() * (labels != n)[:, None]).sum(axes)
        is_class = [labels == number for number in range(1, n)]
        both = torch.stack([(p_true * here).sum() for here in is_class])
        there = torch.stack([here.sum() for here in is_class]).float()
        both, given, there = self._over_ranks(torch.stack((both, given, there)))
        scores = 1 - 2 * both / (given + there).clamp(min=_TINY)
        present = (there > 0).float()
        mean: Tensor = (scores * present).sum() / present.sum().clamp(min=1)
        return mean

    def _weights(self, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
        """Return the weight of each class (C,), 0 of one that nowhere occurs, and their sum ().

        The sum is over the voxels of this process; `labels` of `n_classes` are left out.
        """
        local = torch.bincount(labels.flatten(), minlength=n_classes + 1)[:n_classes].float()
        if self.options.class_weights == "none":
            weights = torch.ones_like(local)
        else:
            weights = self._weights_of(self._sum(local))
        return weights, (weights * local).sum()

    def _weights_of(self, counts: Tensor) -> Tensor:
        n_voxels = counts.sum().clamp(min=1)
        if self.options.class_weights == "batch":
            return 1 - counts / n_voxels + 1e-5
        inverse = torch.where(counts > 0, counts.clamp(min=1).rsqrt(), 0.0)
        weights: Tensor = inverse * n_voxels / (inverse * counts).sum().clamp(min=_TINY)
        return weights

    def _mean(self, weighted: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted mean over the voxels of all ranks; 0 where there are none."""
        sums = self._over_ranks(torch.stack((weighted, weight)))
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
