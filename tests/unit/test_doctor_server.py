"""The doctor's checks of Kubeflow's API server and of the image's registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aegan_pipelines.doctor import examine, image, server
from aegan_pipelines.doctor.check import Check

from aegan.errors import AeganError
from tests.loopback import Loopback

TOKEN = "top.secret.token"
GOOD = {
    "GET /apis/v2beta1/healthz": (200, {"multi_user": True}),
    "GET /apis/v1beta1/healthz": (200, {"tag_name": "2.17.0"}),
    "GET /apis/v2beta1/runs": (200, {"runs": []}),
}


@pytest.fixture
def api() -> Iterator[Loopback]:
    with Loopback(dict(GOOD)) as running:
        yield running


def test_a_good_server_passes_and_gets_the_token(api: Loopback) -> None:
    request = examine.Request(None, "root", host=api.url, namespace="team")
    checks = list(examine._server(request, TOKEN))
    assert [item.status for item in checks] == ["ok", "ok", "ok"]
    assert "multi-user" in checks[0].text
    assert "release 2.17.0" in checks[1].text
    assert "namespace team" in checks[2].text
    assert all(headers["Authorization"] == f"Bearer {TOKEN}" for _, _, headers, _ in api.requests)
    assert "namespace=team" in api.requests[-1][1]
    assert not any(TOKEN in item.line() for item in checks)


@pytest.mark.parametrize(
    ("answer", "text", "cure"),
    [
        ((401, {}), "does not know who asks (401)", "--token-file"),
        ((302, "login"), "redirects to a login page (302)", "--token-file"),
        ((403, {}), "refuses what this account asks (403)", "--namespace"),
        ((404, {}), "has no API v2beta1 (404)", "ends in /pipeline"),
        ((503, "busy"), "has an error of its own (503)", "kubectl logs"),
        ((200, "<html>login</html>"), "not as Kubeflow Pipelines", "correct --host"),
    ],
)
def test_every_refusal_is_explained(
    answer: tuple[int, Any], text: str, cure: str, api: Loopback
) -> None:
    api.routes["GET /apis/v2beta1/healthz"] = answer
    (found,) = examine._server(examine.Request(None, "root", host=api.url), TOKEN)
    assert found.status == "fail"
    assert text in found.text
    assert cure in found.cure


def test_a_token_is_not_carried_to_where_a_redirect_leads(api: Loopback) -> None:
    with Loopback({}) as other:
        api.headers["Location"] = f"{other.url}/login"
        api.routes["GET /apis/v2beta1/healthz"] = (307, "")
        assert server.api_server(api.url, TOKEN).status == "fail"
        assert other.requests == []


def test_a_dead_and_a_slow_host(api: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no connection" in server.api_server("http://127.0.0.1:9", None).text
    monkeypatch.setattr(server, "SECONDS", 0.1)
    api.delay = 1.0
    assert "no answer within 0.1 s" in server.api_server(api.url, None).text


def test_an_address_is_checked_and_shown_without_its_password() -> None:
    assert "expected http:// or https://" in server.api_server("kubeflow.local", None).text
    found = server.api_server("http://me:hush@127.0.0.1:9", None)
    assert "hush" not in found.line()


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        ((200, {"tag_name": "2.4.0"}), "warn", "older than 2.17"),
        ((200, {"tag_name": "1.8.5"}), "fail", "expected 2.x"),
        ((404, {}), "ok", "does not tell its release"),
        ((200, "no json"), "ok", "does not tell its release"),
    ],
)
def test_versions(answer: tuple[int, Any], status: str, text: str, api: Loopback) -> None:
    api.routes["GET /apis/v1beta1/healthz"] = answer
    found = server.api_version(api.url, None)
    assert found.status == status
    assert text in found.text


def test_access_to_the_namespace(api: Loopback) -> None:
    api.routes["GET /apis/v2beta1/runs"] = (400, {"error": "namespace is empty"})
    assert server.api_access(api.url, TOKEN, None).cure == "give --namespace yours"
    api.routes["GET /apis/v2beta1/runs"] = (403, {})
    assert server.api_access(api.url, TOKEN, "other").status == "fail"


def test_tokens_come_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AEGAN_TOKEN", "KF_PIPELINES_SA_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert server.read_token(None) is None
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert server.read_token(str(file)) == TOKEN
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(file))
    assert server.read_token(None) == TOKEN
    monkeypatch.setenv("AEGAN_TOKEN", "other")
    assert server.read_token(None) == "other"
    with pytest.raises(AeganError, match="cannot read the token file .*: No such file"):
        server.read_token(str(tmp_path / "none"))
    file.write_text("\n")
    with pytest.raises(AeganError, match="is empty; expected a bearer token"):
        server.read_token(str(file))


DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("aegan", ("registry-1.docker.io", "library/aegan", "latest")),
        ("team/aegan:1", ("registry-1.docker.io", "team/aegan", "1")),
        ("localhost:5000/aegan:1", ("localhost:5000", "aegan", "1")),
        (f"eu.pkg.dev/p/r/aegan:1@{DIGEST}", ("eu.pkg.dev", "p/r/aegan", DIGEST)),
    ],
)
def test_names_of_images(name: str, parts: tuple[str, str, str]) -> None:
    assert image.parse_image(name) == parts


def _look(registry: Loopback, reference: str) -> Check:
    separator = "@" if reference.startswith("sha256:") else ":"
    return image.image(f"{registry.address}/team/aegan{separator}{reference}")


def test_an_image_is_asked_for_as_a_node_would() -> None:
    with Loopback({f"HEAD /v2/team/aegan/manifests/{DIGEST}": (200, "")}) as registry:
        assert _look(registry, DIGEST).status == "ok"
        assert "oci.image.index" in registry.requests[0][2]["Accept"]
        missing = _look(registry, "2.0.0")
        assert (missing.status, "push the image" in missing.cure) == ("fail", True)


def test_a_tag_is_told_its_digest() -> None:
    with Loopback({"HEAD /v2/team/aegan/manifests/1.0": (200, "")}) as registry:
        registry.headers["Docker-Content-Digest"] = DIGEST
        found = _look(registry, "1.0")
        assert found.status == "warn"
        assert found.cure.endswith(f"{registry.address}/team/aegan@{DIGEST}")


def test_the_anonymous_token_of_a_registry_is_fetched() -> None:
    def manifest(request: Any) -> tuple[int, str]:
        return (200 if request[2].get("Authorization") == "Bearer anonymous" else 401), ""

    routes: dict[str, Any] = {
        f"HEAD /v2/team/aegan/manifests/{DIGEST}": manifest,
        "GET /token": (200, {"token": "anonymous"}),
    }
    with Loopback(routes) as registry:
        scope = "repository:team/aegan:pull"
        registry.headers["WWW-Authenticate"] = (
            f'Bearer realm="{registry.url}/token",service="s",scope="{scope}"'
        )
        assert _look(registry, DIGEST).status == "ok"
        registry.routes["GET /token"] = (403, {})
        refused = _look(registry, DIGEST)
        assert (refused.status, "only to those who log in" in refused.text) == ("warn", True)


def test_a_registry_out_of_reach_is_no_failure_and_nodes_may_hold_the_image() -> None:
    assert image.image(f"127.0.0.1:9/aegan@{DIGEST}").status == "warn"
    assert image.image(f"127.0.0.1:9/aegan@{DIGEST}", held=2).status == "ok"


def test_a_token_file_that_cannot_be_read_is_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine.machine, "gpu", lambda: Check("GPU", "skip", ""))
    request = examine.Request(None, "", token_file="/nowhere/token")
    found = [item for item in examine.examine(request) if item.name == "token"]
    assert [item.line().count("/nowhere/token") for item in found] == [1]
