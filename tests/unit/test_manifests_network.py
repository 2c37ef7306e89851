"""What may reach the pods, and what they may reach."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.unit.test_manifests import Tree, build, find, pytestmark, with_components

__all__ = ["pytestmark"]  # skips these tests, too, where there is no kubectl


def test_policies_let_pods_reach_what_they_need_at_the_ports_of_pods(tmp_path: Path) -> None:
    # SeaweedFS 8333 or MinIO 9000, the metadata store 8080, the API server 8887 and 8888.
    needed = {8080, 8333, 8887, 8888, 9000}
    policies = [
        t for t in with_components(tmp_path, "network-policy") if t["kind"] == "NetworkPolicy"
    ]
    assert len(policies) == 2
    for policy in policies:
        (kubeflow,) = [
            {port["port"] for port in rule["ports"]}
            for rule in policy["spec"]["egress"]
            if "kubeflow" in str(rule["to"])
        ]
        assert kubeflow == needed


def selects(policy: Tree, labels: dict[str, str]) -> bool:
    """Whether a policy is of a pod with these labels."""
    selector = policy["spec"]["podSelector"]
    for rule in selector.get("matchExpressions", ()):
        known = labels.get(rule["key"])
        if not {"Exists": known is not None, "In": known in rule.get("values", ())}[
            rule["operator"]
        ]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def pod_labels(tree: Tree) -> dict[str, str]:
    job = tree["spec"]["jobTemplate"] if tree["kind"] == "CronJob" else tree
    labels: dict[str, str] = job["spec"]["template"]["metadata"]["labels"]
    return labels


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",  # Cloud DNS
        "169.254.20.10",  # NodeLocal DNSCache
        "34.118.224.10",  # kube-dns, where GKE gives services its own addresses
        "10.96.0.10",
        "172.20.0.10",
        "192.168.3.10",
    ],
)
def test_names_are_found_wherever_a_cluster_resolves_them(address: str, tmp_path: Path) -> None:
    trees = with_components(tmp_path, "network-policy")
    for policy in (tree for tree in trees if tree["kind"] == "NetworkPolicy"):
        ports = {
            (port["protocol"], port["port"])
            for rule in policy["spec"]["egress"]
            for peer in rule["to"]
            if "ipBlock" in peer and ip_address(address) in ip_network(peer["ipBlock"]["cidr"])
            for port in rule["ports"]
        }
        assert ports >= {("UDP", 53), ("TCP", 53)}


def test_policies_are_of_runs_and_our_jobs_and_of_no_model_server() -> None:
    trees = build("overlays/gke")
    runs, own = (find(trees, "NetworkPolicy", f"aegan-{name}") for name in ("runs", "own-pods"))
    for kind in ("CronJob", "Job"):
        assert selects(own, pod_labels(find(trees, kind)))
    assert selects(runs, {"workflows.argoproj.io/workflow": "digits-x7k2p"})
    # KServe copies the labels of its service to the pods that answer.
    served = find(build("serving/champion"), "InferenceService")["metadata"]["labels"]
    assert served["app.kubernetes.io/part-of"] == "aegan"
    assert not selects(own, served)
    assert not selects(runs, served)


def test_jobs_end_also_where_pods_get_a_sidecar_of_istio() -> None:
    trees = build("overlays/gke")
    for kind in ("CronJob", "Job"):
        assert pod_labels(find(trees, kind))["sidecar.istio.io/inject"] == "false"
