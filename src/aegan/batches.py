"""Which examples a step takes, and more examples than fit through a function at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from aegan.data.shards import Shards

Array = np.ndarray[Any, Any]

BATCH = 1024


def in_batches(
    function: Callable[[Array], Any], values: Array | Shards, size: int = BATCH
) -> Array:
    """Apply to batches of one size (only the last may be smaller) and join the results.

    Args:
        function: [B, ...] to a tensor [B, ...].
        values: [N, ...], N of at least 1; may be memory-mapped.
        size: B.
    """
    parts = [np.asarray(function(values[i : i + size])) for i in range(0, len(values), size)]
    return np.concatenate(parts)


@functools.lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, num_examples: int) -> Array:
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return generator.permutation(num_examples).astype(np.int32)


def batch_indices(seed: int, num_examples: int, batch_size: int, first: int, count: int) -> Array:
    """Which examples each step takes: endless epochs, each its own permutation, none left out.

    Returns:
        [count, batch_size] int32 for the steps first … first + count - 1.
    """
    position, end = first * batch_size, (first + count) * batch_size
    parts = []
    while position < end:
        epoch, offset = divmod(position, num_examples)
        part = _permutation(seed, epoch, num_examples)[offset : offset + end - position]
        parts.append(part)
        position += len(part)
    return np.concatenate(parts).reshape(count, batch_size)
