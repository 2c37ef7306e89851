"""The Keras side of `training.py`: `fit`, and the usual GAN with a `train_step`.

    keras_peer.py dense|conv|recurrent BATCH SECONDS

Trains for about SECONDS whenever a line comes in, and prints the samples per second.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from aegan import networks
from aegan.config_training import Architecture

GUESSES = {
    "dense": 40_000,
    "conv": 1_200,
    "recurrent": 6_000,
}  # samples per second, for the first round


class KerasGan(keras.Model):  # type: ignore[misc]
    """A GAN with fresh samples for each network; its networks are those that aegan trains."""

    def __init__(self) -> None:
        super().__init__()
        built_of = Architecture.model_validate({"network": "conv", "hidden": [32, 64]})
        self.generator = networks.generator(built_of, (28, 28, 1), 64, "sigmoid", 1)
        self.discriminator = networks.discriminator(built_of, (28, 28, 1), 2)
        self.optimizers = [keras.optimizers.Adam(2e-4, 0.5) for _ in range(2)]
        self.cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    def train_step(self, real: Any) -> dict[str, Any]:
        """One update of each network."""
        size = tf.shape(real)[0]
        with tf.GradientTape() as tape:
            fake = self.generator(tf.random.normal((size, 64)), training=True)
            logits = self.discriminator(tf.concat([real, fake], 0), training=True)
            labels = tf.concat([tf.ones((size, 1)), tf.zeros((size, 1))], 0)
            d_loss = self.cross_entropy(labels, logits)
        self._descend(0, self.discriminator, tape, d_loss)
        with tf.GradientTape() as tape:
            fake = self.generator(tf.random.normal((size, 64)), training=True)
            logits = self.discriminator(fake, training=True)
            g_loss = self.cross_entropy(tf.ones((size, 1)), logits)
        self._descend(1, self.generator, tape, g_loss)
        return {"d_loss": d_loss, "g_loss": g_loss}

    def _descend(self, number: int, network: Any, tape: Any, loss: Any) -> None:
        weights = network.trainable_weights
        gradients = tape.gradient(loss, weights)
        self.optimizers[number].apply_gradients(zip(gradients, weights, strict=True))


def build(kind: str) -> tuple[Any, Any]:
    """A compiled model and its data."""
    random = np.random.default_rng(0)
    if kind == "conv":
        model = KerasGan()
        model.compile()
        return model, random.random((10_000, 28, 28, 1), np.float32)
    stack = {
        "dense": [keras.Input((784,)), layers.Dense(64, "relu"), layers.Dense(784, "sigmoid")],
        "recurrent": [
            keras.Input((24, 6)),
            layers.GRU(64),
            layers.Dense(16),
            layers.RepeatVector(24),
            layers.GRU(64, return_sequences=True),
            layers.Dense(6, "sigmoid"),
        ],
    }
    model = keras.Sequential(stack[kind])
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    shape = {"dense": (60_000, 784), "recurrent": (20_000, 24, 6)}[kind]
    return model, random.random(shape, np.float32)


def main(kind: str, batch: int, seconds: float) -> None:
    """Answer one line with one line."""
    model, data = build(kind)
    count = int(GUESSES[kind] * seconds)
    for _ in sys.stdin:
        few = data[: max(batch, min(len(data), count) // batch * batch)]
        start = time.perf_counter()
        model.fit(few, None if kind == "conv" else few, batch_size=batch, verbose=0)
        rate = len(few) / (time.perf_counter() - start)
        count = int(rate * seconds)
        print(json.dumps({"keras": rate}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
