"""What a component does around its stage."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aegan_components.evaluate import evaluate
from aegan_components.train_autoencoder import train_autoencoder
from aegan_components.train_gan import train_gan

from aegan.config_file import validate
from aegan.digests import to_json
from aegan.stages import evaluate as stage
from aegan.stages import record
from aegan.stages import train_autoencoder as autoencoder_stage
from aegan.stages import train_gan as gan_stage
from aegan.stages.stage import STAGES, StageResult, stage_keys
from aegan.store import open_store
from tests.conftest import tiny


class Artifact:
    """A `dsl.Output[dsl.Model]`, whose URI is Kubeflow's to choose."""

    def __init__(self) -> None:
        object.__setattr__(self, "metadata", {})

    def __setattr__(self, name: str, value: Any) -> None:
        raise AssertionError(f"{name} was set: outside the run's own prefix that fails the step")


@pytest.mark.parametrize(
    ("component", "trained", "inputs"),
    [
        (train_autoencoder, autoencoder_stage, ("dataset",)),
        (train_gan, gan_stage, ("dataset", "autoencoder")),
    ],
)
def test_models_tell_where_they_are_and_nothing_that_is_no_number(
    component: Any, trained: Any, inputs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"steps": 7, "validation_loss": math.nan, "seconds": 1.5}
    result = StageResult("root/stage", "a", "2026-01-01T00:00:00Z", 1.0, {}, facts)
    monkeypatch.setattr(trained, "run", lambda *_, **__: result)
    model, config = Artifact(), validate(tiny(), "test").to_json()
    uri = component.python_func(config, "", "", "root", *inputs, "", model)
    assert uri == "root/stage"
    assert model.metadata == {"location": "root/stage", "steps": 7, "seconds": 1.5}


@pytest.mark.parametrize(
    ("state", "verdict", "reused", "status"),
    [
        ("COMPLETE", "passed", False, "failed"),  # reported as a success, and published nothing
        ("SUCCEEDED", None, False, "failed"),
        ("COMPLETE", "rejected", False, "rejected"),
        ("SUCCEEDED", "rejected", True, "rejected"),
        ("RUNNING", "rejected", True, "rejected"),  # Kubeflow did not keep up
        ("FAILED", "rejected", False, "rejected"),  # an attempt failed, the next did not
        ("FAILED", "rejected", True, "failed"),  # it never came to evaluate
        ("CANCELED", "rejected", False, "cancelled"),
    ],
)
def test_the_record_believes_outputs_and_not_what_kubeflow_says(
    state: str, verdict: str | None, reused: bool, status: str
) -> None:
    judged = {"evaluate": {"summary": {"verdict": verdict}, "reused": reused}}
    assert record._status(state, judged if verdict else {}) == status


def finished(
    root: Path, run_id: str, *, fresh: str = "", verdict: str = "passed"
) -> dict[str, str]:
    """A run that demands `fresh` outputs, and stages that were all done since it began."""
    store, config = open_store(str(root)), validate(tiny(), "test")
    began = {"started": "2026-01-01T00:00:00+00:00", "dataset_key": "data", "fresh": fresh}
    store.write(f"runs/{run_id}/began.json", to_json(began))
    places = {stage: f"stages/{stage}/{key}" for stage, key in stage_keys(config, "data").items()}
    for place in places.values():
        result = StageResult("", "a", "2026-01-01T00:01:00+00:00", 1.0, {}, {"verdict": verdict})
        store.write(f"{place}/stage.json", to_json(asdict(result)))
    return places


@pytest.mark.parametrize("failed", [None, "train_gan", "publish"])
@pytest.mark.parametrize("state", ["SUCCEEDED", "COMPLETE", "RUNNING", "FAILED", "CANCELED"])
def test_a_run_that_published_did_so_whatever_kubeflow_calls_it(
    tmp_path: Path, state: str, failed: str | None
) -> None:
    """An attempt that failed left its error, where the next one found the outputs whole."""
    config, store = validate(tiny(), "test").to_json(), open_store(str(tmp_path))
    places = finished(tmp_path, "a-run")
    if failed:
        failure = {"at": "2026-01-01T00:02:00+00:00", "error": "the bucket was away"}
        store.write(f"{places[failed]}/failure.json", to_json(failure))
    before = record.run(config, str(tmp_path), "a-run", state, "")
    assert (before["status"] != "published", before["model"]) == (True, None)
    assert before["error"] == (f"{failed}: the bucket was away" if failed else None)
    record.note_published(store, "a-run", {"version": "1", "uri": "root/1"})
    after = record.run(config, str(tmp_path), "a-run", state, "")
    facts = ("published", "root/1", None, list(STAGES))
    assert (after["status"], after["model"], after["error"], list(after["stages"])) == facts


def test_what_an_earlier_run_was_judged_says_nothing_of_one_that_does_all_anew(
    tmp_path: Path,
) -> None:
    config = validate(tiny(), "test").to_json()
    for fresh, status in (("", "rejected"), ("again", "failed")):
        finished(tmp_path, "a-run", fresh=fresh, verdict="rejected")
        assert record.run(config, str(tmp_path), "a-run", "RUNNING", "")["status"] == status


def test_no_score_that_is_not_a_number_reaches_kubeflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One would fail a task whose work is done."""
    scores = {"verdict": "rejected", "auc": math.nan, "ratio": math.inf, "mse": 0.5, "samples": 7}
    result = StageResult("root/evaluate", "a", "2026-01-01T00:00:00Z", 1.0, {}, scores)
    monkeypatch.setattr(stage, "run", lambda *_, **__: result)
    monkeypatch.setattr(stage, "read_report", lambda _: b"<html>")
    logged: dict[str, Any] = {}
    metrics = SimpleNamespace(log_metric=lambda name, value: logged.update({name: value}))
    report, uri = SimpleNamespace(path=str(tmp_path / "report")), tmp_path / "outputs" / "uri"
    config = validate(tiny(), "test").to_json()
    settings = (config, "", "", "root", "dataset", "autoencoder", "gan", "")
    verdict = evaluate.python_func(*settings, metrics, report, str(uri))
    assert (verdict, logged) == ("rejected", {"mse": 0.5})
    json.dumps(logged, allow_nan=False)
    assert (uri.read_text(), (tmp_path / "report").read_bytes()) == ("root/evaluate", b"<html>")
