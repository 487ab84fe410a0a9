"""Print the first batches of a store: ``python -m c2s_model.data.preview STORE``."""

from __future__ import annotations

import argparse
import itertools
import time

from c2s_data.schema import MASKS
from c2s_model.data.dataset import SubgridDataset


def preview(store: str, batches: int = 3, batch_size: int = 8) -> None:
    """Print shape, type and content of a few shuffled batches of subgrids with C-alphas.

    Parameters
    ----------
    store
        Path or URL of a committed store.
    batches, batch_size
        How many batches of how many subgrids.
    """
    dataset = SubgridDataset(
        store, targets=MASKS, batch_size=batch_size, seed=0, subgrids="occupied"
    )
    started = time.perf_counter()
    for number, batch in enumerate(itertools.islice(dataset, batches)):
        density, atom = batch["density"], batch["atom"]
        maps = sorted(set(batch["map"].tolist()))
        print(  # noqa: T201
            f"   batch {number}: density {tuple(density.shape)} {str(density.dtype)[6:]} mean "
            f"{density.float().mean():.3f}, atom {tuple(atom.shape)} {str(atom.dtype)[6:]} with "
            f"{int((atom == 1).sum())} C-alphas, from maps {maps}"
        )
    print(f"   {batches} batches in {time.perf_counter() - started:.2f} s")  # noqa: T201


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    preview(parser.parse_args().store)
