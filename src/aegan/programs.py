"""Many steps as one compiled program: of mini-batches, or each over the whole training set.

Speed comes from two things: the examples lie on the device, and the host is asked for nothing between
steps. A program can be left after any unit of work (a step, or a micro-batch of a full batch), and what
is computed does not depend on where.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from aegan.batches import batch_indices
from aegan.plans import Plan

Array = np.ndarray[Any, Any]
Examples = Array | tuple[Array, ...]
Tensor = Any

MOST_UNITS = 256  # in one call


class Learner(Protocol):
    """An objective and one update of what it trains.

    A batch is shaped as the examples are: one tensor [B, ...] float32, or a tuple of them, normalised.
    Metrics are scalars by name; all must stay finite, and names that end in `loss` are shown.

    Attributes:
        phases: how many gradients a step takes, one after the other.
        scale: float32 scalar tf.Variable, multiplies the learning rates.
    """

    phases: int
    scale: Any

    def update(self, batch: Any, step: Tensor) -> dict[str, Tensor]:
        """Descend once by the gradient of the mean over the batch.

        Args:
            batch: of `Plan.batch_size` examples.
            step: int32 scalar counted from 0; all randomness derives from it and the seed.
        """

    def gradients(
        self, phase: int, batch: Any, step: Tensor, part: Tensor
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Sums over the batch of each sample's gradients, and of its losses.

        Args:
            phase: of the step, counted from 0.
            batch: any number of examples.
            step: int32 scalar, as above.
            part: int32 scalar, which micro-batch of the training set this is; with the step and the
                seed it determines all randomness.
        """

    def apply(
        self, phase: int, gradients: list[Tensor], losses: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Descend once by the means over the training set; returns further metrics."""

    def validate(self) -> float | None:
        """The loss on the validation split, lower is better; None if there is nothing to choose."""

    def preview(self) -> Array | None:
        """A few normalised examples [n, ...] that show what was learnt so far, or their codes."""

    def state(self) -> list[Any]:
        """All tf.Variables that a checkpoint must hold, in a fixed order."""

    def weights(self) -> list[Any]:
        """The tf.Variables of which the best are kept."""


class MiniBatches:
    """Steps on mini-batches; a unit of work is a step.

    Attributes:
        units: of work in a step.
        samples: in a step.
        names: of the metrics, in the order of their totals.
    """

    units = 1

    def __init__(self, learner: Learner, examples: Examples, plan: Plan):
        """Trace one update, and put the examples on the device."""
        self._plan, self.samples = plan, plan.batch_size
        self._data = tf.nest.map_structure(tf.constant, examples)
        self._rows = len(tf.nest.flatten(examples)[0])
        batch = tf.nest.map_structure(
            lambda a: tf.TensorSpec([plan.batch_size, *a.shape[1:]], a.dtype), self._data
        )
        # Compiled as what it becomes part of, or conditions are traced in a way that XLA cannot take.
        update = tf.function(learner.update, jit_compile=plan.xla, autograph=False)
        self._update = update.get_concrete_function(batch, tf.TensorSpec([], tf.int32))
        self.names = sorted(self._update.structured_outputs)
        self._run = tf.function(self._steps, jit_compile=plan.xla, autograph=False)

    def run(self, first: int, count: int, totals: list[float]) -> tuple[int, list[float]]:
        """Do units of work.

        Args:
            first: of them, counted from the start of training.
            count: how many, at most MOST_UNITS.
            totals: of the metrics so far. They go through the program in float64, one step after
                the other, so that they do not depend on how many steps a call takes.

        Returns:
            The first step that had a metric which is not finite, or -1; the new totals.
        """
        indices = np.zeros((MOST_UNITS, self._plan.batch_size), np.int32)
        indices[:count] = batch_indices(
            self._plan.seed, self._rows, self._plan.batch_size, first, count
        )
        sums = [tf.constant(total, tf.float64) for total in totals]
        bad, sums = self._run(tf.constant(indices), tf.constant(first), tf.constant(count), sums)
        return int(bad), [float(s) for s in sums]

    def state(self) -> list[Any]:
        """Variables of work in flight: none, between steps."""
        return []

    def _steps(self, indices: Tensor, first: Tensor, count: Tensor, totals: list[Tensor]) -> Any:
        def body(i: Tensor, bad: Tensor, totals: list[Tensor]) -> tuple[Tensor, Tensor, Any]:
            batch = tf.nest.map_structure(lambda a: tf.gather(a, indices[i]), self._data)
            metrics = self._update(batch, first + i)
            values = [tf.cast(metrics[name], tf.float64) for name in self.names]
            bad = tf.where((bad < 0) & ~tf.math.is_finite(tf.add_n(values)), first + i, bad)
            return i + 1, bad, [t + value for t, value in zip(totals, values, strict=True)]

        start = (tf.constant(0), tf.constant(-1), totals)
        return tf.while_loop(lambda i, *_: i < count, body, start)[1:]


class FullBatch:
    """Steps by the exact gradient over the training set; a unit of work is a micro-batch.

    The training set is cut once into micro-batches of one size and a smaller last one. Each gives the
    sum of its samples' gradients; those are added up in float64 in the order of the micro-batches and
    divided once by the number of samples.

    Attributes:
        units: of work in a step: its phases times the micro-batches of full size.
        samples: in a step.
        names: of the metrics, in the order of their totals.
    """

    def __init__(self, learner: Learner, examples: Examples, plan: Plan):
        """Trace the gradients, and put the examples on the device."""
        self._learner = learner
        self._data = tf.nest.map_structure(tf.constant, examples)
        self.samples = self._rows = len(tf.nest.flatten(examples)[0])
        self._size = min(plan.micro_batch_size, self._rows)
        self._parts, self._rest = divmod(self._rows, self._size)
        self.units = learner.phases * self._parts
        self._phases = [
            _Phase(learner, p, self._data, self._size, plan.xla) for p in range(learner.phases)
        ]
        counts = Counter(name for phase in self._phases for name in phase.names)
        self.names, self._shares = sorted(counts), {name: 1 / n for name, n in counts.items()}
        self._run = tf.function(self._micro_batches, jit_compile=plan.xla, autograph=False)

    def run(self, first: int, count: int, totals: list[float]) -> tuple[int, list[float]]:
        """As `MiniBatches.run`, in units of a micro-batch."""
        sums = [tf.constant(total, tf.float64) for total in totals]
        bad, sums = self._run(tf.constant(first, tf.int64), tf.constant(count, tf.int64), sums)
        return int(bad), [float(s) for s in sums]

    def state(self) -> list[Any]:
        """The sums of a step in flight."""
        return [variable for phase in self._phases for variable in phase.sums]

    def _micro_batches(self, first: Tensor, count: Tensor, totals: list[Tensor]) -> Any:
        end = first + count

        def body(position: Tensor, bad: Tensor, totals: Any, flight: Any) -> Any:
            step = tf.cast(position // self.units, tf.int32)
            at = position % self.units
            until = tf.minimum(tf.cast(self.units, tf.int64), at + end - position)
            totals, left = dict(zip(self.names, totals, strict=True)), []
            for number, (phase, sums) in enumerate(zip(self._phases, flight, strict=True)):
                start, stop = (
                    tf.cast(tf.clip_by_value(x - number * self._parts, 0, self._parts), tf.int32)
                    for x in (at, until)
                )
                sums = self._accumulated(phase, step, start, stop, sums)
                values, sums = tf.cond(
                    (stop == self._parts) & (start < self._parts),
                    lambda p=phase, s=sums: self._finished(p, step, s),
                    lambda p=phase, s=sums: ([tf.zeros((), tf.float64) for _ in p.names], s),
                )
                bad = tf.where((bad < 0) & ~tf.math.is_finite(tf.add_n(values)), step, bad)
                for name, value in zip(phase.names, values, strict=True):
                    totals[name] += value * self._shares[name]
                left.append(sums)
            return position + until - at, bad, [totals[name] for name in self.names], left

        flight = [[variable.value() for variable in phase.sums] for phase in self._phases]
        start = (first, tf.constant(-1), totals, flight)
        _, bad, totals, flight = tf.while_loop(lambda position, *_: position < end, body, start)
        for phase, sums in zip(self._phases, flight, strict=True):
            for variable, value in zip(phase.sums, sums, strict=True):
                variable.assign(value)
        return bad, totals

    def _accumulated(
        self, phase: _Phase, step: Tensor, start: Tensor, stop: Tensor, sums: list[Tensor]
    ) -> list[Tensor]:
        """Sums with those of the micro-batches from start up to stop added."""

        def body(part: Tensor, sums: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            batch = tf.nest.map_structure(
                lambda a: tf.ensure_shape(
                    a[part * self._size : (part + 1) * self._size], [self._size, *a.shape[1:]]
                ),
                self._data,
            )
            return part + 1, phase.added(sums, phase.gradients(batch, step, part))

        added: list[Tensor]
        _, added = tf.while_loop(lambda part, _: part < stop, body, (start, sums))
        return added

    def _finished(
        self, phase: _Phase, step: Tensor, sums: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Descend by the means over all samples: metrics, and sums to start the next step with."""
        if self._rest:
            batch = tf.nest.map_structure(lambda a: a[-self._rest :], self._data)
            part = tf.constant(self._parts)
            found = self._learner.gradients(phase.number, batch, step, part)
            sums = phase.added(sums, found)
        means = [s / self._rows for s in sums]
        metrics = phase.apply(*phase.split([tf.cast(mean, tf.float32) for mean in means]))
        losses = phase.split(means)[1] | metrics
        values = [tf.cast(losses[name], tf.float64) for name in phase.names]
        return values, [tf.zeros_like(s) for s in sums]


class _Phase:
    """One gradient of a step: its functions, the names of its metrics and the sums in flight."""

    def __init__(self, learner: Learner, number: int, data: Any, size: int, xla: bool):
        self.number = number

        def gradients(batch: Any, step: Tensor, part: Tensor) -> Any:
            return learner.gradients(number, batch, step, part)

        def apply(gradients: list[Tensor], losses: dict[str, Tensor]) -> dict[str, Tensor]:
            return learner.apply(number, gradients, losses)

        batch = tf.nest.map_structure(lambda a: tf.TensorSpec([size, *a.shape[1:]], a.dtype), data)
        scalar = tf.TensorSpec([], tf.int32)
        function = tf.function(gradients, jit_compile=xla, autograph=False)
        self.gradients = function.get_concrete_function(batch, scalar, scalar)
        self._kinds, losses = self.gradients.structured_outputs
        self._losses = sorted(losses)
        specs = [tf.TensorSpec(kind.shape, tf.float32) for kind in self._kinds]
        losses = {name: tf.TensorSpec([], tf.float32) for name in self._losses}
        function = tf.function(apply, jit_compile=xla, autograph=False)
        self.apply = function.get_concrete_function(specs, losses)
        self.names = sorted([*self._losses, *self.apply.structured_outputs])
        shapes = [kind.shape for kind in self._kinds] + [[] for _ in self._losses]
        self.sums = [tf.Variable(tf.zeros(shape, tf.float64)) for shape in shapes]

    def added(self, sums: list[Tensor], found: tuple[list[Tensor], dict[str, Tensor]]) -> Any:
        values = [*found[0], *(found[1][name] for name in self._losses)]
        return [s + tf.cast(value, tf.float64) for s, value in zip(sums, values, strict=True)]

    def split(self, values: list[Tensor]) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Gradients and losses from what was added up."""
        count = len(self._kinds)
        return values[:count], dict(zip(self._losses, values[count:], strict=True))
