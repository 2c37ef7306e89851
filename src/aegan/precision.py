"""Mixed precision: products in bfloat16, while weights, losses and optimisers stay float32.

Tensor cores multiply bfloat16 several times as fast as float32. It has float32's range, so losses need
no scaling (Kalamkar et al. 2019). Networks are built, validated and published in float32: only what a
training step computes of them is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

Tensor = Any


def forward(network: Any, inputs: Any, precision: str) -> Any:
    """What a network answers in training, as float32.

    Args:
        network: keras.Model.
        inputs: [B, ...] float32, or a list of them.
        precision: `float32` or `bfloat16`, in which its layers compute.
    """
    if precision == "float32":
        return network(inputs, training=True)
    with _policy(network, f"mixed_{precision}"):
        outputs = network(inputs, training=True)
    return tf.nest.map_structure(lambda output: tf.cast(output, tf.float32), outputs)


@contextmanager
def _policy(network: Any, policy: str) -> Iterator[None]:
    """Layers follow another policy of data types meanwhile, which is what they are traced with."""
    layers = list(_layers(network))
    before = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = policy
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.dtype_policy = own


def _layers(network: Any) -> Iterator[Any]:
    """All layers, those that others are built of too.

    But not what divides a layer's matrix by its singular value: Keras assigns the quotient to the matrix
    itself, which would then be rounded at each step. The layer that it wraps multiplies as others do.
    """
    for layer in network.layers:
        if not isinstance(layer, keras.layers.SpectralNormalization):
            yield layer
        inner = (getattr(layer, name, None) for name in ("cell", "layer"))
        yield from (found for found in inner if found is not None)
