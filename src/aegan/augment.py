"""Differentiable augmentation of what a discriminator sees, for small sets of images.

Zhao et al. 2020: real and generated images are changed at random in the same ways, so the
discriminator cannot learn its training set by heart and the generator does not learn the changes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import tensorflow as tf

Tensor = Any

NUM_DRAWS = 7
MOST_SHIFT = 1 / 8  # of the height and of the width, as in the paper
CUT = 1 / 2


def augment(images: Tensor, kinds: Collection[str], draws: Tensor, extent: float = 1.0) -> Tensor:
    """Change each image in its own way; without kinds they stay as they are.

    Args:
        images: [B, H, W, C] float32, normalised; H, W and C are known.
        kinds: of `color`, `translation` and `cutout`; applied in this order.
        draws: [B, NUM_DRAWS] float32, uniform in [0, 1); which changes.
        extent: the range of the values, 1 for those in [0, 1].
    """
    brightness, saturation, contrast, down, right, row, column = tf.unstack(draws, axis=1)
    if "color" in kinds:
        images = _color(images, brightness, saturation, contrast, extent)
    if "translation" in kinds:
        images = _translated(images, down, right)
    if "cutout" in kinds:
        images = _cut(images, row, column)
    return images


def _color(
    images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor, extent: float
) -> Tensor:
    """Brightness up to a quarter of the extent, saturation times 0 to 2, contrast times ½ to 1½.

    One channel is its own mean, so its saturation stays.
    """
    brightness, saturation, contrast = (
        tf.reshape(x, [-1, 1, 1, 1]) for x in (brightness, saturation, contrast)
    )
    images += extent / 2 * (brightness - 0.5)
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = grey + 2 * saturation * (images - grey)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (contrast + 0.5) * (images - mean)


def _translated(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shifted by up to an eighth of the height and of the width; zeros come in."""
    rows = _shift(images.shape[1], down)
    columns = _shift(images.shape[2], right)
    images = tf.einsum("bij,bjwc->biwc", rows, images)
    return tf.einsum("bij,bhjc->bhic", columns, images)


def _shift(size: int, draws: Tensor) -> Tensor:
    """Matrices of zeros and ones [B, size, size] that pick what comes from where."""
    most = round(size * MOST_SHIFT)
    distance = _integers(draws, 2 * most + 1) - most
    return tf.one_hot(tf.range(size) - distance[:, tf.newaxis], size)


def _cut(images: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Zeros in a rectangle of half the height and width around any point; it may stick out."""
    rows, columns = _interval(images.shape[1], row), _interval(images.shape[2], column)
    cut = rows[:, :, tf.newaxis, tf.newaxis] & columns[:, tf.newaxis, :, tf.newaxis]
    return tf.where(cut, tf.zeros(()), images)


def _interval(size: int, draws: Tensor) -> Tensor:
    """Which of [B, size] places lie within half the size around a random one."""
    length = round(size * CUT)
    start = _integers(draws, size + 1 - length % 2) - length // 2
    position = tf.range(size) - start[:, tf.newaxis]
    return (position >= 0) & (position < length)


def _integers(draws: Tensor, count: int) -> Tensor:
    """Uniform integers from 0 to count - 1."""
    return tf.cast(draws * count, tf.int32)
