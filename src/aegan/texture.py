"""Texture: how strong each frequency is in each neighbourhood of an image, wherever exactly it lies.

A decoder that minimises the squared error alone leaves out what it cannot place to the pixel, and its
images are blurred. Mean magnitudes of band-pass responses do not ask for the place (Portilla &
Simoncelli 2000).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from aegan.errors import ConfigError
from aegan.objectives import mean_squared_error

Array = np.ndarray[Any, Any]
Tensor = Any

LENGTH = 3
"""Of the cosine transform, in pixels."""
SIDE = 4
"""Of the square neighbourhoods, in pixels."""


def require_windows(shape: tuple[int, ...]) -> None:
    """Refuse examples that are too small to have texture.

    Args:
        shape: of an example, [H, W, C].

    Raises:
        ConfigError: fewer than three rows or columns.
    """
    if min(shape[:2]) < LENGTH:
        raise ConfigError(
            f"autoencoder.texture compares windows of {LENGTH}x{LENGTH} pixels, and the images are"
            f" {shape[0]}x{shape[1]}; leave it out"
        )


def texture_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean squared difference of the magnitudes of each band in each neighbourhood: [B].

    Args:
        x: [B, H, W, C], H and W at least 3.
        reconstruction: of the same shape.
    """
    return mean_squared_error(magnitudes(x), magnitudes(reconstruction))


def magnitudes(images: Tensor) -> Tensor:
    """Mean magnitudes of each band of a 3x3 cosine transform, in neighbourhoods that do not overlap.

    Args:
        images: [B, H, W, C].

    Returns:
        [B, C, 3·⌈(H-2)/4⌉, 3·⌈(W-2)/4⌉]: the bands side by side.
    """
    (down, gather_rows), (along, gather_columns) = map(_analysis, images.shape[1:3])
    # Products of small matrices: XLA's convolutions are slow on a CPU. From the right by `tensordot`, as
    # `@` of many matrices with one on their right ends in a segmentation fault where a CPU has AVX-512
    # (TensorFlow 2.21 with oneDNN).
    responses = tf.tensordot(down @ tf.transpose(images, [0, 3, 1, 2]), along.T, 1)
    return tf.tensordot(gather_rows @ tf.abs(responses), gather_columns.T, 1)


def _analysis(length: int) -> tuple[Array, Array]:
    """For an axis: what takes its pixels to responses in all bands, and these to means of neighbours."""
    places = length - LENGTH + 1
    position, band = np.arange(LENGTH), np.arange(LENGTH)[:, None]
    waves = np.cos(np.pi / LENGTH * (position + 0.5) * band)
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    transform = np.zeros((LENGTH, places, length), np.float32)
    for place in range(places):
        transform[:, place, place : place + LENGTH] = waves
    neighbours = np.arange(places) // SIDE == np.arange(-(-places // SIDE))[:, None]
    means = neighbours / neighbours.sum(axis=1, keepdims=True)
    return transform.reshape(-1, length), np.kron(np.eye(LENGTH), means).astype(np.float32)
