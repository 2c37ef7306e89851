"""The autoencoder: min over W, b of 1/m · Σ‖x - x̂‖², by gradient descent.

Its kinds differ in what is encoded and what is added to the loss:

    plain         encode x
    denoising     encode a corrupted x, compare with x
    variational   code ~ N(mean, variance) from the encoder; + 2β/D · KL(code ‖ N(0, I)), D values in x

so that the variational loss is, up to a factor, the bound on the log likelihood for β = 1. With
`error: absolute` it is 1/m · Σ|x - x̂|, and β/D · KL is added. Images may be compared by their texture,
too: + w · 1/n · Σ(t(x) - t(x̂))² for t of n values; see `aegan.texture`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from aegan import networks, objectives, plans, replicas, training
from aegan.batches import BATCH, in_batches
from aegan.config import Config
from aegan.lbfgs import Lbfgs
from aegan.optimizers import Descent
from aegan.precision import forward
from aegan.texture import require_windows, texture_error

Array = np.ndarray[Any, Any]
Tensor = Any

PREVIEWED = 16


class AutoencoderLearner:
    """Encoder, decoder, optimiser, and one update of both.

    Attributes:
        encoder: keras.Model, examples [B, ...] to codes [B, latent_size] (variational: their means).
        decoder: keras.Model, codes to examples, both in normalised units.
        phases, scale: see `aegan.programs.Learner`.
    """

    phases = 1

    def __init__(self, config: Config, shape: tuple[int, ...], validation: Array):
        """Build the networks.

        Args:
            config: the run's configuration.
            shape: of one example.
            validation: [M, *shape] float32, normalised.

        Raises:
            ConfigError: images too small for `texture`.
        """
        self._section = section = config.autoencoder
        self._seed, self._size = config.seed, math.prod(shape)
        self._error, self._nat = objectives.RECONSTRUCTION[section.error]
        if section.texture:
            require_windows(shape)
        output = "sigmoid" if config.normalize.method == "minmax" else "linear"
        sizes, seed = (section, shape, section.latent_size), config.seed * 1000
        self.encoder, both = networks.encoders(*sizes, section.code_activation, seed)
        self.decoder = networks.decoder(*sizes, output, seed + 200)
        self._encoder = both if section.kind == "variational" else self.encoder
        self._models = (self._encoder, self.decoder)
        self._trained = [v for model in self._models for v in model.trainable_variables]
        self.scale = tf.Variable(1.0)
        self._descent: Descent | Lbfgs
        if section.optimizer == "lbfgs":
            terms = bool(section.sparsity) + bool(section.texture)
            self._descent = Lbfgs(self._trained, num_losses=2 + terms if terms else 1)
        else:
            self._descent = Descent(section, section.learning_rate, self._trained, self.scale)
        self._validation = validation
        # At once: passes forward alone take less memory than a step, if there are not many more of them.
        at_once = section.micro_batch_size if section.batch == "full" else section.batch_size
        self._validated = min(2 * at_once, BATCH)
        xla = plans.use_xla(section.compiler, section.network)
        self._validate = tf.function(self._validation_losses, jit_compile=xla, autograph=False)

    def update(self, batch: Tensor, step: Tensor) -> dict[str, Tensor]:
        """One step of gradient descent on the mean loss of the batch."""
        seeds = training.step_seeds(self._seed, step)
        gradients, losses = self._gradients(batch, seeds, replicas.mean)
        losses = replicas.total(losses)
        return losses | self.apply(0, gradients, losses)

    def gradients(
        self, _: int, batch: Tensor, step: Tensor, part: Tensor
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Sums over the batch of each sample's gradients and losses."""
        seeds = training.step_seeds(self._seed, step, part)
        return self._gradients(batch, seeds, tf.reduce_sum, part)

    def apply(
        self, _: int, gradients: list[Tensor], losses: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Descend by mean gradients."""
        return self._descent.apply(gradients, losses)

    def validate(self) -> float:
        """The loss over the validation split, without corruption, noise and penalties on the code."""
        return float(np.mean(in_batches(self._validate, self._validation, self._validated)))

    def preview(self) -> Array:
        """Validation examples, each followed by its reconstruction."""
        originals = self._validation[:PREVIEWED]
        pairs = [originals, self.decoder(self.encoder(originals))]
        return np.stack(pairs, axis=1).reshape(-1, *originals.shape[1:])

    def state(self) -> list[Any]:
        """Weights and optimiser slots."""
        return self.weights() + self._descent.state()

    def weights(self) -> list[Any]:
        """Weights of both networks."""
        return [v.value for model in self._models for v in model.weights]

    def _gradients(
        self,
        batch: Tensor,
        seeds: Iterator[Tensor],
        reduce: Callable[[Tensor], Tensor],
        part: Tensor | None = None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        networks.reseed_dropout(self._models, next(seeds), part)
        with tf.GradientTape() as tape:
            losses = {k: reduce(v) for k, v in self._losses(batch, next(seeds), part).items()}
        return tape.gradient(losses["loss"], [v.value for v in self._trained]), losses

    def _losses(self, batch: Tensor, seed: Tensor, part: Tensor | None = None) -> dict[str, Tensor]:
        """Of each example: [B]."""
        section = self._section

        def drawn(draw: Callable[..., Tensor], like: Tensor, seed: Tensor, *limits: float) -> Any:
            shape = tf.shape(like)[1:]
            return replicas.rows(
                lambda size: draw(tf.concat([[size], shape], 0), seed, *limits),
                tf.shape(like)[0],
                part,
            )

        noise, draw, direction = tf.unstack(tf.random.split(seed, 3))
        inputs = batch
        if section.kind == "denoising" and section.noise == "masking":
            kept = drawn(tf.random.stateless_uniform, batch, noise) >= section.noise_level
            inputs = tf.where(kept, batch, 0.0)
        elif section.kind == "denoising":
            inputs = batch + section.noise_level * drawn(tf.random.stateless_normal, batch, noise)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([inputs] if section.contraction else [])
            encoded = forward(self._encoder, inputs, section.precision)
            codes, log_variance = self._parted(encoded)
        terms = {}
        if section.contraction:
            # Hutchinson's estimate: E‖Jᵀv‖² = ‖J‖² for v of random signs.
            signs = tf.sign(drawn(tf.random.stateless_uniform, codes, direction, -1.0))
            squares = objectives.gradient_penalty(tape.gradient(codes, inputs, signs))
            terms["contraction"] = section.contraction * squares / self._size
        if section.sparsity:
            terms["sparsity"] = section.sparsity * tf.reduce_mean(tf.abs(codes), axis=1)
        if log_variance is not None:
            normal = drawn(tf.random.stateless_normal, codes, draw)
            divergence = self._divergence(codes, log_variance)
            terms["divergence"] = tf.broadcast_to(divergence, tf.shape(codes)[:1])
            codes = codes + tf.exp(log_variance / 2) * normal
        reconstruction = forward(self.decoder, codes, section.precision)
        error = self._error(batch, reconstruction)
        if section.texture:
            terms["texture"] = section.texture * texture_error(batch, reconstruction)
        if not terms:
            return {"loss": error}
        return {"loss": tf.add_n([error, *terms.values()]), "reconstruction": error} | terms

    def _parted(self, encoded: Any) -> tuple[Tensor, Tensor | None]:
        """Codes [B, latent_size], and the log variances of variational ones."""
        return encoded if self._section.kind == "variational" else (encoded, None)

    def _divergence(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """The weighted divergence of each example's code, no less than its free bits: [B]."""
        nats = objectives.divergence(mean, log_variance)
        if self._section.free_bits:
            nats = tf.maximum(tf.reduce_mean(nats, axis=0, keepdims=True), self._section.free_bits)
        return tf.reduce_sum(nats, axis=1) * (self._nat * self._section.beta / self._size)

    def _validation_losses(self, batch: Tensor) -> Tensor:
        codes, log_variance = self._parted(self._encoder(batch))
        reconstruction = self.decoder(codes)
        errors = self._error(batch, reconstruction)
        if self._section.texture:
            errors += self._section.texture * texture_error(batch, reconstruction)
        return errors if log_variance is None else errors + self._divergence(codes, log_variance)


def plan(
    config: Config, shape: tuple[int, ...] | None = None, rows: tuple[int, int] = (0, 0)
) -> plans.Plan:
    """How the configuration says to train the autoencoder.

    Args:
        config: the run's configuration.
        shape: of an example, if it is known.
        rows: of the training and validation splits, if they are known.
    """
    section = config.autoencoder
    mixes_samples = section.normalization == "batch" or section.free_bits > 0
    widest = max([*section.hidden, section.latent_size])
    samples = rows[0] if section.batch == "full" else section.batch_size
    every = plans.evaluation_interval(section.steps, samples, rows[1])
    return plans.plan_of(
        section,
        "train_autoencoder",
        config.seed,
        validate_every=section.validate_every or every,
        patience=section.patience,
        pieces=1 if mixes_samples else plans.pieces_of(section, widest),
        unrolled=None if shape is None else shape[0] * len(section.hidden),
    )
