"""Trying again, with pauses that grow and differ, until a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator


def attempts(seconds: float, *, pause: float = 0.02) -> Iterator[int]:
    """Numbers from 0: at once, then after random pauses, each up to twice the last, at most 2 s.

    Args:
        seconds: no attempt begins later than this after the first; there are at least two.
        pause: seconds, the most before the second attempt.
    """
    end = time.monotonic() + seconds
    number = 0
    while number < 2 or time.monotonic() < end:
        yield number
        number += 1
        time.sleep(random.uniform(0, min(pause * 2 ** min(number, 16), 2.0)))
