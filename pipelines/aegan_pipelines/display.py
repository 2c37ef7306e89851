"""What work looks like on a terminal or in a log: a line for each event, progress in between."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import click

from aegan.interruption import tidied
from aegan.narration import INTERVAL_VARIABLE
from aegan.transfer_progress import transfers_told
from aegan_pipelines.cli_options import INTERRUPTED

BAR_WIDTH = 24
LEAST_BAR_WIDTH = 6
_STYLES = {"error": "bold red", "warning": "yellow", "done": "green", "reused": "cyan"}
_WORDS = {"start": "started", "done": "done", "reused": "reused,", "error": "failed:"}


@contextlib.contextmanager
def shown(console: Any, *, no_cache: bool = False) -> Iterator[Display]:
    """A display for work that Ctrl-C or a signal ends, and the same command continues.

    Args:
        console: where it is shown.
        no_cache: the same command does all of it anew.
    """
    display = Display(console)
    try:
        yield display
    except (KeyboardInterrupt, SystemExit) as ending:
        display.close()
        anew = "with --no-cache the same command begins anew"
        goes_on = anew if no_cache else "the same command continues from here"
        click.echo(f"interrupted; {goes_on}", err=True)
        sys.exit(ending.code if isinstance(ending, SystemExit) else INTERRUPTED)
    finally:
        display.close()


@contextlib.contextmanager
def transfers_shown(what: str, stream: TextIO | None = None) -> Iterator[None]:
    """Show how far files are on their way, if that takes long; on stderr, or another stream."""
    stream = stream or sys.stderr
    display: Display | None = None
    if stream.isatty():
        often()

    def say(speaker: str, event: str, text: str) -> None:
        nonlocal display
        if display is None:
            from rich.console import Console

            display = Display(Console(file=stream))
        display.show(speaker, event, text)

    try:
        with tidied(), transfers_told(what, say):
            yield
    finally:
        if display is not None:
            display.close()


def often() -> None:
    """Let progress be told as often as a person at a terminal wants it."""
    os.environ.setdefault(INTERVAL_VARIABLE, "0.5")


class Display:
    """Shows narrated events on a rich console: a live line on a terminal, plain lines in a log."""

    def __init__(self, console: Any):
        """Take the console, usually of stderr."""
        self._console = console
        self._live: Any = None

    def show(self, stage: str, event: str, text: str) -> None:
        """Show one event."""
        label = f"{stage + ' ':<18}"
        if event == "progress" and self._console.is_terminal:
            room = self._console.width - len(label) - len(text) - 3
            self._update(f"{label}{_bar(text, min(room, BAR_WIDTH))}{text}")
            return
        self.close()
        if event in ("run", "record"):  # for the local runner
            return
        line = f"{label}{_WORDS.get(event, '')} {text}"
        self._console.print(
            line.rstrip(), style=_STYLES.get(event), markup=False, highlight=False, soft_wrap=True
        )

    def close(self) -> None:
        """Remove the live line."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _update(self, text: str) -> None:
        from rich.live import Live
        from rich.text import Text

        line = Text(text)  # over two lines where one is too short for the time left
        if self._live is None:
            self._live = Live(line, console=self._console, transient=True, auto_refresh=False)
            self._live.start()
        self._live.update(line, refresh=True)


def _bar(text: str, width: int) -> str:
    """How far it is, if there is room to show that."""
    if width < LEAST_BAR_WIDTH:
        return ""
    match = re.search(r"\((\d+)%\)", text)
    full = width * int(match[1]) // 100 if match else 0
    return "━" * full + "─" * (width - full) + "  "
