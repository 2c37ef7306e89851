"""Keras' recurrent layers as ONNX operators: one node each, however many time steps were unrolled."""

from __future__ import annotations

from typing import Any

import numpy as np

from aegan.onnx_graph import Graph, Name

Array = np.ndarray[Any, Any]


def gru(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    """Both have the gates in the order update, reset, candidate."""
    bias = np.asarray(keras_layer.cell.bias)  # [2, 3·units]: of the input, of the state
    attributes = {"linear_before_reset": int(keras_layer.reset_after)}
    return _recurrent(graph, "GRU", keras_layer, inputs[0], (0, 1, 2), bias, attributes)


def lstm(graph: Graph, keras_layer: Any, inputs: list[Name], shape: Any) -> Name:
    """Keras: input, forget, candidate, output; ONNX: input, output, forget, candidate."""
    bias = np.asarray(keras_layer.cell.bias)
    both = np.stack([bias, np.zeros_like(bias)])
    return _recurrent(graph, "LSTM", keras_layer, inputs[0], (0, 3, 1, 2), both, {})


def _recurrent(
    graph: Graph,
    kind: str,
    keras_layer: Any,
    x: Name,
    gates: tuple[int, ...],
    bias: Array,
    attributes: dict[str, Any],
) -> Name:
    """[B, T, C] to [B, T, units], or [B, units] of the last step.

    Args:
        graph: to append to.
        kind: of the operator.
        keras_layer: with the default activations.
        x: what goes in.
        gates: which of Keras' comes at each place of ONNX's.
        bias: [2, gates · units], of the input and of the state.
        attributes: of the operator.
    """

    def ordered(weights: Array) -> Array:
        """[rows, gates · units] to [1, gates · units, rows]."""
        parts = np.split(weights, len(gates), axis=-1)
        return np.concatenate([parts[gate] for gate in gates], axis=-1).T[np.newaxis]

    cell = keras_layer.cell
    weights = [ordered(np.asarray(w)) for w in (cell.kernel, cell.recurrent_kernel)]
    biases = ordered(bias).transpose(0, 2, 1).reshape(1, -1)
    steps_first = graph("Transpose", x, perm=[1, 0, 2])
    answers = graph.several(
        kind, 2, steps_first, *weights, biases, hidden_size=keras_layer.units, **attributes
    )
    if not keras_layer.return_sequences:
        return graph("Squeeze", answers[1], np.array([0]))
    forward = graph("Squeeze", answers[0], np.array([1]))
    return graph("Transpose", forward, perm=[1, 0, 2])
