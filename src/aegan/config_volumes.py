"""Where the steps' files and secrets lie on a cluster: parts of the section `compute`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from aegan.config_types import Section

MEMORY_PATTERN = r"^[1-9]\d*(Ki|Mi|Gi|Ti|K|M|G|T)?$"
OBJECT_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
MOUNT_PATTERN = r"^/[^:]+$"

AccessMode = Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]
Memory = Annotated[str, Field(pattern=MEMORY_PATTERN)]
ObjectName = Annotated[str, Field(pattern=OBJECT_PATTERN)]
VariableName = Annotated[str, Field(pattern=VARIABLE_PATTERN)]


class Disk(Section):
    """Room for the temporary files of a step, at /scratch, where TMPDIR points.

    Kubeflow Pipelines 2.17 cannot request or limit a node's ephemeral storage; this is a volume.
    """

    size: Memory
    """At most, as 100Gi."""
    storage_class: ObjectName | None = None
    """None: on the node's own disk, where the size is a limit and nothing is reserved. Else a volume of
    this class for each pod, which must be writable for the image's user: Kubeflow sets no fsGroup."""


class Secret(Section):
    """A Kubernetes Secret that steps see, as environment variables, as files, or both."""

    name: ObjectName
    """In the namespace of the runs."""
    environment: dict[VariableName, str] = Field(default={})
    """Name of the variable: key of the secret."""
    mount_path: Annotated[str, Field(pattern=MOUNT_PATTERN)] | None = None
    """Folder in which each key is a file."""

    @model_validator(mode="after")
    def _is_used(self) -> Secret:
        if not self.environment and self.mount_path is None:
            raise ValueError("give `environment` (variable: key), `mount_path` or both")
        return self


def check_secrets(secrets: list[Secret]) -> list[Secret]:
    """Refuse what Kubernetes would refuse in a pod; returns the list.

    Raises:
        ValueError: a secret or a folder is mounted twice, or a variable comes from two secrets.
    """
    mounted = [secret for secret in secrets if secret.mount_path is not None]
    for what, names in (
        ("mounts the secret", [secret.name for secret in mounted]),
        ("mounts something at", [str(secret.mount_path) for secret in mounted]),
        ("sets the variable", [name for secret in secrets for name in secret.environment]),
    ):
        _refuse_twice(what, names)
    return secrets


Secrets = Annotated[list[Secret], AfterValidator(check_secrets)]


class Volume(Section):
    """A PersistentVolumeClaim that exists, mounted into steps: for outputs or data outside of buckets.

    It must be writable for the image's user (Kubeflow sets no fsGroup), and mountable where steps run.
    """

    claim: ObjectName
    """In the namespace of the runs."""
    mount_path: Annotated[str, Field(pattern=MOUNT_PATTERN)]
    """Folder in which the steps see it."""


def check_volumes(volumes: list[Volume]) -> list[Volume]:
    """Refuse what Kubernetes would refuse in a pod; returns the list.

    Raises:
        ValueError: a claim or a folder is mounted twice.
    """
    for what, names in (
        ("mounts the claim", [volume.claim for volume in volumes]),
        ("mounts something at", [volume.mount_path for volume in volumes]),
    ):
        _refuse_twice(what, names)
    return volumes


def _refuse_twice(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{what} {name!r} {names.count(name)} times; keep one of them")


Volumes = Annotated[list[Volume], AfterValidator(check_volumes)]


class Workspace(Section):
    """A volume that Kubeflow claims for the time of a run and mounts into steps that take its path.

    aegan's steps hand each other URIs and keep nothing there: it is for steps that you add.
    """

    size: Memory
    """Of the claim, as 100Gi."""
    storage_class: ObjectName | None = None
    """None: the cluster's default."""
    access_modes: list[AccessMode] | None = None
    """None: the cluster's own."""
