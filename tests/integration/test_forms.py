"""Real numbers come out of every form as Keras says, in a process that knows nothing of aegan."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegan import export, export_keras, export_onnx, networks
from aegan.config_training import Architecture
from aegan.data.normalizer import Normalizer

RANDOM = np.random.default_rng(0)
TOLERANCE = 1e-5  # of the range of what Keras says
NETWORKS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "conv": ((9, 12, 3), {"network": "conv", "hidden": [8, 6], "normalization": "group"}),
    "recurrent": ((7, 3), {"network": "recurrent", "hidden": [8]}),
    "dense": ((3,), {"hidden": [16, 8], "normalization": "batch", "activation": "gelu"}),
}

ALONE = """
import sys
sys.modules["aegan"] = None  # any import of it fails
import keras, onnxruntime
import numpy as np
import tensorflow as tf

given = dict(np.load("given.npz"))
saved = tf.saved_model.load("serving").signatures
kept = {name: keras.models.load_model(f"keras/{name}.keras", safe_mode=True)
        for name in ("encode", "decode")}
kept["reconstruct"] = lambda x: kept["decode"](kept["encode"](x))
found = {}
for name in ("encode", "decode", "reconstruct", "score"):
    (key,) = {"codes", "examples"} & saved[name].structured_input_signature[1].keys()
    x = given[key]
    (found["SavedModel " + name],) = saved[name](**{key: tf.constant(x)}).values()
    session = onnxruntime.InferenceSession(f"onnx/{name}/1/model.onnx")
    (found["ONNX " + name],) = session.run(None, {key: x})
    if name in kept:
        found["Keras " + name] = kept[name](x)
np.savez("found.npz", **found)
"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("network", NETWORKS)
def test_real_numbers_come_out_as_keras_says(network: str, dtype: str, tmp_path: Path) -> None:
    shape, options = NETWORKS[network]
    architecture = Architecture.model_validate(options)
    encoder, _ = networks.encoders(architecture, shape, 5, "linear", 1)
    decoder = networks.decoder(architecture, shape, 5, "linear", 2)
    offset, scale = np.array([10, 0, -3], dtype), np.array([4, 1, 0.5], dtype)
    normalizer = Normalizer("standard", offset, scale, dtype)
    parts = export.Autoencoder(encoder, decoder, normalizer, shape)
    export.save_autoencoder(export.AutoencoderExport(parts), tmp_path / "serving")
    export_onnx.save_autoencoder(parts, tmp_path / "onnx")
    (tmp_path / "keras").mkdir()
    export_keras.save_autoencoder(parts, tmp_path / "keras")

    raw = (RANDOM.normal(size=(20, *shape)) * scale + offset).astype(dtype)
    normalized = normalizer.apply(raw)
    codes = np.asarray(encoder(normalized))
    decoded = np.asarray(decoder(codes))
    rebuilt = normalizer.invert(decoded)
    score = np.mean((normalized - decoded) ** 2, axis=tuple(range(1, raw.ndim)))
    expected = {"encode": codes, "decode": rebuilt, "reconstruct": rebuilt, "score": score}
    np.savez(tmp_path / "given.npz", examples=raw, codes=codes)
    command = [sys.executable, "-I", "-c", ALONE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(tmp_path / "found.npz") as found:
        assert len(found.files) == 11
        for name in found.files:
            ours, theirs = found[name], expected[name.split()[1]]
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), name
            assert np.abs(ours - theirs).max() <= TOLERANCE * np.ptp(theirs), name
