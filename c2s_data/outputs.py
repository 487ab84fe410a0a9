"""Where commands write: on this machine's disk, or in a bucket.

A store is written into a bucket object by object. All else (a training's folder, data records, a
picture) is made by libraries that want files: for a URL it is made in a private folder of this
machine and sent from there, see `c2s_data.kept_folder`. For a path nothing is between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from c2s_data.errors import ConfigError
from c2s_data.output_folder import Choose, Marker, OutputFolder, all_of, no_marker

SCHEMES: Final = ("s3", "gs", "az", "memory")
"""Kinds of URLs that outputs may have; ``memory`` is for tests."""


def output_place(address: str) -> str:
    """Return where a command writes: a path, or the URL of a bucket.

    Raises
    ------
    ConfigError
        It is an address of another kind.
    StoreError
        It holds a credential.
    """
    scheme, is_url, rest = address.partition("://")
    if not is_url or scheme == "file":
        return rest if is_url else address
    if scheme not in SCHEMES:
        raise ConfigError(f"{address}: outputs go to paths, s3://, gs:// and az://")
    from c2s_data.store.address import checked_url  # noqa: PLC0415 - slow

    return checked_url(address).rstrip("/")


def local_place(address: str) -> Path:
    """Return the path of what can only be on this machine's disk.

    Raises
    ------
    ConfigError
        It is a URL: a folder of that name beside the working files would help nobody.
    """
    if "://" in address and not address.startswith("file://"):
        raise ConfigError(
            f"{address}: this is written on a disk; give a path, then `c2s-data copy` takes the "
            "folder to a bucket"
        )
    return Path(address.removeprefix("file://"))


@contextmanager
def output_folder(
    address: str,
    *,
    marker: Marker = no_marker,
    choose: Choose = all_of,
    purpose: str | None = None,
    resumable: bool = False,
    read_only: bool = False,
    drops_halves: bool = False,
) -> Iterator[OutputFolder]:
    """Give the folder in which a command writes.

    Parameters
    ----------
    address
        Path or URL.
    marker
        Which files vouch for others.
    choose
        What of the folder's files is wanted from the beginning.
    purpose
        Keeps others from writing to the URL meanwhile, who read this of who does; None if several
        may. A path is locked by the command itself.
    resumable
        Send what is there although the command fails, for the next one to go on with.
    read_only
        Send nothing: the folder is another process's to keep.
    drops_halves
        Remove files there that lack what vouches for them.

    Raises
    ------
    StoreError
        The place does not answer, refuses, or is held by another process.
    """
    if "://" not in address:
        yield OutputFolder(Path(address))
        return
    from c2s_data.kept_folder import kept_folder  # noqa: PLC0415 - slow

    with kept_folder(
        address,
        marker,
        choose,
        purpose,
        resumable=resumable,
        read_only=read_only,
        drops_halves=drops_halves,
    ) as kept:
        yield kept


class OutputFile(NamedTuple):
    """A file to be written: where, and how a text about that is one about where it is kept."""

    path: Path
    told: Callable[[str], str] = str


@contextmanager
def output_file(
    address: str, *, resumable: bool = False, brings: bool = True
) -> Iterator[OutputFile]:
    """Give the path at which a command writes one file, with others beside it as it likes.

    Parameters
    ----------
    address
        Path or URL.
    resumable
        As for `output_folder`.
    brings
        Bring an earlier file of this name, for who must not replace it.

    Raises
    ------
    StoreError
        As `output_folder`.
    """
    if "://" not in address:
        yield OutputFile(Path(address))
        return
    folder, _, name = address.rpartition("/")
    brought = {name} if brings else set[str]()
    with output_folder(folder, choose=brought.intersection, resumable=resumable) as kept:
        yield OutputFile(kept.path / name, kept.told)
