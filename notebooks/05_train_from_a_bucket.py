# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5. Train from a bucket
#
# A dataset of thousands of maps lives in object storage; nobody wants to copy terabytes to every GPU
# node. The loader reads whole shards from the bucket while the network is busy with what came before.
#
# Here a small S3 server (`moto`) runs inside the notebook. With a real bucket, leave the first cell out:
# credentials come from the environment or the machine's role, and everything else is the same.

# %%
import logging
import os
import tempfile
from pathlib import Path

from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else it prints every request
server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
os.environ |= {
    "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    "AWS_ACCESS_KEY_ID": "me",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
}

# %%
import boto3

client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")
made = client.create_bucket(Bucket="datasets")

# %% [markdown]
# ## Build into it
#
# The store's address is a URL; nothing else changes. Workers write shards into the bucket themselves.

# %%
from c2s_data.config import make_config
from c2s_data.distribute import build_store
from c2s_data.sources.simulate import write_demo_inputs

folder = Path(tempfile.mkdtemp())
catalog = write_demo_inputs(folder / "inputs")
url = "s3://datasets/mine.zarr"
committed = build_store(catalog, url, make_config("recommended"), workers=2)
print(f"generation {committed.generation} in {url}")

# %% [markdown]
# ## Open it: a handful of requests, however many maps

# %%
from c2s_data.store.reader import open_store
from c2s_data.store.traffic import Traffic, traffic


def asked(before: Traffic) -> str:
    """Say what was asked of the bucket since."""
    since = traffic() - before
    return f"{since.requests} requests, {since.bytes_read / 1e6:.2f} MB"


before = traffic()
store = open_store(url)
print(f"{len(store.entries)} maps, opened by {asked(before)}")

# %% [markdown]
# ## An epoch
#
# A shard holds 512 subgrids of one map and comes in one request. So an epoch asks seldom, for much.

# %%
from torch.utils.data import DataLoader

from c2s_data.store.object_cache import CacheOptions
from c2s_model.data import SubgridDataset

cache = CacheOptions(str(folder / "cache"), 10**9)


def epoch_of(dataset: SubgridDataset, number: int) -> None:
    """Read an epoch and say what it asked of the bucket."""
    dataset.set_epoch(number)
    before, samples = traffic(), 0
    for batch in DataLoader(dataset, batch_size=None):
        samples += len(batch["density"])
    print(f"epoch {number}: {samples} subgrids by {asked(before)}")


dataset = SubgridDataset(url, split="train", batch_size=16, cache=cache)
epoch_of(dataset, 0)
epoch_of(dataset, 1)

# %% [markdown]
# The second epoch came from the disk: `cache` keeps what was fetched, never more than its size, for all
# processes of the machine. For a training it is two options:
#
# ```
# c2s-model train s3://datasets/mine.zarr run --cache /scratch/c2s --cache-size 200GB
# ```
#
# [docs/cloud.md](../docs/cloud.md) has a block for each cloud, and what a training asks of a bucket.

# %%
server.stop()
