"""The doctor's Job can look at what it is to look at: its commands, images, identity and rights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from aegan_pipelines.context import Context
from aegan_pipelines.doctor import examine
from aegan_pipelines.doctor.command import doctor

from aegan.config_file import load_config
from tests.loopback import Loopback
from tests.unit.test_doctor_cluster import config, fake  # noqa: F401 (a fixture)
from tests.unit.test_manifests import ROOT, Tree, build, find, pods, pytestmark, with_components

__all__ = ["pytestmark"]  # skips these tests, too, where there is no kubectl

TOKEN = "/var/run/secrets/kubeflow/pipelines"


def containers(trees: list[Tree]) -> dict[str, Tree]:
    (pod,) = pods([find(trees, "Job")])
    return {container["name"]: container for container in pod["containers"]}


@pytest.mark.parametrize("overlay", ["gke", "kind-local"])
def test_the_commands_are_ones_that_there_are(overlay: str, tmp_path: Path) -> None:
    trees = build(f"overlays/{overlay}")
    settings = find(trees, "ConfigMap", "aegan-settings")["data"]
    text = find(trees, "ConfigMap", "aegan-config")["data"]["config.yaml"]
    (tmp_path / "config.yaml").write_text(text)
    given: dict[str, dict[str, Any]] = {}
    for name, container in containers(trees).items():
        assert container["command"] == ["aegan"]
        command, *arguments = [
            re.sub(r"\$\((\w+)\)", lambda found: settings[found[1]], text)
            for text in container["args"]
        ]
        assert command == "doctor"
        given[name] = doctor.make_context("aegan", arguments).params
        assert given[name]["root"] == settings["AEGAN_ROOT"]
        assert given[name]["host"] == settings["AEGAN_HOST"]
    assert given["steps"]["config"] is None
    assert given["cluster"]["config"] == "/etc/aegan/config.yaml"
    examined = load_config(str(tmp_path / "config.yaml"), given["cluster"]["overrides"])
    assert examined.compute.image == settings["AEGAN_IMAGE"]
    assert bool(examined.compute.accelerator_count) is (overlay == "gke")


def test_each_container_is_in_an_image_that_can_do_its_part() -> None:
    locked = {
        name: (ROOT / "docker" / f"requirements-{name}.txt").read_text("utf-8")
        for name in ("cli", "cpu", "gpu")
    }
    has_client = {name: "\nkubernetes==" in text for name, text in locked.items()}
    has_tensorflow = {name: "\ntensorflow" in text for name, text in locked.items()}
    assert has_client == {"cli": True, "cpu": False, "gpu": False}
    assert has_tensorflow == {"cli": False, "cpu": True, "gpu": True}
    images = {n: c["image"] for n, c in containers(build("overlays/kind-local")).items()}
    assert images["cluster"] == f"{images['steps']}-cli"


def test_each_container_says_who_it_is_and_where_runs_are() -> None:
    (pod,) = pods([find(build("overlays/gke"), "Job")])
    (source,) = next(v["projected"]["sources"] for v in pod["volumes"] if v["name"] == "token")
    assert source["serviceAccountToken"]["audience"] == "pipelines.kubeflow.org"
    assert pod.get("automountServiceAccountToken", True), "for Kubernetes' own API"
    for container in pod["containers"]:
        variables = {item["name"]: item for item in container["env"]}
        field = variables["AEGAN_NAMESPACE"]["valueFrom"]["fieldRef"]["fieldPath"]
        assert field == "metadata.namespace"
        path = f"{TOKEN}/{source['serviceAccountToken']['path']}"
        assert variables["KF_PIPELINES_SA_TOKEN_PATH"]["value"] == path
        assert TOKEN in {mount["mountPath"] for mount in container["volumeMounts"]}


def granted(trees: list[Tree], space: str | None) -> list[tuple[str, str, str | None]]:
    """Verb, resource and name (None: any) of what the doctor may do in its namespace, or anywhere."""
    binding, role = (
        ("ClusterRoleBinding", "ClusterRole") if space is None else ("RoleBinding", "Role")
    )
    bound = {
        tree["roleRef"]["name"]
        for tree in trees
        if tree["kind"] == binding and {"aegan-pipeline"} == {s["name"] for s in tree["subjects"]}
    }
    return [
        (verb, resource, name)
        for tree in trees
        if tree["kind"] == role and tree["metadata"]["name"] in bound
        for rule in tree["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [None])
    ]


def asked(kubernetes: Loopback) -> set[tuple[str, str, str, str]]:
    """Namespace, verb, resource and name of what a Kubernetes API was asked.

    The name of a namespace counts as the namespace of the request for it, too (RequestInfoFactory).
    """
    found = set()
    for method, target, _, body in kubernetes.requests:
        path = target.partition("?")[0]
        if method == "POST":  # a review of one's own rights is open to everybody
            wanted = body["spec"]["resourceAttributes"]
            kind = "/".join(filter(None, (wanted["resource"], wanted.get("subresource"))))
            if wanted["group"] == "":
                found.add((wanted["namespace"], wanted["verb"], kind, ""))
        elif one := re.fullmatch(r"/api/v1/namespaces/([^/]+)(?:/([^/]+)/([^/]+))?", path):
            space, kind, name = one.groups()
            found.add((space, "get", kind or "namespaces", name or space))
        elif path != "/version/":
            found.add(("", "list", path.removeprefix("/api/v1/"), ""))
    return found


def test_its_rights_suffice_for_all_that_it_asks_and_are_all_used(
    fake: Loopback,  # noqa: F811
    tmp_path: Path,
) -> None:
    trees = with_components(tmp_path, "doctor", "cluster-reader")
    checks = list(examine._cluster(Context(namespace="team"), config(), None))
    assert {check.status for check in checks} == {"ok"}
    here, anywhere = granted(trees, "team"), granted(trees, None)
    for space, verb, kind, name in asked(fake):
        allowed = (here if space == "team" else []) + anywhere
        assert {(verb, kind, name), (verb, kind, None)} & set(allowed), (space, verb, kind, name)
    used = {(verb, kind) for _, verb, kind, _ in asked(fake)}
    (own,) = [
        tree for tree in trees if tree["kind"] == "Role" and "doctor" in tree["metadata"]["name"]
    ]
    for rule in own["rules"]:
        assert {(verb, kind) for verb in rule["verbs"] for kind in rule["resources"]} <= used


def test_the_binding_for_the_cluster_is_of_the_overlays_namespace(tmp_path: Path) -> None:
    trees = with_components(tmp_path, "doctor", "cluster-reader", namespace="team")
    (subject,) = find(trees, "ClusterRoleBinding")["subjects"]
    assert subject["namespace"] == "team"
