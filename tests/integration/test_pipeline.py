"""The whole pipeline through real kfp.local runs, and what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from aegan_pipelines.local_runner import run_locally, run_package
from aegan_pipelines.pipeline import compile_package
from sklearn.datasets import load_digits

from aegan.config_file import load_config, preset_names, validate
from aegan.errors import TrainingError
from aegan.registry import Registry
from aegan.stages import evaluate, train_autoencoder
from aegan.store import open_store
from tests.conftest import tiny
from tests.packages import started

STAGES = ["normalize", "train_autoencoder", "train_gan", "evaluate", "publish"]


def run_again(published: dict[str, Any], **sections: Any) -> tuple[dict[str, Any], list[Any]]:
    events: list[tuple[str, str, str]] = []
    record = run_locally(
        validate(tiny(**sections), "tiny"),
        published["root"],
        show=lambda *event: events.append(event),
        progress_seconds=60,
    )
    return record, events


def test_every_stage_runs_and_the_record_says_so(published: dict[str, Any]) -> None:
    assert published["status"] == "published"
    assert published["error"] is None
    assert set(published["stages"]) == set(STAGES)
    assert not any(stage["reused"] for stage in published["stages"].values())
    assert published["versions"]["kfp"].startswith("2.17")
    starts = [stage for stage, event, _ in published["events"] if event == "start"]
    assert starts == STAGES


def test_the_record_on_disk_is_the_record_returned(published: dict[str, Any]) -> None:
    path = Path(published["root"]) / "runs" / published["run_id"] / "run.json"
    on_disk = json.loads(path.read_text())
    assert on_disk["stages"] == published["stages"]
    assert on_disk["run_key"] == published["run_key"]


def test_training_reports_progress_with_rate_and_time_left(published: dict[str, Any]) -> None:
    texts = [text for stage, event, text in published["events"] if event == "progress"]
    assert any("samples/s" in text and text.endswith("left") for text in texts)


def test_the_alias_points_to_the_published_version(published: dict[str, Any]) -> None:
    version, digest = Registry(published["root"]).resolve("tiny", "champion")
    assert published["model"].endswith(version)
    assert version.endswith(digest[:12])


def test_the_report_is_one_self_contained_page_under_a_megabyte(published: dict[str, Any]) -> None:
    outputs = Path(published["stages"]["evaluate"]["outputs"])
    page = (outputs / "report" / "report.html").read_text("utf-8")
    assert len(page.encode()) < 1_000_000
    assert page.count('src="data:image/png;base64,') == 3
    assert "http" not in page
    assert "Passed the gate" in page
    assert "device hours" in page
    metrics = json.loads((outputs / "report" / "metrics.json").read_text())
    rows = {"gan", "mixture", "gaussian", "reconstructions", "real_train"}
    assert set(metrics["generation"]) == rows
    for row in metrics["generation"].values():
        assert row["frechet_distance"] > 0
        assert 0 <= row["coverage"] <= 1


def test_a_second_run_reuses_every_stage_and_says_so(published: dict[str, Any]) -> None:
    record, events = run_again(published)
    assert record["status"] == "published"
    assert [stage for stage, event, _ in events if event == "reused"] == STAGES
    assert all(stage["reused"] for stage in record["stages"].values())
    assert record["model"] == published["model"]


def test_a_changed_setting_recomputes_its_stage_and_the_ones_after_it_only(
    published: dict[str, Any],
) -> None:
    record, events = run_again(published, gan={"steps": 50})
    assert [stage for stage, event, _ in events if event == "reused"] == STAGES[:2]
    assert record["model"] != published["model"]


def test_a_model_that_misses_a_threshold_is_not_published(published: dict[str, Any]) -> None:
    before = Registry(published["root"]).versions("tiny")
    evaluation = {"thresholds": {"reconstruction_mse": {"max": 1e-9}}}
    record, _ = run_again(published, evaluation=evaluation)
    assert record["status"] == "rejected"
    assert record["model"] is None
    assert "publish" not in record["stages"]
    assert Registry(published["root"]).versions("tiny") == before


def test_a_failing_stage_is_recorded_with_its_error(published: dict[str, Any]) -> None:
    record, events = run_again(published, data={"source": "/nowhere/data.npy"})
    assert record["status"] == "failed"
    assert "no data at /nowhere/data.npy" in record["error"]
    errors = [text for _, event, text in events if event == "error"]
    assert [f"normalize: {text}" for text in errors] == [record["error"]]


@pytest.mark.parametrize("step", ["train-gan", "publish"])
def test_a_step_said_to_have_succeeded_that_left_nothing_has_failed(
    step: str, published: dict[str, Any], tmp_path: Path
) -> None:
    """As kfp.local's DockerRunner says of containers that are gone before it asks how they ended."""
    package = tmp_path / "pipeline.yaml"
    compile_package(validate(tiny(), "tiny"), package, published["root"])
    spec, platform = yaml.safe_load_all(package.read_text("utf-8"))
    container = spec["deploymentSpec"]["executors"][f"exec-{step}"]["container"]
    container |= {"command": ["true", "kfp.dsl.executor_main"], "args": []}  # exits with 0
    package.write_text(yaml.safe_dump_all([spec, platform]), "utf-8")
    events: list[tuple[str, str, str]] = []
    record = run_package(
        package, published["root"], show=lambda *event: events.append(event), progress_seconds=60
    )
    assert (record["status"], record["state"]) == ("failed", "FAILED")
    errors = [(stage, text) for stage, event, text in events if event == "error"]
    expected = "the step was reported as done and left no output: it failed"
    assert errors == [(step.replace("-", "_"), expected)]


def test_a_batch_larger_than_a_reused_dataset_is_recorded_as_the_error(
    published: dict[str, Any],
) -> None:
    record, _ = run_again(published, gan={"batch_size": 5000})
    assert record["status"] == "failed"
    assert "training rows are fewer than one batch of 5000" in record["error"]
    assert record["stages"] == {}


def test_accelerators_that_are_not_there_stop_a_cluster_and_not_a_laptop(
    published: dict[str, Any],
) -> None:
    record, _ = run_again(published, compute={"accelerator_count": 1})
    assert record["status"] == "published"
    tree = tiny(compute={"accelerator_count": 1}, autoencoder={"steps": 7})
    config = validate(tree, "test").to_json()
    with pytest.raises(
        TrainingError, match="accelerator_count is 1 and TensorFlow sees 0: use an image"
    ):
        train_autoencoder.run(config, published["root"], published["stages"]["normalize"]["uri"])
    tree = tiny(
        compute={"stages": {"evaluate": {"accelerator_count": 1}}}, evaluation={"samples": 201}
    )
    uris = [
        published["stages"][name]["uri"] for name in ("normalize", "train_autoencoder", "train_gan")
    ]
    with pytest.raises(TrainingError, match="accelerator_count is 1 and TensorFlow sees 0"):
        evaluate.run(validate(tree, "test").to_json(), published["root"], *uris)


def test_the_compiled_package_runs_to_the_same_scores(
    published: dict[str, Any], tmp_path: Path
) -> None:
    """As compiled for a cluster, with what a laptop does not have, and data that the run names."""
    package, data = tmp_path / "pipeline.yaml", tmp_path / "digits.npz"
    digits = load_digits()
    np.savez(data, x=digits.images.astype(np.uint8), y=digits.target)
    config = tmp_path / "tiny.yaml"
    compute = {"preset": "gke-l4", "accelerator_count": 0, "environment": {"TMPDIR": "/nowhere"}}
    config.write_text(yaml.safe_dump(tiny(data={"source": "/nowhere.npz"}, compute=compute)))
    aegan = Path(sys.executable).with_name("aegan")
    command = [str(aegan), "compile", str(config), "-o", str(package)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    record = run_package(
        package,
        str(tmp_path / "root"),
        data_source=str(data),
        show=lambda *_: None,
        progress_seconds=60,
    )
    assert record["config"]["data"]["source"] == str(data)
    first, second = (read_metrics(r) for r in (published, record))
    assert second == first


def read_metrics(record: dict[str, Any]) -> Any:
    store = open_store(record["stages"]["evaluate"]["outputs"])
    return json.loads(store.read("report/metrics.json") or b"")


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_compiles_to_a_package_fit_for_a_cluster(preset: str, tmp_path: Path) -> None:
    config = load_config(preset, ["compute.accelerator_count=1"])
    compile_package(config, tmp_path / "p.yaml", "gs://bucket/root")
    text = (tmp_path / "p.yaml").read_text("utf-8")
    assert "pip install" not in text
    spec = next(yaml.safe_load_all(text))
    pods = started(spec)
    assert {pod["image"] for pod in pods.values()} == {config.compute.image}
    gpus = {name: pod["resourceCount"] for name, pod in pods.items() if "resourceCount" in pod}
    assert gpus == {"train_autoencoder": "1", "train_gan": "1"}
    assert pods["train_gan"]["resourceType"] == "nvidia.com/gpu"
    tasks: dict[str, Any] = {}
    for component in [spec["root"], *spec["components"].values()]:
        tasks |= component.get("dag", {}).get("tasks", {})
    cached = {name for name in tasks if tasks[name].get("cachingOptions", {}).get("enableCache")}
    assert cached & {stage.replace("_", "-") for stage in [*STAGES, "record"]} == {
        "train-autoencoder",
        "train-gan",
        "evaluate",
    }
    for stage in ("normalize", "train-autoencoder", "train-gan", "evaluate", "publish", "record"):
        policy = tasks[stage]["retryPolicy"]
        assert policy["maxRetryCount"] == config.compute.retries
        assert policy["backoffMaxDuration"] == "604800s"
    assert spec["root"]["inputDefinitions"]["parameters"]["root"]["defaultValue"] == (
        "gs://bucket/root"
    )


def test_metrics_and_report_reach_kubeflows_artifacts(published: dict[str, Any]) -> None:
    log = open_store(published["log"].rsplit("/", 1)[0]).read("log.txt") or b""
    artifacts = log.decode().split("Task \x1b[96m'evaluate'\x1b[0m outputs:")[1]
    metrics = artifacts.split("metrics: Metrics(")[1].split("---")[0]
    assert "'reconstruction_mse': 0.0" in metrics
    assert "report: HTML(" in artifacts


def test_a_local_run_can_keep_everything_in_a_bucket(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    record = run_locally(
        validate(tiny(), "tiny"), bucket, show=lambda *_: None, progress_seconds=60
    )
    assert record["status"] == "published"
    assert record["model"].startswith(f"{bucket}/models/tiny/versions/")
    import aegan

    assert aegan.load(f"{bucket}/models/tiny@champion").sample(3, seed=1).shape == (3, 8, 8, 1)
