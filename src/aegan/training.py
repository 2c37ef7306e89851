"""The one training loop: restore, step, report, validate, checkpoint, stop.

Speed comes from two things: the examples lie on the device, and many steps are one compiled program.
What is computed depends on the learner, the examples and the seed, never on where the loop was
interrupted, how long a program ran or what was reported.
"""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from aegan.checkpoints import Checkpoints, History
from aegan.errors import TrainingError
from aegan.narration import Progress, narrate

Array = np.ndarray[Any, Any]
Tensor = Any

PROGRAM_STEPS = 256  # at most, in one call of the compiled program
PROGRAM_SECONDS = 0.5  # aimed at, so that progress and checkpoints are timely


class Learner(Protocol):
    """An objective and one update of what it trains."""

    def update(self, batch: Tensor, step: Tensor) -> dict[str, Tensor]:
        """Descend once.

        Args:
            batch: [B, ...] float32, normalised.
            step: int32 scalar counted from 0; all randomness derives from it and the seed.

        Returns:
            Scalars by name; `loss` is the one that must stay finite.
        """

    def validate(self) -> float | None:
        """The loss on the validation split, lower is better; None if there is nothing to choose."""

    def state(self) -> list[Any]:
        """All tf.Variables that a checkpoint must hold, in a fixed order."""

    def weights(self) -> list[Any]:
        """The tf.Variables of which the best are kept."""


@dataclass(frozen=True)
class Plan:
    """How long and how to train; see `aegan.config.Training` for the meanings."""

    stage: str
    seed: int
    batch_size: int
    steps: int
    validate_every: int
    patience: int | None
    checkpoint_seconds: float
    xla: bool


def use_xla(compiler: str, network: str) -> bool:
    """Whether to compile with XLA: measured faster for dense on CPU and for everything on GPU.

    XLA on CPU runs convolutions fifty times slower than TensorFlow's own graph.
    """
    if compiler != "auto":
        return compiler == "xla"
    return network == "dense" or bool(tf.config.list_physical_devices("GPU"))


@functools.lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, num_examples: int) -> Array:
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return generator.permutation(num_examples).astype(np.int32)


def batch_indices(seed: int, num_examples: int, batch_size: int, first: int, count: int) -> Array:
    """Which examples each step takes: endless epochs, each its own permutation, none left out.

    Returns:
        [count, batch_size] int32 for the steps first … first + count - 1.
    """
    position, end = first * batch_size, (first + count) * batch_size
    parts = []
    while position < end:
        epoch, offset = divmod(position, num_examples)
        part = _permutation(seed, epoch, num_examples)[offset : offset + end - position]
        parts.append(part)
        position += len(part)
    return np.concatenate(parts).reshape(count, batch_size)


def _program(learner: Learner, examples: Array, xla: bool) -> Any:
    """Many steps as one compiled function of (indices [S, B], first step, number of steps ≤ S)."""
    data = tf.constant(examples)

    @tf.function(jit_compile=xla, autograph=False)
    def run(indices: Tensor, first: Tensor, count: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        def body(i: Tensor, bad: Tensor, sums: list[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
            metrics = learner.update(tf.gather(data, indices[i]), first + i)
            finite = tf.math.is_finite(metrics["loss"])
            bad = tf.where(finite | (bad >= 0), bad, first + i)
            return i + 1, bad, [s + metrics[name] for s, name in zip(sums, names, strict=True)]

        names = metric_names
        zeros = [tf.zeros(()) for _ in names]
        _, bad, sums = tf.while_loop(
            lambda i, *_: i < count, body, (tf.constant(0), tf.constant(-1), zeros)
        )
        means = [s / tf.cast(count, tf.float32) for s in sums]
        return bad, dict(zip(names, means, strict=True))

    shape = tf.TensorSpec([None, *examples.shape[1:]], tf.float32)
    probe = tf.function(learner.update, autograph=False)
    metric_names = sorted(
        probe.get_concrete_function(shape, tf.TensorSpec([], tf.int32)).structured_outputs
    )
    return run


def train(learner: Learner, examples: Array, plan: Plan, checkpoints: Checkpoints) -> History:
    """Train until the budget of steps is spent or validation stops improving.

    At the end the learner holds its best weights, or its last if it does not validate.

    Args:
        learner: what is trained.
        examples: [N, ...] float32, normalised.
        plan: budget, batch size, intervals.
        checkpoints: where to resume from and save to.

    Returns:
        A record per evaluation: step, mean losses since the one before, validation loss, seconds.

    Raises:
        TrainingError: a loss is not finite; names the step. The last checkpoint is kept.
    """
    tf.config.experimental.enable_op_determinism()
    weights = learner.weights()
    best = [tf.Variable(weight) for weight in weights]
    best_loss, best_step = tf.Variable(math.inf), tf.Variable(0)
    state = [*learner.state(), *best, best_loss, best_step]

    step, history = checkpoints.restore(state)
    if step:
        narrate(plan.stage, "info", f"resumed at step {step:,}")
    run = _program(learner, examples, plan.xla)
    progress = Progress(plan.stage, plan.steps, done=step, batch_size=plan.batch_size)
    steps_per_call = 1
    sums: dict[str, float] = {}
    last_checkpoint = last_record = time.monotonic()

    while step < plan.steps and not _out_of_patience(plan, step, int(best_step.numpy())):
        # Run up to the next evaluation, in programs of about PROGRAM_SECONDS.
        next_stop = min(plan.steps, (step // plan.validate_every + 1) * plan.validate_every)
        count = min(steps_per_call, next_stop - step)
        indices = np.zeros((PROGRAM_STEPS, plan.batch_size), np.int32)
        indices[:count] = batch_indices(plan.seed, len(examples), plan.batch_size, step, count)
        start = time.monotonic()
        bad, means = run(tf.constant(indices), tf.constant(step), tf.constant(count))
        losses = {name: float(value) for name, value in means.items()}
        seconds = time.monotonic() - start
        if int(bad) >= 0:
            raise TrainingError(
                f"{plan.stage}: the loss is no longer finite at step {int(bad):,}"
                f" (loss {losses['loss']}); lower {plan.stage.removeprefix('train_')}.learning_rate,"
                " or look for extreme values in the data. The last checkpoint is kept"
            )
        step += count
        steps_per_call = _adapt(count, steps_per_call, seconds)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value * count
        progress.report(step, losses)

        if step == next_stop:
            done = step - (int(history[-1]["step"]) if history else 0)
            record = {"step": float(step)} | {k: v / done for k, v in sums.items()}
            validation_loss = learner.validate()
            if validation_loss is not None:
                record["validation_loss"] = validation_loss
                if validation_loss < float(best_loss.numpy()):
                    best_loss.assign(validation_loss)
                    best_step.assign(step)
                    _copy(weights, best)
            now = time.monotonic()
            record["seconds"], last_record, sums = now - last_record, now, {}
            history.append(record)
            # Only here, where no sum is in flight, so that a resumed history is the same too.
            if now - last_checkpoint >= plan.checkpoint_seconds:
                checkpoints.save(step, state, history)
                last_checkpoint = time.monotonic()

    if math.isfinite(float(best_loss.numpy())):
        _copy(best, weights)
        narrate(plan.stage, "info", f"kept the weights of step {int(best_step.numpy()):,}")
    return history


def _out_of_patience(plan: Plan, step: int, best_step: int) -> bool:
    if plan.patience is None or step - best_step < plan.patience * plan.validate_every:
        return False
    narrate(plan.stage, "info", f"stopped at step {step:,}: no better since step {best_step:,}")
    return True


def _adapt(count: int, steps_per_call: int, seconds: float) -> int:
    """Steps of the next call: towards PROGRAM_SECONDS, at most fourfold at a time."""
    if count < steps_per_call:
        return steps_per_call
    wanted = int(count * PROGRAM_SECONDS / max(seconds, 1e-4))
    return max(1, min(wanted, 4 * count, PROGRAM_STEPS))


def _copy(sources: list[Any], targets: list[Any]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.assign(source)
