"""Descent: the optimiser, how its learning rate runs, and what bounds a gradient."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from aegan.config_training import Training

Tensor = Any


def optimizer(
    section: Training, learning_rate: float, variables: list[Any], *, per_step: int = 1
) -> Any:
    """A Keras optimiser, built for the variables it will update.

    Args:
        section: the training section of the configuration; see there for the meanings.
        learning_rate: the highest of the schedule.
        variables: keras.Variables.
        per_step: how many updates a step of training makes.
    """
    rate = schedule(section, learning_rate, per_step)
    bounds = {"value": "clipvalue", "norm": "clipnorm", "global_norm": "global_clipnorm"}
    common: dict[str, Any] = {"weight_decay": section.weight_decay or None}
    if section.clip != "none":
        common[bounds[section.clip]] = section.clip_at
    match section.optimizer:
        case "sgd":
            chosen = keras.optimizers.SGD(rate, section.momentum, section.nesterov, **common)
        case "rmsprop":
            chosen = keras.optimizers.RMSprop(rate, momentum=section.momentum, **common)
        case _:
            chosen = keras.optimizers.Adam(rate, section.beta_1, section.beta_2, **common)
    chosen.build(variables)
    return chosen


def schedule(section: Training, learning_rate: float, per_step: int = 1) -> Any:
    """The learning rate as a number or a function of the number of updates before."""
    schedules = keras.optimizers.schedules
    updates, warmup = section.steps * per_step, section.warmup_steps * per_step
    rate: Any = learning_rate
    if section.schedule == "cosine":
        rate = schedules.CosineDecay(learning_rate, updates - warmup)
    elif section.schedule == "step":
        every = (section.step_every or max(1, section.steps // 3)) * per_step
        ends = list(range(every, updates, every))
        rates = [learning_rate * section.step_factor**i for i in range(len(ends) + 1)]
        # Keras counts a boundary to the interval that it ends.
        rate = schedules.PiecewiseConstantDecay([end - 1 for end in ends], rates) if ends else rate
    return WarmUp(rate, warmup) if warmup else rate


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Rises to the first rate of another schedule in equal steps, then follows that."""

    def __init__(self, after: Any, steps: int):
        """Take what comes after the warm-up, a number or a schedule, and how long that lasts."""
        self._after, self._steps = after, steps

    def __call__(self, step: Tensor) -> Tensor:
        """The rate of a step counted from 0."""
        position = tf.cast(step, tf.float32)
        later = tf.maximum(position - self._steps, 0.0)
        rate = self._after(later) if callable(self._after) else self._after
        return rate * tf.minimum((position + 1) / self._steps, 1.0)

    def get_config(self) -> dict[str, Any]:
        """What Keras would save."""
        return {"after": self._after, "steps": self._steps}
