"""Which rows train, which choose, which judge."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def row_fractions(examples: Array, seed: int) -> Array:
    """A number in [0, 1) for each row that depends on the seed and the row's own bytes only.

    So a row keeps its split when others are added, removed or reordered, and duplicates of a row
    never lie on both sides of a split.

    Args:
        examples: [N, ...] of any type.
        seed: the run's seed.

    Returns:
        [N] float64 in [0, 1).
    """
    rows = np.ascontiguousarray(examples).reshape(len(examples), -1)
    key = seed.to_bytes(8, "big")
    hashes = b"".join(hashlib.blake2b(row.data, digest_size=6, key=key).digest() for row in rows)
    words = np.frombuffer(hashes, ">u2").reshape(-1, 3).astype(np.uint64)
    return (words @ np.array([2**32, 2**16, 1], np.uint64)).astype(np.float64) / 2.0**48


def split_rows(
    examples: Array, seed: int, *, validation: float, test: float
) -> tuple[Array, Array, Array]:
    """Row numbers of the training, validation and test split, each in source order.

    Args:
        examples: [N, ...] of any type.
        seed: the run's seed.
        validation: fraction of rows, approximately.
        test: fraction of rows, approximately; 0 where the source has a test set of its own.
    """
    fraction = row_fractions(examples, seed)
    in_test = fraction < test
    in_validation = ~in_test & (fraction < test + validation)
    in_train = ~in_test & ~in_validation
    return np.flatnonzero(in_train), np.flatnonzero(in_validation), np.flatnonzero(in_test)
