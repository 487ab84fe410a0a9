"""MONAI: the same network over the same layer of a map by `sliding_window_inference`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from answers import rate, serve
from monai.inferers import sliding_window_inference

BOX, CORE = 32, 20


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("root", "network", "layer"):
        parser.add_argument(f"--{name}", type=Path)
    options = parser.parse_args()
    sys.path.append(str(options.root))
    from c2s_model.nets.network_file import load_network

    torch.set_num_threads(1)
    network = load_network(options.network).network
    layer = torch.from_numpy(np.load(options.layer)).float()
    volume = torch.nn.functional.pad(layer, [(BOX - CORE) // 2] * 6)[None, None]

    def predict(batch: torch.Tensor) -> torch.Tensor:
        return network(batch)["atom"]

    n_windows = int(np.prod([-(-n // CORE) for n in layer.shape]))

    def epoch() -> int:
        with torch.inference_mode():
            logits = sliding_window_inference(
                volume, (BOX,) * 3, 8, predict, overlap=1 - CORE / BOX, mode="constant"
            )
            torch.softmax(logits, dim=1)
        return n_windows

    serve(["monai"], {"layer": rate(epoch)})


main()
