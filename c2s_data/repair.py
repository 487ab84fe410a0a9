"""Repair a committed store: compute anew just what `verify` found, from the recorded inputs.

Nothing is believed because it was computed here: an object is replaced only by bytes whose sha256
is the committed one, so that a repaired store is byte for byte what it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from c2s_data.errors import StoreError
from c2s_data.plan import Failure, Plan, plan_of
from c2s_data.plan_document import plan_document
from c2s_data.rebuild import OTHER_BYTES, DamagedEntry, rebuild_entry, rebuild_in
from c2s_data.store.commit import commit, shared_objects
from c2s_data.store.embeddings import EMBEDDINGS
from c2s_data.store.generation import plan_copy, swap_latest
from c2s_data.store.layout import (
    LATEST,
    LEASES,
    LINEAGE,
    PLAN,
    Layout,
    failure_key,
    generation_key,
    receipt_key,
)
from c2s_data.store.lease import hold
from c2s_data.store.objects import Objects
from c2s_data.store.overlay import Overlay
from c2s_data.store.ownership import Ownership
from c2s_data.store.receipt import InputFile, WrittenObject, put_checked, write_failure
from c2s_data.store.sealed import seal
from c2s_data.store.spread import Spread, in_order, one_after_another
from c2s_data.store.verify import Fault, Report, verify
from c2s_data.store.verify_documents import read_documents
from c2s_data.store.verify_known import Known, generation_of, manifest_rows, refuse_uncommitted
from c2s_data.store.verify_shared import NextGeneration

OnStep = Callable[[str], None]
_PLAN_LOST = (
    "no intact copy of it belongs to the newest generation; restore it from a copy of your own. "
    "Readers need it not; build, commit and the repair of entries do"
)
_SHARDS = "subgrids/density/c/"
_NOT_COMMITTED = "the entry is not committed: `c2s-data build` builds it again"
_NO_FAILURE = "no reader needs it: `c2s-data gc` removes it, or the next build replaces it"
_ALSO_LOST = (
    "the document COMMITTED of generation {} is damaged too, and to point at an older one would "
    "take a generation back; restore either from a copy"
)
_EMBEDDINGS_LOST = (
    "no other generation has this table; restore it from a copy, or compute it again with "
    "`c2s-model embed`, which makes a new generation, and give the damaged one up with "
    "`c2s-data gc --keep`"
)
_OLDER = (
    "what an older generation said cannot be computed; restore it from a copy, or give the "
    "generation up with `c2s-data gc --keep`"
)


@dataclass(frozen=True)
class Repairs:
    """What a repair did: objects restored, objects left as they are with the reason, what remains.

    ``after`` is a quick `verify` of the whole store; what was restored was also read back.
    """

    restored: tuple[str, ...]
    refused: Mapping[str, str]
    after: Report


def repair(
    objects: Objects,
    report: Report | None = None,
    on_step: OnStep = lambda what: None,
    spread: Spread | None = None,
) -> Repairs:
    """Restore what is damaged or gone.

    Parameters
    ----------
    objects
        The store.
    report
        From `verify`; None to run it now, at its default level.
    on_step
        Called with a line before each longer step.
    spread
        Verifies, and builds entries anew, on workers; None for this process.

    Raises
    ------
    LeaseError
        If another process builds or commits in the store.
    NotCommittedError
        If no generation was ever committed.
    StoreError
        If the store cannot be read or written, or holds a symbolic link.
    """
    refuse_uncommitted(objects)  # To take its lease would write into what is no store.
    with hold(objects, "repair") as lease:
        if report is None:
            on_step("verifying")
            report = verify(objects, spread=spread)
        work = _Repair(objects, report, on_step, lease.check, spread)
        work.all()
        after = verify(objects, "quick")
    return Repairs(tuple(dict.fromkeys(work.restored)), work.refused, after)


class _Repair:
    def __init__(
        self,
        objects: Objects,
        report: Report,
        on_step: OnStep,
        guard: Callable[[], None],
        spread: Spread | None,
    ) -> None:
        self.restored: list[str] = []
        self.refused: dict[str, str] = {}
        self._objects = objects
        self._on_step = on_step
        self._guard = guard
        self._spread = spread
        self._faults = {fault.key: fault for fault in report.faults}
        self._listing = dict(objects.walk())

    def all(self) -> None:
        """Documents first, because the rest is computed from them."""
        steps = (self._plan, self._pointers, self._entries, self._failures, self._embeddings)
        for step in (*steps, self._generation, self._shared, self._plan_copies):
            # Each step sees what the one before has restored.
            step(read_documents(self._objects, self._listing))
        for key, fault in self._faults.items():
            if key not in self.restored:
                self.refused.setdefault(key, self._why_not(fault))

    def _take(self, *keys: str) -> list[str]:
        return [key for key in keys if key in self._faults and key not in self.restored]

    def _restore(self, key: str, data: bytes, sha256: str | None) -> bool:
        """Write an object if it has the committed sha256; None for one that vouches for itself."""
        if sha256 not in (None, hashlib.sha256(data).hexdigest()):
            self.refused[key] = OTHER_BYTES
            return False
        self._guard()
        put_checked(self._objects, key, data)
        self._objects.flush([key])
        self._listing[key] = len(data)
        self.restored.append(key)
        self.refused.pop(key, None)
        return True

    def _plan(self, known: Known) -> None:
        """Put back the plan of the newest generation; what was added since is planned again."""
        newest = known.kept[0] if known.kept else None
        if not self._take(PLAN) or newest is None or newest.plan is None:
            return
        if newest.generation.number < max(known.lost, default=0):
            return  # It would forget what a generation holds that is only damaged.
        copy = newest.plan
        # Rows that a lost plan may have given to others are never given again.
        rows = Layout.of(copy.config).shard_rows
        shards = (key.split("/")[3] for key in self._listing if key.startswith(_SHARDS))
        used = max((rows * (int(shard) + 1) for shard in shards if shard.isdecimal()), default=0)
        plan = plan_of(copy.config, copy.entries, max(copy.n_rows, used), copy.lineage)
        self._restore(PLAN, seal(plan_document(plan)), None)

    def _plan_copies(self, known: Known) -> None:
        for one in known.kept if known.plan else ():
            key = generation_key(one.generation.number, "plan.json")
            assert known.plan is not None
            if self._take(key) and known.plan.fingerprint == one.generation.fingerprint:
                self._restore(key, plan_copy(known.plan, one.generation.number), None)

    def _pointers(self, known: Known) -> None:
        newest = known.kept[0].generation if known.kept else None
        lost = max(known.lost, default=0)
        if self._take(LATEST) and newest is not None and newest.number < lost:
            self.refused[LATEST] = _ALSO_LOST.format(lost)
        elif self._take(LATEST) and newest is not None:
            self._guard()
            committed = self._objects.get(generation_key(newest.number, "COMMITTED"))
            swap_latest(self._objects, newest.number, committed)
            self.restored.append(LATEST)
        lineage = known.plan.lineage if known.plan else newest.lineage if newest else None
        if self._take(LINEAGE) and lineage is not None:
            self._restore(LINEAGE, seal({"lineage": lineage}), None)
        for key in list(self._faults):
            # A lease that cannot be read is nobody's; the one of this repair is another.
            if key.startswith(f"{LEASES}/") and self._faults[key].kind != "unexpected":
                self._objects.delete(key)
                self.restored.append(key)

    def _entries(self, known: Known) -> None:
        """Build entries anew of which objects are damaged; nothing else of them is touched."""
        plan = known.plan
        if plan is None:
            return
        inputs = _inputs(known)
        works = self._told(self._damaged(plan, _expected(known), inputs))
        again = partial(rebuild_entry, self._objects.url, plan.config)
        if self._spread is None:
            again = partial(rebuild_in, self._objects, plan.config, self._guard)
        for work, done in in_order(self._spread or one_after_another, again, works):
            if isinstance(done, StoreError):
                raise done
            if isinstance(done, Exception):
                self.refused |= dict.fromkeys(work.keys, f"building it anew failed: {done}")
                continue
            self._guard()
            self._listing |= done.restored
            self.restored += done.restored
            self.refused |= done.refused

    def _told(self, works: Iterable[DamagedEntry]) -> Iterator[DamagedEntry]:
        for work in works:
            self._guard()
            self._on_step(f"{work.planned.group}: building anew for {len(work.keys)} objects")
            yield work

    def _damaged(
        self,
        plan: Plan,
        expected: Mapping[str, WrittenObject],
        inputs: Mapping[str, tuple[InputFile, ...]],
    ) -> Iterator[DamagedEntry]:
        owners = Ownership(plan)
        groups: dict[int, list[str]] = {}
        for key, fault in self._faults.items():
            owner = owners.of(key)
            is_receipt = owner is not None and key == receipt_key(owner.group)
            wanted = key in expected or (is_receipt and owner and owner.group in inputs)
            if owner is not None and wanted and fault.kind not in ("unexpected", "inconsistent"):
                groups.setdefault(owner.map_index, []).append(key)
        of_group: dict[str, dict[str, WrittenObject]] = {}
        for key, item in expected.items():
            owner = owners.of(key)
            if owner is not None and owner.map_index in groups:
                of_group.setdefault(owner.group, {})[key] = item
        for index, keys in sorted(groups.items()):
            planned = plan.entries[index]
            group = planned.group
            yield DamagedEntry(planned, tuple(keys), of_group.get(group, {}), inputs.get(group))

    def _failures(self, known: Known) -> None:
        rows = (known.kept[0].rows or ()) if known.kept else ()
        by_index = {row["map_index"]: row for row in rows}
        for planned in known.plan.live if known.plan else ():
            row = by_index.get(planned.map_index)
            if self._take(failure_key(planned.group)) and row and row["failure_stage"]:
                why = (row[f"failure_{name}"] for name in ("stage", "reason", "message"))
                write_failure(self._objects, planned, Failure(*why))
                self.restored.append(failure_key(planned.group))
                self._listing[failure_key(planned.group)] = 0

    def _shared(self, known: Known) -> None:
        """Write index columns and Zarr documents anew: as committed or, in growth, as they will be.

        A commit that was killed may have written what is damaged now for the next generation.
        """
        plan, newest = known.plan, known.kept[0] if known.kept else None
        if plan is None or newest is None or newest.manifest is None:
            return
        owners = Ownership(plan)
        committed = {i.key: i.sha256 for i in newest.manifest.objects if owners.of(i.key) is None}
        damaged = self._take(*committed)
        following = NextGeneration(known)
        for candidate in reversed(list(_plans(known)) if damaged else []):
            groups = known.receipts if candidate is plan else newest.manifest.inputs
            done = [e.entry_id for e in candidate.buildable if e.group in groups]
            made = shared_objects(candidate, known.receipts, done)
            for key in self._take(*damaged):
                data = made.get(key, b"")
                if hashlib.sha256(data).hexdigest() == committed[key]:
                    self._restore(key, data, committed[key])
                elif candidate is plan and following.may_hold(key, data):
                    self._restore(key, data, None)
        self.refused |= dict.fromkeys(self._take(*damaged), OTHER_BYTES)

    def _embeddings(self, known: Known) -> None:
        """Copy a table back from another generation that was committed with the same one."""
        of_sha256 = {
            one.generation.sha256.get(EMBEDDINGS): generation_key(one.generation.number, EMBEDDINGS)
            for one in known.kept
            if generation_key(one.generation.number, EMBEDDINGS) not in self._faults
        }
        for one in known.kept:
            key = generation_key(one.generation.number, EMBEDDINGS)
            sha256 = one.generation.sha256.get(EMBEDDINGS)
            if self._take(key) and sha256 in of_sha256:
                self._restore(key, self._objects.get(of_sha256[sha256]), sha256)
            elif self._take(key):
                self.refused[key] = _EMBEDDINGS_LOST

    def _generation(self, known: Known) -> None:
        """Commit again in memory and take what was committed: catalog, manifest, COMMITTED."""
        names = ("COMMITTED", "catalog.parquet", "manifest.parquet")
        damaged = [key for key in self._take(*self._faults) if generation_of(key) is not None]
        if not damaged or known.plan is None:
            return
        number = max(n for key in damaged if (n := generation_of(key)))
        keys = [generation_key(number, name) for name in names]
        known_sha256 = self._checksums(known, number)
        older = [one for one in known.kept if one.generation.number < number]
        key = generation_key(number, EMBEDDINGS)
        table = self._objects.get(key) if key in self._listing else None
        keys += [key] if table is not None else []
        for candidate in _plans(known):
            overlay = Overlay(self._objects, hidden=[LATEST, *keys])
            if older:
                previous = older[0].generation.number
                swap_latest(
                    overlay, previous, self._objects.get(generation_key(previous, "COMMITTED"))
                )
            try:
                commit(overlay, candidate, embeddings=table)
            except StoreError:
                continue  # Something is not built yet, or is damaged beyond this repair.
            made = {key: overlay.written.get(key, b"") for key in keys}
            found = {key: hashlib.sha256(data).hexdigest() for key, data in made.items()}
            if known_sha256 and known_sha256.items() <= found.items():
                # While COMMITTED was damaged, nothing said what the other two should be.
                for key in keys:
                    if key not in self._listing or not self._objects.holds(key, made[key]):
                        self._restore(key, made[key], found[key])
                return

    def _checksums(self, known: Known, number: int) -> dict[str, str]:
        """Return what vouches for the documents of a generation: the pointer, or COMMITTED."""
        for one in known.kept:
            if one.generation.number == number:
                sha256 = one.generation.sha256
                return {generation_key(number, name): value for name, value in sha256.items()}
            previous = one.generation.previous
            if previous and previous[0] == number:
                return {generation_key(number, "COMMITTED"): previous[1]}
        pointer = known.pointer
        if pointer and pointer[0] == number:
            return {generation_key(number, "COMMITTED"): pointer[1]}
        return {}

    def _why_not(self, fault: Fault) -> str:
        reasons = (
            (fault.kind == "unexpected", "not part of the store: `c2s-data gc` removes it"),
            (fault.key == PLAN, _PLAN_LOST),
            (generation_of(fault.key) is not None, _OLDER),
            (PLAN in self._faults, "cannot be computed while the plan is damaged"),
            (fault.key.startswith("_c2s/receipts/"), _NOT_COMMITTED),
            (fault.key.startswith("_c2s/failures/"), _NO_FAILURE),
        )
        otherwise = f"{fault.message}; withdraw the entry and build it with --rebuild"
        return next((why for applies, why in reasons if applies), otherwise)


def _expected(known: Known) -> dict[str, WrittenObject]:
    expected: dict[str, WrittenObject] = {}
    for _, item in manifest_rows(known.kept):
        expected.setdefault(item.key, item)
    for receipt in known.receipts.values():
        for item in receipt.objects:
            expected.setdefault(item.key, item)
    return expected


def _inputs(known: Known) -> dict[str, tuple[InputFile, ...]]:
    inputs = {receipt.group: receipt.inputs for receipt in known.receipts.values()}
    for one in reversed(known.kept):
        inputs |= one.manifest.inputs if one.manifest else {}
    return inputs


def _plans(known: Known) -> Iterator[Plan]:
    """Yield the plan in force, and what it was when the newest generation was committed."""
    plan = known.plan
    assert plan is not None
    yield plan
    for one in known.kept[:1]:
        rows = one.rows
        if rows is None:
            continue
        withdrawn = {row["map_index"] for row in rows if row["failure_stage"] == "withdrawn"}
        entries = [
            entry if entry.map_index in withdrawn else replace(entry, withdrawn=None)
            for entry in plan.entries[: len(rows)]
        ]
        n_rows = one.generation.n_rows
        then = plan_of(plan.config, entries, n_rows, plan.lineage)
        # An entry that was not built then may have been given other rows since.
        if then != plan and all(e.first_subgrid + e.n_subgrids <= n_rows for e in entries):
            yield then
