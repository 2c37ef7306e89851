"""Pictures of any kind of example, in a page that Kubeflow's viewer can show."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aegan.evaluation import figures


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
    png, count = figures.picture(noise)
    assert len(png) <= figures.MOST_PICTURE_BYTES
    assert count == shown
    assert Image.open(io.BytesIO(png)).format == "PNG"


def history(**metrics: float) -> list[dict[str, float]]:
    common = {"learning_rate": 1e-3, "samples_per_second": 9.0, "seconds": 1.0, "divergence": 5.0}
    return [{"step": float(s)} | common | {k: v / s for k, v in metrics.items()} for s in (1, 2)]


def test_curves_have_a_row_for_each_training_and_a_panel_for_each_kind_of_metric() -> None:
    autoencoder = history(loss=1, validation_loss=2, gradient_norm=3)
    gan = history(discriminator_loss=1, generator_loss=-1, generator_gradient_norm=3)
    both = figures.curves({"autoencoder": autoencoder, "GAN": gan})
    one = figures.curves({"autoencoder": autoencoder[:1]})
    first, second = (Image.open(io.BytesIO(png)) for png in (both, one))
    assert (first.width, first.height) == (second.width, 2 * second.height)


def test_the_loss_panel_shows_losses_only_by_short_names() -> None:
    _, axes = figures._figure(1, 2, (4, 2))
    ending, _ = figures.CURVES["loss"]
    figures._draw_curves(axes[0, 0], history(loss=1, validation_loss=2, gradient_norm=3), ending)
    labels = [line.get_label() for line in axes[0, 0].get_lines()]
    assert labels == ["training", "validation"]
