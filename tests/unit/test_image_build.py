"""How an image is built, without Docker: what is asked of it, and what of this machine goes in."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "image.py"


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
    image.build("aegan:1", "gpu")
    ((command, environment),) = asked
    assert environment["DOCKER_BUILDKIT"] == "0"
    assert {"--network=host", "--tag=aegan:1", "--build-arg=FLAVOUR=gpu"} <= set(command)
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
