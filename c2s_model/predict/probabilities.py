"""A batch of subgrids to the probabilities in their cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch
from torch import Tensor

from c2s_data.errors import ConfigError
from c2s_model.data.rotations import N_ROTATIONS, rotate_back_zyx, rotate_zyx
from c2s_model.nets.network_file import NetworkCard
from c2s_model.nets.unetr import Unetr

Precision = Literal["auto", "float32", "bf16", "fp16"]
_DTYPES: Final = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_BATCH: Final = {"cpu": 8, "cuda": 64}
_ROTATABLE: Final = "nearest"


@dataclass(frozen=True)
class Compute:
    """Where and how exactly a network runs.

    Parameters
    ----------
    device
        Of torch.
    dtype
        Of the multiplications; sums, normalizations and probabilities are float32.
    batch_size
        Subgrids at once.
    """

    device: torch.device
    dtype: torch.dtype
    batch_size: int


def make_compute(
    device: str = "auto", precision: Precision = "auto", batch_size: int | None = None
) -> Compute:
    """Return what to compute with.

    Parameters
    ----------
    device
        ``cpu``, ``cuda``, ``cuda:1`` or ``auto``: a GPU where there is one.
    precision
        ``auto``: fp16 on a GPU, which keeps three bits more than bf16 at the same speed and is
        what the published networks were trained in; float32 on a CPU.
    batch_size
        None for 8 on a CPU and 64 on a GPU.

    Raises
    ------
    ConfigError
        The device or precision does not exist here.
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"precision {precision!r}; take one of {', '.join(get_args(Precision))}")
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"batch size {batch_size}; it is at least 1")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"device {device!r} cannot be used here ({reason}); take cpu, cuda, cuda:N or auto"
        ) from error
    if precision == "auto":
        precision = "fp16" if found.type == "cuda" else "float32"
    return Compute(found, _DTYPES[precision], batch_size or _BATCH.get(found.type, 8))


def check_rotations(rotations: int, card: NetworkCard) -> None:
    """Refuse a number of rotations that cannot be averaged over for a network.

    Raises
    ------
    ConfigError
        Not 1 or 24, or labels that do not turn with the density.
    """
    if rotations not in (1, N_ROTATIONS):
        raise ConfigError(
            f"{rotations} rotations; take 1 (none) or {N_ROTATIONS}, all that map a cube onto "
            "itself"
        )
    if rotations > 1 and card.label_rule != _ROTATABLE:
        raise ConfigError(
            f"the network learned labels by {card.label_rule!r}, which put every atom half a voxel "
            "low on each axis. In a turned map that offset points elsewhere, so the 24 predictions "
            "would show each atom at 8 places: predict without rotations, or with a network "
            f"trained on {_ROTATABLE!r} labels (preset recommended)"
        )


@torch.inference_mode()
def core_probabilities(
    network: Unetr,
    density: Tensor,
    *,
    core: int,
    compute: Compute,
    sequence: Tensor | None = None,
    rotations: int = 1,
) -> Tensor:
    """Predict a batch; on a GPU this returns before the result is there.

    Parameters
    ----------
    network
        In evaluation mode, on the device.
    density
        (B, box, box, box) in [0, 1], any float type, on the CPU.
    core
        Voxels that are kept along each axis, in the middle.
    compute
        Where and how exactly.
    sequence
        (S,) embedding of the map's sequences, on the device.
    rotations
        1, or 24: the mean over all turned copies of the subgrid, turned back.

    Returns
    -------
    Tensor
        float32 (B, classes of all targets in the network's order, core, core, core), on the
        device; the classes of a target sum to 1.
    """
    density = density.to(compute.device, non_blocking=True).float().unsqueeze(1)
    rows = None if sequence is None else sequence.expand(len(density), -1)
    if rotations == 1:
        return _cores(network, density, rows, core, compute)
    total: Tensor | None = None
    for number in range(N_ROTATIONS):
        turned = rotate_zyx(density, number).contiguous()
        back = rotate_back_zyx(_cores(network, turned, rows, core, compute), number)
        total = back.clone() if total is None else total.add_(back)
    assert total is not None
    return total / N_ROTATIONS


def _cores(
    network: Unetr, density: Tensor, rows: Tensor | None, core: int, compute: Compute
) -> Tensor:
    mixed = compute.dtype != torch.float32
    with torch.autocast(compute.device.type, compute.dtype, enabled=mixed):
        logits = network(density, rows)
    first = (density.shape[-1] - core) // 2
    keep = (..., *(slice(first, first + core),) * 3)
    # Three quarters of a subgrid are margin: they are cut off before anything else is done.
    return torch.cat([torch.softmax(of[keep].float(), dim=1) for of in logits.values()], dim=1)
