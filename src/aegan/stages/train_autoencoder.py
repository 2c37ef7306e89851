"""Stage 2: train the autoencoder and export it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aegan.config_file import from_json
from aegan.data.dataset import Dataset
from aegan.stages.stage import StageResult
from aegan.stages.training_stage import run_training, write_history


def run(config: str, root: str, dataset_uri: str, *, fresh: str = "") -> StageResult:
    """Train on the training split, keep the weights that are best on validation, export them.

    Args:
        config: canonical JSON of the configuration.
        root: folder or bucket path where everything of this project lies.
        dataset_uri: what `normalize` returned.
        fresh: empty to reuse what is there already, else see `run_stage`.
    """
    settings = from_json(config)

    def work(
        dataset: Dataset, checkpoints: Any, monitor: Any, _: Path, output: Path
    ) -> dict[str, Any]:
        from aegan import (
            autoencoder,
            export,
            export_keras,
            export_litert,
            export_onnx,
            training,
        )

        learner = autoencoder.AutoencoderLearner(
            settings, dataset.shape, dataset.features("validation")
        )
        rows = dataset.rows("train"), dataset.rows("validation")
        plan = autoencoder.plan(settings, dataset.shape, rows)
        history = training.train(learner, dataset.stored("train"), plan, checkpoints, monitor)

        write_history(history, output)
        (output / "keras").mkdir()
        learner.encoder.save(output / "keras" / "encoder.keras")
        learner.decoder.save(output / "keras" / "decoder.keras")
        parts = export.Autoencoder(
            learner.encoder, learner.decoder, dataset.normalizer, dataset.shape
        )
        export_keras.save_autoencoder(parts, output / "keras")
        exported = export.AutoencoderExport(parts)
        export.save_autoencoder(exported, output / "serving" / "autoencoder" / "1")
        export_onnx.save_autoencoder(parts, output / "onnx")
        export_litert.save_autoencoder(parts, exported, output / "litert")
        return {
            "steps": int(history[-1]["step"]),
            "validation_loss": min(record["validation_loss"] for record in history),
        }

    return run_training(settings, root, "train_autoencoder", dataset_uri, work, fresh=fresh)
