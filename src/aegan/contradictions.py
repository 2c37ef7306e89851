"""Settings that are valid each for themselves and cannot mean anything together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegan import compute_mistakes, idle_settings
from aegan.config_training import OF_RATIOS

if TYPE_CHECKING:
    from aegan.config import Config
    from aegan.config_training import Autoencoder, Gan


@dataclass(frozen=True)
class Contradiction:
    """One mistake that takes several settings.

    Attributes:
        paths: of the settings, the first being the one to change.
        text: what is wrong with it and what to do.
    """

    paths: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.paths[0]}: {self.text}"


def contradictions(config: Config) -> Iterator[Contradiction]:
    """All of a configuration's contradictions."""
    data, gan = config.data, config.gan
    taken = data.validation_fraction + data.test_fraction
    if taken >= 1:
        yield Contradiction(
            ("data.validation_fraction", "data.test_fraction"),
            "with `test_fraction` it must leave something to train on: their sum must be below 1,"
            f" received {taken:g}",
        )
    needed = {"conv": "image", "recurrent": "sequence"}
    for name, section in (("autoencoder", config.autoencoder), ("gan", gan)):
        if needed.get(section.network, data.kind) != data.kind:
            yield Contradiction(
                (f"{name}.network", "data.kind"),
                f"`{section.network}` needs `data.kind: {needed[section.network]}`, received"
                f" {data.kind!r}; use `dense`",
            )
        if section.network != "dense" and not section.hidden:
            yield Contradiction(
                (f"{name}.hidden", f"{name}.network"),
                f"`{section.network}` needs at least one layer; give a list such as [32, 64]",
            )
        if section.warmup_steps >= section.steps:
            yield Contradiction(
                (f"{name}.warmup_steps", f"{name}.steps"),
                f"must be fewer than `steps`, received {section.warmup_steps} of {section.steps}",
            )
        for paths, text in idle_settings.idle(name, section):
            yield Contradiction(paths, text)
        if section.batch == "full":
            yield from _of_full_batch(name, section)
    yield from _of_the_autoencoder(config)
    yield from _of_the_gan(config)
    for path, text in compute_mistakes.mistakes(config.compute):
        yield Contradiction((path,), text)
    if gan.space == "data" and gan.prior == "mixture":
        yield Contradiction(
            ("gan.prior", "gan.space"),
            "`mixture` is a mixture of the autoencoder's codes and needs `space: latent`;"
            " use `prior: normal` with `space: data`",
        )
    if gan.space == "latent" and gan.network != "dense":
        yield Contradiction(
            ("gan.network", "gan.space"),
            f"`{gan.network}` needs {needed[gan.network]}s and a code is a vector; use `dense`, or"
            " `space: data`",
        )
    for metric, bound in config.evaluation.thresholds.items():
        if bound.min is not None and bound.max is not None and bound.min > bound.max:
            yield Contradiction(
                (f"evaluation.thresholds.{metric}.min", f"evaluation.thresholds.{metric}.max"),
                f"no value is at least {bound.min:g} and at most {bound.max:g}; lower it, or raise"
                " `max`",
            )


def _of_full_batch(name: str, section: Autoencoder | Gan) -> Iterator[Contradiction]:
    normalizations = ["normalization"]
    normalizations += ["discriminator_normalization"] if name == "gan" else []
    for setting in normalizations:
        if getattr(section, setting) == "batch" and not section.ghost_statistics:
            yield Contradiction(
                (f"{name}.{setting}", f"{name}.batch"),
                "`batch` takes its statistics from a micro-batch and not from the training set, so the"
                " gradient would not be that of a full batch; use `layer` or `group`, or say that you"
                " want that with `ghost_statistics: true`",
            )
    if section.precision != "float32":
        yield Contradiction(
            (f"{name}.precision", f"{name}.batch"),
            f"`{section.precision}` rounds what each sample adds, so the sum would not be the exact"
            " gradient; use `float32`",
        )
    if getattr(section, "kind", "") == "variational" and getattr(section, "free_bits", 0.0):
        yield Contradiction(
            (f"{name}.free_bits", f"{name}.batch"),
            "goes by the mean of each code over a micro-batch and not over the training set, so the"
            " gradient would not be that of a full batch; leave it out",
        )
    if getattr(section, "spectral_normalization", False):
        yield Contradiction(
            (f"{name}.spectral_normalization", f"{name}.batch"),
            "estimates singular values anew with every micro-batch, so they would not share one"
            " network with `batch: full`; use `gamma` to bound slopes",
        )


def _of_lbfgs(section: Autoencoder) -> Iterator[Contradiction]:
    """It compares losses at several points, which must be of one function."""
    if section.batch != "full":
        yield Contradiction(
            ("autoencoder.optimizer", "autoencoder.batch"),
            "`lbfgs` compares losses and so needs the same examples at each step: use `batch: full`",
        )
    random = {
        "autoencoder.kind": section.kind != "plain",
        "autoencoder.dropout": section.dropout > 0,
        "autoencoder.contraction": section.contraction > 0,
    }
    for path, is_set in random.items():
        if is_set:
            yield Contradiction(
                (path, "autoencoder.optimizer"),
                "is random at each step, and `lbfgs` compares losses; leave it out, or use `adam`",
            )


def _of_the_autoencoder(config: Config) -> Iterator[Contradiction]:
    section = config.autoencoder
    if section.optimizer == "lbfgs":
        yield from _of_lbfgs(section)
    if section.kind == "variational" and section.code_activation != "linear":
        yield Contradiction(
            ("autoencoder.code_activation", "autoencoder.kind"),
            "the code of `kind: variational` is kept near N(0, I) and must be able to be negative;"
            " use `linear`",
        )
    if section.texture and config.data.kind != "image":
        yield Contradiction(
            ("autoencoder.texture", "data.kind"),
            f"is of images, and the data is {config.data.kind}; leave it out",
        )
    if section.contraction and section.normalization == "batch":
        yield Contradiction(
            ("autoencoder.normalization", "autoencoder.contraction"),
            "`batch` mixes the samples of a batch, so a penalty on the Jacobian of each sample means"
            " nothing; use `layer` or `group`, or set `contraction: 0`",
        )
    if section.kind == "denoising" and section.noise == "masking" and section.noise_level >= 1:
        yield Contradiction(
            ("autoencoder.noise_level", "autoencoder.noise"),
            f"is the share of values that is masked and must be below 1, received"
            f" {section.noise_level:g}",
        )


def _of_the_gan(config: Config) -> Iterator[Contradiction]:
    gan = config.gan
    if gan.optimizer == "lbfgs":
        yield Contradiction(
            ("gan.optimizer",),
            "`lbfgs` minimises one loss and a GAN has two that pull against each other; use `adam`",
        )
    yield from _of_the_discriminator(gan)
    if gan.draws_per_sample > 1 and gan.objective not in OF_RATIOS:
        yield Contradiction(
            ("gan.draws_per_sample", "gan.objective"),
            f"weighs draws by the ratio of densities, which the logit of `{gan.objective}` does not"
            f" estimate; use 1, or one of {', '.join(f'`{o}`' for o in OF_RATIOS)}",
        )
    if not gan.generator_learns:
        yield from _of_a_generator_that_stays(gan)
    if gan.augment and not (gan.space == "data" and config.data.kind == "image"):
        yield Contradiction(
            ("gan.augment", "gan.space", "data.kind"),
            "changes images before the discriminator sees them and needs `space: data` and `data.kind:"
            f" image`, received {gan.space!r} and {config.data.kind!r}; use []",
        )


def _of_a_generator_that_stays(gan: Gan) -> Iterator[Contradiction]:
    """There must be something to stay at, and something to learn."""
    if gan.prior != "mixture":
        yield Contradiction(
            ("gan.learning_rate", "gan.prior"),
            "0 leaves the generator where it starts, which with `prior: normal` is noise; use `mixture`,"
            " or a rate above 0",
        )
    if gan.draws_per_sample == 1 or not gan.discriminator_learning_rate:
        yield Contradiction(
            ("gan.learning_rate", "gan.draws_per_sample", "gan.discriminator_learning_rate"),
            "0 leaves the generator at the mixture, so the discriminator must learn to choose among its"
            f" draws: received {gan.draws_per_sample} of them and a rate of"
            f" {gan.discriminator_learning_rate}; set draws_per_sample above 1 and"
            " discriminator_learning_rate, or a rate above 0",
        )
    if gan.generator_steps > 1:
        yield Contradiction(
            ("gan.generator_steps", "gan.learning_rate"),
            "are of a generator that learns, and 0 leaves it at the mixture; leave it out, or set a rate"
            " above 0",
        )


def _of_the_discriminator(gan: Gan) -> Iterator[Contradiction]:
    """What bounds its slope, and what would undo that."""
    penalties = [name for name in ("gamma", "interpolation_penalty") if getattr(gan, name)]
    if gan.discriminator_normalization == "batch" and penalties:
        yield Contradiction(
            ("gan.discriminator_normalization", *(f"gan.{name}" for name in penalties)),
            "`batch` mixes the samples of a batch, so a penalty on the gradient of each sample means"
            f" nothing; use `layer` or `group`, or set `{penalties[0]}: 0`",
        )
    if gan.spectral_normalization and gan.network == "recurrent":
        yield Contradiction(
            ("gan.spectral_normalization", "gan.network"),
            "divides no matrix of a `recurrent` layer, so it would bound no slope; use `gamma` or"
            " `interpolation_penalty`",
        )
    if gan.objective == "wasserstein" and not (penalties or gan.spectral_normalization):
        yield Contradiction(
            ("gan.interpolation_penalty", "gan.objective"),
            "`objective: wasserstein` needs a discriminator whose slope is bounded; set it to 10, or"
            " `spectral_normalization: true`",
        )
