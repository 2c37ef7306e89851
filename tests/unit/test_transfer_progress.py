"""Long transfers say how far they are, to whoever asked; short ones and unasked ones say nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aegan import gcs_blobs
from aegan.narration import INTERVAL_VARIABLE
from aegan.registry import Registry
from aegan.transfer_progress import transfers_told
from aegan.transfers import CHUNK

Told = list[tuple[str, str, str]]
SIZE = 9 * CHUNK + 1


def _told(root: str, tmp_path: Path, seconds: str, monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.setenv(INTERVAL_VARIABLE, seconds)
    monkeypatch.setattr(gcs_blobs, "PIECE", CHUNK)
    registry, told = Registry(root), list[tuple[str, str, str]]()
    source = tmp_path / "source"
    source.mkdir()
    (source / "weights").write_bytes(bytes(SIZE))
    version = registry.publish("m", source)
    with transfers_told("pull", lambda *event: told.append(event)):
        registry.pull("m", version, tmp_path / "pulled")
        registry.verify("m", version)
    before = len(told)
    registry.verify("m", version)  # when nobody listens
    assert len(told) == before
    return told


def test_a_long_transfer_tells_bytes_rate_and_time_left(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _told(root, tmp_path, "0", monkeypatch)
    assert {(speaker, event) for speaker, event, _ in told} == {("pull", "progress")}
    form = r"([\d.]+) of ([\d.]+) MB \((\d+)%\)  [\d,.]+ MB/s  [\d:]+(?: s)? left"
    shown = [re.fullmatch(form, text) for _, _, text in told]
    numbers = [[float(group) for group in match.groups()] for match in shown if match]
    assert len(numbers) == len(told)
    # Twice from the beginning to the end, and never beyond it.
    ends = [index for index, (*_, percent) in enumerate(numbers) if percent == 100]
    assert ends[-1] == len(numbers) - 1
    done = [row[0] for row in numbers]
    falls = [index for index in range(1, len(done)) if done[index] < done[index - 1]]
    assert len(falls) == 1
    assert all(row[1] == pytest.approx(SIZE / 1e6, abs=0.1) for row in numbers)


def test_a_short_transfer_tells_nothing(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _told(root, tmp_path, "60", monkeypatch) == []


def test_publishing_tells_how_far_it_is(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INTERVAL_VARIABLE, "0")
    monkeypatch.setattr(gcs_blobs, "PIECE", CHUNK)
    for number in range(3):
        (tmp_path / f"weights-{number}").write_bytes(bytes([number]) * (2 * CHUNK))
    told: Told = []
    with transfers_told("publish", lambda *event: told.append(event)):
        version = Registry(root).publish("m", tmp_path)
    assert {(speaker, event) for speaker, event, _ in told} == {("publish", "progress")}
    assert told[0][2].startswith(("0.5 of 3.1 MB (17%)", "1.0 of 3.1 MB (33%)"))
    assert "3.1 of 3.1 MB (100%)" in told[-1][2]
    Registry(root).verify("m", version)
