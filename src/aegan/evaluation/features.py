"""The space that generative scores are computed in: features of a small classifier of the real data.

Without labels, or with one class only, the classifier stays untrained: random features still tell
distributions apart, if less sharply (Naeem et al. 2020, section 4.1).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aegan import networks, training
from aegan.batches import in_batches
from aegan.checkpoints import Checkpoints
from aegan.config import Config
from aegan.data.dataset import Dataset
from aegan.plans import Plan, use_xla
from aegan.store import open_store

Array = np.ndarray[Any, Any]
Tensor = Any

FEATURE_SIZE = 128
LEARNING_RATE = 1e-3
BATCH_SIZE = 128


class ClassifierLearner:
    """A classifier trained with cross-entropy on (example, label) pairs.

    The label rides in front of the flattened example, since a batch is one array.
    """

    def __init__(self, network: str, shape: tuple[int, ...], num_classes: int, seed: int):
        """Build the network for examples [*shape]."""
        self._shape, self._num_classes = shape, num_classes
        self.network = networks.classifier(network, shape, max(2, num_classes), FEATURE_SIZE, seed)
        self._optimizer = keras.optimizers.Adam(LEARNING_RATE)
        self._optimizer.build(self.network.trainable_variables)

    def update(self, batch: Tensor, step: Tensor) -> dict[str, Tensor]:
        """One step on [B, 1 + prod(shape)]: label, then example."""
        labels = tf.cast(batch[:, 0], tf.int32)
        examples = tf.reshape(batch[:, 1:], (-1, *self._shape))
        with tf.GradientTape() as tape:
            _, logits = self.network(examples, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, [v.value for v in self.network.trainable_variables])
        self._optimizer.apply(gradients, self.network.trainable_variables)
        return {"loss": loss}

    def validate(self) -> None:
        """Nothing to choose: the last weights do."""
        return

    def state(self) -> list[Any]:
        """Weights and optimiser slots."""
        return self.weights() + [v.value for v in self._optimizer.variables]

    def weights(self) -> list[Any]:
        """Weights of the network."""
        return [v.value for v in self.network.variables]


def feature_extractor(dataset: Dataset, config: Config) -> tuple[Callable[[Array], Array], str]:
    """A function from normalised examples [N, ...] to features [N, 128], and what it is in words."""
    is_image = len(dataset.shape) == 3 and min(dataset.shape[:2]) >= 8
    network = "conv" if is_image else "dense"
    learner = ClassifierLearner(
        network, dataset.shape, dataset.num_classes, config.seed * 1000 + 800
    )
    kind = {"conv": "convolutional", "dense": "dense"}[network]
    if dataset.num_classes > 1:
        accuracy = _train(learner, dataset, config, network)
        description = (
            f"{FEATURE_SIZE} features of a small {kind} classifier trained on the real training"
            f" split (test accuracy {accuracy:.3f})"
        )
    else:
        why = "there are no labels" if dataset.num_classes == 0 else "all labels are the same"
        description = f"{FEATURE_SIZE} features of a random {kind} network ({why})"
    function = tf.function(lambda x: learner.network(x)[0], autograph=False)

    def extract(examples: Array) -> Array:
        return in_batches(function, np.asarray(examples, np.float32))

    return extract, description


def _train(learner: ClassifierLearner, dataset: Dataset, config: Config, network: str) -> float:
    features, labels = dataset.features("train"), dataset.labels("train")
    assert labels is not None  # num_classes > 1
    column = labels[:, np.newaxis].astype(np.float32)
    pairs = np.concatenate([column, features.reshape(len(features), -1)], axis=1)
    plan = Plan(
        stage="evaluate",
        seed=config.seed + 2,
        batch_size=min(BATCH_SIZE, len(pairs)),
        steps=config.evaluation.feature_steps,
        validate_every=config.evaluation.feature_steps,
        patience=None,
        checkpoint_seconds=float("inf"),
        xla=use_xla("auto", network),
    )
    with tempfile.TemporaryDirectory() as scratch:  # short enough to start again
        training.train(
            learner,
            pairs,
            plan,
            Checkpoints(open_store(scratch), "checkpoints", "evaluate"),
        )
    classify = tf.function(lambda x: tf.argmax(learner.network(x)[1], axis=1), autograph=False)
    found = in_batches(classify, dataset.features("test"))
    return float((found == dataset.labels("test")).mean())
