"""One of the gradients that a step of full batch takes.

An autoencoder has one, a GAN one for each step of the discriminator and each of the generator.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from aegan import replicas
from aegan.programs import Learner

Tensor = Any


class Phase:
    """One gradient of a step: its functions and the sums in flight.

    Attributes:
        number: of the phase, counted from 0.
        gradients: of a micro-batch, a step and the micro-batch's number, on this device: what
            `Learner.gradients` returns.
        names: of the metrics, in the order in which `descend` returns them.
        sums: float64 tf.Variables, of each gradient, then of each loss.
    """

    def __init__(self, learner: Learner, number: int, examples: Any, size: int, xla: bool):
        """Trace the gradients of a micro-batch of `size` examples, and a descent."""
        self.number = number
        strategy = tf.distribute.get_strategy()

        def gradients(batch: Any, step: Tensor, part: Tensor) -> Any:
            return learner.gradients(number, batch, step, part)

        def on_this_device(gradients: list[Tensor], losses: dict[str, Tensor]) -> Any:
            return learner.apply(number, replicas.only_once(gradients), losses)

        def apply(gradients: list[Tensor], losses: dict[str, Tensor]) -> dict[str, Tensor]:
            metrics: dict[str, Tensor] = strategy.run(on_this_device, args=(gradients, losses))
            return replicas.first(metrics)

        batch = tf.nest.map_structure(
            lambda a: tf.TensorSpec([size, *a.shape[1:]], a.dtype), examples
        )
        scalar = tf.TensorSpec([], tf.int32)
        alone = replicas.count() == 1
        # Compiled as what they become part of, or conditions are traced in a way XLA cannot take.
        compiled = tf.function(gradients, jit_compile=xla, autograph=False)
        self.gradients = compiled if alone else gradients

        def on_all(batch: Any, step: Tensor, part: Tensor) -> Any:
            return replicas.first(strategy.run(self.gradients, args=(batch, step, part)))

        traced = tf.function(on_all, autograph=False).get_concrete_function(batch, scalar, scalar)
        self._kinds, losses = traced.structured_outputs
        self._losses = sorted(losses)
        specs = [tf.TensorSpec(kind.shape, tf.float32) for kind in self._kinds]
        losses = {name: tf.TensorSpec([], tf.float32) for name in self._losses}
        function = tf.function(apply, jit_compile=xla and alone, autograph=False)
        traced = function.get_concrete_function(specs, losses)
        self._apply = traced if alone else apply
        self.names = sorted({*self._losses, *traced.structured_outputs})
        shapes = [kind.shape for kind in self._kinds] + [[] for _ in self._losses]
        self.sums = [tf.Variable(tf.zeros(shape, tf.float64)) for shape in shapes]

    def keep(self, sums: list[Tensor]) -> None:
        """Make these the sums in flight."""
        for variable, value in zip(self.sums, sums, strict=True):
            variable.assign(value)

    def descend(self, sums: list[Tensor], rows: int) -> list[Tensor]:
        """Descend by the means over all samples; returns the metrics in the order of the names.

        A loss that the descent itself tells of takes the place of the one that was added up.
        """
        means = [s / rows for s in sums]
        metrics = self._apply(*self._split([tf.cast(mean, tf.float32) for mean in means]))
        found = self._split(means)[1] | metrics
        return [tf.cast(found[name], tf.float64) for name in self.names]

    def added(self, sums: list[Tensor], found: tuple[list[Tensor], dict[str, Tensor]]) -> Any:
        """The sums with a micro-batch's gradients and losses added, in float64."""
        values = [*found[0], *(found[1][name] for name in self._losses)]
        return [s + tf.cast(value, tf.float64) for s, value in zip(sums, values, strict=True)]

    def _split(self, values: list[Tensor]) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Gradients and losses from what was added up."""
        count = len(self._kinds)
        return values[:count], dict(zip(self._losses, values[count:], strict=True))
