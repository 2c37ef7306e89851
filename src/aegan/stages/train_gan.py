"""Stage 3: fit the mixture, train the GAN, export every candidate sampler."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from aegan.config import Config, from_json
from aegan.data.dataset import Dataset, open_dataset
from aegan.stages.stage import StageResult, fetch_outputs, key_of, run_key, run_stage, stage_keys
from aegan.stages.train_autoencoder import write_history

CANDIDATES = ("gan", "mixture")
"""Samplers of which the better is published; `gaussian` is exported beside them as a baseline."""


def run(
    config: str, root: str, dataset_uri: str, autoencoder_uri: str, *, reuse: bool
) -> StageResult:
    """Train on the autoencoder's whitened codes, or on the data itself.

    Args:
        config: canonical JSON of the configuration.
        root: folder or bucket path where everything of this project lies.
        dataset_uri: what `normalize` returned.
        autoencoder_uri: what `train_autoencoder` returned.
        reuse: whether a GAN that is there already will do.
    """
    settings = from_json(config)
    key = stage_keys(settings, key_of(dataset_uri))["train_gan"]

    def work(output: Path) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as scratch:
            dataset = open_dataset(fetch_outputs(dataset_uri, Path(scratch)))
            autoencoder = fetch_outputs(autoencoder_uri, Path(scratch))
            return _train(settings, root, dataset, autoencoder, output, reuse=reuse)

    return run_stage(root, "train_gan", key, work, reuse=reuse)


def _train(
    settings: Config, root: str, dataset: Dataset, autoencoder: Path, output: Path, *, reuse: bool
) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    from aegan import export, gan, latent, training
    from aegan.autoencoder import in_batches
    from aegan.checkpoints import Checkpoints
    from aegan.store import open_store

    place = f"checkpoints/{run_key(settings, dataset.digest)}/train_gan"
    checkpoints = Checkpoints(open_store(root), place, "train_gan")
    if not reuse:
        checkpoints.clear()

    encoder = keras.models.load_model(autoencoder / "keras" / "encoder.keras")
    decoder = keras.models.load_model(autoencoder / "keras" / "decoder.keras")
    examples = dataset.features("train")
    codes = in_batches(tf.function(encoder, autograph=False), examples)
    whitening = latent.fit_whitening(codes)
    whitened = whitening.apply(codes)
    mixture = latent.fit_mixture(whitened, settings.gan.components, settings.seed)

    in_latent_space = settings.gan.space == "latent"
    start = mixture if settings.gan.prior == "mixture" else None
    shape = (codes.shape[1],) if in_latent_space else dataset.shape
    learner = gan.GanLearner(settings, shape, start)
    trained_on = whitened if in_latent_space else examples
    history = training.train(learner, trained_on, gan.plan(settings), checkpoints)

    write_history(history, output)
    (output / "keras").mkdir()
    learner.average.save(output / "keras" / "generator.keras")
    latent.save_arrays(output / "mixture.npz", mixture)
    latent.save_arrays(output / "whitening.npz", whitening)
    in_latent = (whitening, decoder) if in_latent_space else (None, None)
    noise_size = settings.gan.noise_size
    samplers: dict[str, tuple[Any, Any, int, Any, Any]] = {
        "gan": (learner.average, start, noise_size, *in_latent),
        "mixture": (None, mixture, noise_size, whitening, decoder),
        "gaussian": (
            None,
            latent.standard_gaussian(codes.shape[1]),
            noise_size,
            whitening,
            decoder,
        ),
    }
    for name, parts in samplers.items():
        exported = export.GeneratorExport(*parts, dataset.normalizer)
        export.save_generator(exported, output / "candidates" / name)
    checkpoints.clear()
    return {"steps": int(history[-1]["step"]), "mixture_components": len(mixture.log_weights)}
