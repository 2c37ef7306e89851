"""One LiteRT (TensorFlow Lite) model of encode, decode, reconstruct and score, for devices.

Its signatures have the names of the SavedModel's, and any batch size. Two kinds of autoencoder are left
out, with a warning, and the reason is written where the model would be: recurrent ones, which the
converter takes long for, and those whose raw units need float64 (int32, int64, float64), in which LiteRT
cannot compute.
There is no sampling, because LiteRT has no random numbers that follow from a seed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from aegan.digests import to_json
from aegan.export import OUTPUTS, Autoencoder, AutoencoderExport, signature
from aegan.narration import narrate

FILE, SKIPPED = "autoencoder.tflite", "skipped.json"


def save_autoencoder(parts: Autoencoder, export: AutoencoderExport, folder: Path) -> None:
    """Write autoencoder.tflite into the folder `litert` of a version, or skipped.json with the reason.

    Args:
        parts: what the export is made of.
        export: the same functions for TensorFlow.
        folder: to write to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reason = obstacle(parts)
    if reason is None:
        try:
            (folder / FILE).write_bytes(_converted(export))
            return
        except Exception as error:  # of the converter, whose errors have no common type
            text = str(error) or repr(error)
            reason = f"the converter failed: {text.splitlines()[0][:300]}"
    narrate("train_autoencoder", "warning", f"no LiteRT model: {reason}")
    (folder / SKIPPED).write_bytes(to_json({"reason": reason}))


def obstacle(parts: Autoencoder) -> str | None:
    """Why there can be no LiteRT model, or None if there can."""
    layers = (*parts.encoder.layers, *parts.decoder.layers)
    kinds = {type(layer).__name__ for layer in layers} & {"GRU", "LSTM"}
    if kinds:
        return f"recurrent layers ({kinds.pop()}) are not exported to LiteRT"
    if parts.normalizer.offset.dtype != np.float32:
        return f"raw units of {parts.normalizer.raw_dtype} need float64, which LiteRT lacks"
    return None


def _converted(export: AutoencoderExport) -> bytes:
    """The flat buffer; weights become constants, which LiteRT shares among the functions."""
    module, signatures = tf.Module(), {}
    for name, output in OUTPUTS.items():
        function = getattr(export, name)
        frozen = convert_variables_to_constants_v2(function.get_concrete_function())
        signatures[name] = signature(_only_answer(frozen), function.input_signature, output)
        setattr(module, name, signatures[name])  # keeps it alive
    with tempfile.TemporaryDirectory() as scratch:
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, scratch, signatures=signatures, options=options)
        keys = list(signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch, signature_keys=keys)
        return bytes(converter.convert())


def _only_answer(frozen: Any) -> Any:
    """A frozen function answers with a list of one."""
    return lambda *args, **kwargs: frozen(*args, **kwargs)[0]
