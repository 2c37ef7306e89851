"""What a cluster with KServe needs to serve a version: an InferenceService, fixed to that version."""

from __future__ import annotations

import re
from typing import Any

import aegan
from aegan.errors import ConfigError, RegistryError
from aegan.references import DNS_LABEL_PATTERN, parse_reference

# TensorFlow reads SavedModels of its own and of older minor versions, so it is not older than what wrote
# them. KServe puts it in place of its own runtime's image tag, 2.6.2, which is.
TENSORFLOW_SERVING = "2.21.0"
SERVICE = (  # a label of its address
    DNS_LABEL_PATTERN,
    "lower-case letters, digits and hyphens, beginning with a letter, not ending with a hyphen, 63 at"
    " most",
)
ACCOUNT = (
    r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?",
    "lower-case letters, digits, hyphens and dots, beginning and ending with a letter or digit, 253 at"
    " most",
)


def inference_service(
    model: str, runtime: str, *, part: str, name: str | None, account: str
) -> dict[str, Any]:
    """The InferenceService of a published version.

    Args:
        model: ROOT/models/NAME@REFERENCE in a bucket; an alias is resolved now, once.
        runtime: `tensorflow` (TensorFlow Serving, protocol v1) or `onnx` (Triton, protocol v2).
        part: the SavedModel to serve; Triton serves all functions, each as a model of its name.
        name: of the service; default: of the model.
        account: service account that may read the bucket.

    Raises:
        ConfigError: Kubernetes takes no such name or account.
        RegistryError: there is no such version, it lies in a folder, or has nothing for the runtime.
    """
    root, model_name, reference = parse_reference(model)
    service = name or model_name.rstrip("-")
    _check_name("name", service, *SERVICE)
    _check_name("service account", account, *ACCOUNT)
    if not root.startswith("gs://"):
        raise RegistryError(
            f"{model} lies in a folder, which no cluster can read: expected a model in a bucket, gs://…"
        )
    registry = aegan.Registry(root)
    version, manifest = registry.find(model_name, reference)
    folder = f"serving/{part}" if runtime == "tensorflow" else "onnx"
    if not any(path.startswith(f"{folder}/") for path in manifest.files):
        other = ", or --runtime tensorflow" if runtime == "onnx" else ""
        raise RegistryError(
            f"{model_name} {version} has no {folder}: it was published before there was any; expected"
            f" a newer version{other}"
        )
    served: dict[str, Any] = {
        "modelFormat": {"name": "tensorflow"},
        "protocolVersion": "v1",
        "runtimeVersion": TENSORFLOW_SERVING,
    }
    if runtime == "onnx":
        served = {
            "modelFormat": {"name": "onnx"},
            "runtime": "kserve-tritonserver",
            "protocolVersion": "v2",
        }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": service,
            "labels": {"app.kubernetes.io/part-of": "aegan"},
            "annotations": {"aegan/version": version, "aegan/digest": manifest.digest},
        },
        "spec": {
            "predictor": _predictor(
                served | {"storageUri": f"{registry.uri(model_name, version)}/{folder}"}, account
            )
        },
    }


def _check_name(what: str, name: str, pattern: str, expected: str) -> None:
    if not re.fullmatch(pattern, name):
        raise ConfigError(f"{name!r} is not a valid Kubernetes {what}: expected {expected}")


def _predictor(served: dict[str, Any], account: str) -> dict[str, Any]:
    """Pods that answer for a model, as many as requests ask for, with the least privileges."""
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "minReplicas": 1,
        "maxReplicas": 4,
        # Counted by Knative: KServe's standard mode, without it, knows only cpu and memory.
        "scaleMetric": "concurrency",
        "scaleTarget": 8,
        "timeout": 60,
        "model": {
            **served,
            "resources": {
                "requests": {"cpu": "1", "memory": "2Gi"},
                "limits": {"cpu": "2", "memory": "4Gi"},
            },
            # Here and not for the pod, where Knative allows none. As which user, the runtime knows.
            "securityContext": {
                "runAsNonRoot": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        },
    }
