"""Encoder, decoder, generator, discriminator: functional Keras models of built-in layers.

Shapes in docstrings leave out the batch. Every weight is initialised from the seed given, so two
calls with the same arguments return equal networks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import layers

Tensor = Any
Shape = tuple[int, ...]


def encoder(network: str, shape: Shape, hidden: Sequence[int], latent_size: int, seed: int) -> Any:
    """[*shape] in normalised units to [latent_size]."""
    inputs = keras.Input(shape, name="example")
    seeds = itertools.count(seed)
    x = _downward(network, inputs, hidden, seeds)
    codes = layers.Dense(latent_size, kernel_initializer=_glorot(seeds), name="code")(x)
    return keras.Model(inputs, codes, name="encoder")


def decoder(
    network: str, shape: Shape, hidden: Sequence[int], latent_size: int, output: str, seed: int
) -> Any:
    """[latent_size] to [*shape] in normalised units.

    Args:
        network: `dense` or `conv`.
        shape: shape of one example.
        hidden: of the encoder; the decoder mirrors it.
        latent_size: size of the code.
        output: activation of the last layer: `sigmoid` for data in [0, 1], else `linear`.
        seed: of the initial weights.
    """
    inputs = keras.Input((latent_size,), name="code")
    outputs = _upward(network, inputs, shape, hidden[::-1], output, itertools.count(seed))
    return keras.Model(inputs, outputs, name="decoder")


def generator(
    network: str, shape: Shape, hidden: Sequence[int], noise_size: int, output: str, seed: int
) -> Any:
    """Noise [noise_size] ~ N(0, I) to an example or code [*shape]."""
    inputs = keras.Input((noise_size,), name="noise")
    outputs = _upward(
        network, inputs, shape, hidden, output, itertools.count(seed), normalize=network == "conv"
    )
    return keras.Model(inputs, outputs, name="generator")


def refiner(code_size: int, hidden: Sequence[int], noise_size: int, seed: int) -> Any:
    """A draw from a mixture [code_size] and noise [noise_size] to a code [code_size].

    G(z, e) = z + MLP(z, e), the last layer initialised to zero: training starts at the mixture.
    """
    start = keras.Input((code_size,), name="start")
    noise = keras.Input((noise_size,), name="noise")
    seeds = itertools.count(seed)
    x = layers.Concatenate()([start, noise])
    x = _dense_layers(x, hidden, seeds)
    step = layers.Dense(code_size, kernel_initializer="zeros", name="step")(x)
    return keras.Model([start, noise], layers.Add()([start, step]), name="generator")


def discriminator(network: str, shape: Shape, hidden: Sequence[int], seed: int) -> Any:
    """An example or code [*shape] to one logit [1]: large for real."""
    inputs = keras.Input(shape, name="example")
    seeds = itertools.count(seed)
    x = _downward(network, inputs, hidden, seeds)
    logit = layers.Dense(1, kernel_initializer=_glorot(seeds), name="logit")(x)
    return keras.Model(inputs, logit, name="discriminator")


def classifier(network: str, shape: Shape, num_classes: int, feature_size: int, seed: int) -> Any:
    """An example [*shape] to (features [feature_size], logits [num_classes])."""
    inputs = keras.Input(shape, name="example")
    seeds = itertools.count(seed)
    x = _downward(network, inputs, (32, 64) if network == "conv" else (256, 128), seeds)
    x = layers.Dense(feature_size, kernel_initializer=_he(seeds))(x)
    features = layers.LeakyReLU(negative_slope=0.2, name="features")(x)
    logits = layers.Dense(num_classes, kernel_initializer=_glorot(seeds), name="logits")(features)
    return keras.Model(inputs, [features, logits], name="classifier")


def _downward(network: str, x: Tensor, hidden: Sequence[int], seeds: Iterator[int]) -> Tensor:
    if network == "dense":
        return _dense_layers(layers.Flatten()(x), hidden, seeds)
    for filters in hidden:
        x = layers.Conv2D(filters, 4, 2, "same", kernel_initializer=_he(seeds))(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    return layers.Flatten()(x)


def _upward(
    network: str,
    x: Tensor,
    shape: Shape,
    hidden: Sequence[int],
    output: str,
    seeds: Iterator[int],
    *,
    normalize: bool = False,
) -> Tensor:
    if network == "dense":
        x = _dense_layers(x, hidden, seeds)
        x = layers.Dense(math.prod(shape), output, kernel_initializer=_glorot(seeds))(x)
        return layers.Reshape(shape)(x)
    # Start so small that doubling reaches the image or slightly more, then crop to it: any H, W.
    height, width, channels = shape
    scale = 2 ** len(hidden)
    rows, columns = math.ceil(height / scale), math.ceil(width / scale)
    x = layers.Dense(rows * columns * hidden[0], kernel_initializer=_he(seeds))(x)
    x = layers.Reshape((rows, columns, hidden[0]))(x)
    for filters in hidden:
        if normalize:
            # Statistics of one sample only: no state to average, no leak between samples.
            x = layers.GroupNormalization(math.gcd(8, x.shape[-1]))(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
        x = layers.Conv2DTranspose(filters, 4, 2, "same", kernel_initializer=_he(seeds))(x)
    x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.Conv2D(channels, 3, 1, "same", activation=output, kernel_initializer=_glorot(seeds))(
        x
    )
    return layers.Cropping2D(
        ((0, rows * scale - height), (0, columns * scale - width)), name="crop"
    )(x)


def _dense_layers(x: Tensor, hidden: Sequence[int], seeds: Iterator[int]) -> Tensor:
    for units in hidden:
        x = layers.Dense(units, kernel_initializer=_he(seeds))(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    return x


def _he(seeds: Iterator[int]) -> Any:
    return keras.initializers.HeNormal(seed=next(seeds))


def _glorot(seeds: Iterator[int]) -> Any:
    return keras.initializers.GlorotUniform(seed=next(seeds))
