"""What keeps a training from going on, and what whoever runs it can change about that."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import tensorflow as tf

from aegan.errors import TrainingError
from aegan.narration import narrate
from aegan.plans import Plan
from aegan.programs import Learner


def section_of(stage: str) -> str:
    """The section of the configuration that says how a stage trains."""
    return stage.removeprefix("train_")


_TOO_LITTLE_MEMORY = (tf.errors.ResourceExhaustedError, MemoryError)


@contextlib.contextmanager
def explained(plan: Plan) -> Iterator[None]:
    """Say which number to lower where memory does not suffice for training."""
    try:
        yield
    except _TOO_LITTLE_MEMORY as error:
        reason, section = _reason(error), section_of(plan.stage)
        if plan.stage == "evaluate":  # its classifier has a size of its own, that nobody sets
            raise TrainingError(
                f"{plan.stage}: out of memory while the scores' classifier was trained; run it where"
                f" there is more, or on fewer or smaller examples ({reason})"
            ) from error
        name = "micro_batch_size" if plan.full_batch else "batch_size"
        value = plan.micro_batch_size if plan.full_batch else plan.batch_size // plan.batches
        raise TrainingError(
            f"{plan.stage}: out of memory; lower {section}.{name} (it is {value}) or"
            f" {section}.hidden, or set {section}.residency: streamed if it is the"
            f" examples that do not fit ({reason})"
        ) from error


@contextlib.contextmanager
def stage_explained(stage: str) -> Iterator[None]:
    """The same for what a training stage does besides its steps: building, encoding, exporting."""
    try:
        yield
    except _TOO_LITTLE_MEMORY as error:
        raise TrainingError(
            f"{stage}: out of memory besides the steps of training; lower {section_of(stage)}.hidden, or"
            f" run it where there is more (compute.stages) ({_reason(error)})"
        ) from error


def _reason(error: Exception) -> str:
    """What could not be allocated: of a graph's error, the first line says only that there was one."""
    lines = str(error).splitlines() or [type(error).__name__]
    return next((line for line in lines if "OOM" in line or "alloc" in line), lines[0]).strip()


def lower(learner: Learner, plan: Plan, what: str, *, saved: bool) -> None:
    """Halve the learning rate, or give up after as often as the plan says.

    Args:
        learner: of which the rate is.
        plan: of its training.
        what: is no longer finite, and at which step.
        saved: whether there is a checkpoint.

    Raises:
        TrainingError: the rate has been halved as often as that.
    """
    backed_off = round(-math.log2(float(learner.scale.numpy())))
    if backed_off < plan.back_off:
        learner.scale.assign(learner.scale / 2)
        rate = f"{0.5 ** (backed_off + 1):g} of the rate"
        narrate(plan.stage, "warning", f"{what}: back to the last evaluation, and on at {rate}")
        return
    if plan.stage == "evaluate":
        raise TrainingError(
            f"{plan.stage}: {what} of the classifier whose features the scores are taken in; look for"
            " extreme values in the data, or lower evaluation.feature_steps"
        )
    section = section_of(plan.stage)
    tried = f", after {backed_off} times at half the learning rate" if backed_off else ""
    kept = " The last checkpoint is kept" if saved else ""
    if plan.optimizer == "lbfgs":  # looks for its own step, and takes neither bounds nor a way back
        raise TrainingError(
            f"{plan.stage}: {what}, and L-BFGS knows no way on; take another {section}.optimizer, such"
            f" as adam, or look for extreme values in the data.{kept}"
        )
    raise TrainingError(
        f"{plan.stage}: {what}{tried}; lower {section}.learning_rate, bound gradients with"
        f" {section}.clip: global_norm, set {section}.back_off: 3, or look for extreme values in the"
        f" data.{kept}"
    )
