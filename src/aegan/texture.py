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


def _waves() -> Array:
    position, band = np.arange(LENGTH), np.arange(LENGTH)[:, None]
    waves: Array = np.cos(np.pi / LENGTH * (position + 0.5) * band)
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    return waves.astype(np.float32)


WAVES = _waves()
"""Of the cosine transform, a band a row."""


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
        [B, C, 3, ⌈(H-2)/4⌉, 3·⌈(W-2)/4⌉]: the bands of rows, and those of columns side by side.
    """
    height, width = (size - LENGTH + 1 for size in images.shape[1:3])
    pixels = tf.transpose(images, [0, 3, 1, 2])
    rows = [pixels[:, :, start : start + height] for start in range(LENGTH)]
    bands = [tf.add_n([w * row for w, row in zip(wave, rows, strict=True)]) for wave in WAVES]
    # Along the columns by large products: XLA's convolutions are slow on a CPU, and so are its sums of
    # what lies side by side in memory. By `tensordot`, as `@` of many matrices with one on their right
    # ends in a segmentation fault where a CPU has AVX-512 (TensorFlow 2.21 with oneDNN).
    responses = tf.abs(tf.tensordot(tf.stack(bands, axis=2), _transform(width), 1))
    groups = -(-height // SIDE)
    responses = tf.pad(responses, [[0, 0]] * 3 + [[0, groups * SIDE - height], [0, 0]])
    grouped = [-1, images.shape[3], LENGTH, groups, SIDE, LENGTH * width]
    sums = tf.reduce_sum(tf.reshape(responses, grouped), axis=4)
    counts = np.minimum(SIDE, height - SIDE * np.arange(groups, dtype=np.float32))
    return tf.tensordot(sums / counts[:, None], _means(width), 1)


def _transform(places: int) -> Array:
    """What takes the pixels of an axis to their responses in all bands: [places + 2, 3 · places]."""
    found = np.zeros((places + LENGTH - 1, LENGTH, places), np.float32)
    for place in range(places):
        found[place : place + LENGTH, :, place] = WAVES.T
    return found.reshape(len(found), -1)


def _means(places: int) -> Array:
    """What takes the responses of an axis in all bands to means of neighbours."""
    neighbours = np.arange(places)[:, None] // SIDE == np.arange(-(-places // SIDE))
    means = neighbours / neighbours.sum(axis=0)
    return np.kron(np.eye(LENGTH), means).astype(np.float32)
