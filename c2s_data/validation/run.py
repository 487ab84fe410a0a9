"""Validate a store: every check on every entry, one map at a time."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from c2s_data.build import failure_of
from c2s_data.errors import ClusterError, ConfigError, StoreError
from c2s_data.plan import PlannedEntry
from c2s_data.schema import masks_of
from c2s_data.store.begin import load_plan
from c2s_data.store.generation import read_committed, read_generation
from c2s_data.store.layout import generation_key
from c2s_data.store.manifest import decode_manifest
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import Store, open_store
from c2s_data.store.spread import Spread
from c2s_data.validation.checks import CHECKS, Finding
from c2s_data.validation.duplicates import duplicates
from c2s_data.validation.grid import grid
from c2s_data.validation.label_atoms import label_atoms
from c2s_data.validation.labeling import labels
from c2s_data.validation.mrc_files import FILE_NAMES, MrcFiles
from c2s_data.validation.normalization import density
from c2s_data.validation.placement import handedness, origin_convention
from c2s_data.validation.report import Report
from c2s_data.validation.round_trip import round_trip
from c2s_data.validation.sparse_mask import SparseMask, sparse
from c2s_data.validation.subgrids import Windows, index_columns, windows_finding, wrong_rows
from c2s_data.validation.subject import Subject

OnEntry = Callable[[int, int], None]


@dataclass(frozen=True)
class _Opened:
    """A store with what is read once for all its entries."""

    store: Store
    index: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
    planned: dict[str, PlannedEntry]

    def subject(self, entry_id: str) -> Subject:
        entry = self.store.entry(entry_id)
        return Subject(self.store, entry, self.planned.get(entry.group))


def validate_store(
    url: str,
    entry_ids: Sequence[str] | None = None,
    *,
    generation: int | None = None,
    exported: Path | None = None,
    jobs: int = 1,
    spread: Spread | None = None,
    on_entry: OnEntry = lambda done, total: None,
) -> Report:
    """Run every check on a committed store.

    Parameters
    ----------
    url
        Path or URL of the store.
    entry_ids
        Entries to check; None for all. Duplicates are looked for among all entries even then.
    generation
        Number of the generation; None for the newest.
    exported
        Top of an exported folder whose MRC files are checked in place; None to write each file as
        export would and check that.
    jobs
        Processes; each holds one map.
    spread
        Checks entries on workers, which see the store and `exported` under the same names; None
        for this machine.
    on_entry
        Called with the numbers of finished and of all entries.

    Returns
    -------
    Report
        The findings, in the order of the entries.

    Raises
    ------
    StoreError
        If the store cannot be opened or has no such entry.
    ConfigError
        If `exported` is no folder.
    """
    started = time.perf_counter()
    if exported is not None and not exported.is_dir():
        raise ConfigError(f"{exported} is no folder; name the top of an exported one")
    store = open_store(url, generation)
    known = [entry.entry_id for entry in store.entries]
    chosen = known if entry_ids is None else [store.entry(name).entry_id for name in entry_ids]
    findings = {name: [] for name in chosen}  # type: dict[str, list[Finding]]
    for finding in duplicates(store, _map_sha256(store)):
        if finding.entry_id in findings:
            findings[finding.entry_id].append(finding)
    for done, (name, found) in enumerate(_all_entries(store, chosen, exported, jobs, spread), 1):
        findings[name] += found
        on_entry(done, len(chosen))
    return Report(
        url=store.url,
        generation=store.generation,
        fingerprint=store.fingerprint,
        preset=store.attrs["preset"],
        failures={**store.failures},
        findings=tuple(finding for name in chosen for finding in findings[name]),
        seconds=time.perf_counter() - started,
    )


def validate_entry(url: str, generation: int, entry_id: str, exported: str | None) -> list[Finding]:
    """Run every check but P1 on one entry; what cannot be read or goes wrong becomes finding S1.

    Peak memory is the density as stored and as float32, or one mask with what mrcfile needs to
    validate it: 12 bytes a voxel.
    """
    opened = _opened(url, generation)
    subject = opened.subject(entry_id)
    found: list[Finding] = []
    try:
        for finding in _checks(subject, opened, None if exported is None else Path(exported)):
            found.append(finding)  # noqa: PERF402 - what was found before an error counts
    except Exception as error:  # noqa: BLE001 - one entry must never stop the others
        told = failure_of(error)
        found.append(subject.found("S1", "fail", f"{entry_id}: {told.message}", 1.0))
        seen = {finding.number for finding in found} | {"P1"}
        why = f"{entry_id}: not checked, because of what S1 says"
        return found + [subject.found(n, "skip", why) for n in CHECKS if n not in seen]
    return [subject.found("S1", "pass", f"{entry_id}: all that the checks need"), *found]


def _checks(subject: Subject, opened: _Opened, exported: Path | None) -> Iterator[Finding]:
    store, entry_id = subject.store, subject.entry_id
    wrong: dict[str, list[int]] = {}
    with MrcFiles(subject, exported) as files:
        masks: dict[str, SparseMask] = {}
        for name in ("ca", *(n for n in masks_of(subject.config.extra_masks) if n != "ca")):
            mask_zyx = store.read_map(entry_id, name)
            masks[name] = sparse(mask_zyx)
            if name == "ca":
                windows = Windows(subject, masks[name])
            wrong[name] = wrong_rows(subject, name, mask_zyx, windows.corner_zyx)
            if name in FILE_NAMES:
                files.check(name, mask_zyx)
            del mask_zyx
        stored_zyx = store.read_map(entry_id, "density")
        wrong["density"] = wrong_rows(subject, "density", stored_zyx, windows.corner_zyx)
        values_zyx = stored_zyx.astype(np.float32, copy=False)
        del stored_zyx
        yield from grid(subject)
        yield from density(subject, values_zyx, masks["ca"].index_zyx)
        files.check("density", values_zyx)
        placement = [origin_convention(subject, values_zyx), handedness(subject)]
        del values_zyx
        atoms = label_atoms(subject)
        yield from round_trip(subject, atoms, masks["ca"])
        yield from labels(subject, atoms, masks)
        yield windows_finding(subject, wrong, subject.entry.n_subgrids)
        yield index_columns(subject, windows, opened.index)
        yield from placement
        yield from files.findings()


def _all_entries(
    store: Store,
    chosen: Sequence[str],
    exported: Path | None,
    jobs: int,
    spread: Spread | None,
) -> Iterator[tuple[str, list[Finding]]]:
    folder = None if exported is None else str(exported)
    if spread is not None:
        check = partial(_validate_by_name, store.url, store.generation, folder)
        for name, found in spread(check, chosen):
            if isinstance(found, Exception):
                raise ClusterError(
                    f"{name}: no worker could check it ({type(found).__name__}: {found}); check it "
                    "alone with --entries, or give workers more memory"
                ) from found
            yield name, found
        return
    if min(jobs, len(chosen)) <= 1:
        for name in chosen:
            yield name, validate_entry(store.url, store.generation, name, folder)
        return
    # Started anew, not forked: a fork may inherit locks of libraries that use threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(chosen)), mp_context=context) as pool:
        waiting = {
            pool.submit(validate_entry, store.url, store.generation, name, folder): name
            for name in chosen
        }
        for future in as_completed(waiting):
            yield waiting[future], future.result()


def _validate_by_name(
    url: str, generation: int, exported: str | None, entry_id: str
) -> list[Finding]:
    return validate_entry(url, generation, entry_id, exported)


@lru_cache(maxsize=1)
def _opened(url: str, generation: int) -> _Opened:
    store = open_store(url, generation)
    try:
        plan = load_plan(open_objects(url))
        planned = {entry.group: entry for entry in plan.entries}
    except StoreError:
        planned = {}  # A copied generation has no plan; then inputs are not at hand.
    return _Opened(store, store.index(), planned)


def _map_sha256(store: Store) -> dict[str, str]:
    objects = open_objects(store.url)
    generation = read_generation(objects, store.generation, store.fingerprint)
    key = generation_key(store.generation, "manifest.parquet")
    manifest = decode_manifest(read_committed(objects, generation, "manifest.parquet"), key)
    return {
        group: file.sha256
        for group, files in manifest.inputs.items()
        for file in files
        if file.role == "map"
    }
