"""Several GPUs of one machine: each takes a share of the work, and all hold the same weights.

With one device everything here but `in_turn` is the identity. What a *share* is summed up to does not
depend on how many there are: in full batch to the last bit, in mini-batches up to the rounding of
float32 sums. Several devices run TensorFlow's own graph, so the one to compare with is trained with
`compiler: graph`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

Tensor = Any
T = TypeVar("T")


def strategy() -> Any:
    """`tf.distribute.MirroredStrategy` over all GPUs if there are several, else TensorFlow's default.

    A learner is built and trained in its `scope()`.
    """
    several = len(tf.config.list_logical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()


def count() -> int:
    """How many devices share the work."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def number() -> Tensor:
    """Which of them this is: int32 scalar, counted from 0."""
    context = tf.distribute.get_replica_context()
    return tf.convert_to_tensor(context.replica_id_in_sync_group, tf.int32)


def first(found: T) -> T:
    """Of what a function returned on every device, that of the first."""
    strategy = tf.distribute.get_strategy()
    result: T = tf.nest.map_structure(lambda x: strategy.experimental_local_results(x)[0], found)
    return result


def share(batch: Tensor, batches: int) -> Tensor:
    """The device's rows of each of so many batches in a row: [B, ...] to [B / devices, ...]."""
    if count() == 1:
        return batch
    size = batch.shape[0] // batches // count()
    several = tf.reshape(batch, [batches, count(), size, *batch.shape[1:]])
    mine = tf.gather(several, number(), axis=1)
    return tf.reshape(mine, [batches * size, *batch.shape[1:]])


def total(shares: T) -> T:
    """The sum over all devices of a structure of tensors, on each of them."""
    if count() == 1:
        return shares
    context = tf.distribute.get_replica_context()
    summed: T = context.all_reduce(tf.distribute.ReduceOp.SUM, shares)
    return summed


def only_once(values: list[Tensor]) -> list[Tensor]:
    """The values on the first device and zeros on the others: shares whose total is exact."""
    if count() == 1:
        return values
    return [tf.where(tf.equal(number(), 0), value, tf.zeros_like(value)) for value in values]


def mean(values: Tensor) -> Tensor:
    """The device's share of the mean over a mini-batch of which it has [B / devices]."""
    return tf.reduce_mean(values) / count()


def rows(draw: Callable[[Tensor], Any], size: Tensor, part: Tensor | None) -> Any:
    """Random rows for this device's share of a batch: those that one device would draw for them.

    Args:
        draw: of a number of rows, returns tensors of that many.
        size: of the share.
        part: the micro-batch of a full batch, which one device has whole; None for a mini-batch.
    """
    if part is not None or count() == 1:
        return draw(size)
    start = number() * size
    return tf.nest.map_structure(lambda a: a[start : start + size], draw(size * count()))


def in_turn(
    update: Callable[[int | Tensor], dict[str, Tensor]],
    start: int,
    stop: int,
    found: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Do the updates numbered from `start` to before `stop`, one after the other.

    Args:
        update: takes its number and returns metrics, float32 scalars by name.
        start: the first number.
        stop: the one after the last.
        found: the metrics so far, under the same names.

    Returns:
        The metrics of the last update; if there are none, `found`.
    """
    if count() > 1:  # devices cannot add up their gradients within a loop
        for number in range(start, stop):
            found = update(number)
    elif start < stop:  # a loop in the program: unrolled, each of them would be compiled anew
        _, found = tf.while_loop(
            lambda number, _: number < stop,
            lambda number, _: (number + 1, update(number)),
            (tf.constant(start), found),
        )
    return found
