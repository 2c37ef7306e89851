"""Stage 3: fit the mixture, train the GAN, export every candidate sampler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aegan.config import Config
from aegan.config_file import from_json
from aegan.data.dataset import Dataset
from aegan.stages.stage import StageResult, fetch_outputs
from aegan.stages.training_stage import run_training, write_history

Array = np.ndarray[Any, Any]


def run(
    config: str, root: str, dataset_uri: str, autoencoder_uri: str, *, fresh: str = ""
) -> StageResult:
    """Train on the autoencoder's whitened codes, or on the data itself.

    Args:
        config: canonical JSON of the configuration.
        root: folder or bucket path where everything of this project lies.
        dataset_uri: what `normalize` returned.
        autoencoder_uri: what `train_autoencoder` returned.
        fresh: empty to reuse what is there already, else see `run_stage`.
    """
    settings = from_json(config)

    def work(
        dataset: Dataset, checkpoints: Any, monitor: Any, scratch: Path, output: Path
    ) -> dict[str, Any]:
        autoencoder = fetch_outputs(autoencoder_uri, scratch)
        return _train(settings, dataset, autoencoder, (checkpoints, monitor), output)

    return run_training(settings, root, "train_gan", dataset_uri, work, fresh=fresh)


def _train(
    settings: Config,
    dataset: Dataset,
    autoencoder: Path,
    kept: tuple[Any, Any],
    output: Path,
) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    from aegan import gan, latent, training
    from aegan.batches import in_batches
    from aegan.evaluation.metrics import frechet_distance

    encoder = keras.models.load_model(autoencoder / "keras" / "encoder.keras")
    decoder = keras.models.load_model(autoencoder / "keras" / "decoder.keras")
    encode = tf.function(encoder, autograph=False)
    examples = dataset.stored("train")
    codes = in_batches(encode, examples)
    whitening = latent.fit_whitening(codes)
    whitened = whitening.apply(codes)
    labels, components = _labels(settings, dataset), settings.gan.components
    if labels is None:
        mixture = latent.fit_mixture(whitened, components, settings.seed)
    else:
        mixture = latent.fit_class_mixtures(whitened, labels, components, settings.seed)

    in_latent_space = settings.gan.space == "latent"
    shape = (codes.shape[1],) if in_latent_space else dataset.shape
    start = mixture if settings.gan.prior == "mixture" else None
    validation = whitening.apply(in_batches(encode, dataset.stored("validation")))

    def distance(samples: Array) -> float:
        found = samples if in_latent_space else whitening.apply(in_batches(encode, samples))
        return frechet_distance(validation, found)

    frequencies = None if labels is None else latent.frequencies(labels)
    learner = gan.GanLearner(settings, shape, start, distance, frequencies)
    trained_on: Any = whitened if in_latent_space else examples
    trained_on = trained_on if labels is None else (trained_on, labels)
    checkpoints, monitor = kept
    if in_latent_space:
        monitor.decode = lambda codes: decoder(codes @ whitening.inverse + whitening.mean)
    history = training.train(learner, trained_on, gan.plan(settings), checkpoints, monitor)

    write_history(history, output)
    (output / "keras").mkdir()
    learner.average.save(output / "keras" / "generator.keras")
    latent.save_arrays(output / "mixture.npz", mixture)
    latent.save_arrays(output / "whitening.npz", whitening)
    _save_candidates(settings, learner, mixture, (whitening, decoder), dataset, output)
    return {"steps": int(history[-1]["step"]), "mixture_components": len(mixture.means)}


def _labels(settings: Config, dataset: Dataset) -> Array | None:
    """Class numbers [N] int32 of the training split, if the GAN has to know them."""
    labels = dataset.labels("train") if settings.gan.conditional else None
    return None if labels is None else labels.astype(np.int32)


def _save_candidates(
    settings: Config,
    learner: Any,
    mixture: Any,
    to_examples: tuple[Any, Any],
    dataset: Dataset,
    output: Path,
) -> None:
    """Export the samplers of which the best is published, and the trivial one beside them."""
    from aegan import export, latent, samplers

    section = settings.gan
    start = mixture if section.prior == "mixture" else None
    decoding = to_examples if section.space == "latent" else None
    latent_size = mixture.means.shape[1]
    one_gaussian = latent.standard_gaussian(latent_size)
    as_they_are = (latent.no_whitening(latent_size), to_examples[1])
    labels = _labels(settings, dataset)
    frequencies = None if labels is None else latent.frequencies(labels)
    parts: dict[str, tuple[Any, Any, Any, Any]] = {
        samplers.GAN: (learner.average, start, decoding, frequencies),
        samplers.MIXTURE: (None, mixture, to_examples, frequencies),
        samplers.PRIOR: (None, one_gaussian, as_they_are, None),
        samplers.GAUSSIAN: (None, one_gaussian, to_examples, None),
    }
    for name in (*samplers.candidates(settings), samplers.GAUSSIAN):
        network, prior, decode, classes = parts[name]
        exported = export.GeneratorExport(
            network, prior, section.noise_size, decode, dataset.normalizer, classes
        )
        export.save_generator(exported, output / "candidates" / name)
