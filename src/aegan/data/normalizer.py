"""The transform between raw units and what networks see, for arrays and for exported graphs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from aegan.digests import to_json
from aegan.errors import DataError
from aegan.narration import narrate

Array = np.ndarray[Any, Any]

LARGEST = np.float32(1e38)  # networks compute in float32, which ends at 3.4e38


@dataclass(frozen=True)
class Normalizer:
    """normalised = (raw - offset) / scale, a float32.

    Computed in float32, or in float64 where the raw type has more digits than float32: the small
    differences between large numbers, such as times, must survive.

    Attributes:
        method: `minmax` or `standard`.
        offset: float32 or float64, broadcasts against one example.
        scale: like offset; never 0.
        raw_dtype: NumPy name of the raw type, which `invert` returns.
    """

    method: str
    offset: Array
    scale: Array
    raw_dtype: str

    def apply(self, raw: Array) -> Array:
        """Raw units [N, ...] to float32 [N, ...]; minmax maps the training range to [0, 1]."""
        normalized = (raw.astype(self.offset.dtype) - self.offset) / self.scale
        return normalized.astype(np.float32, copy=False)

    def invert(self, normalized: Array) -> Array:
        """Float32 [N, ...] to raw units; integers are rounded and kept within their type."""
        raw = normalized.astype(self.offset.dtype) * self.scale + self.offset
        if np.dtype(self.raw_dtype).kind in "ui":
            raw = np.clip(np.rint(raw), *float_limits(self.raw_dtype, self.offset.dtype))
        return raw.astype(self.raw_dtype)

    def apply_tensor(self, raw: Any) -> Any:
        """`apply` for tensors, inside an exported graph."""
        import tensorflow as tf

        normalized = (tf.cast(raw, self.offset.dtype) - self.offset) / self.scale
        return tf.cast(normalized, tf.float32)

    def invert_tensor(self, normalized: Any) -> Any:
        """`invert` for tensors, inside an exported graph."""
        import tensorflow as tf

        raw = tf.cast(normalized, self.offset.dtype) * self.scale + self.offset
        if np.dtype(self.raw_dtype).kind in "ui":
            limits = float_limits(self.raw_dtype, self.offset.dtype)
            raw = tf.clip_by_value(tf.round(raw), *limits)
        return tf.cast(raw, self.raw_dtype)

    def to_json(self) -> str:
        """Canonical JSON, for `normalizer.json`."""
        tree = {
            "method": self.method,
            "offset": self.offset.tolist(),
            "raw_dtype": self.raw_dtype,
            "scale": self.scale.tolist(),
        }
        return to_json(tree).decode()

    @classmethod
    def from_json(cls, text: str) -> Normalizer:
        """The normalizer that `to_json` wrote."""
        tree = json.loads(text)
        dtype = _working_dtype(tree["raw_dtype"])
        offset, scale = (np.array(tree[key], dtype) for key in ("offset", "scale"))
        return cls(tree["method"], offset, scale, tree["raw_dtype"])


def fit(train: Array, method: str, kind: str) -> Normalizer:
    """Fit to the training split: one scale for images, one a column or channel otherwise.

    Args:
        train: [N, ...] raw examples of the training split only.
        method: `minmax` or `standard`.
        kind: `image`, `tabular` or `sequence`.

    Raises:
        DataError: nothing varies.
    """
    axes = None if kind == "image" else tuple(range(train.ndim - 1))
    if method == "minmax":
        offset = train.min(axis=axes).astype(np.float64)
        scale = train.max(axis=axes).astype(np.float64) - offset
    else:
        offset = train.mean(axis=axes, dtype=np.float64)
        scale = train.std(axis=axes, dtype=np.float64)
    # A constant column carries nothing: it becomes 0, and comes back as itself. Rounding leaves it
    # a deviation, and what varies by less than float32 can hold is as good as constant.
    dtype = _working_dtype(train.dtype.name)
    scale = np.asarray(scale, dtype)
    varies = (train.min(axis=axes) < train.max(axis=axes)) & (scale.astype(np.float32) > 0)
    if not varies.any():
        raise DataError(
            f"all {len(train)} training rows are the same to the precision of float32, there is nothing"
            " to learn; check the source, or scale up values that are smaller than 1e-38"
        )
    if not varies.all():
        constant = np.flatnonzero(~varies)
        shown = ", ".join(map(str, constant[:8])) + (", …" if len(constant) > 8 else "")
        narrate("normalize", "warning", f"{len(constant)} columns never vary: {shown}")
    scale = np.where(varies, scale, dtype.type(1))
    return Normalizer(method, np.asarray(offset, dtype), scale, train.dtype.name)


def _working_dtype(raw_dtype: str) -> np.dtype[Any]:
    """The smallest float type, but float16, that holds every value of a raw type (int64: nearly)."""
    return np.promote_types(raw_dtype, np.float32)


def float_limits(dtype: str, working: np.dtype[Any]) -> tuple[Any, Any]:
    """The range of floats that fits an integer type; its largest value itself may round out of it."""
    limits = np.iinfo(dtype)
    largest = working.type(limits.max)
    if int(largest) > limits.max:
        largest = np.nextafter(largest, working.type(0))
    return working.type(limits.min), largest
