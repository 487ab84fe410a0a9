"""What the loader costs a training step, and what one network with three heads saves.

    python benchmarks/training.py [--variant tiny] [--batch-size 8] [--steps 6] [--repeats 5]

Two questions, each with its peer in the same run, in turns:

* a step with batches of the store, against a step with one batch again and again. The store holds
  made-up maps of 1,331 subgrids in files of this machine; goal: at most 1.05 x. A CPU that computes
  leaves few cycles to the threads that read, so a GPU is the harder and the meant case only where
  its steps are short;
* the steps of three networks with a head each, against those of one with all three; goal: 2 x.

Everything that `c2s_model.training` does in a step is in it: loss, gradient, optimizer, average of
the weights, counts for the scores. Medians over the repeats; ``ratio`` is that of each repeat.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from c2s_data.schema import BOX, CLASS_NAMES
from c2s_model.data import SubgridDataset
from c2s_model.nets.unetr import make_network
from c2s_model.nets.variants import TARGETS, classes_of, variant_named
from c2s_model.training.begin import resolved_precision
from c2s_model.training.distributed import choose_device
from c2s_model.training.epoch_totals import EpochTotals
from c2s_model.training.examples import ExampleMaker
from c2s_model.training.inputs import make_loader
from c2s_model.training.loss import SegmentationLoss
from c2s_model.training.schedule import make_optimizer
from c2s_model.training.step import TrainingStep
from c2s_model.training.train_config import TrainConfig, make_train_config
from c2s_model.training.weight_average import WeightAverage

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.loader import write_store as write_maps

Row = dict[str, Any]
GOAL_LOADER, GOAL_HEADS = 1.05, 2.0
"""With the loader at most, and three networks at least, times as long."""


class Trainer:
    """A network with all that a step needs, taking steps."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        network = make_network(config.architecture, config.heads, generator).to(device)
        optimizer = make_optimizer(config.optimizer, network, config.learning_rate)
        precision = resolved_precision(config, device)
        scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        average = WeightAverage(network, 0.999)
        loss = SegmentationLoss(config.loss, config.heads)
        self.examples = ExampleMaker(config.targets, device, rotation_seed=0)
        self.totals = EpochTotals(config.heads, device)
        self.step = TrainingStep(network, loss, optimizer, scaler, precision, 1.0, average)

    def train_on(self, batch: dict[str, torch.Tensor]) -> None:
        """Take one step, and count its predictions."""
        example = self.examples.of(batch)
        stepped = self.step(example)
        self.totals.update(stepped.logits, example.targets, example.ignore)


def seconds(work: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def interleaved(
    works: dict[str, Callable[[], None]], repeats: int, device: torch.device
) -> dict[str, list[float]]:
    """Time each work in turn; the first turn warms caches and is not counted."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            taken = seconds(work, device)
            if turn:
                times[name].append(taken)
    return times


def endless(dataset: SubgridDataset, loader: Any) -> Iterator[dict[str, torch.Tensor]]:  # noqa: ANN401
    while True:
        yield from loader
        dataset.set_epoch(dataset.epoch + 1)


def steps_on(
    trainer: Trainer, batches: Iterator[dict[str, torch.Tensor]], n_steps: int
) -> Callable[[], None]:
    def work() -> None:
        for _ in range(n_steps):
            trainer.train_on(next(batches))

    return work


def again_and_again(batch: dict[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    while True:
        yield batch


def random_batch(batch_size: int) -> dict[str, torch.Tensor]:
    """Make a batch with 100 labeled voxels a subgrid."""
    rng = np.random.default_rng(0)
    shape = (batch_size, BOX, BOX, BOX)
    batch = {
        "density": torch.from_numpy(rng.random((batch_size, 1, BOX, BOX, BOX), np.float32)).half(),
        "row": torch.arange(batch_size),
        "place": torch.zeros(4, dtype=torch.int64),
    }
    voxels = rng.integers(0, np.prod(shape), 100 * batch_size)
    for target in TARGETS:
        labels = np.zeros(np.prod(shape), np.uint8)
        labels[voxels] = rng.integers(1, len(CLASS_NAMES[target]), len(voxels))
        batch[target] = torch.from_numpy(labels.reshape(shape))
    return batch


def row(figure: str, times: dict[str, list[float]], n_steps: int, goal: float) -> Row:
    """Compare the first of two works with the second."""
    (name, ours), (peer, theirs) = times.items()
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "figure": figure,
        f"{name} s/step": statistics.median(ours) / n_steps,
        f"{peer} s/step": statistics.median(theirs) / n_steps,
        "ratio": statistics.median(ratios),
        "goal": goal,
    }


def run(
    variant: str = "tiny",
    batch_size: int = 8,
    n_steps: int = 6,
    repeats: int = 5,
    device_name: str = "auto",
    workers: int = 0,
) -> list[Row]:
    """Measure; one row per figure."""
    device = choose_device(device_name)
    made = partial(make_train_config, "recommended", variant, batch_size=batch_size)
    with tempfile.TemporaryDirectory() as folder:
        opener = write_maps(Path(folder) / "store.zarr", 4, "lz4")
        dataset = SubgridDataset(opener, batch_size=batch_size, ends="drop")
        trainer = Trainer(made(targets=("atom",)), device)
        batches = endless(dataset, make_loader(dataset, workers, device))
        one = next(batches)
        times = interleaved(
            {
                "loader": steps_on(trainer, batches, n_steps),
                "repeated": steps_on(trainer, again_and_again(one), n_steps),
            },
            repeats,
            device,
        )
        rows = [row("loader", times, n_steps, GOAL_LOADER)]
    batch = random_batch(batch_size)
    single = [Trainer(made(targets=(target,)), device) for target in TARGETS]
    together = Trainer(made(targets=TARGETS), device)
    assert together.step.network.classes == classes_of(TARGETS)

    def separately() -> None:
        for alone in single:
            steps_on(alone, again_and_again(batch), n_steps)()

    works = {
        "three networks": separately,
        "three heads": steps_on(together, again_and_again(batch), n_steps),
    }
    rows.append(row("heads", interleaved(works, repeats, device), n_steps, GOAL_HEADS))
    about = {"variant": variant, "batch": batch_size, "device": str(device)}
    return [about | found for found in rows]


HELD: Final = {"loader": lambda ratio: ratio <= GOAL_LOADER, "heads": lambda r: r >= GOAL_HEADS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--variant", default="tiny")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    variant_named(given.variant)
    rows = run(
        given.variant, given.batch_size, given.steps, given.repeats, given.device, given.workers
    )
    if given.json:
        print(json.dumps(rows))
        return
    for found in rows:
        parts = [f"{name} {value:.3f}" for name, value in found.items() if name.endswith("s/step")]
        held = "held" if HELD[found["figure"]](found["ratio"]) else "missed"
        print(
            f"{found['variant']}, batch {found['batch']}, {found['device']}: {', '.join(parts)}, "
            f"ratio {found['ratio']:.2f} (goal {found['goal']}, {held})"
        )


if __name__ == "__main__":
    main()
