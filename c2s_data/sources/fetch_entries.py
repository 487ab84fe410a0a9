"""Fetch the maps, models and sequences of a search result, and write the catalog of what is there.

In the folder each entry has one of its own: ``EMD-22898/emd_22898.map.gz``, ``7kjr.cif.gz``,
``7kjr.fasta``, and half maps on request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from c2s_data.errors import C2SError
from c2s_data.sources.archive import (
    Mirror,
    ModelFormat,
    fasta_urls,
    half_map_urls,
    map_urls,
    model_urls,
)
from c2s_data.sources.download import DownloadError
from c2s_data.sources.fetch import Fetched, Fetcher, Wanted
from c2s_data.sources.fetched_bytes import Expected
from c2s_data.sources.politeness import Hosts, StoppedError

MAX_MAP_BYTES: Final = 16 * 2**30
MAX_MODEL_BYTES: Final = 2**30
MAX_FASTA_BYTES: Final = 16 * 2**20
_MMCIF: Final = re.compile(rb"(?:\s|#[^\n]*\n)*data_", re.IGNORECASE)
_PDB: Final = re.compile(rb"[A-Z0-9 ]{6}")
_FASTA: Final = re.compile(rb"\s*>")


@dataclass(frozen=True)
class Choices:
    """What to fetch of an entry."""

    model_format: ModelFormat = "mmcif"
    sequence: bool = True
    half_maps: bool = False


@dataclass
class Outcome:
    """What came of one entry: files by column, and (column, why) of what failed."""

    emdb_id: str
    row: dict[str, str]
    files: dict[str, Fetched] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_usable(self) -> bool:
        """Whether a store can be built from it."""
        return "map" in self.files and "model" in self.files


def fetch_entries(
    rows: Sequence[dict[str, str]],
    fetcher: Fetcher,
    mirrors: Sequence[Mirror],
    choices: Choices,
    *,
    jobs: int,
    complete: Callable[[dict[str, str]], dict[str, str]] = lambda row: row,
) -> Iterator[Outcome]:
    """Fetch entries in several threads and yield each as it ends.

    Parameters
    ----------
    rows
        As `read_found` returns them.
    fetcher
        Where to, and how.
    mirrors
        Where from.
    choices
        What.
    jobs
        Entries at a time.
    complete
        Called with a row before its files are fetched; returns it with more metadata.

    Raises
    ------
    StoppedError
        The disk is full.
    """

    def one(row: dict[str, str]) -> Outcome:
        return fetch_entry(row, fetcher, mirrors, choices, complete)

    with workers(fetcher.hosts, jobs) as pool:
        yield from finished(pool.submit(one, row) for row in rows)


@contextmanager
def workers(hosts: Hosts, jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Run threads that end soon, and leave what can be resumed, when anything interrupts."""
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="fetch")
    try:
        yield pool
    except BaseException:
        hosts.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def finished(futures: Iterable[Future[Outcome]]) -> Iterator[Outcome]:
    """Yield the results of futures as they end."""
    for future in as_completed(list(futures)):
        yield future.result()


def fetch_entry(
    row: dict[str, str],
    fetcher: Fetcher,
    mirrors: Sequence[Mirror],
    choices: Choices,
    complete: Callable[[dict[str, str]], dict[str, str]] = lambda row: row,
) -> Outcome:
    """Fetch the files of one entry; what fails is noted, and the others are fetched all the same.

    Raises
    ------
    StoppedError
        The user stopped, or the disk is full.
    """
    outcome = Outcome(row["emdb_id"], row)
    try:
        outcome.row = complete(row)
    except StoppedError:
        raise
    except C2SError as error:
        outcome.faults.append(("details", str(error)))
    pdb_id = outcome.row["pdb_id"]
    steps: dict[str, Callable[[], Fetched]] = {
        "map": lambda: fetcher.fetch(_map(outcome.emdb_id, mirrors)),
        "model": lambda: _fetch_model(outcome.emdb_id, pdb_id, fetcher, mirrors, choices),
    }
    if choices.sequence:
        steps["sequence"] = lambda: fetcher.fetch(
            _fasta(outcome.emdb_id, pdb_id, mirrors, fetcher.hosts)
        )
    if choices.half_maps:
        steps["half_map_1"] = lambda: fetcher.fetch(_half(outcome.emdb_id, mirrors, 1))
        steps["half_map_2"] = lambda: fetcher.fetch(_half(outcome.emdb_id, mirrors, 2))
    for column, step in steps.items():
        try:
            outcome.files[column] = step()
        except StoppedError:
            raise
        except (C2SError, OSError) as error:
            outcome.faults.append((column, str(error)))
    return outcome


def _map(emdb_id: str, mirrors: Sequence[Mirror]) -> Wanted:
    path = f"{emdb_id}/emd_{emdb_id[4:]}.map.gz"
    return _gzipped(path, map_urls(mirrors, emdb_id), MAX_MAP_BYTES)


def _half(emdb_id: str, mirrors: Sequence[Mirror], half: int) -> Wanted:
    path = f"{emdb_id}/emd_{emdb_id[4:]}_half_map_{half}.map.gz"
    urls = half_map_urls(mirrors, emdb_id, 1 if half == 1 else 2)
    return _gzipped(path, urls, MAX_MAP_BYTES)


def _fasta(emdb_id: str, pdb_id: str, mirrors: Sequence[Mirror], hosts: Hosts) -> Wanted:
    urls = fasta_urls(mirrors, pdb_id)
    expected = Expected(MAX_FASTA_BYTES, begins=_FASTA)
    wanted = Wanted(f"{emdb_id}/{pdb_id}.fasta", urls, expected, hosts.policy.api_pace_s)
    return _with_urls(wanted, "FASTA files")


def _fetch_model(
    emdb_id: str, pdb_id: str, fetcher: Fetcher, mirrors: Sequence[Mirror], choices: Choices
) -> Fetched:
    """Fetch the model in the wished format; in the other one only where all say it is missing."""
    wishes: tuple[ModelFormat, ModelFormat] = ("mmcif", "pdb")
    if choices.model_format == "pdb":
        wishes = ("pdb", "mmcif")
    first, second = (_model(emdb_id, pdb_id, mirrors, wish) for wish in wishes)
    try:
        return fetcher.fetch(first)
    except DownloadError as error:
        if not error.says_missing:
            raise
    return fetcher.fetch(second)


def _model(
    emdb_id: str, pdb_id: str, mirrors: Sequence[Mirror], model_format: ModelFormat
) -> Wanted:
    suffix, begins = (".cif.gz", _MMCIF) if model_format == "mmcif" else (".pdb.gz", _PDB)
    urls = model_urls(mirrors, pdb_id, model_format)
    return _gzipped(f"{emdb_id}/{pdb_id}{suffix}", urls, MAX_MODEL_BYTES, begins)


def _gzipped(
    path: str, urls: tuple[str, ...], max_bytes: int, begins: re.Pattern[bytes] | None = None
) -> Wanted:
    return _with_urls(Wanted(path, urls, Expected(max_bytes, True, begins)), "maps or models")


def _with_urls(wanted: Wanted, kind: str) -> Wanted:
    if not wanted.urls:
        raise DownloadError(
            f"{wanted.path}: none of the chosen mirrors has {kind}; name another one with --mirror",
            transient=False,
        )
    return wanted
