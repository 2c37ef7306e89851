"""The autoencoder's codes as a space to sample in: whitening, and draws from mixtures of Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Whitening:
    """whitened = (code - mean) @ matrix: mean 0 and covariance I over the training codes.

    Attributes:
        mean: [D] float32.
        matrix: [D, D] float32.
        inverse: [D, D] float32; codes = whitened @ inverse + mean.
    """

    mean: Array
    matrix: Array
    inverse: Array

    def apply(self, codes: Array) -> Array:
        """Codes [N, D] to whitened codes [N, D] float32."""
        return ((codes - self.mean) @ self.matrix).astype(np.float32)


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture with full covariances.

    Attributes:
        log_weights: [K] float32; [C, K] where they depend on the class.
        means: [K, D] float32.
        factors: [K, D, D] float32, lower Cholesky factors of the covariances.
    """

    log_weights: Array
    means: Array
    factors: Array


def fit_whitening(codes: Array) -> Whitening:
    """PCA whitening of [N, D] codes; dead dimensions are left small instead of blown up."""
    mean = codes.mean(axis=0, dtype=np.float64)
    covariance = np.atleast_2d(np.cov(codes.astype(np.float64), rowvar=False))
    variances, axes = np.linalg.eigh(covariance)
    deviations = np.sqrt(np.maximum(variances, 1e-6 * variances.max() + 1e-12))
    matrix, inverse = axes / deviations, (axes * deviations).T
    return Whitening(*(array.astype(np.float32) for array in (mean, matrix, inverse)))


def standard_gaussian(size: int) -> Mixture:
    """N(0, I) as a mixture of one: on whitened codes, the single Gaussian fitted to them."""
    return Mixture(
        np.zeros(1, np.float32),
        np.zeros((1, size), np.float32),
        np.eye(size, dtype=np.float32)[np.newaxis],
    )


def sample_mixture(mixture: Mixture, size: Any, seed: Any, classes: Any = None) -> Any:
    """Draw [size, D] from a mixture, in a graph.

    Args:
        mixture: arrays, or tensors of the same shapes.
        size: int32 scalar.
        seed: [2] int32; the same seed gives the same draw.
        classes: of each draw, one-hot rows [size, C] float32, where the weights depend on the class.
    """
    import tensorflow as tf

    first, second = tf.unstack(tf.random.split(seed, 2))
    log_weights = tf.constant(mixture.log_weights)
    if classes is not None:
        log_weights = tf.gather(log_weights, tf.argmax(classes, axis=1))
    component = draw_categories(log_weights, size, first)
    normal = tf.random.stateless_normal([size, mixture.means.shape[1]], second)
    factors = tf.gather(tf.constant(mixture.factors), component)
    return tf.gather(tf.constant(mixture.means), component) + tf.linalg.matvec(factors, normal)


def draw_noise(
    mixture: Mixture | None, noise_size: int, size: Any, seed: Any, classes: Any = None
) -> Any:
    """What a generator takes, [size, …], from a [2] int32 seed.

    Returns:
        Normal noise [size, noise_size]; or a list of a draw from the mixture, if there is one, such
        noise, and the classes, one-hot rows [size, C] float32, if there are any.
    """
    import tensorflow as tf

    first, second = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 2))
    noise = tf.random.stateless_normal([size, noise_size], first)
    if mixture is None:
        return noise if classes is None else [noise, classes]
    start = sample_mixture(mixture, size, second, classes)
    return [start, noise] if classes is None else [start, noise, classes]


def frequencies(labels: Array) -> Array:
    """Shares of the classes [C] float32 among class numbers [N] int32."""
    return (np.bincount(labels) / len(labels)).astype(np.float32)


def draw_classes(frequencies: Array, size: Any, seed: Any) -> Any:
    """One-hot rows [size, C] float32 of classes that are as frequent as that, from a [2] int32 seed."""
    import tensorflow as tf

    own = tf.random.fold_in(seed, 1)  # not that of the noise, which comes from the seed itself
    drawn = draw_categories(tf.constant(np.log(frequencies)), size, own)
    return tf.one_hot(drawn, len(frequencies))


def draw_categories(log_weights: Any, size: Any, seed: Any) -> Any:
    """Draw [size] int64 with the probabilities exp(log_weights), [K] or one row for each [size, K]."""
    import tensorflow as tf

    # Gumbel-max: unlike stateless_categorical, XLA compiles it.
    uniform = tf.random.stateless_uniform([size, log_weights.shape[-1]], seed, minval=1e-9)
    return tf.argmax(log_weights - tf.math.log(-tf.math.log(uniform)), axis=1)


def choose(draws: Any, logits: Any, number: int, seed: Any) -> Any:
    """One of each `number` draws, at random with weights exp(logit).

    Sampling-importance-resampling (Rubin 1987), by a discriminator's ratio of densities.

    Args:
        draws: [B · number, …] float32, those of one sample beside each other.
        logits: of them, [B · number, 1] float32.
        number: of draws for each sample.
        seed: [2] int32 that the draws were made from.

    Returns:
        [B, …] float32.
    """
    import tensorflow as tf

    size = tf.shape(draws)[0] // number
    own = tf.random.fold_in(seed, 2)  # neither that of the noise nor that of the classes
    chosen = draw_categories(tf.reshape(logits, [size, number]), size, own)
    return tf.gather(draws, tf.range(size) * number + tf.cast(chosen, tf.int32))


def no_whitening(size: int) -> Whitening:
    """Leaves codes as they are: the codes of a variational autoencoder are near N(0, I) themselves."""
    identity = np.eye(size, dtype=np.float32)
    return Whitening(np.zeros(size, np.float32), identity, identity)


def save_arrays(path: Path, record: Whitening | Mixture) -> None:
    """Write a record's arrays as one .npz."""
    np.savez(path, **vars(record))
