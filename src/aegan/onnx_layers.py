"""Keras networks as ONNX graphs: the layers that `aegan.bodies` and `aegan.networks` build them of.

Written out layer by layer, because the set is closed and small: each becomes the operator that ONNX has
for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from aegan import onnx_recurrent
from aegan.errors import DependencyError
from aegan.onnx_graph import Graph, Name

Array = np.ndarray[Any, Any]


def network(graph: Graph, model: Any, inputs: list[Name]) -> Name:
    """Append a functional model with one output.

    Args:
        graph: to append to.
        model: keras.Model of layers in CONVERTERS.
        inputs: values for its inputs, in their order.

    Returns:
        What it answers at inference.
    """
    known = {id(tensor): name for tensor, name in zip(model.inputs, inputs, strict=True)}

    def value(tensor: Any) -> Name:
        if id(tensor) not in known:
            history = tensor._keras_history
            node = history.operation._inbound_nodes[history.node_index]
            of = [value(item) for item in node.input_tensors]
            known[id(tensor)] = layer(graph, history.operation, of, node.input_tensors[0].shape)
        return known[id(tensor)]

    return value(model.outputs[0])


def layer(graph: Graph, keras_layer: Any, inputs: list[Name], shape: tuple[Any, ...]) -> Name:
    """Append a layer, given its inputs and the shape of the first of them."""
    kind = type(keras_layer).__name__
    if kind not in CONVERTERS:
        raise DependencyError(
            f"no ONNX for the layer {kind} ({keras_layer.name}): expected one of"
            f" {', '.join(sorted(CONVERTERS))}"
        )
    return CONVERTERS[kind](graph, keras_layer, inputs, shape)


def _same(graph: Graph, _: Any, inputs: list[Name], shape: Any) -> Name:
    return inputs[0]


def _flatten(graph: Graph, _: Any, inputs: list[Name], shape: Any) -> Name:
    return graph("Reshape", inputs[0], np.array([-1, math.prod(shape[1:])]))


def _reshape(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    return graph("Reshape", inputs[0], np.array([-1, *keras_layer.target_shape]))


def _concatenate(graph: Graph, _: Any, inputs: list[Name], shape: Any) -> Name:
    return graph("Concat", *inputs, axis=-1)


def _add(graph: Graph, _: Any, inputs: list[Name], shape: Any) -> Name:
    return graph("Add", *inputs)


def _repeat(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    column = graph("Unsqueeze", inputs[0], np.array([1]))
    return graph("Tile", column, np.array([1, keras_layer.n, 1]))


def _dense(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    product = graph("MatMul", inputs[0], np.asarray(keras_layer.kernel))
    if keras_layer.use_bias:
        product = graph("Add", product, np.asarray(keras_layer.bias))
    return activated(graph, keras_layer.activation.__name__, product)


def _dot(graph: Graph, _: Any, inputs: list[Name], shape: Any) -> Name:
    """Of two vectors."""
    return graph("ReduceSum", graph("Mul", *inputs), np.array([1]), keepdims=1)


def _spectral_normalization(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    """The weights were divided in training."""
    return layer(graph, keras_layer.layer, inputs, shape)


def _activation(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    return activated(graph, keras_layer.activation.__name__, inputs[0])


def _rescaling(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    product = graph("Mul", inputs[0], np.float32(keras_layer.scale))
    return graph("Add", product, np.float32(keras_layer.offset))


def _leaky_relu(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    return graph("LeakyRelu", inputs[0], alpha=float(keras_layer.negative_slope))


def activated(graph: Graph, activation: str, x: Name) -> Name:
    """Append an activation by its name in Keras."""
    match activation:
        case "linear":
            return x
        case "relu":
            return graph("Relu", x)
        case "sigmoid":
            return graph("Sigmoid", x)
        case "silu":
            return graph("Mul", x, graph("Sigmoid", x))
        case "gelu":
            error = graph("Erf", graph("Mul", x, np.float32(math.sqrt(0.5))))
            return graph(
                "Mul", graph("Mul", x, np.float32(0.5)), graph("Add", error, np.float32(1))
            )
    raise DependencyError(f"no ONNX for the activation {activation}")


def _conv(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    kernel = np.asarray(keras_layer.kernel).transpose(3, 2, 0, 1)
    attributes: dict[str, Any] = {"auto_pad": "SAME_UPPER", "strides": keras_layer.strides}
    convolved = graph("Conv", _first(graph, inputs[0]), kernel, _bias(keras_layer), **attributes)
    return activated(graph, keras_layer.activation.__name__, _last(graph, convolved))


def _transposed_conv(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    kernel = np.asarray(keras_layer.kernel).transpose(3, 2, 0, 1)
    # As the gradient of a convolution with padding "same" whose output is this one's input.
    excess = [k - s for k, s in zip(keras_layer.kernel_size, keras_layer.strides, strict=True)]
    pads = [e // 2 for e in excess] + [e - e // 2 for e in excess]
    attributes: dict[str, Any] = {"pads": pads, "strides": keras_layer.strides}
    x = _first(graph, inputs[0])
    convolved = graph("ConvTranspose", x, kernel, _bias(keras_layer), **attributes)
    return activated(graph, keras_layer.activation.__name__, _last(graph, convolved))


def _average(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    attributes: dict[str, Any] = {
        "auto_pad": "SAME_UPPER",
        "kernel_shape": keras_layer.pool_size,
        "strides": keras_layer.strides,
    }
    return _last(graph, graph("AveragePool", _first(graph, inputs[0]), **attributes))


def _upsample(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    scales = np.array([1, 1, *keras_layer.size], np.float32)
    sampled = graph("Resize", _first(graph, inputs[0]), "", scales, mode="linear")
    return _last(graph, sampled)


def _crop(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    (top, bottom), (left, right) = keras_layer.cropping
    starts, ends = np.array([top, left]), np.array([shape[1] - bottom, shape[2] - right])
    return graph("Slice", inputs[0], starts, ends, np.array([1, 2]))


def _batch_normalization(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    mean, variance, scale, offset = (
        np.asarray(getattr(keras_layer, name))
        for name in ("moving_mean", "moving_variance", "gamma", "beta")
    )
    factor = scale / np.sqrt(variance + np.float32(keras_layer.epsilon))
    return graph("Add", graph("Mul", inputs[0], factor), offset - mean * factor)


def _layer_normalization(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    weights = (np.asarray(keras_layer.gamma), np.asarray(keras_layer.beta))
    epsilon = float(keras_layer.epsilon)
    return graph("LayerNormalization", inputs[0], *weights, axis=-1, epsilon=epsilon)


def _group_normalization(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    """Over all positions and the channels of each group."""
    channels, groups = shape[-1], keras_layer.groups
    grouped = np.array([0, math.prod(shape[1:-1]), groups, channels // groups])
    x, axes = graph("Reshape", inputs[0], grouped), np.array([1, 3])
    centred = graph("Sub", x, graph("ReduceMean", x, axes))
    variance = graph("ReduceMean", graph("Mul", centred, centred), axes)
    deviation = graph("Sqrt", graph("Add", variance, np.float32(keras_layer.epsilon)))
    whole = graph("Reshape", graph("Div", centred, deviation), np.array([-1, *shape[1:]]))
    scaled = graph("Mul", whole, np.asarray(keras_layer.gamma))
    return graph("Add", scaled, np.asarray(keras_layer.beta))


def _bias(keras_layer: Any) -> Array:
    return np.asarray(keras_layer.bias)


def _first(graph: Graph, x: Name) -> Name:
    """Channels last to channels first."""
    return graph("Transpose", x, perm=[0, 3, 1, 2])


def _last(graph: Graph, x: Name) -> Name:
    return graph("Transpose", x, perm=[0, 2, 3, 1])


CONVERTERS: dict[str, Callable[[Graph, Any, list[Name], Any], Name]] = {
    "Activation": _activation,
    "Add": _add,
    "AveragePooling2D": _average,
    "BatchNormalization": _batch_normalization,
    "Concatenate": _concatenate,
    "Conv2D": _conv,
    "Conv2DTranspose": _transposed_conv,
    "Cropping2D": _crop,
    "Dense": _dense,
    "Dot": _dot,
    "Dropout": _same,
    "Flatten": _flatten,
    "GRU": onnx_recurrent.gru,
    "GroupNormalization": _group_normalization,
    "LSTM": onnx_recurrent.lstm,
    "LayerNormalization": _layer_normalization,
    "LeakyReLU": _leaky_relu,
    "RepeatVector": _repeat,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "SpectralNormalization": _spectral_normalization,
    "UpSampling2D": _upsample,
}
