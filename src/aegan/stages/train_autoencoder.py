"""Stage 2: train the autoencoder and export it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from aegan.config_file import from_json
from aegan.data.dataset import open_dataset
from aegan.stages.stage import (
    StageResult,
    checkpoint_place,
    fetch_outputs,
    key_of,
    run_stage,
    stage_keys,
)
from aegan.store import open_store


def run(config: str, root: str, dataset_uri: str, *, fresh: str = "") -> StageResult:
    """Train on the training split, keep the weights that are best on validation, export them.

    Args:
        config: canonical JSON of the configuration.
        root: folder or bucket path where everything of this project lies.
        dataset_uri: what `normalize` returned.
        fresh: empty to reuse what is there already, else see `run_stage`.
    """
    settings = from_json(config)
    key = stage_keys(settings, key_of(dataset_uri))["train_autoencoder"]
    store = open_store(root)
    place = ""

    def work(output: Path) -> dict[str, Any]:
        from aegan import autoencoder, export, training
        from aegan.checkpoints import Checkpoints

        nonlocal place
        training.require_accelerators(settings.compute.accelerator_count)
        with tempfile.TemporaryDirectory() as scratch:
            dataset = open_dataset(fetch_outputs(dataset_uri, Path(scratch)))
            learner = autoencoder.AutoencoderLearner(
                settings, dataset.shape, dataset.features("validation")
            )
            place = checkpoint_place(settings, dataset.digest, "train_autoencoder", fresh)
            checkpoints = Checkpoints(store, place, "train_autoencoder")
            plan = autoencoder.plan(settings)
            history = training.train(learner, dataset.features("train"), plan, checkpoints)

            write_history(history, output)
            (output / "keras").mkdir()
            learner.encoder.save(output / "keras" / "encoder.keras")
            learner.decoder.save(output / "keras" / "decoder.keras")
            exported = export.AutoencoderExport(
                learner.encoder, learner.decoder, dataset.normalizer, dataset.shape
            )
            export.save_autoencoder(exported, output / "serving" / "autoencoder" / "1")
            return {
                "steps": int(history[-1]["step"]),
                "validation_loss": min(record["validation_loss"] for record in history),
            }

    def clean_up() -> None:
        store.delete(place)

    return run_stage(root, "train_autoencoder", key, work, fresh=fresh, clean_up=clean_up)


def write_history(history: list[dict[str, float]], output: Path) -> None:
    """One JSON object a line, into `history.jsonl`."""
    lines = "".join(json.dumps(record, sort_keys=True) + "\n" for record in history)
    (output / "history.jsonl").write_text(lines, "utf-8")
