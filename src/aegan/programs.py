"""Many steps on mini-batches as one compiled program, and what programs ask of a learner.

Speed comes from two things: the examples lie on the device, and the host is asked for nothing between
steps. A program can be left after any unit of work (a step, or a part of a full batch), and what is
computed does not depend on where.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from aegan import replicas
from aegan.batches import batch_indices
from aegan.plans import Plan
from aegan.streaming import (
    Ahead,
    Examples,
    as_constant,
    bytes_of_row,
    lent,
    num_rows,
    on_device,
    take,
)

Array = np.ndarray[Any, Any]
Tensor = Any

# Of the steps of one call. XLA needs about three milliseconds in each until all cores are at work, so
# that calls should be long; these bounds are on what a call is given.
MOST_INDICES = 2**18  # of examples
MOST_STREAMED_BYTES = 96 * 2**20  # of examples, where they are streamed


class Learner(Protocol):
    """An objective and one update of what it trains.

    A batch is shaped as the examples are: one tensor [B, ...] float32, or a tuple of them, normalised.
    Metrics are scalars by name; all must stay finite, and names that end in `loss` are shown.
    With several devices (`aegan.replicas`), functions run on each with its share of the batch.

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
        """Descend once by the sum of all devices' gradients; returns further metrics.

        Args:
            phase: of the step, counted from 0.
            gradients: this device's share of the mean gradients.
            losses: means, of all devices.
        """

    def validate(self) -> float | None:
        """The loss on the validation split, lower is better; None if there is nothing to choose."""

    def preview(self) -> Array | None:
        """A few normalised examples [n, ...] that show what was learnt so far, or their codes."""

    def state(self) -> list[Any]:
        """All tf.Variables that a checkpoint must hold, in a fixed order."""

    def weights(self) -> list[Any]:
        """The tf.Variables of which the best are kept."""


class Program(Protocol):
    """Steps of training, a unit of work at a time.

    Attributes:
        units: of work in a step.
        samples: in a step.
        names: of the metrics, in the order of their totals.
        most_units: in one call.
    """

    units: int
    samples: int
    names: list[str]
    most_units: int

    def run(self, first: int, count: int, totals: list[float]) -> tuple[int, list[float]]:
        """Do units of work.

        Args:
            first: of them, counted from the start of training.
            count: how many, at most `most_units`.
            totals: of the metrics so far. They go through the program in float64, one step after
                the other, so that they do not depend on how many steps a call takes.

        Returns:
            The first step that had a metric which is not finite, or -1; the new totals.
        """

    def state(self) -> list[Any]:
        """Variables of work in flight."""


class MiniBatches:
    """A `Program` of steps on mini-batches; a unit of work is a step."""

    units = 1

    def __init__(self, learner: Learner, examples: Examples, plan: Plan, *, streamed: bool):
        """Trace one update, and put the examples on the device unless they are streamed."""
        self._plan, self.samples, self._examples = plan, plan.batch_size, examples
        self._data = None if streamed else tf.nest.map_structure(as_constant, examples)
        most = MOST_STREAMED_BYTES // bytes_of_row(examples) if streamed else MOST_INDICES
        self.most_units = max(1, min(most, MOST_INDICES) // plan.batch_size)
        self._ahead = Ahead(self._gathered)
        # One block is used while the next is made. In new memory every page would be mapped anew.
        self._blocks = [tf.nest.map_structure(self._block, examples) for _ in range(2 * streamed)]
        strategy, xla = tf.distribute.get_strategy(), plan.xla and replicas.count() == 1
        self._pieces = plan.pieces if xla else 1

        def on_this_device(batch: Any, step: Tensor) -> dict[str, Tensor]:
            shares = tf.nest.map_structure(lambda a: replicas.share(a, plan.batches), batch)
            return learner.update(shares, step)

        def update(pieces: list[Any], step: Tensor) -> dict[str, Tensor]:
            if len(pieces) > 1:
                return _updated(learner, pieces, step, plan.batch_size)
            metrics: dict[str, Tensor] = strategy.run(on_this_device, args=(pieces[0], step))
            return replicas.first(metrics)

        size = plan.batch_size // self._pieces
        piece = tf.nest.map_structure(
            lambda a: tf.TensorSpec([size, *a.shape[1:]], a.dtype), examples
        )
        # Compiled as what it becomes part of, or conditions are traced in a way that XLA cannot take.
        traced = tf.function(update, jit_compile=xla, autograph=False)
        self._update = traced.get_concrete_function(
            [piece] * self._pieces, tf.TensorSpec([], tf.int32)
        )
        self.names = sorted(self._update.structured_outputs)
        self._run = tf.function(self._steps, jit_compile=xla, autograph=False)

    def run(self, first: int, count: int, totals: list[float]) -> tuple[int, list[float]]:
        """See `Program`."""
        sums = [tf.constant(total, tf.float64) for total in totals]
        bad, end = -1, first + count
        while first < end and bad < 0:
            if self._data is not None:
                fed, offset, until = tf.constant(self._indices(first, count)), 0, end
            else:
                # Blocks begin where they do whatever is asked for: each is made once, ahead of its use.
                block = first - first % self.most_units
                fed, offset = self._ahead.get(block, self.most_units), first - block
                until = min(end, block + self.most_units)
            scalars = (tf.constant(number) for number in (offset, first, until - first))
            found, sums = self._run(fed, *scalars, sums)
            bad, first = int(found), until
        return bad, [float(s) for s in sums]

    def state(self) -> list[Any]:
        """None, between steps."""
        return []

    def _indices(self, first: int, count: int) -> Array:
        """[most_units, batch_size] int32, of which `count` rows are meant."""
        size = self._plan.batch_size
        indices = np.zeros((self.most_units, size), np.int32)
        rows = num_rows(self._examples)
        indices[:count] = batch_indices(self._plan.seed, rows, size, first, count)
        return indices

    def _block(self, array: Any) -> Array:
        """Memory for batches [most_units, batch_size, ...]."""
        return lent((self.most_units, self._plan.batch_size, *array.shape[1:]), array.dtype)

    def _gathered(self, first: int, count: int) -> Any:
        """The batches of one block, where those of the block before the last were."""
        indices = self._indices(first, count)

        def gather(array: Any, block: Array) -> Tensor:
            for batch, rows in zip(block, indices, strict=True):
                take(array, rows, batch)
            return on_device(block)

        block = self._blocks[first // self.most_units % 2]
        return tf.nest.map_structure(gather, self._examples, block)

    def _piece(self, fed: Any, number: Tensor) -> Any:
        """A piece of a batch: the same examples, be they resident or fed.

        XLA wants to know where a slice begins, and compiles anew for every beginning; not so `gather`.
        """
        if self._data is None:
            return tf.nest.map_structure(lambda pieces: tf.gather(pieces, number), fed)
        rows = tf.gather(fed, number)
        return tf.nest.map_structure(lambda a: tf.gather(a, rows), self._data)

    def _steps(
        self, fed: Any, offset: Tensor, first: Tensor, count: Tensor, totals: list[Tensor]
    ) -> Any:
        def in_pieces(batches: Tensor) -> Tensor:
            return tf.reshape(batches, [-1, size, *batches.shape[2:]])

        size = self._plan.batch_size // self._pieces
        fed = tf.nest.map_structure(in_pieces, fed)

        def body(i: Tensor, bad: Tensor, totals: list[Tensor]) -> tuple[Tensor, Tensor, Any]:
            numbers = [(offset + i) * self._pieces + number for number in range(self._pieces)]
            pieces = [self._piece(fed, number) for number in numbers]
            metrics = self._update(pieces, first + i)
            values = [tf.cast(metrics[name], tf.float64) for name in self.names]
            bad = tf.where((bad < 0) & ~tf.math.is_finite(tf.add_n(values)), first + i, bad)
            return i + 1, bad, [t + value for t, value in zip(totals, values, strict=True)]

        start = (tf.constant(0), tf.constant(-1), totals)
        return tf.while_loop(lambda i, *_: i < count, body, start)[1:]


def _updated(learner: Learner, pieces: list[Any], step: Tensor, size: int) -> dict[str, Tensor]:
    """One update by the mean over a batch that comes in pieces, of which XLA does several at a time."""
    found = [learner.gradients(0, piece, step, tf.constant(i)) for i, piece in enumerate(pieces)]
    sums = [tf.add_n(parts) for parts in zip(*(gradients for gradients, _ in found), strict=True)]
    losses = {name: tf.add_n([of[name] for _, of in found]) / size for name in found[0][1]}
    return losses | learner.apply(0, [gradient / size for gradient in sums], losses)
