"""Pictures of any kind of example, in a page that Kubeflow's viewer can show."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aegan.evaluation import figures
from aegan.evaluation.report import MOST_PICTURE_BYTES, _picture


@pytest.mark.parametrize(
    ("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "RGBA"), (7, "L")]
)
def test_images_of_any_number_of_channels_have_a_grid(channels: int, mode: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, channels)).astype(np.uint8)
    picture = figures.grid(images, width=1)
    assert picture.mode == mode
    corner = np.asarray(picture)[:8, :8].reshape(8, 8, -1)
    np.testing.assert_array_equal(corner, images[0, ..., : corner.shape[-1]])


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((64, 28, 28, 1), 64),
        ((64, 64, 64, 3), 16),
        ((64, 1024, 768, 3), 8),
        ((64, 24, 6), 8),
        ((64, 14), 16),
    ],
)
def test_pictures_are_small_whatever_the_examples(shape: tuple[int, ...], shown: int) -> None:
    noise: Any = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    png, count = _picture(noise)
    assert len(png) <= MOST_PICTURE_BYTES
    assert count == shown
    assert Image.open(io.BytesIO(png)).format == "PNG"
