"""Fetch the files of a dataset of a Dataverse installation: the published Cryo2StructData.

The native API lists a dataset's files with size and checksum; each is then fetched by its number,
and its checksum enforced. Names and folders come from the server, so they are checked part by part
before they become a path. A file that Dataverse has made a table of is asked for as it was
uploaded: that is what its checksum belongs to. The live service could not be tried from where this
was written.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote, urlencode

from c2s_data.errors import C2SError, CatalogError, ConfigError
from c2s_data.sources.archive import plain_base
from c2s_data.sources.bounded_json import inner, listed, parse_json
from c2s_data.sources.download import DownloadError, open_url
from c2s_data.sources.fetch import Fetched, Fetcher, Wanted
from c2s_data.sources.fetch_entries import workers
from c2s_data.sources.fetched_bytes import ContentError, Expected, published_digest
from c2s_data.sources.ledger import LEDGER_NAME
from c2s_data.sources.politeness import Hosts, StoppedError

STORAGE_ORIGINS: Final = ("https://dvn-cloud.s3.amazonaws.com",)
"""Where Harvard's installation keeps its files; it answers with a redirect to there."""
DATASETS: Final = {
    "full": "10.7910/DVN/FCDG0W",
    "small": "10.7910/DVN/CGUENL",
    "test": "10.7910/DVN/2GSSC9",
    "full-models": "10.7910/DVN/SXNYRE",
    "small-models": "10.7910/DVN/DTV4JF",
}
"""Short names of the published data, and of the trained models with their splits."""
PAGE_FILES: Final = 1000
MAX_PAGE_BYTES: Final = 64 * 2**20
MAX_FILE_BYTES: Final = 2**42
_MAX_PAGES: Final = 1000
_MAX_FOLDERS: Final = 16
_DOI: Final = re.compile(r"10\.\d{4,9}/[A-Za-z0-9._()/-]{1,100}", re.ASCII)
_FORBIDDEN: Final = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\/]')
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class RemoteFile:
    """A file of a dataset: checked path, size in bytes (None if not told), digest, address."""

    path: str
    nbytes: int | None
    digest: str
    query: str
    number: int


@dataclass
class Listing:
    """The files of a dataset, and (name, why) of those that cannot be fetched."""

    files: list[RemoteFile] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)


def check_doi(text: str) -> str:
    """Return a DOI without prefix; short names of `DATASETS` are taken too.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if text in DATASETS:
        return DATASETS[text]
    for prefix in ("https://doi.org/", "doi:"):
        text = text.removeprefix(prefix)
    if not _DOI.fullmatch(text):
        raise ConfigError(
            f"--dataverse {text[:80]!a}: give a DOI such as {DATASETS['full']}, or one of "
            f"{', '.join(DATASETS)}"
        )
    return text


def check_path(folder: str, name: str) -> str:
    """Return the relative path that a folder and a name of a server stand for.

    Raises
    ------
    CatalogError
        A part that is no plain name everywhere: empty, hidden, with a slash or another character
        that some system reads differently, a device, or a name that this program uses itself.
    """
    parts = [*folder.split("/"), name] if folder else [name]
    for part in parts:
        if (
            not part
            or not part.isprintable()
            or part.startswith((".", " ", "~", "-"))
            or part.endswith((".", " "))
            or len(part.encode("utf-8", "replace")) > 240
            or _FORBIDDEN.search(part)
            or _DEVICE.fullmatch(part)
        ):
            raise CatalogError(f"{ascii(part)[:80]} is no name that can be stored safely")
    if len(parts) > _MAX_FOLDERS:
        raise CatalogError(f"{len(parts)} folders deep is more than {_MAX_FOLDERS}")
    if parts == [LEDGER_NAME] or name.endswith((".part", ".part.json", ".part.json.new")):
        raise CatalogError(f"{ascii(name)[:80]} is a name that this program uses itself")
    return "/".join(parts)


def list_files(
    doi: str, hosts: Hosts, *, server: str, origins: Sequence[str], pattern: str | None = None
) -> Listing:
    """Return the files of the newest published version of a dataset.

    Parameters
    ----------
    doi
        As `check_doi` returns it.
    hosts
        Pace and retries.
    server
        Base address of the installation.
    origins
        Allowed origins.
    pattern
        Only files whose path, or whose name if it has no slash, matches (``*``, ``?``, ``[]``).

    Raises
    ------
    DownloadError, DocumentError
        The list cannot be had.
    """
    listing, seen = Listing(), set[str]()
    for page in range(_MAX_PAGES):
        items = _page(doi, hosts, server, origins, page)
        fresh = [item for item in items if str(_number(item)) not in seen]
        for item in fresh:
            seen.add(str(_number(item)))
            _add(listing, item, pattern)
        if len(items) < PAGE_FILES or not fresh:
            _refuse_twins(listing)
            return listing
    raise DownloadError(f"{server}: {doi} has more than {_MAX_PAGES * PAGE_FILES:,} files")


def fetch_files(
    files: Sequence[RemoteFile], fetcher: Fetcher, *, server: str, jobs: int
) -> Iterator[tuple[RemoteFile, Fetched | str]]:
    """Fetch files in several threads; yield each as it ends, with the reason where it failed.

    Raises
    ------
    StoppedError
        The disk is full.
    """

    def one(file: RemoteFile) -> tuple[RemoteFile, Fetched | str]:
        try:
            return file, fetcher.fetch(_wanted(file, server))
        except StoppedError:
            raise
        except (C2SError, OSError) as error:
            return file, str(error)

    with workers(fetcher.hosts, jobs) as pool:
        for future in as_completed([pool.submit(one, file) for file in files]):
            yield future.result()


def require_space(folder: Path, files: Sequence[RemoteFile]) -> None:
    """Refuse to begin where the files that are not there yet will not fit.

    Raises
    ------
    DownloadError
        The disk has less room.
    """
    needed = sum(file.nbytes or 0 for file in files if not (folder / file.path).exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"{folder}: the files need {needed / 1e9:,.2f} GB, but only {free / 1e9:,.2f} GB are "
            "free; choose another place, or fewer files with --files"
        )


def _wanted(file: RemoteFile, server: str) -> Wanted:
    url = f"{plain_base(server)}/api/access/datafile/{file.number}{file.query}"
    most = MAX_FILE_BYTES if file.nbytes is None else file.nbytes
    return Wanted(file.path, (url,), Expected(most, nbytes=file.nbytes, digest=file.digest))


def _page(doi: str, hosts: Hosts, server: str, origins: Sequence[str], page: int) -> list[object]:
    options = {"limit": PAGE_FILES, "offset": page * PAGE_FILES}
    address = (
        f"{plain_base(server)}/api/datasets/:persistentId/versions/:latest-published/files"
        f"?persistentId=doi:{quote(doi, safe='/')}&{urlencode(options)}"
    )

    def attempt() -> bytes:
        with open_url(
            address,
            max_bytes=MAX_PAGE_BYTES,
            allowed_origins=origins,
            timeout_s=10 * hosts.policy.timeout_s,  # lists of many files take it minutes
            deadline_s=hosts.policy.deadline_s,
        ) as body:
            return body.readall()

    data = hosts.ask(address, attempt, pace_s=hosts.policy.api_pace_s)
    document = parse_json(data, max_bytes=MAX_PAGE_BYTES, name=f"the list of files of {doi}")
    if inner(document, "status") != "OK" or not isinstance(inner(document, "data"), list):
        raise DownloadError(f"{server}: no list of the files of {doi}", transient=False)
    return listed(document, "data")


def _number(item: object) -> object:
    return inner(item, "dataFile", "id")


def _add(listing: Listing, item: object, pattern: str | None) -> None:
    name = inner(item, "label") or inner(item, "dataFile", "filename")
    is_table = bool(inner(item, "dataFile", "originalFileFormat"))
    if is_table and inner(item, "dataFile", "originalFileName"):
        name = inner(item, "dataFile", "originalFileName")
    try:
        path = check_path(str(inner(item, "directoryLabel") or ""), str(name or ""))
    except CatalogError as error:
        listing.faults.append((ascii(str(name))[1:-1][:200], str(error)))
        return
    if pattern is not None:
        target = path if "/" in pattern else PurePosixPath(path).name
        if not fnmatch.fnmatchcase(target, pattern):
            return
    try:
        listing.files.append(_remote(item, path, is_table))
    except (CatalogError, ContentError) as error:
        listing.faults.append((path, str(error)))


def _remote(item: object, path: str, is_table: bool) -> RemoteFile:
    if inner(item, "restricted") is True:
        raise CatalogError("access to it is restricted; ask its owners")
    number = _number(item)
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise CatalogError("the list gives no number for it")
    nbytes = inner(item, "dataFile", "originalFileSize" if is_table else "filesize")
    if nbytes is not None and not (isinstance(nbytes, int) and 0 <= nbytes <= MAX_FILE_BYTES):
        raise CatalogError("the list gives no usable size for it")
    digest = published_digest(
        str(inner(item, "dataFile", "checksum", "type") or "md5"),
        str(inner(item, "dataFile", "checksum", "value") or inner(item, "dataFile", "md5")),
    )
    return RemoteFile(path, nbytes, digest, "?format=original" if is_table else "", number)


def _refuse_twins(listing: Listing) -> None:
    """Move to the faults what a file system may take for another file of the list."""
    kept: dict[str, RemoteFile] = {}
    for file in listing.files:
        other = kept.setdefault(file.path.casefold(), file)
        if other is not file:
            listing.faults.append((file.path, f"the list has {other.path} as well"))
    listing.files = list(kept.values())
