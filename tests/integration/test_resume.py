"""A training that was killed goes on to the weights it would have had."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegan.checkpoints import MARKER
from aegan.config_file import validate
from aegan.stages import normalize, train_autoencoder
from aegan.stages.stage import read_result
from tests.conftest import heed_signals, tiny

RUN = """
import sys
from aegan.stages import train_autoencoder, train_gan
config, root, stage, *uris = sys.argv[1:]
modules = {"train_autoencoder": train_autoencoder, "train_gan": train_gan}
modules[stage].run(open(config).read(), root, *uris)
"""


def slow() -> dict[str, Any]:
    """Long enough to be killed in the middle, with a checkpoint at every evaluation."""
    autoencoder = {"steps": 10_000, "validate_every": 200, "checkpoint_seconds": 0.01}
    gan = {"steps": 4_000, "checkpoint_seconds": 0.01}
    return tiny(autoencoder=autoencoder, gan=gan)


def start(
    config: Path, root: str, stage: str, *uris: str, progress_seconds: float = 3600
) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(config), root, stage, *uris]
    environment = os.environ | {"AEGAN_PROGRESS_SECONDS": str(progress_seconds)}
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=heed_signals
    )


def kill_after_checkpoint(process: subprocess.Popen[str], root: str, number: int) -> None:
    """SIGKILL as soon as the given number of different checkpoints have been seen."""
    seen: set[Path] = set()
    while len(seen) < number:
        assert process.poll() is None, process.stderr and process.stderr.read()
        with contextlib.suppress(FileNotFoundError):  # an older one is deleted at this moment
            seen |= set(Path(root, "checkpoints").rglob(MARKER))
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def weights(root: str, uri: str) -> list[Any]:
    import keras

    result = read_result(uri)
    assert result is not None
    folder = Path(result.uri) / result.attempt / "keras"
    models = [keras.models.load_model(path) for path in sorted(folder.iterdir())]
    return [weight for model in models for weight in model.get_weights()]


@pytest.mark.parametrize("stage", ["train_autoencoder", "train_gan"])
def test_killed_twice_and_resumed_gives_identical_weights(stage: str, tmp_path: Path) -> None:
    settings = validate(slow(), "slow")
    config = tmp_path / "config.json"
    config.write_text(settings.to_json())
    uninterrupted, interrupted = str(tmp_path / "a"), str(tmp_path / "b")
    found = {}
    for root in (uninterrupted, interrupted):
        uris = [normalize.run(settings.to_json(), root, "run").uri]
        if stage == "train_gan":
            short = validate(tiny(), "short").to_json()
            uris.append(train_autoencoder.run(short, root, uris[0]).uri)
        if root == interrupted:
            for number in (1, 2):
                kill_after_checkpoint(start(config, root, stage, *uris), root, number)
        process = start(config, root, stage, *uris)
        narration = process.communicate()[1]
        assert process.returncode == 0, narration
        assert ("resumed at step" in narration) == (root == interrupted)
        uri = narration_uri(root, stage)
        found[root] = weights(root, uri)
        history = history_of(uri)
        assert [r["step"] for r in history] == sorted({r["step"] for r in history})
    for first, second in zip(found[uninterrupted], found[interrupted], strict=True):
        assert np.array_equal(first, second)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_stop_it_checkpoints_and_goes_on_to_the_same_weights(
    sent: int, code: int, tmp_path: Path
) -> None:
    tree = tiny(autoencoder={"steps": 8_000, "checkpoint_seconds": 3600.0})
    config = tmp_path / "config.json"
    config.write_text(validate(tree, "stopped").to_json())
    found = []
    for root in (str(tmp_path / "a"), str(tmp_path / "b")):
        uri = normalize.run(config.read_text(), root, "run").uri
        if root.endswith("b"):
            process = start(config, root, "train_autoencoder", uri, progress_seconds=0.05)
            assert process.stderr is not None
            while "progress" not in process.stderr.readline():
                assert process.poll() is None
            process.send_signal(sent)
            assert "the same command goes on there" in process.communicate()[1]
            assert process.returncode == code
        narration = start(config, root, "train_autoencoder", uri).communicate()[1]
        assert ("resumed at step" in narration) == root.endswith("b")
        found.append(weights(root, narration_uri(root, "train_autoencoder")))
    for first, second in zip(*found, strict=True):
        assert np.array_equal(first, second)


def narration_uri(root: str, stage: str) -> str:
    folder = Path(root) / "stages" / stage
    newest = max(folder.glob("*/stage.json"), key=os.path.getmtime)
    return str(newest.parent)


def history_of(uri: str) -> list[dict[str, float]]:
    result = read_result(uri)
    assert result is not None
    text = (Path(uri) / result.attempt / "history.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import tensorflow as tf

    from aegan.checkpoints import Checkpoints
    from aegan.store import open_store

    store = open_store(str(tmp_path))
    checkpoints = Checkpoints(store, "checkpoints/k/s", "train_gan")
    variable = tf.Variable([1.0, 2.0])
    progress = {"history": [{"step": 10.0}], "sums": [0.1]}
    checkpoints.save(10, [variable], progress)
    kept = {name: store.read(name) for name in store.list("checkpoints")}
    variable.assign([3.0, 4.0])
    checkpoints.save(20, [variable], {})
    for name, content in kept.items():  # as if the older one had not been deleted yet
        store.write(name, content or b"")
    torn = next(name for name in store.list("checkpoints") if re.search("-0*20-.*data", name))
    store.write(torn, b"torn")
    assert checkpoints.restore([variable]) == (10, progress)
    assert variable.numpy().tolist() == [1.0, 2.0]
    assert "passed over the checkpoint of step 20: " in capfd.readouterr().err


def test_a_checkpoint_without_its_marker_does_not_exist(tmp_path: Path) -> None:
    import tensorflow as tf

    from aegan.checkpoints import Checkpoints
    from aegan.store import open_store

    store = open_store(str(tmp_path))
    checkpoints = Checkpoints(store, "checkpoints/k/s", "train_gan")
    variable = tf.Variable(1.0)
    checkpoints.save(10, [variable], {})
    marker = next(name for name in store.list("checkpoints/k/s") if name.endswith(MARKER))
    store.delete(marker)
    assert checkpoints.restore([variable]) == (0, {})


def test_two_writers_do_not_delete_each_others_checkpoints(tmp_path: Path) -> None:
    import tensorflow as tf

    from aegan.checkpoints import Checkpoints
    from aegan.store import open_store

    store = open_store(str(tmp_path))
    first, second = (Checkpoints(store, "checkpoints/k/s", "train_gan") for _ in range(2))
    variable = tf.Variable(1.0)
    for step, writer in ((10, first), (10, second), (20, second), (30, first), (40, second)):
        variable.assign(step)
        writer.save(step, [variable], {"step": step})
    kept = [name for name in store.list("checkpoints") if name.endswith(MARKER)]
    assert sorted(int(name.split("step-")[1][:9]) for name in kept) == [30, 40]
    third = Checkpoints(store, "checkpoints/k/s", "train_gan")
    assert third.restore([variable]) == (40, {"step": 40})
    assert float(variable) == 40


def test_a_finished_stage_leaves_no_checkpoints(published: dict[str, Any]) -> None:
    found = (Path(published["root"]) / "checkpoints").rglob("*")
    assert [path for path in found if path.is_file()] == []
