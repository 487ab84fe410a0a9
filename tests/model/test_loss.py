"""Losses against plain sums, against torch, and over ranks against the whole batch."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional

from c2s_data.errors import ConfigError
from c2s_model.training.loss import (
    PAPER,
    RECOMMENDED,
    UNWEIGHTED,
    LossOptions,
    SegmentationLoss,
)

SHAPE = (2, 5, 4, 6)


def case(n_classes: int, seed: int, shape=SHAPE, share=0.1):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape[0], n_classes, *shape[1:], generator=rng, dtype=torch.float64)
    target = torch.randint(1, n_classes, shape, generator=rng)
    target[torch.rand(shape, generator=rng) > share] = 0
    return logits.float(), target.to(torch.uint8)


def test_the_paper_s_loss_is_torch_s_with_the_weights_of_the_batch() -> None:
    logits, target = case(4, 1)
    counts = torch.bincount(target.long().flatten(), minlength=4)
    weights = (1 - counts / counts.sum() + 1e-5).float()
    expected = functional.cross_entropy(logits, target.long(), weight=weights)
    found = SegmentationLoss(PAPER, {"atom": 4})({"atom": logits}, {"atom": target})
    torch.testing.assert_close(found.total, expected)


def test_left_out_voxels_count_nowhere() -> None:
    logits, target = case(4, 2)
    ignore = torch.rand(SHAPE, generator=torch.Generator().manual_seed(9)) < 0.3
    marked = target.masked_fill(ignore, 255)
    kept = ~ignore
    plain = functional.cross_entropy(
        logits.movedim(1, -1)[kept], target[kept].long(), reduction="mean"
    )
    loss = SegmentationLoss(UNWEIGHTED, {"atom": 4})
    for arguments in (({"atom": marked},), ({"atom": target}, ignore)):
        torch.testing.assert_close(loss({"atom": logits}, *arguments).total, plain)
    for options in (PAPER, RECOMMENDED):
        loss = SegmentationLoss(options, {"amino": 4})
        torch.testing.assert_close(
            loss({"amino": logits}, {"amino": marked}).total,
            loss({"amino": logits}, {"amino": target}, ignore).total,
        )
        changed = torch.where(ignore[:, None], logits + 3 * torch.randn_like(logits), logits)
        torch.testing.assert_close(
            loss({"amino": changed}, {"amino": marked}).total,
            loss({"amino": logits}, {"amino": marked}).total,
        )


def plain_focal_dice(logits, target, gamma=2.0, share=0.5) -> float:
    """Voxel by voxel, as the docstring says it."""
    p = np.exp(logits.double().log_softmax(1).numpy())
    truth, n = target.numpy(), p.shape[1]
    counts = np.bincount(truth.ravel(), minlength=n)
    inverse = np.array([c**-0.5 if c else 0.0 for c in counts])
    w = inverse * counts.sum() / (inverse * counts).sum()
    assert math.isclose((w * counts).sum(), counts.sum())
    top = bottom = 0.0
    for place in np.ndindex(truth.shape):
        c = truth[place]
        q = p[(place[0], c, *place[1:])]
        top += w[c] * (1 - q) ** gamma * -math.log(q)
        bottom += w[c]
    dice = []
    for c in range(1, n):
        if counts[c]:
            t, q = truth == c, p[:, c]
            dice.append(1 - 2 * (q * t).sum() / (q.sum() + t.sum()))
    return (1 - share) * top / bottom + share * sum(dice) / len(dice)


def test_focal_and_dice_are_the_written_sums() -> None:
    logits, target = case(5, 3)
    target[target == 4] = 1  # One class does not occur.
    options = LossOptions("focal-dice", "balanced", gamma=1.5, dice_share=0.4)
    found = SegmentationLoss(options, {"atom": 5})({"atom": logits}, {"atom": target}).total
    expected = plain_focal_dice(logits, target, 1.5, 0.4)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_type_is_asked_for_only_where_there_is_one() -> None:
    logits, target = case(21, 4)
    loss = SegmentationLoss(RECOMMENDED, {"amino": 21})
    log_any = torch.logsumexp(logits[:, 1:], 1, keepdim=True)
    presence = torch.cat((logits[:, :1], log_any), 1)
    here = target > 0
    given = logits[:, 1:].movedim(1, -1)[here]
    label = target[here].long() - 1
    counts = torch.bincount(label, minlength=20)
    inverse = torch.where(counts > 0, counts.clamp(min=1).float() ** -0.5, 0.0)
    kind = functional.cross_entropy(given, label, weight=inverse)
    expected = plain_focal_dice(presence, here.to(torch.uint8)) + float(kind)
    found = loss({"amino": logits}, {"amino": target}).total
    assert float(found) == pytest.approx(expected, rel=1e-5)
    # Which class solvent would have, were it a residue, changes nothing.
    solvent = (~here)[:, None].expand_as(logits[:, 1:])
    shuffled = torch.where(solvent, logits[:, 1:].flip(1), logits[:, 1:])
    again = loss({"amino": torch.cat((logits[:, :1], shuffled), 1)}, {"amino": target}).total
    torch.testing.assert_close(again, found)


def test_targets_add_up() -> None:
    (a, ta), (b, tb) = case(4, 5), case(21, 6)
    both = SegmentationLoss(RECOMMENDED, {"atom": 4, "amino": 21})(
        {"atom": a, "amino": b}, {"atom": ta, "amino": tb}
    )
    alone = SegmentationLoss(RECOMMENDED, {"atom": 4})({"atom": a}, {"atom": ta}).total
    torch.testing.assert_close(both.of_target["atom"], alone)
    torch.testing.assert_close(both.total, both.of_target["atom"] + both.of_target["amino"])


class Ranks:
    """Sums over ranks in one process: every rank is asked in turn, round by round."""

    def __init__(self, parts) -> None:
        self.parts, self.calls = parts, []

    def run(self, one_rank):
        """Run each rank until no sum is unknown; then all of them are what ranks would get."""
        known: list[torch.Tensor] = []
        while True:
            asked = [self._ask(one_rank, part, known) for part in self.parts]
            if all(found is not None for _, found in asked):
                return [found for _, found in asked]
            known.append(torch.stack([value for value, _ in asked]).sum(0))

    def _ask(self, one_rank, part, known):
        calls = iter(known)

        class Unknown(Exception):  # noqa: N818
            pass

        def sum_over_ranks(values):
            found = next(calls, None)
            if found is None:
                raise Unknown(values)
            return found

        try:
            return None, one_rank(part, sum_over_ranks)
        except Unknown as unknown:
            return unknown.args[0], None


@pytest.mark.parametrize("options", [RECOMMENDED, UNWEIGHTED], ids=["recommended", "unweighted"])
def test_the_mean_gradient_of_ranks_is_that_of_the_whole_batch(options) -> None:
    heads = {"atom": 4, "amino": 21}
    cases = {name: case(n, 7 + n, (6, 5, 4, 3), share=0.15) for name, n in heads.items()}
    cases["atom"][1][:2] = 0  # One rank has no atom.
    ignore = torch.rand((6, 5, 4, 3), generator=torch.Generator().manual_seed(3)) < 0.1

    def loss_of(part, sum_over_ranks):
        logits = {name: one[part].clone().requires_grad_() for name, (one, _) in cases.items()}
        targets = {name: one[part] for name, (_, one) in cases.items()}
        loss = SegmentationLoss(options, heads, sum_over_ranks)(logits, targets, ignore[part])
        return loss.total.detach(), torch.autograd.grad(loss.total, list(logits.values()))

    whole, gradients = loss_of(slice(None), lambda values: values)
    # The mean of 3 ranks of 2: each subgrid's logits are those of one rank, so a third of what it
    # says about them is what the whole batch says.
    parts = [slice(0, 2), slice(2, 4), slice(4, 6)]
    of_ranks = Ranks(parts).run(loss_of)
    for part, (value, mine) in zip(parts, of_ranks, strict=True):
        torch.testing.assert_close(value, whole)
        for found, expected in zip(mine, gradients, strict=True):
            torch.testing.assert_close(found / 3, expected[part], rtol=1e-5, atol=1e-9)


def test_the_paper_s_loss_is_that_of_each_process() -> None:
    logits, target = case(4, 8)
    refuse = partial(pytest.fail, "the published weights are local")
    loss = SegmentationLoss(PAPER, {"atom": 4}, lambda values: refuse())
    assert torch.isfinite(loss({"atom": logits}, {"atom": target}).total)


@pytest.mark.parametrize("options", [PAPER, RECOMMENDED], ids=["paper", "recommended"])
@pytest.mark.parametrize("value", [0, 255])
def test_nothing_to_learn_is_finite_and_without_what_is_not_known(options, value: int) -> None:
    logits = torch.randn(SHAPE[0], 21, *SHAPE[1:]).requires_grad_()
    target = torch.full(SHAPE, value, dtype=torch.uint8)
    loss = SegmentationLoss(options, {"amino": 21})({"amino": logits}, {"amino": target}).total
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()
    assert bool(gradient.any()) == (value == 0)


def test_half_precision_is_computed_in_float32() -> None:
    logits, target = case(4, 10)
    low = (20 * logits).half()
    loss = SegmentationLoss(RECOMMENDED, {"atom": 4})
    found = loss({"atom": low}, {"atom": target}).total
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss({"atom": low.float()}, {"atom": target}).total)


def test_gradients_are_those_of_finite_differences() -> None:
    logits, target = case(4, 11, (1, 3, 2, 2), share=0.5)
    loss = SegmentationLoss(RECOMMENDED, {"secondary": 4})
    start = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        loss({"secondary": start}, {"secondary": target}).total, start
    )
    for place in ((0, 0, 1, 0, 1), (0, 2, 2, 1, 0), (0, 3, 0, 0, 0)):
        values = []
        for step in (-1e-2, 1e-2):
            moved = logits.clone()
            moved[place] += step
            values.append(float(loss({"secondary": moved}, {"secondary": target}).total))
        slope = (values[1] - values[0]) / 2e-2
        assert float(gradient[place]) == pytest.approx(slope, abs=2e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_certain_voxels_have_finite_gradients(gamma: float) -> None:
    logits = torch.zeros(1, 4, 1, 1, 3)
    logits[0, 0] = torch.tensor([400.0, -400.0, 0.0])  # right, wrong, undecided
    logits.requires_grad_()
    target = torch.tensor([0, 0, 2], dtype=torch.uint8).reshape(1, 1, 1, 3)
    options = LossOptions("focal-dice", "none", gamma=gamma, dice_share=0.0)
    loss = SegmentationLoss(options, {"atom": 4})({"atom": logits}, {"atom": target}).total
    (gradient,) = torch.autograd.grad(loss, logits)
    assert float(loss.detach()) == pytest.approx(
        (400 + math.log(3) + (3 / 4) ** gamma * math.log(4)) / 3, rel=1e-5
    )
    assert torch.isfinite(gradient).all()
    assert not gradient[..., 0].any()
    assert float(gradient[0, 0, 0, 0, 1]) == pytest.approx(-1 / 3, rel=1e-5)


def test_options_without_meaning_are_refused() -> None:
    for wrong in ({"gamma": -1.0}, {"dice_share": 1.0}, {"kind": "l2"}, {"class_weights": "all"}):
        with pytest.raises(ConfigError):
            LossOptions(**wrong)
