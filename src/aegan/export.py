"""SavedModels that take and return raw units, with the normalisation inside the graph.

They load with `tf.saved_model.load` in a process that knows nothing of this package, and answer both
as functions (`model.encode(x)`) and as serving signatures of the same names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from aegan import objectives
from aegan.data.normalizer import Normalizer
from aegan.latent import Mixture, Whitening, draw_classes, draw_noise

Array = np.ndarray[Any, Any]
Tensor = Any

SAMPLE_BLOCK = 256
"""Samples are drawn in blocks of this many, each from (seed, block): so the i-th sample depends on
the seed and i alone, not on how many are asked for."""


class AutoencoderExport(tf.Module):
    """encode, decode, reconstruct and score."""

    def __init__(self, encoder: Any, decoder: Any, normalizer: Normalizer, shape: tuple[int, ...]):
        """Wrap trained networks; `shape` is that of one example."""
        super().__init__()
        self._encoder, self._decoder, self._normalizer = encoder, decoder, normalizer
        examples = tf.TensorSpec([None, *shape], normalizer.raw_dtype, name="examples")
        codes = tf.TensorSpec([None, encoder.output_shape[-1]], tf.float32, name="codes")
        self.encode = tf.function(self._encode, [examples], autograph=False)
        self.decode = tf.function(self._decode, [codes], autograph=False)
        self.reconstruct = tf.function(self._reconstruct, [examples], autograph=False)
        self.score = tf.function(self._score, [examples], autograph=False)

    def _encode(self, examples: Tensor) -> Tensor:
        return self._encoder(self._normalizer.apply_tensor(examples))

    def _decode(self, codes: Tensor) -> Tensor:
        return self._normalizer.invert_tensor(self._decoder(codes))

    def _reconstruct(self, examples: Tensor) -> Tensor:
        return self._decode(self._encode(examples))

    def _score(self, examples: Tensor) -> Tensor:
        normalized = self._normalizer.apply_tensor(examples)
        reconstruction = self._decoder(self._encoder(normalized))
        return objectives.mean_squared_error(normalized, reconstruction)


class GeneratorExport(tf.Module):
    """sample(num, seed) and, with classes, sample_class(num, seed, label): [num, *shape] raw."""

    def __init__(
        self,
        network: Any,
        mixture: Mixture | None,
        noise_size: int,
        decoding: tuple[Whitening, Any] | None,
        normalizer: Normalizer,
        frequencies: Array | None = None,
    ):
        """Wrap a trained generator.

        Args:
            network: noise to whitened codes or examples; None for the mixture itself.
            mixture: what the noise starts from, or None for normal noise alone.
            noise_size: normal dimensions of the noise.
            decoding: the whitening to undo, and what takes codes to normalised examples; None where
                the network makes examples.
            normalizer: undone last.
            frequencies: [C] float32, of the classes among the samples; None for a network and a mixture
                that know none.
        """
        super().__init__()
        self._network, self._normalizer = network, normalizer
        self._mixture, self._noise_size = mixture, noise_size
        self._whitening: Any = None if decoding is None else decoding[0]
        self._decoder: Any = None if decoding is None else decoding[1]
        self._frequencies: Any = frequencies
        num, seed, label = (tf.TensorSpec([], tf.int32, name) for name in ("num", "seed", "label"))
        self.sample = tf.function(self._sample, [num, seed], autograph=False)
        if frequencies is not None:
            self.sample_class = tf.function(self._sample, [num, seed, label], autograph=False)

    def _sample(self, num: Tensor, seed: Tensor, label: Tensor | None = None) -> Tensor:
        blocks = tf.range((num + SAMPLE_BLOCK - 1) // SAMPLE_BLOCK)
        shape = self._block(seed, tf.constant(0), label).shape
        drawn = tf.map_fn(
            lambda block: self._block(seed, block, label),
            blocks,
            fn_output_signature=tf.TensorSpec(shape, self._normalizer.raw_dtype),
            parallel_iterations=1,
        )
        return tf.reshape(drawn, (-1, *shape[1:]))[:num]

    def _block(self, seed: Tensor, block: Tensor, label: Tensor | None) -> Tensor:
        own, classes = tf.stack([seed, block]), None
        if self._frequencies is not None:
            classes = self._classes(own, label)
        noise = draw_noise(self._mixture, self._noise_size, SAMPLE_BLOCK, own, classes)
        output = noise[0] if self._network is None else self._network(noise)
        if self._whitening is not None:
            codes = tf.matmul(output, self._whitening.inverse) + self._whitening.mean
            output = self._decoder(codes)
        return self._normalizer.invert_tensor(output)

    def _classes(self, seed: Tensor, label: Tensor | None) -> Tensor:
        """One-hot rows of a block [SAMPLE_BLOCK, C]: of the label, or drawn."""
        count = len(self._frequencies)
        if label is None:
            return draw_classes(self._frequencies, SAMPLE_BLOCK, seed)
        known = (label >= 0) & (label < count)
        text = f"expected a label from 0 to {count - 1}"
        with tf.control_dependencies([tf.debugging.Assert(known, [text, label])]):
            return tf.one_hot(tf.fill([SAMPLE_BLOCK], label), count)


def save_autoencoder(export: AutoencoderExport, folder: Path) -> None:
    """Write a SavedModel with the signatures encode, decode, reconstruct and score."""
    names = {"encode": "codes", "decode": "examples", "reconstruct": "examples", "score": "scores"}
    _save(export, names, folder)


def save_generator(export: GeneratorExport, folder: Path) -> None:
    """Write a SavedModel with the signature sample and, if it knows classes, sample_class."""
    names = [name for name in ("sample", "sample_class") if hasattr(export, name)]
    _save(export, dict.fromkeys(names, "examples"), folder)


def _save(export: tf.Module, outputs: dict[str, str], folder: Path) -> None:
    """Signatures must return mappings; the functions themselves return the bare tensor."""

    def signature(function: Any, name: str) -> Any:
        return tf.function(
            lambda *args, **kwargs: {name: function(*args, **kwargs)},
            function.input_signature,
            autograph=False,
        )

    signatures = {key: signature(getattr(export, key), name) for key, name in outputs.items()}
    tf.saved_model.save(export, str(folder), signatures=signatures)


def load_saved(folder: Path) -> Any:
    """A SavedModel's object, with its functions as attributes."""
    return tf.saved_model.load(str(folder))
