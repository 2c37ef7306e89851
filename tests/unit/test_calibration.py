"""Logits that are made log ratios of densities."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from aegan import networks
from aegan.calibration import MOST, calibrated, scale_of
from aegan.config_file import validate
from tests.conftest import tiny

SIZE = 20_000


def ratings(factor: float) -> tuple[Any, Any]:
    """Of N(½, 1) against N(-½, 1), whose log ratio is x, times a factor."""
    random = np.random.default_rng(0)
    return factor * random.normal(0.5, 1, SIZE), factor * random.normal(-0.5, 1, SIZE)


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
def test_ratings_too_cautious_or_too_sure_are_put_right(factor: float) -> None:
    real, fake = ratings(factor)
    assert scale_of(real, fake) * factor == pytest.approx(1, abs=0.03)
    # An offset, which no choice depends on, changes nothing.
    assert scale_of(real + 3, fake + 3) == pytest.approx(scale_of(real, fake), rel=1e-3)


def test_ratings_that_tell_nothing_or_are_wrong_choose_nothing() -> None:
    real, fake = ratings(1.0)
    assert scale_of(fake, real) == 0
    assert 0 <= scale_of(np.zeros(50), np.zeros(50)) <= MOST
    mixed = np.random.default_rng(1).permutation(np.concatenate([real, fake]))
    assert scale_of(*np.split(mixed, 2)) == pytest.approx(0, abs=0.05)


def test_ratings_that_separate_all_get_a_finite_factor() -> None:
    found = scale_of(np.full(100, 1e-3), np.full(100, -1e-3))
    assert 1 < found <= MOST
    assert 1 < scale_of(np.full(100, 20.0), np.full(100, -20.0)) * 20 < 10


@pytest.mark.parametrize("known", [0, 3])
def test_the_discriminator_is_scaled_as_a_whole(known: int) -> None:
    section = validate(tiny(), "test").gan
    network = networks.discriminator(section.discriminator, (4,), 7, classes=known)
    random = np.random.default_rng(0)
    real = random.normal(0.5, 1, (1500, 4)).astype(np.float32)
    classes = np.eye(3, dtype=np.float32)[random.integers(0, 3, 1500)] if known else None
    asked = []

    def generate(number: int, position: int, its_classes: Any) -> Any:
        asked.append((number, position))
        if known:
            assert np.array_equal(its_classes, classes[position : position + number])
        return random.normal(-0.5, 1, (number, 4)).astype(np.float32)

    made, scale = calibrated(network, generate, real, classes)
    assert asked == [(1024, 0), (476, 1024)]
    assert 0 <= scale <= MOST
    given = [real[:9], classes[:9]] if classes is not None else real[:9]
    np.testing.assert_allclose(made(given), scale * np.asarray(network(given)), rtol=1e-5)
    assert made.name == "discriminator"
    again = keras.Model.from_config(made.get_config())
    assert [layer.name for layer in again.layers] == [layer.name for layer in made.layers]
