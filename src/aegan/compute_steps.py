"""What one step gets, from everything that the section `compute` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from aegan.compute_presets import PRESETS, Preset
from aegan.config_compute import UNCACHED, Compute, StageCompute, StepName
from aegan.config_types import Toleration
from aegan.config_volumes import Disk, Secret, Volume

TRAINING_STEPS: tuple[StepName, ...] = ("train_autoencoder", "train_gan")
SCRATCH, SCRATCH_VOLUME = "/scratch", "aegan-scratch"
SHARED_MEMORY, SHARED_MEMORY_VOLUME = "/dev/shm", "aegan-shm"
NO_PRESET = Preset(tolerations=())

Value = TypeVar("Value")


@dataclass(frozen=True)
class Step:
    """All that is compiled into one step; see `aegan.config_compute` for the meanings."""

    image: str
    cpu: str
    memory: str
    accelerator: str
    accelerator_count: int
    node_selector: dict[str, str]
    tolerations: tuple[Toleration, ...]
    shared_memory: str | None
    disk: Disk | None
    image_pull_secrets: tuple[str, ...]
    environment: dict[str, str]
    secrets: tuple[Secret, ...]
    volumes: tuple[Volume, ...]
    timeout_seconds: int | None
    retries: int
    caching: bool


def step_of(compute: Compute, name: StepName) -> Step:
    """What the step `name` gets."""
    own = own_of(compute, name)
    training = name in TRAINING_STEPS
    count = _first(own.accelerator_count, compute.accelerator_count if training else 0)
    known = PRESETS[compute.preset] if compute.preset else NO_PRESET
    preset = known if count else NO_PRESET
    node_selector = dict(preset.node_selector)
    tolerations = tuple(_first(own.tolerations, compute.tolerations, preset.tolerations))
    if known.spot and _first(own.spot, compute.spot and training):
        node_selector |= known.spot.node_selector
        tolerations += tuple(t for t in known.spot.tolerations if t not in tolerations)
    return Step(
        image=_first(own.image, compute.image),
        cpu=_first(own.cpu, compute.cpu, preset.cpu, "2"),
        memory=_first(own.memory, compute.memory, preset.memory, "8Gi"),
        accelerator=_first(own.accelerator, compute.accelerator),
        accelerator_count=count,
        node_selector=node_selector | compute.node_selector | own.node_selector,
        tolerations=tolerations,
        shared_memory=own.shared_memory or compute.shared_memory or preset.shared_memory,
        disk=own.disk or compute.disk,
        image_pull_secrets=tuple(_first(own.image_pull_secrets, compute.image_pull_secrets)),
        environment=compute.environment | own.environment,
        secrets=tuple(_first(own.secrets, compute.secrets)),
        volumes=tuple(_first(own.volumes, compute.volumes)),
        timeout_seconds=own.timeout_seconds or compute.timeout_seconds,
        retries=_first(own.retries, compute.retries),
        caching=_first(own.caching, compute.caching) and name not in UNCACHED,
    )


def own_of(compute: Compute, name: StepName) -> StageCompute:
    """What `compute.stages` says of the step `name` alone."""
    return compute.stages.get(name, StageCompute())


def _first(*values: Value | None) -> Value:
    """The first that is set; the last always is."""
    return next(value for value in values if value is not None)
