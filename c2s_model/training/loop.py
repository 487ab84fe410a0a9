"""The training loop: batches become steps, epochs become scores, and nothing of it is lost."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from c2s_data.output_folder import OutputFolder
from c2s_data.outputs import output_folder
from c2s_model.data.store_handle import StoreSource
from c2s_model.training.begin import begun_run
from c2s_model.training.distributed import Ranks, joined_ranks
from c2s_model.training.logs import Lines, Reporter, scalars_in
from c2s_model.training.random_states import own_random_numbers
from c2s_model.training.run import Run
from c2s_model.training.run_folder import BEST, LOGS, beginning, files_of_run, vouching
from c2s_model.training.run_options import RunOptions
from c2s_model.training.stopping import Wish
from c2s_model.training.train_config import TrainConfig

_DEFAULTS: Final = RunOptions()


@dataclass(frozen=True)
class TrainSummary:
    """What a training came to.

    Parameters
    ----------
    run
        Its folder, a URL where that was given.
    step, epoch
        Steps done, and epochs ended.
    finished
        Whether all epochs are done.
    stopped
        Why it stopped before, or `Wish.GO_ON`.
    best_step, best_score
        The best checkpoint and its score, larger is better; None before an epoch was validated.
    network
        The best network, if there is one.
    validation
        Scores of the newest validation: (target, metric) -> value, "" for all targets.
    subgrids, seconds
        What this call trained on, over all processes, and how long it took.
    """

    run: Path | str
    step: int
    epoch: int
    finished: bool
    stopped: Wish
    best_step: int | None
    best_score: float | None
    network: Path | str | None
    validation: dict[tuple[str, str], float]
    subgrids: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it: nan and infinite numbers as None."""
        validation = {"/".join(filter(None, key)): one for key, one in self.validation.items()}
        return {
            **{name: getattr(self, name) for name in ("step", "epoch", "finished", "best_step")},
            "run": str(self.run),
            "network": None if self.network is None else str(self.network),
            "stopped": self.stopped.reason,
            "best_score": _finite(self.best_score),
            "validation": {name: _finite(value) for name, value in validation.items()},
            "subgrids": self.subgrids,
            "seconds": self.seconds,
        }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def train(
    store: StoreSource,
    run_folder: Path | str,
    config: TrainConfig | None,
    options: RunOptions = _DEFAULTS,
    reporter: Reporter | None = None,
) -> TrainSummary:
    """Train a network, or go on with a training that stopped.

    On a CPU the weights and ``history.csv`` end up the same to the last bit wherever and however
    often the training was stopped or killed, with the same numbers of processes and of threads.

    Parameters
    ----------
    store
        Path or URL of a committed store, or an open one.
    run_folder
        A new folder, or that of a training with the same options, which then goes on. Of one in a
        bucket every checkpoint is sent as it is written, and brought where a training goes on.
    config
        The options; None to go on with those of the folder.
    options
        What does not change the weights.
    reporter
        Who is told how it goes; None for nobody.

    Returns
    -------
    TrainSummary
        On every process.

    Raises
    ------
    ConfigError
        Options, store or folder do not fit together; nothing was written.
    StoreError
        The store is damaged, or another one than the training began on.
    CheckpointError
        The newest checkpoint is damaged.
    DivergedError
        A loss or gradient is no longer finite; the last checkpoint is kept.
    """
    ranks = joined_ranks(options.device)
    reporter = reporter if reporter is not None and ranks.is_first else Lines()
    with ExitStack() as stack:
        stack.enter_context(own_random_numbers(ranks))
        kept = stack.enter_context(_folder_of(str(run_folder), ranks))
        run = stack.enter_context(
            begun_run(store, kept.path, config, options, ranks, reporter, kept.send)
        )
        if options.logs and ranks.is_first:
            logs = run.folder / LOGS
            run.scalars = stack.enter_context(scalars_in(logs, run.step, reporter.say))
        stack.enter_context(run.clock.hearing_signals())
        done = run_to_the_end(run)
    if kept.address == str(kept.path):
        return done
    network = None if done.network is None else kept.told(str(done.network))
    return replace(done, run=kept.address, network=network)


def _folder_of(address: str, ranks: Ranks) -> AbstractContextManager[OutputFolder]:
    """Return the folder of a run: the first process keeps it, the others only read in theirs."""
    if ranks.is_first:
        return output_folder(
            address,
            marker=vouching,
            choose=files_of_run,
            purpose="c2s-model train",
            resumable=True,
            drops_halves=True,
        )
    return output_folder(address, marker=vouching, choose=beginning, read_only=True)


def run_to_the_end(run: Run) -> TrainSummary:
    """Take the steps that are left, unless something wants them to stop before."""
    while run.epoch < run.config.epochs:
        if (wish := run.wish()).stops:
            return summary(run, wish)
        for batch in run.batches():
            wish = run.train_on(batch)
            if wish > Wish.GO_ON:
                run.save()
            if wish.stops:
                return summary(run, wish)
        run.end_epoch()
    return summary(run, Wish.GO_ON)


def summary(run: Run, stopped: Wish) -> TrainSummary:
    """Return what a training came to; a call of all processes."""
    best = run.folder / BEST
    newest = [row for row in run.history if row.epoch == run.epoch - 1 and not row.of_class]
    return TrainSummary(
        run=run.folder,
        step=run.step,
        epoch=run.epoch,
        finished=run.epoch >= run.config.epochs,
        stopped=stopped,
        best_step=run.best[0][1] if run.best else None,
        best_score=run.best[0][0] if run.best else None,
        network=best if best.is_file() else None,
        validation={
            (row.target, row.metric): row.value for row in newest if row.part == "validation"
        },
        subgrids=run.ranks.total(run.subgrids),
        seconds=time.monotonic() - run.clock.started,
    )
