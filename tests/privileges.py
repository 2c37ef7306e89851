"""What a process sees that may read only what the rights of files allow: tests often run as root."""

from __future__ import annotations

import ctypes
import multiprocessing
import traceback
from collections.abc import Callable
from typing import Any

CAPABILITY_VERSION = 0x20080522


def _without(target: Callable[..., None], arguments: tuple[Any, ...], failures: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    try:
        if libc.capset(header, nothing):
            raise OSError(ctypes.get_errno(), "capset")
        target(*arguments)
        failures.put("")
    except BaseException:
        failures.put(traceback.format_exc())


def run_without_privileges(target: Callable[..., None], *arguments: Any) -> None:
    """Call a function in a process without capabilities; an AssertionError with what it raised."""
    context = multiprocessing.get_context("fork")
    failures = context.Queue()
    process = context.Process(target=_without, args=(target, arguments, failures))
    process.start()
    failure = failures.get(timeout=60)
    process.join()
    assert not failure, failure
