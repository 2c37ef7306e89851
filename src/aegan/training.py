"""The one training loop: restore, step, report, validate, checkpoint, stop.

What is computed depends on the learner, the examples and the seed, never on where the loop was
interrupted, how long a program ran or what was reported. (TensorFlow's convolutions on a CPU add up
in another order for another number of cores; dense networks do not.)
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from aegan import interruption, replicas
from aegan.checkpoints import Checkpoints
from aegan.errors import TrainingError
from aegan.full_batch import FullBatch
from aegan.narration import Progress, narrate
from aegan.plans import Plan
from aegan.programs import Learner, MiniBatches, Program
from aegan.streaming import Examples, fits
from aegan.training_failures import explained, lower, section_of

if TYPE_CHECKING:
    from aegan.monitor import Monitor

Tensor = Any
History = list[dict[str, float]]

PROGRAM_SECONDS = 0.5  # of one call that is aimed at, so that progress and checkpoints are timely


def step_seeds(seed: int, step: Tensor, part: Tensor | None = None) -> Iterator[Tensor]:
    """Independent [2] int32 seeds of one step, endlessly; none is that of a published sampler.

    Args:
        seed: of the run.
        step: int32 scalar.
        part: int32 scalar, the micro-batch of a full batch.
    """
    base = tf.stack([tf.constant(seed, tf.int32), step])
    if part is not None:
        base = tf.random.fold_in(tf.random.fold_in(base, 0), part)
    return (tf.random.fold_in(base, number) for number in itertools.count(1))


def train(
    learner: Learner,
    examples: Examples,
    plan: Plan,
    checkpoints: Checkpoints,
    monitor: Monitor | None = None,
) -> History:
    """Train until the budget of steps is spent or validation stops improving.

    At the end the learner holds its best weights, or its last if it does not validate.

    Args:
        learner: what is trained.
        examples: [N, ...] float32, normalised, or a tuple of arrays with as many rows.
        plan: budget, batch size, intervals.
        checkpoints: where to resume from and save to.
        monitor: shows each record as it is made.

    Returns:
        A record per evaluation: step, mean metrics since the one before, validation loss, seconds,
        samples a second.

    Raises:
        TrainingError: a metric or the validation loss is not finite; names the step. The last
            checkpoint is kept. Or memory does not suffice; names the setting to lower.
        StoreError: a checkpoint that is there cannot be read, or the last one cannot be written.
        Stopped: SIGTERM or SIGINT came; a checkpoint was taken.
    """
    tf.config.experimental.enable_op_determinism()
    # It reorders float sums, and otherwise for another number of devices.
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": not plan.full_batch})
    program = _program(learner, examples, plan)
    weights = learner.weights()
    best = [tf.Variable(weight) for weight in weights]
    # As precise as the losses: one that is rounded up would be beaten by its equals for ever.
    best_loss, best_step = tf.Variable(math.inf, dtype=tf.float64), tf.Variable(0)
    learned = [*learner.state(), *best, best_loss, best_step]
    kept = [tf.Variable(variable) for variable in learned] if plan.back_off else []  # to go back to
    state = [*learned, *program.state(), *kept, learner.scale]

    # Work is counted in units of the program, of which a step takes one or more.
    checkpoints.units = program.units
    position, progress = checkpoints.restore(state)
    history: History = progress.get("history", [])
    totals: list[float] = progress.get("totals", [0.0] * len(program.names))
    if position:
        narrate(plan.stage, "info", f"resumed at step {position // program.units:,}")
    reporter = _reporter(plan, program, position)
    units_per_call = 1
    last_checkpoint = time.monotonic()
    last_record = last_checkpoint - progress.get("seconds", 0.0)
    saved, resumable = position, math.isfinite(plan.checkpoint_seconds)

    if monitor is not None:
        monitor.resume(history)

    def snapshot() -> tuple[int, list[Any], dict[str, Any]]:
        seconds = time.monotonic() - last_record
        return position, state, {"history": history, "totals": totals, "seconds": seconds}

    with interruption.deferred() as told_to_stop:
        while (step := position // program.units) < plan.steps:
            if _out_of_patience(plan, step, int(best_step.numpy())):
                break
            # Run up to the next evaluation, in programs of about PROGRAM_SECONDS.
            evaluation = min(plan.steps, (step // plan.validate_every + 1) * plan.validate_every)
            count = min(units_per_call, evaluation * program.units - position)
            start = time.monotonic()
            with explained(plan):
                bad, totals = program.run(position, count, totals)
            units_per_call = _adapt(count, units_per_call, time.monotonic() - start, program)
            what = f"a loss or gradient is no longer finite at step {bad:,}" if bad >= 0 else ""
            evaluated = bad < 0 and position + count == evaluation * program.units
            validation_loss = None
            if evaluated:
                with explained(plan):
                    validation_loss = learner.validate()
                if validation_loss is not None and not math.isfinite(validation_loss):
                    what = f"the validation loss is no longer finite at step {evaluation:,}"
            if what:
                checkpoints.finish()
                lower(learner, plan, what, saved=saved > 0)
                _copy(kept, learned)
                _zero(program.state())
                position = program.units * (int(history[-1]["step"]) if history else 0)
                totals = [0.0] * len(totals)
                reporter = _reporter(plan, program, position)
                continue
            position += count
            step = position // program.units
            new = step - (int(history[-1]["step"]) if history else 0)
            means = {k: t / new for k, t in zip(program.names, totals, strict=True) if new}
            reporter.report(position / program.units, means)

            if evaluated:
                record = {"step": float(step)} | means
                if validation_loss is not None:
                    record["validation_loss"] = validation_loss
                    if validation_loss < float(best_loss.numpy()):
                        best_loss.assign(validation_loss)
                        best_step.assign(step)
                        _copy(weights, best)
                now = time.monotonic()
                record["seconds"], last_record = now - last_record, now
                record["samples_per_second"] = new * program.samples / record["seconds"]
                totals = [0.0] * len(totals)
                history.append(record)
                _copy(learned, kept)
                if monitor is not None:
                    monitor.record(record, learner.preview)
            if time.monotonic() - last_checkpoint >= plan.checkpoint_seconds:
                checkpoints.begin(*snapshot())
                last_checkpoint, saved = time.monotonic(), position
            if told_to_stop:
                if resumable:
                    checkpoints.save(*snapshot())
                    text = f"told to stop at step {step:,}; the same command goes on there"
                    narrate(plan.stage, "warning", text)
                raise interruption.Stopped(told_to_stop[0], explained=resumable)

    if resumable and position > saved:  # what follows may be killed, too
        checkpoints.save(*snapshot())
    checkpoints.finish()
    if math.isfinite(float(best_loss.numpy())):
        _copy(best, weights)
        narrate(plan.stage, "info", f"kept the weights of step {int(best_step.numpy()):,}")
    return history


def _program(learner: Learner, examples: Examples, plan: Plan) -> Program:
    devices = replicas.count()
    if not plan.full_batch and plan.batch_size % (plan.batches * devices):
        raise TrainingError(
            f"{section_of(plan.stage)}.batch_size is {plan.batch_size // plan.batches} and must be a"
            f" multiple of the {devices} GPUs of this machine; change it, or show TensorFlow fewer of"
            " them with CUDA_VISIBLE_DEVICES"
        )
    streamed = plan.residency == "streamed" or (plan.residency == "auto" and not fits(examples))
    kind = FullBatch if plan.full_batch else MiniBatches
    with explained(plan):
        return kind(learner, examples, plan, streamed=streamed)


def _reporter(plan: Plan, program: Program, position: int) -> Progress:
    """Counts from here."""
    done = position / program.units
    return Progress(plan.stage, plan.steps, done=done, samples=program.samples)


def _out_of_patience(plan: Plan, step: int, best_step: int) -> bool:
    if plan.patience is None or step - best_step < plan.patience * plan.validate_every:
        return False
    narrate(plan.stage, "info", f"stopped at step {step:,}: no better since step {best_step:,}")
    return True


def _adapt(count: int, units_per_call: int, seconds: float, program: Program) -> int:
    """Units of the next call: towards PROGRAM_SECONDS, at most fourfold at a time."""
    if count < units_per_call:
        return units_per_call
    wanted = int(count * PROGRAM_SECONDS / max(seconds, 1e-4))
    return max(1, min(wanted, 4 * count, program.most_units))


def _copy(sources: list[Any], targets: list[Any]) -> None:
    for source, target in zip(sources, targets, strict=bool(sources and targets)):
        target.assign(source)


def _zero(variables: list[Any]) -> None:
    for variable in variables:
        variable.assign(tf.zeros_like(variable))
