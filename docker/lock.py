"""`make lock`: writes docker/requirements-*.txt, what the images install, from pyproject.toml.

Everything is resolved once, together, so that the image, the command line and a laptop that installs
`aegan[dev]` agree on the version of what they share. Then each file gets its part, with the hashes of
all files of a version. The newest versions that fit are taken: running it is the upgrade.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
EXTRAS = {"cpu": "cpu", "gpu": "gpu", "cli": "pipelines"}
TARGET = ["--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"]
# TensorFlow demands these and imports none of them: setuptools and wheel (through astunparse) are for
# building packages, libclang and google-pasta for generating and converting source code.
UNUSED = ("setuptools", "wheel", "libclang", "google-pasta")


def main() -> None:
    """Write all lock files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = project["dependency-groups"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *groups["lock"]], check=True)
    build = [*project["build-system"]["requires"], *groups["image"]]
    with tempfile.TemporaryDirectory() as scratch:
        together = Path(scratch) / "together.txt"
        extras = [f"--extra={extra}" for extra in EXTRAS.values()]
        _compile("pyproject.toml", "-", *extras, output=together, requirements=build)
        shared = [f"--constraint={together}", "--generate-hashes"]
        for flavour, extra in EXTRAS.items():
            omitted = [f"--no-emit-package={name}" for name in UNUSED]
            _lock(flavour, "pyproject.toml", f"--extra={extra}", *omitted, *shared)
        _lock("build", "-", *shared, requirements=build)
        # A step needs Kubeflow's executor and none of what Kubeflow depends on.
        _lock("kfp", "-", "--no-deps", *shared, requirements=[_kfp(project)])


def _kfp(project: dict[str, Any]) -> str:
    wanted = project["project"]["optional-dependencies"]["pipelines"]
    return str(next(text for text in wanted if text.startswith("kfp>")))


def _lock(name: str, *arguments: str, requirements: list[str] | None = None) -> None:
    output = ROOT / "docker" / f"requirements-{name}.txt"
    _compile(*arguments, output=output, requirements=requirements or [])
    print(f"wrote {output.relative_to(ROOT)}")


def _compile(*arguments: str, output: Path, requirements: list[str]) -> None:
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade", *TARGET]
    command += ["--custom-compile-command=make lock", "--no-emit-index-url", "--no-annotate"]
    command += [*arguments, f"--output-file={output}"]
    subprocess.run(command, check=True, cwd=ROOT, input="\n".join(requirements), text=True)


if __name__ == "__main__":
    main()
