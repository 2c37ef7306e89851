"""ONNX says what Keras says, of every network there can be, and draws what TensorFlow draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from aegan import bodies, export, export_onnx, latent, networks, onnx_random
from aegan.config_training import Architecture
from aegan.data.normalizer import Normalizer
from aegan.errors import DependencyError
from aegan.onnx_graph import Graph, Value
from aegan.onnx_layers import CONVERTERS, network

RANDOM = np.random.default_rng(0)
SIXTEENTHS = Normalizer("minmax", np.float32(0), np.float32(16), "float32")
TOLERANCE = 1e-5

NETWORKS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("dense", (8, 8, 1), {"hidden": [16, 12]}),
    ("dense", (7,), {"hidden": []}),
    ("dense", (7,), {"hidden": [16], "normalization": "batch", "activation": "gelu"}),
    ("dense", (7,), {"hidden": [16], "normalization": "layer", "activation": "silu"}),
    ("dense", (7,), {"hidden": [16], "normalization": "group", "dropout": 0.2}),
    ("conv", (9, 7, 3), {"hidden": [8, 6], "normalization": "group"}),
    ("conv", (9, 7, 3), {"hidden": [8], "normalization": "layer", "activation": "relu"}),
    ("conv", (10, 12, 1), {"hidden": [8, 6, 5], "normalization": "batch"}),
    ("conv", (10, 13, 1), {"hidden": [8, 6], "resampling": "bilinear", "activation": "gelu"}),
    ("recurrent", (12, 3), {"hidden": [8, 6], "normalization": "layer"}),
    ("recurrent", (65, 2), {"hidden": [6], "cell": "lstm"}),
    ("recurrent", (12, 3), {"hidden": [8], "cell": "lstm", "normalization": "group"}),
    ("recurrent", (12, 3), {"hidden": [8], "normalization": "batch", "dropout": 0.1}),
]


def answer(folder: Path, function: str, **inputs: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    path = folder / function / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(str(path), options)
    return session.run(None, {name: np.asarray(value) for name, value in inputs.items()})[0]


def shaken(model: Any) -> Any:
    """Vectors of a new network are all 0 or 1, and would hide mistakes."""
    for weight in model.weights:
        if len(weight.shape) == 1 and "seed" not in weight.path:
            weight.assign(np.asarray(weight) + RANDOM.random(weight.shape).astype(np.float32) * 0.3)
    return model


@pytest.mark.parametrize(("kind", "shape", "options"), NETWORKS, ids=str)
def test_every_network_answers_as_in_keras(
    kind: str, shape: tuple[int, ...], options: dict[str, Any], tmp_path: Path
) -> None:
    architecture = Architecture.model_validate({"network": kind, **options})
    encoder, _ = networks.encoders(architecture, shape, 5, "relu", 1)
    decoder = networks.decoder(architecture, shape, 5, "sigmoid", 2)
    parts = export.Autoencoder(shaken(encoder), shaken(decoder), SIXTEENTHS, shape)
    export_onnx.save_autoencoder(parts, tmp_path)
    for count in (1, 37):
        raw = (RANDOM.random((count, *shape)) * 16).astype(np.float32)
        codes = np.asarray(encoder(raw / 16))
        decoded = np.asarray(decoder(codes))
        score = np.mean((raw / 16 - decoded) ** 2, axis=tuple(range(1, raw.ndim)))
        found = {
            "encode": (answer(tmp_path, "encode", examples=raw), codes),
            "decode": (answer(tmp_path, "decode", codes=codes), decoded * 16),
            "reconstruct": (answer(tmp_path, "reconstruct", examples=raw), decoded * 16),
            "score": (answer(tmp_path, "score", examples=raw), score),
        }
        for name, (ours, theirs) in found.items():
            assert ours.shape == theirs.shape, name
            assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max(), name


def test_every_layer_has_a_converter() -> None:
    import ast

    used = set()
    for module in (bodies, networks):
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "layers":
                used.add(node.attr)
    assert used <= set(CONVERTERS)


def test_an_unknown_layer_is_refused_by_its_name() -> None:
    import keras

    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Softmax(name="odd")(inputs))
    with pytest.raises(DependencyError, match=r"no ONNX for the layer Softmax \(odd\)"):
        network(Graph(), model, ["x"])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float16", "float32", "float64"])
def test_raw_units_of_every_type_go_in_and_come_out(dtype: str, tmp_path: Path) -> None:
    working = np.promote_types(dtype, np.float32)
    offset, scale = np.array([1000, 0, 3], working), np.array([50, 1, 7], working)
    normalizer = Normalizer("standard", offset, scale, dtype)
    if dtype == "uint8":
        normalizer = Normalizer("minmax", np.float32(0), np.float32(255), dtype)
    architecture = Architecture.model_validate({"hidden": [8]})
    encoder, _ = networks.encoders(architecture, (3,), 2, "linear", 1)
    decoder = networks.decoder(architecture, (3,), 2, "linear", 2)
    export_onnx.save_autoencoder(export.Autoencoder(encoder, decoder, normalizer, (3,)), tmp_path)
    raw = RANDOM.integers(0, 256, (20, 3)).astype(dtype)
    expected = normalizer.invert(np.asarray(decoder(encoder(normalizer.apply(raw)))))
    found = answer(tmp_path, "reconstruct", examples=raw)
    assert found.dtype == expected.dtype == np.dtype(dtype)
    unit = 1 if np.dtype(dtype).kind in "ui" else 2e-3 if dtype == "float16" else 1e-5
    error = np.abs(found.astype(float) - expected.astype(float)).max()
    assert error <= unit * max(1.0, np.abs(expected.astype(float)).max()) ** (dtype[0] == "f")


@pytest.mark.parametrize("seed", [(0, 0), (5, 3), (2**31 - 1, 700), (-5, 9), (123, -(2**31))])
def test_draws_are_those_of_tensorflow(seed: tuple[int, int], tmp_path: Path) -> None:
    graph = Graph()
    own = onnx_random.Seed(*(graph.constant(np.int64(half & 0xFFFFFFFF)) for half in seed))
    first, second = onnx_random.split(graph, own)
    folded = onnx_random.fold_in(graph, own, 1)
    halves = [first.first, first.second, second.first, second.second, folded.first]
    drawn = {
        "seeds": graph("Concat", *(graph("Unsqueeze", h, np.array([0])) for h in halves), axis=0),
        "uniform": onnx_random.uniform(graph, own, (256, 7), 1e-9),
        "normal": onnx_random.normal(graph, own, (256, 7)),
    }
    types = {"seeds": np.int64, "uniform": np.float32, "normal": np.float32}
    outputs = {
        Value(name, np.dtype(types[name]), ("A", "B")[: 1 if name == "seeds" else 2]): value
        for name, value in drawn.items()
    }
    graph.save(tmp_path / "draws.onnx", [], outputs)
    session = onnxruntime.InferenceSession(str(tmp_path / "draws.onnx"))
    seeds, uniform, normal = session.run(list(drawn), {})

    tensor = tf.constant(seed, tf.int32)
    expected = [*tf.random.split(tensor, 2).numpy().ravel(), tf.random.fold_in(tensor, 1)[0]]
    assert seeds.tolist() == [int(number) & 0xFFFFFFFF for number in expected]
    assert np.array_equal(uniform, tf.random.stateless_uniform([256, 7], tensor, 1e-9))
    assert np.abs(normal - tf.random.stateless_normal([256, 7], tensor)).max() < 2e-6


def samplers() -> dict[str, export.Sampler]:
    """Each kind of sampler, with weights at random."""
    components, size = 7, 3
    log_weights = np.log(RANDOM.dirichlet(np.ones(components))).astype(np.float32)
    means = RANDOM.normal(size=(components, size)).astype(np.float32)
    factors = np.tril(RANDOM.normal(size=(components, size, size))).astype(np.float32)
    mixture = latent.Mixture(log_weights, means, factors)
    absent = np.arange(components) % 2 == np.array([[0], [1]])
    of_classes = np.where(absent, -np.inf, log_weights).astype(np.float32)
    conditional = latent.Mixture(of_classes, means, factors)
    inverse = RANDOM.normal(size=(3, 3)).astype(np.float32)
    whitening = latent.Whitening(means[0], np.eye(3, dtype=np.float32), inverse)
    built = Architecture.model_validate({"hidden": [8]})
    decoder = shaken(networks.decoder(built, (4, 2, 1), 3, "sigmoid", 3))
    decoding, frequencies = (whitening, decoder), np.array([0.3, 0.7], np.float32)
    whole = Normalizer("minmax", np.float32(0), np.float32(255), "uint8")
    image = (4, 2, 1)

    def refiner(classes: int) -> Any:
        return shaken(networks.refiner(built, 3, 5, 5, classes=classes))

    def generator(classes: int) -> Any:
        return shaken(networks.generator(built, image, 5, "sigmoid", 6, classes=classes))

    def discriminator(classes: int) -> Any:
        spectral = classes > 0
        return shaken(networks.discriminator(built, (3,), 7, spectral=spectral, classes=classes))

    made = export.Sampler
    refined = made(refiner(0), mixture, 5, decoding, SIXTEENTHS, image)
    refined_classes = made(refiner(2), conditional, 5, decoding, SIXTEENTHS, image, frequencies)
    return {
        "mixture": made(None, mixture, 5, decoding, SIXTEENTHS, image),
        "refined": refined,
        "chosen": replace(refined, choice=(discriminator(0), 4)),
        "whole": made(refiner(0), mixture, 5, decoding, whole, image),
        "noise": made(generator(0), None, 5, None, SIXTEENTHS, image),
        "refined classes": refined_classes,
        "chosen classes": replace(refined_classes, choice=(discriminator(2), 3)),
        "noise classes": made(generator(2), None, 5, None, SIXTEENTHS, image, frequencies),
    }


KINDS = ["mixture", "refined", "chosen", "whole", "noise"]


@pytest.mark.parametrize("kind", [*KINDS, "refined classes", "chosen classes", "noise classes"])
def test_the_same_seed_gives_the_samples_of_the_savedmodel(kind: str, tmp_path: Path) -> None:
    sampler = samplers()[kind]
    export_onnx.save_sampler(sampler, tmp_path)
    exported = export.GeneratorExport(sampler)
    labels: list[int | None] = [None] if sampler.frequencies is None else [None, 0, 1]
    for label in labels:
        for num, seed in ((1, 0), (700, 5), (256, 2**31 - 1)):
            numbers = {"num": num, "seed": seed} | ({} if label is None else {"label": label})
            function = "sample" if label is None else "sample_class"
            given = {name: np.array(number, np.int32) for name, number in numbers.items()}
            found = answer(tmp_path, function, **given)
            expected = getattr(exported, function)(*map(tf.constant, numbers.values())).numpy()
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            error = np.abs(found.astype(float) - expected.astype(float)).max()
            assert error <= (1 if kind == "whole" else TOLERANCE * 16)
    if sampler.frequencies is not None:
        with pytest.raises(Exception, match="out of data bounds"):
            answer(tmp_path, "sample_class", **(given | {"label": np.array(2, np.int32)}))


def test_a_server_is_told_types_and_shapes_and_takes_any_batch(tmp_path: Path) -> None:
    export_onnx.save_sampler(samplers()["whole"], tmp_path)
    text = (tmp_path / "sample" / "config.pbtxt").read_text("utf-8")
    assert 'name: "sample"' in text
    assert "max_batch_size: 0" in text
    assert 'input { name: "num" data_type: TYPE_INT32 dims: [1] reshape: { shape: [] } }' in text
    assert 'output { name: "examples" data_type: TYPE_UINT8 dims: [-1, 4, 2, 1] }' in text


def test_classes_are_those_of_tensorflow(tmp_path: Path) -> None:
    frequencies = np.array([0.3, 0.2, 0.5], np.float32)
    for seed in ((5, 0), (7, 3)):
        graph = Graph()
        own = onnx_random.Seed(*(graph.constant(np.int64(half)) for half in seed))
        drawn = onnx_random.classes(graph, frequencies, own, 256)
        graph.save(tmp_path / "classes.onnx", [], {Value("c", np.dtype(np.int64), ("N",)): drawn})
        (found,) = onnxruntime.InferenceSession(str(tmp_path / "classes.onnx")).run(None, {})
        rows = latent.draw_classes(frequencies, 256, tf.constant(seed, tf.int32)).numpy()
        assert np.array_equal(found, rows.argmax(axis=1))
