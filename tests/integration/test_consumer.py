"""A consumer with the base install and ONNX runtime, in a fresh environment, follows the README."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from aegan.manifest import NAME
from aegan.registry import Registry
from tests.documents import ROOT, Block, blocks

README = ROOT / "README.md"
INSTALL = "pip install '.[onnx]'"
NO_INDEX = (
    r"Failed to establish a new connection|Name or service|name resolution|timed out|No matching"
)
TOLD = """
from importlib.util import find_spec
print(images.shape, images.dtype, scores.shape, (rebuilt == model.decode(codes)).mean())
others = ("tensorflow", "keras", "kfp", "pyarrow", "sklearn", "model_signing")
print([name for name in others if find_spec(name)])
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment, installed as the README says."""
    assert INSTALL in README.read_text("utf-8")
    place = tmp_path_factory.mktemp("consumer") / "venv"
    venv.create(place, with_pip=True)
    command = [str(place / "bin" / "pip"), "install", "--quiet", "--retries=1", "--timeout=10"]
    done = subprocess.run([*command, ".[onnx]"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode and re.search(NO_INDEX, done.stderr):
        pytest.skip("no package index can be reached from here")
    assert done.returncode == 0, done.stderr[-2000:]
    return place / "bin"


@pytest.fixture
def root(bucket: str, published: dict[str, Any], tmp_path: Path) -> str:
    """A bucket that holds what the pipeline of today published, under the name that the README has."""
    shutil.copytree(published["model"], tmp_path / "version", ignore=shutil.ignore_patterns(NAME))
    registry = Registry(bucket)
    version = registry.publish("digits", tmp_path / "version")
    registry.set_alias("digits", "champion", version, "passed the gate")
    return bucket


def for_consumers() -> list[Block]:
    """The blocks that the README has for a consumer, of which each names the model."""
    found = [block for block in blocks(README) if "demo/models/digits@" in "".join(block.lines)]
    assert [block.language for block in found] == ["python", "sh"]
    return found


def test_a_fresh_environment_consumes_a_model_from_a_bucket_by_the_readme(
    programs: Path, root: str, tmp_path: Path
) -> None:
    reader = tmp_path / "reader"
    reader.mkdir()
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(reader),
        "STORAGE_EMULATOR_HOST": os.environ["STORAGE_EMULATOR_HOST"],
    }

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=reader, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr[-2000:]}"
        return done.stdout

    in_python, in_shell = for_consumers()
    lines = [line.replace("demo/", f"{root}/") for line in in_python.lines]
    printed = run("python", "-c", "\n".join([*lines, TOLD]))
    assert printed == "(100, 8, 8, 1) uint8 (100,) 1.0\n[]\n"
    for line in in_shell.lines:
        run("sh", "-c", line.replace("demo/", f"{root}/").replace("--root demo", f"--root {root}"))
    assert (reader / "grid.png").read_bytes().startswith(b"\x89PNG")
    assert set(Registry(root).aliases("digits")) == {"champion", "stable"}
    assert sys.prefix not in run("sh", "-c", "command -v aegan")
