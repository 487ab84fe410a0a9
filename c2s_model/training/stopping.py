"""When a training saves or stops: asked by a signal, or because its time or steps are spent."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType


class Wish(IntEnum):
    """What is wanted after a step; of several wishes the largest decides."""

    GO_ON = 0
    SAVE = 1
    STOP_STEPS = 2
    STOP_SECONDS = 3
    STOP_INTERRUPTED = 4
    STOP_TERMINATED = 5

    @property
    def stops(self) -> bool:
        """Whether it is a wish to stop, which saves as well."""
        return self > Wish.SAVE

    @property
    def signal(self) -> int:
        """Number of the signal that it came from, or 0."""
        return {
            Wish.STOP_INTERRUPTED: signal.SIGINT.value,
            Wish.STOP_TERMINATED: signal.SIGTERM.value,
        }.get(self, 0)

    @property
    def reason(self) -> str:
        """The wish in words."""
        return {
            Wish.STOP_STEPS: "as many steps as asked for",
            Wish.STOP_SECONDS: "its time is spent",
            Wish.STOP_INTERRUPTED: "Ctrl-C",
            Wish.STOP_TERMINATED: "SIGTERM",
        }.get(self, "")


class Clock:
    """Wishes that depend on this process alone: signals it got, and the time it has spent.

    Parameters
    ----------
    save_seconds
        Time between two checkpoints.
    max_seconds
        Time until it stops, or None.
    """

    def __init__(self, save_seconds: float, max_seconds: float | None) -> None:
        self._save_seconds, self._max_seconds = save_seconds, max_seconds
        self.started = self._saved = time.monotonic()
        self._signal = Wish.GO_ON

    def saved(self) -> None:
        """Begin to wait for the next checkpoint."""
        self._saved = time.monotonic()

    def wish(self) -> Wish:
        """Return what is wanted now."""
        now = time.monotonic()
        if self._signal:
            return self._signal
        if self._max_seconds is not None and now - self.started >= self._max_seconds:
            return Wish.STOP_SECONDS
        return Wish.SAVE if now - self._saved >= self._save_seconds else Wish.GO_ON

    @contextmanager
    def hearing_signals(self) -> Iterator[None]:
        """Take Ctrl-C and SIGTERM as wishes; a second signal of the kind ends the process."""
        wishes = {
            signal.SIGINT: Wish.STOP_INTERRUPTED,
            signal.SIGTERM: Wish.STOP_TERMINATED,
        }
        if threading.current_thread() is not threading.main_thread():
            yield  # Only the main thread may say how a process takes signals.
            return
        before = {number: signal.getsignal(number) for number in wishes}

        def hear(number: int, _: FrameType | None) -> None:
            self._signal = wishes[signal.Signals(number)]
            signal.signal(number, before[signal.Signals(number)])

        for number in wishes:
            signal.signal(number, hear)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def take_signals_as_worker(_: int) -> None:
    """Let a loader's worker leave Ctrl-C to its parent, and end at SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
