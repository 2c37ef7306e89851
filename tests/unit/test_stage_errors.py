"""What a stage leaves behind when it fails, and what of a store's failure reaches it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aegan.config_file import validate
from aegan.digests import read_json
from aegan.errors import DataError, IntegrityError, StoreError, describe
from aegan.local_store import LocalStore
from aegan.stages import normalize, publish
from aegan.stages.stage import StageResult
from aegan.store import open_store
from tests.conftest import tiny

CONFIG = validate(tiny(), "tiny").to_json()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (MemoryError(), "MemoryError"),
        (DataError("no data: give some"), "no data: give some"),
    ],
)
def test_the_record_of_a_run_says_what_went_wrong(
    error: Exception, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(normalize, "read_source", fail)
    with pytest.raises(type(error)):
        normalize.run(CONFIG, str(tmp_path), "r")
    assert json.loads((tmp_path / "runs/r/began.json").read_text())["error"] == text
    assert describe(error) == text


def test_a_record_that_cannot_be_written_does_not_hide_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(LocalStore, "write", refuse)
        raise DataError("no data")

    monkeypatch.setattr(normalize, "read_source", fail)
    with pytest.raises(DataError, match="no data"):
        normalize.run(CONFIG, str(tmp_path), "r")


def test_a_registry_that_cannot_be_reached_does_not_count_as_unpublished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def stage(*_: object, usable: Any, **__: object) -> StageResult:
        asked.append(usable)
        version = "20300101T000000Z-0123456789ab"
        found = StageResult("uri", "a", "", 0.0, {}, {"version": version})
        assert not usable(found)  # there is no such version
        return found

    def refuse(*_: object) -> None:
        raise StoreError("cannot reach the bucket")

    monkeypatch.setattr(publish, "run_stage", stage)
    monkeypatch.setattr(publish, "_look_at_alias", lambda *_: None)
    result = publish.run(CONFIG, str(tmp_path), "d/key", "a", "g", "e")
    monkeypatch.setattr(LocalStore, "read_versioned", refuse)
    with pytest.raises(StoreError, match="cannot reach the bucket"):
        asked[0](result)


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff"])
def test_damaged_json_is_named(content: bytes, root: str) -> None:
    store = open_store(root)
    assert read_json(store, "a/b.json") == {}
    store.write("a/b.json", content)
    with pytest.raises(
        IntegrityError, match=r"/a/b\.json is not the JSON that aegan wrote.*delete"
    ):
        read_json(store, "a/b.json")
