"""The lock files of the images, and what pyproject.toml asks of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "docker"
FLAVOURS = {"cpu": "cpu", "gpu": "gpu", "cli": "pipelines"}
PIN = re.compile(r"(?P<name>[\w.-]+)==(?P<version>\S+)(?P<hashes>( --hash=sha256:[0-9a-f]{64})+)")


def pins(name: str) -> list[str]:
    """The requirements of a lock file, one line each, without comments."""
    text = (REQUIREMENTS / f"requirements-{name}.txt").read_text("utf-8")
    lines = re.sub(r"\s*\\\n\s*", " ", text).splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def locked(name: str) -> dict[str, str]:
    """Version by canonical name."""
    found = {}
    for line in pins(name):
        match = PIN.fullmatch(line)
        assert match, f"requirements-{name}.txt: expected a version and hashes, found {line!r}"
        found[str(canonicalize_name(match["name"]))] = match["version"]
    return found


def wanted(name: str) -> list[Requirement]:
    """What pyproject.toml asks a lock file to hold, with extras of our own resolved."""
    tree: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project, extras = tree["project"], tree["project"]["optional-dependencies"]
    if name == "build":
        texts = [*tree["build-system"]["requires"], *tree["dependency-groups"]["image"]]
    elif name == "kfp":
        texts = [text for text in extras["pipelines"] if Requirement(text).name == "kfp"]
    else:
        texts = [*project["dependencies"], *_resolved(extras, FLAVOURS[name])]
    return [Requirement(text) for text in texts]


def _resolved(extras: dict[str, list[str]], name: str) -> list[str]:
    found: list[str] = []
    for text in extras[name]:
        item = Requirement(text)
        if item.name == "aegan":
            found += [inner for extra in sorted(item.extras) for inner in _resolved(extras, extra)]
        else:
            found.append(text)
    return found
