"""F, W and R: however workers start, die and change in number, no sample is lost or read twice."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from builds import environment
from grown_store import write
from guarantees_table import chosen
from made_maps import made_plan
from orders import LARGE, SMALL, laid_out, make, ranks_of, wanted
from small_store import all_rows, small, write_store
from torch.utils.data import DataLoader

from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store

# Four workers are more than a small machine has processors.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")

CELL = Path(__file__).with_name("loader_cell.py")
HANG_S = 90.0
METHODS = ("fork", "forkserver", "spawn")
ENDS = ("exact", "drop", "pad")
WORLDS, WORKERS = (1, 2, 3, 4, 8), (0, 1, 2, 4)
BATCH = 8
MEDIUM = laid_out([(1331, 57), (700, 300)])
BROKEN_PIPES = ("ConnectionResetError", "ConnectionRefusedError", "EOFError", "FileNotFoundError")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("loader") / "store.zarr"
    objects = open_objects(folder)
    plan = begin_store(objects, made_plan(shapes=((81, 66, 104), (37, 64, 23))))
    for planned in plan.buildable:
        write(objects, plan, planned)
    commit(objects, plan)
    return folder


@pytest.fixture(scope="module")
def store_rows(store) -> list[int]:
    rows = all_rows(open_store(store))
    assert len(rows) > 60
    return rows


@pytest.fixture(scope="module")
def bucket(store) -> tuple[str, dict[str, str]]:
    """The same store behind S3: its address, and the environment that leads there."""
    server_module = pytest.importorskip("moto.server", reason="needs moto, for an S3 server")
    boto3 = pytest.importorskip("boto3", reason="needs boto3, to fill a bucket")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ACCESS_KEY_ID": "loader",
        "AWS_SECRET_ACCESS_KEY": "loader",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    client = boto3.client(
        "s3",
        endpoint_url=settings["AWS_ENDPOINT_URL"],
        region_name=settings["AWS_DEFAULT_REGION"],
        aws_access_key_id="loader",
        aws_secret_access_key="loader",
    )
    client.create_bucket(Bucket="loader")
    for path in sorted(store.rglob("*")):
        if path.is_file():
            name = path.relative_to(store).as_posix()
            client.put_object(Bucket="loader", Key=f"store.zarr/{name}", Body=path.read_bytes())
    yield "s3://loader/store.zarr", settings
    client.close()
    server.stop()


def cell(*arguments: str | Path, **settings: str) -> dict:
    """Run a cell; everything it said in one dict."""
    done = subprocess.run(
        [sys.executable, CELL, *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {k: v for line in done.stdout.splitlines() for k, v in json.loads(line).items()}


STARTS = [
    pytest.param(method, client, read, id=f"{method}-{client}-{read}")
    for client in ("local", "s3fs", "obstore")
    for method in METHODS
    for read in ("read", "fresh")
    # A fork is what can go wrong; each other way takes seconds to import everything anew.
    if chosen(method == "fork" or (method, client, read) == ("forkserver", "obstore", "read"), True)
]


@pytest.mark.parametrize(("method", "client", "read"), STARTS)
def test_workers_started_in_any_way_read_or_say_why_not(
    method, client, read, store, store_rows, row, request
):
    url, settings = str(store), {}
    if client != "local":
        pytest.importorskip(client, reason=f"needs {client}")
        url, settings = request.getfixturevalue("bucket")
    said = cell("start", method, read, url, **settings, C2S_S3_CLIENT=client)
    if read == "read":
        assert said["parent"] == store_rows
    note = ""
    if "error" in said:
        # The one combination that cannot work: its threads are gone in the child.
        assert (method, client, read) == ("fork", "obstore", "read")
        assert said["error"] == "StoreError"
        assert "forkserver" in said["message"]
        assert said["s"] < 5
        note = f"fork after obstore refused in {said['s']:.1f} s"
    else:
        assert said["rows"] == store_rows
    row(
        "F",
        "workers by fork, forkserver, spawn x local, s3fs, obstore x parent has read",
        1,
        0,
        note,
    )


def test_a_killed_worker_is_an_error_and_leaves_nothing_behind(store, store_rows, row, budget):
    moments = [(0, 0), (1, 1), (2, 0), (3, 1), (5, 0), (6, 1), (8, 0), (9, 1)]
    worst = 0.0
    for batches, worker in moments[: budget(2, len(moments))]:
        said = cell("kill", str(batches), str(worker), store)
        assert said["message"].startswith("DataLoader worker") or said["error"] in BROKEN_PIPES
        assert said["s"] < 10
        assert said["alive"] == []
        assert said["rows"] == store_rows
        assert not [pid for pid in said["pids"] if Path(f"/proc/{pid}").exists()]
        worst = max(worst, said["s"])
    times = budget(2, len(moments))
    row("F", "SIGKILL of a DataLoader worker", times, 0, f"error within {worst:.1f} s")


def check_epoch(ranks: list[list], ends: str, expected: list[int], allowance: int) -> None:
    """Each sample once; under drop none twice and few left out; ranks equal but under exact."""
    places = [place for batches in ranks for batch in batches for place in batch]
    once = Counter(row for row, repeated in places if not repeated)
    if ends == "drop":
        assert max(once.values(), default=1) == 1
        assert set(once) <= set(expected)
        assert len(expected) - len(once) < allowance
    else:
        assert once == Counter(expected)
    lengths = [len(batches) for batches in ranks]
    assert max(lengths) - min(lengths) <= (ends == "exact")
    if ends != "pad":
        assert not any(repeated for _, repeated in places)
    if ends != "exact":
        assert {len(batch) for batches in ranks for batch in batches} <= {BATCH}


def test_every_sample_once_for_any_number_of_ranks_and_workers(row, budget):
    stores = [SMALL, LARGE, MEDIUM][: budget(1, 3)]
    cells = list(itertools.product(stores, WORLDS, WORKERS, (True, False), ENDS))
    for maps, world, workers, shuffle, ends in cells:
        order = make(maps, world * max(1, workers), shuffle=shuffle, ends=ends, batch_size=BATCH)
        allowance = order.n_lanes * BATCH
        check_epoch(ranks_of(order, world, workers), ends, wanted(maps), allowance)
    row("W", "ranks x workers x shuffle x ends, in order alone", len(cells), 0)


@pytest.fixture(scope="module")
def random_store(tmp_path_factory):
    maps = [("train", 70, 33), ("train", 41, 41), ("train", 3, 1), ("train", 217, 120)]
    return write_store(tmp_path_factory.mktemp("random") / "store.zarr", maps)


def read_ranks(opener, world, workers, state=None, **options) -> list[list[dict]]:
    ranks = []
    for rank in range(world):
        dataset = small(opener, rank=rank, world_size=world, batch_size=BATCH, **options)
        if state is not None:
            dataset.load_state_dict(state)
        ranks.append(list(DataLoader(dataset, batch_size=None, num_workers=workers)))
    return ranks


def places_of(batch) -> list[tuple[int, bool]]:
    rows = batch["row"].tolist()
    repeated = batch["repeated"].tolist() if "repeated" in batch else [False] * len(rows)
    return list(zip(rows, repeated, strict=True))


def test_every_sample_once_through_real_loaders(random_store, row, budget):
    cells = list(itertools.product(WORLDS, WORKERS, ENDS))
    if budget(1, 0):
        cells = [(1, 4, "exact"), (2, 2, "pad"), (3, 1, "drop"), (8, 0, "exact")]
    for world, workers, ends in cells:
        ranks = read_ranks(random_store, world, workers, ends=ends)
        places = [[places_of(batch) for batch in batches] for batches in ranks]
        allowance = 48 * 8 * BATCH
        check_epoch(places, ends, all_rows(random_store()), allowance)
    row("W", "ranks x workers x ends, with DataLoaders", len(cells), 0)


def flat(ranks) -> list:
    turns = itertools.zip_longest(*ranks)
    return [batch for turn in turns for batch in turn if batch is not None]


def check_rest(rest: list, left: list, ends: str, world: int) -> None:
    """What comes after a resume is what was left, in order; drop cuts and pad repeats its end."""
    extra = len(left) % world
    if ends == "drop":
        left = left[: len(left) - extra]
    assert rest[: len(left)] == left
    again = rest[len(left) :]
    assert len(again) == (-extra % world if ends == "pad" else 0)
    assert all(repeated for batch in again for _, repeated in batch)


def test_resumed_at_any_batch_the_sequence_goes_on(row, budget):
    before = [(1, 0), (2, 2), (3, 1)]
    after = [(1, 2), (3, 0), (4, 2), (5, 1)]
    times = 0
    for (world, workers), ends in itertools.product(before, ENDS):
        order = make(MEDIUM, world * max(1, workers), ends=ends, batch_size=BATCH)
        batches = flat(ranks_of(order, world, workers))
        assert len(batches) == order.n_batches
        steps = list(range(0, len(batches) + world, world))
        for step in steps if budget(0, 1) else [*steps[::29], steps[-2], steps[-1]]:
            done = min(step, len(batches))
            for new_world, new_workers in after:
                rest = flat(ranks_of(order, new_world, new_workers, done))
                check_rest(rest, batches[done:], ends, new_world)
                times += 1
    row("R", "resume with other ranks and workers, in order alone", times, 0)


def test_resumed_loaders_go_on_with_the_same_sequence(random_store, row, budget):
    pairs = [((1, 2), (2, 0)), ((2, 1), (1, 2)), ((2, 0), (3, 0)), ((4, 0), (1, 0))]
    times = 0
    for number, ((world, workers), (new_world, new_workers)) in enumerate(pairs):
        ends = ENDS[number % 3]
        ranks = read_ranks(random_store, world, workers, ends=ends)
        steps = range(len(ranks[-1]))
        for step in steps if budget(0, 1) else steps[3::7]:
            last = ranks[-1][step]
            dataset = small(random_store, ends=ends, batch_size=BATCH)
            state = json.loads(json.dumps(dataset.state_dict(last)))
            rest = flat(read_ranks(random_store, new_world, new_workers, state, ends=ends))
            left = flat([batches[step + 1 :] for batches in ranks])
            check_rest([*map(places_of, rest)], [*map(places_of, left)], ends, new_world)
            times += 1
    row("R", "resume with other ranks and workers, with DataLoaders", times, 0)
