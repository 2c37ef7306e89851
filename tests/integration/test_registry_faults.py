"""The registry while others race with it, processes are killed, and the network is unwell.

`python -m tests.integration.test_registry_faults 50` kills each operation 50 times on a folder and on a
bucket, lets 16 publishers race with 16 promoters in threads and in processes, and prints a table.
"""

from __future__ import annotations

import datetime
import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aegan import gcs_blobs
from aegan.errors import AeganError, RegistryError, StoreError
from aegan.loading import cached
from aegan.registry import Registry
from aegan.store import open_store
from tests.gcs import FAULTS, LISTING_FAULTS, OWED, STRUCK, StrictEmulator
from tests.versions import age_holds, folder, publish

RACERS = 16
DAY = datetime.timedelta(days=1)
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["google.cloud.storage", "aegan.registry", "tests.versions"])
# What a process does to the world outside: a kill comes right before one of these.
EVENTS = ("os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "http.client.send")


def _process(target: Callable[..., None], args: tuple[Any, ...]) -> Any:
    """A process that knows the emulator; the server that forks it may be older."""
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    return PROCESSES.Process(target=_with_emulator, args=(emulator, target, args))


def _with_emulator(emulator: str, target: Callable[..., None], args: tuple[Any, ...]) -> None:
    os.environ["STORAGE_EMULATOR_HOST"] = emulator
    target(*args)


# --- Races


def _publish(root: str, scratch: str, number: int) -> None:
    source = folder(Path(scratch) / f"racer-{number}", weights=f"racer {number}".encode())
    Registry(root).publish("m", source)


def _promote(root: str, version: str) -> None:
    Registry(root).promote("m", version, reason=version)


def race(root: str, scratch: Path, kind: str) -> dict[str, Any]:
    """Publishers and promoters at once, and readers who look at all there is; what came out."""
    candidates = publish(root, scratch, *map(str, range(RACERS)))
    make = threading.Thread if kind == "threads" else _process
    racers: Any = [make(target=_publish, args=(root, str(scratch), n)) for n in range(RACERS)]
    racers += [make(target=_promote, args=(root, version)) for version in candidates]
    random.Random(7).shuffle(racers)
    for racer in racers:
        racer.start()
    registry, looks = Registry(root), 0
    while any(racer.is_alive() for racer in racers):
        looks += 1
        check(registry)
    for racer in racers:
        racer.join()
    versions, champion = registry.versions("m"), registry.aliases("m")["champion"]
    moves = (champion, *champion.history)
    return {
        "versions": len(versions),
        "moves": len(moves),
        "moved to each": sorted(move.version for move in moves) == sorted(candidates),
        "whole": check(registry) == len(versions),
        "looks": looks,
    }


def check(registry: Registry) -> int:
    """Every version that can be seen is whole, every alias leads to one, and none forgot a move."""
    versions = registry.versions("m")
    for version in versions:
        registry.verify("m", version)
    for alias in registry.aliases("m").values():
        assert alias.version in registry.versions("m")
        assert registry.manifest("m", alias.version).digest == alias.digest
        moves = (alias, *alias.history)
        assert [move.previous for move in moves] == [*(m.version for m in moves[1:]), None]
    return len(versions)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_no_move_is_lost_and_no_version_is_half_visible_in_a_race(
    root: str, tmp_path: Path, kind: str
) -> None:
    found = race(root, tmp_path, kind)
    assert found["looks"] > 0
    assert found | {"looks": 0} == {
        "versions": 2 * RACERS,
        "moves": RACERS,
        "moved to each": True,
        "whole": True,
        "looks": 0,
    }


def test_collections_and_promoters_race_and_no_alias_is_left_without_its_version(
    root: str, tmp_path: Path
) -> None:
    versions = publish(root, tmp_path, *map(str, range(12)))
    registry = Registry(root)
    registry.promote("m", versions[0], reason="x")
    age_holds(root)
    outcomes: list[str] = []
    start = threading.Barrier(len(versions) + 3)

    def promote(version: str) -> None:
        start.wait()
        try:
            Registry(root).promote("m", version, reason="x")
            outcomes.append("promoted")
        except RegistryError as error:
            outcomes.append(str(error))

    def collect() -> None:
        start.wait()
        Registry(root).gc(keep=0, older_than=0 * DAY, grace=0 * DAY)

    racers = [threading.Thread(target=promote, args=(version,)) for version in versions]
    racers += [threading.Thread(target=collect) for _ in range(3)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    promoted, refused = outcomes.count("promoted"), [x for x in outcomes if x != "promoted"]
    assert promoted + len(refused) == len(versions)
    gone = ("is being deleted", "was deleted", "no version")
    assert all(any(words in text for words in gone) for text in refused), refused
    check(registry)
    # The first was promoted before and may have been once more, or not, if it was the champion still.
    assert promoted <= len(registry.aliases("m")["champion"].history) + 1 <= promoted + 1


# --- Kills


def _killed_at(point: int, action: str, root: str, scratch: str, told: Any) -> None:
    """Do something in this process, and be killed right before its point-th event; never for 0."""
    seen = itertools.count(1)  # of which each thread gets a number of its own

    def count(event: str, _: Any) -> None:
        if event in EVENTS and next(seen) >= point > 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    ACTIONS[action](root, scratch)
    told.send(next(seen) - 1)


def _collect(root: str, _: str) -> None:
    Registry(root).gc(keep=1, older_than=0 * DAY, grace=0 * DAY)


ACTIONS: dict[str, Callable[[str, str], None]] = {
    "publish": lambda root, scratch: _publish(root, scratch, 0),
    "promote": lambda root, _: _promote(root, Registry(root).versions("m")[-1]),
    "gc": _collect,
}


class Kills:
    """One operation on new registries, killed again and again."""

    def __init__(self, action: str, new_root: Callable[[], str], scratch: Path):
        self.action, self._new_root, self._scratch = action, new_root, scratch
        _publish(new_root(), str(scratch), 0)  # its source is there before anything is counted
        self.events = self._run(self._prepared(), 0)
        assert self.events > 0

    def _prepared(self) -> str:
        """A registry with three versions, of which the champion is the second."""
        root = self._new_root()
        for content in ("1", "2", "3"):
            publish(root, self._scratch, content)
        Registry(root).promote("m", Registry(root).versions("m")[1], reason="x")
        if self.action == "gc":
            age_holds(root)
        return root

    def _run(self, root: str, point: int, after: float | None = None) -> int:
        """How many events there were; 0 if it was killed."""
        told, tell = PROCESSES.Pipe(duplex=False)
        arguments = (point, self.action, root, str(self._scratch), tell)
        process = _process(_killed_at, arguments)
        process.start()
        tell.close()
        if after is not None:
            process.join(after)
            process.kill()
        process.join()
        try:
            return int(told.recv())
        except EOFError:
            assert process.exitcode == -signal.SIGKILL
            return 0

    def kill(self, point: int, after: float | None = None) -> str:
        """Kill once; readers find the old state or the new, and the same command goes on from there.

        Returns:
            `old` or `new`; `ended`, if it came to its end before it could be killed.
        """
        root = self._prepared()
        registry = Registry(root)
        before = state(registry)
        killed = not self._run(root, point, after)
        check(registry)
        found = state(registry)
        ACTIONS[self.action](root, str(self._scratch))
        check(registry)
        if self.action == "gc":
            left = open_store(root).list("models/m")
            kept = registry.versions("m")
            assert all(any(v in path for v in kept) or "/aliases/" in path for path in left), left
        if not killed:
            return "ended"
        return "old" if found == before else "new"


def repeated(kill: Callable[[], str], count: int) -> list[str]:
    """Kill until so many were killed, and not ended before it; at most three times as often."""
    found: list[str] = []
    while len(found) - found.count("ended") < count and len(found) < 3 * count:
        found.append(kill())
    return found


def many(action: str, new_root: Callable[[], str], scratch: Path, wanted: int) -> dict[str, int]:
    """Kill half so many times before random events, half at random moments; what came out."""
    kills, drawn, half = Kills(action, new_root, scratch), random.Random(11), wanted // 2
    root = kills._prepared()
    began = time.monotonic()
    kills._run(root, 0)
    seconds = time.monotonic() - began
    found = repeated(lambda: kills.kill(drawn.randint(1, kills.events)), half)
    found += repeated(lambda: kills.kill(0, drawn.uniform(0, seconds)), half)
    row = {result: found.count(result) for result in ("old", "new", "ended")}
    return {"events": kills.events, "kills": row["old"] + row["new"]} | row


def state(registry: Registry) -> tuple[object, ...]:
    """What readers can see."""
    aliases = registry.aliases("m")
    return registry.versions("m"), {key: alias.version for key, alias in aliases.items()}


@pytest.mark.parametrize("action", ACTIONS)
def test_whoever_is_killed_leaves_the_old_state_or_the_new(
    root: str, tmp_path: Path, action: str
) -> None:
    numbers = (f"{root}-{number}" for number in range(1000))
    kills = Kills(action, lambda: next(numbers), tmp_path)
    drawn = random.Random(3)
    assert kills.kill(1) == "old"
    kills.kill(
        kills.events
    )  # Threads wait for other things each time: this event may not come to be.
    found = repeated(lambda: kills.kill(drawn.randint(1, kills.events)), 4)
    assert len(found) - found.count("ended") == 4, found


# --- An unwell network


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pauses and time-outs much shorter; no faults remain."""
    monkeypatch.setattr(gcs_blobs, "DEADLINE_SECONDS", 60.0)
    monkeypatch.setattr(gcs_blobs, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(gcs_blobs, "TIMEOUT_SECONDS", (5.0, 1.0))
    yield
    FAULTS.clear()
    LISTING_FAULTS.clear()
    STRUCK.clear()
    OWED.clear()


def faults(kinds: list[str], share: float, seed: int) -> Iterator[str]:
    """An endless series in which a share of all requests fail."""
    drawn = random.Random(seed)
    while True:
        yield drawn.choice(kinds) if drawn.random() < share else ""


KINDS = ["unavailable", "limited", "truncated", "reset", "lost", "cut", "damaged", "slow"]


@pytest.mark.parametrize("kinds", [*([kind] for kind in KINDS), KINDS], ids=lambda x: "+".join(x))
def test_what_fails_in_passing_is_tried_again_and_nothing_is_corrupt(
    bucket: str,
    tmp_path: Path,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
    kinds: list[str],
) -> None:
    registry = Registry(bucket)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    share = 0.05 if kinds == ["slow"] else 0.3  # all others wait behind a slow one, and time out
    FAULTS[:] = [faults(kinds, share, 1)]
    LISTING_FAULTS[:] = [faults([kind for kind in kinds if kind != "truncated"] or [""], share, 2)]
    versions = publish(bucket, tmp_path, "1", "2", "3")
    for version in versions:
        registry.promote("m", version, reason=version)
    registry.pull("m", versions[0], tmp_path / "pulled")
    registry.rollback("m", reason="back")
    assert check(registry) == 3
    copy = cached(registry, "m", *registry.find("m", "champion"))
    age_holds(bucket)
    collected = registry.gc(keep=0, older_than=0 * DAY, grace=0 * DAY)
    FAULTS.clear()
    LISTING_FAULTS.clear()
    assert all(STRUCK[kind] > 0 for kind in kinds), STRUCK
    assert not STRUCK["taken by half"]
    assert (tmp_path / "pulled" / "weights").read_bytes() == b"1"
    assert (copy / "weights").read_bytes() == b"2"
    assert [doomed.version for doomed in collected] == [versions[0]]
    assert registry.versions("m") == sorted(versions[1:])
    champion = registry.aliases("m")["champion"]
    expected = [versions[1], versions[2], versions[1], versions[0]]
    assert [move.version for move in (champion, *champion.history)] == expected
    assert check(registry) == 2


def test_a_large_object_is_tried_again_in_pieces(
    bucket: str, tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent in a session, which takes several requests, and fetched in pieces."""
    monkeypatch.setattr(gcs_blobs, "PIECE", 2**20)
    content = random.Random(5).randbytes(9 * 2**20)
    registry, kinds = Registry(bucket), ["unavailable", "limited", "reset", "cut", "damaged"]
    FAULTS[:] = [faults(kinds, 0.1, 4)]
    version = registry.publish("m", folder(tmp_path / "source", weights=content))
    registry.verify("m", version)
    registry.pull("m", version, tmp_path / "pulled")
    FAULTS.clear()
    assert all(STRUCK[kind] > 0 for kind in kinds), STRUCK
    assert (tmp_path / "pulled" / "weights").read_bytes() == content


@pytest.mark.parametrize("kind", ["unavailable", "limited", "reset", "slow", "damaged", "cut"])
def test_what_fails_for_good_is_told_within_the_deadline_and_changes_nothing(
    bucket: str, tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    first, second = publish(bucket, tmp_path, "1", "2")
    registry = Registry(bucket)
    registry.promote("m", first, reason="one")
    before = state(registry)
    monkeypatch.setattr(gcs_blobs, "DEADLINE_SECONDS", 1.0)
    FAULTS[:] = [faults([kind], 1.0, 1)]
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"cannot reach gs://|refused|arrived damaged"):
        registry.pull("m", second, tmp_path / "pulled")
    if kind not in ("damaged", "cut"):  # with which writes succeed
        with pytest.raises(StoreError, match=r"cannot reach gs://|refused"):
            registry.promote("m", second, reason="two")
        with pytest.raises(AeganError, match=r"cannot reach gs://|refused"):
            publish(bucket, tmp_path, "3")
    assert time.monotonic() - began < 15
    assert STRUCK[kind] > 0
    FAULTS.clear()
    assert not (tmp_path / "pulled").exists()
    assert state(registry) == before
    check(registry)


if __name__ == "__main__":
    with StrictEmulator() as running, tempfile.TemporaryDirectory() as scratch_:
        os.environ["STORAGE_EMULATOR_HOST"] = running.url
        wanted = int(sys.argv[1])
        for where in ("folder", "bucket"):

            def new_root(where: str = where) -> str:
                return running.new_prefix() if where == "bucket" else tempfile.mkdtemp(dir=scratch_)

            for kind_ in ("threads", "processes"):
                row = race(new_root(), Path(tempfile.mkdtemp(dir=scratch_)), kind_)
                print(json.dumps({"in": where, "race": kind_} | row), flush=True)
            for action_ in ACTIONS:
                row = many(action_, new_root, Path(tempfile.mkdtemp(dir=scratch_)), wanted)
                print(json.dumps({"in": where, "killed": action_} | row), flush=True)
