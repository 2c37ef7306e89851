"""Encoder, decoder, generator, discriminator: functional Keras models of built-in layers.

Shapes in docstrings leave out the batch. Every weight is initialised from the seed given, so two
calls with the same arguments return equal networks. What they are built of is told by an
`Architecture` of the configuration; `hidden` always runs from the data to the code.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from aegan import bodies, replicas
from aegan.config_training import Architecture

Tensor = Any
Shape = tuple[int, ...]


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
    x = bodies.downward(architecture, inputs, seeds)
    codes = layers.Dense(
        latent_size, activation, kernel_initializer=bodies.glorot(seeds), name="code"
    )(x)
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
    outputs = bodies.upward(architecture, inputs, shape, output, itertools.count(seed))
    return keras.Model(inputs, outputs, name="decoder")


def generator(
    architecture: Architecture,
    shape: Shape,
    noise_size: int,
    output: str,
    seed: int,
    *,
    classes: int = 0,
) -> Any:
    """Noise [noise_size] ~ N(0, I) to an example or code [*shape].

    With classes it takes a pair: the noise and the class as a one-hot row [classes].
    """
    noise = keras.Input((noise_size,), name="noise")
    inputs: Any = [noise, _class(classes)] if classes else noise
    x = layers.Concatenate()(inputs) if classes else noise
    outputs = bodies.upward(architecture, x, shape, output, itertools.count(seed))
    return keras.Model(inputs, outputs, name="generator")


def refiner(
    architecture: Architecture,
    code_size: int,
    noise_size: int,
    seed: int,
    *,
    classes: int = 0,
    learns: bool = True,
) -> Any:
    """A draw from a mixture [code_size] and noise [noise_size] to a code [code_size].

    G(z, e) = z + MLP(z, e), the last layer initialised to zero: training starts at the mixture, and
    where the generator is not to learn, G(z, e) = z is all there is.
    With classes it takes a third input, the class as a one-hot row [classes].
    """
    start = keras.Input((code_size,), name="start")
    noise = keras.Input((noise_size,), name="noise")
    inputs = [start, noise, *([_class(classes)] if classes else [])]
    if not learns:
        return keras.Model(inputs, layers.Activation("linear")(start), name="generator")
    x = layers.Concatenate()(inputs)
    x = bodies.dense(architecture, x, architecture.hidden[::-1], itertools.count(seed))
    step = layers.Dense(code_size, kernel_initializer="zeros", name="step")(x)
    return keras.Model(inputs, layers.Add()([start, step]), name="generator")


def discriminator(
    architecture: Architecture,
    shape: Shape,
    seed: int,
    *,
    spectral: bool = False,
    flat: bool = False,
    classes: int = 0,
) -> Any:
    """An example or code [*shape] to one logit [1]: large for real.

    With classes it takes a pair, the example and its class as a one-hot row [classes], and adds
    ⟨embedding(class), features⟩ to the logit (Miyato & Koyama 2018).

    Args:
        architecture: what it is built of.
        shape: of one example or code.
        seed: of the initial weights.
        spectral: divide each weight matrix by its largest singular value (Miyato et al. 2018), but
            none of recurrent layers.
        flat: rate all examples the same at first, unless `spectral`.
        classes: how many there are; 0 for a discriminator that knows none.
    """
    example = inputs = keras.Input(shape, name="example")
    seeds = itertools.count(seed)
    x = bodies.downward(architecture, example, seeds, spectral=spectral)

    def start() -> Any:
        # A matrix that is divided by its largest singular value cannot start at zero.
        return "zeros" if flat and not spectral else bodies.glorot(seeds)

    last = layers.Dense(1, kernel_initializer=start(), name="logit")
    logit = bodies.bounded(last, spectral)(x)
    if classes:
        inputs = [example, _class(classes)]
        rows = layers.Dense(x.shape[-1], use_bias=False, kernel_initializer=start())
        embedding = bodies.bounded(rows, spectral)(inputs[1])
        logit = layers.Add()([logit, layers.Dot(axes=1)([embedding, x])])
    model = keras.Model(inputs, logit, name="discriminator")
    for layer in model.layers:
        if isinstance(layer, layers.SpectralNormalization):  # Keras gives its start no seed
            layer.vector_u.assign(keras.random.normal(layer.vector_u.shape, seed=next(seeds)))
    return model


def classifier(network: str, shape: Shape, num_classes: int, feature_size: int, seed: int) -> Any:
    """An example [*shape] to (features [feature_size], logits [num_classes])."""
    inputs = keras.Input(shape, name="example")
    seeds = itertools.count(seed)
    hidden = [32, 64] if network == "conv" else [256, 128]
    x = bodies.downward(
        Architecture.model_validate({"network": network, "hidden": hidden}), inputs, seeds
    )
    x = layers.Dense(feature_size, kernel_initializer=bodies.he(seeds))(x)
    features = layers.LeakyReLU(negative_slope=bodies.SLOPE, name="features")(x)
    logits = layers.Dense(num_classes, kernel_initializer=bodies.glorot(seeds), name="logits")(
        features
    )
    return keras.Model(inputs, [features, logits], name="classifier")


def reseed_dropout(models: Iterable[Any], seed: Tensor, part: Tensor | None = None) -> None:
    """Make what dropout layers draw next a function of a [2] int32 seed, not of earlier draws.

    Several devices draw differently for their shares of a mini-batch, unless it is a `part` of a full
    batch, which one device has whole.
    """
    if part is None and replicas.count() > 1:
        seed = tf.random.fold_in(seed, replicas.number())
    generators = (getattr(layer, "seed_generator", None) for m in models for layer in m.layers)
    if states := [generator.state.value for generator in generators if generator is not None]:
        # Not `fold_in`, which numbers seeds as the layers number their draws.
        seeds = tf.unstack(tf.random.split(seed, len(states)))
        for state, own in zip(states, seeds, strict=True):
            state.assign(tf.cast(own, state.dtype))


def _class(classes: int) -> Any:
    return keras.Input((classes,), name="class")
