"""What runs a published version: TensorFlow or ONNX runtime, with the same answers.

Both answer to the same few calls, and neither imports the other's packages.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any, Protocol

import numpy as np

from aegan.errors import DataError, DependencyError
from aegan.version_files import VersionFiles

Array = np.ndarray[Any, Any]

BACKENDS = ("auto", "tensorflow", "onnx")
PACKAGES = {"tensorflow": "tensorflow", "onnx": "onnxruntime"}
EXTRAS = {"tensorflow": "train", "onnx": "onnx"}
NAMES = {"tensorflow": "TensorFlow", "onnx": "ONNX runtime"}
PREFERENCE = ("onnx", "tensorflow")
"""ONNX runtime first: it starts in a tenth of the time."""


class Runtime(Protocol):
    """The functions of a version; see `aegan.export` for what they compute.

    Attributes:
        backend: `tensorflow` or `onnx`.
        conditional: whether samples of one class can be asked for.
    """

    backend: str
    conditional: bool

    @property
    def latent_size(self) -> int:
        """Of a code."""

    def encode(self, examples: Array) -> Array:
        """[N, *shape] raw to [N, latent_size] float32."""

    def decode(self, codes: Array) -> Array:
        """[N, latent_size] float32 to [N, *shape] raw."""

    def reconstruct(self, examples: Array) -> Array:
        """[N, *shape] raw to the same."""

    def score(self, examples: Array) -> Array:
        """[N, *shape] raw to [N] float32."""

    def sample(self, num: int, seed: int, class_number: int | None) -> Array:
        """[num, *shape] raw, of one class if its number is given."""


def check_backend(backend: str) -> None:
    """Refuse a backend that is not installed, before anything is downloaded for it.

    Raises:
        DependencyError: it is not installed, or with `auto` none is.
        DataError: there is no such backend.
    """
    if backend not in BACKENDS:
        raise DataError(f"the backend is {backend!r}: expected one of {', '.join(BACKENDS)}")
    wanted = PREFERENCE if backend == "auto" else (backend,)
    if not any(_installed(name) for name in wanted):
        names = " or ".join(NAMES[name] for name in wanted)
        commands = " or ".join(f"pip install 'aegan[{EXTRAS[name]}]'" for name in wanted)
        raise DependencyError(f"loading a model needs {names}, which is not installed: {commands}")


def open_runtime(files: VersionFiles, backend: str) -> Runtime:
    """Run a version.

    Args:
        files: of the version.
        backend: `tensorflow`, `onnx`, or `auto`: ONNX runtime if it is installed and the version has
            ONNX models, else TensorFlow.

    Raises:
        DependencyError: the backend is not installed, or the version has nothing for it.
        RegistryError, IntegrityError: a file has gone, or was changed, since it was verified.
    """
    check_backend(backend)
    has_onnx = files.has("onnx/sample/1/model.onnx")
    if backend == "auto":
        usable = {"onnx": has_onnx, "tensorflow": True}
        found = [name for name in PREFERENCE if usable[name] and _installed(name)]
        backend = found[0] if found else "tensorflow"
        check_backend(backend)
    if backend == "onnx":
        if not has_onnx:
            raise DependencyError(
                "this version has no ONNX models: it was published before there were any; load it with"
                " backend='tensorflow'"
            )
        from aegan.runtimes.onnx_runtime import OnnxRuntime

        return OnnxRuntime(files)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from aegan.runtimes.tensorflow_runtime import TensorFlowRuntime

    return TensorFlowRuntime(files)


def _installed(backend: str) -> bool:
    try:
        return importlib.util.find_spec(PACKAGES[backend]) is not None
    except ValueError:  # sys.modules holds None for it
        return False
