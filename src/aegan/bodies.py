"""The layers between a network's input and its output, as an `Architecture` of the configuration says.

Every weight is initialised from the next of the seeds given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import layers

from aegan.config_training import Architecture

Tensor = Any
Shape = tuple[int, ...]

MOST_UNROLLED = 64  # time steps; an unrolled recurrent layer is faster and compiles for longer
SLOPE = 0.2  # of the leaky ReLU below zero


def downward(
    architecture: Architecture, x: Tensor, seeds: Iterator[int], *, spectral: bool = False
) -> Tensor:
    """An example to a flat vector."""
    hidden = architecture.hidden
    if architecture.network == "dense":
        return dense(architecture, layers.Flatten()(x), hidden, seeds, spectral=spectral)
    for index, size in enumerate(hidden):
        if architecture.network == "recurrent":
            x = _recurrent(architecture, size, x, seeds, sequences=index < len(hidden) - 1)
            continue
        smooth = architecture.resampling == "bilinear"
        kernel, stride = (3, 1) if smooth else (4, 2)
        layer = layers.Conv2D(size, kernel, stride, "same", kernel_initializer=he(seeds))
        x = bounded(layer, spectral)(x)
        x = layers.AveragePooling2D(2, padding="same")(x) if smooth else x
        x = _activated(architecture, x, seeds)
    return layers.Flatten()(x)


def upward(
    architecture: Architecture, x: Tensor, shape: Shape, output: str, seeds: Iterator[int]
) -> Tensor:
    """A flat vector to an example."""
    hidden = architecture.hidden[::-1]
    if architecture.network == "dense":
        x = dense(architecture, x, hidden, seeds)
        x = layers.Dense(math.prod(shape), output, kernel_initializer=glorot(seeds))(x)
        return layers.Reshape(shape)(x)
    if architecture.network == "recurrent":
        x = layers.RepeatVector(shape[0])(x)
        for units in hidden:
            x = _recurrent(architecture, units, x, seeds, sequences=True)
        return layers.Dense(shape[1], output, kernel_initializer=glorot(seeds))(x)
    # Start so small that doubling reaches the image or slightly more, then crop to it: any H, W.
    height, width, channels = shape
    scale = 2 ** len(hidden)
    rows, columns = math.ceil(height / scale), math.ceil(width / scale)
    x = layers.Dense(rows * columns * hidden[0], kernel_initializer=he(seeds))(x)
    x = layers.Reshape((rows, columns, hidden[0]))(x)
    for index, filters in enumerate([*hidden[1:], channels]):
        x = _activated(architecture, x, seeds)
        is_last = index == len(hidden) - 1
        start, activation = (glorot(seeds), output) if is_last else (he(seeds), None)
        of = {"kernel_initializer": start, "activation": activation}
        if architecture.resampling == "bilinear":
            x = layers.UpSampling2D(2, interpolation="bilinear")(x)
            x = layers.Conv2D(filters, 3, 1, "same", **of)(x)
        else:
            x = layers.Conv2DTranspose(filters, 4, 2, "same", **of)(x)
    return layers.Cropping2D(
        ((0, rows * scale - height), (0, columns * scale - width)), name="crop"
    )(x)


def dense(
    architecture: Architecture,
    x: Tensor,
    hidden: list[int],
    seeds: Iterator[int],
    *,
    spectral: bool = False,
) -> Tensor:
    """Dense layers of these sizes over a flat vector."""
    for units in hidden:
        layer = layers.Dense(units, kernel_initializer=he(seeds))
        x = _activated(architecture, bounded(layer, spectral)(x), seeds)
    return x


def _recurrent(
    architecture: Architecture, units: int, x: Tensor, seeds: Iterator[int], *, sequences: bool
) -> Tensor:
    """A GRU (Cho et al. 2014) or LSTM (Hochreiter & Schmidhuber 1997) over [T, C]."""
    kind = {"gru": layers.GRU, "lstm": layers.LSTM}[architecture.cell]
    x = kind(
        units,
        return_sequences=sequences,
        kernel_initializer=glorot(seeds),
        recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
        seed=0,  # of a dropout that is not used; else what a checkpoint holds would be arbitrary
        unroll=x.shape[1] <= MOST_UNROLLED,
        use_cudnn=False,  # cuDNN's kernels have no second derivative, which gradient penalties need
    )(x)
    return _dropout(architecture, _normalize(architecture, x), seeds)


def _activated(architecture: Architecture, x: Tensor, seeds: Iterator[int]) -> Tensor:
    x = _normalize(architecture, x)
    if architecture.activation == "leaky_relu":
        x = layers.LeakyReLU(negative_slope=SLOPE)(x)
    else:
        x = layers.Activation(architecture.activation)(x)
    return _dropout(architecture, x, seeds)


def bounded(layer: Any, spectral: bool) -> Any:
    """The layer, or with its matrix divided by the largest singular value (Miyato et al. 2018)."""
    return layers.SpectralNormalization(layer) if spectral else layer


def _normalize(architecture: Architecture, x: Tensor) -> Tensor:
    match architecture.normalization:
        case "batch":
            return layers.BatchNormalization()(x)
        case "layer":
            return layers.LayerNormalization()(x)
        case "group":
            return layers.GroupNormalization(math.gcd(8, x.shape[-1]))(x)
    return x


def _dropout(architecture: Architecture, x: Tensor, seeds: Iterator[int]) -> Tensor:
    if not architecture.dropout:
        return x
    return layers.Dropout(architecture.dropout, seed=next(seeds))(x)


def he(seeds: Iterator[int]) -> Any:
    """Initial weights before a leaky ReLU (He et al. 2015)."""
    return keras.initializers.HeNormal(seed=next(seeds))


def glorot(seeds: Iterator[int]) -> Any:
    """Initial weights of other layers (Glorot & Bengio 2010)."""
    return keras.initializers.GlorotUniform(seed=next(seeds))
