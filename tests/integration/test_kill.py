"""SIGKILL at random moments: whatever a training was doing, it ends with the weights of one left alone.

Each case is killed several times, at moments drawn over the time that it takes, while it writes one
checkpoint after the other; each attempt not before its own first checkpoint, from which on it trains.
`python -m tests.integration.test_kill 20` kills each case so many times, prints a table, and exits 1 if
weights differ.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegan.checkpoints import MARKER
from aegan.store import open_store
from tests.conftest import tiny
from tests.gcs import FAULTS, OWED, STRUCK, StrictEmulator

FULL = {"batch": "full", "micro_batch_size": 32}
COMMON = {"hidden": [64], "back_off": 1}
CASES: dict[tuple[str, str], dict[str, Any]] = {
    ("autoencoder", "mini"): COMMON | {"steps": 12_000, "kind": "denoising", "dropout": 0.1},
    ("autoencoder", "full"): COMMON | FULL | {"steps": 1500, "kind": "variational"},
    ("gan", "mini"): COMMON | {"steps": 9000, "space": "data", "generator_steps": 2},
    ("gan", "full"): COMMON | FULL | {"steps": 1200, "space": "data", "discriminator_steps": 2},
}
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tensorflow", "keras"])


def train(mode: str, batch: str, root: str, emulator: str, out: str) -> None:
    """Train in this process; writes the digest of all weights and slots to `out`."""
    tempfile.tempdir = f"{out}-scratch"
    os.makedirs(tempfile.tempdir, exist_ok=True)
    os.environ["STORAGE_EMULATOR_HOST"] = emulator
    from aegan import autoencoder, gan, training
    from aegan.checkpoints import Checkpoints
    from aegan.config_file import validate

    data = {"source": "x", "kind": "tabular"}
    # A checkpoint waits for the one before, and a bucket's failed requests for a second or two.
    section = CASES[mode, batch] | {"checkpoint_seconds": 0.5 if emulator else 0.02}
    config = validate(tiny(data=data, **{mode: section}), "test")
    x = np.random.default_rng(0).random((500, 20), np.float32)
    learner: Any
    if mode == "autoencoder":
        learner, plan = (
            autoencoder.AutoencoderLearner(config, (20,), x[:50]),
            autoencoder.plan(config),
        )
    else:
        learner, plan = gan.GanLearner(config, (20,), None), gan.plan(config)
    plan = replace(plan, validate_every=max(1, plan.steps // 20))
    checkpoints = Checkpoints(open_store(root), "checkpoints", plan.stage)
    training.PROGRAM_SECONDS = 0.05
    training.train(learner, x, plan, checkpoints)
    digest = hashlib.sha256(b"".join(v.numpy().tobytes() for v in learner.state())).hexdigest()
    Path(out).write_text(digest)


def start(*arguments: str) -> Any:
    process = PROCESSES.Process(target=train, args=arguments)
    process.start()
    return process


def complete(root: str) -> set[str]:
    """The markers of the checkpoints that lie there."""
    return {name for name in open_store(root).list("checkpoints") if name.endswith(MARKER)}


def newest(root: str) -> int:
    """The position of the newest checkpoint."""
    return max(int(name.split("/")[-2].split("-")[1]) for name in complete(root))


def wait_until_it_trains(process: Any, root: str, before: set[str]) -> None:
    """Until there is a checkpoint of the process itself, or it has ended."""
    while process.is_alive() and complete(root) <= before:
        time.sleep(0.01)


def was_writing(out: str) -> bool:
    """Whether who was killed left a checkpoint half made or half copied; clears it away.

    What it fetched to restore lies deeper in the same folder: below the checkpoint's name.
    """
    scratch = Path(f"{out}-scratch")
    left = any(scratch.glob("*/state*"))
    shutil.rmtree(scratch, ignore_errors=True)
    return left


def killed(
    mode: str, batch: str, root: str, emulator: str, kills: int, seed: int
) -> dict[str, Any]:
    """Train uninterrupted, then once more with kills; what happened, and both digests."""
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        alone, interrupted = f"{name}/alone", f"{name}/interrupted"
        process = start(mode, batch, f"{name}/root", emulator, alone)
        wait_until_it_trains(process, f"{name}/root", set())
        began = time.monotonic()
        process.join()
        assert process.exitcode == 0
        seconds = time.monotonic() - began
        positions: list[int] = []
        writing = 0
        while not Path(interrupted).exists():
            before = complete(root)
            process = start(mode, batch, root, emulator, interrupted)
            if len(positions) < kills:
                wait_until_it_trains(process, root, before)
                process.join(moments.uniform(0, seconds / kills))
                if process.is_alive():
                    process.kill()
                    process.join()
                    positions.append(newest(root))
                    writing += was_writing(interrupted)
            process.join()
            assert process.exitcode in (0, -9)
        return {
            "kills": len(positions),
            "each further on": positions == sorted(set(positions)),
            "while writing a checkpoint": writing,
            "same": Path(alone).read_text() == Path(interrupted).read_text(),
            "sha256": Path(interrupted).read_text()[:12],
        }


def faults(seed: int) -> Any:
    """A fifth of all requests fail, half of these because half an upload arrived and was refused."""
    drawn = random.Random(seed)
    while True:
        yield drawn.choice(["", "", "", "", "", "", "", "", "unavailable", "truncated"])


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder and a bucket whose requests fail now and then."""
    with StrictEmulator() as emulator:
        FAULTS[:] = [faults(1)]
        os.environ["STORAGE_EMULATOR_HOST"] = emulator.url
        yield {
            "folder": lambda: (str(tmp_path_factory.mktemp("kill")), ""),
            "bucket": lambda: (emulator.new_prefix(), emulator.url),
        }
        FAULTS.clear()
        OWED.clear()
        del os.environ["STORAGE_EMULATOR_HOST"]


@pytest.mark.parametrize(
    ("mode", "batch", "place"),
    [  # each mode, batch and place twice; the command above runs all eight
        ("autoencoder", "mini", "bucket"),
        ("autoencoder", "full", "folder"),
        ("gan", "mini", "folder"),
        ("gan", "full", "bucket"),
    ],
)
def test_killed_at_random_moments_it_ends_with_the_same_weights(
    mode: str, batch: str, place: str, places: Any
) -> None:
    STRUCK.clear()
    found = killed(mode, batch, *places[place](), kills=3, seed=5)
    assert found["same"], found
    assert found["kills"] >= 1, "training ended before its first moment"
    assert found["each further on"], "killed before it trained"
    if place == "bucket":
        assert STRUCK["unavailable"], STRUCK
        assert STRUCK["truncated"], STRUCK
        assert not STRUCK["taken by half"]


def test_only_a_checkpoint_in_the_making_counts_as_written(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    fetched = tmp_path / "out-scratch" / "aegan-1" / "checkpoints" / "step-000000001-a"
    fetched.mkdir(parents=True)
    (fetched / "state.index").touch()
    assert not was_writing(out)
    made = tmp_path / "out-scratch" / "aegan-2"
    made.mkdir(parents=True)
    (made / "state.index").touch()
    assert was_writing(out)
    assert not was_writing(out)


if __name__ == "__main__":
    same = True
    with StrictEmulator() as running, tempfile.TemporaryDirectory() as scratch:
        FAULTS[:] = [faults(2)]
        os.environ["STORAGE_EMULATOR_HOST"] = running.url
        for number, (mode_, batch_) in enumerate(CASES):
            for where in ("folder", "bucket"):
                root_ = f"{scratch}/{number}" if where == "folder" else running.new_prefix()
                host = "" if where == "folder" else running.url
                row = killed(mode_, batch_, root_, host, int(sys.argv[1]), number)
                print(
                    json.dumps({"training": mode_, "batch": batch_, "in": where} | row), flush=True
                )
                same &= row["same"]
    sys.exit(not same)
