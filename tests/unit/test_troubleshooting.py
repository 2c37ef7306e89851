"""docs/troubleshooting.md has an entry for every message that our code raises, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import aegan.errors
from aegan.errors import AeganError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
FAMILY = {
    name
    for name, kind in vars(aegan.errors).items()
    if isinstance(kind, type) and issubclass(kind, AeganError)
} | {"ClusterError", "UsageError"}
# A message with fewer letters of its own only puts a place before another message.
LEAST_LETTERS = 6
DIFFERS = "…"


def raised() -> Iterator[tuple[str, str]]:
    """Where, and what: each message that is made in the code, with `…` for what differs.

    Also what is told without being raised, by `narrate(stage, "error", text)`.
    """
    for ring in ("src", "pipelines", "components"):
        for path in sorted((ROOT / ring).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                where = f"{path.name}:{node.lineno}"
                if name in FAMILY:
                    yield where, constant(node.args[0])
                elif name == "narrate" and [constant(a) for a in node.args[1:2]] == ["error"]:
                    yield where, constant(node.args[2])


def constant(node: ast.expr) -> str:
    """The parts of a message that are always the same."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(constant(value) for value in node.values)
    if isinstance(node, ast.BinOp):
        return constant(node.left) + constant(node.right)
    return DIFFERS


def entries() -> list[str]:
    rows = re.findall(r"^\| `(.+?)` \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return [message for message, cure in rows if not message.startswith("aegan ")]


def fits(entry: str, message: str) -> bool:
    """Whether the entry's words stand in the message, in their order."""
    position = 0
    for part in filter(None, (words(part) for part in entry.split(DIFFERS))):
        found = words(message).find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return True


def words(text: str) -> str:
    return re.sub(r"[\s`:;,]+", " ", text).strip()


def test_every_message_has_an_entry() -> None:
    known = entries()
    missing = [
        f"{where}: {message}"
        for where, message in raised()
        if sum(map(str.isalpha, message)) >= LEAST_LETTERS
        and not any(fits(entry, message) for entry in known)
    ]
    assert not missing, "docs/troubleshooting.md says nothing of:\n" + "\n".join(missing)


def test_no_entry_is_of_a_message_that_is_gone() -> None:
    messages = [message for _, message in raised()]
    stale = [entry for entry in entries() if not any(fits(entry, m) for m in messages)]
    assert not stale


def test_an_entry_says_enough_to_be_found() -> None:
    for entry in entries():
        assert sum(map(str.isalpha, entry)) >= LEAST_LETTERS, entry
    assert len(entries()) > 100
