"""Promoting and rolling back: what may be, what is remembered, what is refused."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path

import pytest

from aegan import aliases
from aegan.aliases import Alias, Move
from aegan.digests import to_json
from aegan.errors import IntegrityError, PreconditionError, RegistryError
from aegan.registry import Registry
from aegan.store import open_store
from tests.versions import PASSED, REJECTED, publish

CHAMPION = "models/m/aliases/champion.json"


def test_what_the_gate_passed_is_promoted(root: str, tmp_path: Path) -> None:
    [version] = publish(root, tmp_path, "1")
    moved = Registry(root).promote("m", version, reason="better")
    assert (moved.version, moved.previous, moved.reason) == (version, None, "better")
    assert not moved.forced
    assert Registry(root).resolve("m", "champion") == (version, moved.digest)


def test_what_another_alias_names_is_promoted_by_that_name(root: str, tmp_path: Path) -> None:
    [version] = publish(root, tmp_path, "1")
    registry = Registry(root)
    registry.promote("m", version, "candidate", reason="to be tried")
    assert registry.promote("m", "candidate", reason="it held").version == version
    assert registry.aliases("m").keys() == {"candidate", "champion"}


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        (REJECTED, "the gate did not pass it"),
        (b'{"passed": "yes"}', "the gate did not pass it"),
        (b"[]", "the gate did not pass it"),
        (b"{", r"its report/verdict\.json is not JSON"),
    ],
)
def test_what_the_gate_did_not_pass_is_promoted_by_force_alone(
    root: str, tmp_path: Path, verdict: bytes, message: str
) -> None:
    [version] = publish(root, tmp_path, "1", verdict=verdict)
    registry = Registry(root)
    with pytest.raises(RegistryError, match=f"{message}.*--force --reason TEXT, which is recorded"):
        registry.promote("m", version, reason="I like it")
    assert registry.aliases("m") == {}
    assert registry.promote("m", version, reason="I like it", force=True).forced
    assert registry.aliases("m")["champion"].reason == "I like it"
    tree = json.loads(open_store(root).read(CHAMPION) or b"")
    assert (tree["forced"], tree["reason"]) == (True, "I like it")


def test_force_is_not_recorded_where_it_was_not_needed(root: str, tmp_path: Path) -> None:
    [version] = publish(root, tmp_path, "1")
    assert not Registry(root).promote("m", version, reason="better", force=True).forced


def test_a_rollback_to_what_was_forced_is_forced(root: str, tmp_path: Path) -> None:
    registry = Registry(root)
    [rejected] = publish(root, tmp_path, "1", verdict=REJECTED)
    [passed] = publish(root, tmp_path, "2")
    assert registry.promote("m", rejected, reason="I like it", force=True).forced
    assert not registry.promote("m", passed, reason="better").forced
    back = registry.rollback("m", reason="it was not")
    assert (back.version, back.forced) == (rejected, True)
    assert [move.forced for move in back.history] == [False, True]
    assert not registry.rollback("m", reason="it was").forced


def test_an_alias_that_is_set_by_hand_says_whether_the_gate_had_passed(
    root: str, tmp_path: Path
) -> None:
    for number, verdict in enumerate((REJECTED, PASSED)):
        [version] = publish(root, tmp_path, str(number), verdict=verdict)
        assert Registry(root).set_alias("m", "x", version, "x").forced == (verdict == REJECTED)


def test_promoting_what_the_alias_names_records_nothing(root: str, tmp_path: Path) -> None:
    [version] = publish(root, tmp_path, "1", verdict=REJECTED)
    first = Registry(root).promote("m", version, reason="one", force=True)
    assert Registry(root).promote("m", version, reason="two", force=True) == first
    assert Registry(root).aliases("m") == {"champion": first}


def test_a_changed_verdict_is_not_believed(root: str, tmp_path: Path) -> None:
    [version] = publish(root, tmp_path, "1", verdict=REJECTED)
    open_store(root).write(f"models/m/versions/{version}/report/verdict.json", b'{"passed": true}')
    with pytest.raises(IntegrityError, match=r"report/verdict\.json is not what was published"):
        Registry(root).promote("m", version, reason="better")


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_reason_is_needed(root: str, tmp_path: Path, reason: str) -> None:
    first, second = publish(root, tmp_path, "1", "2")
    registry = Registry(root)
    with pytest.raises(RegistryError, match="promoting needs a reason"):
        registry.promote("m", first, reason=reason)
    for version in (first, second):
        registry.promote("m", version, reason="better")
    with pytest.raises(RegistryError, match="rolling back needs a reason"):
        registry.rollback("m", reason=reason)


def test_rolling_back_goes_to_the_version_before_and_is_remembered(
    root: str, tmp_path: Path
) -> None:
    first, second = publish(root, tmp_path, "1", "2")
    registry = Registry(root)
    registry.promote("m", first, reason="one")
    registry.promote("m", second, reason="two")
    back = registry.rollback("m", reason="two draws ghosts")
    assert (back.version, back.previous, back.reason) == (first, second, "two draws ghosts")
    assert [move.reason for move in back.history] == ["two", "one"]
    assert registry.rollback("m", reason="after all").version == second


def test_an_alias_that_never_moved_is_not_rolled_back(root: str, tmp_path: Path) -> None:
    [version] = publish(root, tmp_path, "1")
    registry = Registry(root)
    with pytest.raises(RegistryError, match="no alias 'champion'"):
        registry.rollback("m", reason="x")
    registry.promote("m", version, reason="one")
    with pytest.raises(RegistryError, match="m@champion has named no other version"):
        registry.rollback("m", reason="x")


def test_a_move_whose_answer_got_lost_is_not_made_twice(root: str, tmp_path: Path) -> None:
    """The write took place, the storage client tried again, and was told that it was too late."""
    first, second, third = publish(root, tmp_path, "1", "2", "3")
    registry, store = Registry(root), open_store(root)
    registry.promote("m", first, reason="one")
    original, lost = store.write, []

    def write(name: str, content: bytes, *, if_generation: int | None = None) -> None:
        original(name, content, if_generation=if_generation)
        if not lost:
            lost.append(name)
            registry.promote("m", third, reason="someone else's, right after")
            raise PreconditionError("lost")

    store.write = write  # type: ignore[method-assign]
    manifest = registry.manifest("m", second)
    aliases.move(store, "m", "champion", lambda _: (second, manifest), reason="two")
    found = registry.aliases("m")["champion"]
    assert [move.version for move in (found, *found.history)] == [third, second, first]


def test_the_history_is_bounded(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliases, "HISTORY", 3)
    first, second = publish(root, tmp_path, "1", "2")
    registry = Registry(root)
    for number in range(6):
        registry.promote("m", (first, second)[number % 2], reason=str(number))
    found = registry.aliases("m")["champion"]
    assert [move.reason for move in (found, *found.history)] == ["5", "4", "3", "2"]


def test_what_an_alias_named_lately_is_known() -> None:
    def move(number: int) -> Move:
        at = f"2026-01-0{number}T00:00:00+00:00"
        return Move(f"v{number}", "", f"v{number - 1}", "", at, "", False, str(number))

    alias = Alias(**dataclasses.asdict(move(5)), history=tuple(move(n) for n in (4, 3, 2, 1)))
    for day, expected in ((9, "v5 v4"), (5, "v5 v4"), (4, "v5 v4 v3"), (3, "v5 v4 v3 v2")):
        time = datetime.datetime(2026, 1, day, tzinfo=datetime.UTC)
        assert alias.named_since(time) == set(expected.split()), day
        assert alias.remembers(time)


def test_an_alias_written_before_there_were_histories_is_read(root: str, tmp_path: Path) -> None:
    first, second = publish(root, tmp_path, "1", "2")
    registry, store = Registry(root), open_store(root)
    registry.promote("m", first, reason="one")
    tree = json.loads(store.read(CHAMPION) or b"")
    for field in ("history", "id", "forced"):
        del tree[field]
    store.write(CHAMPION, to_json(tree))
    moved = registry.promote("m", second, reason="two")
    assert [move.reason for move in (moved, *moved.history)] == ["two", "one"]


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "../../../etc"},
        {"version": "../../../etc"},
        {"at": "yesterday"},
        {"at": "2026-01-01"},
        {"history": 5},
        {"history": [{"version": "x"}]},
    ],
)
def test_a_forged_alias_is_refused(root: str, tmp_path: Path, change: dict[str, object]) -> None:
    [version] = publish(root, tmp_path, "1")
    registry, store = Registry(root), open_store(root)
    registry.promote("m", version, reason="one")
    store.write(CHAMPION, to_json(json.loads(store.read(CHAMPION) or b"") | change))
    with pytest.raises(IntegrityError, match=r"champion\.json is not a valid alias"):
        registry.resolve("m", "champion")
