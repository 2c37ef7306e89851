"""What a stage says while it works: plain lines on stderr, the same in a pod's log and on a laptop.

Every line reads `aegan <stage> <event>: <text>`; the local runner shows the text and drops the rest
of what a step prints. In a sweep the stage carries its trial: `train_gan#2`.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping

INTERVAL_VARIABLE = "AEGAN_PROGRESS_SECONDS"
DEFAULT_INTERVAL = 10.0
EVENT = re.compile(r"^\s*aegan (?P<stage>\w+(?:#\d+)?) (?P<event>\w+): ?(?P<text>.*)$")
"""What `narrate` prints."""

Say = Callable[[str, str, str], None]
"""Is told who speaks, the event and the text."""

_LISTENERS: list[Callable[[str, str], None]] = []
_TRIALS: list[int] = []


def narrate(stage: str, event: str, text: str) -> None:
    """Print one event; a text of several lines becomes several lines of the same event.

    Work goes on where nobody reads any longer: whoever started it has been ended, and it is about to be
    told to end itself, with a checkpoint.
    """
    speaker = f"{stage}#{_TRIALS[-1]}" if _TRIALS else stage
    for line in text.splitlines() or [""]:
        with contextlib.suppress(BrokenPipeError):
            print(f"aegan {speaker} {event}: {line}", file=sys.stderr, flush=True)
        for listen in _LISTENERS:
            listen(event, line)


@contextlib.contextmanager
def in_trial(number: int) -> Iterator[None]:
    """Let what is narrated within the block say of which trial it is."""
    _TRIALS.append(number)
    try:
        yield
    finally:
        _TRIALS.pop()


@contextlib.contextmanager
def heard_by(listen: Callable[[str, str], None]) -> Iterator[None]:
    """Tell each event and text narrated within the block to `listen`, too, which must not raise."""
    _LISTENERS.append(listen)
    try:
        yield
    finally:
        _LISTENERS.remove(listen)


class Pace:
    """How fast something goes, and how long it will take, at most once per interval.

    The interval is `AEGAN_PROGRESS_SECONDS`, 10 by default.
    """

    def __init__(self, total: float, *, done: float = 0):
        """Start the clock at what is done already."""
        self._total, self._first = total, done
        self._interval = float(os.environ.get(INTERVAL_VARIABLE, DEFAULT_INTERVAL))
        self._start = self._last = time.monotonic()

    def due(self, done: float) -> tuple[float, str] | None:
        """Rate per second and time left, if the interval has passed or all is done; else None."""
        now = time.monotonic()
        if now - self._last < self._interval and done < self._total:
            return None
        self._last = now
        rate = (done - self._first) / max(now - self._start, 1e-9)
        return rate, duration((self._total - done) / max(rate, 1e-9))


class Progress:
    """Reports steps done, rate and time left."""

    def __init__(
        self,
        stage: str,
        total: int,
        *,
        done: float,
        samples: int,
        unit: str = "step",
        say: Say = narrate,
    ):
        """Start to count from the steps that are done; each takes so many samples."""
        self._stage, self._total, self._samples = stage, total, samples
        self._unit, self._say = unit, say
        self._pace = Pace(total, done=done)

    def report(self, steps: float, metrics: Mapping[str, float]) -> None:
        """Say how far training is, if the interval has passed or it is over.

        Args:
            steps: that are done; a fraction is one in flight.
            metrics: of which the losses are shown.
        """
        if (due := self._pace.due(steps)) is None:
            return
        rate, left = due
        losses = "".join(f"  {k} {v:.5g}" for k, v in metrics.items() if k.endswith("loss"))
        self._say(
            self._stage,
            "progress",
            f"{self._unit} {int(steps):,}/{self._total:,} ({steps / self._total:.0%}){losses}"
            f"  {rate * self._samples:,.0f} samples/s  {left} left",
        )


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 7 s, 3:05, 1:02:09."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(when: datetime.datetime | str | None) -> str:
    """A time, or ISO 8601 with its zone, as a person reads it: 2026-01-01 10:00:00Z."""
    if not when:
        return "-"
    known = datetime.datetime.fromisoformat(when) if isinstance(when, str) else when
    return f"{known.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%SZ}"


def utc_now() -> str:
    """The time in UTC, ISO 8601, whole milliseconds (two runs started in one second stay ordered)."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
