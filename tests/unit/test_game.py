"""What a GAN's two networks lose on a batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from aegan import networks, replicas
from aegan.config_training import Gan
from aegan.draws import draws_of
from aegan.game import Batch, Game


def game(**settings: Any) -> tuple[Game, Any]:
    """Of a discriminator of which dropout leaves half."""
    section = Gan.model_validate(
        {"steps": 1, "hidden": [64, 64], "space": "data", "discriminator_dropout": 0.5} | settings
    )
    generator = networks.generator(section, (7,), 3, "linear", seed=1)
    discriminator = networks.discriminator(section.discriminator, (7,), seed=2)
    return Game(section, generator, discriminator, extent=1.0), discriminator


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_dropout_thins_the_discriminator_alike_for_examples_and_samples(gamma: float) -> None:
    played, discriminator = game(objective="relativistic", gamma=gamma)
    draws = draws_of(0, tf.constant(0), phases=2)
    networks.reseed_dropout([discriminator], draws.dropout)
    same = tf.constant(np.random.default_rng(0).normal(size=(32, 7)), tf.float32)
    batch = Batch(same, None)
    gradients, losses = played.discriminator_gradients(batch, same, draws, 0, replicas.mean)
    if not gamma:  # where both are the same, no rating tells them apart
        assert float(losses["discriminator_loss"]) == pytest.approx(math.log(2), rel=1e-6)
        assert max(float(tf.reduce_max(tf.abs(gradient))) for gradient in gradients) < 1e-7
    loss = played.generator_loss(batch, same, draws, replicas.mean)
    assert float(loss) == pytest.approx(math.log(2), rel=1e-6)


def test_dropout_thins_the_discriminator_anew_for_each_loss() -> None:
    played, discriminator = game(objective="hinge", gamma=0)
    draws = draws_of(0, tf.constant(0), phases=2)
    networks.reseed_dropout([discriminator], draws.dropout)
    generator = np.random.default_rng(0)
    examples, samples = (tf.constant(generator.normal(size=(8, 7)), tf.float32) for _ in range(2))
    batch = Batch(examples, None)
    first, second = (
        played.generator_loss(batch, samples, draws, replicas.mean).numpy() for _ in range(2)
    )
    assert first != second
