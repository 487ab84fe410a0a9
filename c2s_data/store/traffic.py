"""What this process asked of object storage, and how often it had to ask again.

A service that throttles, or a network that drops connections, costs time without an error: the
counts are how a user finds out. They are of one process; whoever works in several adds them up. A
process also logs a warning at the first repeated request, the fourth, the sixteenth and so on.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_requests = 0
_bytes_read = 0
_repeated: Counter[str] = Counter()


@dataclass(frozen=True)
class Traffic:
    """Counts since the process began.

    ``requests`` include the repeated ones; ``repeated`` counts those by the fault of the request
    before, such as ``HTTP 503 SlowDown``. ``bytes_read`` are those of objects, damaged ones too.
    """

    requests: int = 0
    repeated: Counter[str] = field(default_factory=Counter)
    bytes_read: int = 0

    def __sub__(self, before: Traffic) -> Traffic:
        """Return what came between two looks."""
        return Traffic(
            self.requests - before.requests,
            self.repeated - before.repeated,
            self.bytes_read - before.bytes_read,
        )

    def __str__(self) -> str:
        kinds = ", ".join(f"{fault}: {n}" for fault, n in self.repeated.most_common())
        return (
            f"{self.repeated.total():,} of {self.requests:,} requests to object storage were "
            f"repeated ({kinds})"
        )


def traffic() -> Traffic:
    """Return the counts of this process."""
    with _lock:
        return Traffic(_requests, Counter(_repeated), _bytes_read)


def count_request(fault_before: str | None = None) -> None:
    """Count a request, one more after a fault if ``fault_before`` names it."""
    global _requests  # noqa: PLW0603 - one process, one count
    with _lock:
        _requests += 1
        if fault_before is None:
            return
        _repeated[fault_before] += 1
        so_far = _repeated.total()
    if so_far.bit_count() == 1 and so_far.bit_length() % 2:  # 1, 4, 16, ...: told, never flooded
        _log.warning("%s", traffic())


def count_bytes(nbytes: int) -> None:
    """Count bytes of an object that came."""
    global _bytes_read  # noqa: PLW0603
    with _lock:
        _bytes_read += nbytes
