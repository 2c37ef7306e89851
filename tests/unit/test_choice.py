"""Samples that a discriminator chooses among several draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from aegan import export, gan, latent, training
from aegan.checkpoints import Checkpoints
from aegan.config_file import validate
from aegan.data.normalizer import Normalizer
from aegan.store import open_store
from tests.conftest import tiny

AS_IT_IS = Normalizer("standard", np.float32(0), np.float32(1), "float32")
COUNT = 20_000


def drawn(sampler: export.Sampler, count: int = COUNT, seed: int = 5) -> Any:
    sample = export.GeneratorExport(sampler).sample
    return sample(tf.constant(count), tf.constant(seed)).numpy()


def test_many_draws_weighed_by_the_ratio_of_densities_have_the_density_of_the_data() -> None:
    shift = 0.5  # N(shift, 1) is N(0, 1) times exp(shift · x), but for a constant
    sampler = export.Sampler(
        None,
        latent.standard_gaussian(1),
        4,
        None,
        AS_IT_IS,
        (1,),
        choice=(lambda x: shift * x, 32),
    )
    samples = drawn(sampler)
    assert samples.mean() == pytest.approx(shift, abs=0.03)
    assert samples.std() == pytest.approx(1, abs=0.03)
    assert np.array_equal(drawn(sampler, 300), samples[:300])


@pytest.mark.parametrize("rate", [0.0, 1e-9])
@pytest.mark.parametrize("objective", ["relativistic", "minimax"])
def test_a_trained_discriminator_restores_shares_that_the_generator_has_wrong(
    objective: str, rate: float, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    mixture = latent.Mixture(
        np.log(np.array([0.5, 0.5], np.float32)),
        np.array([[-1.0, 0.0], [1.0, 0.0]], np.float32),
        0.3 * np.stack([np.eye(2, dtype=np.float32)] * 2),
    )
    sides = np.where(random.random(4000) < 0.8, 1.0, -1.0)
    codes = (0.3 * random.normal(size=(4000, 2)) + sides[:, np.newaxis] * [1, 0]).astype(np.float32)
    section = {"objective": objective, "hidden": [32, 32], "batch_size": 256, "steps": 400}
    rates = {"learning_rate": rate, "discriminator_learning_rate": 3e-3, "gamma": 0.0}
    config = validate(tiny(gan=section | rates | {"draws_per_sample": 16}), "test")
    learner = gan.GanLearner(config, (2,), mixture)
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_gan")
    training.train(learner, codes, gan.plan(config), checkpoints)
    for choice, share in ((None, 0.5), ((learner.discriminator, 16), 0.8)):
        size = config.gan.noise_size
        sampler = export.Sampler(
            learner.average, mixture, size, None, AS_IT_IS, (2,), choice=choice
        )
        assert (drawn(sampler)[:, 0] > 0).mean() == pytest.approx(share, abs=0.04)
    shown = learner.preview()  # as they are published: at half of both, one in 1,000 has as many
    assert shown.shape == (64, 2)
    assert (shown[:, 0] > 0).mean() > 0.69


@pytest.mark.parametrize("batch", ["mini", "full"])
def test_a_generator_that_stays_is_the_mixture_and_takes_no_step(
    batch: str, tmp_path: Path
) -> None:
    section = {"learning_rate": 0, "discriminator_learning_rate": 1e-2, "draws_per_sample": 2}
    sizes = {"batch": batch, "hidden": [8], "batch_size": 32, "steps": 8, "validate_every": 4}
    config = validate(tiny(gan=section | sizes | {"discriminator_steps": 2}), "test")
    codes = np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)
    learner = gan.GanLearner(config, (3,), latent.standard_gaussian(3))
    assert learner.average.weights == []
    assert learner.phases == 2
    before = [np.array(weight) for weight in learner.discriminator.weights]
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_gan")
    history = training.train(learner, codes, gan.plan(config), checkpoints)
    assert not [name for name in history[-1] if name.startswith("generator")]
    assert history[-1]["discriminator_gradient_norm"] > 0
    after = learner.discriminator.weights
    assert np.any(np.array(after[0]) != before[0])
    size = config.gan.noise_size
    noise = latent.draw_noise(latent.standard_gaussian(3), size, 10, tf.constant([1, 2]))
    assert np.array_equal(learner.average(noise), noise[0])
