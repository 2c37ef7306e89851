"""L-BFGS: full-batch descent that learns the curvature from its last steps (Liu & Nocedal 1989).

The direction comes from the two-loop recursion (Nocedal & Wright 2006, algorithm 7.4). How far to go
along it is bisected until the weak Wolfe conditions hold (Lewis & Overton 2013, algorithm 2.6). Each
update is given the loss and the gradient at the point that it put the weights at before, so that a
search takes as many steps of training as it tries points, and can be interrupted between any two. A
point whose loss or gradient is not finite is too far along, like one whose loss is too high.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from aegan import replicas

Tensor = Any

HISTORY = 10  # steps remembered
DECREASE, CURVATURE = 1e-4, 0.9  # of the Wolfe conditions
MOST_TRIALS = 20  # along one direction
NOISE = 1e-7  # relative, of a loss in float32


class Lbfgs:
    """The variables, the accepted point with its loss and gradient, and the search from there."""

    def __init__(self, variables: list[Any], num_losses: int = 1):
        """Take keras.Variables, and how many losses there are by name; nothing is moved yet."""
        self.variables = variables
        self._shapes = [tuple(variable.shape) for variable in variables]
        size = sum(math.prod(shape) for shape in self._shapes)

        def vector(*shape: int) -> Any:
            return tf.Variable(tf.zeros([*shape, size]))

        def number(value: float) -> Any:
            return tf.Variable(tf.constant(value, tf.float64))

        self._point, self._gradient, self._direction = vector(), vector(), vector()
        self._moves, self._changes = vector(HISTORY), vector(HISTORY)
        self._losses = tf.Variable(tf.zeros([num_losses], tf.float64))
        self._loss, self._slope = number(0.0), number(0.0)
        self._length, self._low, self._high = number(1.0), number(0.0), number(math.inf)
        self._kept, self._trials = tf.Variable(0), tf.Variable(0)
        self._updates = tf.Variable(0)

    @property
    def updates(self) -> Tensor:
        """How many there were."""
        return self._updates

    def state(self) -> list[Any]:
        """All tf.Variables but the weights."""
        return [value for value in vars(self).values() if isinstance(value, tf.Variable)]

    def apply(self, gradients: list[Tensor], losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Judge the point that the weights are at, and put them at the next to try.

        Args:
            gradients: this device's share of them.
            losses: of all devices; it minimises `loss`.

        Returns:
            `gradient_norm`, as `learning_rate` how far along its direction the point was, and losses;
            where those of the point are not finite, those of the point that the search began at.
        """
        gradient = tf.concat([tf.reshape(g, [-1]) for g in replicas.total(gradients)], 0)
        loss, length = tf.cast(losses["loss"], tf.float64), tf.identity(self._length)
        names = sorted(losses)
        found = tf.stack([tf.cast(losses[name], tf.float64) for name in names])
        square = _dot(gradient, gradient)
        finite = tf.math.is_finite(square + tf.reduce_sum(found))
        slope = _dot(gradient, self._direction)
        allowed = self._loss + DECREASE * length * self._slope + NOISE * tf.abs(self._loss)
        first = tf.equal(self._updates, 0)
        too_high = ~first & ~(finite & (loss <= allowed))
        too_steep = ~first & ~too_high & (slope < CURVATURE * self._slope)
        given_up = (too_high | too_steep) & (self._trials >= MOST_TRIALS)
        good = first | ~(too_high | too_steep) | (given_up & ~too_high)
        tf.cond(
            good,
            lambda: self._accept(gradient, loss),
            lambda: tf.cond(given_up, self._start_anew, lambda: self._narrow(too_high)),
        )
        self._losses.assign(tf.where(good, found, self._losses))
        self._updates.assign_add(1)
        self._put(self._point + tf.cast(self._length, tf.float32) * self._direction)
        told = tf.unstack(tf.where(finite, found, self._losses))
        norm = tf.sqrt(tf.where(finite, square, _dot(self._gradient, self._gradient)))
        measured = {"gradient_norm": norm, "learning_rate": length} | dict(
            zip(names, told, strict=True)
        )
        return {name: tf.cast(value, tf.float32) for name, value in measured.items()}

    def _accept(self, gradient: Tensor, loss: Tensor) -> Tensor:
        """The weights are the new point: remember the step, and choose a direction from here."""
        point = tf.concat([tf.reshape(v.value, [-1]) for v in self.variables], 0)
        move, change = point - self._point, gradient - self._gradient
        started = self._updates > 0
        curved = _dot(move, change) > 1e-10 * _dot(change, change)
        kept = tf.where(started & curved, tf.minimum(self._kept + 1, HISTORY), self._kept)
        for memory, newest in ((self._moves, move), (self._changes, change)):
            shifted = tf.concat([memory[1:], newest[tf.newaxis]], 0)
            memory.assign(tf.where(started & curved, shifted, memory))
        self._kept.assign(kept)
        self._point.assign(point)
        self._gradient.assign(gradient)
        self._loss.assign(loss)
        return self._search(self._two_loops(gradient))

    def _narrow(self, too_high: Tensor) -> Tensor:
        """Bisect between what is too short and what is too long, or go twice as far."""
        self._high.assign(tf.where(too_high, self._length, self._high))
        self._low.assign(tf.where(too_high, self._low, self._length))
        middle = (self._low + self._high) / 2
        self._length.assign(tf.where(tf.math.is_inf(self._high), 2 * self._length, middle))
        return self._trials.assign_add(1)

    def _start_anew(self) -> Tensor:
        """No such point was found: forget the curvature and go down the gradient."""
        self._kept.assign(0)
        return self._search(-self._gradient)

    def _search(self, direction: Tensor) -> Tensor:
        slope = _dot(self._gradient, direction)
        downhill = slope < 0
        direction = tf.where(downhill, direction, -self._gradient)
        self._direction.assign(direction)
        self._slope.assign(tf.where(downhill, slope, -_dot(self._gradient, self._gradient)))
        # Without curvature the gradient tells no length: try a move of 1 in all at most.
        careful = 1 / tf.maximum(_norm_1(direction), 1.0)
        self._length.assign(tf.where(self._kept > 0, tf.ones([], tf.float64), careful))
        self._low.assign(0.0)
        self._high.assign(math.inf)
        return self._trials.assign(0)

    def _two_loops(self, gradient: Tensor) -> Tensor:
        """-H · gradient, H being the inverse curvature that the remembered steps tell of."""
        oldest = HISTORY - self._kept

        def inverse(i: Tensor) -> Tensor:
            return 1 / _dot(self._moves[i], self._changes[i])

        def backward(i: Tensor, q: Tensor, weights: Tensor) -> Any:
            weight = inverse(i) * _dot(self._moves[i], q)
            weights = tf.tensor_scatter_nd_update(weights, [[i]], [weight])
            return i - 1, q - tf.cast(weight, tf.float32) * self._changes[i], weights

        def forward(i: Tensor, r: Tensor) -> Any:
            weight = weights[i] - inverse(i) * _dot(self._changes[i], r)
            return i + 1, r + tf.cast(weight, tf.float32) * self._moves[i]

        start = (HISTORY - 1, gradient, tf.zeros([HISTORY], tf.float64))
        _, q, weights = tf.while_loop(lambda i, *_: i >= oldest, backward, start)
        move, change = self._moves[-1], self._changes[-1]
        scale = _dot(move, change) / tf.maximum(_dot(change, change), 1e-300)
        q *= tf.cast(tf.where(self._kept > 0, scale, 1.0), tf.float32)
        return -tf.while_loop(lambda i, _: i < HISTORY, forward, (oldest, q))[1]

    def _put(self, point: Tensor) -> None:
        sizes = [math.prod(shape) for shape in self._shapes]
        for variable, part in zip(self.variables, tf.split(point, sizes), strict=True):
            variable.value.assign(tf.reshape(part, variable.shape))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return tf.reduce_sum(tf.cast(a, tf.float64) * tf.cast(b, tf.float64))


def _norm_1(a: Tensor) -> Tensor:
    return tf.reduce_sum(tf.abs(tf.cast(a, tf.float64)))
