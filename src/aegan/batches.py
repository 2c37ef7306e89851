"""Applying a compiled function to more examples than fit through it at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

BATCH = 1024


def in_batches(function: Callable[[Array], Any], values: Array) -> Array:
    """Apply to batches of one size (only the last may be smaller) and join the results.

    Args:
        function: [B, ...] to a tensor [B, ...].
        values: [N, ...], N of at least 1; may be memory-mapped.
    """
    parts = [np.asarray(function(values[i : i + BATCH])) for i in range(0, len(values), BATCH)]
    return np.concatenate(parts)
