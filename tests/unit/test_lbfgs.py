"""L-BFGS on functions whose search goes too far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from aegan import training
from aegan.autoencoder import AutoencoderLearner, plan
from aegan.checkpoints import Checkpoints
from aegan.config_file import validate
from aegan.errors import TrainingError
from aegan.full_batch import FullBatch
from aegan.lbfgs import Lbfgs
from aegan.store import open_store
from tests.conftest import tiny

FULL = {"batch": "full", "optimizer": "lbfgs", "sparsity": 0.1}
DATA = {"source": "x", "kind": "tabular"}


class Barrier:
    """w - log w, which is no number left of 0 and lowest at 1.

    From the right, where it is nearly straight, the second search begins far left of 0.
    """

    def __init__(self, start: float):
        self.phases, self.scale = 1, tf.Variable(1.0)
        self.weight = keras.Variable(np.array([start], np.float32))
        self._descent = Lbfgs([self.weight], num_losses=2)

    def gradients(self, _: int, batch: Any, step: Any, part: Any) -> Any:
        rows, w = tf.cast(tf.shape(batch)[0], tf.float32), self.weight.value
        loss = tf.reduce_sum(w - tf.math.log(w))
        slope = tf.where(w > 0, 1 - 1 / w, np.nan)
        return [rows * slope], {"loss": rows * loss, "twice": 2 * rows * loss}

    def apply(self, _: int, gradients: list[Any], losses: dict[str, Any]) -> dict[str, Any]:
        return self._descent.apply(gradients, losses)


def ran(learner: Any, steps: int) -> tuple[int, dict[str, float]]:
    """At which step it was not finite, or -1, and the mean metrics."""
    budget = plan(validate(tiny(autoencoder={"batch": "full"}, data=DATA), "test"))
    program = FullBatch(learner, np.zeros((6, 1), np.float32), budget, streamed=False)
    bad, totals = program.run(0, steps, [0.0] * len(program.names))
    return bad, dict(zip(program.names, np.array(totals) / steps, strict=True))


def test_a_point_without_a_finite_loss_is_too_far_and_the_search_goes_on() -> None:
    learner = Barrier(10.0)
    bad, means = ran(learner, 40)
    assert bad == -1
    assert learner.weight.numpy()[0] == pytest.approx(1.0, abs=1e-3)
    assert means["twice"] == pytest.approx(2 * means["loss"])
    assert 1 <= means["loss"] <= 10 - np.log(10)


def test_what_is_not_finite_from_the_start_is_told() -> None:
    assert ran(Barrier(-1.0), 3)[0] == 0


def test_all_of_an_autoencoders_losses_are_told() -> None:
    x = np.random.default_rng(0).random((60, 8, 8, 1), np.float32)
    section = FULL | {"hidden": [4], "texture": 0.5}
    config = validate(tiny(autoencoder=section), "test")
    learner = AutoencoderLearner(config, (8, 8, 1), x[:9])
    program = FullBatch(learner, x, plan(config), streamed=False)
    _, totals = program.run(0, 1, [0.0] * len(program.names))
    told = dict(zip(program.names, totals, strict=True))
    terms = {"reconstruction", "sparsity", "texture"}
    assert set(told) == {"gradient_norm", "learning_rate", "loss"} | terms
    assert told["loss"] == pytest.approx(sum(told[name] for name in terms))


def test_when_nothing_is_finite_it_is_told_what_would_help(tmp_path: Path) -> None:
    x = np.full((60, 5), 1e30, np.float32)
    config = validate(tiny(autoencoder=FULL | {"hidden": [4], "steps": 3}, data=DATA), "test")
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_autoencoder")
    with pytest.raises(
        TrainingError, match=r"at step 0, and L-BFGS .* take another autoencoder\.optimizer"
    ) as told:
        training.train(AutoencoderLearner(config, (5,), x[:9]), x, plan(config), checkpoints)
    assert "back_off" not in str(told.value)
