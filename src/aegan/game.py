"""The game of a GAN's two networks: what each of them loses on a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from aegan import objectives
from aegan.augment import NUM_DRAWS, augment
from aegan.config_training import Gan
from aegan.draws import Draws, uniform
from aegan.precision import forward

Tensor = Any
Reduction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Batch:
    """Examples [B, ...] and, for a conditional GAN, their classes as one-hot rows [B, C]."""

    examples: Tensor
    classes: Tensor | None

    def part(self, number: int | Tensor, count: int) -> Batch:
        """One of so many equal parts, in their order."""

        def rows(x: Tensor) -> Tensor:
            size = tf.shape(x)[0] // count
            return tf.reshape(x, [count, size, *x.shape[1:]])[number]

        return Batch(rows(self.examples), None if self.classes is None else rows(self.classes))


class Game:
    """Losses of a generator and a discriminator, and the discriminator's gradients."""

    def __init__(self, section: Gan, generator: Any, discriminator: Any, extent: float):
        """Of two networks.

        Args:
            section: objective, penalties, augmentation and precision.
            generator: keras.Model, noise to samples.
            discriminator: keras.Model, examples, and their classes if there are any, to logits.
            extent: of the values of an image, for its augmentation.
        """
        self._section, self._extent = section, extent
        self._generator, self._discriminator = generator, discriminator
        self._value = objectives.ADVERSARIAL[section.objective]

    def generated(self, noise: Any) -> Tensor:
        """Samples of such noise."""
        return forward(self._generator, noise, self._section.precision)

    def discriminator_gradients(
        self,
        batch: Batch,
        samples: Tensor,
        draws: Draws,
        phase: int | Tensor,
        reduce: Reduction,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Gradients and loss of the discriminator.

        Args:
            batch: real examples.
            samples: as many, of the same classes.
            draws: of the step.
            phase: of the discriminator, counted from 0.
            reduce: samples' losses [B] to one: their mean or their sum.
        """
        section, rate, penalty = self._section, self._rating(batch.classes), tf.zeros(())
        examples, samples = self._seen(batch, samples, draws, phase)
        with tf.GradientTape() as tape:
            if section.gamma:
                real, real_gradient = objectives.with_input_gradient(rate, examples)
                fake, fake_gradient = objectives.with_input_gradient(rate, samples)
                squares = objectives.gradient_penalty(real_gradient)
                squares += objectives.gradient_penalty(fake_gradient)
                penalty += section.gamma / 2 * reduce(squares)
            else:
                real, fake = rate(examples), rate(samples)
            if section.interpolation_penalty:
                ones = [1] * (len(examples.shape) - 1)
                share = uniform(examples, ones, draws.penalty[phase], draws.part)
                between = examples + share * (samples - examples)
                slopes = objectives.slope_penalty(objectives.with_input_gradient(rate, between)[1])
                penalty += section.interpolation_penalty * reduce(slopes)
            loss = reduce(self._value(real, fake)[0]) + penalty
        return tape.gradient(loss, values(self._discriminator)), {"discriminator_loss": loss}

    def generator_loss(
        self,
        batch: Batch,
        samples: Tensor,
        draws: Draws,
        phase: int | Tensor,
        reduce: Reduction,
    ) -> Tensor:
        """Loss of the generator on samples that carry gradients to it; the other arguments as above.

        `phase` is of the step: those of the discriminator come first.
        """
        rate = self._rating(batch.classes)
        examples, samples = self._seen(batch, samples, draws, phase)
        real, fake = rate(examples), rate(samples)
        return reduce(self._value(real, fake)[1])

    def _seen(
        self, batch: Batch, samples: Tensor, draws: Draws, phase: int | Tensor
    ) -> list[Tensor]:
        """Examples and samples as the discriminator sees them."""
        kinds = self._section.augment
        if not kinds:
            return [batch.examples, samples]
        seeds = tf.unstack(draws.augmentation[phase])
        return [
            augment(x, kinds, uniform(x, [NUM_DRAWS], seed, draws.part), self._extent)
            for x, seed in zip((batch.examples, samples), seeds, strict=True)
        ]

    def _rating(self, classes: Tensor | None) -> Callable[[Tensor], Tensor]:
        """The discriminator of examples of these classes.

        Dropout thins it anew for examples and for samples. The same units for both would save half of
        the draws, and teach it less: a Fréchet distance of 1.34 instead of 1.24 on Fashion-MNIST.
        """
        network, precision = self._discriminator, self._section.precision
        return lambda x: forward(network, x if classes is None else [x, classes], precision)


def values(model: Any) -> list[Any]:
    """The variables that gradients are taken by."""
    return [v.value for v in model.trainable_variables]
