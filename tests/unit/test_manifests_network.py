"""What may reach the pods, and what they may reach."""

from __future__ import annotations

from pathlib import Path

from tests.unit.test_manifests import pytestmark, with_components

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
