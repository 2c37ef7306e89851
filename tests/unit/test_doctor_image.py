"""The doctor's checks of the image and its registry."""

from __future__ import annotations

from typing import Any

import pytest
from aegan_pipelines.doctor import image
from aegan_pipelines.doctor.check import Check

from tests.loopback import Loopback

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
        assert refused.status == "warn"
        assert "could not be looked up" in refused.text
        assert "wants a login (401), and none is used here" in refused.text


def test_a_registry_out_of_reach_is_no_failure_and_nodes_may_hold_the_image() -> None:
    assert image.image(f"127.0.0.1:9/aegan@{DIGEST}").status == "warn"
    assert image.image(f"127.0.0.1:9/aegan@{DIGEST}", held=2).status == "ok"
