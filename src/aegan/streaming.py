"""Examples that lie on the device, or come from memory-mapped shards while training goes on.

Examples are one array [N, ...] or a tuple of arrays of as many rows; an array is NumPy's or `Shards`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf

from aegan.data.shards import Shards

Array = np.ndarray[Any, Any]
Examples = Any
Tensor = Any

ALIGNMENT = 64  # bytes; TensorFlow ends the process where memory that it is lent begins elsewhere
SHARE_OF_MEMORY = 0.25  # of the device's, that resident examples may take


class Ahead:
    """Makes what is asked for next while the present is used, one after the other in a thread."""

    def __init__(self, make: Callable[[int, int], Any]):
        """Take what makes the work of units first … first + count - 1."""
        self._make, self._pool = make, ThreadPoolExecutor(1)
        self._present: tuple[int, int, Any] | None = None
        self._next: tuple[int, int, Future[Any]] | None = None

    def get(self, first: int, count: int) -> Any:
        """What is made of them; what follows is guessed to be as many."""
        if self._present is None or self._present[:2] != (first, count):
            made = self._next
            guessed = made is not None and made[:2] == (first, count)
            wanted = made[2] if made and guessed else self._pool.submit(self._make, first, count)
            self._present = (first, count, wanted.result())
            following = first + count
            self._next = (following, count, self._pool.submit(self._make, following, count))
        return self._present[2]


def take(array: Any, rows: Array, out: Array) -> None:
    """Copy the rows of an array or of shards into `out`."""
    if isinstance(array, Shards):
        array.take(rows, out)
    else:
        np.take(array, rows, axis=0, out=out, mode="clip")


def lent(shape: tuple[int, ...], dtype: Any) -> Array:
    """Uninitialised numbers in memory that TensorFlow can be lent."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    numbers: Array = memory[start : start + size].view(dtype).reshape(shape)
    return numbers


def on_device(contents: Array) -> Tensor:
    """A tensor on the device of what is in `lent` memory; on a CPU it stays right there.

    `tf.constant` of an array copies it, and that copy once more.
    """
    return tf.identity(tf.experimental.dlpack.from_dlpack(contents.__dlpack__()))


def as_constant(array: Any) -> Tensor:
    """The whole array on the device."""
    contents = lent(array.shape, array.dtype)
    if isinstance(array, Shards):
        array.copy_to(contents)
    else:
        np.copyto(contents, array)
    return on_device(contents)


def num_rows(examples: Examples) -> int:
    """N."""
    return len(tf.nest.flatten(examples)[0])


def bytes_of_row(examples: Examples) -> int:
    """Of one example."""
    return sum(int(a.dtype.itemsize * np.prod(a.shape[1:])) for a in tf.nest.flatten(examples))


def fits(examples: Examples) -> bool:
    """Whether the examples take no more than SHARE_OF_MEMORY of the device's memory."""
    return num_rows(examples) * bytes_of_row(examples) <= SHARE_OF_MEMORY * _device_memory()


def _device_memory() -> int:
    """Bytes that TensorFlow may use of the first GPU, or of this machine or its container."""
    from tensorflow.python.client import device_lib

    limits = [d.memory_limit for d in device_lib.list_local_devices() if d.device_type == "GPU"]
    return min(limits) if limits else _host_memory()


def _host_memory() -> int:
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(name) as file:
                found = min(found, int(file.read()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return found
