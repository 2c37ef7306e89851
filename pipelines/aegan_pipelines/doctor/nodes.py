"""The nodes: whether they have the accelerators of a run, and whether it tolerates their taints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aegan_pipelines.doctor.check import Check
from aegan_pipelines.doctor.cluster import TIMEOUT, unknown

GKE_LABEL = "cloud.google.com/gke-nodepool"
MOST_NODES = 500

Settings = dict[str, Any]


def list_nodes(api: Any) -> list[Any] | Check:
    """All nodes, or why they cannot be listed."""
    from kubernetes import client

    try:
        answer = client.CoreV1Api(api).list_node(limit=MOST_NODES, _request_timeout=TIMEOUT)
    except client.ApiException as error:
        return unknown("node pools", error)
    return list(answer.items)


def node_pools(nodes: list[Any], compute: Settings) -> tuple[Check, list[Any]]:
    """Whether a node can hold a training step, and those that can.

    Args:
        nodes: as Kubernetes lists them.
        compute: that section of the configuration.
    """
    name, wanted = compute["accelerator"], compute["accelerator_count"]
    selected = _selected(nodes, compute.get("node_selector") or {})
    if not wanted:
        return Check(
            "node pools", "ok", f"{len(selected)} nodes; no accelerator is asked for"
        ), selected
    fitting = [node for node in selected if _allocatable(node, name) >= wanted]
    if fitting:
        pools = sorted({(node.metadata.labels or {}).get(GKE_LABEL, "") for node in fitting} - {""})
        text = f"{len(fitting)} nodes with at least {wanted} {name} {' '.join(pools)}".rstrip()
        return Check("node pools", "ok", text), fitting
    text = f"none of {len(selected)} nodes has {wanted} {name} now"
    cure = "add a node pool; if one scales up from zero nodes, all is well"
    return Check("node pools", "warn", text, cure), []


def _selected(nodes: Iterable[Any], selector: dict[str, str]) -> list[Any]:
    return [n for n in nodes if selector.items() <= (n.metadata.labels or {}).items()]


def _allocatable(node: Any, name: str) -> int:
    return int((node.status.allocatable or {}).get(name, 0))


def tolerations(nodes: list[Any], compute: Settings) -> Check:
    """Whether training steps may land on one of the nodes that can hold them."""
    if not nodes:
        return Check("tolerations", "skip", "there is no node to compare with")
    given = compute.get("tolerations") or []
    unmet = []
    for node in nodes:
        taints = [t for t in node.spec.taints or () if t.effect in ("NoSchedule", "NoExecute")]
        left = [t for t in taints if not _tolerated(t, given, node, compute)]
        if not left:
            return Check("tolerations", "ok", f"steps may run on {node.metadata.name}")
        unmet += left
    names = sorted({f"{t.key}={t.value or ''}:{t.effect}" for t in unmet})
    cure = "add them to compute.tolerations"
    return Check("tolerations", "fail", f"no step tolerates {', '.join(names)}", cure)


def _tolerated(taint: Any, given: list[Settings], node: Any, compute: Settings) -> bool:
    """By Kubernetes' rules; GKE itself adds the toleration of a resource that a pod asks for."""
    by_resource = taint.key == compute["accelerator"] and compute["accelerator_count"]
    if by_resource and GKE_LABEL in (node.metadata.labels or {}):
        return True
    return any(
        item.get("key") in (None, "", taint.key)
        and item.get("effect") in (None, "", taint.effect)
        and (item.get("operator") == "Exists" or (item.get("value") or "") == (taint.value or ""))
        for item in given
    )


def holding(nodes: list[Any], image: str) -> int:
    """How many nodes hold an image already, under this very name."""
    return sum(any(image in (i.names or ()) for i in node.status.images or ()) for node in nodes)
