"""How far the files of a model are on their way, told to whoever asked for it.

Transfers run in threads of their own, many at once, below functions that know nothing of a terminal;
what they have moved is counted here, and nothing is where nobody asked.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from aegan.narration import Pace, Say

_LISTENERS: list[tuple[str, Say]] = []
_METERS: list[_Meter] = []


@contextlib.contextmanager
def transfers_told(speaker: str, say: Say) -> Iterator[None]:
    """Tell `say` how far what is transferred within the block is, in the name of `speaker`."""
    listener = (speaker, say)
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)


@contextlib.contextmanager
def metered(total: Callable[[], int]) -> Iterator[None]:
    """Count what `passed` tells within the block, if someone listens.

    Args:
        total: how many bytes there are; called only if someone listens.
    """
    if not _LISTENERS:
        yield
        return
    meter = _Meter(max(total(), 1), *_LISTENERS[-1])
    _METERS.append(meter)
    try:
        yield
    finally:
        _METERS.remove(meter)


def passed(count: int) -> None:
    """So many bytes more were read, hashed or written."""
    for meter in _METERS:
        meter.add(count)


class _Meter:
    def __init__(self, total: int, speaker: str, say: Say):
        self._total, self._speaker, self._say = total, speaker, say
        self._done, self._pace, self._lock = 0, Pace(total), threading.Lock()
        self._told = False

    def add(self, count: int) -> None:
        with self._lock:
            # What arrived damaged passes again.
            self._done = min(self._done + count, self._total)
            if self._done == self._total and not self._told:
                return  # over before there was anything to tell
            if (due := self._pace.due(self._done)) is not None:
                self._told = True
                rate, left = due
                self._say(
                    self._speaker,
                    "progress",
                    f"{self._done / 1e6:,.1f} of {self._total / 1e6:,.1f} MB"
                    f" ({self._done / self._total:.0%})  {rate / 1e6:,.1f} MB/s  {left} left",
                )
