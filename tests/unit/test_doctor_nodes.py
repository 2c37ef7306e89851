"""The doctor's checks of nodes: accelerators, and taints by Kubernetes' rules."""

from __future__ import annotations

from typing import Any

from aegan_pipelines.doctor import nodes
from kubernetes import client

from aegan.compute_steps import Step, step_of
from aegan.config_compute import Compute

GPU = {"accelerator_count": 1}
GKE = {"cloud.google.com/gke-nodepool": "l4"}


def step(**compute: Any) -> Step:
    return step_of(Compute(**compute), "train_gan")


def node(name: str, *, gpus: int = 0, taint: str = "", labels: dict[str, str] | None = None) -> Any:
    taints = [client.V1Taint(key=taint, value="present", effect="NoSchedule")] if taint else None
    return client.V1Node(
        metadata=client.V1ObjectMeta(name=name, labels=labels),
        spec=client.V1NodeSpec(taints=taints),
        status=client.V1NodeStatus(allocatable={"cpu": "4", "nvidia.com/gpu": str(gpus)}),
    )


def test_nodes_without_the_accelerator() -> None:
    found, fitting = nodes.node_pools([node("cpu")], step(**GPU))
    assert (found.status, fitting) == ("warn", [])
    assert "scales up from zero" in found.cure
    none, _ = nodes.node_pools([node("cpu")], step())
    assert none.status == "ok"
    chosen = step(**GPU, node_selector={"zone": "b"})
    assert nodes.node_pools([node("gpu", gpus=1)], chosen)[0].status == "warn"
    assert nodes.node_pools([node("gpu", gpus=1, labels={"zone": "b"})], chosen)[0].status == "ok"


def test_taints_must_be_tolerated() -> None:
    trees = [node("gpu", gpus=1, taint="nvidia.com/gpu")]
    found = nodes.tolerations(trees, step(**GPU))
    assert (found.status, found.cure[:32]) == ("fail", "add them to compute.tolerations,")
    assert "nvidia.com/gpu=present:NoSchedule" in found.text
    for given in (
        {"key": "nvidia.com/gpu", "operator": "Exists"},
        {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"},
        {"operator": "Exists"},
    ):
        assert nodes.tolerations(trees, step(**GPU, tolerations=[given])).status == "ok"
    for given in (
        {"key": "other", "operator": "Exists"},
        {"key": "nvidia.com/gpu", "value": "absent"},
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"},
    ):
        assert nodes.tolerations(trees, step(**GPU, tolerations=[given])).status == "fail"


def test_gke_adds_the_toleration_of_the_resource_itself() -> None:
    trees = [node("gpu", gpus=1, taint="nvidia.com/gpu", labels=GKE)]
    assert nodes.tolerations(trees, step(**GPU)).status == "ok"
    trees = [node("gpu", gpus=1, taint="cloud.google.com/gke-spot", labels=GKE)]
    assert nodes.tolerations(trees, step(**GPU)).status == "fail"


def test_labels_that_no_node_has_are_said_whether_or_not_accelerators_are_asked_for() -> None:
    for asked in ({}, GPU):
        wanted = step(**asked, node_selector={"zone": "b"})
        found, fitting = nodes.node_pools([node("gpu", gpus=1)], wanted)
        assert (found.status, found.text) == ("warn", "no node is labelled zone=b now")
        assert fitting == []


def test_steps_that_ask_for_the_same_are_one() -> None:
    def names(compute: Compute) -> list[str]:
        return [names for names, _ in nodes.alike(compute, nodes.placement)]

    assert names(Compute()) == ["every step"]
    assert names(Compute(accelerator="x.com/y")) == ["every step"], "of none, the kind is the same"
    others = "normalize, evaluate, publish, record"
    assert names(Compute(**GPU)) == [others, "train_autoencoder, train_gan"]
    stages = {
        "train_gan": {"accelerator_count": 2},
        "evaluate": {"node_selector": {"zone": "b"}},
        "publish": {"tolerations": [{"key": "k", "operator": "Exists"}]},
        "record": {"image": "other:1", "memory": "1Gi"},
    }
    found = nodes.alike(Compute.model_validate(GPU | {"stages": stages}), nodes.placement)
    assert [names for names, _ in found] == [
        "normalize, record", "train_autoencoder", "train_gan", "evaluate", "publish"
    ]  # fmt: skip
    assert [step.accelerator_count for _, step in found] == [0, 1, 2, 0, 0]
