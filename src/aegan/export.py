"""SavedModels that take and return raw units, with the normalisation inside the graph.

They load with `tf.saved_model.load` in a process that knows nothing of this package, and answer both
as functions (`model.encode(x)`) and as serving signatures of the same names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from aegan import objectives
from aegan.data.normalizer import Normalizer
from aegan.gan import draw_noise
from aegan.latent import Mixture, Whitening

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
    """sample(num, seed): [num, *shape] in raw units."""

    def __init__(
        self,
        network: Any,
        mixture: Mixture | None,
        noise_size: int,
        whitening: Whitening | None,
        decoder: Any,
        normalizer: Normalizer,
    ):
        """Wrap a trained generator.

        Args:
            network: noise to whitened codes or examples; None for the mixture itself.
            mixture: what the noise starts from, or None for normal noise alone.
            noise_size: normal dimensions of the noise.
            whitening: undone before decoding; None where the network makes examples.
            decoder: codes to normalised examples; None where the network makes examples.
            normalizer: undone last.
        """
        super().__init__()
        self._network, self._decoder = network, decoder
        self._mixture, self._noise_size = mixture, noise_size
        self._whitening, self._normalizer = whitening, normalizer
        self.sample = tf.function(
            self._sample,
            [tf.TensorSpec([], tf.int32, name="num"), tf.TensorSpec([], tf.int32, name="seed")],
            autograph=False,
        )

    def _sample(self, num: Tensor, seed: Tensor) -> Tensor:
        blocks = tf.range((num + SAMPLE_BLOCK - 1) // SAMPLE_BLOCK)
        shape = self._block(seed, tf.constant(0)).shape
        drawn = tf.map_fn(
            lambda block: self._block(seed, block),
            blocks,
            fn_output_signature=tf.TensorSpec(shape, self._normalizer.raw_dtype),
            parallel_iterations=1,
        )
        return tf.reshape(drawn, (-1, *shape[1:]))[:num]

    def _block(self, seed: Tensor, block: Tensor) -> Tensor:
        noise = draw_noise(self._mixture, self._noise_size, SAMPLE_BLOCK, tf.stack([seed, block]))
        output = noise[0] if self._network is None else self._network(noise)
        if self._whitening is not None:
            codes = tf.matmul(output, self._whitening.inverse) + self._whitening.mean
            output = self._decoder(codes)
        return self._normalizer.invert_tensor(output)


def save_autoencoder(export: AutoencoderExport, folder: Path) -> None:
    """Write a SavedModel with the signatures encode, decode, reconstruct and score."""
    names = {"encode": "codes", "decode": "examples", "reconstruct": "examples", "score": "scores"}
    _save(export, names, folder)


def save_generator(export: GeneratorExport, folder: Path) -> None:
    """Write a SavedModel with the signature sample."""
    _save(export, {"sample": "examples"}, folder)


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
