"""How common clusters offer their GPUs: what to ask for, and where the nodes that have it are.

A preset gives the steps with accelerators what their nodes need; what a configuration says itself
comes first. Cores and memory are what the smallest machine with such a GPU leaves for one pod.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aegan.config_types import Toleration

NVIDIA = "nvidia.com/gpu"
GKE_LABEL = "cloud.google.com/gke-accelerator"
GKE_SPOT = "cloud.google.com/gke-spot"
GPU_TAINT = Toleration(key=NVIDIA, operator="Exists", effect="NoSchedule")


@dataclass(frozen=True)
class Spot:
    """How a cluster marks the nodes that it may take away at any time."""

    node_selector: dict[str, str]
    tolerations: tuple[Toleration, ...]


@dataclass(frozen=True)
class Preset:
    """What a step with accelerators gets.

    Attributes:
        accelerator: Kubernetes resource name.
        vertex: Vertex AI's name of the same accelerator; None where a preset says nothing of the model.
        accelerator_count: of each training step.
        cpu: cores; None for the default of every step.
        memory: None for the default of every step.
        shared_memory: size of /dev/shm, through which GPUs of one machine exchange gradients.
        node_selector: labels of the nodes.
        tolerations: of the nodes' taints.
        spot: None where clusters agree on no mark.
    """

    accelerator: str = NVIDIA
    vertex: str | None = None
    accelerator_count: int = 1
    cpu: str | None = None
    memory: str | None = None
    shared_memory: str | None = None
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = (GPU_TAINT,)
    spot: Spot | None = None


def _gke(label: str, vertex: str, cpu: str, memory: str) -> Preset:
    spot_taint = Toleration(key=GKE_SPOT, operator="Equal", value="true", effect="NoSchedule")
    return Preset(
        vertex=vertex,
        cpu=cpu,
        memory=memory,
        shared_memory="1Gi",
        node_selector={GKE_LABEL: label},
        spot=Spot({GKE_SPOT: "true"}, (spot_taint,)),
    )


PRESETS = {
    # Of a g2-standard-4's 16 GiB, GKE and its daemons keep about four.
    "gke-l4": _gke("nvidia-l4", "NVIDIA_L4", "3", "10Gi"),
    "gke-a100": _gke("nvidia-tesla-a100", "NVIDIA_TESLA_A100", "10", "64Gi"),
    "gke-a100-80gb": _gke("nvidia-a100-80gb", "NVIDIA_A100_80GB", "10", "128Gi"),
    "gke-h100": _gke("nvidia-h100-80gb", "NVIDIA_H100_80GB", "20", "160Gi"),
    "nvidia": Preset(),
}
