"""Loss functions: pure, of tensors, one value a sample. E is the mean over samples, taken elsewhere.

Logits are the discriminator's raw outputs [B, 1], as are the values; D(x) = sigmoid(logit).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from aegan import sums

Tensor = Any


def mean_squared_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean over all elements but the first axis of (x - x̂)²: [B]."""
    return sums.of_squares(x - reconstruction) / math.prod(x.shape[1:])


def mean_absolute_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean over all elements but the first axis of |x - x̂|: [B]."""
    return sums.of_magnitudes(x - reconstruction) / math.prod(x.shape[1:])


RECONSTRUCTION = {"squared": (mean_squared_error, 2), "absolute": (mean_absolute_error, 1)}
"""Errors of a reconstruction by the names that the configuration has for them, and how much of their
sum over an example's values is a nat: half the sum is a normal decoder's -log p, the whole a Laplace's.
"""


def minimax(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """(discriminator, generator) of min over G, max over D: E[log D(x)] + E[log(1 - D(G(z)))].

    Goodfellow et al. 2014, equation 1.
    """
    return tf.nn.softplus(-real) + tf.nn.softplus(fake), -tf.nn.softplus(fake)


def non_saturating(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """As `minimax`, but the generator maximises E[log D(G(z))] (Goodfellow et al. 2014, section 3)."""
    return minimax(real, fake)[0], tf.nn.softplus(-fake)


def relativistic(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Relativistic pairing: D rates each real sample above the fake one beside it, G the reverse.

    Discriminator: E[softplus(D(G(z)) - D(x))]; generator: E[softplus(D(x) - D(G(z)))]
    (Jolicoeur-Martineau 2018; with R1 and R2 penalties Huang et al. 2024).
    """
    return tf.nn.softplus(fake - real), tf.nn.softplus(real - fake)


def least_squares(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """½ E[(D(x) - 1)²] + ½ E[D(G(z))²] and ½ E[(D(G(z)) - 1)²], D being the logit (Mao et al. 2017)."""
    return (tf.square(real - 1) + tf.square(fake)) / 2, tf.square(fake - 1) / 2


def hinge(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))] and -E[D(G(z))] (Lim & Ye 2017)."""
    return tf.nn.relu(1 - real) + tf.nn.relu(1 + fake), -fake


def wasserstein(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """E[D(G(z))] - E[D(x)] and -E[D(G(z))], for a D of bounded slope (Arjovsky et al. 2017)."""
    return fake - real, -fake


def slope_penalty(gradient: Tensor) -> Tensor:
    """(‖∂D/∂x‖ - 1)² of each sample: [B] (Gulrajani et al. 2017, equation 3)."""
    return tf.square(tf.sqrt(gradient_penalty(gradient) + 1e-12) - 1)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log variance)) ‖ N(0, 1)) of each code: [B, D] in nats."""
    return (tf.square(mean) + tf.exp(log_variance) - log_variance - 1) / 2


def gradient_penalty(gradient: Tensor) -> Tensor:
    """‖∂D/∂x‖² of each sample, zero-centred: [B] (R1 on real, R2 on fake; Mescheder et al. 2018)."""
    return sums.of_squares(gradient)


def with_input_gradient(rate: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [B, 1] and their gradients by the input [B, ...]."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = rate(x)
    return logits, tape.gradient(logits, x)


ADVERSARIAL: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "minimax": minimax,
    "non_saturating": non_saturating,
    "relativistic": relativistic,
    "least_squares": least_squares,
    "hinge": hinge,
    "wasserstein": wasserstein,
}
