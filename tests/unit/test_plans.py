"""What is refused before a training begins, for the machine that it runs on."""

from __future__ import annotations

from typing import Any

import pytest

from aegan.config import Config
from aegan.config_file import validate
from aegan.errors import TrainingError
from aegan.plans import require_separable
from tests.conftest import tiny


def settings(**sections: Any) -> Config:
    return validate(tiny(**sections), "test")


def test_free_bits_are_refused_on_several_devices() -> None:
    section = settings(autoencoder={"kind": "variational", "free_bits": 0.1}).autoencoder
    require_separable(section, 1)
    with pytest.raises(TrainingError, match=r"free_bits .* of the 2 GPUs' shares; leave it out"):
        require_separable(section, 2)


def test_batch_normalisation_is_refused_on_several_devices() -> None:
    batch = {"discriminator_normalization": "batch", "gamma": 0.0}
    for section in (
        settings(autoencoder={"normalization": "batch"}).autoencoder,
        settings(gan=batch).gan,
    ):
        require_separable(section, 1)
        with pytest.raises(TrainingError, match="`batch` normalisation .* of the 3 GPUs' shares"):
            require_separable(section, 3)


def test_what_goes_sample_by_sample_is_shared() -> None:
    config = settings(autoencoder={"kind": "variational", "normalization": "layer"})
    require_separable(config.autoencoder, 2)
    require_separable(config.gan, 2)
