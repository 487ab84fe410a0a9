"""What `c2s-data fetch` does: a search result into a folder, or the files of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from c2s_data.cli.app import console, say
from c2s_data.errors import ConfigError
from c2s_data.sources import dataverse
from c2s_data.sources.archive import DATAVERSE, choose_mirrors
from c2s_data.sources.archive_entry import add_details, lacks_details, read_entry
from c2s_data.sources.download import ALLOWED_ORIGINS
from c2s_data.sources.fetch import Fetched, Fetcher
from c2s_data.sources.fetch_entries import Choices, Outcome, fetch_entries
from c2s_data.sources.fetch_tables import FAILED_NAME, read_found, replace_table, write_catalog
from c2s_data.sources.ledger import locked
from c2s_data.sources.politeness import FetchPolicy, Hosts
from c2s_data.sources.web_origin import origin_of_url


@dataclass(frozen=True)
class Run:
    """The options that both kinds of fetching have."""

    folder: Path
    jobs: int
    origins: tuple[str, ...]
    accept_changed: bool
    reread: bool

    def fetcher(self, hosts: Hosts, origins: Sequence[str]) -> Fetcher:
        """Return what fetches into the folder from these origins and the user's own."""
        return Fetcher(
            self.folder,
            hosts,
            (*origins, *self.origins),
            accept_changed=self.accept_changed,
            reread=self.reread,
        )


def fetch_found(
    run: Run, found: Path, what: tuple[str, bool, bool], mirror: Sequence[str], api: str | None
) -> bool:
    """Fetch a search result, write its catalog and say whether anything failed.

    Parameters
    ----------
    run
        Options.
    found
        The table.
    what
        Format of the models, sequences or not, half maps or not.
    mirror
        Names or addresses; all public ones if empty.
    api
        Where entries' documents are looked up; None to leave that out.
    """
    model_format, sequence, half_maps = what
    if model_format not in ("mmcif", "pdb"):
        raise ConfigError(f"--model-format {model_format!a}: choose mmcif or pdb")
    choices = Choices("mmcif" if model_format == "mmcif" else "pdb", sequence, half_maps)
    rows, mirrors = read_found(found), choose_mirrors(mirror)
    own = [origin_of_url(text) for text in mirror if "://" in text]
    hosts = Hosts(FetchPolicy.from_environment())
    run.folder.mkdir(parents=True, exist_ok=True)
    outcomes: dict[str, Outcome] = {}
    with locked(run.folder):
        fetcher = run.fetcher(hosts, (*ALLOWED_ORIGINS, *own))
        complete = _completer(hosts, api)
        try:
            for outcome in fetch_entries(
                rows, fetcher, mirrors, choices, jobs=run.jobs, complete=complete
            ):
                outcomes[outcome.emdb_id] = outcome
                say(f"[{len(outcomes)}/{len(rows)}] {_entry_line(outcome)}")
                for column, why in outcome.faults:
                    _alarm(f"  {outcome.emdb_id} {column}: {why}")
        finally:
            hosts.stop()
        catalog = write_catalog(run.folder, [outcomes[row["emdb_id"]] for row in rows])
    usable = sum(outcome.is_usable for outcome in outcomes.values())
    failed = sum(bool(outcome.faults) for outcome in outcomes.values())
    say(f"{usable} of {len(rows)} entries can be built: {catalog}")
    if failed:
        _alarm(f"{failed} entries are not complete: {run.folder / FAILED_NAME}")
    return failed > 0


def fetch_dataset(run: Run, name: str, pattern: str | None, server: str) -> bool:
    """Fetch the files of a dataset and say whether anything failed."""
    doi = dataverse.check_doi(name)
    hosts = Hosts(FetchPolicy.from_environment())
    storage = dataverse.STORAGE_ORIGINS if server.rstrip("/") == DATAVERSE else ()
    origins = (origin_of_url(server), *storage)
    listing = dataverse.list_files(
        doi, hosts, server=server, origins=(*origins, *run.origins), pattern=pattern
    )
    total = sum(file.nbytes or 0 for file in listing.files)
    say(f"doi:{doi}: {len(listing.files):,} files, {_size(total)}")
    if not listing.files and not listing.faults:
        raise ConfigError(f"doi:{doi}: no file matches {pattern or '*'}; look at its web page")
    run.folder.mkdir(parents=True, exist_ok=True)
    faults = list(listing.faults)
    with locked(run.folder):
        dataverse.require_space(run.folder, listing.files)
        fetcher = run.fetcher(hosts, origins)
        try:
            done = dataverse.fetch_files(listing.files, fetcher, server=server, jobs=run.jobs)
            for number, (file, result) in enumerate(done, 1):
                if isinstance(result, str):
                    faults.append((file.path, result))
                else:
                    say(f"[{number}/{len(listing.files)}] {file.path}: {_told(result)}")
        finally:
            hosts.stop()
        replace_table(run.folder / FAILED_NAME, ("file", "reason"), faults)
    for path, why in faults:
        _alarm(f"  {path}: {why}")
    if faults:
        _alarm(f"{len(faults)} files are not there: {run.folder / FAILED_NAME}")
    return bool(faults)


def _completer(hosts: Hosts, api: str | None) -> Callable[[dict[str, str]], dict[str, str]]:
    def complete(row: dict[str, str]) -> dict[str, str]:
        if api is None or not lacks_details(row):
            return row
        return add_details(row, read_entry(row["emdb_id"], hosts, api=api))

    return complete


def _entry_line(outcome: Outcome) -> str:
    names = ", ".join(f"{column} {_told(file)}" for column, file in outcome.files.items())
    return f"{outcome.emdb_id}: {names or 'nothing'}"


def _told(file: Fetched) -> str:
    return _size(file.record.nbytes) + (" (was there)" if file.was_there else "")


def _size(nbytes: int) -> str:
    if nbytes >= 10**9:
        return f"{nbytes / 1e9:,.2f} GB"
    return f"{nbytes / 1e6:,.2f} MB"


def _alarm(text: str) -> None:
    console().print(text, style="red", markup=False, highlight=False)
