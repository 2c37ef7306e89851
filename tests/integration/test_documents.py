"""Every command and piece of Python in the documentation that needs no cluster is run here.

They run in one folder, in the order of the pages, as a reader would: what one makes, the next uses. What
takes minutes is made small, and nothing else is changed:

- `make demo` runs what its recipe in the Makefile runs; the other recipes are run by CI;
- `aegan run` and `aegan sweep` get the settings of SMALL, and `digits` as their data;
- of each `--grid`, the first value is kept.

What says that no test builds or runs it is left out.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import PAGES, ROOT, Block, blocks

AEGAN = str(Path(sys.executable).with_name("aegan"))
SMALL = (
    "data={source: digits}",
    "autoencoder={hidden: [16], latent_size: 16, steps: 20, batch_size: 64, compiler: graph}",
    "gan.compiler=graph",
    "gan.hidden=[16]",
    "gan.batch_size=64",
    "gan.steps=5",
    "gan.components=2",
    "evaluation={samples: 100, feature_steps: 5}",
)
# `make test` runs this, and images need Docker Engine: `.ci/run` calls each of them.
BY_CI = ("make test", "make image", "make image FLAVOUR=cli", "make image-test")

HERE = [
    block
    for page in PAGES
    for block in blocks(page)
    if block.language in ("sh", "python") and not block.marked and not block.untested
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader is, with the configurations that the pages show."""
    place = tmp_path_factory.mktemp("reader")
    for block in (block for page in PAGES for block in blocks(page)):
        if block.language == "yaml" and block.lines[0].startswith("# "):
            name = block.lines[0].removeprefix("# ")
            (place / name).write_text("\n".join(block.lines), "utf-8")
    return place


@pytest.mark.parametrize("block", HERE, ids=lambda block: f"{block.page.name}: {block.lines[0]}")
def test_what_the_documentation_says_can_be_done(block: Block, folder: Path) -> None:
    if block.language == "python":
        execute([sys.executable, "-c", "\n".join(block.lines)], folder)
        return
    for command in block.commands:
        if command in BY_CI:
            script = (ROOT / ".ci" / "run").read_text("utf-8")
            assert command in [line.strip() for line in script.splitlines()]
        else:
            execute(made_small(command), folder)


def made_small(command: str) -> list[str]:
    if command.startswith("make "):
        makefile = (ROOT / "Makefile").read_text("utf-8")
        target = command.removeprefix("make ")
        recipe = re.search(rf"^{target}:.*\n\t\$\(BIN\)/(.+)$", makefile, re.MULTILINE)
        assert recipe, command
        command = recipe[1].replace("$(ROOT)", "demo")
    program, *arguments = shlex.split(command)
    assert program == "aegan", f"{command}: run it here, or say that it needs a cluster"
    if arguments[0] in ("run", "sweep"):
        arguments = [re.sub(r"^([\w.]+=[^\[,]+),.*", r"\1", argument) for argument in arguments]
        arguments += [part for setting in SMALL for part in ("--set", setting)]
    return [AEGAN, *arguments]


def execute(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, (
        f"{shlex.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    )
