"""The autoencoder: min over W, b of 1/m · Σ‖x - x̂‖², by mini-batch gradient descent."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aegan import networks, objectives, training
from aegan.batches import in_batches
from aegan.config import Autoencoder, Config

Array = np.ndarray[Any, Any]
Tensor = Any


class AutoencoderLearner:
    """Encoder, decoder, optimiser, and one update of both.

    Attributes:
        encoder: keras.Model, examples [B, ...] to codes [B, latent_size].
        decoder: keras.Model, codes to examples, both in normalised units.
    """

    def __init__(self, config: Config, shape: tuple[int, ...], validation: Array):
        """Build the networks.

        Args:
            config: the run's configuration.
            shape: of one example.
            validation: [M, *shape] float32, normalised.
        """
        section = config.autoencoder
        output = "sigmoid" if config.normalize.method == "minmax" else "linear"
        sizes = (section.network, shape, section.hidden, section.latent_size)
        self.encoder = networks.encoder(*sizes, config.seed * 1000)
        self.decoder = networks.decoder(*sizes, output, config.seed * 1000 + 200)
        self._trained = self.encoder.trainable_variables + self.decoder.trainable_variables
        self._optimizer = _optimizer(section)
        self._optimizer.build(self._trained)
        self._validation = validation
        xla = training.use_xla(section.compiler, section.network)
        self._errors = tf.function(self._reconstruction_errors, jit_compile=xla, autograph=False)

    def update(self, batch: Tensor, step: Tensor) -> dict[str, Tensor]:
        """One step of gradient descent on the mean squared error of the batch."""
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self._reconstruction_errors(batch))
        gradients = tape.gradient(loss, [v.value for v in self._trained])
        self._optimizer.apply(gradients, self._trained)
        return {"loss": loss}

    def validate(self) -> float:
        """Mean squared error over the validation split."""
        return float(np.mean(self.errors(self._validation)))

    def errors(self, examples: Array) -> Array:
        """Mean squared error of each example: [N, ...] to [N] float32."""
        return in_batches(self._errors, examples)

    def state(self) -> list[Any]:
        """Weights and optimiser slots."""
        return self.weights() + [v.value for v in self._optimizer.variables]

    def weights(self) -> list[Any]:
        """Weights of both networks."""
        return [v.value for v in self.encoder.variables + self.decoder.variables]

    def _reconstruction_errors(self, batch: Tensor) -> Tensor:
        reconstruction = self.decoder(self.encoder(batch, training=True), training=True)
        return objectives.mean_squared_error(batch, reconstruction)


def plan(config: Config) -> training.Plan:
    """How the configuration says to train the autoencoder."""
    section = config.autoencoder
    return training.Plan(
        stage="train_autoencoder",
        seed=config.seed,
        batch_size=section.batch_size,
        steps=section.steps,
        validate_every=section.validate_every,
        patience=section.patience,
        checkpoint_seconds=section.checkpoint_seconds,
        xla=training.use_xla(section.compiler, section.network),
    )


def _optimizer(section: Autoencoder) -> Any:
    rate: Any = section.learning_rate
    if section.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, section.steps)
    if section.weight_decay:
        return keras.optimizers.AdamW(rate, weight_decay=section.weight_decay)
    return keras.optimizers.Adam(rate)
