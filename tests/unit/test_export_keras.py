"""Keras models in raw units."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from aegan import export, export_keras, networks
from aegan.config_training import Architecture
from aegan.data.normalizer import Normalizer


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float16", "float32", "float64"])
def test_raw_units_of_every_type_go_in_and_come_out(dtype: str, tmp_path: Path) -> None:
    working = np.promote_types(dtype, np.float32)
    # Times: large numbers whose small differences matter, where the type can hold them.
    large = 10**15 if working == np.float64 and dtype != "float64" else 10**6 * (dtype == "float64")
    offset, scale = np.array([large, 0, 3], working), np.array([50, 1, 7], working)
    normalizer = Normalizer("standard", offset, scale, dtype)
    architecture = Architecture.model_validate({"hidden": [8]})
    encoder, _ = networks.encoders(architecture, (3,), 2, "linear", 1)
    decoder = networks.decoder(architecture, (3,), 2, "linear", 2)
    export_keras.save_autoencoder(export.Autoencoder(encoder, decoder, normalizer, (3,)), tmp_path)
    encode, decode = (
        keras.models.load_model(tmp_path / f"{name}.keras", safe_mode=True)
        for name in ("encode", "decode")
    )
    raw = (np.random.default_rng(0).integers(0, 100, (20, 3)) + offset).astype(dtype)
    codes = np.asarray(encoder(normalizer.apply(raw)))
    np.testing.assert_allclose(encode(raw), codes, atol=1e-5)
    expected, found = normalizer.invert(np.asarray(decoder(codes))), np.asarray(decode(codes))
    assert found.dtype == expected.dtype == np.dtype(dtype)
    unit = 1 if np.dtype(dtype).kind in "ui" else 2e-3 if dtype == "float16" else 1e-5
    assert np.abs(found.astype(float) - expected.astype(float)).max() <= unit * 10
    assert len(np.unique(codes[:, 0])) > 10
