"""Ending when told to, but not in the middle of something."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from aegan.narration import narrate

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(SystemExit):
    """Whoever runs this told it to end; the exit code is 128 and the signal's number.

    Attributes:
        explained: whether it was said where the work goes on.
    """

    def __init__(self, number: int, *, explained: bool = False):
        super().__init__(128 + number)
        self.explained = explained


@contextlib.contextmanager
def deferred() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT in a list instead of being ended by them.

    Signals that the caller chose to ignore stay ignored. Outside the main thread, where handlers
    cannot be set, the list stays empty.
    """
    received: list[int] = []
    with _handled(received.append):
        yield received


@contextlib.contextmanager
def stoppable(stage: str) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the work with a word on how it goes on, instead of without any."""
    try:
        with _handled(_stop):
            yield
    except Stopped as stopped:
        if not stopped.explained:
            narrate(stage, "warning", "told to stop; the same command does this stage again")
        raise


@contextlib.contextmanager
def tidied() -> Iterator[None]:
    """Let SIGTERM end the work by an exception, as Ctrl-C does, so that it deletes what it began."""
    with _handled(_stop, (signal.SIGTERM,)):
        yield


def _stop(number: int) -> None:
    raise Stopped(number)


@contextlib.contextmanager
def _handled(
    handle: Callable[[int], None], signals: tuple[signal.Signals, ...] = SIGNALS
) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]

    def handler(number: int, _: Any) -> None:
        handle(number)

    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)
