"""How an image is built, without Docker: what is asked of it, and what of this machine goes in."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "image.py"
DOCKERFILE = SCRIPT.with_name("Dockerfile")


@pytest.fixture
def image() -> Any:
    spec = importlib.util.spec_from_file_location("image", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_build_needs_no_buildkit_and_reaches_the_network_as_this_machine_does(
    image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(image, "_revision", lambda: "abc")
    monkeypatch.setattr(image, "_source", lambda: "https://example.com/aegan")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setattr(
        image.subprocess, "run", lambda command, **how: asked.append((command, how["env"]))
    )
    image.build("aegan:1", "gpu", "python@sha256:0")
    ((command, environment),) = asked
    assert environment["DOCKER_BUILDKIT"] == "0"
    assert {"--network=host", "--tag=aegan:1", "--build-arg=FLAVOUR=gpu"} <= set(command)
    assert "--build-arg=PYTHON=python@sha256:0" in command
    assert {"--build-arg=REVISION=abc", "--build-arg=https_proxy"} <= set(command)
    assert "proxy:3128" not in " ".join(command)


def test_only_what_reaches_an_index_goes_from_this_machine_into_the_build(
    image: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = tmp_path / "company.pem"
    authority.write_text("a certificate")
    told = [
        "global.index-url='https://mirror.example.com/simple'",
        "global.find-links='/a/folder/of/this/machine'",
        "global.target='/elsewhere'",
        f"global.cert='{authority}'",
    ]
    machine = tmp_path / "machine"
    machine.mkdir()
    for name in image.CERTIFICATES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(image, "MACHINE", machine)
    monkeypatch.setattr(image, "_output", lambda *_: "\n".join(told))
    image.write_machine_settings()
    assert (machine / "pip.conf").read_text().splitlines() == [
        "[global]",
        "index-url = https://mirror.example.com/simple",
        "cert = /build/machine/ca.crt",
    ]
    assert (machine / "ca.crt").read_text() == "a certificate"
    told.clear()
    image.write_machine_settings()
    assert (machine / "pip.conf").read_text() == "[global]\n"
    assert not (machine / "ca.crt").exists()


def test_programs_find_the_driver_where_gke_mounts_it() -> None:
    """Not in a path that the loader knows: without it, TensorFlow sees no GPU there."""
    shipped = DOCKERFILE.read_text("utf-8").rpartition("\nFROM ")[2]
    text = re.sub(r"\\\n\s*", "", shipped)
    (line,) = re.findall(r"^ENV (.*)$", text, re.MULTILINE)
    settings = dict(item.split("=", 1) for item in line.split())
    assert settings["LD_LIBRARY_PATH"] == "/usr/local/nvidia/lib64"


def test_the_overlay_with_gpus_says_which_flavour_its_steps_need(image: Any) -> None:
    overlay = SCRIPT.parents[1] / "manifests" / "overlays" / "gke"
    assert "preset: gke-" in (overlay / "config.yaml").read_text("utf-8")
    suffix = image.image_name("gpu").removeprefix(image.image_name("cpu"))
    assert f"`{suffix}`" in (overlay / "kustomization.yaml").read_text("utf-8")


def test_the_base_can_be_pinned_by_its_digest() -> None:
    base = f"python@sha256:{'0' * 64}"
    make = ["make", "--dry-run", "image", f"BASE={base}"]
    told = subprocess.run(make, cwd=SCRIPT.parents[1], check=True, capture_output=True, text=True)
    assert f"docker/image.py --flavour cpu --base {base}" in told.stdout


def test_what_is_given_as_base_is_that_of_every_stage() -> None:
    text = DOCKERFILE.read_text("utf-8")
    assert re.findall(r"^ARG PYTHON|^FROM \S+", text, re.MULTILINE) == [
        "ARG PYTHON",
        "FROM ${PYTHON}",
        "FROM packages",
        "FROM ${PYTHON}",
    ]
