"""A whole map predicted on a CPU, against the published way and against the bare network.

    python benchmarks/predict.py [--side 218] [--variant full-v1] [--repeats 3] [--large] [--json]

The whole command (read, scale, predict, write) runs in a process of its own, whose peak memory is
the kernel's (VmHWM). The published way is written anew from what the published program does: one
subgrid a batch, and for every voxel of it, margins included, a small tensor in a dictionary under
a text, and the texts in an array, all kept until the map is stitched. It is measured on eight
subgrids, without the text file of probabilities that it writes at the end. The bare network gets
the same batches, cut beforehand, and its predictions are thrown away. ``--large`` also predicts a
map of 500^3 voxels with three heads, of which a contour leaves a few subgrids: what does not
depend on the network's speed, and the memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.loader import noisy_map
from c2s_data.config import make_config
from c2s_data.schema import BOX, CLASS_NAMES, CORE
from c2s_data.sources.density_map import DensityMap, write_density_map
from c2s_data.store.prediction_facts import PredictionFacts
from c2s_data.transforms.subgrid import extract
from c2s_data.transforms.windows import n_windows, window_corners
from c2s_model.nets.network_file import NetworkCard, write_network
from c2s_model.nets.unetr import Unetr, make_network
from c2s_model.nets.variants import variant_named
from c2s_model.predict.blocks import Predictor, predicted_blocks
from c2s_model.predict.predict_map import grid_of
from c2s_model.predict.probabilities import make_compute

Row = dict[str, Any]
GOAL_OF_PUBLISHED, GOAL_BYTES, GOAL_OF_BARE = 5.0, 3e9, 0.85
MARGIN = (BOX - CORE) // 2

_CHILD = """
import json, sys, time
from pathlib import Path
from c2s_model.predict.many import Interest, PredictTask, predict_task
network, map, out, contour = sys.argv[1:]
interest = Interest(float(contour) if contour else None)
started = time.perf_counter()
done = predict_task(PredictTask(network=network, map=map, out=out, interest=interest)).predicted
seconds = time.perf_counter() - started
peak = 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(json.dumps([done.windows - done.skipped, seconds, peak]))
"""


def make_card(variant: str, targets: tuple[str, ...]) -> NetworkCard:
    config = make_config("recommended")
    return NetworkCard(
        variant=variant,
        architecture=variant_named(variant),
        classes={target: CLASS_NAMES[target] for target in targets},
        preset="recommended",
        label_rule=config.label_rule,
        decode_offset_voxel=config.decode_offset_voxel,
    )


def new_network(card: NetworkCard) -> Unetr:
    return make_network(card.architecture, card.heads, torch.Generator().manual_seed(0)).eval()


def whole_command(
    folder: Path, card: NetworkCard, values_zyx: np.ndarray, voxel_A: float = 1.0, contour: str = ""
) -> tuple[int, float, int]:
    """Return the subgrids that were predicted, the seconds, and the peak memory in bytes."""
    write_network(folder / "net.safetensors", new_network(card).state_dict(), card)
    density = DensityMap(values_zyx.astype(np.float32), (voxel_A,) * 3, (0.0, 0.0, 0.0))
    write_density_map(folder / "map.mrc", density)
    paths = [str(folder / name) for name in ("net.safetensors", "map.mrc", "out.zarr")]
    command = [sys.executable, "-c", _CHILD, *paths, contour]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    windows, seconds, peak = json.loads(text.splitlines()[-1])
    return windows, seconds, peak


def published_way(
    network: Unetr, subgrids: np.ndarray
) -> tuple[dict[str, torch.Tensor], list[np.ndarray]]:
    """Predict as the published programs do; return what they keep until the map is stitched."""
    probabilities: dict[str, torch.Tensor] = {}
    kept = []
    with torch.no_grad():
        for number, subgrid in enumerate(subgrids):
            logits = network(torch.from_numpy(subgrid)[None, None].float())["atom"][0]
            of_voxel = torch.softmax(logits, dim=0).permute(1, 2, 3, 0)
            names = np.empty((BOX,) * 3, "S30")
            for z in range(BOX):
                for y in range(BOX):
                    for x in range(BOX):
                        name = f"{number}_{z}_{y}_{x}"
                        probabilities[name] = of_voxel[z][y][x]
                        names[z][y][x] = name
            kept += [names, logits.argmax(dim=0).numpy()]
    return probabilities, kept


def published_bytes(network: Unetr, subgrids: np.ndarray, n_subgrids: int) -> float:
    """Return what the published way keeps of a map, from what it keeps of some subgrids."""
    before = resident_bytes()
    kept = published_way(network, subgrids)
    assert len(kept[0]) == subgrids.size
    return (resident_bytes() - before) * n_subgrids / len(subgrids)


def resident_bytes() -> int:
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.split("VmRSS:")[1].split()[0])


def middle_subgrids(values_zyx: np.ndarray) -> np.ndarray:
    """Return the eight subgrids in the middle of one layer of cores."""
    layer = np.ascontiguousarray(values_zyx[:CORE])
    corners = window_corners(layer.shape, BOX, CORE)
    return extract(layer, corners, BOX)[len(corners) // 2 :][:8]


def layer_measures(card: NetworkCard, values_zyx: np.ndarray) -> dict[str, Callable[[], int]]:
    """Return what predicts one layer of cores: ours, the bare network, eight the published way."""
    network, compute = new_network(card), make_compute("cpu")
    # One layer of cores, 121 subgrids of a 218^3 map.
    layer = np.ascontiguousarray(values_zyx[:CORE])
    grid = grid_of(card, layer.shape)
    facts = PredictionFacts(
        grid.shape_zyx, (0, 0, 0), card.classes, card.preset, card.label_rule, 0, CORE, {}, {}, ""
    )
    corners = window_corners(grid.shape_zyx, BOX, CORE)
    subgrids = extract(layer, corners, BOX)
    some = middle_subgrids(values_zyx)
    predictor = Predictor(network, compute, grid)

    def ours() -> int:
        for _ in predicted_blocks(predictor, layer, facts, grid.needed(None)):
            pass
        return len(corners)

    def bare() -> int:
        with torch.inference_mode():
            for first in range(0, len(subgrids), compute.batch_size):
                batch = torch.from_numpy(subgrids[first : first + compute.batch_size])
                network(batch.float().unsqueeze(1))
        return len(corners)

    def published() -> int:
        published_way(network, some)
        return len(some)

    return {"ours": ours, "bare": bare, "published": published}


def layer_rates(card: NetworkCard, values_zyx: np.ndarray, repeats: int) -> dict[str, list[float]]:
    """Return subgrids a second in turns, and the bytes that the published way would keep."""
    # First, while no memory is left over from earlier rounds that could be used again.
    some = middle_subgrids(values_zyx)
    kept = published_bytes(new_network(card), some, n_windows(values_zyx.shape, CORE))
    measures = layer_measures(card, values_zyx)
    rates: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(repeats):
        for name, predict in measures.items():
            started = time.perf_counter()
            n = predict()
            rates[name].append(n / (time.perf_counter() - started))
    return rates | {"bytes": [kept]}


def run(
    side: int = 218, variant: str = "full-v1", repeats: int = 3, *, large: bool = False
) -> list[Row]:
    """Measure; one row per figure."""
    card, values_zyx = make_card(variant, ("atom",)), noisy_map(side, 0)
    rates = layer_rates(card, values_zyx, repeats)
    middle = {name: statistics.median(values) for name, values in rates.items()}
    with tempfile.TemporaryDirectory(prefix="c2s-predict-") as folder:
        windows, seconds, peak = whole_command(Path(folder), card, values_zyx)
    rows = [
        row(f"{variant}, {side}^3, whole command", windows / seconds, "subgrids/s",
            middle["published"], windows / seconds / middle["published"], GOAL_OF_PUBLISHED),
        row(f"{variant}, peak memory", peak, "B", middle["bytes"], GOAL_BYTES / peak, 1.0),
        row(f"{variant}, blocks against the bare network", middle["ours"], "subgrids/s",
            middle["bare"], ratio_of(rates["ours"], rates["bare"]), GOAL_OF_BARE),
    ]  # fmt: skip
    return rows + ([large_row()] if large else [])


def large_row() -> Row:
    """Predict 500^3 voxels, most of them background, with all heads: 7 GB of probabilities."""
    card = make_card("tiny", ("atom", "amino", "secondary"))
    side = 476
    values_zyx = np.random.default_rng(0).random((side,) * 3, np.float32)
    values_zyx[200:260, 200:260, 200:260] += 1
    with tempfile.TemporaryDirectory(prefix="c2s-predict-") as folder:
        windows, seconds, peak = whole_command(Path(folder), card, values_zyx, 1.05, "1.3")
    name = f"500^3, 29 classes, {windows} subgrids in {seconds:.0f} s: peak memory"
    return row(name, peak, "B", 29 * 2 * 499.0**3, GOAL_BYTES / peak, 1.0)


def ratio_of(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def row(name: str, value: float, unit: str, peer: float, ratio: float, goal: float) -> Row:
    met = ratio >= goal
    return {"name": name, "value": value, "unit": unit, "peer": peer, "ratio": ratio, "goal": goal,
            "met": met}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=218)
    parser.add_argument("--variant", default="full-v1")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = run(options.side, options.variant, options.repeats, large=options.large)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for one in rows:
        scale, unit = (1e-9, "GB") if one["unit"] == "B" else (1, one["unit"])
        print(
            f"{one['name']:<50} {one['value'] * scale:8.2f} {unit}, peer "
            f"{one['peer'] * scale:8.2f}: ratio {one['ratio']:.2f} (goal {one['goal']:g}) "
            f"{'met' if one['met'] else 'NOT MET'}"
        )


if __name__ == "__main__":
    main()
