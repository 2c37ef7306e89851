"""Compiled packages as a cluster reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from aegan_pipelines.pipeline import compile_package
from aegan_pipelines.sweep_pipeline import compile_sweep
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from aegan.config_file import validate
from aegan.sweep import Trial
from tests.conftest import tiny

# By field of an executor, the kind of volume that the driver makes of it (driver/k8s.go).
VOLUMES = {
    "emptyDirMounts": "emptyDir",
    "genericEphemeralVolume": "ephemeral",
    "secretAsVolume": "secret",
    "pvcMount": "persistentVolumeClaim",
}
# What Kubeflow Pipelines, since 2.16, adds to the container of every step.
ADDED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['(?P<name>[^']+)'\]\}\}")


def compiled(
    folder: Path, compute: dict[str, Any] | None = None, platform: Any = "kubeflow"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline and, by step, what its pods get; both checked against Kubeflow's own messages."""
    path = folder / "package.yaml"
    config = validate(tiny(compute=compute or {}), "test")
    compile_package(config, path, "gs://bucket/root", platform)
    return _read(path)


def compiled_sweep(
    folder: Path, compute: dict[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same of a sweep of two trials."""
    path = folder / "sweep.yaml"
    config = validate(tiny(compute=compute or {}), "test")
    trials = [Trial(number, {}, {}) for number in (1, 2)]
    compile_sweep(config, trials, "coverage", 2, path, "gs://bucket/root")
    return _read(path)


def pod(name: str, executor: dict[str, Any]) -> dict[str, Any]:
    """The pod of a step, from what the package says of it and what Kubeflow adds."""
    volumes = [
        {"name": f"{field}-{number}", kind: {}}
        for field, kind in VOLUMES.items()
        for number, _ in enumerate(executor.get(field, ()))
    ]
    security = ADDED | executor.get("securityContext", {})
    return {"containers": [{"name": name, "securityContext": security}], "volumes": volumes}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    spec, *rest = yaml.safe_load_all(path.read_text("utf-8"))
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert len(rest) <= 1
    pods: dict[str, Any] = {}
    for document in rest:
        json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())
        executors = document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        for name, executor in executors.items():
            message = kubernetes_executor_config_pb2.KubernetesExecutorConfig()
            json_format.ParseDict(executor, message)
            pods[_step(name)] = executor
        pods["pipeline"] = document["platforms"]["kubernetes"].get("pipelineConfig", {})
    return spec, pods


def containers(spec: dict[str, Any]) -> dict[str, Any]:
    """What each step runs in, by step."""
    executors = spec["deploymentSpec"]["executors"]
    return {_step(name): executor["container"] for name, executor in executors.items()}


def tasks(spec: dict[str, Any]) -> dict[str, Any]:
    """All tasks that are steps, by step, from whatever group they are in."""
    found = {name: task for _, name, task in _all_tasks(spec)}
    return {_step(f"exec-{name}"): task for name, task in found.items() if "retryPolicy" in task}


def started(spec: dict[str, Any], **arguments: str) -> dict[str, dict[str, str]]:
    """Image and accelerators of each step's pod, resolved from group to group as the driver does.

    A group that does not pass a parameter down fails here as it does there ("parent DAG does not have
    input parameter").
    """
    defined = spec["root"]["inputDefinitions"]["parameters"]
    values = {name: item.get("defaultValue") for name, item in defined.items()} | arguments
    pods: dict[str, dict[str, str]] = {}
    _start(spec, spec["root"], values, pods)
    return pods


def _start(
    spec: dict[str, Any], group: dict[str, Any], values: dict[str, Any], pods: dict[str, Any]
) -> None:
    for name, task in group["dag"]["tasks"].items():
        component = spec["components"][task["componentRef"]["name"]]
        inputs: dict[str, Any] = {}
        for key, item in task["inputs"]["parameters"].items():
            if "componentInputParameter" in item:
                inputs[key] = values[item["componentInputParameter"]]
            else:
                inputs[key] = item.get("runtimeValue", {}).get("constant", "")
        if "parameterIterator" in task:  # the driver gives each iteration its item
            inputs[task["parameterIterator"]["itemInput"]] = ""
        missing = set(component["inputDefinitions"]["parameters"]) - set(inputs)
        assert not missing, f"{name} lacks {missing}"
        if "dag" in component:
            _start(spec, component, inputs, pods)
            continue
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        accelerator = container["resources"].get("accelerator", {})
        pod = {"image": container["image"]}
        pod |= {key: accelerator[key] for key in ("resourceType", "resourceCount") if accelerator}
        pods[name.replace("-", "_")] = {
            key: PLACEHOLDER.sub(lambda match, known=inputs: known[match["name"]], value)
            for key, value in pod.items()
        } | {"num_accelerators": inputs["num_accelerators"], "data_source": inputs["data_source"]}


def _all_tasks(spec: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for where, component in [("root", spec["root"]), *spec["components"].items()]:
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            yield where, name, task


def _step(executor: str) -> str:
    return executor.removeprefix("exec-").replace("-", "_")
