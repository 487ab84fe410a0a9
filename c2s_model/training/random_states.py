"""The random numbers of dropout: begun apart on every process, kept in checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from c2s_model.training.distributed import Ranks


@contextmanager
def own_random_numbers(ranks: Ranks) -> Iterator[None]:
    """Give the caller's sequence of random numbers back at the end."""
    with torch.random.fork_rng([ranks.device] if ranks.device.type == "cuda" else []):
        yield


def begin_random_numbers(seed: int, rank: int, step: int) -> None:
    """Begin the sequence of a process."""
    words = np.random.SeedSequence((seed, rank, step)).generate_state(1, np.uint64)
    torch.manual_seed(int(words[0]))


def random_states(ranks: Ranks) -> dict[str, list[Tensor]]:
    """Return the states of all processes by kind of device."""
    states = {"cpu": ranks.gather(torch.get_rng_state())}
    if ranks.device.type == "cuda":
        states["cuda"] = ranks.gather(torch.cuda.get_rng_state(ranks.device))
    return states


def set_random_states(
    states: Mapping[str, list[Tensor]], ranks: Ranks, *, seed: int, step: int
) -> None:
    """Go on with the states of a checkpoint; a process that it did not have begins anew."""
    begin_random_numbers(seed, ranks.rank, step)
    if ranks.rank < len(states["cpu"]):
        torch.set_rng_state(states["cpu"][ranks.rank])
    if ranks.device.type == "cuda" and ranks.rank < len(states.get("cuda", ())):
        torch.cuda.set_rng_state(states["cuda"][ranks.rank], ranks.device)
