"""TensorFlow: the SavedModels of a version."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from aegan.version_files import VersionFiles

Array = np.ndarray[Any, Any]


class TensorFlowRuntime:
    """See `aegan.runtimes.Runtime`."""

    backend = "tensorflow"

    def __init__(self, files: VersionFiles):
        """Load `serving` of a version; errors as of `VersionFiles.read`."""
        self._autoencoder = _loaded(files, "serving/autoencoder/1")
        self._generator = _loaded(files, "serving/generator/1")
        self.latent_size = int(self._autoencoder.decode.input_signature[0].shape[1])
        self.conditional = hasattr(self._generator, "sample_class")

    def encode(self, examples: Array) -> Array:  # noqa: D102 (see the protocol)
        return np.asarray(self._autoencoder.encode(examples))

    def decode(self, codes: Array) -> Array:  # noqa: D102
        return np.asarray(self._autoencoder.decode(codes))

    def reconstruct(self, examples: Array) -> Array:  # noqa: D102
        return np.asarray(self._autoencoder.reconstruct(examples))

    def score(self, examples: Array) -> Array:  # noqa: D102
        return np.asarray(self._autoencoder.score(examples))

    def sample(self, num: int, seed: int, class_number: int | None) -> Array:  # noqa: D102
        function, numbers = self._generator.sample, [num, seed]
        if class_number is not None:
            function, numbers = self._generator.sample_class, [num, seed, class_number]
        return np.asarray(function(*(tf.constant(number, tf.int32) for number in numbers)))


def _loaded(files: VersionFiles, place: str) -> Any:
    """A SavedModel, which TensorFlow reads itself: its files are checked again afterwards.

    If it fails because one of them has gone or was changed, that is what is raised.
    """
    try:
        return tf.saved_model.load(str(files.folder / place))
    finally:
        files.check(place)
