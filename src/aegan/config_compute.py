"""What each step gets on a cluster: the section `compute`. A laptop ignores it.

What holds for one step is put together, weakest first, from the defaults, the preset (for steps with
accelerators), `compute`, and `compute.stages.<step>`: mappings are merged key by key, everything else
is replaced. `aegan.compute_steps` does it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from aegan.compute_presets import PRESETS
from aegan.config_types import Count, PositiveInt, Section, Toleration
from aegan.config_volumes import Disk, Memory, ObjectName, Secrets, VariableName, Volumes, Workspace

CPU_PATTERN = r"^\d+(\.\d+)?m?$"
LABEL_PATTERN = (
    r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
LABEL_VALUE_PATTERN = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
ACCOUNT_PATTERN = r"^[a-z0-9][-a-z0-9.@]{0,251}[a-z0-9]$"

PresetName = Literal["gke-l4", "gke-a100", "gke-a100-80gb", "gke-h100", "nvidia"]
StepName = Literal["normalize", "train_autoencoder", "train_gan", "evaluate", "publish", "record"]
STEPS: tuple[StepName, ...] = get_args(StepName)
UNCACHED: tuple[StepName, ...] = ("normalize", "publish", "record")
"""`normalize` must look at the source, whose bytes no cache key shows; `publish` moves the alias."""


def check_image(image: str) -> str:
    """Refuse a name that can come to mean another image; returns the name.

    Raises:
        ValueError: neither a digest nor a tag, or the tag `latest`.
    """
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    if "@sha256:" not in image and tag in ("", "latest"):
        raise ValueError(
            f"{image!r} names no fixed version, and Kubeflow caches by this name;"
            " give it by digest (name@sha256:…) or by a tag that never moves (name:1.2.3)"
        )
    return image


Image = Annotated[str, AfterValidator(check_image)]
Cpu = Annotated[str, Field(pattern=CPU_PATTERN)]
Labels = dict[
    Annotated[str, Field(pattern=LABEL_PATTERN)],
    Annotated[str, Field(pattern=LABEL_VALUE_PATTERN)],
]


class StageCompute(Section):
    """What one step gets in place of what `compute` says; mappings are merged key by key."""

    image: Image | None = None
    """See `compute.image`."""
    cpu: Cpu | None = None
    """See `compute.cpu`."""
    memory: Memory | None = None
    """See `compute.memory`."""
    accelerator: str | None = None
    """See `compute.accelerator`."""
    accelerator_count: Count | None = None
    """See `compute.accelerator_count`."""
    spot: bool | None = None
    """See `compute.spot`."""
    node_selector: Labels = Field(default={})
    """See `compute.node_selector`."""
    tolerations: list[Toleration] | None = None
    """See `compute.tolerations`."""
    shared_memory: Memory | None = None
    """See `compute.shared_memory`."""
    disk: Disk | None = None
    """See `compute.disk`."""
    image_pull_secrets: list[ObjectName] | None = None
    """See `compute.image_pull_secrets`."""
    environment: dict[VariableName, str] = Field(default={})
    """See `compute.environment`."""
    secrets: Secrets | None = None
    """See `compute.secrets`."""
    volumes: Volumes | None = None
    """See `compute.volumes`."""
    timeout_seconds: PositiveInt | None = None
    """See `compute.timeout_seconds`."""
    retries: Count | None = None
    """See `compute.retries`."""
    caching: bool | None = None
    """See `compute.caching`."""


def check_stages(stages: dict[StepName, StageCompute]) -> dict[StepName, StageCompute]:
    """Refuse to cache a step that has effects; returns the mapping.

    Raises:
        ValueError: `caching: true` for one of UNCACHED.
    """
    for name in UNCACHED:
        if name in stages and stages[name].caching:
            raise ValueError(
                f"`{name}.caching: true`: this step has effects that a cache would skip; leave it out"
            )
    return stages


Stages = Annotated[dict[StepName, StageCompute], AfterValidator(check_stages)]


class Compute(Section):
    """What each step gets on a cluster; a laptop ignores it."""

    preset: PresetName | None = None
    """What the steps with accelerators ask for, on common clusters; what is set beside it comes first.

    It sets `accelerator`, `accelerator_count: 1`, and for steps with accelerators node selector,
    tolerations, and (GKE) cores, memory and shared memory.
    """
    image: Image = "aegan/aegan-python:0.1.0"
    """By digest or immutable tag."""
    cpu: Cpu | None = None
    """Cores, requested and at most; None: the preset's for a step with accelerators, else 2."""
    memory: Memory | None = None
    """Requested and at most; None: the preset's for a step with accelerators, else 8Gi."""
    accelerator: str = "nvidia.com/gpu"
    """Of the two training steps: a Kubernetes resource name; on Vertex AI its name, as NVIDIA_L4."""
    accelerator_count: Count = 0
    """Of each of the two training steps; others get accelerators by `stages` only."""
    spot: bool = False
    """Whether the two training steps, which resume, run on nodes that can be taken away at any time, by
    the marks of the preset; other clusters' marks are a node selector and a toleration."""
    node_selector: Labels = Field(default={})
    """Labels that a step's node must have."""
    tolerations: list[Toleration] | None = None
    """None: the preset's. Those of `spot` are added."""
    shared_memory: Memory | None = None
    """Size of /dev/shm, in memory, part of the step's `memory`; None: the preset's, else 64 MiB."""
    disk: Disk | None = None
    """Room for temporary files; None: what the node has."""
    service_account: Annotated[str, Field(pattern=ACCOUNT_PATTERN)] | None = None
    """Of a whole run. A package cannot hold it: it is given when the run or the schedule is created."""
    image_pull_secrets: list[ObjectName] = Field(default=[])
    """Secrets that hold credentials of the image's registry."""
    environment: dict[VariableName, str] = Field(default={})
    """Stands in packages and published configurations: what must not be read belongs in `secrets`."""
    secrets: Secrets = Field(default=[])
    """Kubernetes Secrets that steps see as variables or files."""
    volumes: Volumes = Field(default=[])
    """Claims that steps mount; `root` may be a folder in one that all of them do."""
    timeout_seconds: PositiveInt | None = None
    """Of one attempt of a step, from its start; None: for ever."""
    retries: Count = 3
    """Further attempts of a step that failed."""
    caching: bool = True
    """Whether Kubeflow may skip training and evaluation when all their inputs are the same."""
    workspace: Workspace | None = None
    """A volume for the time of a run, for steps that you add."""
    stages: Stages = Field(default={})
    """By step, what it gets in place of the above; `record` is the exit handler."""

    @model_validator(mode="before")
    @classmethod
    def _from_the_preset(cls, tree: Any) -> Any:
        # Written out here, where what was set can still be told from a default.
        preset = PRESETS.get(str(tree.get("preset"))) if isinstance(tree, dict) else None
        if preset is None:
            return tree
        chosen = ("accelerator", "accelerator_count")
        return {name: getattr(preset, name) for name in chosen} | tree

    @model_validator(mode="after")
    def _possible(self) -> Compute:
        paths = ["spot"] if self.spot else []
        paths += [f"stages.{name}.spot" for name, stage in self.stages.items() if stage.spot]
        if paths and (self.preset is None or PRESETS[self.preset].spot is None):
            raise ValueError(
                f"`{paths[0]}: true` needs a preset that knows how the cluster marks such nodes"
                f" ({', '.join(name for name in PRESETS if PRESETS[name].spot)}), received"
                f" {self.preset!r}; elsewhere give `node_selector` and `tolerations` instead"
            )
        return self
