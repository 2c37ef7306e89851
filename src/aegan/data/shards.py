"""Several memory-mapped arrays as one, of which the rows that are asked for are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Shards:
    """Memory-mapped arrays one after the other, as one array [N, ...] of which parts are read.

    Attributes:
        shape: of the whole.
        dtype: of the whole.
    """

    def __init__(self, parts: Sequence[Array]):
        """Take arrays [n, ...] that differ in n only."""
        self._parts, self.dtype = list(parts), parts[0].dtype
        self._ends = np.cumsum([len(part) for part in parts])
        self.shape = (int(self._ends[-1]), *parts[0].shape[1:])

    def __len__(self) -> int:
        """N."""
        return int(self._ends[-1])

    def __getitem__(self, rows: slice | Array) -> Array:
        """The rows of a slice or of an array of indices, copied."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        rows = np.asarray(rows) % len(self)
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        self.take(rows, out)
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The whole, copied."""
        return np.concatenate(self._parts).astype(dtype or self.dtype, copy=False)

    def copy_to(self, out: Array) -> None:
        """Copy the whole into `out`."""
        np.concatenate(self._parts, out=out)

    def take(self, rows: Array, out: Array) -> None:
        """Copy rows into `out`, [len(rows), ...]."""
        owners = np.searchsorted(self._ends, rows, side="right")
        for owner in np.flatnonzero(np.bincount(owners)):
            mine, part = np.flatnonzero(owners == owner), self._parts[owner]
            found = rows[mine] - (self._ends[owner] - len(part))
            out[mine] = part.take(found, axis=0, mode="clip")
