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


def least_squares(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """½ E[(D(x) - 1)²] + ½ E[D(G(z))²] and ½ E[(D(G(z)) - 1)²], D being the logit (Mao et al. 2017)."""
    discriminator = tf.reduce_mean(tf.square(real - 1)) + tf.reduce_mean(tf.square(fake))
    return discriminator / 2, tf.reduce_mean(tf.square(fake - 1)) / 2


def hinge(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))] and -E[D(G(z))] (Lim & Ye 2017)."""
    discriminator = tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(tf.nn.relu(1 + fake))
    return discriminator, -tf.reduce_mean(fake)


def wasserstein(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """E[D(G(z))] - E[D(x)] and -E[D(G(z))], for a D of bounded slope (Arjovsky et al. 2017)."""
    return tf.reduce_mean(fake) - tf.reduce_mean(real), -tf.reduce_mean(fake)


def slope_penalty(gradient: Tensor) -> Tensor:
    """Mean over the batch of (‖∂D/∂x‖ - 1)² (Gulrajani et al. 2017, equation 3)."""
    squares = tf.reduce_sum(tf.square(gradient), axis=tuple(range(1, len(gradient.shape))))
    return tf.reduce_mean(tf.square(tf.sqrt(squares + 1e-12) - 1))


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log variance)) ‖ N(0, 1)) of each code: [B, D] in nats."""
    return (tf.square(mean) + tf.exp(log_variance) - log_variance - 1) / 2


def gradient_penalty(gradient: Tensor) -> Tensor:
    """Mean over the batch of ‖∂D/∂x‖², zero-centred (R1 on real, R2 on fake; Mescheder et al. 2018)."""
    return tf.reduce_mean(
        tf.reduce_sum(tf.square(gradient), axis=tuple(range(1, len(gradient.shape))))
    )


ADVERSARIAL: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "minimax": minimax,
    "non_saturating": non_saturating,
    "relativistic": relativistic,
    "least_squares": least_squares,
    "hinge": hinge,
    "wasserstein": wasserstein,
}
