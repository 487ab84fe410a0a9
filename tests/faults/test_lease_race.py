"""L1: many processes that begin on one store at the same moment: one wins."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builds import digests, environment, is_committed, run
from guarantees_table import chosen
from made_maps import made_plan
from test_growth import CHANGES

from c2s_data.config import BuildConfig
from c2s_data.errors import ConfigError, LeaseError
from c2s_data.plan import plan_of
from c2s_data.store.begin import begin_store, claim_lineage
from c2s_data.store.lease import hold
from c2s_data.store.objects import Data, LocalObjects, open_objects

N_RACERS = 32
PRESET = "--preset=recommended"

# The winner keeps its lease until all others have asked for it, however slow the machine is.
RACE = """
import multiprocessing, os, sys, time
import c2s_data.cli, c2s_data.distribute
from c2s_data.store.lease import Lease

folder, arguments = sys.argv[1], sys.argv[2:]
fork = multiprocessing.get_context("fork")
barrier, asked = fork.Barrier({n}), fork.Semaphore(0)
start = Lease.start

def started(lease):
    with open(f"{{folder}}/won", "a") as stream:
        stream.write(f"{{os.getpid()}} {{time.monotonic()}}\\n")
    start(lease)
    for _ in range({n} - 1):
        assert asked.acquire(timeout=60)

Lease.start = started

def race(number):
    sys.argv = ["c2s-data", *arguments]
    stream = open(f"{{folder}}/{{number}}.out", "w", buffering=1)
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    barrier.wait()
    if number == 0:
        print("released", time.monotonic())
    try:
        c2s_data.cli.main()
    finally:
        asked.release()

racers = [fork.Process(target=race, args=(number,)) for number in range({n})]
for racer in racers:
    racer.start()
for racer in racers:
    racer.join(120)
print(*(racer.exitcode for racer in racers))
"""


def race(folder: Path, *arguments: str | Path) -> tuple[int, float, list[str]]:
    """Return the winner's process id, after how long it won, and what the losers said."""
    folder.mkdir()
    command = [sys.executable, "-c", RACE.format(n=N_RACERS), folder, *arguments]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    codes = [int(code) for code in done.stdout.split()[-N_RACERS:]]
    outputs = [(folder / f"{number}.out").read_text() for number in range(N_RACERS)]
    assert sorted(codes) == [0] + [2] * (N_RACERS - 1), outputs
    wins = [line.split() for line in (folder / "won").read_text().splitlines()]
    assert len(wins) == 1
    released = float(re.search(r"^released (.+)$", outputs[0], re.MULTILINE)[1])
    losers = [output for output, code in zip(outputs, codes, strict=True) if code]
    return int(wins[0][0]), float(wins[0][1]) - released, losers


@pytest.mark.parametrize("cell", range(chosen(1, 5)))
def test_one_of_many_wins_and_the_others_name_it(
    cell: int, tiny_catalog: Path, undisturbed: dict[str, str], tmp_path: Path, row
) -> None:
    store = tmp_path / "store.zarr"
    slowest_s = 0.0
    for what, arguments in (
        ("plan", ("plan", tiny_catalog, store, PRESET)),
        ("commit", ("commit", store)),
    ):
        if what == "commit":
            part = run(tmp_path / "logs", "build", tiny_catalog, store, "--part=1/1")
            assert part.process.returncode == 0, part.output
        winner, won_after_s, losers = race(tmp_path / what, *arguments)
        assert won_after_s <= 5
        slowest_s = max(slowest_s, won_after_s)
        for said in losers:
            assert f"`c2s-data {what}` of process {winner} on " in said
    assert is_committed(store)
    assert digests(store) == undisturbed
    row("L1", f"{N_RACERS} plans, then commits, released by a barrier", 2, 0, "one wins in 5 s")


def test_a_part_refuses_while_a_build_holds_the_store(
    tiny_catalog: Path, tmp_path: Path, row
) -> None:
    store = tmp_path / "store.zarr"
    assert run(tmp_path / "logs", "plan", tiny_catalog, store, PRESET).process.returncode == 0
    with hold(open_objects(store), "build"):
        started = time.monotonic()
        for arguments in (("build", tiny_catalog, store, "--part=1/2"), ("commit", store)):
            refused = run(tmp_path / "logs", *arguments)
            assert refused.process.returncode == 2
            assert "`c2s-data build` of process" in refused.output
        assert time.monotonic() - started < 60
    row("L1", "a part and a commit while a build holds the store", 2, 0, "both name the holder")


class SlowToTake(LocalObjects):
    """A place whose lease two others take, one after the other, between our look and our step."""

    def create(self, key: str, data: Data) -> bool:
        others = open_objects(self.root)
        with hold(others, "build"):
            pass
        self.holder = hold(others, "commit")
        self.holder.__enter__()
        return super().create(key, data)


def test_who_looked_long_ago_does_not_take_a_number_that_was_given_up(tmp_path: Path, row) -> None:
    with hold(open_objects(tmp_path), "plan"):
        pass
    slow = SlowToTake(tmp_path)
    with pytest.raises(LeaseError, match=r"held by `c2s-data commit`"), hold(slow, "plan"):
        pass
    slow.holder.__exit__(None, None, None)
    row("L1", "a racer that was stopped between look and step", 1, 0, "refused")


def test_every_option_that_differs_is_refused_and_shown(tmp_path: Path, row) -> None:
    """L2, on a store on the disk."""
    objects = open_objects(tmp_path / "begun.zarr")
    plan = begin_store(objects, made_plan())
    claim_lineage(objects, plan.lineage)
    before = objects.get("_c2s/plan.json")
    for name in BuildConfig.model_fields:
        config = plan.config.model_copy(update={name: CHANGES[name]})
        with pytest.raises(ConfigError) as caught:
            begin_store(objects, plan_of(config, plan.entries, plan.n_rows))
        was = getattr(plan.config, name)
        assert f"\n  {name}: {was!r} -> {CHANGES[name]!r}\n" in str(caught.value)
    assert objects.get("_c2s/plan.json") == before
    n = len(BuildConfig.model_fields)
    row("L2", "resume with another option, each in turn", n, 0, "refused, old and new value shown")
