"""Row S: whatever an S3 service or the network does, bytes are right or an error says so."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest
from s3_server import (
    BUCKET,
    CLIENTS,
    SECRET,
    environment,
    needs_s3,
    serve_s3,
    store_directly,
    stored,
)

from c2s_data.errors import CorruptChunkError, StoreError
from c2s_data.store.objects import open_objects
from c2s_data.store.receipt import put_checked
from c2s_data.store.shard import ShardSpec, encode_shard
from c2s_data.store.subgrid_reader import SubgridReader

pytestmark = needs_s3

FOR_EVER = float("inf")
QUICK = {"PAUSE_S": "0.01", "LONGEST_PAUSE_S": "0.05", "REQUEST_S": "0.6", "GIVE_UP_S": "30"}
SOON = QUICK | {"GIVE_UP_S": "2"}
REPORTED_WITHIN_S = 60


class Case(NamedTuple):
    """A fault of the proxy, how often it comes, and what an error then says."""

    name: str
    times: float
    argument: float = 0
    said: str = ""


TRANSIENT = {
    "500 twice": Case("status", 2, 500),
    "503 three times": Case("status", 3, 503),
    "503 nine times": Case("status", 9, 503),
    "429 twice": Case("status", 2, 429),
    "one 404": Case("status", 1, 404),
    "reset twice": Case("reset", 2),
    "truncated twice": Case("truncated", 2),
    "hang once": Case("hang", 1),
    "slow": Case("delay", 1, 0.3),
    "bit flip": Case("flip", 1),
    "lost response": Case("lost", 1),
}
# Older obstore drops the code of a 5xx answer.
PERMANENT = {
    "503 for ever": Case("status", FOR_EVER, 503, "HTTP 503 (SlowDown )?after 10 tries"),
    "500 for ever": Case("status", FOR_EVER, 500, "HTTP 500 (InternalError )?after 10 tries"),
    "403": Case("status", FOR_EVER, 403, "HTTP 403 AccessDenied after 1 try"),
    "reset for ever": Case("reset", FOR_EVER, 0, "connection broken .*after 10 tries"),
    "hang for ever": Case("hang", FOR_EVER, 0, "timeout after [2-6] tries"),
}


def limits_for(case: Case) -> dict[str, str]:
    """Give up early only on what hangs: where a machine is busy an answer may take a second.

    After nine refusals one request is left, so that one late answer would end the call.
    """
    return QUICK if case.name in {"hang", "delay"} else QUICK | {"REQUEST_S": "10"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve_s3() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def proxy(server: str) -> Iterator[object]:
    from s3_proxy import S3Proxy

    with S3Proxy(server) as proxy:
        yield proxy


@pytest.fixture(params=CLIENTS)
def enter(request, server, proxy, monkeypatch) -> Callable[[dict[str, str]], str]:
    """Set the environment up under a policy and give the URL of a place of this test's own."""

    def set_up(policy: dict[str, str]) -> str:
        settings = {f"C2S_S3_{name}": value for name, value in policy.items()}
        for name, value in (environment(proxy.url, request.param) | settings).items():
            monkeypatch.setenv(name, value)
        folder = f"{request.param}-{time.monotonic_ns()}"
        return f"s3://{BUCKET}/{folder}"

    return set_up


def key_below_bucket(url: str, key: str) -> str:
    return f"{url.removeprefix(f's3://{BUCKET}/')}/{key}"


SPEC = ShardSpec((32, 4, 4, 4), (4, 4, 4, 4), np.dtype("f2"))
VALUES = np.random.default_rng(5).random(SPEC.shard_shape).astype("f2")
SHARD = encode_shard(VALUES, SPEC)


def put_shard(server: str, url: str) -> None:
    store_directly(server, key_below_bucket(url, "a/c/0/0/0/0"), SHARD)


def read_rows(url: str) -> np.ndarray:
    reader = SubgridReader(f"{url}/a", SPEC, root=url)
    out = np.empty((11, 4, 4, 4), "f2")
    reader.read_rows(0, 6, 17, out)
    return out


class Injector:
    """Arms the proxy before each call and counts what it did."""

    def __init__(self, proxy, method: str, case: Case) -> None:
        self._proxy, self._method, self._case, self.done = proxy, method, case, 0

    def __call__(self, call: Callable[[], object]) -> object:
        from s3_proxy import Fault

        case = self._case
        self._proxy.inject(Fault(case.name, self._method, case.times, case.argument))
        try:
            return call()
        finally:
            met = self._proxy.met[case.name, self._method]
            assert met >= 1, "nothing was injected"
            if case.times != FOR_EVER:
                assert met == case.times
            self.done += met
            self._proxy.inject()


@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_read_survives_what_passes(enter, server, proxy, fault, row) -> None:
    url = enter(limits_for(TRANSIENT[fault]))
    put_shard(server, url)
    objects, around = open_objects(url), Injector(proxy, "GET", TRANSIENT[fault])
    key = "a/c/0/0/0/0"
    assert around(lambda: objects.get(key, check=lambda data: data == SHARD)) == SHARD
    assert around(lambda: objects.holds(key, SHARD)) is True
    np.testing.assert_array_equal(around(lambda: read_rows(url)), VALUES[6:17])
    row("S", fault, around.done, 0)


@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_write_survives_what_passes(enter, server, proxy, fault, row) -> None:
    url = enter(limits_for(TRANSIENT[fault]))
    objects, around = open_objects(url), Injector(proxy, "PUT", TRANSIENT[fault])
    around(lambda: objects.put("m/put", SHARD))
    around(lambda: put_checked(objects, "m/checked", SHARD))
    assert around(lambda: objects.create("m/created", SHARD)) is True
    assert objects.create("m/created", b"another's") is False
    for name in ("put", "checked", "created"):
        assert stored(server, key_below_bucket(url, f"m/{name}")) == SHARD
    row("S", fault, around.done, 0)


@pytest.mark.parametrize("fault", PERMANENT)
def test_a_read_reports_what_lasts(enter, server, proxy, budget, fault, row) -> None:
    case = PERMANENT[fault]
    url = enter({} if budget(0, 1) else SOON if case.name == "hang" else QUICK)
    put_shard(server, url)
    objects, around = open_objects(url), Injector(proxy, "GET", case)
    calls = (lambda: objects.get("a/c/0/0/0/0"), lambda: read_rows(url))
    for call in calls:
        assert_reported(around, call, "a/c/0/0/0/0' cannot be read", case)
    row("S", fault, len(calls), 0)


@pytest.mark.parametrize("fault", PERMANENT)
def test_a_write_reports_what_lasts(enter, server, proxy, budget, fault, row) -> None:
    case = PERMANENT[fault]
    url = enter({} if budget(0, 1) else SOON if case.name == "hang" else QUICK)
    objects, around = open_objects(url), Injector(proxy, "PUT", case)
    calls = (lambda: objects.put("m/x", SHARD), lambda: objects.create("m/x", SHARD))
    for call in calls:
        assert_reported(around, call, "m/x' cannot be written", case)
    assert stored(server, key_below_bucket(url, "m/x")) is None
    row("S", fault, len(calls), 0)


def assert_reported(around: Injector, call: Callable[[], object], where: str, case: Case) -> None:
    begun = time.monotonic()
    with pytest.raises(StoreError, match=f"{where}: {case.said}") as caught:
        around(call)
    assert time.monotonic() - begun < REPORTED_WITHIN_S
    seen, errors = str(caught.value), [caught.value]
    while (error := errors[-1].__cause__ or errors[-1].__context__) is not None:
        errors.append(error)
        seen += str(error)
    assert "CANARY" not in seen, "the service's text, or a credential, is in the message"


def test_one_of_many_creators_wins_whatever_is_lost(enter, server, proxy, row) -> None:
    from s3_proxy import Fault

    url, n_creators, rounds = enter(QUICK), 16, 3
    proxy.inject(*(Fault(name, "PUT", 2 * rounds) for name in ("lost", "reset")))
    with ThreadPoolExecutor(n_creators) as pool:
        for number in range(rounds):
            key, barrier = f"leases/{number}", threading.Barrier(n_creators)

            def create(creator: int, key: str = key, barrier=barrier) -> bool:
                objects = open_objects(url)
                barrier.wait(20)
                return objects.create(key, b"of creator %d" % creator)

            won = [n for n, wrote in enumerate(pool.map(create, range(n_creators))) if wrote]
            assert len(won) == 1
            assert stored(server, key_below_bucket(url, key)) == b"of creator %d" % won[0]
    assert proxy.met.total() == 4 * rounds
    row("S", "lost response", proxy.met.total(), 0)


def test_a_chunk_that_is_stored_damaged_is_an_error(enter, server, proxy) -> None:
    url = enter(QUICK)
    damaged = bytearray(SHARD)
    damaged[len(SHARD) // 3] ^= 1
    store_directly(server, key_below_bucket(url, "a/c/0/0/0/0"), bytes(damaged))
    proxy.inject()
    with pytest.raises(CorruptChunkError, match=r"chunk \d fails its crc32c"):
        SubgridReader(f"{url}/a", SPEC).read_rows(0, 0, 32, np.empty_like(VALUES))
    # The whole shard, and twice more, because a chunk may have been hurt on the way.
    assert proxy.requests["GET"] == 3


def test_a_whole_store_over_s3_is_the_local_one(enter, proxy, tmp_path, row, monkeypatch) -> None:
    from made_maps import made_map, made_plan
    from s3_proxy import Fault

    from c2s_data.store.begin import begin_store
    from c2s_data.store.commit import commit
    from c2s_data.store.layout import Layout
    from c2s_data.store.reader import open_store
    from c2s_data.store.writer import write_entry

    url, plan = enter(QUICK), made_plan(shapes=((25, 21, 30), (22, 31, 18)))
    faults = [
        Fault(name, method, 2, argument)
        for method in ("GET", "PUT")
        for name, argument in (("status", 503), ("reset", 0), ("lost", 0), ("truncated", 0))
    ]
    places = [open_objects(tmp_path / "local.zarr"), open_objects(url)]
    for objects in places:
        begin_store(objects, plan)
        for planned in plan.entries:
            proxy.inject(*[Fault(**vars(fault)) for fault in faults])
            write_entry(objects, Layout.of(plan.config), planned, made_map(planned, plan.config))
        commit(objects, plan)
    local, remote = places
    kept = {key for key, _ in local.walk() if not key.startswith("_c2s/")}
    assert {key for key, _ in remote.walk() if not key.startswith("_c2s/")} == kept
    for key in sorted(kept):
        if key.split("/")[-1] not in ("COMMITTED", "LATEST.json"):
            assert remote.get(key) == local.get(key), key
    opened = {place.url: open_store(place.url) for place in places}
    for name in ("density", "atom"):
        rows = [all_rows(store, name) for store in opened.values()]
        np.testing.assert_array_equal(*rows)
    row("S", "a store written and read through faults", proxy.met.total(), 0)


def all_rows(store, name: str) -> np.ndarray:
    spec = store.subgrid_spec(name)
    reader = SubgridReader(f"{store.url}/subgrids/{name}", spec, root=store.url)
    last = store.entries[-1]
    n_shards = -(-(last.first_subgrid + last.n_subgrids) // spec.shard_shape[0])
    out = np.empty((n_shards, *spec.shard_shape), spec.dtype)
    for shard in range(n_shards):
        reader.read_rows(shard, 0, spec.shard_shape[0], out[shard])
    return out


@pytest.mark.parametrize("client", CLIENTS)
def test_a_place_shows_no_credential(client, server, monkeypatch) -> None:
    import pickle

    for name, value in environment(server, client).items():
        monkeypatch.setenv(name, value)
    objects = open_objects(f"s3://{BUCKET}/canary")
    objects.put("x", b"1")
    pickled = pickle.dumps(objects)
    assert SECRET.encode() not in pickled
    assert SECRET not in repr(objects) + str(vars(objects))
    assert pickle.loads(pickled).get("x") == b"1"
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == SECRET
