"""The images' lock files hold what pyproject.toml asks for, and no addresses."""

from __future__ import annotations

import re

import pytest
from packaging.utils import canonicalize_name

from tests.locks import FLAVOURS, REQUIREMENTS, locked, pins, wanted

NAMES = [*FLAVOURS, "build", "kfp"]
CURE = "run `make lock` and commit docker/requirements-*.txt"


def test_no_lock_file_is_forgotten() -> None:
    found = {path.stem.removeprefix("requirements-") for path in REQUIREMENTS.glob("*.txt")}
    assert found == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_file_satisfies_the_project(name: str) -> None:
    versions = locked(name)
    for item in wanted(name):
        version = versions.get(canonicalize_name(item.name))
        assert version is not None, f"{name}: {item} is missing; {CURE}"
        assert item.specifier.contains(version), f"{name}: {item}, locked {version}; {CURE}"


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_file_has_hashes_and_no_address(name: str) -> None:
    assert pins(name)
    text = (REQUIREMENTS / f"requirements-{name}.txt").read_text("utf-8")
    assert not re.search(r"--(extra-)?index|--find-links|--trusted|://|/\w+/", text)


def test_all_lock_files_agree() -> None:
    versions: dict[str, set[str]] = {}
    for name in NAMES:
        for package, version in locked(name).items():
            versions.setdefault(package, set()).add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


def test_the_flavours_differ_in_tensorflow_alone() -> None:
    cpu, gpu = set(locked("cpu")), set(locked("gpu"))
    assert cpu - gpu == {"tensorflow-cpu"}
    others = {name for name in gpu - cpu if not name.startswith("nvidia-")}
    assert others == {"tensorflow"}
    assert not any("tensorflow" in name for name in locked("cli"))


@pytest.mark.parametrize("name", FLAVOURS)
def test_nothing_that_only_builds_is_locked_for_an_image(name: str) -> None:
    assert not {"pip", "setuptools", "wheel", "libclang", "google-pasta"} & set(locked(name))
