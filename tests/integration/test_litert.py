"""LiteRT models of dense and convolutional networks say what Keras says; where none is, it is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegan import export, export_litert, networks
from aegan.config_training import Architecture
from aegan.data.normalizer import Normalizer

TOLERANCE = 1e-5  # of the range of what Keras says
NETWORKS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("dense", (7,), {"hidden": [16], "normalization": "layer", "activation": "silu"}),
    ("conv", (8, 8, 1), {"hidden": [8, 6]}),
    ("conv", (9, 7, 3), {"hidden": [8, 6], "normalization": "group", "activation": "gelu"}),
    ("conv", (10, 12, 1), {"hidden": [8, 6], "normalization": "batch", "resampling": "bilinear"}),
    ("conv", (28, 28, 1), {"hidden": [32, 64], "normalization": "layer", "dropout": 0.2}),
]
PROGRAM = """
import sys
sys.modules["aegan"] = None  # any import of it fails
import numpy as np
from ai_edge_litert.interpreter import Interpreter
model, examples, out = sys.argv[1:]
examples = np.load(examples)
run = Interpreter(model_path=model).get_signature_runner
(codes,) = run("encode")(examples=examples).values()
found = {"encode": codes}
for name, given in (("decode", dict(codes=codes)), ("reconstruct", dict(examples=examples)),
                    ("score", dict(examples=examples))):
    (found[name],) = run(name)(**given).values()
(found["one"],) = run("encode")(examples=examples[:1]).values()
assert "tensorflow" not in sys.modules
np.savez(out, **found)
"""


def parts_of(
    network: str, shape: tuple[int, ...], options: dict[str, Any], dtype: str = "float32"
) -> export.Autoencoder:
    built = Architecture.model_validate({"network": network, **options})
    encoder, _ = networks.encoders(built, shape, 5, "linear", 1)
    decoder = networks.decoder(built, shape, 5, "linear", 2)
    offset, scale = (np.array(x, np.promote_types(dtype, np.float32)) for x in (3, 16))
    return export.Autoencoder(encoder, decoder, Normalizer("minmax", offset, scale, dtype), shape)


def saved(parts: export.Autoencoder, folder: Path) -> Path:
    export_litert.save_autoencoder(parts, export.AutoencoderExport(parts), folder)
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize(("network", "shape", "options"), NETWORKS, ids=str)
def test_every_function_says_what_keras_says(
    network: str, shape: tuple[int, ...], options: dict[str, Any], tmp_path: Path
) -> None:
    parts = parts_of(network, shape, options)
    path = saved(parts, tmp_path / "litert")
    assert path.name == "autoencoder.tflite"
    raw = (np.random.default_rng(0).random((20, *shape)) * 16 + 3).astype(np.float32)
    np.save(tmp_path / "x.npy", raw)
    command = [sys.executable, "-I", "-c", PROGRAM, str(path), "x.npy", "out.npz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    normalized = (raw - 3) / 16
    codes = np.asarray(parts.encoder(normalized))
    decoded = np.asarray(parts.decoder(codes))
    score = np.mean((normalized - decoded) ** 2, axis=tuple(range(1, raw.ndim)))
    whole = {"encode": codes, "one": codes[:1], "decode": decoded * 16 + 3, "score": score}
    with np.load(tmp_path / "out.npz") as found:
        for name, value in (whole | {"reconstruct": whole["decode"]}).items():
            assert (found[name].shape, found[name].dtype) == (value.shape, np.float32), name
            scale = np.ptp(codes) if name == "one" else np.ptp(value)
            assert np.abs(found[name] - value).max() <= TOLERANCE * scale, name


@pytest.mark.parametrize(
    ("network", "shape", "dtype", "reason"),
    [
        ("recurrent", (5, 2), "float32", "recurrent layers (GRU)"),
        ("dense", (3,), "float64", "raw units of float64 need float64"),
        ("dense", (3,), "float32", "the converter failed: "),
    ],
)
def test_where_there_is_none_the_reason_is_told_and_published(
    network: str,
    shape: tuple[int, ...],
    dtype: str,
    reason: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    parts = parts_of(network, shape, {"hidden": [4]}, dtype)
    if "converter" in reason:  # an operation that it does not know
        parts = with_a_strange_layer(parts)
    path = saved(parts, tmp_path / "litert")
    assert path.name == "skipped.json"
    told = json.loads(path.read_text("utf-8"))["reason"]
    assert reason in told
    assert f"aegan train_autoencoder warning: no LiteRT model: {told}" in capfd.readouterr().err


def with_a_strange_layer(parts: export.Autoencoder) -> export.Autoencoder:
    import dataclasses

    import keras
    import tensorflow as tf

    class Strange(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return tf.raw_ops.Betainc(a=tf.abs(x) + 1, b=tf.abs(x) + 1, x=tf.sigmoid(x))

    encoder = keras.Sequential([parts.encoder, Strange()])
    encoder.build((None, *parts.shape))
    return dataclasses.replace(parts, encoder=encoder)
