"""WebDataset: tar shards of 512 samples, shards in random order, a shuffle buffer of 2,048."""

from __future__ import annotations

import webdataset as wds
from answers import BATCH, rate, serve
from samples import given


def main() -> None:
    density, atom, folder = given()
    pattern = str(folder / "%06d.tar")
    with wds.ShardWriter(pattern, maxcount=512, verbose=0) as writer:
        for number, (values, mask) in enumerate(zip(density, atom, strict=True)):
            writer.write({"__key__": f"{number:08d}", "density.npy": values, "atom.npy": mask})
    shards = sorted(map(str, folder.glob("*.tar")))

    def epoch() -> int:
        dataset = (
            wds.WebDataset(shards, shardshuffle=len(shards), empty_check=False)
            .shuffle(2048)
            .decode()
            .to_tuple("density.npy", "atom.npy")
            .batched(BATCH, partial=True)
        )
        return sum(len(batch[0]) for batch in wds.WebLoader(dataset, batch_size=None))

    serve(["webdataset"], {"epoch": rate(epoch)})


main()
