"""Putting what the section `compute` says into the tasks of a pipeline.

What a package can say of Pod Security "restricted" is that a step must not run as root. The rest (no
privilege escalation, all capabilities dropped, seccomp profile RuntimeDefault) Kubeflow Pipelines 2.17
adds itself to the pods it makes, and every volume used here is of a kind that "restricted" admits. The
image must have a numeric user other than 0: docker/Dockerfile's has.
"""

# No `from __future__ import annotations` here: kfp reads the annotations' values.
from typing import Any

from kfp import dsl, kubernetes
from kfp.dsl.pipeline_channel import PipelineChannel

from aegan.compute_steps import (
    SCRATCH,
    SCRATCH_VOLUME,
    SHARED_MEMORY,
    SHARED_MEMORY_VOLUME,
    TRAINING_STEPS,
    Step,
    own_of,
    step_of,
)
from aegan.config_compute import Compute, StepName
from aegan.config_volumes import Disk, Workspace
from aegan_pipelines.platforms import Platform, accelerator_name

# Argo counts the limit from the first attempt and then fails the running pod: make it days.
BACKOFF = {"backoff_duration": "60s", "backoff_factor": 2.0, "backoff_max_duration": "604800s"}


def set_compute(
    task: Any,
    compute: Compute,
    platform: Platform,
    parameters: dict[str, PipelineChannel],
    step_name: StepName | None = None,
) -> Any:
    """Give a task what its step gets; returns the task.

    Args:
        task: of kfp; its name is that of the step.
        compute: the section of the configuration.
        platform: on vertex, nothing is set that needs the second document.
        parameters: of the pipeline, by name: `image`, `accelerator` and `accelerator_count` hold where
            `compute.stages` says nothing else. Empty on vertex.
        step_name: if it is not that of the task.
    """
    name = step_name or task.name.replace("-", "_")
    step, own = step_of(compute, name), own_of(compute, name)
    image = parameters.get("image") if own.image is None else None
    task.set_container_image(step.image if image is None else image)
    task.set_caching_options(step.caching)
    task.set_cpu_limit(step.cpu).set_memory_limit(step.memory)
    task.set_cpu_request(step.cpu).set_memory_request(step.memory)
    count, kind = str(step.accelerator_count), accelerator_name(compute, name, platform)
    if own.accelerator_count is None and name in TRAINING_STEPS:
        count = parameters.get("accelerator_count", count)
    if own.accelerator is None:
        kind = parameters.get("accelerator", kind)
    _set_accelerators(task, kind, count)
    for variable, value in step.environment.items():
        task.set_env_variable(variable, value)
    if platform == "kubeflow":
        _set_pod(task, step)
    return set_retries(task, step.retries)


def set_retries(task: Any, retries: int) -> Any:
    """Say how often a task that failed is tried again; returns the task."""
    return task.set_retry(retries, **BACKOFF)


def pipeline_config(workspace: Workspace | None) -> dsl.PipelineConfig | None:
    """What holds for the run as a whole."""
    if workspace is None:
        return None
    claim = {"storageClassName": workspace.storage_class, "accessModes": workspace.access_modes}
    patch = {key: value for key, value in claim.items() if value is not None}
    settings = dsl.KubernetesWorkspaceConfig(pvcSpecPatch=patch)
    return dsl.PipelineConfig(
        workspace=dsl.WorkspaceConfig(size=workspace.size, kubernetes=settings)
    )


def _set_accelerators(task: Any, kind: str | PipelineChannel, count: str | PipelineChannel) -> None:
    """Ask for accelerators; a count that is known only when a run starts is passed as text.

    The cluster reads these parameters as text only: of a number it would read nothing, and silently ask
    for no accelerator.
    """
    if isinstance(count, str) and count == "0":
        return
    task.set_accelerator_type(kind).set_accelerator_limit(count)
    # Without this, the groups of tasks around this one do not pass the parameters down to it.
    channels = [value for value in (kind, count) if isinstance(value, PipelineChannel)]
    task.register_pipeline_channels(channels)


def _set_pod(task: Any, step: Step) -> None:
    kubernetes.set_security_context(task, run_as_non_root=True)
    for label, value in step.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for toleration in step.tolerations:
        fields = toleration.model_dump()
        kubernetes.add_toleration(task, toleration_seconds=fields.pop("seconds"), **fields)
    if step.shared_memory is not None:
        kubernetes.empty_dir_mount(
            task,
            SHARED_MEMORY_VOLUME,
            SHARED_MEMORY,
            medium="Memory",
            size_limit=step.shared_memory,
        )
    if step.disk is not None:
        _set_disk(task, step.disk, step.environment)
    if step.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(step.image_pull_secrets))
    for secret in step.secrets:
        for variable, key in secret.environment.items():
            kubernetes.use_secret_as_env(task, secret.name, {key: variable})
        if secret.mount_path is not None:
            kubernetes.use_secret_as_volume(task, secret.name, secret.mount_path)
    for volume in step.volumes:
        kubernetes.mount_pvc(task, volume.claim, volume.mount_path)
    if step.timeout_seconds is not None:
        kubernetes.set_timeout(task, step.timeout_seconds)


def _set_disk(task: Any, disk: Disk, environment: dict[str, str]) -> None:
    if disk.storage_class is None:
        kubernetes.empty_dir_mount(task, SCRATCH_VOLUME, SCRATCH, size_limit=disk.size)
    else:
        kubernetes.add_ephemeral_volume(
            task, SCRATCH_VOLUME, SCRATCH, ["ReadWriteOnce"], disk.size, disk.storage_class
        )
    if "TMPDIR" not in environment:
        task.set_env_variable("TMPDIR", SCRATCH)
