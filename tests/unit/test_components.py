"""What a component does around its stage."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aegan_components.evaluate import evaluate

from aegan.config_file import validate
from aegan.stages import evaluate as stage
from aegan.stages.stage import StageResult
from tests.conftest import tiny


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
