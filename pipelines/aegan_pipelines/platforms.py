"""What Kubeflow Pipelines and Vertex AI can do, and refusing what they cannot before a run finds out."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Literal

from aegan.compute_presets import NVIDIA, PRESETS
from aegan.compute_steps import own_of, step_of
from aegan.config import Config
from aegan.config_compute import STEPS, Compute, StepName
from aegan.data.sources import BUILT_IN
from aegan.errors import ConfigError
from aegan.store import open_store

Platform = Literal["kubeflow", "vertex"]
TITLES = {"kubeflow": "Kubeflow Pipelines", "vertex": "Vertex AI"}

VERTEX_ACCELERATORS = (
    "NVIDIA_TESLA_P100",
    "NVIDIA_TESLA_V100",
    "NVIDIA_TESLA_P4",
    "NVIDIA_TESLA_T4",
    "NVIDIA_TESLA_A100",
    "NVIDIA_A100_80GB",
    "NVIDIA_L4",
    "NVIDIA_H100_80GB",
    "NVIDIA_H100_MEGA_80GB",
    "NVIDIA_H200_141GB",
    "NVIDIA_B200",
)

# Setting: why Vertex AI cannot, what to do. Each would need the package's second document, for
# Kubernetes, which Vertex AI refuses.
NOT_ON_VERTEX = {
    "node_selector": (
        "Vertex AI chooses machines by cores, memory and accelerator, not by labels of nodes",
        "leave it out",
    ),
    "tolerations": ("Vertex AI has no taints to tolerate", "leave it out"),
    "spot": (
        "a package cannot ask Vertex AI for Spot VMs",
        "set it to false, or run on a Kubeflow cluster",
    ),
    "shared_memory": ("Vertex AI sets the size of /dev/shm itself", "leave it out"),
    "disk": (
        "a package cannot ask Vertex AI for a volume, and the machine's disk has 100 GB",
        "leave it out",
    ),
    "image_pull_secrets": (
        "Vertex AI pulls images with its own identity",
        "keep the image in Artifact Registry and let the run's service account read it",
    ),
    "secrets": (
        "Vertex AI has no Kubernetes Secrets",
        "leave it out; the run's service account gives access to buckets without any",
    ),
    "volumes": ("the volumes are Kubernetes claims", "leave it out, and keep data in buckets"),
    "timeout_seconds": (
        "the limit is one of a Kubernetes pod",
        "leave it out, and cancel runs that take too long",
    ),
    "workspace": ("the volume is a Kubernetes claim", "leave it out"),
}


def check_platform(config: Config, platform: Platform, root: str | None) -> None:
    """Refuse what the platform cannot do, all at once.

    Args:
        config: what is to be compiled.
        platform: for which platform.
        root: default of the parameter `root`, if it gets one.

    Raises:
        ConfigError: names each setting, the reason and the remedy.
    """
    compute = config.compute
    wrong = list(_of_vertex(compute, root) if platform == "vertex" else _of_kubeflow(compute))
    if wrong:
        raise ConfigError(
            f"this configuration cannot be compiled for {TITLES[platform]}:\n"
            + "\n".join(f"  {line}" for line in wrong)
        )


def check_root(config: Config, root: str | None) -> str:
    """Refuse a root that the pods of some step cannot reach; returns it.

    Raises:
        ConfigError: there is none, or it is neither in a bucket nor in a volume that every step mounts.
        StoreError: it names no bucket.
    """
    if root and root.startswith("gs://"):
        open_store(root)  # which refuses what names no bucket
        return root
    if not root or not root.startswith("/"):
        what = f"--root {root}: pods do not share your folder" if root else "no root was given"
        raise ConfigError(
            f"{what}; expected --root gs://bucket/path, or a folder in a volume that every step mounts"
            " (compute.volumes)"
        )
    without = [name for name in STEPS if not _mounts(config.compute, name, root)]
    if without:
        raise ConfigError(
            f"--root {root}: no volume is mounted there in {', '.join(without)}; give --root"
            " gs://bucket/path, or mount a claim into every step:"
            " compute.volumes: [{claim: NAME, mount_path: /FOLDER}]"
        )
    return root


def _mounts(compute: Compute, name: StepName, root: str) -> bool:
    folder = PurePosixPath(posixpath.normpath(root))
    return any(folder.is_relative_to(v.mount_path) for v in step_of(compute, name).volumes)


def local_source_note(source: str) -> str | None:
    """What to tell of a source that is not where pods usually find one."""
    if source == BUILT_IN or source.startswith("gs://"):
        return None
    return f"pods look for data.source in their own file system: {source}"


def notes(config: Config) -> list[str]:
    """What a package cannot hold, and what a person should know of it."""
    account, note = config.compute.service_account, local_source_note(config.data.source)
    found = [] if note is None else [note]
    if account is not None:
        found.append(
            f"a package cannot hold compute.service_account: give {account} to its runs and schedules"
        )
    return found


def accelerator_name(compute: Compute, name: StepName, platform: Platform) -> str:
    """What the platform calls the accelerator of the step `name`."""
    accelerator = step_of(compute, name).accelerator
    vertex = PRESETS[compute.preset].vertex if compute.preset else None
    return vertex if platform == "vertex" and vertex and accelerator == NVIDIA else accelerator


def _of_kubeflow(compute: Compute) -> Iterator[str]:
    for path, accelerator in _accelerators(compute):
        if "/" not in accelerator:
            yield (
                f"compute.{path}: Kubeflow takes the resource name by which the cluster's nodes offer"
                f" accelerators, such as {NVIDIA}, received {accelerator!r}; the model of a GPU is"
                " chosen by compute.preset or compute.node_selector"
            )


def _of_vertex(compute: Compute, root: str | None) -> Iterator[str]:
    for setting, (reason, remedy) in NOT_ON_VERTEX.items():
        for path in _places(compute, setting):
            yield f"compute.{path}: {reason}; {remedy}"
    for name in STEPS:
        accelerator = accelerator_name(compute, name, "vertex")
        if step_of(compute, name).accelerator_count and accelerator not in VERTEX_ACCELERATORS:
            own = own_of(compute, name).accelerator
            path = "accelerator" if own is None else f"stages.{name}.accelerator"
            yield (
                f"compute.{path}: Vertex AI has its own names of accelerators; expected one of"
                f" {', '.join(VERTEX_ACCELERATORS)}, received {accelerator!r}; give one of them, or a"
                " compute.preset gke-… of the same GPU"
            )
            break
    if root is not None and not root.startswith("gs://"):
        yield f"--root: steps on Vertex AI share no file system, received {root!r}; give gs://bucket/path"


def _places(compute: Compute, setting: str) -> Iterator[str]:
    """Where a setting is set; a preset's own settings are not, they adapt to the platform."""
    if getattr(compute, setting):
        yield setting
    for name, stage in compute.stages.items():
        if getattr(stage, setting, None):
            yield f"stages.{name}.{setting}"


def _accelerators(compute: Compute) -> Iterator[tuple[str, str]]:
    yield "accelerator", compute.accelerator
    for name, stage in compute.stages.items():
        if stage.accelerator is not None:
            yield f"stages.{name}.accelerator", stage.accelerator
