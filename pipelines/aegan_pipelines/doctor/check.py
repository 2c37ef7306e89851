"""What a check finds, and the time it may take."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from aegan.errors import describe

SECONDS = 5.0
"""For a request, and for a check as a whole."""

Status = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report.

    Attributes:
        name: what was looked at.
        status: `warn` may be in order, `skip` could not be looked at.
        text: what was found.
        cure: what to do about it; empty where nothing is to be done or the text says it.
    """

    name: str
    status: Status
    text: str
    cure: str = ""

    def line(self) -> str:
        """Status, name, what was found and what to do, in one line."""
        text = " ".join(f"{self.status:<5} {self.name:<20} {self.text}".split("\n"))
        return f"{text} → {self.cure}" if self.cure else text

    def as_dict(self) -> dict[str, str]:
        """For --json."""
        return asdict(self)


def limited(
    name: str, look: Callable[[], Check], cure: str = "", seconds: float = SECONDS
) -> Check:
    """Run one check for at most some seconds; whatever it raises becomes a failure.

    Libraries below wait and retry for minutes, each in its own way. So a check runs in a thread that
    does not keep the program from ending.
    """
    found: list[Check] = []

    def run() -> None:
        try:
            found.append(look())
        except Exception as error:  # the doctor reports what is broken, and goes on
            found.append(Check(name, "fail", describe(error), cure))

    thread = threading.Thread(target=run, daemon=True, name=f"doctor {name}")
    thread.start()
    thread.join(seconds)
    if found:
        return found[0]
    return Check(name, "fail", f"no answer within {seconds:g} s", cure or "try again")
