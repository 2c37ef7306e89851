"""Who may do what: roles, bindings, and the identities that reach the bucket."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.test_manifests import ROOT, build, find, pods, pytestmark, with_components

__all__ = ["pytestmark"]  # skips these tests, too, where there is no kubectl


def test_rights_are_the_least() -> None:
    for tree in build("overlays/gke"):
        if tree["kind"] in ("Role", "ClusterRole"):
            for rule in tree["rules"]:
                assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
                if "secrets" in rule["resources"]:
                    assert rule["verbs"] == ["get"]
                    assert rule["resourceNames"]
        if tree["kind"] == "ClusterRole":
            assert {verb for rule in tree["rules"] for verb in rule["verbs"]} <= {"get", "list"}
        elif tree["kind"].startswith("Cluster"):
            assert tree["roleRef"]["name"] == "aegan-cluster-reader"
        assert tree["kind"] != "Secret", "secrets are made by hand"


def test_the_base_names_no_namespace_and_bindings_find_their_subjects() -> None:
    trees = build("base")
    assert all("namespace" not in tree["metadata"] for tree in trees)
    trees = build("overlays/gke")
    named = {(t["kind"], t["metadata"]["name"], t["metadata"].get("namespace")) for t in trees}
    for tree in trees:
        if tree["kind"].endswith("RoleBinding"):
            place = tree["metadata"].get("namespace")
            assert (tree["roleRef"]["kind"], tree["roleRef"]["name"], place) in named
            for subject in tree["subjects"]:
                assert (subject["kind"], subject["name"], subject["namespace"]) in named
    accounts = [pod["serviceAccountName"] for pod in pods(trees)]
    assert {("ServiceAccount", name, "kubeflow") for name in accounts} <= named


def test_workload_identity_reaches_every_account() -> None:
    for tree in build("overlays/gke"):
        if tree["kind"] == "ServiceAccount":
            account = tree["metadata"]["annotations"]["iam.gke.io/gcp-service-account"]
            assert account == "aegan@PROJECT.iam.gserviceaccount.com"


def test_a_profile_gives_the_role_that_kubeflow_has(tmp_path: Path) -> None:
    """Of kubeflow/pipelines, base/installs/multi-user/view-edit-cluster-roles.yaml."""
    binding = find(with_components(tmp_path, "profile"), "RoleBinding", "aegan-pipeline-profile")
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == (
        "ClusterRole",
        "kubeflow-pipelines-edit",
    )


@pytest.mark.parametrize(
    "path", ["manifests/components/workload-identity/kustomization.yaml", "docs/cluster.md"]
)
def test_it_is_said_for_every_account_how_it_may_act_as_googles(path: str) -> None:
    told = re.findall(r"svc\.id\.goog\[NAMESPACE/([\w-]+)\]", (ROOT / path).read_text("utf-8"))
    accounts = [t for t in build("overlays/gke") if t["kind"] == "ServiceAccount"]
    assert sorted(told) == sorted(account["metadata"]["name"] for account in accounts)
