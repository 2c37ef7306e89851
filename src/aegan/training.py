"""The one training loop: restore, step, report, validate, checkpoint, stop.

Speed comes from two things: the examples lie on the device, and many steps are one compiled program.
What is computed depends on the learner, the examples and the seed, never on where the loop was
interrupted, how long a program ran or what was reported. (TensorFlow's convolutions on a CPU add up
in another order for another number of cores; dense networks do not.)
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from aegan import interruption
from aegan.batches import batch_indices
from aegan.checkpoints import Checkpoints
from aegan.errors import TrainingError
from aegan.narration import Progress, narrate
from aegan.plans import Plan

Array = np.ndarray[Any, Any]
Tensor = Any
History = list[dict[str, float]]

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


def step_seeds(seed: int, step: Tensor) -> Iterator[Tensor]:
    """Independent [2] int32 seeds of one step, endlessly; none is that of a published sampler."""
    base = tf.stack([tf.constant(seed, tf.int32), step])
    return (tf.random.fold_in(base, number) for number in itertools.count(1))


def _program(learner: Learner, examples: Array, xla: bool) -> tuple[Any, list[str]]:
    """Many steps as one compiled function, and the names of the losses it adds up.

    It takes indices [S, B], the first step, the number of steps ≤ S and float64 sums so far; it
    returns the first step whose loss was not finite, or -1, and the sums.
    """
    data = tf.constant(examples)

    @tf.function(jit_compile=xla, autograph=False)
    def run(indices: Tensor, first: Tensor, count: Tensor, sums: list[Tensor]) -> Any:
        def body(i: Tensor, bad: Tensor, sums: list[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
            metrics = learner.update(tf.gather(data, indices[i]), first + i)
            finite = tf.math.is_finite(metrics["loss"])
            bad = tf.where(finite | (bad >= 0), bad, first + i)
            added = [s + tf.cast(metrics[k], tf.float64) for s, k in zip(sums, names, strict=True)]
            return i + 1, bad, added

        start = (tf.constant(0), tf.constant(-1), sums)
        return tf.while_loop(lambda i, *_: i < count, body, start)[1:]

    shape = tf.TensorSpec([None, *examples.shape[1:]], tf.float32)
    update = tf.function(learner.update, autograph=False)
    traced = update.get_concrete_function(shape, tf.TensorSpec([], tf.int32))
    names = sorted(traced.structured_outputs)
    return run, names


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
        SystemExit: SIGTERM or SIGINT came; a checkpoint was taken.
    """
    tf.config.experimental.enable_op_determinism()
    weights = learner.weights()
    best = [tf.Variable(weight) for weight in weights]
    best_loss, best_step = tf.Variable(math.inf), tf.Variable(0)
    state = [*learner.state(), *best, best_loss, best_step]

    step, progress = checkpoints.restore(state)
    history: History = progress.get("history", [])
    if step:
        narrate(plan.stage, "info", f"resumed at step {step:,}")
    run, names = _program(learner, examples, plan.xla)
    # Sums of the losses since the last evaluation. They go through the program, one step after the
    # other in float64, so that they do not depend on how many steps a call takes.
    sums = [tf.constant(s, tf.float64) for s in progress.get("sums", [0.0] * len(names))]
    reporter = Progress(plan.stage, plan.steps, done=step, batch_size=plan.batch_size)
    steps_per_call = 1
    last_checkpoint = last_record = time.monotonic()
    saved_step, resumable = step, math.isfinite(plan.checkpoint_seconds)

    def save() -> None:
        checkpoints.save(step, state, {"history": history, "sums": [float(s) for s in sums]})

    with interruption.deferred() as told_to_stop:
        while step < plan.steps and not _out_of_patience(plan, step, int(best_step.numpy())):
            # Run up to the next evaluation, in programs of about PROGRAM_SECONDS.
            next_stop = min(plan.steps, (step // plan.validate_every + 1) * plan.validate_every)
            count = min(steps_per_call, next_stop - step)
            indices = np.zeros((PROGRAM_STEPS, plan.batch_size), np.int32)
            indices[:count] = batch_indices(plan.seed, len(examples), plan.batch_size, step, count)
            start = time.monotonic()
            before = [float(s) for s in sums]
            bad, sums = run(tf.constant(indices), tf.constant(step), tf.constant(count), sums)
            losses = {
                k: (float(s) - b) / count for k, s, b in zip(names, sums, before, strict=True)
            }
            steps_per_call = _adapt(count, steps_per_call, time.monotonic() - start)
            if int(bad) >= 0:
                raise TrainingError(
                    f"{plan.stage}: the loss is no longer finite at step {int(bad):,}; lower"
                    f" {plan.stage.removeprefix('train_')}.learning_rate, or look for extreme values in"
                    f" the data.{' The last checkpoint is kept' if saved_step else ''}"
                )
            step += count
            reporter.report(step, losses)

            if step == next_stop:
                done = step - (int(history[-1]["step"]) if history else 0)
                record = {"step": float(step)}
                record |= {k: float(s) / done for k, s in zip(names, sums, strict=True)}
                validation_loss = learner.validate()
                if validation_loss is not None:
                    record["validation_loss"] = validation_loss
                    if validation_loss < float(best_loss.numpy()):
                        best_loss.assign(validation_loss)
                        best_step.assign(step)
                        _copy(weights, best)
                now = time.monotonic()
                record["seconds"], last_record = now - last_record, now
                sums = [tf.zeros((), tf.float64) for _ in names]
                history.append(record)
            if time.monotonic() - last_checkpoint >= plan.checkpoint_seconds:
                save()
                last_checkpoint, saved_step = time.monotonic(), step
            if told_to_stop:
                if resumable:
                    save()
                    text = f"told to stop at step {step:,}; the same command goes on there"
                    narrate(plan.stage, "warning", text)
                raise SystemExit(128 + told_to_stop[0])

    if resumable and step > saved_step:  # what follows may be killed, too
        save()
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
