"""Stage 4: score, choose the sampler, judge, report."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aegan.compute_steps import step_of
from aegan.config_file import from_json
from aegan.data.dataset import open_dataset
from aegan.digests import to_json
from aegan.errors import IntegrityError
from aegan.stages.stage import AGAIN, StageResult, fetch_outputs, key_of, run_stage, stage_keys
from aegan.stages.start_up import import_keras
from aegan.store import open_store


def run(
    config: str, root: str, dataset_uri: str, autoencoder_uri: str, gan_uri: str, *, fresh: str = ""
) -> StageResult:
    """Write `report/{metrics.json,verdict.json,report.html}` and `scores.json`, the quantiles of scores.

    The summary holds the verdict.

    Args:
        config: canonical JSON of the configuration.
        root: folder or bucket path where everything of this project lies.
        dataset_uri: what `normalize` returned.
        autoencoder_uri: what `train_autoencoder` returned.
        gan_uri: what `train_gan` returned.
        fresh: empty to reuse what is there already, else see `run_stage`.
    """
    settings = from_json(config)
    key = stage_keys(settings, key_of(dataset_uri))["evaluate"]

    def work(output: Path) -> dict[str, Any]:
        import_keras()
        from aegan.evaluation.evaluate import evaluate
        from aegan.evaluation.report import render
        from aegan.plans import require_accelerators

        require_accelerators(step_of(settings.compute, "evaluate").accelerator_count)
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            dataset = open_dataset(fetch_outputs(dataset_uri, scratch))
            autoencoder = fetch_outputs(autoencoder_uri, scratch)
            gan = fetch_outputs(gan_uri, scratch)
            evaluation = evaluate(settings, dataset, autoencoder, gan)
            histories = {"autoencoder": _history(autoencoder), "GAN": _history(gan)}
            costs = {"autoencoder": _cost(autoencoder), "GAN": _cost(gan)}
            page = render(settings, dataset, evaluation, histories, costs)
        report = output / "report"
        report.mkdir()
        (report / "metrics.json").write_bytes(to_json(evaluation.metrics))
        (report / "verdict.json").write_bytes(to_json(evaluation.verdict))
        (report / "report.html").write_text(page, "utf-8")
        (output / "scores.json").write_bytes(evaluation.scores.to_json())
        return {
            "verdict": "passed" if evaluation.verdict["passed"] else "rejected",
            "selected": evaluation.verdict["selected"],
            **evaluation.metrics["headline"],
        }

    return run_stage(root, "evaluate", key, work, fresh=fresh)


def _history(outputs: Path) -> Sequence[dict[str, float]]:
    lines = (outputs / "history.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _cost(outputs: Path) -> dict[str, Any]:
    cost: dict[str, Any] = json.loads((outputs / "cost.json").read_text("utf-8"))
    return cost


def read_report(result: StageResult) -> bytes:
    """The HTML page that an evaluation wrote."""
    page = open_store(result.uri).read(f"{result.attempt}/report/report.html")
    if page is None:
        raise IntegrityError(f"{result.uri} has lost its report; {AGAIN}")
    return page
