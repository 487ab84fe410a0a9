"""What only changes how fast, where and how long a training runs, never its weights."""

from __future__ import annotations

from dataclasses import dataclass

from c2s_data.errors import ConfigError
from c2s_data.store.object_cache import CacheOptions


@dataclass(frozen=True)
class RunOptions:
    """Options of one call, free to differ when a training goes on.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.
    workers
        Processes that read for each process that trains; 0 reads in threads alone, which keep up.
    threads
        Threads that read ahead in each of them; by default 4, from object storage 6.
    cache
        Keeps what is read from object storage on a disk of this machine; None keeps nothing.
    generation
        Which generation of the store a new run begins with; None for the newest. A run that goes
        on keeps its own.
    must_resume
        Refuse to begin a new run.
    checkpoint_steps, checkpoint_seconds
        How often a checkpoint is written between the ends of epochs, whichever comes first; None
        for no such number of steps.
    keep_last, keep_best
        How many checkpoints are kept, newest and best.
    look_steps
        Steps between two looks at the losses, at which several processes also agree to stop. A
        look makes a GPU wait.
    max_steps, max_seconds
        Stop after so many steps of the whole run, or so long, with a checkpoint to go on from.
    logs
        Write TensorBoard's files.

    Raises
    ------
    ConfigError
        A number that makes no sense.
    """

    device: str = "auto"
    workers: int = 0
    threads: int | None = None
    cache: CacheOptions | None = None
    generation: int | None = None
    must_resume: bool = False
    checkpoint_steps: int | None = None
    checkpoint_seconds: float = 600.0
    keep_last: int = 2
    keep_best: int = 5
    look_steps: int = 10
    max_steps: int | None = None
    max_seconds: float | None = None
    logs: bool = True

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        least = {
            "workers": 0, "threads": 1, "checkpoint_steps": 1, "checkpoint_seconds": 0,
            "keep_last": 1, "keep_best": 1, "look_steps": 1, "max_steps": 1, "max_seconds": 0,
        }  # fmt: skip
        for name, limit in least.items():
            value = getattr(self, name)
            if value is not None and not value >= limit:
                raise ConfigError(f"{name}={value} of a training; it is at least {limit}")
