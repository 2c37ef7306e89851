"""The presets as they are shipped, on their real data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aegan_pipelines.local_runner import run_locally

from aegan.config_file import load_config
from aegan.store import open_store
from tests.conftest import SHARED_DATA

FASHION = SHARED_DATA / "fashion-mnist"


def test_the_digits_preset_passes_its_own_gate(tmp_path: Path) -> None:
    record = run_locally(
        load_config("digits"),
        str(tmp_path),
        show=lambda *_: None,
        progress_seconds=60,
    )
    assert record["status"] == "published"
    assert record["stages"]["evaluate"]["summary"]["reconstruction_mse"] < 0.0065  # PCA: 0.0112
    report = open_store(f"{record['stages']['evaluate']['outputs']}/report")
    verdict = json.loads(report.read("verdict.json") or b"")
    assert len(verdict["checks"]) == 3


@pytest.mark.skipif(not FASHION.is_dir(), reason=f"the Fashion-MNIST files are not at {FASHION}")
def test_the_fashion_mnist_preset_runs_on_the_real_files(tmp_path: Path) -> None:
    """A small budget: that the preset reaches its scores is measured by running it whole."""
    overrides = [f"data.source={FASHION}", "evaluation.thresholds={}"]
    overrides += ["autoencoder.steps=600", "gan.steps=50", "gan.components=20"]
    overrides += ["gan.draws_per_sample=8"]
    overrides += ["evaluation.samples=1000", "evaluation.feature_steps=200"]
    record = run_locally(
        load_config("fashion-mnist", overrides),
        str(tmp_path),
        show=lambda *_: None,
        progress_seconds=60,
    )
    assert record["status"] == "published"
    assert record["stages"]["normalize"]["summary"]["test"] == 10_000
    summary = record["stages"]["evaluate"]["summary"]
    assert summary["reconstruction_mse"] < summary["pca_reconstruction_mse"]
    assert 0.014 < summary["pca_reconstruction_mse"] < 0.016  # 0.0151 is well known
    assert summary["frechet_distance_ratio_to_gaussian"] < 0.5
