"""The nodes: whether they have what the steps of a run ask for, and taints that these tolerate."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from aegan.compute_steps import Step, step_of
from aegan.config_compute import STEPS, Compute
from aegan.config_types import Toleration
from aegan_pipelines.doctor.check import Check
from aegan_pipelines.doctor.cluster import TIMEOUT, unknown

GKE_LABEL = "cloud.google.com/gke-nodepool"
MOST_NODES = 500


def alike(compute: Compute, key: Callable[[Step], Hashable]) -> list[tuple[str, Step]]:
    """What the steps of a run ask for, once for all that ask for the same, with their names.

    Args:
        compute: that section of the configuration.
        key: what of a step is to be the same.
    """
    groups: dict[Hashable, list[tuple[str, Step]]] = {}
    for name in STEPS:
        step = step_of(compute, name)
        groups.setdefault(key(step), []).append((name, step))
    if len(groups) == 1:
        return [("every step", same[0][1]) for same in groups.values()]
    return [(", ".join(name for name, _ in same), same[0][1]) for same in groups.values()]


def placement(step: Step) -> Hashable:
    """All of a step that decides on which nodes it may run."""
    accelerators = (step.accelerator, step.accelerator_count) if step.accelerator_count else None
    tolerated = sorted(item.model_dump_json() for item in step.tolerations)
    return accelerators, tuple(sorted(step.node_selector.items())), tuple(tolerated)


def pull_secrets(compute: Compute) -> list[str]:
    """The secrets by which nodes pull the images of any step."""
    named = (name for step in STEPS for name in step_of(compute, step).image_pull_secrets)
    return sorted(set(named))


def list_nodes(api: Any) -> list[Any] | Check:
    """All nodes, or why they cannot be listed."""
    from kubernetes import client

    try:
        answer = client.CoreV1Api(api).list_node(limit=MOST_NODES, _request_timeout=TIMEOUT)
    except client.ApiException as error:
        return unknown("node pools", error)
    return list(answer.items)


def node_pools(nodes: list[Any], step: Step) -> tuple[Check, list[Any]]:
    """Whether a node can hold a step, and those that can.

    Args:
        nodes: as Kubernetes lists them.
        step: what it asks for.
    """
    name, wanted = step.accelerator, step.accelerator_count
    selected = _selected(nodes, step.node_selector)
    if not selected and step.node_selector:
        labels = ", ".join(f"{label}={value}" for label, value in step.node_selector.items())
        cure = (
            "correct node_selector, or add such nodes; if a pool scales up from zero, all is well"
        )
        return Check("node pools", "warn", f"no node is labelled {labels} now", cure), []
    if not wanted:
        text = f"{len(selected)} nodes; no accelerator is asked for"
        return Check("node pools", "ok", text), selected
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


def tolerations(nodes: list[Any], step: Step) -> Check:
    """Whether a step may land on one of the nodes that can hold it."""
    if not nodes:
        return Check("tolerations", "skip", "there is no node to compare with")
    unmet = []
    for node in nodes:
        taints = [t for t in node.spec.taints or () if t.effect in ("NoSchedule", "NoExecute")]
        left = [t for t in taints if not _tolerated(t, node, step)]
        if not left:
            return Check("tolerations", "ok", f"may run on {node.metadata.name}")
        unmet += left
    names = sorted({f"{t.key}={t.value or ''}:{t.effect}" for t in unmet})
    cure = "add them to compute.tolerations, or to the step's own in compute.stages"
    return Check("tolerations", "fail", f"not tolerated: {', '.join(names)}", cure)


def _tolerated(taint: Any, node: Any, step: Step) -> bool:
    """By Kubernetes' rules; GKE itself adds the toleration of a resource that a pod asks for."""
    by_resource = taint.key == step.accelerator and step.accelerator_count
    if by_resource and GKE_LABEL in (node.metadata.labels or {}):
        return True
    return any(_matches(given, taint) for given in step.tolerations)


def _matches(given: Toleration, taint: Any) -> bool:
    return (
        given.key in (None, "", taint.key)
        and given.effect in (None, "", taint.effect)
        and (given.operator == "Exists" or (given.value or "") == (taint.value or ""))
    )


def holding(nodes: list[Any], image: str) -> int:
    """How many nodes hold an image already, under this very name."""
    return sum(any(image in (i.names or ()) for i in node.status.images or ()) for node in nodes)
