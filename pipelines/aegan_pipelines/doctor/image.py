"""The image of the steps: whether it is there and a node can pull it.

Asks the registry as a container runtime does (OCI distribution specification), without credentials.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from aegan_pipelines.doctor.check import SECONDS, Check

DOCKER_HUB = "registry-1.docker.io"
KINDS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)


class Image(NamedTuple):
    """An image's name in parts; `reference` is its digest or its tag."""

    registry: str
    repository: str
    reference: str


def parse_image(name: str) -> Image:
    """By Docker's rules: the part before the first slash is a registry if it looks like a host."""
    rest, _, digest = name.partition("@")
    first, slash, after = rest.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    registry, path = (first, after) if is_host else (DOCKER_HUB, rest)
    repository, _, tag = path.partition(":")
    if not is_host and "/" not in repository:
        repository = f"library/{repository}"
    return Image(registry, repository, digest or tag or "latest")


def image(name: str, held: int = 0) -> Check:
    """Whether the registry has the image and gives it to anyone.

    Args:
        name: as in compute.image.
        held: how many nodes hold it already.
    """
    import requests

    if held:
        return Check("image", "ok", f"{name} is on {held} nodes already")
    parts = parse_image(name)
    try:
        answer = _manifest(parts)
    except requests.RequestException as error:
        text = f"{parts.registry} cannot be reached from here ({type(error).__name__})"
        return Check("image", "warn", text, "make sure that the cluster's nodes reach it")
    if answer.status_code == 200:
        digest = answer.headers.get("Docker-Content-Digest", "")
        if parts.reference.startswith("sha256:"):
            return Check("image", "ok", f"{name} can be pulled")
        cure = f"write compute.image as {name.partition('@')[0].rpartition(':')[0]}@{digest}"
        return Check("image", "warn", f"{name} can be pulled, by a tag that may move", cure)
    if answer.status_code == 404:
        cure = "push the image, or correct compute.image"
        return Check("image", "fail", f"{parts.registry} has no {name}", cure)
    if answer.status_code in (401, 403):
        text = (
            f"{name} could not be looked up: {parts.registry} wants a login"
            f" ({answer.status_code}), and none is used here"
        )
        cure = "make sure that the nodes may pull it, or name a login in compute.image_pull_secrets"
        return Check("image", "warn", text, cure)
    cure = "try again, or use another registry"
    return Check("image", "warn", f"{parts.registry} answered {answer.status_code}", cure)


def _manifest(parts: Image) -> Any:
    """The answer to HEAD of the manifest, with the anonymous token that a registry may ask for."""
    import requests

    local = re.match(r"(localhost|127\.0\.0\.1)(:|$)", parts.registry)
    address = f"{'http' if local else 'https'}://{parts.registry}"
    url = f"{address}/v2/{parts.repository}/manifests/{parts.reference}"
    headers = {"Accept": KINDS}
    answer = requests.head(url, headers=headers, timeout=SECONDS)
    challenge = answer.headers.get("WWW-Authenticate", "")
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if (
        answer.status_code != 401
        or not challenge.lower().startswith("bearer ")
        or "realm" not in asked
    ):
        return answer
    query = {key: asked[key] for key in ("service", "scope") if key in asked}
    given = requests.get(asked["realm"], params=query, timeout=SECONDS)
    if given.status_code != 200:
        return answer
    body = given.json()
    headers["Authorization"] = f"Bearer {body.get('token') or body.get('access_token')}"
    return requests.head(url, headers=headers, timeout=SECONDS)
