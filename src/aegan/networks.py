"""Encoder, decoder, generator, discriminator: functional Keras models of built-in layers.

Shapes in docstrings leave out the batch. Every weight is initialised from the seed given, so two
calls with the same arguments return equal networks. What they are built of is told by an
`Architecture` of the configuration; `hidden` always runs from the data to the code.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from aegan import replicas
from aegan.config_training import Architecture

Tensor = Any
Shape = tuple[int, ...]

MOST_UNROLLED = 64  # time steps; an unrolled recurrent layer is faster and compiles for longer
SLOPE = 0.2  # of the leaky ReLU below zero


def encoders(
    architecture: Architecture, shape: Shape, latent_size: int, activation: str, seed: int
) -> tuple[Any, Any]:
    """Two networks of one body: [*shape] to the code [latent_size], and to it and a log variance.

    The second is for variational autoencoders, where the code of x is N(code, exp(log variance))
    (Kingma & Welling 2013).

    Args:
        architecture: what they are built of.
        shape: of one example, in normalised units.
        latent_size: size of the code.
        activation: of the code, `linear` or `relu`.
        seed: of the initial weights.
    """
    inputs = keras.Input(shape, name="example")
    seeds = itertools.count(seed)
    x = _downward(architecture, inputs, seeds)
    codes = layers.Dense(latent_size, activation, kernel_initializer=_glorot(seeds), name="code")(x)
    log_variance = layers.Dense(latent_size, kernel_initializer="zeros", name="log_variance")(x)
    both = keras.Model(inputs, [codes, log_variance], name="variational_encoder")
    return keras.Model(inputs, codes, name="encoder"), both


def decoder(
    architecture: Architecture, shape: Shape, latent_size: int, output: str, seed: int
) -> Any:
    """[latent_size] to [*shape] in normalised units.

    Args:
        architecture: of the encoder; the decoder mirrors it.
        shape: shape of one example.
        latent_size: size of the code.
        output: activation of the last layer: `sigmoid` for data in [0, 1], else `linear`.
        seed: of the initial weights.
    """
    inputs = keras.Input((latent_size,), name="code")
    outputs = _upward(architecture, inputs, shape, output, itertools.count(seed))
    return keras.Model(inputs, outputs, name="decoder")


def generator(
    architecture: Architecture, shape: Shape, noise_size: int, output: str, seed: int
) -> Any:
    """Noise [noise_size] ~ N(0, I) to an example or code [*shape]."""
    inputs = keras.Input((noise_size,), name="noise")
    outputs = _upward(architecture, inputs, shape, output, itertools.count(seed))
    return keras.Model(inputs, outputs, name="generator")


def refiner(architecture: Architecture, code_size: int, noise_size: int, seed: int) -> Any:
    """A draw from a mixture [code_size] and noise [noise_size] to a code [code_size].

    G(z, e) = z + MLP(z, e), the last layer initialised to zero: training starts at the mixture.
    """
    start = keras.Input((code_size,), name="start")
    noise = keras.Input((noise_size,), name="noise")
    x = layers.Concatenate()([start, noise])
    x = _dense(architecture, x, architecture.hidden[::-1], itertools.count(seed))
    step = layers.Dense(code_size, kernel_initializer="zeros", name="step")(x)
    return keras.Model([start, noise], layers.Add()([start, step]), name="generator")


def discriminator(
    architecture: Architecture, shape: Shape, seed: int, *, spectral: bool = False
) -> Any:
    """An example or code [*shape] to one logit [1]: large for real.

    Args:
        architecture: what it is built of.
        shape: of one example or code.
        seed: of the initial weights.
        spectral: divide each weight matrix by its largest singular value (Miyato et al. 2018).
    """
    inputs = keras.Input(shape, name="example")
    seeds = itertools.count(seed)
    x = _downward(architecture, inputs, seeds, spectral=spectral)
    last = layers.Dense(1, kernel_initializer=_glorot(seeds), name="logit")
    model = keras.Model(inputs, _spectral(last, spectral)(x), name="discriminator")
    for layer in model.layers:
        if isinstance(layer, layers.SpectralNormalization):  # Keras gives its start no seed
            start = keras.random.normal(layer.vector_u.shape, seed=next(seeds))
            layer.vector_u.assign(start)
    return model


def classifier(network: str, shape: Shape, num_classes: int, feature_size: int, seed: int) -> Any:
    """An example [*shape] to (features [feature_size], logits [num_classes])."""
    inputs = keras.Input(shape, name="example")
    seeds = itertools.count(seed)
    hidden = [32, 64] if network == "conv" else [256, 128]
    x = _downward(
        Architecture.model_validate({"network": network, "hidden": hidden}), inputs, seeds
    )
    x = layers.Dense(feature_size, kernel_initializer=_he(seeds))(x)
    features = layers.LeakyReLU(negative_slope=SLOPE, name="features")(x)
    logits = layers.Dense(num_classes, kernel_initializer=_glorot(seeds), name="logits")(features)
    return keras.Model(inputs, [features, logits], name="classifier")


def reseed_dropout(models: Iterable[Any], seed: Tensor, part: Tensor | None = None) -> None:
    """Make what dropout layers draw next a function of a [2] int32 seed, not of earlier draws.

    Several devices draw differently for their shares of a mini-batch, unless it is a `part` of a full
    batch, which one device has whole.
    """
    if part is None and replicas.count() > 1:
        seed = tf.random.fold_in(seed, replicas.number())
    generators = (getattr(layer, "seed_generator", None) for m in models for layer in m.layers)
    for index, generator in enumerate(g for g in generators if g is not None):
        state = generator.state.value
        state.assign(tf.cast(tf.random.fold_in(seed, index), state.dtype))


def _downward(
    architecture: Architecture, x: Tensor, seeds: Iterator[int], *, spectral: bool = False
) -> Tensor:
    """An example to a flat vector."""
    hidden = architecture.hidden
    if architecture.network == "dense":
        return _dense(architecture, layers.Flatten()(x), hidden, seeds, spectral=spectral)
    for index, size in enumerate(hidden):
        if architecture.network == "recurrent":
            x = _recurrent(architecture, size, x, seeds, sequences=index < len(hidden) - 1)
            continue
        smooth = architecture.resampling == "bilinear"
        kernel, stride = (3, 1) if smooth else (4, 2)
        layer = layers.Conv2D(size, kernel, stride, "same", kernel_initializer=_he(seeds))
        x = _spectral(layer, spectral)(x)
        x = layers.AveragePooling2D(2, padding="same")(x) if smooth else x
        x = _activated(architecture, x, seeds)
    return layers.Flatten()(x)


def _upward(
    architecture: Architecture, x: Tensor, shape: Shape, output: str, seeds: Iterator[int]
) -> Tensor:
    """A flat vector to an example."""
    hidden = architecture.hidden[::-1]
    if architecture.network == "dense":
        x = _dense(architecture, x, hidden, seeds)
        x = layers.Dense(math.prod(shape), output, kernel_initializer=_glorot(seeds))(x)
        return layers.Reshape(shape)(x)
    if architecture.network == "recurrent":
        x = layers.RepeatVector(shape[0])(x)
        for units in hidden:
            x = _recurrent(architecture, units, x, seeds, sequences=True)
        return layers.Dense(shape[1], output, kernel_initializer=_glorot(seeds))(x)
    # Start so small that doubling reaches the image or slightly more, then crop to it: any H, W.
    height, width, channels = shape
    scale = 2 ** len(hidden)
    rows, columns = math.ceil(height / scale), math.ceil(width / scale)
    x = layers.Dense(rows * columns * hidden[0], kernel_initializer=_he(seeds))(x)
    x = layers.Reshape((rows, columns, hidden[0]))(x)
    for filters in hidden:
        x = _activated(architecture, x, seeds)
        if architecture.resampling == "bilinear":
            x = layers.UpSampling2D(2, interpolation="bilinear")(x)
            x = layers.Conv2D(filters, 3, 1, "same", kernel_initializer=_he(seeds))(x)
        else:
            x = layers.Conv2DTranspose(filters, 4, 2, "same", kernel_initializer=_he(seeds))(x)
    x = layers.LeakyReLU(negative_slope=SLOPE)(x)
    x = layers.Conv2D(channels, 3, 1, "same", activation=output, kernel_initializer=_glorot(seeds))(
        x
    )
    return layers.Cropping2D(
        ((0, rows * scale - height), (0, columns * scale - width)), name="crop"
    )(x)


def _dense(
    architecture: Architecture,
    x: Tensor,
    hidden: list[int],
    seeds: Iterator[int],
    *,
    spectral: bool = False,
) -> Tensor:
    for units in hidden:
        layer = layers.Dense(units, kernel_initializer=_he(seeds))
        x = _activated(architecture, _spectral(layer, spectral)(x), seeds)
    return x


def _recurrent(
    architecture: Architecture, units: int, x: Tensor, seeds: Iterator[int], *, sequences: bool
) -> Tensor:
    """A GRU (Cho et al. 2014) or LSTM (Hochreiter & Schmidhuber 1997) over [T, C]."""
    kind = {"gru": layers.GRU, "lstm": layers.LSTM}[architecture.cell]
    x = kind(
        units,
        return_sequences=sequences,
        kernel_initializer=_glorot(seeds),
        recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
        seed=0,  # of a dropout that is not used; else what a checkpoint holds would be arbitrary
        unroll=x.shape[1] <= MOST_UNROLLED,
        use_cudnn=False,  # cuDNN's kernels have no second derivative, which gradient penalties need
    )(x)
    return _dropout(architecture, _normalize(architecture, x), seeds)


def _activated(architecture: Architecture, x: Tensor, seeds: Iterator[int]) -> Tensor:
    x = layers.LeakyReLU(negative_slope=SLOPE)(_normalize(architecture, x))
    return _dropout(architecture, x, seeds)


def _spectral(layer: Any, spectral: bool) -> Any:
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


def _he(seeds: Iterator[int]) -> Any:
    return keras.initializers.HeNormal(seed=next(seeds))


def _glorot(seeds: Iterator[int]) -> Any:
    return keras.initializers.GlorotUniform(seed=next(seeds))
