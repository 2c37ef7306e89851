"""ONNX runtime: the ONNX models of a version, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Array = np.ndarray[Any, Any]

ERRORS_ONLY = 3


class OnnxRuntime:
    """See `aegan.runtimes.Runtime`. A function is loaded when it is first called."""

    backend = "onnx"

    def __init__(self, folder: Path):
        """Open `onnx` of a version."""
        self._folder = folder
        self._sessions: dict[str, Any] = {}
        self.conditional = self._path("sample_class").is_file()

    @property
    def latent_size(self) -> int:  # noqa: D102 (see the protocol)
        return int(self._session("decode").get_inputs()[0].shape[1])

    def encode(self, examples: Array) -> Array:  # noqa: D102
        return self._run("encode", examples=examples)

    def decode(self, codes: Array) -> Array:  # noqa: D102
        return self._run("decode", codes=codes)

    def reconstruct(self, examples: Array) -> Array:  # noqa: D102
        return self._run("reconstruct", examples=examples)

    def score(self, examples: Array) -> Array:  # noqa: D102
        return self._run("score", examples=examples)

    def sample(self, num: int, seed: int, class_number: int | None) -> Array:  # noqa: D102
        numbers = {"num": num, "seed": seed}
        if class_number is not None:
            numbers["label"] = class_number
        given = {name: np.array(number, np.int32) for name, number in numbers.items()}
        return self._run("sample" if class_number is None else "sample_class", **given)

    def _run(self, function: str, **inputs: Array) -> Array:
        return np.asarray(self._session(function).run(None, inputs)[0])

    def _session(self, function: str) -> Any:
        if function not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = ERRORS_ONLY
            self._sessions[function] = onnxruntime.InferenceSession(
                str(self._path(function)), options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[function]

    def _path(self, function: str) -> Path:
        return self._folder / function / "1" / "model.onnx"
