"""What a component does around its stage."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aegan_components.evaluate import evaluate
from aegan_components.train_autoencoder import train_autoencoder
from aegan_components.train_gan import train_gan

from aegan.config_file import validate
from aegan.stages import evaluate as stage
from aegan.stages import record
from aegan.stages import train_autoencoder as autoencoder_stage
from aegan.stages import train_gan as gan_stage
from aegan.stages.stage import StageResult
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


@pytest.mark.parametrize("state", ["SUCCEEDED", "COMPLETE", "RUNNING", "FAILED", "CANCELED"])
def test_a_run_that_published_did_so_whatever_kubeflow_calls_it(tmp_path: Path, state: str) -> None:
    config, store = validate(tiny(), "test").to_json(), open_store(str(tmp_path))
    assert record.run(config, str(tmp_path), "a-run", state, "")["status"] != "published"
    record.note_published(store, "a-run", {"version": "1"})
    assert record.run(config, str(tmp_path), "a-run", state, "")["status"] == "published"
    assert record.run(config, str(tmp_path), "another", state, "")["status"] != "published"


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
