"""Checks of Kubernetes objects without a cluster: their fields, and Pod Security.

Fields are compared with the models of the Python client, which are generated from Kubernetes' own
OpenAPI document: unknown fields, wrong types and missing required fields are found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kubernetes.client import models

PRIMITIVES = {"str": str, "int": int, "bool": bool, "float": (int, float)}

Tree = dict[str, Any]


def model_name(tree: Tree) -> str:
    """Name of the client's model: batch/v1 CronJob is V1CronJob."""
    return tree["apiVersion"].rsplit("/", 1)[-1].capitalize() + tree["kind"]


def mistakes(tree: Tree) -> list[str]:
    """What is wrong with an object of one of Kubernetes' own kinds."""
    found: list[str] = []
    _build(tree, model_name(tree), tree["kind"], found)
    return found


def _build(value: Any, kind: str, path: str, found: list[str]) -> Any:
    """The value as the client has it; notes what does not fit on the way."""
    if match := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(value, list):
            found.append(f"{path}: expected a list, received {value!r}")
            return None
        return [_build(item, match[1], f"{path}[{i}]", found) for i, item in enumerate(value)]
    if match := re.fullmatch(r"dict\(str, (.*)\)", kind):
        if not isinstance(value, dict):
            found.append(f"{path}: expected a mapping, received {value!r}")
            return None
        return {key: _build(item, match[1], f"{path}.{key}", found) for key, item in value.items()}
    if kind in PRIMITIVES:
        fits = isinstance(value, PRIMITIVES[kind]) and (kind == "bool") == isinstance(value, bool)
        if not fits:
            found.append(f"{path}: expected {kind}, received {value!r}")
        return value
    if kind in ("object", "datetime"):  # int-or-string, for example
        return value
    return _build_model(value, getattr(models, kind), path, found)


def _build_model(value: Any, model: Any, path: str, found: list[str]) -> Any:
    if not isinstance(value, dict):
        found.append(f"{path}: expected {model.__name__}, received {value!r}")
        return None
    attributes = {given: attribute for attribute, given in model.attribute_map.items()}
    found += [f"{path}.{key}: no such field" for key in value if key not in attributes]
    fields = {
        attributes[key]: _build(item, model.openapi_types[attributes[key]], f"{path}.{key}", found)
        for key, item in value.items()
        if key in attributes
    }
    try:
        return model(**fields)
    except ValueError as error:
        found.append(f"{path}: {error}")
        return None


def pod_specs(tree: Tree) -> Iterator[Tree]:
    """The pod of a CronJob or a Job."""
    if tree["kind"] == "CronJob":
        yield tree["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    elif tree["kind"] == "Job":
        yield tree["spec"]["template"]["spec"]


def serving_pod(predictor: Tree) -> Tree:
    """The pod that KServe makes; what is copied from there is the same for its storage initializer."""
    container = {"name": "model", "securityContext": predictor["model"]["securityContext"]}
    # Knative refuses most of what may be set for a pod (kubernetes.podspec-securitycontext is off).
    assert "securityContext" not in predictor
    # The runtimes know as which user their images run.
    assert "runAsUser" not in container["securityContext"]
    return {"containers": [container]}


ALLOWED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected",
    "secret",
}  # fmt: skip
SECCOMP = ("RuntimeDefault", "Localhost")


def violations(pod: Tree) -> list[str]:
    """Why the profile "restricted" would not admit a pod.

    https://kubernetes.io/docs/concepts/security/pod-security-standards, baseline and restricted.
    """
    found = [f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    for volume in pod.get("volumes", ()):
        kinds = set(volume) - {"name"}
        if not kinds <= ALLOWED_VOLUMES:
            found.append(f"volume {volume['name']} is of the kind {sorted(kinds)}")
    of_pod = pod.get("securityContext", {})
    if of_pod.get("sysctls"):
        found.append("sysctls are set")
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        found += [f"{container['name']}: {text}" for text in _of_container(container, of_pod)]
    return found


def _of_container(container: Tree, of_pod: Tree) -> Iterator[str]:
    own = container.get("securityContext", {})
    both = of_pod | own
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation must be false"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        yield "capabilities must drop ALL"
    if not set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot must be true"
    if both.get("runAsUser") == 0:
        yield "runs as root"
    if both.get("seccompProfile", {}).get("type") not in SECCOMP:
        yield "seccompProfile must be RuntimeDefault or Localhost"
    if both.get("seLinuxOptions", {}).keys() & {"user", "role"}:
        yield "seLinuxOptions are set"
    if own.get("procMount", "Default") != "Default":
        yield "procMount is set"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "hostPort is set"
