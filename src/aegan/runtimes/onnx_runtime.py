"""ONNX runtime: the ONNX models of a version, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from aegan.version_files import VersionFiles

Array = np.ndarray[Any, Any]

ERRORS_ONLY = 3


def place(function: str) -> str:
    """Where the ONNX model of a function lies in a version."""
    return f"onnx/{function}/1/model.onnx"


class OnnxRuntime:
    """See `aegan.runtimes.Runtime`. A function is loaded when it is first called."""

    backend = "onnx"

    def __init__(self, files: VersionFiles):
        """Open `onnx` of a version; errors as of `VersionFiles.read`, also when it is called."""
        self._files = files
        self._sessions: dict[str, Any] = {}
        self.conditional = files.has(place("sample_class"))

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
                self._files.read(place(function)), options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[function]
