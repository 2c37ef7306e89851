"""The transform between raw units and what networks see, for arrays and for exported graphs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Normalizer:
    """normalised = (raw - offset) / scale, in float32.

    Attributes:
        method: `minmax` or `standard`.
        offset: float32, broadcasts against one example.
        scale: float32, like offset; never 0.
        raw_dtype: NumPy name of the raw type, which `invert` returns.
    """

    method: str
    offset: Array
    scale: Array
    raw_dtype: str

    def apply(self, raw: Array) -> Array:
        """Raw units [N, ...] to float32 [N, ...]; minmax maps the training range to [0, 1]."""
        return (raw.astype(np.float32) - self.offset) / self.scale

    def invert(self, normalized: Array) -> Array:
        """Float32 [N, ...] to raw units; integers are rounded and kept within their type."""
        raw = normalized * self.scale + self.offset
        if np.dtype(self.raw_dtype).kind in "ui":
            raw = np.clip(np.rint(raw), *_float_limits(self.raw_dtype))
        return raw.astype(self.raw_dtype)

    def apply_tensor(self, raw: Any) -> Any:
        """`apply` for tensors, inside an exported graph."""
        import tensorflow as tf

        return (tf.cast(raw, tf.float32) - self.offset) / self.scale

    def invert_tensor(self, normalized: Any) -> Any:
        """`invert` for tensors, inside an exported graph."""
        import tensorflow as tf

        raw = normalized * self.scale + self.offset
        if np.dtype(self.raw_dtype).kind in "ui":
            raw = tf.clip_by_value(tf.round(raw), *_float_limits(self.raw_dtype))
        return tf.cast(raw, self.raw_dtype)

    def to_json(self) -> str:
        """Canonical JSON, for `normalizer.json`."""
        tree = {
            "method": self.method,
            "offset": self.offset.tolist(),
            "raw_dtype": self.raw_dtype,
            "scale": self.scale.tolist(),
        }
        return json.dumps(tree, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Normalizer:
        """The normalizer that `to_json` wrote."""
        tree = json.loads(text)
        return cls(
            tree["method"],
            np.array(tree["offset"], np.float32),
            np.array(tree["scale"], np.float32),
            tree["raw_dtype"],
        )


def fit(train: Array, method: str, kind: str) -> Normalizer:
    """Fit to the training split: one scale for images, one a column or channel otherwise.

    Args:
        train: [N, ...] raw examples of the training split only.
        method: `minmax` or `standard`.
        kind: `image`, `tabular` or `sequence`.
    """
    axes = None if kind == "image" else tuple(range(train.ndim - 1))
    if method == "minmax":
        offset = train.min(axis=axes).astype(np.float64)
        scale = train.max(axis=axes).astype(np.float64) - offset
    else:
        offset = train.mean(axis=axes, dtype=np.float64)
        scale = train.std(axis=axes, dtype=np.float64)
    # A constant column carries nothing: it becomes 0, and comes back as itself. Rounding leaves it
    # a deviation, and float32 may leave a column that does vary none.
    scale = np.asarray(scale, np.float32)
    varies = (train.min(axis=axes) < train.max(axis=axes)) & (scale > 0)
    scale = np.where(varies, scale, np.float32(1))
    return Normalizer(method, np.asarray(offset, np.float32), scale, train.dtype.name)


def _float_limits(dtype: str) -> tuple[np.float32, np.float32]:
    """The float32 range that fits an integer type; its largest value itself may round out of it."""
    limits = np.iinfo(dtype)
    largest = np.float32(limits.max)
    if int(largest) > limits.max:
        largest = np.nextafter(largest, np.float32(0))
    return np.float32(limits.min), largest
