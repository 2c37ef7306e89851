"""The generative adversarial network: min over G, max over D of a value of D's logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from aegan import networks, objectives, plans, training
from aegan.config import Config
from aegan.config_training import Architecture, Gan
from aegan.latent import Mixture, sample_mixture
from aegan.optimizers import optimizer

Array = np.ndarray[Any, Any]
Tensor = Any


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
                return networks.refiner(section, shape[0], section.noise_size, seed)
            return networks.generator(section, shape, section.noise_size, output, seed)

        self._generator, self.average = build(), build()
        self._discriminator = networks.discriminator(
            _of_the_discriminator(section),
            shape,
            seed + 200,
            spectral=section.spectral_normalization,
        )
        trained = [model.trainable_variables for model in (self._discriminator, self._generator)]
        rate, steps = section.learning_rate, section.discriminator_steps
        self._optimizers = (
            optimizer(
                section, section.discriminator_learning_rate or rate, trained[0], per_step=steps
            ),
            optimizer(section, rate, trained[1]),
        )

    def update(self, batch: Tensor, step: Tensor) -> dict[str, Tensor]:
        """Steps of the discriminator, then one of the generator on the samples of the last of them.

        Args:
            batch: [B · discriminator_steps, ...] float32.
            step: counted from 0.
        """
        seeds = training.step_seeds(self._seed, step)
        noise_seed, penalty_seed, dropout_seed = (next(seeds) for _ in range(3))
        networks.reseed_dropout((self._generator, self._discriminator), dropout_seed)
        *parts, last = tf.split(batch, self._section.discriminator_steps)
        for part in parts:
            samples = self._generator(self._noise(part, next(seeds)), training=True)
            self._update_discriminator(part, samples, next(seeds))
        noise = self._noise(last, noise_seed)
        with tf.GradientTape() as tape:
            samples = self._generator(noise, training=True)
            loss = self._update_discriminator(last, tf.stop_gradient(samples), penalty_seed)
            real = self._discriminator(last, training=True)
            fake = self._discriminator(samples, training=True)
            generator_loss = self._value(real, fake)[1]
        gradients = tape.gradient(generator_loss, _values(self._generator))
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

    def _noise(self, batch: Tensor, seed: Tensor) -> Any:
        return draw_noise(self._mixture, self._section.noise_size, tf.shape(batch)[0], seed)

    def _update_discriminator(self, batch: Tensor, samples: Tensor, seed: Tensor) -> Tensor:
        section, network = self._section, self._discriminator
        penalty = tf.zeros(())
        with tf.GradientTape() as tape:
            if section.gamma:
                real, real_gradient = _with_input_gradient(network, batch)
                fake, fake_gradient = _with_input_gradient(network, samples)
                penalty += objectives.gradient_penalty(real_gradient)
                penalty += objectives.gradient_penalty(fake_gradient)
                penalty *= section.gamma / 2
            else:
                real = network(batch, training=True)
                fake = network(samples, training=True)
            if section.interpolation_penalty:
                shape = [tf.shape(batch)[0]] + [1] * (len(batch.shape) - 1)
                between = batch + tf.random.stateless_uniform(shape, seed) * (samples - batch)
                slope = objectives.slope_penalty(_with_input_gradient(network, between)[1])
                penalty += section.interpolation_penalty * slope
            loss = self._value(real, fake)[0] + penalty
        gradients = tape.gradient(loss, _values(network))
        self._optimizers[0].apply(gradients, network.trainable_variables)
        return loss

    def _update_average(self, step: Tensor) -> None:
        """EMA whose decay rises from 1/10, so that the first steps do not linger."""
        position = tf.cast(step, tf.float32)
        decay = tf.minimum(self._section.ema_decay, (1 + position) / (10 + position))
        for average, current in zip(self.average.variables, self._generator.variables, strict=True):
            if average.value.dtype.is_floating:  # the state of dropout is none
                average.value.assign(decay * average.value + (1 - decay) * current.value)


def _of_the_discriminator(section: Gan) -> Architecture:
    return Architecture(
        network=section.network,
        hidden=section.hidden,
        cell=section.cell,
        resampling=section.resampling,
        normalization=section.discriminator_normalization,
        dropout=section.discriminator_dropout,
    )


def draw_noise(mixture: Mixture | None, noise_size: int, size: Tensor, seed: Tensor) -> Any:
    """What a generator takes, [size, …], from a [2] int32 seed.

    Returns:
        Normal noise [size, noise_size], or a pair of a draw from the mixture and such noise.
    """
    first, second = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 2))
    noise = tf.random.stateless_normal([size, noise_size], first)
    return noise if mixture is None else [sample_mixture(mixture, size, second), noise]


def plan(config: Config) -> plans.Plan:
    """How the configuration says to train the GAN."""
    section = config.gan
    return plans.plan_of(
        section,
        "train_gan",
        config.seed + 1,
        validate_every=max(1, section.steps // 50),
        batches=section.discriminator_steps,
    )


def _values(model: Any) -> list[Any]:
    return [v.value for v in model.trainable_variables]


def _with_input_gradient(network: Callable[..., Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [B, 1] and their gradients by the input [B, ...]."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = network(x, training=True)
    return logits, tape.gradient(logits, x)
