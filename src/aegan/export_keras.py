"""Keras models of encode and decode in raw units, of Keras' own layers and operations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from aegan.data.normalizer import Normalizer, float_limits
from aegan.export import Autoencoder

Tensor = Any


def save_autoencoder(parts: Autoencoder, folder: Path) -> None:
    """Write encode.keras and decode.keras, which load in safe mode without this package.

    Args:
        parts: what they are made of.
        folder: to write to; it exists.
    """
    normalizer = parts.normalizer
    examples = keras.Input(parts.shape, dtype=normalizer.raw_dtype, name="examples")
    encode = keras.Model(examples, parts.encoder(_normalized(normalizer, examples)), name="encode")
    encode.save(folder / "encode.keras")
    codes = keras.Input((parts.latent_size,), name="codes")
    decode = keras.Model(codes, _raw(normalizer, parts.decoder(codes)), name="decode")
    decode.save(folder / "decode.keras")


def _normalized(normalizer: Normalizer, raw: Tensor) -> Tensor:
    """`Normalizer.apply`, of a symbolic tensor."""
    working = ops.cast(raw, normalizer.offset.dtype.name)
    return ops.cast((working - normalizer.offset) / normalizer.scale, "float32")


def _raw(normalizer: Normalizer, normalized: Tensor) -> Tensor:
    """`Normalizer.invert`, of a symbolic tensor."""
    dtype = normalizer.offset.dtype
    raw = ops.cast(normalized, dtype.name) * normalizer.scale + normalizer.offset
    if np.dtype(normalizer.raw_dtype).kind in "ui":
        raw = ops.clip(ops.round(raw), *map(float, float_limits(normalizer.raw_dtype, dtype)))
    return ops.cast(raw, normalizer.raw_dtype)
