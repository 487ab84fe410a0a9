"""Two processes that train together take the steps that one process takes with both batches."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_store import MICRO, made_store

from c2s_data.errors import ConfigError
from c2s_model.nets.network_file import load_network
from c2s_model.nets.unetr import make_network
from c2s_model.training import begin
from c2s_model.training.checkpoint import checkpoint_path
from c2s_model.training.distributed import choose_device
from c2s_model.training.history import read_history
from c2s_model.training.loop import train
from c2s_model.training.run_options import RunOptions
from c2s_model.training.train_config import make_train_config

STEPS, SUBGRIDS = 3, 6


def config(batch_size):
    """`recommended` as it is but for dropout: each process would leave out other features."""
    return make_train_config(
        "recommended", targets=("atom", "amino"), architecture=MICRO, dropout=0.0,
        batch_size=batch_size, epochs=STEPS, rest_share=0.0,
    )  # fmt: skip


def descent(name, network, learning_rate, weight_decay):
    """Plain descent, whose steps are the gradients: Adam would make noise as large as they are."""
    return torch.optim.SGD(network.parameters(), lr=0.1)


def trained_in_two_parts(store, run, batch_size):
    begin.make_optimizer = descent
    train(store, run, config(batch_size), RunOptions(logs=False, max_steps=1))
    train(store, run, config(batch_size), RunOptions(logs=False, look_steps=1))


SCRIPT = """
import faulthandler, sys, torch
faulthandler.dump_traceback_later(45)  # a hang shows where it hangs
torch.set_num_threads(1)
from test_train_distributed import trained_in_two_parts
trained_in_two_parts(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def train_with_two(store, run):
    folder = Path(__file__).parent
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(folder.parent / "data"))),
        "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(),
        "WORLD_SIZE": "2", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, store.url, str(run), str(SUBGRIDS // 2)],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(300) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def weights(run, name):
    return load_network(checkpoint_path(run / "checkpoints", STEPS) / name).network.state_dict()


def test_two_processes_equal_one(tmp_path, monkeypatch):
    store = made_store(tmp_path / "store.zarr", ((28, 20, 9), (9, 15, 12)))
    monkeypatch.setattr(begin, "make_optimizer", descent)
    train_with_two(store, tmp_path / "two")
    train(store, tmp_path / "one", config(SUBGRIDS), RunOptions(logs=False))
    first = make_network(MICRO, config(1).heads, torch.Generator().manual_seed(0)).state_dict()
    for name in ("network.safetensors", "average.safetensors"):
        one, two = weights(tmp_path / "one", name), weights(tmp_path / "two", name)
        way = torch.cat([(one[key] - first[key]).flatten() for key in one])
        apart = torch.cat([(one[key] - two[key]).flatten() for key in one])
        assert way.norm() > 0.01
        # A gradient is a sum over 2e5 voxels in float32, each rounded to 6e-8 of the sum so far:
        # in another order that is 6e-8 x sqrt(2e5) = 3e-5 of it, and three steps enlarge it.
        # Measured: 1.6e-4; class weights of each process's own batch give 4.2e-2.
        assert apart.norm() < 1e-3 * way.norm()
    histories = [read_history(tmp_path / run / "history.csv") for run in ("one", "two")]
    for ours, theirs in zip(*histories, strict=True):
        assert ours[:-1] == theirs[:-1] or "batch_mean" in ours.metric
        if ours.metric == "loss":
            assert theirs.value == pytest.approx(ours.value, rel=1e-5)


def test_devices():
    assert choose_device("cpu", 3) == torch.device("cpu")
    with pytest.raises(ConfigError, match="device 'tpu'; take auto, cpu or cuda"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        assert choose_device("auto") == torch.device("cpu")
        with pytest.raises(ConfigError, match="needs a GPU of its own and torch sees 0"):
            choose_device("cuda")
