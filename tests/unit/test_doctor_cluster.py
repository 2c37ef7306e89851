"""The doctor's checks of a cluster, against a small Kubernetes API on the loopback interface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aegan_pipelines.context import Context
from aegan_pipelines.doctor import cluster, examine
from aegan_pipelines.doctor.check import Check

from aegan.config_file import validate
from tests.conftest import tiny
from tests.loopback import Loopback

SPACE = "/api/v1/namespaces"
ARGO = f"GET {SPACE}/kubeflow/configmaps/workflow-controller-configmap"
REVIEW = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
IMAGE = "registry.invalid/aegan:1.0"


def node(name: str, *, gpus: int = 0) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {},
        "status": {
            "allocatable": {"cpu": "4", "nvidia.com/gpu": str(gpus)},
            "images": [{"names": [IMAGE]}] if gpus else [],
        },
    }


def defaults(**strategy: str) -> dict[str, Any]:
    tree = {"spec": {"templateDefaults": {"retryStrategy": strategy}}}
    return {"data": {"workflowDefaults": yaml.safe_dump(tree)}}


def allow(*verbs: str) -> Any:
    def review(request: Any) -> tuple[int, Any]:
        spec = request[3]["spec"]
        allowed = spec["resourceAttributes"]["verb"] in verbs
        return 201, {"spec": spec, "status": {"allowed": allowed}}

    return review


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    account = {"name": "aegan-pipeline", "annotations": {"iam.gke.io/gcp-service-account": "a@p"}}
    routes: dict[str, Any] = {
        "GET /version/": (200, dict.fromkeys(VERSION, "x") | {"gitVersion": "v1.33.1"}),
        f"GET {SPACE}/team": (200, {"metadata": {"name": "team", "labels": labels}}),
        REVIEW: allow("create", "list", "get"),
        f"GET {SPACE}/team/serviceaccounts/aegan-pipeline": (200, {"metadata": account}),
        ARGO: (200, defaults(limit="0", retryPolicy="Always")),
        "GET /api/v1/nodes": (200, {"items": [node("cpu"), node("gpu", gpus=1)]}),
    }
    with Loopback(routes) as running:
        entry = {"name": "fake", "cluster": {"server": running.url}}
        tree = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [entry],
            "users": [{"name": "me", "user": {"token": "hush-hush"}}],
            "contexts": [
                {"name": "fake", "context": {"cluster": "fake", "user": "me", "namespace": "team"}}
            ],
        }
        file = tmp_path / "kubeconfig"
        file.write_text(yaml.safe_dump(tree))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
        yield running


VERSION = (
    "buildDate",
    "compiler",
    "gitCommit",
    "gitTreeState",
    "goVersion",
    "major",
    "minor",
    "platform",
)


@pytest.fixture
def api(fake: Loopback) -> Any:
    connected = cluster.connect()
    assert not isinstance(connected, Check)
    assert connected[1] == "team"
    return connected[0]


def config(**compute: Any) -> Any:
    return validate(tiny(compute={"image": IMAGE, "accelerator_count": 1} | compute), "f")


def test_a_good_cluster_passes(fake: Loopback) -> None:
    checks = list(examine._cluster(Context(), config(), None))
    assert [(c.name, c.status) for c in checks] == [
        (name, "ok")
        for name in (
            "cluster", "namespace", "permissions", "service account", "Argo retries", "node pools",
            "tolerations", "node pools", "tolerations", "image",
        )
    ]  # fmt: skip
    text = "\n".join(item.line() for item in checks)
    for part in ("v1.33.1", "Pod Security: restricted", "acts as a@p", "is on 1 nodes already"):
        assert part in text
    assert "hush-hush" not in text
    assert fake.requests[0][2]["authorization"] == "Bearer hush-hush"


def test_a_cluster_out_of_reach_fails_only_if_it_was_asked_for(fake: Loopback, api: Any) -> None:
    fake.stop()
    assert cluster.cluster(api, expected=True).status == "fail"
    assert cluster.cluster(api, expected=False).status == "warn"


def test_a_cluster_that_hangs_is_given_up(
    fake: Loopback, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "TIMEOUT", 1)
    fake.delay = 2.0
    assert "does not answer (ReadTimeoutError)" in cluster.cluster(api, expected=True).text


def test_in_a_pod_its_own_cluster_is_looked_at(
    fake: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(client_configuration: Any) -> None:
        client_configuration.host = fake.url

    monkeypatch.setattr("kubernetes.config.load_incluster_config", load)
    (tmp_path / "namespace").write_text("own")
    monkeypatch.setattr(cluster, "POD_NAMESPACE", str(tmp_path / "namespace"))
    connected = cluster.connect()
    assert not isinstance(connected, Check)
    assert connected[1] == "own"
    assert cluster.cluster(connected[0], expected=True).status == "ok"


def test_expired_credentials_are_told(fake: Loopback, api: Any) -> None:
    fake.routes["GET /version/"] = (401, {"message": "Unauthorized"})
    found = cluster.cluster(api, expected=False)
    assert (found.status, "expired" in found.cure) == ("fail", True)


def test_a_missing_namespace_and_one_that_may_not_be_read(fake: Loopback, api: Any) -> None:
    assert cluster.namespace(api, "nowhere").cure.startswith("kubectl create namespace nowhere")
    fake.routes[f"GET {SPACE}/team"] = (403, {"message": "namespaces is forbidden"})
    found = cluster.namespace(api, "team")
    assert (found.status, found.text) == ("skip", "403: namespaces is forbidden")


def test_missing_rights_are_named(fake: Loopback, api: Any) -> None:
    fake.routes[REVIEW] = allow("list")
    found = cluster.permissions(api, "team", None)
    assert found.status == "warn"
    assert found.text.endswith("create runs, get pods/log")
    asked = fake.requests[-1][3]["spec"]["resourceAttributes"]
    assert asked == {
        "group": "", "namespace": "team", "resource": "pods", "subresource": "log", "verb": "get"
    }  # fmt: skip


def test_who_may_submit_is_asked_only_where_the_server_asks_it(fake: Loopback, api: Any) -> None:
    fake.routes[REVIEW] = allow("list", "get")
    assert cluster.permissions(api, "team", True).status == "warn"
    found = cluster.permissions(api, "team", False)
    assert (found.status, found.text) == ("ok", "reading logs in team")


def test_a_missing_service_account(fake: Loopback, api: Any) -> None:
    assert cluster.service_account(api, "team", "own").status == "fail"
    found = cluster.service_account(api, "other", None)
    assert found.status == "warn"
    # What pip installs has no manifests/.
    assert found.cure == (
        "kubectl create serviceaccount aegan-pipeline -n other, or in a checkout of the repository"
        " kubectl apply -k manifests/base -n other"
    )


def test_the_secrets_that_images_are_pulled_with_are_looked_for(fake: Loopback) -> None:
    def look() -> Check:
        stages = {"train_gan": {"image_pull_secrets": ["other"]}}
        given = config(image_pull_secrets=["registry"], stages=stages)
        (found,) = [c for c in examine._cluster(Context(), given, None) if c.name == "pull secrets"]
        return found

    both = [f"GET {SPACE}/team/secrets/{name}" for name in ("registry", "other")]
    login = {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "c2VjcmV0"}}
    fake.routes |= dict.fromkeys(both, (200, login))
    assert (look().status, look().text) == ("ok", "other, registry in team")
    fake.routes[both[1]] = (404, {"message": "not found"})
    fake.routes[both[0]] = (200, login | {"type": "Opaque"})
    found = look()
    assert found.status == "fail"
    assert "there is no other in team; registry is of the type Opaque, which" in found.text
    assert "kubectl create secret docker-registry NAME -n team" in found.cure
    fake.routes[both[1]] = (403, {"message": "secrets is forbidden"})
    found = look()
    assert found.status == "skip"
    assert "not allowed to look for other, registry in team (get secrets)" in found.text
    assert not [c for c in examine._cluster(Context(), config(), None) if c.name == "pull secrets"]


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        ((200, defaults(limit="0", retryPolicy="Always")), "ok", "evicted pods are tried again as"),
        ((200, {"data": {}}), "warn", "policy OnFailure, limit not set: evicted pods are not"),
        ((200, {"data": {"workflowDefaults": "{"}}), "warn", "policy OnFailure"),
        ((200, defaults(limit="2", retryPolicy="OnError")), "warn", "fail by themselves are not"),
        ((200, defaults(limit="2", retryPolicy="Always")), "warn", "may start many times"),
        ((403, {"message": "no"}), "skip", "403: no"),
    ],
)
def test_argos_retry_policy(
    answer: tuple[int, Any], status: str, text: str, fake: Loopback, api: Any
) -> None:
    fake.routes[ARGO] = answer
    fake.routes[ARGO.replace("kubeflow", "team")] = answer
    found = cluster.argo_retries(api, "team")
    assert found.status == status
    assert text in found.text


def test_argos_settings_under_one_key_are_read() -> None:
    inner = {"workflowDefaults": {"spec": {"templateDefaults": {"retryStrategy": {"limit": 1}}}}}
    assert cluster.retry_strategy({"config": yaml.safe_dump(inner)}) == {"limit": 1}


def test_nodes_that_may_not_be_listed_are_skipped(fake: Loopback) -> None:
    fake.routes["GET /api/v1/nodes"] = (403, {"message": "nodes is forbidden"})
    checks = {item.name: item for item in examine._cluster(Context(), config(), None)}
    assert checks["node pools"].status == "skip"
    assert "tolerations" not in checks
    assert checks["image"].status == "warn"


def test_each_steps_own_nodes_and_image_are_looked_at(fake: Loopback) -> None:
    stages = {
        "train_gan": {"accelerator_count": 2},
        "evaluate": {"image": "127.0.0.1:9/other:1.0", "node_selector": {"zone": "b"}},
    }
    found = [
        (check.name, check.status, check.text)
        for check in examine._cluster(Context(), config(stages=stages), None)
    ]
    small = "normalize, publish, record"
    assert found[5:13] == [
        ("node pools", "ok", f"{small}: 2 nodes; no accelerator is asked for"),
        ("tolerations", "ok", f"{small}: may run on cpu"),
        ("node pools", "ok", "train_autoencoder: 1 nodes with at least 1 nvidia.com/gpu"),
        ("tolerations", "ok", "train_autoencoder: may run on gpu"),
        ("node pools", "warn", "train_gan: none of 2 nodes has 2 nvidia.com/gpu now"),
        ("tolerations", "skip", "train_gan: there is no node to compare with"),
        ("node pools", "warn", "evaluate: no node is labelled zone=b now"),
        ("tolerations", "skip", "evaluate: there is no node to compare with"),
    ]
    held, other = found[13:]
    assert held[2] == (
        f"normalize, train_autoencoder, train_gan, publish, record: {IMAGE} is on 1 nodes already"
    )
    assert (other[1], other[2].startswith("evaluate: 127.0.0.1:9 cannot")) == ("warn", True)
