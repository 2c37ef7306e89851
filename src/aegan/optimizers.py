"""Descent: the optimiser, how its learning rate runs, and what bounds a gradient."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from aegan import replicas, sums
from aegan.config_training import Training

Tensor = Any


class Descent:
    """An optimiser and the variables that it updates."""

    def __init__(
        self,
        section: Training,
        learning_rate: float,
        variables: list[Any],
        scale: Any,
        *,
        per_step: int = 1,
    ):
        """Build what the configuration says.

        Args:
            section: the training section of the configuration; see there for the meanings.
            learning_rate: the highest of the schedule.
            variables: keras.Variables.
            scale: float32 scalar tf.Variable, multiplies the learning rate.
            per_step: how many updates a step of training makes.
        """
        self.variables = variables
        rate = Scaled(schedule(section, learning_rate, per_step), scale)
        common: dict[str, Any] = {"weight_decay": section.weight_decay or None}
        self._clip, self._clip_at = section.clip, section.clip_at
        self._rate, momentum = rate, section.momentum
        match section.optimizer:
            case "sgd":
                self._keras = keras.optimizers.SGD(rate, momentum, section.nesterov, **common)
            case "rmsprop":
                self._keras = keras.optimizers.RMSprop(rate, momentum=momentum, **common)
            case _:
                self._keras = keras.optimizers.Adam(rate, section.beta_1, section.beta_2, **common)
        self._keras.build(variables)

    def apply(self, gradients: list[Tensor], _: Any = None) -> dict[str, Tensor]:
        """Update the variables.

        Args:
            gradients: this device's share of them.

        Returns:
            `gradient_norm`, the Euclidean norm of all gradients before they are bounded, and the
            `learning_rate` of this update.
        """
        rate = self._rate(self._keras.iterations.value)
        gradients = replicas.total(gradients)
        norm = sums.norm(gradients)
        # Keras adds up what all devices give it.
        self._keras.apply(replicas.only_once(self._bounded(gradients, norm)), self.variables)
        return {"gradient_norm": norm, "learning_rate": rate}

    def _bounded(self, gradients: list[Tensor], norm: Tensor) -> list[Tensor]:
        """Gradients as `clip` says. Keras would add up their squares again, and slowly (see `sums`)."""
        bound = self._clip_at
        match self._clip:
            case "none":
                return gradients
            case "value":
                return [tf.clip_by_value(gradient, -bound, bound) for gradient in gradients]
            case "norm":
                norms = [sums.norm([gradient]) for gradient in gradients]
            case "global_norm":
                norms = [norm] * len(gradients)
        factors = [bound / tf.maximum(length, bound) for length in norms]
        return [gradient * factor for gradient, factor in zip(gradients, factors, strict=True)]

    @property
    def updates(self) -> Tensor:
        """How many there were."""
        return self._keras.iterations.value

    def state(self) -> list[Any]:
        """The tf.Variables of the optimiser."""
        return [variable.value for variable in self._keras.variables]


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


class Scaled(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule, or a number, times a variable."""

    def __init__(self, rate: Any, scale: Any):
        """Take both factors."""
        self._scaled, self._scale = rate, scale

    def __call__(self, step: Tensor) -> Tensor:
        """The rate of a step counted from 0."""
        rate = self._scaled(step) if callable(self._scaled) else self._scaled
        return rate * self._scale

    def get_config(self) -> dict[str, Any]:
        """What Keras would save."""
        return {"rate": self._scaled, "scale": self._scale}


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
