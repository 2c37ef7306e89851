"""Links lead somewhere; commands that need a cluster are at least commands that there are."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest
from aegan_pipelines.cli import main
from aegan_pipelines.schedule_file import read_schedules

from aegan.config_file import load_config
from tests.documents import LINKED, PAGES, ROOT, Block, anchors, blocks, links

ALL = [block for page in PAGES for block in blocks(page)]
LANGUAGES = ("sh", "yaml", "python", "")


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_blocks_of_commands_are_found_and_their_language_is_known() -> None:
    assert {block.language for block in ALL} <= set(LANGUAGES)
    assert sum(len(block.commands) for block in ALL if block.language == "sh") > 30
    assert any(block.marked for block in ALL)
    assert [block.commands for block in ALL if block.untested] == [["make image FLAVOUR=gpu"]]


@pytest.mark.parametrize(
    "block", [b for b in ALL if b.marked or b.untested], ids=lambda b: b.page.name
)
def test_commands_that_are_not_executed_name_commands_and_options_that_exist(block: Block) -> None:
    for line in block.commands:
        program, *arguments = shlex.split(line)
        if program == "aegan":
            parse(arguments)
        elif program == "make":
            assert f"\n{arguments[0]}:" in (ROOT / "Makefile").read_text("utf-8"), line
        elif program == "kubectl" and "-k" in arguments:
            folder = arguments[arguments.index("-k") + 1]
            ours = (ROOT / folder / "kustomization.yaml").is_file()
            assert ours or folder.startswith("github.com/"), line


def parse(arguments: list[str]) -> None:
    """Let click take the arguments, without running anything."""
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        _, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command = found
    command.make_context("aegan", list(arguments), parent=context)


def test_the_configurations_and_schedules_of_the_documentation_are_valid(tmp_path: Path) -> None:
    found = []
    for block in (block for block in ALL if block.language == "yaml"):
        name = (
            block.lines[0].removeprefix("# ") if block.lines[0].startswith("# ") else "other.yaml"
        )
        path = tmp_path / name
        path.write_text("\n".join(block.lines), "utf-8")
        found.append(name)
        if name == "schedules.yaml":
            schedules = read_schedules(path)
            assert (schedules.group, schedules.mistakes) == ("shirts", [])
        elif name == "shirts.yaml":
            assert load_config(str(path)).name == "shirts"
    assert {"schedules.yaml", "shirts.yaml"} <= set(found)
