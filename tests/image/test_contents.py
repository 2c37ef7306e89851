"""What is in the image and what is not."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import aegan
from tests.image.containers import INSTALLED, inspect, printed, run
from tests.locks import REQUIREMENTS, locked, wanted

ROOT = Path(__file__).parents[2]
TENSORFLOW_BYTES, OTHER_BYTES = 1_250_000_000, 500_000_000
# What each package that we ask for is there for. All others are asked for by one of these.
PURPOSES = {
    "click": "the command line",
    "google-cloud-storage": "every step reads and writes the bucket",
    "jinja2": "evaluate: the report's page",
    "kfp": "the executor that starts each step",
    "matplotlib": "evaluate: the report's figures; previews while training",
    "model-signing": "publish: the signature, where `publish.sign` asks for one",
    "numpy": "every step",
    "onnx": "both trainings: the ONNX models",
    "packaging": "doctor: versions",
    "pillow": "normalize: images; previews while training",
    "pydantic": "every step: the configuration",
    "pyopenssl": "publish: model-signing imports it",
    "pyyaml": "every step: the configuration",
    "rich": "the command line",
    "scikit-learn": "normalize: the digits; train_gan: the mixture; evaluate: the metrics",
    "scipy": "evaluate: the metrics",
    "tensorflow-cpu": "both trainings, evaluate, publish",
}


@pytest.fixture(scope="module")
def installed(image: str) -> dict[str, Any]:
    """Version and requirements by canonical name."""
    found = json.loads(printed(image, "python", "-c", INSTALLED))
    return {canonicalize_name(name): value for name, value in found.items()}


def test_exactly_what_is_locked_is_installed(installed: Any) -> None:
    versions = {name: version for name, (version, _) in installed.items()}
    assert versions == locked("cpu") | locked("kfp") | {"aegan": aegan.__version__}


def test_every_package_has_a_purpose_or_is_asked_for_by_one_that_has(installed: Any) -> None:
    assert {item.name for item in (*wanted("cpu"), *wanted("kfp"))} == set(PURPOSES)
    requires = {
        name: [Requirement(text) for text in texts] for name, (_, texts) in installed.items()
    }
    requires["kfp"] = []  # without what it asks for
    reached, ahead = set[tuple[str, str]](), [(name, "") for name in ("aegan", *PURPOSES)]
    while ahead:
        name, extra = ahead.pop()
        reached.add((name, extra))
        for item in requires[name]:
            other = canonicalize_name(item.name)
            if other in requires and (
                item.marker is None or item.marker.evaluate({"extra": extra})
            ):
                wants = {(other, wanted_extra) for wanted_extra in ("", *item.extras)}
                ahead += wants - reached
    assert set(requires) - {name for name, _ in reached} == set()


def test_the_image_is_small(image: str) -> None:
    """TensorFlow within its budget, and everything else above the base within its own."""
    folder = "/opt/aegan/lib/python3.11/site-packages/tensorflow"
    tensorflow = int(printed(image, "du", "-sb", folder).split()[0])
    assert tensorflow < TENSORFLOW_BYTES
    assert inspect(image)["Size"] - inspect(base_name())["Size"] - tensorflow < OTHER_BYTES


def base_name() -> str:
    lines = (ROOT / "docker" / "Dockerfile").read_text("utf-8").splitlines()
    return next(line.removeprefix("ARG PYTHON=") for line in lines if line.startswith("ARG PYTHON"))


def test_nothing_of_the_build_is_left(image: str) -> None:
    programs = printed(image, "sh", "-c", "ls /opt/aegan/bin").split()
    assert programs == ["aegan", "python", "python3", "python3.11"]
    names = "-name tests -o -name pip -o -name setuptools -o -name wheel -o -name direct_url.json"
    # By package: SciPy has modules of such names that are no tests.
    paths = ("tensorflow/include", "kfp/*_test.py", "keras/*_test.py", "keras/*_test.*.pyc")
    left = rf"\( {names} " + " ".join(f"-o -path '*/{path}'" for path in paths) + r" \)"
    assert printed(image, "sh", "-c", f"find /opt/aegan/lib {left}") == ""
    for gone in ("/build", "/own", "/source", "/root/.cache", "/root/.config"):
        assert run(image, "test", "-e", gone).returncode == 1, gone
    compilers = "for p in cc gcc c++ ld make; do command -v $p; done; true"
    assert printed(image, "sh", "-c", compilers) == ""
    assert not [item for item in inspect(image)["Config"]["Env"] if "PIP" in item or "CERT" in item]
    history = json.dumps(inspect(image))
    assert "machine" not in history


def test_the_labels_say_what_it_is(image: str) -> None:
    config = inspect(image)["Config"]
    labels = {
        key.removeprefix("org.opencontainers.image."): value
        for key, value in config["Labels"].items()
    }
    assert labels["version"] == aegan.__version__
    assert labels["licenses"] == "Apache-2.0"
    git = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    if subprocess.run(git, capture_output=True).returncode == 0:  # it was built from a checkout
        assert re.fullmatch("[0-9a-f]{40}(-changed)?", labels["revision"])
    assert labels["source"] == "unknown" or labels["source"].startswith("https://")
    user, group = config["User"].split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_list_of_contents_is_complete(image: str, installed: Any) -> None:
    listed = json.loads(printed(image, "cat", "/opt/aegan/share/sbom.cdx.json"))
    assert listed["bomFormat"] == "CycloneDX"
    itself = listed["metadata"]["component"]
    versions = {canonicalize_name(c["name"]): c["version"] for c in listed["components"]}
    versions[itself["name"]] = itself["version"]
    assert versions == {name: version for name, (version, _) in installed.items()}
    assert all(item.get("purl") for item in listed["components"])
    assert "file://" not in json.dumps(listed)


def test_the_command_line_image_has_no_tensorflow(cli_image: str) -> None:
    found = json.loads(printed(cli_image, "python", "-c", INSTALLED))
    versions = {canonicalize_name(name): version for name, (version, _) in found.items()}
    assert versions == locked("cli") | {"aegan": aegan.__version__}
    assert not any("tensorflow" in name for name in versions)
    assert inspect(cli_image)["Size"] - inspect(base_name())["Size"] < OTHER_BYTES


def test_the_locks_are_those_of_the_project() -> None:
    """The files that the build copies are the ones that the tests read."""
    text = (ROOT / "docker" / "Dockerfile").read_text("utf-8")
    for name in ("build", "kfp"):
        assert f"docker/requirements-{name}.txt" in text
        assert (REQUIREMENTS / f"requirements-{name}.txt").is_file()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]["image"]
