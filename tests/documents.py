"""What the documentation holds: commands, pieces of Python and YAML, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The first is read first: what its commands make, those of the others use.
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, ROOT / "CHANGELOG.md", *sorted((ROOT / "manifests").rglob("*.md"))]
# Readers understand it, and so do the tests: in the paragraph before a block of commands.
MARK = "needs a cluster"
UNTESTED = "no test builds or runs it"
PROGRAMS = ("aegan", "make", "pip", "python", "kubectl", "kind", "docker", "gcloud", "export")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: it stands on.
        language: as the fence says; `sh` for indented lines that begin with a program.
        lines: of it.
        marked: whether the paragraph before it says that it needs a cluster.
        untested: whether that says that nothing here or in CI executes it.
    """

    page: Path
    language: str
    lines: tuple[str, ...]
    marked: bool
    untested: bool

    @property
    def commands(self) -> list[str]:
        """Its commands without comments and blank lines."""
        stripped = (re.sub(r"(^|\s+)#.*", "", line).strip() for line in self.lines)
        return [line for line in stripped if line]


def blocks(page: Path) -> Iterator[Block]:
    """All blocks of a page in their order."""
    paragraph: list[str] = []
    inside: list[str] | None = None
    language = ""
    for line in [*page.read_text("utf-8").splitlines(), ""]:
        if inside is not None and language != "indented" and line.startswith("```"):
            yield _block(page, language, inside, paragraph)
            paragraph, inside = [], None
        elif inside is not None and language == "indented" and not line.startswith("    "):
            if inside[0].split()[0] in PROGRAMS:
                yield _block(page, "sh", inside, paragraph)
            paragraph, inside = [line] if line.strip() else [], None
        elif inside is not None:
            inside.append(line.removeprefix("    ") if language == "indented" else line)
        elif line.startswith("```"):
            language, inside = line.removeprefix("```"), []
        elif line.startswith("    ") and line.strip():
            language, inside = "indented", [line.removeprefix("    ")]
        elif line.strip():
            paragraph = [*paragraph, line] if paragraph and paragraph[-1] else [line]
        elif paragraph:
            paragraph.append("")  # it has ended, and may still be the one before a block


def _block(page: Path, language: str, lines: list[str], paragraph: list[str]) -> Block:
    said = " ".join(paragraph).lower()
    return Block(page, language, tuple(lines), MARK in said, UNTESTED in said)


def links(page: Path) -> list[str]:
    """Where a page leads to, but for other sites."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link for link in found if "://" not in link]


def anchors(page: Path) -> set[str]:
    """The names of a page's headings in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
