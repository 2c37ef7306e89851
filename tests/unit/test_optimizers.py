"""Schedules, bounds on gradients and the optimisers themselves."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from aegan.config_training import Training
from aegan.optimizers import Descent, schedule


def section(**settings: Any) -> Training:
    return Training.model_validate({"steps": 100, "learning_rate": 1.0} | settings)


def rates(settings: Training, per_step: int = 1) -> list[float]:
    rate = schedule(settings, settings.learning_rate, per_step)
    steps = range(settings.steps * per_step)
    return [float(rate(step)) if callable(rate) else rate for step in steps]


def test_a_constant_rate_is_constant() -> None:
    assert set(rates(section(schedule="constant"))) == {1.0}


def test_the_cosine_falls_from_the_rate_to_zero() -> None:
    found = rates(section(schedule="cosine"))
    expected = [(1 + math.cos(math.pi * step / 100)) / 2 for step in range(100)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_steps_multiply_the_rate_when_they_should() -> None:
    found = rates(section(schedule="step", step_every=40, step_factor=0.5))
    np.testing.assert_allclose(found, [1.0] * 40 + [0.5] * 40 + [0.25] * 20)


@pytest.mark.parametrize("kind", ["constant", "cosine", "step"])
def test_a_warm_up_rises_to_the_rate_and_comes_first(kind: str) -> None:
    found = rates(section(schedule=kind, warmup_steps=10, step_every=30))
    np.testing.assert_allclose(found[:10], np.arange(1, 11) / 10, rtol=1e-6)
    assert max(found) == pytest.approx(1.0)
    if kind == "cosine":
        assert found[-1] == pytest.approx((1 + math.cos(math.pi * 89 / 90)) / 2, abs=1e-6)


def test_several_updates_a_step_stretch_the_schedule() -> None:
    once = rates(section(warmup_steps=10))
    thrice = rates(section(warmup_steps=10), per_step=3)
    assert len(thrice) == 300
    np.testing.assert_allclose(thrice[30::3], once[10:], atol=1e-6)


def descent(settings: Training, variables: list[Any], scale: float = 1.0) -> Descent:
    return Descent(settings, settings.learning_rate, variables, tf.Variable(scale))


def moved(settings: Training, gradients: list[Any]) -> list[Any]:
    """How far one update moves variables that start at 0."""
    variables = [keras.Variable(np.zeros_like(gradient)) for gradient in gradients]
    descent(settings, variables).apply([tf.constant(gradient) for gradient in gradients])
    return [-variable.numpy() for variable in variables]


BIG = [np.array([3.0, 4.0], np.float32), np.array([12.0], np.float32)]


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ("none", [[3, 4], [12]]),
        ("value", [[2, 2], [2]]),
        ("norm", [[1.2, 1.6], [2]]),
        ("global_norm", [[6 / 13, 8 / 13], [24 / 13]]),
    ],
)
def test_gradients_are_bounded(clip: str, expected: list[Any]) -> None:
    settings = section(optimizer="sgd", schedule="constant", clip=clip, clip_at=2.0)
    for found, wanted in zip(moved(settings, BIG), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.02},
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "learning_rate": 0.02},
        {"optimizer": "rmsprop", "learning_rate": 0.05},
        {"optimizer": "adam", "learning_rate": 0.2},
        {"optimizer": "adam", "learning_rate": 0.2, "weight_decay": 0.01},
    ],
    ids=str,
)
def test_every_optimiser_finds_the_bottom_of_a_bowl(settings: dict[str, Any]) -> None:
    variable = keras.Variable(np.array([3.0, -2.0], np.float32))
    chosen = descent(section(steps=300, **settings), [variable])
    for _ in range(300):
        chosen.apply([2 * (variable.value - [1.0, 1.0])])
    tolerance = 0.1 if "weight_decay" in settings else 0.02
    np.testing.assert_allclose(variable.numpy(), [1.0, 1.0], atol=tolerance)


def test_weight_decay_shrinks_without_a_gradient() -> None:
    variable = keras.Variable(np.array([2.0], np.float32))
    settings = section(schedule="constant", learning_rate=0.1, weight_decay=0.5)
    descent(settings, [variable]).apply([tf.zeros(1)])
    assert variable.numpy()[0] == pytest.approx(2.0 * (1 - 0.1 * 0.5))


def test_the_norm_is_that_of_all_gradients_before_they_are_bounded() -> None:
    settings = section(optimizer="sgd", clip="norm", clip_at=0.1)
    variables = [keras.Variable(np.zeros_like(gradient)) for gradient in BIG]
    measured = descent(settings, variables).apply([tf.constant(gradient) for gradient in BIG])
    assert float(measured["gradient_norm"]) == pytest.approx(13.0)
    assert float(measured["learning_rate"]) == 1.0


def test_a_lower_scale_takes_smaller_steps() -> None:
    settings = section(optimizer="sgd", schedule="constant", learning_rate=0.5)
    variable = keras.Variable(np.zeros(1, np.float32))
    measured = descent(settings, [variable], scale=0.25).apply([tf.constant([2.0])])
    assert variable.numpy().tolist() == [-0.25]
    assert float(measured["learning_rate"]) == 0.125
