"""Being told to end: an exit code, and a word on how the work goes on."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aegan.interruption import Stopped, deferred, stoppable
from aegan.narration import heard_by, narrate
from aegan.stages.stage import run_stage


@pytest.fixture(autouse=True)
def in_a_terminal() -> Iterator[None]:
    """SIGINT as a terminal has it: a process that a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stage_that_is_told_to_end_says_how_it_goes_on(
    sent: signal.Signals, code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def work(_: Path) -> dict[str, object]:
        os.kill(os.getpid(), sent)
        raise AssertionError("it went on")

    handler = signal.getsignal(sent)
    with pytest.raises(SystemExit) as caught:
        run_stage(str(tmp_path), "normalize", "key", work, fresh="")
    assert caught.value.code == code
    assert signal.getsignal(sent) == handler
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "warning" in line]
    assert line == ("aegan normalize warning: told to stop; the same command does this stage again")


def _told_within_a_loop() -> None:
    with stoppable("train_gan"), deferred() as told:
        os.kill(os.getpid(), signal.SIGTERM)
        raise Stopped(told[0], explained=True)


def test_who_has_said_how_it_goes_on_is_not_talked_over(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Stopped):
        _told_within_a_loop()
    assert capfd.readouterr().err == ""


def test_signals_that_were_ignored_stay_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable("evaluate"):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


class Unread(io.StringIO):
    """A pipe whose other end is closed."""

    def flush(self) -> None:
        raise BrokenPipeError


def test_what_nobody_reads_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(sys, "stderr", Unread())
    with heard_by(lambda _, text: heard.append(text)):
        narrate("train_gan", "progress", "step 1")
    assert heard == ["step 1"]
