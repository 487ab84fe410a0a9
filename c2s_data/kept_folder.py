"""A private folder of this machine whose files are kept in a bucket.

Whole files are sent, those that vouch for others last, and what vouches for something is taken away
before that changes. So whoever reads the bucket, or goes on with what was killed, finds nothing
that is half there and looks whole.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from c2s_data.errors import C2SError, LeaseError, MapError, ModelError, StoreError
from c2s_data.output_folder import Choose, Marker, OutputFolder, all_of
from c2s_data.sources.input_file import open_input
from c2s_data.store.address import checked_key
from c2s_data.store.layout import LEASES
from c2s_data.store.lease import hold
from c2s_data.store.objects import RemoteObjects
from c2s_data.store.retry import RetryPolicy

_log = logging.getLogger(__name__)
_PIECE_BYTES: Final = 2**23
_LARGEST: Final = 5 * 2**30
_NOT_HERE: Final = (-1, -1)


class KeptFolder(OutputFolder):
    """See the module; made by `kept_folder`.

    Parameters
    ----------
    url
        Where the files are kept.
    private
        An empty folder that nobody else uses.
    marker
        Which files vouch for others. What lacks its marker is not brought.
    drops_halves
        Remove what lacks its marker with the next sendings: somebody was killed at it.
    guard
        Raises `LeaseError` if another process writes there by now.
    """

    def __init__(
        self,
        url: str,
        private: Path,
        marker: Marker,
        guard: Callable[[], None] = lambda: None,
        *,
        drops_halves: bool = False,
    ) -> None:
        super().__init__(private / (url.rpartition("/")[2] or "root"))
        self.path.mkdir()
        self._url, self._marker, self._guard = url, marker, guard
        self._drops_halves = drops_halves
        self._objects = RemoteObjects(url)
        self._sent: dict[str, tuple[int, int]] = {}
        self._removed: set[str] = set()

    @property
    def address(self) -> str:
        """The URL."""
        return self._url

    def told(self, text: str) -> str:
        """Return a text without the private folder, of which a user knows nothing."""
        return text.replace(str(self.path), self._url)

    def bring(
        self, choose: Choose = all_of, below: str = "", *, placeholders: bool = False
    ) -> None:
        """Bring files that are kept and whole; of the others the topmost folders they lie in.

        With ``placeholders`` each of the others is there too, and empty.

        Raises
        ------
        StoreError
            The place does not answer, or holds a name that would lead out of the folder.
        """
        found = {
            name: nbytes
            for name, nbytes in self._objects.walk(below)
            if not (checked_key(name, self._url).startswith(f"{LEASES}/") or _is_private(name))
        }
        for name in found:
            if "/" in name:
                (self.path / name.partition("/")[0]).mkdir(exist_ok=True)
        halves = {name for name in found if not self._is_whole(name, found)}
        if self._drops_halves:
            self._sent |= dict.fromkeys(halves, _NOT_HERE)
        chosen = set(choose([name for name in found if name not in halves]))
        for name in found.keys() - chosen if placeholders else ():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).touch()
            self._sent[name] = _stamp(self.path / name)
        for name in sorted(chosen):
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with open_input(f"{self._url}/{name}") as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, _PIECE_BYTES)
            if target.stat().st_size != found[name]:
                raise StoreError(
                    f"{self._url}: {name!r} changed while it was read; run the same command again"
                )
            self._sent[name] = _stamp(target)

    def send(self, below: str = "", *, last: bool = False) -> None:
        """Send what changed since the last time, below a folder or at the top; remove what is gone.

        What went away here goes away there one sending later: while the newest checkpoint is
        replaced, the one before it is still whole. The ``last`` sending leaves nothing.

        Raises
        ------
        LeaseError
            Another process writes there by now.
        StoreError
            The place does not answer or refuses.
        """
        self._guard()
        here = {name: path for path in self._files(below) if (name := self._name(path))}
        changed = {name for name, path in here.items() if self._sent.get(name) != _stamp(path)}
        changed |= self._distrusted(changed) & here.keys()
        for name in sorted(changed, key=lambda name: (self._vouches(name), "/" in name, name)):
            self._put(name, here[name])
        gone = {name for name in self._sent if name not in here and _is_below(name, below)}
        self._delete(gone if last else gone & self._removed)
        self._removed = gone

    def forget(self, below: str, keep: Sequence[str] = ()) -> None:
        """Free the disk of what was sent, but for files of the names in ``keep``."""
        for path in self._files(below):
            if not _is_below(self._name(path), below):
                continue
            if path.name not in keep and self._sent.pop(self._name(path), None) is not None:
                path.unlink()

    def _files(self, below: str) -> list[Path]:
        """Return what is there, but for files that are private to their writer."""
        found = {*(self.path / below).rglob("*"), *self.path.iterdir()}
        return [
            path for path in sorted(found) if path.is_file() and not _is_private(self._name(path))
        ]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    def _is_whole(self, name: str, found: Collection[str]) -> bool:
        marker = self._marker(name)
        return marker is None or marker in found

    def _vouches(self, name: str) -> bool:
        return self._marker(name) == name

    def _distrusted(self, changed: Collection[str]) -> set[str]:
        """Take markers away from what is about to change, and return them."""
        markers = {self._marker(name) for name in changed if not self._vouches(name)}
        known = {name for name in markers if name is not None and name in self._sent}
        self._delete(known)
        return known

    def _delete(self, names: Collection[str]) -> None:
        for name in sorted(names, key=lambda name: (not self._vouches(name), name)):
            self._objects.delete(name)
            self._sent.pop(name, None)

    def _put(self, name: str, path: Path) -> None:
        stamp, policy = _stamp(path), RetryPolicy.from_environment()
        if stamp[0] > _LARGEST:
            raise StoreError(f"{path}: {stamp[0]:,} bytes; one request takes at most 5 GiB")
        # Weights are larger than anything in a store, and must pass the slowest network as well.
        needed_s = 3 * (policy.request_s + stamp[0] / policy.bytes_per_s)
        patient = replace(policy, give_up_s=max(policy.give_up_s, needed_s))
        RemoteObjects(self._url, patient).put(name, path.read_bytes())
        self._sent[name] = stamp


@contextmanager
def kept_folder(
    url: str,
    marker: Marker,
    choose: Choose,
    purpose: str | None,
    *,
    resumable: bool,
    read_only: bool,
    drops_halves: bool,
) -> Iterator[KeptFolder]:
    """Give a folder that is sent when the caller has ended well; see `output_folder`.

    Raises
    ------
    StoreError
        As `KeptFolder`. What could not be sent in the end is left on the disk, and named.
    """
    private = Path(tempfile.mkdtemp(prefix="c2s-kept-"))
    with ExitStack() as stack:
        removal = stack.enter_context(ExitStack())
        removal.callback(shutil.rmtree, private, ignore_errors=True)
        lease = stack.enter_context(hold(RemoteObjects(url), purpose)) if purpose else None
        guard = lease.check if lease else lambda: None
        kept = KeptFolder(url, private, marker, guard, drops_halves=drops_halves)
        kept.bring(choose)
        try:
            yield kept
        except BaseException as error:
            if resumable and not read_only and (left := _send_what_is_there(kept)):
                removal.pop_all()
                _log.error("%s", left)
            if isinstance(error, C2SError):
                _retell(error, kept.told)
            raise
        try:
            if not read_only:
                kept.send(last=True)
        except StoreError as error:
            removal.pop_all()
            raise StoreError(f"{error}; {_left(kept)}") from None


def _send_what_is_there(kept: KeptFolder) -> str:
    """Send what a failed command made; return what to tell where that fails too."""
    try:
        kept.send()
    except LeaseError:  # Who goes on has it by now, from where the last sending was.
        return ""
    except StoreError as error:
        return f"{error}; {_left(kept)}"
    return ""


def _left(kept: KeptFolder) -> str:
    command = f"c2s-data copy {kept.path} {kept.address}"
    return f"what was made is left in {kept.path}: `{command}` takes it there"


def _retell(error: C2SError, told: Callable[[str], str]) -> None:
    error.args = tuple(told(one) if isinstance(one, str) else one for one in error.args)
    if isinstance(error, MapError | ModelError):
        error.message = told(error.message)


def _is_private(name: str) -> bool:
    """Say whether a file is nobody's but its writer's, by a dot at the beginning of a part."""
    return name.startswith(".") or "/." in name


def _is_below(name: str, folder: str) -> bool:
    return not folder or name.startswith(f"{folder}/")


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
