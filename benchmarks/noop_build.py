"""A build that only takes time: what the workers of `scale_cluster.py` run.

It has the signature of `c2s_data.build.build_and_write` and answers what that would answer, after
the seconds that the rates say, divided by ``C2S_NOOP_COMPRESSION``. It is a coroutine, so that one
process can be a thousand workers.
"""

from __future__ import annotations

import asyncio
import functools
import os

from c2s_data.build import EntryOutcome, PlanFacts
from c2s_data.estimate import build_seconds
from c2s_data.plan import PlannedEntry
from c2s_data.rates import Rates, read_rates


@functools.cache
def _rates() -> Rates:
    return read_rates()


async def noop_build(url: str, planned: PlannedEntry, plan_facts: PlanFacts) -> EntryOutcome:
    """Sleep as long as the map would take to build, compressed; return what a build returns."""
    seconds = build_seconds(planned, plan_facts.config, _rates())
    compression = float(os.environ["C2S_NOOP_COMPRESSION"])
    await asyncio.sleep(seconds / compression)
    return EntryOutcome(
        planned.entry_id,
        None,
        n_subgrids=planned.n_subgrids,
        nbytes=planned.predicted_bytes,
        seconds=seconds,
        notes=("simulated: nothing was read and nothing was written",),
    )
