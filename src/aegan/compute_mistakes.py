"""What Kubernetes would refuse in the pods of the steps, or what could never work in them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from aegan.compute_steps import (
    SCRATCH,
    SCRATCH_VOLUME,
    SHARED_MEMORY,
    SHARED_MEMORY_VOLUME,
    Step,
    own_of,
    step_of,
)
from aegan.config_compute import STEPS, Compute

UNITS = {
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "K": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
}


def mistakes(compute: Compute) -> list[tuple[str, str]]:
    """The path of each setting that is wrong together with others, and what to do."""
    found = []
    for name in STEPS:
        own = own_of(compute, name)
        for setting, text in _of_pod(step_of(compute, name)):
            place = f"stages.{name}.{setting}" if getattr(own, setting) else setting
            found.append((f"compute.{place}", text))
    return list(dict.fromkeys(found))


def bytes_of(amount: str) -> float:
    """An amount of memory as Kubernetes writes it, in bytes."""
    number = amount.rstrip("KMGTi")
    return float(number) * UNITS.get(amount.removeprefix(number), 1)


def _of_pod(step: Step) -> Iterator[tuple[str, str]]:
    if step.shared_memory and bytes_of(step.shared_memory) >= bytes_of(step.memory):
        yield (
            "shared_memory",
            f"is part of the step's `memory` and must be less, received {step.shared_memory} of"
            f" {step.memory}",
        )
    for secret in step.secrets:
        for variable in sorted(secret.environment.keys() & step.environment.keys()):
            yield (
                "secrets",
                f"sets the variable {variable}, as `environment` does; keep one of them",
            )
    folders: dict[str, str] = {}
    volumes: dict[str, str] = {}
    for setting, volume, folder in _mounts(step):
        if (other := folders.setdefault(folder, setting)) != setting or folder in ("/", "/tmp"):
            by = (
                f"`{other}` is mounted already"
                if other != setting
                else "steps have files of their own"
            )
            yield setting, f"cannot be mounted at {folder}, where {by}; choose another folder"
        if (other := volumes.setdefault(volume, setting)) != setting:
            yield setting, f"the name {volume!r} is that of a volume of `{other}` in the same pod"


def _mounts(step: Step) -> Iterator[tuple[str, str, str]]:
    """Setting, name of the volume in the pod, folder."""
    if step.shared_memory:
        yield "shared_memory", SHARED_MEMORY_VOLUME, SHARED_MEMORY
    if step.disk:
        yield "disk", SCRATCH_VOLUME, SCRATCH
    for secret in step.secrets:
        if secret.mount_path:
            yield "secrets", secret.name, posixpath.normpath(secret.mount_path)
    for volume in step.volumes:
        yield "volumes", volume.claim, posixpath.normpath(volume.mount_path)
