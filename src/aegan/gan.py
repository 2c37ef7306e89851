"""The generative adversarial network: min over G, max over D of a value of D's logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from aegan import networks, plans, replicas
from aegan.config import Config
from aegan.config_training import OF_RATIOS
from aegan.draws import Draws, draws_of
from aegan.game import Batch, Game, Reduction, values
from aegan.latent import Mixture, choose, draw_classes, draw_noise
from aegan.optimizers import Descent

Array = np.ndarray[Any, Any]
Tensor = Any

PREVIEWED = 64
VALIDATED = 5000  # samples whose distance to validation data is taken
SAMPLED_AT_ONCE = 1000


class GanLearner:
    """Generator, its moving average, discriminator, two optimisers, and one update of both.

    Attributes:
        average: keras.Model, the generator with averaged weights: what is published.
        discriminator: keras.Model, examples or codes, and their classes if there are any, to logits.
        phases, scale: see `aegan.programs.Learner`; the phases after those of the discriminator's steps
            are the generator's, if it learns.
    """

    def __init__(
        self,
        config: Config,
        shape: tuple[int, ...],
        mixture: Mixture | None,
        distance: Callable[[Array], float] | None = None,
        frequencies: Array | None = None,
    ):
        """Build the networks.

        Args:
            config: the run's configuration.
            shape: of a code [D] (`space: latent`) or an example (`space: data`).
            mixture: of whitened codes to start from, or None for noise alone (`prior: normal`).
            distance: of samples [VALIDATED, *shape] to validation data; what `patience` goes by.
            frequencies: [C] float32, of the classes, for a conditional GAN; its batches are pairs of
                examples and labels.
        """
        self._section = section = config.gan
        self._seed, self._mixture, self._distance = config.seed, mixture, distance
        self._frequencies = frequencies
        bounded = section.space == "data" and config.normalize.method == "minmax"
        output = "sigmoid" if bounded else "linear"
        seed, size = config.seed * 1000 + 400, section.noise_size
        classes = 0 if frequencies is None else len(frequencies)

        def build() -> Any:
            if mixture is not None:
                learns = section.generator_learns
                sizes = (shape[0], size)
                return networks.refiner(section, *sizes, seed, classes=classes, learns=learns)
            return networks.generator(section, shape, size, output, seed, classes=classes)

        self._generator, self.average = build(), build()
        self.discriminator = networks.discriminator(
            section.discriminator,
            shape,
            seed + 200,
            spectral=section.spectral_normalization,
            # A generator that starts near the data loses what it has by following random ratings.
            flat=mixture is not None and section.objective in OF_RATIOS,
            classes=classes,
        )
        extent = 1.0 if bounded else 4.0  # standardised: two deviations to both sides
        self._game = Game(section, self._generator, self.discriminator, extent)
        steps, rate = section.discriminator_steps, section.learning_rate
        generator_steps = section.generator_steps if section.generator_learns else 0
        self.phases, self.scale = steps + generator_steps, tf.Variable(1.0)
        trained = [(self.discriminator, section.discriminator_learning_rate or rate, steps)]
        if section.generator_learns:
            trained.append((self._generator, rate, generator_steps))
        self._descents = [
            Descent(section, rate, network.trainable_variables, self.scale, per_step=per_step)
            for network, rate, per_step in trained
        ]

    def update(self, batch: Tensor, step: Tensor) -> dict[str, Tensor]:
        """Steps of the discriminator, then those of the generator, if it learns.

        The generator's first is on the samples of the discriminator's last, so that one pass of the
        generator serves both. Metrics are of the last step of each network (in full batch, their means).

        Args:
            batch: [B · discriminator_steps, ...] float32; of a conditional GAN a pair of that and
                labels, [B · discriminator_steps] int32.
            step: counted from 0.
        """
        draws = self._draws(step)
        networks.reseed_dropout((self._generator, self.discriminator), draws.dropout)
        game, whole, steps = self._game, self._labelled(batch), self._section.discriminator_steps

        def discriminate(phase: int | Tensor) -> dict[str, Tensor]:
            part = whole.part(phase, steps)
            samples = game.generated(self._noise(part, draws, phase))
            self.apply(0, *game.discriminator_gradients(part, samples, draws, phase, replicas.mean))
            return {}  # where this is NaN, the last step is NaN, too, and its metrics tell

        def generate(phase: int | Tensor) -> dict[str, Tensor]:
            found = self._generator_gradients(last, draws, phase, replicas.mean)
            return self.apply(steps, *found) | replicas.total(found[1])

        replicas.in_turn(discriminate, 0, steps - 1, {})
        last = whole.part(steps - 1, steps)
        noise = self._noise(last, draws, steps)
        with tf.GradientTape() as tape:
            samples = game.generated(noise)
            fixed = tf.stop_gradient(samples)
            found = game.discriminator_gradients(last, fixed, draws, steps - 1, replicas.mean)
            metrics = self.apply(steps - 1, *found) | replicas.total(found[1])
            if not self._section.generator_learns:
                return metrics
            loss = game.generator_loss(last, samples, draws, steps, replicas.mean)
        losses = {"generator_loss": loss}
        gradients = tape.gradient(loss, values(self._generator))
        first = self.apply(steps, gradients, losses) | replicas.total(losses)
        return metrics | replicas.in_turn(generate, steps + 1, self.phases, first)

    def gradients(
        self, phase: int, batch: Tensor, step: Tensor, part: Tensor
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Sums over the batch of each sample's gradients and losses, for one of the networks."""
        whole, draws = self._labelled(batch), self._draws(step, part)
        dropout = tf.random.fold_in(draws.dropout, phase)
        networks.reseed_dropout((self._generator, self.discriminator), dropout, part)
        if phase < self._section.discriminator_steps:
            samples = self._game.generated(self._noise(whole, draws, phase))
            return self._game.discriminator_gradients(whole, samples, draws, phase, tf.reduce_sum)
        return self._generator_gradients(whole, draws, phase, tf.reduce_sum)

    def _generator_gradients(
        self, batch: Batch, draws: Draws, phase: int | Tensor, reduce: Reduction
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        noise = self._noise(batch, draws, phase)
        with tf.GradientTape() as tape:
            samples = self._game.generated(noise)
            loss = self._game.generator_loss(batch, samples, draws, phase, reduce)
        return tape.gradient(loss, values(self._generator)), {"generator_loss": loss}

    def apply(self, phase: int, gradients: list[Tensor], _: dict[str, Tensor]) -> dict[str, Tensor]:
        """Descend by mean gradients with the network of the phase."""
        of_generator = phase >= self._section.discriminator_steps
        measured = self._descents[of_generator].apply(gradients)
        if of_generator:
            self._update_average(self._descents[of_generator].updates - 1)
        network = "generator" if of_generator else "discriminator"
        return {f"{network}_{name}": value for name, value in measured.items()}

    def validate(self) -> float | None:
        """The distance of averaged samples, if training may stop early; else the last weights stay."""
        if self._distance is None or self._section.patience is None:
            return None
        return self._distance(self._samples(VALIDATED))

    def preview(self) -> Array:
        """Samples of the averaged generator, always of the same noise.

        Where the discriminator is to choose among draws, it does, by what it knows so far.
        """
        return self._samples(PREVIEWED)

    def _samples(self, count: int) -> Array:
        seed, number, classes = tf.constant([self._seed, 0]), self._section.draws_per_sample, None
        if self._frequencies is not None:
            drawn = draw_classes(self._frequencies, count, seed)
            classes = tf.repeat(drawn, number, axis=0)
        size, made = count * number, []
        noise = draw_noise(self._mixture, self._section.noise_size, size, seed, classes)
        at_once = max(1, SAMPLED_AT_ONCE // number) * number  # all draws of a sample
        for start in range(0, size, at_once):
            rows = slice(start, start + at_once)
            samples = self.average(tf.nest.map_structure(lambda a: a[rows], noise))  # noqa: B023
            if number > 1:
                rated = samples if classes is None else [samples, classes[rows]]
                own = tf.random.fold_in(seed, start)
                samples = choose(samples, self.discriminator(rated), number, own)
            made.append(samples)
        return np.asarray(tf.concat(made, 0))

    def state(self) -> list[Any]:
        """Weights of all networks and both optimisers' slots."""
        models = (self._generator, self.average, self.discriminator)
        variables = [v.value for model in models for v in model.weights]
        return variables + [v for descent in self._descents for v in descent.state()]

    def weights(self) -> list[Any]:
        """Weights of the averaged generator, and of the discriminator where that chooses samples."""
        chooses = self._section.draws_per_sample > 1
        models = (self.average, self.discriminator) if chooses else (self.average,)
        return [v.value for model in models for v in model.weights]

    def _labelled(self, batch: Any) -> Batch:
        if self._frequencies is None:
            return Batch(batch, None)
        return Batch(batch[0], tf.one_hot(batch[1], len(self._frequencies)))

    def _draws(self, step: Tensor, part: Tensor | None = None) -> Draws:
        section = self._section
        return draws_of(
            self._seed,
            step,
            discriminator=section.discriminator_steps,
            generator=section.generator_steps,
            part=part,
        )

    def _noise(self, batch: Batch, draws: Draws, phase: int | Tensor) -> Any:
        """What the generator takes to make as many samples, of the same classes."""
        classes = batch.classes
        if classes is not None and draws.part is None:  # `rows` draws those of all devices
            classes = tf.tile(classes, [replicas.count(), 1])

        def draw(size: Tensor) -> Any:
            seed = draws.noise[phase]
            return draw_noise(self._mixture, self._section.noise_size, size, seed, classes)

        return replicas.rows(draw, tf.shape(batch.examples)[0], draws.part)

    def _update_average(self, step: Tensor) -> None:
        """EMA whose decay rises from 1/10, so that the first steps do not linger."""
        position = tf.cast(step, tf.float32)
        decay = tf.minimum(self._section.ema_decay, (1 + position) / (10 + position))
        for average, current in zip(self.average.weights, self._generator.weights, strict=True):
            average.value.assign(decay * average.value + (1 - decay) * current.value)


def plan(config: Config) -> plans.Plan:
    """How the configuration says to train the GAN."""
    section = config.gan
    return plans.plan_of(
        section,
        "train_gan",
        config.seed + 1,
        validate_every=section.validate_every or max(1, section.steps // 50),
        patience=section.patience,
        batches=section.discriminator_steps,
    )
