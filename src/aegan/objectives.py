"""Loss functions: pure, of tensors, one value a sample or the mean over the batch as stated.

Logits are the discriminator's raw outputs [B, 1]; D(x) = sigmoid(logit).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensor = Any


def mean_squared_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean over all elements but the first axis of (x - x̂)²: [B]."""
    return tf.reduce_mean(tf.square(x - reconstruction), axis=tuple(range(1, len(x.shape))))


def minimax(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """(discriminator, generator) of min over G, max over D: E[log D(x)] + E[log(1 - D(G(z)))].

    Goodfellow et al. 2014, equation 1.
    """
    discriminator = tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))
    return discriminator, -tf.reduce_mean(tf.nn.softplus(fake))


def non_saturating(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """As `minimax`, but the generator maximises E[log D(G(z))] (Goodfellow et al. 2014, section 3)."""
    return minimax(real, fake)[0], tf.reduce_mean(tf.nn.softplus(-fake))


def relativistic(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Relativistic pairing: D rates each real sample above the fake one beside it, G the reverse.

    Discriminator: E[softplus(D(G(z)) - D(x))]; generator: E[softplus(D(x) - D(G(z)))]
    (Jolicoeur-Martineau 2018; with R1 and R2 penalties Huang et al. 2024).
    """
    return tf.reduce_mean(tf.nn.softplus(fake - real)), tf.reduce_mean(tf.nn.softplus(real - fake))


def gradient_penalty(gradient: Tensor) -> Tensor:
    """Mean over the batch of ‖∂D/∂x‖², zero-centred (R1 on real, R2 on fake; Mescheder et al. 2018)."""
    return tf.reduce_mean(
        tf.reduce_sum(tf.square(gradient), axis=tuple(range(1, len(gradient.shape))))
    )


ADVERSARIAL: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "minimax": minimax,
    "non_saturating": non_saturating,
    "relativistic": relativistic,
}
