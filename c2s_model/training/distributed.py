"""The processes that train together: one alone, or those that ``torchrun`` started."""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from c2s_data.errors import ConfigError


@dataclass(frozen=True)
class Ranks:
    """One of the processes that train together; every method is a call of all of them.

    Parameters
    ----------
    rank, size
        Which of how many.
    device
        Where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes; the argument stays as it is."""
        if self.size == 1:
            return values
        total = values.detach().to(self.device, copy=True)
        dist.all_reduce(total)
        return total.to(values.device)

    def gather(self, values: Tensor) -> list[Tensor]:
        """Return the tensor of every process, by rank; shape and dtype are the same on all."""
        if self.size == 1:
            return [values]
        mine = values.detach().to(self.device)
        all_of_them = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(all_of_them, mine)
        return [theirs.to(values.device) for theirs in all_of_them]

    def largest(self, number: int) -> int:
        """Return the largest of the processes' numbers: how they agree to stop."""
        if self.size == 1:
            return number
        agreed = torch.tensor(number, device=self.device)
        dist.all_reduce(agreed, dist.ReduceOp.MAX)
        return int(agreed)

    def total(self, number: int) -> int:
        """Return the sum of the processes' numbers."""
        return int(self.sum(torch.tensor(number)))

    def wait(self) -> None:
        """Return when every process has come here."""
        self.largest(0)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return a network whose gradients are the means over all processes."""
        if self.size == 1:
            return network
        ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=ids, gradient_as_bucket_view=True)


def joined_ranks(device: str = "auto") -> Ranks:
    """Join the processes that ``torchrun`` started, if it did, until this process ends.

    A group is not left and joined anew: a process that is still leaving one would take another
    that begins the next for a member of the old one, and both would wait for ever.

    Parameters
    ----------
    device
        ``auto`` (a GPU for each process where torch sees any), ``cpu`` or ``cuda``.

    Raises
    ------
    ConfigError
        No GPU where one is asked for, or fewer than processes of this machine.
    """
    chosen = choose_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    if dist.is_available() and dist.is_initialized():
        return Ranks(dist.get_rank(), dist.get_world_size(), chosen)
    return Ranks(0, 1, chosen)


def choose_device(wanted: str, local_rank: int = 0) -> torch.device:
    """Return the device of a process; raise `ConfigError` where there is none of the kind."""
    if wanted not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device {wanted!r}; take auto, cpu or cuda")
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    n_gpus = torch.cuda.device_count()
    if local_rank >= n_gpus:
        raise ConfigError(
            f"process {local_rank + 1} of this machine needs a GPU of its own and torch sees "
            f"{n_gpus}; start at most so many processes, or give --device cpu"
        )
    return torch.device("cuda", local_rank)
