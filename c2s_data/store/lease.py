"""The lease: who may plan, build or commit in a store just now.

Leases are numbered documents, and the highest number is in force. Taking one means creating the
next number, which only one of many can do, on a folder as on object storage. The holder rewrites
its own document as a heartbeat. A lease ends when its holder releases it, when it was not renewed
for `TTL_S`, or when its holder ran on this machine and is gone.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from c2s_data.errors import LeaseError, MissingChunkError, StoreError
from c2s_data.store.layout import LEASES, lease_key
from c2s_data.store.objects import Objects
from c2s_data.store.sealed import is_sealed, seal, unseal

TTL_S: Final = 60.0
HEARTBEAT_S: Final = 15.0
_CHECK_EVERY_S: Final = 0.2
_ROUNDS: Final = 5


@dataclass(frozen=True)
class Holder:
    """What a lease document says: who holds it, since when, and until when unless renewed.

    ``token`` is random, so that a holder knows its own document. ``process`` holds boot, pid
    namespace and start time of the process: a process id alone may be another's by now. Times are
    seconds since 1970 by the holder's clock.
    """

    purpose: str
    host: str
    pid: int
    process: str
    token: str
    taken_at: float
    expires_at: float
    released: bool = False

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.taken_at))
        command = self.purpose if self.purpose.startswith("c2s-") else f"c2s-data {self.purpose}"
        return f"`{command}` of process {self.pid} on {self.host}, since {since}"

    @property
    def in_force(self) -> bool:
        """Whether others must keep away."""
        return not self.released and time.time() < self.expires_at and not self._is_gone

    @property
    def _is_gone(self) -> bool:
        place = _place()
        here = self.host == socket.gethostname() and self.process.startswith(place)
        return here and _process_identity(self.pid) != self.process


class Lease:
    """A lease that this process holds; made by `hold`."""

    def __init__(self, objects: Objects, epoch: int, holder: Holder) -> None:
        self._objects = objects
        self._epoch = epoch
        self._holder = holder
        self._checked_at = -math.inf
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def check(self) -> None:
        """Make sure that this process still holds the lease; cheap enough for every write.

        What was made sure of a moment ago still holds, because a lease that is looked at lives
        much longer than that. A process that is stopped and revived finds more time gone by.

        Raises
        ------
        LeaseError
            If another process has taken it over, because this one was stopped for too long, or if
            this process was forked from the holder.
        """
        if os.getpid() != self._holder.pid:
            # Nothing renews it here, and two processes would both believe to hold it.
            raise LeaseError(
                f"{self._objects.url}: process {os.getpid()} was forked from {self._holder}, whose "
                "lease is not its own; nothing was committed; start processes with "
                "multiprocessing's spawn or forkserver"
            )
        if _now_s() - self._checked_at < _CHECK_EVERY_S:
            return
        epoch, holder = current(self._objects)
        if epoch != self._epoch or holder is None or holder.token != self._holder.token:
            raise LeaseError(
                f"{self._objects.url}: this process was stopped for more than {TTL_S:.0f} s and "
                f"lost its lease to {holder}; nothing was committed; run the command again"
            )
        if holder.expires_at - time.time() < TTL_S / 2:
            self._renew()
        self._checked_at = _now_s()

    def start(self) -> None:
        """Begin to renew the lease in the background."""
        self._thread.start()

    def release(self) -> None:
        """Stop renewing, and let others have the lease."""
        self._stop.set()
        self._thread.join()
        # What cannot be released any more (a full disk, a lost network) ends by itself.
        with contextlib.suppress(StoreError, OSError):
            self.check()
            self._put(replace(self._holder, released=True))

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            # A beat that fails is tried again at the next: the lease outlives three of them, and
            # `check` tells before anything final is done.
            with contextlib.suppress(StoreError, OSError):
                self._checked_at = -math.inf
                self.check()
                self._renew()

    def _renew(self) -> None:
        self._put(replace(self._holder, expires_at=time.time() + TTL_S))

    def _put(self, holder: Holder) -> None:
        self._objects.put(lease_key(self._epoch), seal(asdict(holder)), durable=False)


@contextlib.contextmanager
def hold(objects: Objects, purpose: str) -> Iterator[Lease]:
    """Hold the lease of a store.

    Parameters
    ----------
    objects
        The store; it need not exist yet.
    purpose
        The command, as others will read it.

    Raises
    ------
    LeaseError
        If another process holds it; the message names the holder.
    """
    lease = _take(objects, purpose)
    lease.start()
    try:
        yield lease
    finally:
        lease.release()


def refuse_if_held(objects: Objects, what: str) -> None:
    """Refuse to begin what needs no lease of its own while another process holds it.

    Raises
    ------
    LeaseError
        If one does; the message names the holder.
    """
    _, holder = current(objects)
    if holder is not None and holder.in_force:
        raise LeaseError(f"{objects.url}: {what} must wait: the store is held by {holder}")


def current(objects: Objects) -> tuple[int, Holder | None]:
    """Return the highest epoch, 0 if there was none, and its holder.

    A document that is damaged counts as held by nobody, so that a store is never locked for ever.
    """
    epoch = max(map(_epoch_of, objects.names(LEASES)), default=0)
    if not epoch:
        return 0, None
    key = lease_key(epoch)
    try:
        document = unseal(objects.get(key, check=is_sealed), f"{objects.url}: {key}")
        return epoch, Holder(**document)
    except (MissingChunkError, StoreError, TypeError):
        return epoch, None


def _now_s() -> float:
    """Return a clock that no one sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _take(objects: Objects, purpose: str) -> Lease:
    for _ in range(_ROUNDS):
        epoch, holder = current(objects)
        if holder is not None and holder.in_force:
            break
        mine, key = _new_holder(purpose), lease_key(epoch + 1)
        data = seal(asdict(mine))
        # Where the answer to a request was lost, the object itself says whose it is.
        if not objects.create(key, data) and not _is_mine(objects, key, data):
            continue
        if current(objects)[0] == epoch + 1:
            for older in range(max(1, epoch - 1), epoch + 1):
                objects.delete(lease_key(older))
            return Lease(objects, epoch + 1, mine)
        # This process looked so long ago that its number had come, gone and been removed.
        objects.delete(key)
    raise LeaseError(
        f"{objects.url} is held by {holder}; wait until it has ended, or stop it. If that machine "
        f"is gone, the lease ends {TTL_S:.0f} s after its last sign of life"
    )


def _is_mine(objects: Objects, key: str, data: bytes) -> bool:
    try:
        return objects.holds(key, data)
    except MissingChunkError:
        return False


def _new_holder(purpose: str) -> Holder:
    now, pid = time.time(), os.getpid()
    return Holder(
        purpose=purpose,
        host=socket.gethostname(),
        pid=pid,
        process=_process_identity(pid),
        token=secrets.token_hex(8),
        taken_at=now,
        expires_at=now + TTL_S,
    )


def _epoch_of(name: str) -> int:
    stem = name.removesuffix(".json")
    return int(stem) if stem.isdecimal() else 0


def _place() -> str:
    """Return what all processes that can see each other share: the boot and the pid namespace.

    Containers on one machine may have the same host name and know nothing of each other's pids.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()} "
    except OSError:
        return "unknown "


def _process_identity(pid: int) -> str:
    """Return what tells a process from a later one of the same number; empty if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    after_name = stat.rpartition(")")[2].split()
    state, start_time = after_name[0], after_name[19]
    return "" if state in "ZX" else _place() + start_time
