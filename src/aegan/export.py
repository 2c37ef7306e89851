"""SavedModels that take and return raw units, with the normalisation inside the graph.

They load with `tf.saved_model.load` in a process that knows nothing of this package, and answer both
as functions (`model.encode(x)`) and as serving signatures of the same names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from aegan.data.normalizer import Normalizer
from aegan.latent import Mixture, Whitening, choose, draw_classes, draw_noise

Array = np.ndarray[Any, Any]
Tensor = Any

SAMPLE_BLOCK = 256
"""Samples are drawn in blocks of this many, each from (seed, block): so the i-th sample depends on
the seed and i alone, not on how many are asked for."""


@dataclass(frozen=True)
class Autoencoder:
    """What an autoencoder's exports are made of.

    Attributes:
        encoder: keras.Model, examples [B, *shape] to codes [B, D], both in normalised units.
        decoder: keras.Model, codes to examples.
        normalizer: what goes in and comes out is in its raw units.
        shape: of one example.
    """

    encoder: Any
    decoder: Any
    normalizer: Normalizer
    shape: tuple[int, ...]

    @property
    def latent_size(self) -> int:
        """D."""
        return int(self.encoder.output_shape[-1])


@dataclass(frozen=True)
class Sampler:
    """What a sampler's exports are made of.

    Attributes:
        network: keras.Model, noise to whitened codes or examples; None for the mixture itself.
        mixture: what the noise starts from, or None for normal noise alone.
        noise_size: normal dimensions of the noise.
        decoding: the whitening to undo, and what takes codes to normalised examples; None where the
            network makes examples.
        normalizer: undone last.
        shape: of one example.
        frequencies: [C] float32, of the classes among the samples; None for a network and a mixture
            that know none.
        choice: what takes samples of the network, and their classes if there are any, to logits
            [B, 1], and of how many draws it chooses each sample; None to take every draw.
    """

    network: Any
    mixture: Mixture | None
    noise_size: int
    decoding: tuple[Whitening, Any] | None
    normalizer: Normalizer
    shape: tuple[int, ...]
    frequencies: Array | None = None
    choice: tuple[Any, int] | None = None

    @property
    def draws(self) -> int:
        """For each sample."""
        return 1 if self.choice is None else self.choice[1]


class AutoencoderExport(tf.Module):
    """encode, decode, reconstruct and score."""

    def __init__(self, parts: Autoencoder):
        """Wrap trained networks."""
        super().__init__()
        self._encoder, self._decoder = parts.encoder, parts.decoder
        self._normalizer = parts.normalizer
        raw = parts.normalizer.raw_dtype
        examples = tf.TensorSpec([None, *parts.shape], raw, name="examples")
        codes = tf.TensorSpec([None, parts.latent_size], tf.float32, name="codes")
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
        axes = tuple(range(1, len(normalized.shape)))
        # Not `objectives.mean_squared_error`, whose products a GPU that serves may round (TF32).
        return tf.reduce_mean(tf.square(normalized - reconstruction), axis=axes)


class GeneratorExport(tf.Module):
    """sample(num, seed) and, with classes, sample_class(num, seed, label): [num, *shape] raw."""

    def __init__(self, sampler: Sampler):
        """Wrap a trained sampler."""
        super().__init__()
        self._network, self._normalizer = sampler.network, sampler.normalizer
        self._mixture, self._noise_size = sampler.mixture, sampler.noise_size
        self._whitening: Any = None if sampler.decoding is None else sampler.decoding[0]
        self._decoder: Any = None if sampler.decoding is None else sampler.decoding[1]
        self._frequencies: Any = sampler.frequencies
        self._draws = sampler.draws
        self._discriminator: Any = None if sampler.choice is None else sampler.choice[0]
        num, seed, label = (tf.TensorSpec([], tf.int32, name) for name in ("num", "seed", "label"))
        self.sample = tf.function(self._sample, [num, seed], autograph=False)
        if sampler.frequencies is not None:
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
            classes = tf.repeat(self._classes(own, label), self._draws, axis=0)
        size = SAMPLE_BLOCK * self._draws
        noise = draw_noise(self._mixture, self._noise_size, size, own, classes)
        output = noise[0] if self._network is None else self._network(noise)
        if self._discriminator is not None:
            rated = output if classes is None else [output, classes]
            output = choose(output, self._discriminator(rated), self._draws, own)
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


OUTPUTS = {"encode": "codes", "decode": "examples", "reconstruct": "examples", "score": "scores"}
"""What each function of an autoencoder answers with."""


def save_autoencoder(export: AutoencoderExport, folder: Path) -> None:
    """Write a SavedModel with the signatures encode, decode, reconstruct and score."""
    _save(export, OUTPUTS, folder)


def save_generator(export: GeneratorExport, folder: Path) -> None:
    """Write a SavedModel with the signature sample and, if it knows classes, sample_class."""
    names = [name for name in ("sample", "sample_class") if hasattr(export, name)]
    _save(export, dict.fromkeys(names, "examples"), folder)


def _save(export: tf.Module, outputs: dict[str, str], folder: Path) -> None:
    functions = {name: getattr(export, name) for name in outputs}
    signatures = {
        name: signature(function, function.input_signature, outputs[name])
        for name, function in functions.items()
    }
    tf.saved_model.save(export, str(folder), signatures=signatures)


def signature(function: Any, inputs: Any, output: str) -> Any:
    """A function to be served: signatures must return mappings, functions return the bare tensor."""
    return tf.function(
        lambda *args, **kwargs: {output: function(*args, **kwargs)},
        inputs,
        autograph=False,
    )


def load_saved(folder: Path) -> Any:
    """A SavedModel's object, with its functions as attributes."""
    return tf.saved_model.load(str(folder))
