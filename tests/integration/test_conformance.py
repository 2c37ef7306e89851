"""Every preset, with every network that its data allows and every objective, on the digits.

No preset is of sequences: recurrent networks see the rows of each digit one after the other.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from aegan import gan, latent, training
from aegan.autoencoder import AutoencoderLearner, plan
from aegan.checkpoints import Checkpoints
from aegan.config import Config
from aegan.config_file import load_config, preset_names
from aegan.objectives import ADVERSARIAL
from aegan.store import open_store

HIDDEN = {"dense": "[64, 32]", "conv": "[16, 8]", "recurrent": "[16]"}
DIGITS = ["data.source=digits", "data.sha256={}"]
SEQUENCES = ["data.kind=sequence", "autoencoder.network=recurrent", "autoencoder.texture=0"]
CASES = [*itertools.product(preset_names(), ["dense", "conv"]), ("digits", "recurrent")]


def digits(network: str) -> np.ndarray[Any, Any]:
    from sklearn.datasets import load_digits

    images = (load_digits().images / 16).astype(np.float32)
    return images if network == "recurrent" else images[..., np.newaxis]


def data_of(network: str) -> list[str]:
    return [*DIGITS, *(SEQUENCES if network == "recurrent" else [])]


def compiler(preset: str, network: str) -> list[str]:
    """One preset is compiled as it is by default, the others as what compiles in a third of the time."""
    return [] if preset == "digits" and network != "recurrent" else ["compiler=graph"]


@pytest.mark.parametrize("batch", ["mini", "full"])
@pytest.mark.parametrize(("preset", "network"), CASES)
def test_the_autoencoder_of_every_preset_learns(
    preset: str, network: str, batch: str, tmp_path: Any
) -> None:
    changes = [f"network={network}", f"hidden={HIDDEN[network]}", f"batch={batch}", "steps=60"]
    changes += ["validate_every=20", "batch_size=64", "weight_decay=0", "warmup_steps=0"]
    changes += compiler(preset, network)
    settings = [*data_of(network), *(f"autoencoder.{change}" for change in changes)]
    config, x = load_config(preset, settings), digits(network)
    learner = AutoencoderLearner(config, x.shape[1:], x[:100])
    before = learner.validate()
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_autoencoder")
    history = training.train(learner, x, plan(config), checkpoints)
    assert all(np.isfinite(list(record.values())).all() for record in history)
    assert history[-1]["validation_loss"] < 0.9 * before


def gan_config(preset: str, network: str, objective: str) -> Config:
    given = load_config(preset, DIGITS).gan
    changes = [f"network={network}", f"objective={objective}", "steps=200", "batch_size=64"]
    changes += ["ema_decay=0.9", "validate_every=50"]
    changes += [f"hidden={HIDDEN[network]}"] if network != "dense" or given.hidden else []
    changes += ["space=data", "prior=normal"] if network != "dense" else []
    rate = 3e-3 if network == "recurrent" else 1e-3  # few weights, which take longer to move
    changes += [f"learning_rate={rate}", "draws_per_sample=1", *compiler(preset, network)]
    # A discriminator of bounded slope, or the minimax generator learns nothing once it is found out.
    changes += ["gamma=0" if objective == "wasserstein" else "gamma=0.1"]
    if objective == "wasserstein":
        changes += ["interpolation_penalty=10"]
    return load_config(preset, [*data_of(network), *(f"gan.{change}" for change in changes)])


def distance(learner: Any, config: Config, x: np.ndarray[Any, Any], mixture: Any) -> float:
    """Of the means: the first thing that any objective teaches, within 200 steps."""
    noise = gan.draw_noise(mixture, config.gan.noise_size, 1000, tf.constant([3, 3]))
    return float(np.linalg.norm(x.mean(axis=0) - np.asarray(learner.average(noise)).mean(axis=0)))


@pytest.mark.parametrize("objective", sorted(ADVERSARIAL))
@pytest.mark.parametrize(("preset", "network"), CASES)
def test_the_gan_of_every_preset_comes_nearer_to_the_data(
    preset: str, network: str, objective: str, tmp_path: Any
) -> None:
    config, x = gan_config(preset, network, objective), digits(network)
    mixture = None
    if config.gan.space == "latent":
        flat = x.reshape(len(x), -1)
        x = latent.fit_whitening(flat).apply(flat)[:, -8:] + 1.5
        mixture = latent.standard_gaussian(8) if config.gan.prior == "mixture" else None
    learner = gan.GanLearner(config, x.shape[1:], mixture)
    before = distance(learner, config, x, mixture)
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_gan")
    short = replace(gan.plan(config), patience=None)
    history = training.train(learner, x, short, checkpoints)
    assert all(np.isfinite(list(record.values())).all() for record in history)
    after = distance(learner, config, x, mixture)
    assert after < before
