"""What can be sampled from after training, and what people call it."""

from __future__ import annotations

from aegan.config import Config

GAN, MIXTURE, PRIOR = "gan", "mixture", "prior"
GAUSSIAN = "gaussian"
"""The trivial sampler: exported as a baseline, never published."""

TITLES = {
    GAN: "GAN",
    MIXTURE: "Gaussian mixture on codes",
    PRIOR: "prior of the variational autoencoder",
    GAUSSIAN: "single Gaussian on codes",
    "reconstructions": "reconstructions of test data",
    "real_train": "real training data",
}
"""Of the rows of every table of scores, in their order."""


def candidates(config: Config) -> tuple[str, ...]:
    """The samplers of which the best is published; each knows the classes if the GAN has to."""
    variational = config.autoencoder.kind == "variational"
    with_prior = variational and not config.gan.conditional
    return (GAN, MIXTURE, PRIOR) if with_prior else (GAN, MIXTURE)
