"""Names of models, and how a person refers to one."""

from __future__ import annotations

import re

from aegan.errors import RegistryError

NAME_PATTERN = r"^[a-z][a-z0-9-]{0,62}$"
# What names a Kubernetes object that has an address, too: services, and pipelines on some servers.
DNS_LABEL_PATTERN = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"
VERSION_PATTERN = r"^\d{8}T\d{6}Z-[0-9a-f]{12}$"
DIGEST_PATTERN = r"^[0-9a-f]{64}$"


def parse_reference(uri: str) -> tuple[str, str, str]:
    """(root, name, alias, version or root digest) of `<root>/models/<name>@<reference>`.

    Also accepted: `<root>/models/<name>` (its champion) and `<root>/models/<name>/versions/<version>`.
    """
    match = re.fullmatch(
        r"(?:(?P<root>.*?)/)?models/(?P<name>[^/@]+)(?:@(?P<at>[^/@]+)|/versions/(?P<version>[^/]+))?/?",
        uri,
    )
    if match is None or match["root"] == "gs:/":  # a bucket called models, and no model
        raise RegistryError(
            f"{uri!r} names no model: expected <root>/models/<name>@<alias, version or digest>,"
            " for example gs://bucket/models/fashion@champion"
        )
    root = "." if match["root"] is None else match["root"] or "/"
    reference = match["at"] or match["version"] or "champion"
    return root, check_model_name(match["name"]), reference


def check_version(version: str) -> str:
    """Refuse what is no name of a version; returns the name."""
    if not re.fullmatch(VERSION_PATTERN, version):
        raise RegistryError(
            f"{version!r} is not a version: expected <yyyymmddThhmmssZ>-<12 hex digits>"
        )
    return version


def check_model_name(name: str) -> str:
    """Refuse what is no name of a model or alias; returns the name."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise RegistryError(
            f"{name!r} is not a name: expected lower-case letters, digits and hyphens,"
            " beginning with a letter"
        )
    return name
