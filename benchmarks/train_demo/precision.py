"""Which precision a step is faster in here: bf16 only where the processor computes in it."""

from __future__ import annotations

import time
from typing import Any, Final

import torch

from c2s_model.nets.unetr import make_network
from c2s_model.nets.variants import Architecture, classes_of
from c2s_model.training.step import Example, ResolvedPrecision, predict_logits

_ROUNDS: Final = 4
_BATCH: Final = 4


def faster_precision(architecture: Architecture) -> dict[str, Any]:
    """Return the faster of float32 and bf16 for a training, and the seconds of a step in each.

    On a GPU it is bf16, which the preset takes anyway.
    """
    if torch.cuda.is_available():
        return {"precision": "bf16"}
    network = make_network(architecture, classes_of(["atom"]), torch.Generator().manual_seed(0))
    example = Example(torch.rand(_BATCH, 1, *architecture.box_zyx), {})
    found: dict[ResolvedPrecision, list[float]] = {"float32": [], "bf16": []}
    for _ in range(_ROUNDS):
        for precision, seconds in found.items():
            started = time.perf_counter()
            predict_logits(network, example, precision)["atom"].square().mean().backward()  # type: ignore[no-untyped-call]
            seconds.append(time.perf_counter() - started)
    step_s = {precision: min(seconds) for precision, seconds in found.items()}
    return {"precision": min(step_s, key=lambda name: step_s[name]), "step_s": step_s}
