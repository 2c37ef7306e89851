"""The space that generative scores are computed in: features of a small classifier of the real data.

Without labels, or with one class only, the classifier stays untrained: random features still tell
distributions apart, if less sharply (Naeem et al. 2020, section 4.1).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from aegan import networks, replicas, training
from aegan.batches import in_batches
from aegan.checkpoints import Checkpoints
from aegan.config import Config
from aegan.config_training import Training
from aegan.data.dataset import Dataset
from aegan.optimizers import Descent
from aegan.plans import plan_of
from aegan.store import open_store

Array = np.ndarray[Any, Any]
Tensor = Any

FEATURE_SIZE = 128
LEARNING_RATE = 1e-3
BATCH_SIZE = 128


class ClassifierLearner:
    """A classifier trained with cross-entropy on (example, label) pairs."""

    phases = 1

    def __init__(self, network: str, shape: tuple[int, ...], num_classes: int, seed: int):
        """Build the network for examples [*shape]."""
        self.network = networks.classifier(network, shape, max(2, num_classes), FEATURE_SIZE, seed)
        self.scale = tf.Variable(1.0)
        variables = self.network.trainable_variables
        self._descent = Descent(Training(schedule="constant"), LEARNING_RATE, variables, self.scale)

    def update(self, batch: tuple[Tensor, Tensor], step: Tensor) -> dict[str, Tensor]:
        """One step on examples [B, ...] and labels [B]."""
        gradients, losses = self._gradients(batch, replicas.mean)
        losses = replicas.total(losses)
        return losses | self.apply(0, gradients, losses)

    def gradients(
        self, _: int, batch: tuple[Tensor, Tensor], step: Tensor, part: Tensor
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Sums over the batch of each sample's gradients and losses."""
        return self._gradients(batch, tf.reduce_sum)

    def apply(
        self, _: int, gradients: list[Tensor], losses: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Descend by mean gradients."""
        return self._descent.apply(gradients)

    def _gradients(
        self, batch: tuple[Tensor, Tensor], reduce: Callable[[Tensor], Tensor]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        examples, labels = batch
        with tf.GradientTape() as tape:
            _, logits = self.network(examples, training=True)
            loss = reduce(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        variables = [v.value for v in self.network.trainable_variables]
        return tape.gradient(loss, variables), {"loss": loss}

    def validate(self) -> None:
        """Nothing to choose: the last weights do."""
        return

    def preview(self) -> None:
        """Nothing to look at."""
        return

    def state(self) -> list[Any]:
        """Weights and optimiser slots."""
        return self.weights() + self._descent.state()

    def weights(self) -> list[Any]:
        """Weights of the network."""
        return [v.value for v in self.network.weights]


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
    steps = config.evaluation.feature_steps
    section = Training(
        network="conv" if network == "conv" else "dense",
        batch_size=min(BATCH_SIZE, len(features)),
        steps=steps,
    )
    plan = plan_of(section, "evaluate", config.seed + 2, validate_every=steps)
    plan = replace(plan, checkpoint_seconds=math.inf)
    with tempfile.TemporaryDirectory() as scratch:  # short enough to start again
        training.train(
            learner,
            (features, labels.astype(np.int32)),
            plan,
            Checkpoints(open_store(scratch), "checkpoints", "evaluate"),
        )
    classify = tf.function(lambda x: tf.argmax(learner.network(x)[1], axis=1), autograph=False)
    found = in_batches(classify, dataset.features("test"))
    return float((found == dataset.labels("test")).mean())
