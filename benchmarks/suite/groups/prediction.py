"""Prediction of a map: blocks against the bare network, the published way and MONAI's windows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.loader import noisy_map
from benchmarks.predict import (
    GOAL_BYTES,
    GOAL_OF_BARE,
    GOAL_OF_PUBLISHED,
    layer_measures,
    make_card,
    new_network,
    whole_command,
)
from benchmarks.suite.peers import PEERS, PeerProcess, PeerUnavailableError
from benchmarks.suite.results import ROOT
from benchmarks.suite.rows import Row, at_least, at_most, compared, without_figure
from benchmarks.suite.size import Size
from benchmarks.suite.turns import Measure, in_turns, rate_of
from c2s_data.schema import CORE
from c2s_model.nets.network_file import write_network

_MONAI: Final = "MONAI sliding_window_inference"


def rows(size: Size, folder: Path) -> Iterator[Row]:
    """Yield subgrids a second of one layer of a map, and the memory of the whole command."""
    variant = size.pick("tiny", "tiny", "full-v1")
    side = size.pick(64, 128, 218)
    card, values_zyx = make_card(variant, ("atom",)), noisy_map(side, 0)
    measures: dict[str, Measure] = {
        name: rate_of(measure) for name, measure in layer_measures(card, values_zyx).items()
    }
    write_network(folder / "peer.safetensors", new_network(card).state_dict(), card)
    np.save(folder / "layer.npy", values_zyx[:CORE])
    reason = ""
    with contextlib.ExitStack() as stack:
        arguments = {"root": ROOT, "network": folder / "peer.safetensors",
                     "layer": folder / "layer.npy"}  # fmt: skip
        try:
            process = stack.enter_context(PeerProcess(PEERS["MONAI"], arguments))
            process.measure("layer")
            measures[_MONAI] = partial(process.measure, "layer")
        except PeerUnavailableError as error:
            reason = str(error)
        found = in_turns(measures, size.repeats)
    windows, seconds, peak = whole_command(folder, card, values_zyx)
    name = f"{variant}, blocks of probabilities of a map"
    of = partial(compared, name, "subgrids/s", found["ours"])
    yield of(found["bare"], against="the bare network on the same batches", role="limit",
             goal=at_least(GOAL_OF_BARE))  # fmt: skip
    yield of(found["published"], against="the published way", goal=at_least(GOAL_OF_PUBLISHED))
    if reason:
        yield without_figure(name, _MONAI, reason)
    else:
        yield of(found[_MONAI], against=_MONAI)
    yield compared(f"{variant}, {side}³, whole command", "subgrids/s", [windows / seconds],
                   found["published"], against="the published way, network alone")  # fmt: skip
    yield compared(f"{variant}, {side}³, peak memory", "B", [float(peak)], [GOAL_BYTES],
                   against="3 GB", role="limit", goal=at_most(1))  # fmt: skip
