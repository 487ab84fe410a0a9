"""A training under way: what it has in memory, and how that goes to disk and comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from c2s_data.errors import LeaseError, StoreError
from c2s_model.data.dataset import Batch, SubgridDataset
from c2s_model.nets.network_file import NetworkCard
from c2s_model.nets.unetr import Unetr
from c2s_model.training.checkpoint import (
    Checkpoint,
    Weights,
    checkpoint_path,
    checkpoint_steps,
    read_checkpoint,
    write_checkpoint,
)
from c2s_model.training.distributed import Ranks
from c2s_model.training.epoch_totals import EpochTotals
from c2s_model.training.examples import ExampleMaker
from c2s_model.training.history import HistoryRow, read_history, write_history
from c2s_model.training.keeping import Scored, ranked, tidy
from c2s_model.training.logs import Reporter, Scalars
from c2s_model.training.random_states import begin_random_numbers, random_states, set_random_states
from c2s_model.training.run_folder import CHECKPOINTS, HISTORY
from c2s_model.training.run_options import RunOptions
from c2s_model.training.schedule import Schedule, make_schedule
from c2s_model.training.step import TrainingStep
from c2s_model.training.step_records import DivergedError, StepRecords
from c2s_model.training.stopping import Clock, Wish
from c2s_model.training.train_config import TrainConfig
from c2s_model.training.validation import Validation


@dataclass(eq=False)
class Run:
    """A training under way; `c2s_model.training.begin` puts it together.

    Parameters
    ----------
    folder, config, options, ranks
        What it is.
    dataset, loader, examples
        Where its batches come from.
    network
        The network itself; that of `take_step` may be wrapped.
    take_step, schedule
        What changes the weights.
    validation
        What scores them, or None.
    totals, records
        What the epoch under way comes to.
    card
        What the network's files say.
    total_steps
        How long it is.
    clock
        When it saves and stops.
    reporter, scalars
        Who is told.
    step, subgrids
        Steps done in all, and subgrids seen by this process since it began.
    send
        Takes what is new in the folder to where it is kept, if that is elsewhere.
    best, history
        Checkpoints by score and the rows of ``history.csv``, of the epochs that ended.
    """

    folder: Path
    config: TrainConfig
    options: RunOptions
    ranks: Ranks
    dataset: SubgridDataset
    loader: DataLoader[Batch]
    examples: ExampleMaker
    network: Unetr
    take_step: TrainingStep
    schedule: Schedule
    validation: Validation | None
    totals: EpochTotals
    records: StepRecords
    card: NetworkCard
    total_steps: int
    clock: Clock
    reporter: Reporter
    scalars: Scalars = field(default_factory=Scalars)
    step: int = 0
    subgrids: int = 0
    send: Callable[[], None] = lambda: None
    best: list[Scored] = field(default_factory=list)
    history: list[HistoryRow] = field(default_factory=list)
    _last_batch: Batch | None = None

    @property
    def epoch(self) -> int:
        """Epochs that ended."""
        return self.dataset.epoch

    def batches(self) -> Iterator[Batch]:
        """Yield what is left of the epoch."""
        self.network.train()
        yield from self.loader

    def train_on(self, batch: Batch) -> Wish:
        """Take a step, and return what is wanted after it."""
        example = self.examples.of(batch)
        self.schedule.before_step(self.step)
        stepped = self.take_step(example)
        self.totals.update(stepped.logits, example.targets, example.ignore)
        self.records.add(stepped)
        self.step += 1
        self.subgrids += len(batch["row"])
        self._last_batch = batch
        looks = self.step % self.options.look_steps == 0
        if looks:
            self.look()
        return self.wish(agrees=looks)

    def wish(self, *, agrees: bool = True) -> Wish:
        """Return what is wanted now; `agrees` where all processes ask at once."""
        options, wish = self.options, self.clock.wish()
        # Processes agree when they look, since each agreement makes them wait for each other.
        if self.ranks.size > 1:
            wish = Wish(self.ranks.largest(wish)) if agrees else Wish.GO_ON
        if options.max_steps is not None and self.step >= options.max_steps:
            wish = max(wish, Wish.STOP_STEPS)
        if options.checkpoint_steps and self.step % options.checkpoint_steps == 0:
            wish = max(wish, Wish.SAVE)
        return wish

    def look(self) -> None:
        """Look at the losses since the last look, and tell them.

        Raises
        ------
        DivergedError
            One is not finite.
        """
        rate = self.schedule.learning_rate
        self.totals.look()
        try:
            means = self.records.look(self.step, rate)
        except DivergedError as error:
            raise DivergedError(f"{self.folder}: {error}; {self._remedy()}") from error
        if means is None:
            return
        self.reporter.advance(self.step, self.total_steps, means.of["loss"], rate)
        for name, value in means.of.items():
            self.scalars.add(f"step/{name}", value, self.step)
        self.scalars.add("step/learning_rate", rate, self.step)

    def _remedy(self) -> str:
        steps = checkpoint_steps(self.folder / CHECKPOINTS)
        kept = f"the checkpoint of step {steps[-1]} is kept" if steps else "no checkpoint yet"
        return (
            f"{kept}. Train in another folder with a smaller --learning-rate, with --clip-norm 1 "
            "or with --precision float32"
        )

    def end_epoch(self) -> None:
        """Score the epoch, write it down, let the schedule see it, and begin the next."""
        self.look()
        epoch = self.epoch
        rows = self.totals.rows(self.ranks, "train", self.records.epoch_means())
        loss = self.records.epoch_means()["loss"]
        score = None
        if self.validation is not None:
            measured = self.validation.measure(self.ranks)
            rows += measured.rows
            score = -measured.loss if self.config.best_by == "loss" else measured.macro_f1
            self.best = ranked([*self.best, (score, self.step)], self.options.keep_best)
        self.history += [row._replace(epoch=epoch, step=self.step) for row in rows]
        self._tell(rows, epoch)
        self.schedule.after_epoch(loss)
        self.dataset.set_epoch(epoch + 1)
        self._last_batch = None
        self.totals.begin_epoch()
        self.records.begin_epoch()
        if self.ranks.is_first:
            write_history(self.folder / HISTORY, self.history)
        self.save()

    def _tell(self, rows: list[HistoryRow], epoch: int) -> None:
        told = []
        for row in rows:
            name = "/".join(filter(None, (row.part, row.target, row.metric, row.of_class)))
            self.scalars.add(name, row.value, self.step)
            if row.metric in ("loss", "macro_f1") and not row.of_class:
                told.append(f"{name.replace('/', ' ')} {row.value:.4g}")
        self.scalars.flush()
        self.reporter.say(f"epoch {epoch + 1} of {self.config.epochs}: {', '.join(told)}")

    def save(self) -> None:
        """Write a checkpoint of this very moment, and tidy the folder."""
        self.look()
        state = self._state()
        if self.ranks.is_first:
            average = self.take_step.average
            checkpoint = Checkpoint(
                step=self.step,
                network=self.network.state_dict(),
                average=None if average is None else average.network_weights(),
                card=self.card,
                state=state,
            )
            write_checkpoint(self.folder / CHECKPOINTS, checkpoint)
            self.tidy()
            self._send()
        self.clock.saved()
        self.ranks.wait()

    def _send(self) -> None:
        """Send the checkpoint; a bucket that is out of reach for a while ends no training.

        Raises
        ------
        LeaseError
            Another process goes on with this training by now.
        """
        self.scalars.flush()
        try:
            self.send()
        except LeaseError:
            raise
        except StoreError as error:
            self.reporter.say(f"note: {error}; the training goes on, the next checkpoint tries it")

    def tidy(self) -> None:
        """Keep the newest and the best checkpoints, and the best network."""
        newest_is_best = self.validation is None
        tidy(self.folder, self.best, self.options.keep_last, newest_is_best=newest_is_best)

    def _state(self) -> dict[str, Any]:
        """Return everything but weights; a call of all processes."""
        step = self.take_step
        return {
            "ranks": self.ranks.size,
            "total_steps": self.total_steps,
            "place": self.dataset.state_dict(self._last_batch),
            "optimizer": step.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": step.scaler.state_dict(),
            "average_updates": 0 if step.average is None else step.average.updates,
            "random": random_states(self.ranks),
            "totals": self.totals.state_dict(self.ranks),
            "records": self.records.state_dict(),
            "best": [list(one) for one in self.best],
        }

    def go_on(self) -> bool:
        """Go on from the newest checkpoint, if there is one.

        Raises
        ------
        CheckpointError
            It is damaged, or belongs to another run.
        """
        steps = checkpoint_steps(self.folder / CHECKPOINTS)
        if not steps:
            begin_random_numbers(self.config.seed, self.ranks.rank, 0)
            return False
        checkpoint = read_checkpoint(checkpoint_path(self.folder / CHECKPOINTS, steps[-1]))
        state = checkpoint.state
        self.network.load_state_dict(checkpoint.network)
        self.step = checkpoint.step
        self._load(state, checkpoint.average)
        rows = read_history(self.folder / HISTORY)
        self.history = [row for row in rows if row.epoch < self.epoch]
        if state["ranks"] != self.ranks.size:
            self.reporter.say(
                f"note: {state['ranks']} processes trained, now {self.ranks.size}: dropout and the "
                "size of a step are others from here on"
            )
        return True

    def _load(self, state: Mapping[str, Any], average: Weights | None) -> None:
        step = self.take_step
        step.optimizer.load_state_dict(state["optimizer"])
        if state["total_steps"] != self.total_steps:  # An epoch had others with other processes.
            self.total_steps, config = state["total_steps"], self.config
            self.schedule = make_schedule(
                config.schedule, step.optimizer, self.total_steps, config.warmup_share
            )
        self.schedule.load_state_dict(state["schedule"])
        step.scaler.load_state_dict(state["scaler"])
        if step.average is not None and average is not None:
            known = {name: average[name] for name in step.average.weights}
            step.average.load_state_dict({"updates": state["average_updates"], "weights": known})
        self.dataset.load_state_dict(state["place"])
        self.totals.load_state_dict(state["totals"], self.ranks)
        self.records.load_state_dict(state["records"])
        self.best = [(score, number) for score, number in state["best"]]
        set_random_states(state["random"], self.ranks, seed=self.config.seed, step=self.step)
