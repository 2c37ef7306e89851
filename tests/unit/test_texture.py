"""How texture is compared."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy.fft import dct

from aegan.autoencoder import AutoencoderLearner
from aegan.config_file import validate
from aegan.errors import ConfigError
from aegan.texture import magnitudes, texture_error
from tests.conftest import tiny

Array = np.ndarray[Any, Any]


def by_hand(image: Array) -> Array:
    """Of one channel [H, W]: each 3x3 window transformed by itself, each neighbourhood averaged."""
    height, width = (length - 2 for length in image.shape)
    waves = dct(np.eye(3), axis=0, norm="ortho")
    strengths = np.empty((3, 3, height, width))
    for i, j in product(range(height), range(width)):
        strengths[:, :, i, j] = np.abs(waves @ image[i : i + 3, j : j + 3] @ waves.T)
    rows, columns = -(-height // 4), -(-width // 4)
    means = np.empty((3, rows, 3, columns))
    for r, c in product(range(rows), range(columns)):
        block = strengths[:, :, 4 * r : 4 * r + 4, 4 * c : 4 * c + 4]
        means[:, r, :, c] = block.mean(axis=(2, 3))
    return means.reshape(3, rows, 3 * columns)


@pytest.mark.parametrize("shape", [(3, 3, 1), (9, 14, 3), (28, 28, 1)])
def test_magnitudes_are_those_of_each_window_averaged(shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    found = magnitudes(images).numpy()
    for image, of_channels in zip(images, found, strict=True):
        for channel, one in enumerate(of_channels):
            np.testing.assert_allclose(one, by_hand(image[..., channel]), atol=1e-5)


def test_magnitudes_of_many_images_in_a_graph_are_those_of_each() -> None:
    images = np.random.default_rng(0).normal(size=(100, 8, 8, 1)).astype(np.float32)
    found = tf.function(magnitudes, autograph=False)(tf.constant(images)).numpy()
    for image, one in zip(images, found, strict=True):
        np.testing.assert_allclose(one[0], by_hand(image[..., 0]), atol=1e-5)


def test_what_is_moved_costs_little_and_what_is_blurred_much() -> None:
    stripes = np.tile(np.array([0, 1], np.float32), (28, 14))[None, :, :, None]
    moved, blurred = 1 - stripes, np.full_like(stripes, 0.5)
    errors = [texture_error(stripes, other).numpy()[0] for other in (stripes, moved, blurred)]
    assert errors[0] == 0
    assert ((stripes - moved) ** 2).mean() > ((stripes - blurred) ** 2).mean()
    assert errors[1] < errors[2] / 10


def test_images_too_small_for_a_window_are_refused() -> None:
    config = validate(tiny(autoencoder={"texture": 1.0, "hidden": [4]}), "test")
    with pytest.raises(ConfigError, match=r"windows of 3x3 pixels, and the images are 2x9"):
        AutoencoderLearner(config, (2, 9, 1), np.zeros((9, 2, 9, 1), np.float32))
