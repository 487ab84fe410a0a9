"""MosaicML streaming: uncompressed MDS shards, its own shuffling, a torch DataLoader."""

from __future__ import annotations

import sys
import types

# `streaming` imports its data sets of pictures, hence torchvision, which needs its own torch.
sys.modules["streaming.vision"] = types.ModuleType("streaming.vision")

from answers import BATCH, rate, serve  # noqa: E402
from samples import given  # noqa: E402
from streaming import MDSWriter, StreamingDataset  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402


def main() -> None:
    density, atom, folder = given()
    columns = {"density": "ndarray:float16:32,32,32", "atom": "ndarray:uint8:32,32,32"}
    with MDSWriter(out=str(folder), columns=columns, size_limit=48 << 20) as writer:
        for values, mask in zip(density, atom, strict=True):
            writer.write({"density": values.copy(), "atom": mask.copy()})
    dataset = StreamingDataset(local=str(folder), shuffle=True, batch_size=BATCH)

    def epoch() -> int:
        return sum(len(batch["density"]) for batch in DataLoader(dataset, batch_size=BATCH))

    serve(["mosaicml-streaming"], {"epoch": rate(epoch)})


main()
