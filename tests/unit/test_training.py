"""The loop when something goes wrong: numbers that are none, too little memory, strange files."""

from __future__ import annotations

import math
import os
import re
import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from aegan import gan, training
from aegan.autoencoder import AutoencoderLearner, plan
from aegan.checkpoints import Checkpoints
from aegan.config import Config
from aegan.config_file import validate
from aegan.data.shards import Shards
from aegan.errors import StoreError, TrainingError
from aegan.evaluation.metrics import frechet_distance
from aegan.narration import heard_by
from aegan.store import open_store
from aegan.training_failures import explained, stage_explained
from tests.conftest import tiny

DATA = {"source": "x", "kind": "tabular"}
X = np.random.default_rng(0).random((300, 6), np.float32)


def config(**section: Any) -> Config:
    section = {"steps": 120, "validate_every": 20, "optimizer": "sgd"} | section
    return validate(tiny(autoencoder=section, data=DATA, normalize={"method": "standard"}), "test")


def train(settings: Config, root: Any) -> tuple[Any, Any]:
    learner = AutoencoderLearner(settings, (6,), X[:50])
    checkpoints = Checkpoints(open_store(str(root)), "checkpoints", "train_autoencoder")
    return learner, training.train(learner, X, plan(settings), checkpoints)


@pytest.mark.parametrize("batch", ["mini", "full"])
def test_backing_off_halves_the_rate_until_the_loss_is_finite(
    batch: str, tmp_path: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = config(learning_rate=1000.0, schedule="constant", back_off=20, batch=batch)
    learner, history = train(settings, tmp_path)
    said = capfd.readouterr().err
    halved = said.count("back to the last evaluation")
    assert halved >= 3
    assert float(learner.scale.numpy()) == 0.5**halved
    assert all(np.isfinite(list(record.values())).all() for record in history)
    assert [record["step"] for record in history] == [20, 40, 60, 80, 100, 120]
    assert history[-1]["learning_rate"] == pytest.approx(1000 * 0.5**halved)


def test_without_back_off_it_stops_and_says_what_to_try(tmp_path: Any) -> None:
    with pytest.raises(TrainingError, match="no longer finite at step .* autoencoder.back_off: 3"):
        train(config(learning_rate=1000.0), tmp_path)


def test_after_the_last_back_off_it_stops(tmp_path: Any) -> None:
    with pytest.raises(TrainingError, match="after 1 times at half the learning rate"):
        train(config(learning_rate=1e6, back_off=1), tmp_path)


@pytest.mark.parametrize(("lost", "number"), [(4, 1), (4, 2), (9, 2)])
def test_a_further_step_of_the_generator_that_is_not_finite_is_told(
    lost: int, number: int, tmp_path: Any
) -> None:
    section = {"space": "data", "steps": 10, "generator_steps": 3}
    settings = validate(tiny(gan=section, data=DATA), "test")
    learner = gan.GanLearner(settings, (6,), None)
    further = learner._generator_gradients

    def spoiled(*arguments: Any) -> Any:
        gradients, losses = further(*arguments)
        spoilt = tf.equal(learner._descents[1].updates, 3 * lost + number)
        return [tf.where(spoilt, math.nan, gradient) for gradient in gradients], losses

    learner._generator_gradients = spoiled  # type: ignore[method-assign]
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_gan")
    with pytest.raises(TrainingError, match=rf"no longer finite at step {lost};"):
        training.train(learner, X, gan.plan(settings), checkpoints)


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite_is_backed_off_from(
    lost: float, tmp_path: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = config(learning_rate=1e-3, schedule="constant", back_off=1)
    learner = AutoencoderLearner(settings, (6,), X[:50])
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_autoencoder")
    validate_once, validations = learner.validate, []

    def losing() -> float:
        validations.append(1)
        return lost if len(validations) == 2 else validate_once()

    learner.validate = losing  # type: ignore[method-assign]
    history = training.train(learner, X, plan(settings), checkpoints)
    said = capfd.readouterr().err
    assert "the validation loss is no longer finite at step 40: back to the last" in said
    assert [record["step"] for record in history] == [20, 40, 60, 80, 100, 120]
    assert all(np.isfinite(list(record.values())).all() for record in history)
    assert history[1]["learning_rate"] == pytest.approx(0.5 * history[0]["learning_rate"])


def test_a_validation_loss_that_is_not_finite_ends_a_training_that_cannot_back_off(
    tmp_path: Any,
) -> None:
    settings = config(learning_rate=1e-3, checkpoint_seconds=1e-9)
    for _ in range(2):  # a second attempt finds nothing in the checkpoint that it cannot read
        learner = AutoencoderLearner(settings, (6,), X[:50])
        learner.validate = lambda: math.nan  # type: ignore[method-assign]
        checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_autoencoder")
        guidance = r"validation loss is no longer finite at step 20; lower autoencoder\.learning"
        with pytest.raises(TrainingError, match=guidance):
            training.train(learner, X, plan(settings), checkpoints)


def test_after_a_back_off_progress_counts_from_there(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AEGAN_PROGRESS_SECONDS", "0")
    monkeypatch.setattr(training, "PROGRAM_SECONDS", 0.0)  # a step in each call
    settings = config(learning_rate=1e-3, back_off=1)

    def stop(event: str, text: str) -> None:
        if event == "progress" and text.startswith("step 35/"):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit), heard_by(stop):
        train(settings, tmp_path)
    learner = AutoencoderLearner(settings, (6,), X[:50])
    of_a_piece = learner.gradients

    def explode(phase: int, batch: Any, step: Any, part: Any) -> Any:
        exploded = tf.equal(step, 37) & tf.equal(learner.scale, 1.0)
        gradients, _ = of_a_piece(phase, batch, step, part)
        return gradients, {"loss": tf.where(exploded, math.nan, 1.0)}

    learner.gradients = explode  # type: ignore[method-assign]
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_autoencoder")
    training.train(learner, X, plan(settings), checkpoints)
    said = capfd.readouterr().err
    assert "resumed at step 35" in said
    assert "no longer finite at step 37: back to the last evaluation" in said
    rates = re.findall(r"(\S+) samples/s", said)
    assert len(rates) > 100
    assert not [rate for rate in rates if rate.startswith("-")]


def test_what_is_no_better_than_the_best_does_not_count_as_better(tmp_path: Any) -> None:
    section = {"space": "data", "steps": 400, "validate_every": 5, "patience": 2}
    settings = validate(tiny(gan=section, data=DATA), "test")
    constant = 0.1  # which float32 rounds up
    assert float(np.float32(constant)) > constant
    learner = gan.GanLearner(settings, (6,), None, lambda _: constant)
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_gan")
    history = training.train(learner, X, gan.plan(settings), checkpoints)
    assert [record["step"] for record in history] == [5, 10, 15]


def test_advice_to_the_classifier_of_scores_names_what_can_be_changed(tmp_path: Any) -> None:
    settings = config(learning_rate=1000.0)
    of_evaluation = replace(plan(settings), stage="evaluate")
    learner = AutoencoderLearner(settings, (6,), X[:50])
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "evaluate")
    with pytest.raises(TrainingError, match=r"extreme values in .* evaluation\.feature_steps") as e:
        training.train(learner, X, of_evaluation, checkpoints)
    assert "evaluate." not in str(e.value)
    with (
        pytest.raises(TrainingError, match="out of memory .* fewer or smaller examples") as e,
        explained(of_evaluation),
    ):
        raise MemoryError
    assert "evaluate." not in str(e.value)


def test_messages_of_a_training_in_units_name_its_steps(
    tmp_path: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    section = {"space": "data", "steps": 3, "batch": "full", "micro_batch_size": 16}
    settings = validate(tiny(gan=section | {"checkpoint_seconds": 1e-9}, data=DATA), "test")
    learner = gan.GanLearner(settings, (6,), None)
    checkpoints = Checkpoints(open_store(str(blocked)), "checkpoints", "train_gan")
    training.train(learner, X, gan.plan(settings), checkpoints)
    said = capfd.readouterr().err
    steps = {int(step) for step in re.findall(r"the checkpoint of step (\d+) could not", said)}
    assert steps
    assert steps <= {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("batch", "number"),
    [("mini", r"batch_size \(it is 64"), ("full", r"micro_batch_size \(it is 32")],
)
@pytest.mark.parametrize("section", ["autoencoder", "gan"])
def test_too_little_memory_names_the_number_to_lower(
    section: str, batch: str, number: str, tmp_path: Any
) -> None:
    sizes = {"batch": batch, "batch_size": 64, "micro_batch_size": 32, "compiler": "graph"}
    space = {"space": "data", "hidden": [8]} if section == "gan" else {"hidden": [300]}
    settings = validate(tiny(data=DATA, **{section: sizes | space}), "test")
    learner: Any = AutoencoderLearner(settings, (6,), X[:50])
    of_training = plan(settings)
    if section == "gan":
        learner, of_training = gan.GanLearner(settings, (6,), None), gan.plan(settings)

    def greedy(found: Any) -> Any:
        """What a learner does, and far more memory than there is."""
        losses = found[1] if isinstance(found, tuple) else found
        name = next(name for name in losses if name.endswith("loss"))
        huge = tf.fill([2**20, 2**20, 64], losses[name])  # XLA would see through it
        losses[name] = tf.reduce_sum(huge)
        return found

    update, gradients = learner.update, learner.gradients
    learner.update = lambda *arguments: greedy(update(*arguments))
    learner.gradients = lambda *arguments: greedy(gradients(*arguments))
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", f"train_{section}")
    told = rf"out of memory; lower {section}.{number}.* \(.*(OOM|[Aa]lloc)"
    with pytest.raises(TrainingError, match=told):
        training.train(learner, X, of_training, checkpoints)


def test_too_little_memory_besides_the_steps_is_told_too() -> None:
    told = r"train_gan: out of memory besides the steps .* lower gan.hidden, .* \(.*OOM when"
    with pytest.raises(TrainingError, match=told), stage_explained("train_gan"):
        tf.fill([2**20, 2**20, 64], 1.0)


def test_a_checkpoint_of_another_network_is_passed_over_and_changes_nothing(
    tmp_path: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_gan")
    checkpoints.save(7, [tf.Variable([1.0, 2.0]), tf.Variable([3.0])], {})
    variables = [tf.Variable([8.0, 9.0]), tf.Variable([[5.0]])]
    assert checkpoints.restore(variables) == (0, {})
    assert [v.numpy().tolist() for v in variables] == [[8.0, 9.0], [[5.0]]]
    assert "passed over the checkpoint of step 7: it is of another" in capfd.readouterr().err


def test_a_place_that_cannot_be_written_does_not_end_the_training(
    tmp_path: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    checkpoints = Checkpoints(open_store(str(blocked)), "checkpoints", "train_gan")
    checkpoints.begin(5, [tf.Variable(1.0)], {})
    checkpoints.finish()
    assert "could not be written, training goes on" in capfd.readouterr().err
    with pytest.raises(StoreError):
        checkpoints.save(6, [tf.Variable(1.0)], {})


def test_what_is_written_is_what_the_variables_held_when_it_began(tmp_path: Any) -> None:
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_gan")
    variable = tf.Variable([1.0, 2.0])
    checkpoints.begin(5, [variable], {})
    variable.assign([7.0, 7.0])
    checkpoints.finish()
    assert checkpoints.restore([variable])[0] == 5
    assert variable.numpy().tolist() == [1.0, 2.0]


@pytest.mark.parametrize("draws", [1, 2])
def test_a_gan_stops_when_its_samples_come_no_nearer_and_keeps_the_nearest(
    draws: int, tmp_path: Any
) -> None:
    section = {"space": "data", "steps": 2000, "validate_every": 25, "patience": 4}
    section |= {"learning_rate": 3e-3, "gamma": 0.1, "objective": "non_saturating"}
    section |= {"draws_per_sample": draws}
    settings = validate(tiny(gan=section, data=DATA), "test")
    learner = gan.GanLearner(settings, (6,), None, lambda samples: frechet_distance(X, samples))
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_gan")
    history = training.train(learner, X, gan.plan(settings), checkpoints)
    distances = [record["validation_loss"] for record in history]
    assert len(history) - 1 - int(np.argmin(distances)) == 4
    assert history[-1]["step"] < 2000
    assert learner.validate() == pytest.approx(min(distances), rel=1e-5)


def test_shards_are_read_as_one_array() -> None:
    parts = [X[:100], X[100:110], X[110:]]
    shards = Shards(parts)
    rows = np.array([0, 299, 105, 99, 100, 110, 5])
    assert shards.shape == X.shape
    assert np.array_equal(shards[rows], X[rows])
    assert np.array_equal(shards[95:115], X[95:115])
    assert np.array_equal(shards[-3:], X[-3:])
    assert np.array_equal(np.asarray(shards), X)


def test_shards_train_to_the_bits_of_one_array(tmp_path: Any) -> None:
    found = []
    for number, examples in enumerate((X, Shards([X[:70], X[70:]]))):
        settings = config(residency="streamed", learning_rate=1e-3)
        learner = AutoencoderLearner(settings, (6,), X[:50])
        store = open_store(str(tmp_path / str(number)))
        checkpoints = Checkpoints(store, "checkpoints", "train_autoencoder")
        training.train(learner, examples, plan(settings), checkpoints)
        found.append([v.numpy() for v in learner.weights()])
    assert math.isfinite(found[0][0].sum())
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
