"""What is refused before a training begins, for the machine that it runs on."""

from __future__ import annotations

from typing import Any

import pytest

from aegan import autoencoder, plans
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


def test_xla_is_refused_on_several_devices_if_it_was_asked_for() -> None:
    section = settings(gan={"compiler": "xla"}).gan
    require_separable(section, 1)
    with pytest.raises(TrainingError, match="compiler: xla .* there are 4 GPUs"):
        require_separable(section, 4)


def test_what_goes_sample_by_sample_is_shared() -> None:
    config = settings(autoencoder={"kind": "variational", "normalization": "layer"})
    require_separable(config.autoencoder, 2)
    require_separable(config.gan, 2)


@pytest.mark.parametrize(
    ("steps", "samples", "validated", "interval"),
    [
        (5000, 256, 6000, 500),  # ten take more than a hundredth of the training
        (20_000, 128, 6000, 1563),  # 12.8 take just that
        (50_000, 256, 6000, 1000),  # 64 would, fifty are enough
        (600, 54_000, 6000, 12),
        (7, 128, 6000, 1),
        (5000, 256, 0, 100),
    ],
)
def test_evaluations_take_a_hundredth_of_a_training(
    steps: int, samples: int, validated: int, interval: int
) -> None:
    assert plans.evaluation_interval(steps, samples, validated) == interval


def test_the_splits_say_how_often_an_autoencoder_is_evaluated_unless_it_is_told() -> None:
    chosen = {"steps": 5000, "batch_size": 256, "validate_every": None}

    def plan(rows: tuple[int, int], **section: Any) -> plans.Plan:
        config = validate(tiny(autoencoder=chosen | section), "test")
        return autoencoder.plan(config, (12,), rows)

    assert plan((900, 100)).validate_every == 100
    assert plan((54_000, 6000)).validate_every == 500
    assert plan((54_000, 6000), validate_every=7).validate_every == 7
