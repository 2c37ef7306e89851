"""How long and how to train: the budget, the intervals, and what compiles the program."""

from __future__ import annotations

import math
from dataclasses import dataclass

import tensorflow as tf

from aegan.config_training import Training
from aegan.errors import TrainingError


@dataclass(frozen=True)
class Plan:
    """See `aegan.config_training.Training` for the meanings.

    `batch_size` is of a step, in which a learner may take several `batches` one after the other. One
    batch may come in several `pieces`, the sums over which are independent of each other.
    """

    stage: str
    seed: int
    full_batch: bool
    batch_size: int
    micro_batch_size: int
    steps: int
    validate_every: int
    patience: int | None
    checkpoint_seconds: float
    xla: bool
    batches: int = 1
    pieces: int = 1
    back_off: int = 0
    residency: str = "auto"
    optimizer: str = "adam"


def plan_of(
    section: Training,
    stage: str,
    seed: int,
    *,
    validate_every: int,
    patience: int | None = None,
    batches: int = 1,
    pieces: int = 1,
    unrolled: int | None = None,
) -> Plan:
    """What a training section of the configuration says.

    Args:
        section: of the configuration.
        stage: that trains.
        seed: of the run.
        validate_every: steps between two evaluations.
        patience: evaluations without progress before it stops early.
        batches: how many of them a step takes.
        pieces: in which a batch may be computed.
        unrolled: see `use_xla`.
    """
    return Plan(
        stage=stage,
        seed=seed,
        full_batch=section.batch == "full",
        batch_size=section.batch_size * batches,
        micro_batch_size=section.micro_batch_size,
        steps=section.steps,
        validate_every=validate_every,
        patience=patience,
        checkpoint_seconds=section.checkpoint_seconds,
        xla=use_xla(section.compiler, section.network, unrolled),
        batches=batches,
        pieces=pieces,
        back_off=section.back_off,
        residency=section.residency,
        optimizer=section.optimizer,
    )


FEWEST, MOST = 10, 50  # evaluations of a training
SHARE_OF_TRAINING = 0.01  # that they may take, where more than the fewest do


def evaluation_interval(steps: int, samples: int, validated: int) -> int:
    """Steps between two evaluations where the configuration leaves it open.

    Args:
        steps: of the training.
        samples: in a step, each of which costs about three forward passes.
        validated: examples of an evaluation, a forward pass each.
    """
    affordable = SHARE_OF_TRAINING * 3 * steps * samples / max(1, validated)
    return math.ceil(steps / min(MOST, max(FEWEST, affordable)))


LARGE_BATCH = 1024
"""From which on a batch of a small dense network is computed in four pieces."""
MOST_COMPILED = 32
"""Time steps times recurrent layers: XLA compiles about three of them a second, once for all steps."""


def use_xla(compiler: str, network: str, unrolled: int | None = None) -> bool:
    """Whether to compile with XLA: measured faster for dense on CPU and for everything on GPU.

    XLA on CPU runs convolutions fifty times slower than TensorFlow's own graph, and recurrent layers
    that are unrolled nearly twice as fast, but needs long to compile many of them.

    Args:
        compiler: of the configuration.
        network: of the configuration.
        unrolled: time steps times layers of a recurrent network; None to say nothing for XLA.
    """
    if compiler != "auto":
        return compiler == "xla"
    if tf.config.list_physical_devices("GPU"):
        return True
    short = unrolled is not None and unrolled <= MOST_COMPILED
    return network == "dense" or (network == "recurrent" and short)


def pieces_of(section: Training, widest: int) -> int:
    """In how many pieces a batch is computed: measured faster in some where products are small.

    XLA on a CPU gives a product of some million operations to one core; two at a time keep two busy: a
    quarter more samples/s for 784-64-784 at batch 128, nothing from 512 units on. Four are a twelfth
    faster than two at batch 1024, where halves leave the cache. How many cores there are does not
    matter: the pieces order the additions, and results must not depend on the machine.

    Args:
        section: of the configuration, whose samples do not depend on each other within a batch.
        widest: number of units of any layer but the examples themselves.
    """
    xla = use_xla(section.compiler, section.network)
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    small = section.network == "dense" and widest <= 256
    size = section.batch_size
    pieces = 4 if size >= LARGE_BATCH and size % 4 == 0 else 2
    return pieces if xla and not on_gpu and small and size % pieces == 0 else 1


def require_accelerators(count: int) -> None:
    """Fail at once where accelerators were asked for and TensorFlow does not see them.

    Raises:
        TrainingError: fewer GPUs are visible than `count`.
    """
    found = len(tf.config.list_physical_devices("GPU"))
    if found < count:
        raise TrainingError(
            f"compute.accelerator_count is {count} and TensorFlow sees {found}: use an image with GPU"
            " support (`make image FLAVOUR=gpu`) on a node with a driver, or set"
            " compute.accelerator_count to 0 to train on the CPU"
        )


def require_separable(section: Training, devices: int) -> None:
    """Refuse to share among devices what mixes the samples of a batch, or what only one can do.

    Raises:
        TrainingError: several devices, and batch normalisation, free bits or XLA.
    """
    if devices == 1:
        return
    if section.compiler == "xla":
        raise TrainingError(
            f"compiler: xla compiles for one device, and there are {devices} GPUs, which train in"
            " TensorFlow's own graph; leave it out, or show it one GPU with CUDA_VISIBLE_DEVICES=0"
        )
    if getattr(section, "kind", "plain") == "variational" and getattr(section, "free_bits", 0.0):
        raise TrainingError(
            f"autoencoder.free_bits would go by the mean of each code over each of the {devices} GPUs'"
            " shares; leave it out, or show TensorFlow one GPU with CUDA_VISIBLE_DEVICES=0"
        )
    mixing = ("normalization", "discriminator_normalization")
    if any(getattr(section, name, "none") == "batch" for name in mixing):
        raise TrainingError(
            f"`batch` normalisation would take its statistics of each of the {devices} GPUs' shares; use"
            " `layer` or `group`, or show TensorFlow one GPU with CUDA_VISIBLE_DEVICES=0"
        )
