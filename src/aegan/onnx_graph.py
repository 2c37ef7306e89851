"""Building ONNX graphs: nodes, constants and loops, with names that nobody has to think of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Array = np.ndarray[Any, Any]
Name = str

OPSET, IR_VERSION = 18, 8
"""The oldest that have what is needed, so that old runtimes can read what is written."""


@dataclass(frozen=True)
class Value:
    """An input or output of a model: its name, type, and shape, where texts name free dimensions."""

    name: Name
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]


class Graph:
    """Nodes in the order of computation.

    A value is known by its name; where a node takes one, an array or a number does as well, and
    becomes a constant. Constants lie in the outermost graph: the bodies of loops see them there.
    """

    def __init__(self, outer: Graph | None = None):
        """Start empty, or as the body of a loop in another graph."""
        self._outermost: Graph = self if outer is None else outer._outermost
        self._nodes: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], tuple[Name, Array]] = {}
        self._count = 0

    def __call__(self, kind: str, *inputs: Any, **attributes: Any) -> Name:
        """Append a node with one output; returns the output's name."""
        return self.several(kind, 1, *inputs, **attributes)[0]

    def several(self, kind: str, outputs: int, *inputs: Any, **attributes: Any) -> list[Name]:
        """Append a node with so many outputs; returns their names."""
        names = [self.new_name() for _ in range(outputs)]
        given = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self._nodes.append(helper.make_node(kind, given, names, **attributes))
        return names

    def cast(self, value: Any, dtype: Any) -> Name:
        """A value as another NumPy type."""
        return self("Cast", value, to=element_type(dtype))

    def constant(self, value: Any) -> Name:
        """The name of a constant; equal ones are stored once."""
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        root = self._outermost
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in root._constants:
            root._constants[key] = (self.new_name(), array)
        return root._constants[key][0]

    def repeat(
        self,
        count: Any,
        body: Callable[[Graph, Name, list[Name]], tuple[list[Name], list[Name]]],
        state: Sequence[tuple[Name, Any]] = (),
        collected: Sequence[Any] = (),
    ) -> list[Name]:
        """A loop.

        Args:
            count: of repetitions, int64 scalar.
            body: takes a graph to append to, the number of the repetition (int64 scalar) and the
                state; returns the new state, and what to collect.
            state: names and types of what is handed from one repetition to the next.
            collected: types of what the body collects.

        Returns:
            The last state, then for each collected value all of them, stacked on a new first axis.
        """
        inner = Graph(self)
        index, going, still = (self.new_name() for _ in range(3))
        before = [self.new_name() for _ in state]
        after, gathered = body(inner, index, before)
        inner._nodes.append(helper.make_node("Identity", [going], [still]))
        types = [dtype for _, dtype in state]
        loop_body = helper.make_graph(
            inner._nodes,
            self.new_name(),
            [
                helper.make_tensor_value_info(index, onnx.TensorProto.INT64, []),
                helper.make_tensor_value_info(going, onnx.TensorProto.BOOL, []),
                *_of_any_shape(before, types),
            ],
            [
                helper.make_tensor_value_info(still, onnx.TensorProto.BOOL, []),
                *_of_any_shape(after, types),
                *_of_any_shape(gathered, collected),
            ],
        )
        start = [name for name, _ in state]
        return self.several(
            "Loop", len(start) + len(gathered), count, np.array(True), *start, body=loop_body
        )

    def new_name(self) -> Name:
        """A name that nothing else in the model has."""
        root = self._outermost
        root._count += 1
        return f"v{root._count}"

    def save(self, path: Path, inputs: Sequence[Value], outputs: dict[Value, Name]) -> None:
        """Write the model.

        Args:
            path: of the file; its folder is made.
            inputs: values that nodes know by these names.
            outputs: by what each is to be called, the value that it is.
        """
        for value, name in outputs.items():
            self._nodes.append(helper.make_node("Identity", [name], [value.name]))
        constants = [
            numpy_helper.from_array(array, name) for name, array in self._constants.values()
        ]
        declared = [_declaration(value) for value in (*inputs, *outputs)]
        graph = helper.make_graph(
            self._nodes, "aegan", declared[: len(inputs)], declared[len(inputs) :], constants
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="aegan",
        )
        onnx.checker.check_model(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString(deterministic=True))


def _of_any_shape(names: Sequence[Name], types: Sequence[Any]) -> list[Any]:
    return [
        helper.make_tensor_value_info(name, element_type(dtype), None)
        for name, dtype in zip(names, types, strict=True)
    ]


def _declaration(value: Value) -> Any:
    return helper.make_tensor_value_info(value.name, element_type(value.dtype), list(value.shape))


def element_type(dtype: Any) -> int:
    """ONNX's number of a NumPy type."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
