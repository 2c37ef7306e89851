"""The generative adversarial network: min over G, max over D of a value of D's logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aegan import networks, objectives, training
from aegan.config import Config
from aegan.latent import Mixture, sample_mixture

Array = np.ndarray[Any, Any]
Tensor = Any

BETA_2 = 0.99
TRAINING = 1  # keeps the noise of training apart from that of samples drawn with the same seed


class GanLearner:
    """Generator, its moving average, discriminator, two optimisers, and one update of both.

    Attributes:
        average: keras.Model, the generator with averaged weights: what is published.
    """

    def __init__(self, config: Config, shape: tuple[int, ...], mixture: Mixture | None):
        """Build the networks.

        Args:
            config: the run's configuration.
            shape: of a code [D] (`space: latent`) or an example (`space: data`).
            mixture: of whitened codes to start from, or None for noise alone (`prior: normal`).
        """
        self._section = section = config.gan
        self._seed, self._mixture = config.seed, mixture
        self._value = objectives.ADVERSARIAL[section.objective]
        bounded = section.space == "data" and config.normalize.method == "minmax"
        output = "sigmoid" if bounded else "linear"
        seed = config.seed * 1000 + 400

        def build() -> Any:
            if mixture is not None:
                return networks.refiner(shape[0], section.hidden, section.noise_size, seed)
            return networks.generator(
                section.network, shape, section.hidden, section.noise_size, output, seed
            )

        self._generator, self.average = build(), build()
        backwards = section.hidden[::-1]
        self._discriminator = networks.discriminator(section.network, shape, backwards, seed + 200)
        self._optimizers = []
        for network in (self._discriminator, self._generator):
            rate: Any = section.learning_rate
            if section.schedule == "cosine":
                rate = keras.optimizers.schedules.CosineDecay(rate, section.steps)
            optimizer = keras.optimizers.Adam(rate, section.beta_1, BETA_2)
            optimizer.build(network.trainable_variables)
            self._optimizers.append(optimizer)

    def update(self, batch: Tensor, step: Tensor) -> dict[str, Tensor]:
        """One step of the discriminator, then one of the generator on the same samples."""
        size = tf.shape(batch)[0]
        noise = draw_noise(
            self._mixture,
            self._section.noise_size,
            size,
            tf.random.fold_in(tf.stack([self._seed, step]), TRAINING),
        )
        generator_weights = _values(self._generator)
        with tf.GradientTape() as generator_tape:
            samples = self._generator(noise, training=True)
            loss = self._update_discriminator(batch, tf.stop_gradient(samples))
            real = self._discriminator(batch, training=True)
            fake = self._discriminator(samples, training=True)
            generator_loss = self._value(real, fake)[1]
        gradients = generator_tape.gradient(generator_loss, generator_weights)
        self._optimizers[1].apply(gradients, self._generator.trainable_variables)
        self._update_average(step)
        return {
            "loss": loss + generator_loss,
            "discriminator_loss": loss,
            "generator_loss": generator_loss,
        }

    def validate(self) -> None:
        """Nothing to choose by: the averaged weights of the last step are published."""
        return

    def state(self) -> list[Any]:
        """Weights of all networks and both optimisers' slots."""
        models = (self._generator, self.average, self._discriminator)
        variables = [v for model in models for v in model.variables]
        slots = [v for optimizer in self._optimizers for v in optimizer.variables]
        return [v.value for v in variables + slots]

    def weights(self) -> list[Any]:
        """Weights of the averaged generator."""
        return [v.value for v in self.average.variables]

    def _update_discriminator(self, batch: Tensor, samples: Tensor) -> Tensor:
        weights = _values(self._discriminator)
        gamma = self._section.gamma
        with tf.GradientTape() as tape:
            if gamma:
                real, real_gradient = _with_input_gradient(self._discriminator, batch)
                fake, fake_gradient = _with_input_gradient(self._discriminator, samples)
                penalty = objectives.gradient_penalty(real_gradient)
                penalty += objectives.gradient_penalty(fake_gradient)
            else:
                real = self._discriminator(batch, training=True)
                fake = self._discriminator(samples, training=True)
                penalty = tf.zeros(())
            adversarial = self._value(real, fake)[0]
            loss = adversarial + gamma / 2 * penalty
        gradients = tape.gradient(loss, weights)
        self._optimizers[0].apply(gradients, self._discriminator.trainable_variables)
        return loss

    def _update_average(self, step: Tensor) -> None:
        """EMA whose decay rises from 1/10, so that the first steps do not linger."""
        position = tf.cast(step, tf.float32)
        decay = tf.minimum(self._section.ema_decay, (1 + position) / (10 + position))
        for average, current in zip(self.average.variables, self._generator.variables, strict=True):
            average.value.assign(decay * average.value + (1 - decay) * current.value)


def draw_noise(mixture: Mixture | None, noise_size: int, size: Tensor, seed: Tensor) -> Any:
    """What a generator takes, [size, …], from a [2] int32 seed.

    Returns:
        Normal noise [size, noise_size], or a pair of a draw from the mixture and such noise.
    """
    first, second = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 2))
    noise = tf.random.stateless_normal([size, noise_size], first)
    return noise if mixture is None else [sample_mixture(mixture, size, second), noise]


def plan(config: Config) -> training.Plan:
    """How the configuration says to train the GAN."""
    section = config.gan
    return training.Plan(
        stage="train_gan",
        seed=config.seed + 1,
        batch_size=section.batch_size,
        steps=section.steps,
        validate_every=max(1, section.steps // 50),
        patience=None,
        checkpoint_seconds=section.checkpoint_seconds,
        xla=training.use_xla(section.compiler, section.network),
    )


def _values(model: Any) -> list[Any]:
    return [v.value for v in model.trainable_variables]


def _with_input_gradient(network: Callable[..., Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [B, 1] and their gradients by the input [B, ...]."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = network(x, training=True)
    return logits, tape.gradient(logits, x)
