"""ONNX models of the functions that `aegan.export` saves for TensorFlow, raw units in and out.

Each function is a model of its own, in the layout of a model repository (Triton, and so KServe):

    onnx/<function>/1/model.onnx
    onnx/<function>/config.pbtxt

with the names that the SavedModel's signatures have. `sample` takes a seed as well, and draws what the
SavedModel draws from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aegan import onnx_random
from aegan.data.normalizer import Normalizer, float_limits
from aegan.export import SAMPLE_BLOCK, Autoencoder, Sampler
from aegan.onnx_graph import Graph, Name, Value
from aegan.onnx_layers import network

Array = np.ndarray[Any, Any]


def save_autoencoder(parts: Autoencoder, folder: Path) -> None:
    """Write encode, decode, reconstruct and score into the folder `onnx` of a version."""
    encoder, decoder, normalizer = parts.encoder, parts.decoder, parts.normalizer
    examples = Value("examples", np.dtype(normalizer.raw_dtype), ("N", *parts.shape))
    codes = Value("codes", np.dtype(np.float32), ("N", parts.latent_size))
    scores = Value("scores", np.dtype(np.float32), ("N",))

    graph = Graph()
    encoded = network(graph, encoder, [_normalized(graph, normalizer, "examples")])
    _save(graph, folder / "encode", [examples], codes, encoded)

    graph = Graph()
    decoded = network(graph, decoder, ["codes"])
    _save(graph, folder / "decode", [codes], examples, _raw(graph, normalizer, decoded))

    graph = Graph()
    encoded = network(graph, encoder, [_normalized(graph, normalizer, "examples")])
    decoded = network(graph, decoder, [encoded])
    # An input and an output of one graph cannot have the same name, as they have in the signature.
    renamed = Value("reconstructions", examples.dtype, examples.shape)
    _save(graph, folder / "reconstruct", [examples], renamed, _raw(graph, normalizer, decoded))

    graph = Graph()
    normalized = _normalized(graph, normalizer, "examples")
    decoded = network(graph, decoder, [network(graph, encoder, [normalized])])
    difference = graph("Sub", normalized, decoded)
    axes = np.arange(1, 1 + len(parts.shape))
    score = graph("ReduceMean", graph("Mul", difference, difference), axes, keepdims=0)
    _save(graph, folder / "score", [examples], scores, score)


def save_sampler(parts: Sampler, folder: Path) -> None:
    """Write sample and, if it knows classes, sample_class into the folder `onnx` of a version."""
    num, seed, label = (Value(name, np.dtype(np.int32), ()) for name in ("num", "seed", "label"))
    examples = Value("examples", np.dtype(parts.normalizer.raw_dtype), ("N", *parts.shape))
    functions = {"sample": [num, seed]}
    if parts.frequencies is not None:
        functions["sample_class"] = [num, seed, label]
    for name, inputs in functions.items():
        graph = Graph()
        label_name = "label" if label in inputs else None
        _save(graph, folder / name, inputs, examples, _sample(graph, parts, label_name))


def _sample(graph: Graph, parts: Sampler, label: Name | None) -> Name:
    """[num, *shape] raw: as many blocks as it takes, each from (seed, its number)."""
    num = graph.cast("num", np.int64)
    last = graph("Sub", graph("Add", num, np.int64(SAMPLE_BLOCK)), np.int64(1))
    blocks = graph("Div", last, np.int64(SAMPLE_BLOCK))
    half = graph("BitwiseAnd", graph.cast("seed", np.int64), onnx_random.LOW)

    def block(inner: Graph, index: Name, _: list[Name]) -> tuple[list[Name], list[Name]]:
        return [], [_block(inner, parts, onnx_random.Seed(half, index), label)]

    (drawn,) = graph.repeat(blocks, block, collected=[parts.normalizer.raw_dtype])
    joined = graph("Reshape", drawn, np.array([-1, *parts.shape]))
    end = graph("Unsqueeze", num, np.array([0]))
    return graph("Slice", joined, np.array([0]), end, np.array([0]))


def _block(graph: Graph, parts: Sampler, seed: onnx_random.Seed, label: Name | None) -> Name:
    """[SAMPLE_BLOCK, *shape] raw."""
    frequencies, classes = parts.frequencies, None
    draws, size = parts.draws, SAMPLE_BLOCK * parts.draws
    if label is not None:
        classes = graph("Expand", graph.cast(label, np.int64), np.array([size]))
    elif frequencies is not None:
        classes = onnx_random.classes(graph, frequencies, seed, SAMPLE_BLOCK)
        classes = graph("Gather", classes, np.arange(size) // draws)
    noise = onnx_random.noise(graph, parts.mixture, parts.noise_size, size, seed, classes)
    if frequencies is not None:
        rows = np.eye(len(frequencies), dtype=np.float32)
        noise.append(graph("Gather", rows, classes))  # fails for a label that there is not
    output = noise[0] if parts.network is None else network(graph, parts.network, noise)
    if parts.choice is not None:
        rated = [output] if frequencies is None else [output, noise[-1]]
        logits = network(graph, parts.choice[0], rated)
        output = onnx_random.choose(graph, output, logits, seed, (SAMPLE_BLOCK, draws))
    if parts.decoding is not None:
        whitening, decoder = parts.decoding
        codes = graph("Add", graph("MatMul", output, whitening.inverse), whitening.mean)
        output = network(graph, decoder, [codes])
    return _raw(graph, parts.normalizer, output)


def _normalized(graph: Graph, normalizer: Normalizer, raw: Name) -> Name:
    """`Normalizer.apply`."""
    offset, scale = normalizer.offset, normalizer.scale
    centred = graph("Sub", graph.cast(raw, offset.dtype), offset)
    return graph.cast(graph("Div", centred, scale), np.float32)


def _raw(graph: Graph, normalizer: Normalizer, normalized: Name) -> Name:
    """`Normalizer.invert`."""
    offset, scale, dtype = normalizer.offset, normalizer.scale, np.dtype(normalizer.raw_dtype)
    raw = graph("Add", graph("Mul", graph.cast(normalized, offset.dtype), scale), offset)
    if dtype.kind in "ui":
        limits = [offset.dtype.type(x) for x in float_limits(dtype.name, offset.dtype)]
        raw = graph("Clip", graph("Round", raw), *limits)
    return graph.cast(raw, dtype)


def _save(graph: Graph, folder: Path, inputs: list[Value], output: Value, name: Name) -> None:
    """Write the model, and how a server is to run it."""
    graph.save(folder / "1" / "model.onnx", inputs, {output: name})
    lines = [
        f'name: "{folder.name}"',
        'platform: "onnxruntime_onnx"',
        "max_batch_size: 0  # any number: the first dimension is free",
        *(f"input {_tensor(value)}" for value in inputs),
        f"output {_tensor(output)}",
    ]
    (folder / "config.pbtxt").write_text("\n".join(lines) + "\n", "utf-8")


def _tensor(value: Value) -> str:
    """A tensor in Triton's configuration, which has no scalars but those that were reshaped."""
    kind = "FP" if value.dtype.kind == "f" else value.dtype.name.upper().rstrip("0123456789")
    dims = [-1 if isinstance(size, str) else size for size in value.shape]
    shape = f"dims: {dims}" if dims else "dims: [1] reshape: { shape: [] }"
    bits = value.dtype.itemsize * 8
    return f'{{ name: "{value.name}" data_type: TYPE_{kind}{bits} {shape} }}'
