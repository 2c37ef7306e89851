"""The images under test: built by `make image`, named by `make image-test`, else skipped."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from tests.image.containers import docker


@pytest.fixture(scope="session")
def image() -> str:
    name = os.environ.get("AEGAN_TEST_IMAGE", "")
    if not name:
        pytest.skip("needs Docker and a built image: run `make image image-test`")
    return name


@pytest.fixture(scope="session")
def cli_image(image: str) -> str:
    name = f"{image}-cli"
    if subprocess.run(["docker", "image", "inspect", name], capture_output=True).returncode:
        pytest.skip(f"{name} is not built: run `make image FLAVOUR=cli`")
    return name


@pytest.fixture(scope="session")
def network(image: str) -> Iterator[tuple[str, str]]:
    """A network whose containers reach this machine at one address, and nothing else; both names."""
    name = f"aegan-test-{uuid.uuid4().hex[:8]}"
    docker("network", "create", "--internal", name)
    gateway = docker("network", "inspect", "--format={{(index .IPAM.Config 0).Gateway}}", name)
    yield name, gateway
    docker("network", "rm", name)
