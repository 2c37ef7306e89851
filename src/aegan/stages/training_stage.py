"""What the two training stages share: accelerators, dataset, checkpoints, history."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aegan.config import Config
from aegan.data.dataset import Dataset, open_dataset
from aegan.stages.stage import (
    StageResult,
    checkpoint_place,
    fetch_outputs,
    key_of,
    run_stage,
    stage_keys,
)
from aegan.store import open_store

Work = Callable[[Dataset, Any, Path, Path], dict[str, Any]]


def run_training(
    settings: Config, root: str, stage: str, dataset_uri: str, work: Work, *, fresh: str
) -> StageResult:
    """`run_stage` with a dataset to train on and checkpoints that are kept until the outputs are.

    Args:
        settings: the run's configuration.
        root: where everything lies.
        stage: `train_autoencoder` or `train_gan`.
        dataset_uri: what `normalize` returned.
        work: of the dataset, the checkpoints, a scratch folder and the folder to fill; returns the
            summary.
        fresh: see `run_stage`.
    """
    key = stage_keys(settings, key_of(dataset_uri))[stage]
    store = open_store(root)
    checkpoints: Any = None

    def prepared(output: Path) -> dict[str, Any]:
        from aegan.checkpoints import Checkpoints
        from aegan.plans import require_accelerators

        nonlocal checkpoints
        require_accelerators(settings.compute.accelerator_count)
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            dataset = open_dataset(fetch_outputs(dataset_uri, scratch))
            place = checkpoint_place(settings, dataset.digest, stage, fresh)
            checkpoints = Checkpoints(store, place, stage)
            return work(dataset, checkpoints, scratch, output)

    def clean_up() -> None:
        checkpoints.clear()

    return run_stage(root, stage, key, prepared, fresh=fresh, clean_up=clean_up)


def write_history(history: list[dict[str, float]], output: Path) -> None:
    """One JSON object a line, into `history.jsonl`."""
    lines = "".join(json.dumps(record, sort_keys=True) + "\n" for record in history)
    (output / "history.jsonl").write_text(lines, "utf-8")
