"""LitData: chunks written by ``optimize``, its own shuffling and DataLoader."""

from __future__ import annotations

import litdata
import numpy as np
import torch
from answers import BATCH, rate, serve
from samples import given

DENSITY, ATOM, FOLDER = given()


def sample(number: int) -> dict[str, torch.Tensor]:
    return {
        "density": torch.from_numpy(np.array(DENSITY[number])),
        "atom": torch.from_numpy(np.array(ATOM[number])),
    }


def main() -> None:
    out = str(FOLDER / "chunks")
    litdata.optimize(
        fn=sample, inputs=list(range(len(DENSITY))), output_dir=out, num_workers=1,
        chunk_bytes="48MB", verbose=False,
    )  # fmt: skip
    dataset = litdata.StreamingDataset(out, shuffle=True, drop_last=False)

    def epoch() -> int:
        loader = litdata.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=0)
        return sum(len(batch["density"]) for batch in loader)

    serve(["litdata"], {"epoch": rate(epoch)})


if __name__ == "__main__":
    main()
