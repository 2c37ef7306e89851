"""Mixed precision: what a training step computes in bfloat16, and that nothing else is."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from aegan import gan, training
from aegan.autoencoder import AutoencoderLearner, plan
from aegan.checkpoints import Checkpoints
from aegan.config_file import validate
from aegan.errors import ConfigError
from aegan.precision import forward
from aegan.programs import Learner
from aegan.store import open_store
from tests.conftest import tiny

SHAPES = {
    "dense": ("tabular", (12,)),
    "conv": ("image", (8, 8, 1)),
    "recurrent": ("sequence", (6, 3)),
}


def examples(shape: tuple[int, ...]) -> Any:
    """Rows of three factors, so that there is something to learn."""
    random = np.random.default_rng(0)
    factors = random.random((400, 3)) @ random.random((3, int(np.prod(shape)))) / 3
    return factors.reshape(400, *shape).astype(np.float32)


def learner_and_plan(stage: str, network: str, **section: Any) -> tuple[Any, Any]:
    kind, shape = SHAPES[network]
    section |= {"network": network, "hidden": [16], "steps": 150, "batch_size": 32}
    section |= {"space": "data", "gamma": 0.1} if stage == "gan" else {"validate_every": 50}
    tree = tiny(**{stage: section}, data={"source": "x", "kind": kind})
    config = validate(tree, "test")
    if stage == "gan":
        return gan.GanLearner(config, shape, None), gan.plan(config)
    return AutoencoderLearner(config, shape, examples(shape)[:50]), plan(config)


def kinds_of_products(learner: Learner, x: Any) -> set[Any]:
    """Types of the matrix products and convolutions of an update's forward and backward passes.

    But for sums, which are products with ones (`aegan.sums`) and always in float32.
    """
    update = tf.function(learner.update, autograph=False)
    graph = update.get_concrete_function(x[:32], tf.TensorSpec([], tf.int32)).graph
    names = ("MatMul", "BatchMatMulV2", "Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter")
    products = (op for op in graph.get_operations() if op.type in names)
    return {op.outputs[0].dtype for op in products if "MatVec" not in op.name}


@pytest.mark.parametrize("network", SHAPES)
@pytest.mark.parametrize("stage", ["autoencoder", "gan"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_all_products_of_a_step_are_of_that_precision(
    stage: str, network: str, precision: str
) -> None:
    learner, _ = learner_and_plan(stage, network, precision=precision)
    assert kinds_of_products(learner, examples(SHAPES[network][1])) == {tf.as_dtype(precision)}
    assert {weight.dtype for weight in learner.state()} <= {tf.float32, tf.int32, tf.int64}


@pytest.mark.parametrize("network", SHAPES)
def test_training_reaches_what_float32_reaches(network: str, tmp_path: Any) -> None:
    reached = {}
    for precision in ("float32", "bfloat16"):
        learner, budget = learner_and_plan("autoencoder", network, precision=precision)
        checkpoints = Checkpoints(open_store(str(tmp_path / precision)), "checkpoints", "s")
        history = training.train(
            learner, examples(learner.encoder.input_shape[1:]), budget, checkpoints
        )
        reached[precision] = history[-1]["validation_loss"]
        assert history[-1]["loss"] < history[0]["loss"]
        assert learner.encoder(examples(learner.encoder.input_shape[1:])).dtype == tf.float32
        assert {layer.compute_dtype for layer in learner.encoder.layers} == {"float32"}
    assert reached["bfloat16"] == pytest.approx(reached["float32"], rel=0.25)
    assert reached["bfloat16"] != reached["float32"]


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_spectral_normalisation_divides_the_weights_in_float32(network: str) -> None:
    learner, _ = learner_and_plan("gan", network, precision="bfloat16", spectral_normalization=True)
    x = examples(SHAPES[network][1])[:32]
    expected = keras.models.clone_model(learner.discriminator)
    expected.set_weights(learner.discriminator.get_weights())
    logits = forward(expected, x, "float32"), forward(learner.discriminator, x, "bfloat16")
    assert np.any(logits[0] != logits[1])
    for one, other in zip(expected.weights, learner.discriminator.weights, strict=True):
        assert np.array_equal(one, other), one.path
    assert tf.bfloat16 in kinds_of_products(learner, x)
    tf.function(learner.update, autograph=False)(x, tf.constant(0))
    assert all(np.isfinite(weight.numpy()).all() for weight in learner.state())


def test_outputs_are_float32_and_policies_are_put_back_after_an_error() -> None:
    learner, _ = learner_and_plan("autoencoder", "dense")
    assert forward(learner.encoder, examples((12,))[:4], "bfloat16").dtype == tf.float32
    with pytest.raises(ValueError, match="incompatible"):
        forward(learner.encoder, tf.zeros((4, 5)), "bfloat16")
    assert {layer.compute_dtype for layer in learner.encoder.layers} == {"float32"}


def test_refused_in_full_batch() -> None:
    tree = tiny(autoencoder={"batch": "full", "precision": "bfloat16"})
    with pytest.raises(ConfigError, match="precision.*not be the exact gradient"):
        validate(tree, "test")
