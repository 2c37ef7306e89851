"""Who may do what: roles, bindings, and the identities that reach the bucket."""

from __future__ import annotations

from tests.unit.test_manifests import build, pods, pytestmark

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
