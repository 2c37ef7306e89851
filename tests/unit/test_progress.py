"""What a stage says while it works can be read beside it, and never harms it."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from aegan.errors import StoreError
from aegan.narration import narrate
from aegan.stages import progress
from aegan.stages.progress import progress_shown
from aegan.stages.stage import run_stage
from aegan.store import open_store

PREFIX = "stages/train_gan/key"


def page(root: str) -> dict[str, Any]:
    return dict(json.loads(open_store(root).read(f"{PREFIX}/progress.json") or b"{}"))


def test_lines_newest_progress_and_every_start_are_there(root: str) -> None:
    for attempt in (1, 2):
        with progress_shown(open_store(root), PREFIX):
            narrate("train_gan", "start", "")
            narrate("train_gan", "progress", "step 1/9")
            narrate("train_gan", "progress", f"step {attempt + 1}/9")
        found = page(root)
        assert len(found["starts"]) == attempt
        assert found["progress"] == f"step {attempt + 1}/9"
        assert [line[1] for line in found["lines"]] == ["start"]
    narrate("train_gan", "info", "not heard any more")
    assert page(root) == found


def test_it_is_written_while_the_stage_works_but_seldom(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.2)
    store = open_store(str(tmp_path))
    writes: list[str] = []
    write = store.write

    def counted(name: str, content: bytes, **kwargs: Any) -> None:
        writes.append(name)
        write(name, content, **kwargs)

    monkeypatch.setattr(store, "write", counted)
    with progress_shown(store, PREFIX):
        for step in range(60):
            narrate("train_gan", "progress", f"step {step}")
            time.sleep(0.01)
        assert page(str(tmp_path))["progress"].startswith("step ")
    assert page(str(tmp_path))["progress"] == "step 59"
    assert 3 <= len(writes) <= 6


def test_a_store_that_fails_or_hangs_does_not_reach_the_stage(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LAST_WRITE_SECONDS", 0.1)
    store = open_store(str(tmp_path))
    hang = threading.Event()

    def fail(*_: Any, **__: Any) -> None:
        raise StoreError("no")

    monkeypatch.setattr(store, "write", fail)
    with progress_shown(store, PREFIX):
        narrate("train_gan", "start", "")
    monkeypatch.setattr(store, "read", lambda name: hang.wait(30))
    start = time.monotonic()
    with progress_shown(store, PREFIX):
        narrate("train_gan", "start", "")
    assert time.monotonic() - start < 5
    hang.set()


def test_a_stage_leaves_it_behind_and_its_record_does_not_hold_it(root: str) -> None:
    result = run_stage(root, "train_gan", "key", lambda output: {"steps": 3}, fresh="")
    assert [line[1] for line in page(root)["lines"]] == ["start", "done"]
    assert result.files == {}
    before = page(root)
    assert run_stage(root, "train_gan", "key", lambda output: {}, fresh="").summary == {"steps": 3}
    assert page(root) == before  # what is reused did not work
