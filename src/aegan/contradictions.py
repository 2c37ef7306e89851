"""Settings that are valid each for themselves and cannot mean anything together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aegan.config import Config


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
    for name, section in (("autoencoder", config.autoencoder), ("gan", gan)):
        if section.network == "conv" and data.kind != "image":
            yield Contradiction(
                (f"{name}.network", "data.kind"),
                f"`conv` needs `data.kind: image`, received {data.kind!r}; use `dense`",
            )
    if gan.space == "data" and gan.prior == "mixture":
        yield Contradiction(
            ("gan.prior", "gan.space"),
            "`mixture` is a mixture of the autoencoder's codes and needs `space: latent`;"
            " use `prior: normal` with `space: data`",
        )
    if gan.space == "latent" and gan.network == "conv":
        yield Contradiction(
            ("gan.network", "gan.space"),
            "`conv` needs images and a code is a vector; use `dense`, or `space: data`",
        )
    for metric, bound in config.evaluation.thresholds.items():
        if bound.min is not None and bound.max is not None and bound.min > bound.max:
            yield Contradiction(
                (f"evaluation.thresholds.{metric}.min", f"evaluation.thresholds.{metric}.max"),
                f"no value is at least {bound.min:g} and at most {bound.max:g}; lower it, or raise"
                " `max`",
            )
