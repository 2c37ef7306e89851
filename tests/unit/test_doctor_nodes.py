"""The doctor's checks of nodes: accelerators, and taints by Kubernetes' rules."""

from __future__ import annotations

from typing import Any

from aegan_pipelines.doctor import nodes
from kubernetes import client

COMPUTE = {"accelerator": "nvidia.com/gpu", "accelerator_count": 1}
GKE = {"cloud.google.com/gke-nodepool": "l4"}


def node(name: str, *, gpus: int = 0, taint: str = "", labels: dict[str, str] | None = None) -> Any:
    taints = [client.V1Taint(key=taint, value="present", effect="NoSchedule")] if taint else None
    return client.V1Node(
        metadata=client.V1ObjectMeta(name=name, labels=labels),
        spec=client.V1NodeSpec(taints=taints),
        status=client.V1NodeStatus(allocatable={"cpu": "4", "nvidia.com/gpu": str(gpus)}),
    )


def test_nodes_without_the_accelerator() -> None:
    found, fitting = nodes.node_pools([node("cpu")], COMPUTE)
    assert (found.status, fitting) == ("warn", [])
    assert "scales up from zero" in found.cure
    none, _ = nodes.node_pools([node("cpu")], COMPUTE | {"accelerator_count": 0})
    assert none.status == "ok"
    chosen = COMPUTE | {"node_selector": {"zone": "b"}}
    assert nodes.node_pools([node("gpu", gpus=1)], chosen)[0].status == "warn"
    assert nodes.node_pools([node("gpu", gpus=1, labels={"zone": "b"})], chosen)[0].status == "ok"


def test_taints_must_be_tolerated() -> None:
    trees = [node("gpu", gpus=1, taint="nvidia.com/gpu")]
    found = nodes.tolerations(trees, COMPUTE)
    assert (found.status, found.cure) == ("fail", "add them to compute.tolerations")
    assert "nvidia.com/gpu=present:NoSchedule" in found.text
    for given in (
        {"key": "nvidia.com/gpu", "operator": "Exists"},
        {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"},
        {"operator": "Exists"},
    ):
        assert nodes.tolerations(trees, COMPUTE | {"tolerations": [given]}).status == "ok"
    for given in (
        {"key": "other", "operator": "Exists"},
        {"key": "nvidia.com/gpu", "value": "absent"},
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"},
    ):
        assert nodes.tolerations(trees, COMPUTE | {"tolerations": [given]}).status == "fail"


def test_gke_adds_the_toleration_of_the_resource_itself() -> None:
    trees = [node("gpu", gpus=1, taint="nvidia.com/gpu", labels=GKE)]
    assert nodes.tolerations(trees, COMPUTE).status == "ok"
    trees = [node("gpu", gpus=1, taint="cloud.google.com/gke-spot", labels=GKE)]
    assert nodes.tolerations(trees, COMPUTE).status == "fail"
