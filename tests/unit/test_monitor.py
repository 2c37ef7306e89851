"""What a training shows while it runs: event files, previews, and no harm if it cannot."""

from __future__ import annotations

import io
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aegan import gcs_blobs
from aegan import monitor as monitor_module
from aegan.config_file import validate
from aegan.data.normalizer import Normalizer
from aegan.monitor import Monitor
from aegan.stages import normalize, train_autoencoder, train_gan
from aegan.stages.stage import StageResult
from aegan.store import open_store
from tests.conftest import tiny
from tests.gcs import FAULTS

PLACE = "key/train_gan"


def monitor_of(root: str, preview_every: int = 100) -> Monitor:
    scaling = Normalizer("minmax", np.float32(0), np.float32(255), "uint8")
    return Monitor(open_store(root), PLACE, scaling, stage="train_gan", preview_every=preview_every)


def records(*steps: int) -> list[dict[str, float]]:
    return [{"step": float(step), "loss": 1 / step, "learning_rate": 1e-3} for step in steps]


def preview() -> Any:
    return np.linspace(0, 1, 4 * 64, dtype=np.float32).reshape(4, 8, 8, 1)


def events(root: str, place: str = PLACE) -> dict[str, list[tuple[int, Any]]]:
    """Steps and values (scalars, PNGs) by tag, in the order in which TensorBoard reads them."""
    import tensorflow as tf

    store = open_store(root)
    found: dict[str, list[tuple[int, Any]]] = {}
    for name in store.list(f"tensorboard/{place}"):
        assert "tfevents" in name
        content = store.read(name) or b""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "file")
            path.write_bytes(content)
            for event in tf.compat.v1.train.summary_iterator(str(path)):
                for value in event.summary.value:
                    shown = value.image.encoded_image_string or value.simple_value
                    found.setdefault(value.tag, []).append((event.step, shown))
    return found


def test_event_files_hold_every_metric_and_the_previews(root: str) -> None:
    monitor = monitor_of(root)
    monitor.resume([])
    for record in records(60, 120, 180, 240):
        monitor.record(record, preview)
    monitor.close()
    found = events(root)
    assert set(found) == {"loss", "learning_rate", "preview"}
    assert found["loss"] == [(s, pytest.approx(1 / s)) for s in (60, 120, 180, 240)]
    # At the first evaluation at or after each multiple of the interval.
    assert [step for step, _ in found["preview"]] == [120, 240]
    store = open_store(root)
    names = [f"previews/{PLACE}/step-{step:09d}.png" for step in (120, 240)]
    assert store.list("previews") == names
    assert [store.read(name) for name in names] == [png for _, png in found["preview"]]
    assert Image.open(io.BytesIO(store.read(names[0]) or b"")).format == "PNG"


def test_the_first_record_is_there_at_once(tmp_path: Path) -> None:
    monitor = monitor_of(str(tmp_path))
    monitor.resume([])
    monitor.record(records(10)[0], preview)
    monitor.finish()
    assert [step for step, _ in events(str(tmp_path))["loss"]] == [10]


def test_a_resumed_training_shows_each_step_once(root: str) -> None:
    first = monitor_of(root)
    first.resume([])
    for record in records(100, 200, 300):
        first.record(record, preview)
    first.close()
    second = monitor_of(root)  # goes on from a checkpoint that was made after step 200
    second.resume(records(100, 200))
    assert [step for step, _ in events(root)["preview"]] == [100, 200]
    for record in records(300, 400):
        second.record(record, preview)
    second.close()
    found = events(root)
    for tag in ("loss", "preview"):
        assert [step for step, _ in found[tag]] == [100, 200, 300, 400]


def test_no_previews_are_made_where_none_are_wanted(tmp_path: Path) -> None:
    monitor = monitor_of(str(tmp_path), preview_every=0)
    monitor.record(records(100)[0], lambda: pytest.fail("a preview was made"))
    assert "preview" not in events(str(tmp_path))


def test_a_monitor_that_cannot_write_warns_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"in the way")
    monitor = monitor_of(str(file))
    monitor.resume([])
    for record in records(100, 200):
        monitor.record(record, preview)
    monitor.close()
    assert capfd.readouterr().err.count("warning: what the training shows is incomplete: ") == 1


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Iterator[str]]]:
    """Those of the bucket, which is given up on at once."""
    monkeypatch.setattr(gcs_blobs, "DEADLINE_SECONDS", 0.01)
    yield FAULTS
    FAULTS.clear()


def test_a_bucket_that_does_not_answer_holds_up_no_training(
    bucket: str,
    faults: list[Iterator[str]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(gcs_blobs, "TIMEOUT_SECONDS", (10.0, 20.0))
    monitor, answering = monitor_of(bucket), threading.Event()

    def silent() -> Iterator[str]:
        while True:
            answering.wait()
            yield ""

    faults[:] = [silent()]
    try:
        for record in records(100, 200):
            monitor.record(record, preview)
    finally:
        answering.set()
    monitor.close()
    found = events(bucket)
    assert [step for step, _ in found["loss"]] == [100, 200]
    assert [step for step, _ in found["preview"]] == [100, 200]
    assert len(open_store(bucket).list("previews")) == 2
    assert (
        "incomplete" not in capfd.readouterr().err
    )  # no request was given up before it was answered


def test_a_bucket_that_is_out_is_not_asked_again_at_once(
    bucket: str,
    faults: list[Iterator[str]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monitor, requests = monitor_of(bucket), []

    class Clock:  # each request takes longer than what is between two writings
        monotonic = staticmethod(lambda: 1000.0 * len(requests))
        time, time_ns = time.time, time.time_ns

    monkeypatch.setattr(monitor_module, "time", Clock)

    def out() -> Iterator[str]:
        while True:
            requests.append(1)
            yield "unavailable"

    faults[:] = [out()]
    monitor.record(records(100)[0], preview)
    monitor.finish()
    asked = len(requests)
    assert asked
    for record in records(200, 300):
        monitor.record(record, preview)
        monitor.finish()
    assert len(requests) == asked
    faults.clear()
    monitor.close()
    assert [step for step, _ in events(bucket)["loss"]] == [100, 200, 300]
    assert len(open_store(bucket).list("previews")) == 3
    assert capfd.readouterr().err.count("warning: what the training shows is incomplete: ") == 1


def trained(root: str, **autoencoder: Any) -> tuple[list[StageResult], str]:
    short = {"steps": 100, "validate_every": 10}
    tree = tiny(autoencoder=short | autoencoder, gan={"steps": 100})
    config = validate(tree, "test").to_json()
    dataset = normalize.run(config, root, "run").uri
    encoded = train_autoencoder.run(config, root, dataset)
    return [encoded, train_gan.run(config, root, dataset, encoded.uri)], dataset


def outputs(result: StageResult, name: str) -> str:
    return (Path(result.uri) / result.attempt / name).read_text("utf-8")


def test_both_trainings_show_their_history_and_ten_previews_and_say_where(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = str(tmp_path)
    results, _ = trained(root)
    narrated = capfd.readouterr().err
    for stage, result in zip(("train_autoencoder", "train_gan"), results, strict=True):
        (folder,) = tmp_path.glob(f"tensorboard/*/{stage}")
        assert f"aegan {stage} info: tensorboard --logdir {folder}\n" in narrated
        found = events(root, f"{folder.parent.name}/{stage}")
        assert len(found.pop("preview")) == 10
        history = [json.loads(line) for line in outputs(result, "history.jsonl").splitlines()]
        assert set(found) == set(history[0]) - {"step"}
        assert "samples_per_second" in found
        for name, values in found.items():
            assert values == [(r["step"], pytest.approx(r[name])) for r in history]
        took = json.loads(outputs(result, "cost.json"))
        assert took["seconds"] == pytest.approx(sum(r["seconds"] for r in history))
        devices = took["gpus"] or took["cpu_cores"]
        assert took["device_hours"] == pytest.approx(took["seconds"] * devices / 3600)
    assert "warning" not in narrated


def test_what_is_shown_changes_nothing_in_what_is_computed(tmp_path: Path) -> None:
    with_previews, _ = trained(str(tmp_path / "a"))
    without, _ = trained(str(tmp_path / "b"), preview_every=0)
    assert with_previews[0].summary == without[0].summary
    losses = [
        [json.loads(line)["loss"] for line in outputs(r[0], "history.jsonl").splitlines()]
        for r in (with_previews, without)
    ]
    assert losses[0] == losses[1]
