"""Versions of what is installed."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution, version

# Distributions that hold the same package; what asks for the first is served by the others.
SAME = {"tensorflow": ("tensorflow-cpu",)}


def installed_version(name: str) -> str | None:
    """Version of a distribution, or of another that holds the same package; None without either."""
    for candidate in (name, *SAME.get(name, ())):
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    return None


def source_revision() -> str | None:
    """The commit that this package was installed from, where the installer noted it (PEP 610)."""
    try:
        noted = distribution("aegan").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    found = json.loads(noted or "{}").get("vcs_info", {}).get("commit_id")
    return None if found is None else str(found)
