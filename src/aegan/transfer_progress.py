"""How far the files of a model are on their way, told to whoever asked for it.

Transfers run in threads of their own, many at once, below functions that know nothing of a terminal;
what they have moved is counted here, and nothing is where nobody asked.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

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


class _Told(io.BufferedReader):
    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        passed(len(content))
        return content


def upload_source(path: Path, large: int, opened: contextlib.ExitStack) -> str | BinaryIO:
    """What is uploaded: a large file that tells how much of it was read, or a path.

    The library sends what it is given by path in one request if it is small, and tells nothing.

    Args:
        path: of the file.
        large: bytes from which on it is.
        opened: closes the file.
    """
    if path.stat().st_size < large:
        return str(path)
    return opened.enter_context(_Told(io.FileIO(path)))


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
