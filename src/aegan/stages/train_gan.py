"""Stage 3: fit the mixture, train the GAN, export every candidate sampler."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aegan.config import Config
from aegan.config_file import from_json
from aegan.data.dataset import Dataset
from aegan.narration import narrate
from aegan.stages.latent_space import Space, kept_space
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
    labels, (checkpoints, monitor) = _labels(settings, dataset), kept
    whitening, mixture = kept_space(
        checkpoints, encoder.get_weights(), lambda: _fitted(settings, codes, labels)
    )
    whitened = whitening.apply(codes)

    in_latent_space = settings.gan.space == "latent"
    shape = (codes.shape[1],) if in_latent_space else dataset.shape
    validation = whitening.apply(in_batches(encode, dataset.stored("validation")))
    start = _start(settings, mixture, validation, dataset)

    def distance(samples: Array) -> float:
        found = samples if in_latent_space else whitening.apply(in_batches(encode, samples))
        return frechet_distance(validation, found)

    frequencies = None if labels is None else latent.frequencies(labels)
    learner = gan.GanLearner(settings, shape, start, distance, frequencies)
    trained_on: Any = whitened if in_latent_space else examples
    trained_on = trained_on if labels is None else (trained_on, labels)
    if in_latent_space:
        monitor.decode = lambda codes: decoder(codes @ whitening.inverse + whitening.mean)
    history = training.train(learner, trained_on, gan.plan(settings), checkpoints, monitor)

    write_history(history, output)
    (output / "keras").mkdir()
    learner.average.save(output / "keras" / "generator.keras")
    chooser = None
    if settings.gan.draws_per_sample > 1:
        held_out = validation if in_latent_space else dataset.stored("validation")
        chooser = _chooser(settings, learner, start, held_out, dataset)
        chooser.save(output / "keras" / "discriminator.keras")
    latent.save_arrays(output / "whitening.npz", whitening)
    made_of = (learner.average, chooser, start)
    _save_candidates(settings, made_of, mixture, (whitening, decoder), dataset, output)
    return {"steps": int(history[-1]["step"]), "mixture_components": len(mixture.means)}


def _fitted(settings: Config, codes: Array, labels: Array | None) -> Space:
    from aegan import latent, mixtures

    whitening, components = latent.fit_whitening(codes), settings.gan.components
    whitened = whitening.apply(codes)
    if labels is None:
        return whitening, mixtures.fit_mixture(whitened, components, settings.seed)
    return whitening, mixtures.fit_class_mixtures(whitened, labels, components, settings.seed)


def _start(settings: Config, mixture: Any, validation: Array, dataset: Dataset) -> Any:
    """What the generator starts from; where draws are chosen among, as wide as the data at least.

    A choice leaves out what should not be there, and cannot add what is never drawn.
    """
    from aegan import mixtures

    if settings.gan.prior == "normal":
        return None
    if settings.gan.draws_per_sample == 1:
        return mixture
    return mixtures.widened(mixture, validation, _labels(settings, dataset, "validation"))


def _chooser(settings: Config, learner: Any, start: Any, held_out: Any, dataset: Dataset) -> Any:
    """The discriminator that chooses among draws, calibrated on the validation split."""
    import tensorflow as tf

    from aegan import latent
    from aegan.calibration import calibrated

    known, labels = _labels(settings, dataset), _labels(settings, dataset, "validation")
    classes = None
    if known is not None and labels is not None:
        classes = np.eye(len(latent.frequencies(known)), dtype=np.float32)[labels]

    def generate(number: int, position: int, classes: Any) -> Any:
        seed = tf.constant([settings.seed, position])
        size = settings.gan.noise_size
        return learner.average(latent.draw_noise(start, size, number, seed, classes))

    network, scale = calibrated(learner.discriminator, generate, held_out, classes)
    narrate("train_gan", "info", f"chooses by logits times {scale:.2f}, as validation data says")
    return network


def _labels(settings: Config, dataset: Dataset, split: str = "train") -> Array | None:
    """Class numbers [N] int32 of a split, if the GAN has to know them."""
    labels = dataset.labels(split) if settings.gan.conditional else None
    return None if labels is None else labels.astype(np.int32)


def _save_candidates(
    settings: Config,
    made_of: tuple[Any, Any, Any],
    mixture: Any,
    to_examples: tuple[Any, Any],
    dataset: Dataset,
    output: Path,
) -> None:
    """Export the samplers of which the best is published, and the trivial one beside them.

    A GAN is made of a generator, what chooses among its draws, and the mixture that it starts from.
    """
    from aegan import export, export_onnx, latent, samplers

    section = settings.gan
    latent_size, labels = mixture.means.shape[1], _labels(settings, dataset)
    one_gaussian = latent.standard_gaussian(latent_size)
    number, in_latent_space = section.draws_per_sample, section.space == "latent"
    generator, chooser, start = made_of
    of_mixture = export.Sampler(
        None,
        mixture,
        section.noise_size,
        to_examples,
        dataset.normalizer,
        dataset.shape,
        None if labels is None else latent.frequencies(labels),
    )
    of_one_gaussian = replace(of_mixture, mixture=one_gaussian, frequencies=None)
    parts = {
        samplers.GAN: replace(
            of_mixture,
            network=generator,
            mixture=start,
            decoding=to_examples if in_latent_space else None,
            choice=(chooser, number) if number > 1 else None,
        ),
        samplers.MIXTURE: of_mixture,
        samplers.PRIOR: replace(
            of_one_gaussian, decoding=(latent.no_whitening(latent_size), to_examples[1])
        ),
        samplers.GAUSSIAN: of_one_gaussian,
    }
    (output / "mixtures").mkdir()
    for name in (*samplers.candidates(settings), samplers.GAUSSIAN):
        export.save_generator(export.GeneratorExport(parts[name]), output / "candidates" / name)
        if name != samplers.GAUSSIAN:
            latent.save_arrays(output / "mixtures" / f"{name}.npz", parts[name].mixture or mixture)
            export_onnx.save_sampler(parts[name], output / "onnx" / name)
