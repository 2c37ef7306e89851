"""Taking turns in a folder and in a bucket."""

from __future__ import annotations

import json
import threading
import time

from aegan.errors import StoreError
from aegan.stages.stage import run_stage
from aegan.stages.turns import turn
from aegan.store import open_store


def test_of_several_that_want_the_same_stage_one_does_it_and_the_others_reuse_it(root: str) -> None:
    store, done = open_store(root), []

    def work(output: object) -> dict[str, int]:
        time.sleep(0.3)
        done.append(output)
        return {}

    def take() -> None:
        with turn(store, "turns/a.json"):
            run_stage(root, "train_gan", "k", work, fresh="")

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 1
    assert store.list("turns") == []


def test_without_turns_both_work_and_the_outputs_are_whole(tmp_path: object) -> None:
    root, both, results = str(tmp_path), threading.Barrier(2), []

    def work(output: object) -> dict[str, int]:
        both.wait(20)
        (output / "weights").write_text("same")  # type: ignore[operator]
        return {}

    def take() -> None:
        results.append(run_stage(root, "train_gan", "k", work, fresh=""))

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({result.attempt for result in results}) == 2
    again = run_stage(root, "train_gan", "k", lambda _: {"never": 1}, fresh="")
    assert again.attempt in {result.attempt for result in results}


def test_a_turn_whose_holder_was_killed_is_taken_over(root: str) -> None:
    store = open_store(root)
    store.write("turns/a.json", b'{"holder": "killed", "mark": "1"}')
    start = time.monotonic()
    with turn(store, "turns/a.json", stale=0.4):
        pass
    assert 0.4 <= time.monotonic() - start < 20


def test_who_was_killed_takes_its_own_turn_over_at_once(root: str) -> None:
    store = open_store(root)
    store.write("turns/a.json", b'{"holder": "trial 1/killed", "mark": "1"}')
    start = time.monotonic()
    with turn(store, "turns/a.json", worker="trial 1", stale=60):
        assert json.loads(store.read("turns/a.json") or b"")["holder"].startswith("trial 1/")
    assert time.monotonic() - start < 20
    store.write("turns/a.json", b'{"holder": "trial 11/working", "mark": "1"}')
    start = time.monotonic()
    with turn(store, "turns/a.json", worker="trial 1", stale=0.4):
        assert time.monotonic() - start > 0.4


def test_a_turn_that_takes_long_is_not_taken_over(root: str) -> None:
    store, order = open_store(root), []

    def wait() -> None:
        with turn(store, "turns/a.json", beat=0.1, stale=2.0):
            order.append("second")

    with turn(store, "turns/a.json", beat=0.1, stale=2.0):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(4.0)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_an_exception_gives_the_turn_back(root: str) -> None:
    store = open_store(root)
    for _ in range(2):
        try:
            with turn(store, "turns/a.json"):
                raise StoreError("full")
        except StoreError:
            assert store.list("turns") == []
