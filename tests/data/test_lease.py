"""Leases: one of many wins, the others name the holder, and nothing stays locked for ever."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from c2s_data.errors import LeaseError
from c2s_data.store import lease as lease_module
from c2s_data.store.lease import current, hold, refuse_if_held
from c2s_data.store.objects import Objects, open_objects
from c2s_data.store.sealed import seal, unseal


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_objects(tmp_path / "a.zarr")


def names(objects: Objects) -> list[str]:
    return list(objects.names("_c2s/leases"))


def test_a_second_holder_is_refused_and_told_who_holds_it(objects: Objects) -> None:
    with hold(objects, "build") as mine:
        mine.check()
        with pytest.raises(LeaseError, match=rf"`c2s-data build` of process {os.getpid()} on "):
            hold(objects, "plan").__enter__()
        with pytest.raises(LeaseError, match=r"part 3/16 must wait: the store is held by"):
            refuse_if_held(objects, "part 3/16")
    refuse_if_held(objects, "part 3/16")
    with hold(objects, "plan"):
        pass
    assert names(objects) == ["000002.json"]


def test_of_many_at_once_exactly_one_wins(objects: Objects) -> None:
    barrier, outcomes = threading.Barrier(16), []
    done = threading.Event()

    def race() -> None:
        barrier.wait()
        try:
            with hold(objects, "build"):
                outcomes.append("won")
                done.wait(20)
        except LeaseError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=race) for _ in range(16)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(outcomes) < 16 and time.monotonic() < deadline:
        time.sleep(0.01)
    done.set()
    for thread in threads:
        thread.join()
    assert outcomes.count("won") == 1
    assert sum("is held by `c2s-data build`" in text for text in outcomes) == 15


def test_an_expired_lease_is_taken_over_and_its_holder_notices(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "TTL_S", 0.2)
    with hold(objects, "build") as stopped:
        time.sleep(0.3)  # No heartbeat reaches the store, as if the process had been stopped.
        with hold(objects, "commit") as mine:
            mine.check()
            with pytest.raises(LeaseError, match="lost its lease"):
                stopped.check()
        assert current(objects)[0] == 2
    # The late release of the first holder leaves the newer lease alone.
    epoch, holder = current(objects)
    assert epoch == 2
    assert holder is not None
    assert holder.purpose == "commit"


def test_the_heartbeat_keeps_a_lease_alive(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "TTL_S", 1.0)
    monkeypatch.setattr(lease_module, "HEARTBEAT_S", 0.05)
    with hold(objects, "build"):
        first = current(objects)[1]
        time.sleep(1.3)
        refused = current(objects)[1]
        assert first is not None
        assert refused is not None
        assert refused.in_force
        assert refused.expires_at > first.expires_at


def test_a_holder_that_was_killed_on_this_machine_blocks_nobody(objects: Objects) -> None:
    script = f"""
import os, signal
from c2s_data.store.lease import hold
from c2s_data.store.objects import open_objects
hold(open_objects({objects.url!r}), "build").__enter__()
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -9
    epoch, holder = current(objects)
    assert (epoch, holder.purpose) == (1, "build")
    assert holder.expires_at > time.time() + 30
    with hold(objects, "build"):
        assert current(objects)[0] == 2


def test_a_holder_on_another_machine_is_believed_until_its_lease_ends(objects: Objects) -> None:
    with hold(objects, "build"):
        _, mine = current(objects)
    elsewhere = replace(mine, host="node17", released=False, token="other")
    for expires_in_s, in_force in ((30.0, True), (-1.0, False)):
        there = replace(elsewhere, expires_at=time.time() + expires_in_s)
        objects.put("_c2s/leases/000009.json", seal(vars(there)))
        assert current(objects)[1].in_force == in_force
    # A container of the same host name sees other processes: its holder is believed as well.
    boxed = replace(elsewhere, host=mine.host, process="boot pid:[7] 123")
    objects.put("_c2s/leases/000009.json", seal(vars(boxed)))
    assert current(objects)[1].in_force


def test_a_damaged_lease_locks_nobody_out(objects: Objects) -> None:
    with hold(objects, "build"):
        path = Path(objects.url) / "_c2s/leases/000001.json"
        assert json.loads(path.read_bytes())["content"]["purpose"] == "build"
        path.write_bytes(path.read_bytes().replace(b"build", b"guild"))
        with hold(objects, "repair"):
            assert current(objects)[0] == 2


def test_documents_say_who_when_and_until(objects: Objects) -> None:
    before = time.time()
    with hold(objects, "build"):
        document = unseal(objects.get("_c2s/leases/000001.json"), "lease")
    assert document["pid"] == os.getpid()
    assert before <= document["taken_at"] <= time.time()
    assert document["expires_at"] == pytest.approx(document["taken_at"] + 60)
    assert unseal(objects.get("_c2s/leases/000001.json"), "lease")["released"]


def test_a_lease_is_not_inherited_over_a_fork(objects: Objects) -> None:
    with hold(objects, "build") as lease:
        lease.check()
        receiver, sender = multiprocessing.Pipe(duplex=False)
        pid = os.fork()
        if pid == 0:
            try:
                lease.check()
                sender.send("it holds the lease")
            except LeaseError as error:
                lease.release()  # as the child's `with` would
                sender.send(str(error))
            finally:
                os._exit(0)
        assert receiver.poll(30)
        said = receiver.recv()
        os.waitpid(pid, 0)
        assert f"process {pid} was forked from `c2s-data build` of process {os.getpid()}" in said
        assert "spawn or forkserver" in said
        lease.check()
        holder = current(objects)[1]
        assert holder is not None
        assert holder.in_force
