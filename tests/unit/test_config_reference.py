"""The configuration reference says what the models say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from aegan.config import Config
from aegan.config_reference import reference

DOCS = Path(__file__).parents[2] / "docs"


def _rows(page: str) -> dict[str, list[str]]:
    """Cells after the first of every row of a table, by `section.setting`."""
    rows: dict[str, list[str]] = {}
    section = ""
    for line in page.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ").replace("The whole file", "")
        elif line.startswith("| `"):
            name, *cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|")))
            rows[f"{section}.{name.strip('`')}".lstrip(".")] = cells
    return rows


def test_the_reference_is_up_to_date() -> None:
    written = (DOCS / "configuration.md").read_text("utf-8")
    assert written == reference(), "run `make schema`"


def test_every_setting_stands_there_once_in_the_order_of_the_models() -> None:
    def settings(model: Any, path: str) -> list[str]:
        return [f"{path}.{name}".lstrip(".") for name in model.model_fields]

    rows = _rows(reference())
    assert list(rows)[: len(Config.model_fields)] == settings(Config, "")
    for name, field in Config.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            of_section = [key for key in rows if re.fullmatch(rf"{name}\.\w+", key)]
            assert of_section == settings(field.annotation, name)


def test_types_defaults_bounds_and_meanings_are_given() -> None:
    rows = _rows(reference())
    assert rows["name"][1] == "*required*"
    assert "lower-case letters, digits and hyphens, beginning with a letter" in rows["name"][0]
    assert rows["gan.dropout"][:2] == ["number, ≥ 0, < 1", "`0.0`"]
    assert rows["gan.patience"][0] == "whole number, ≥ 1 or null"
    assert rows["data.kind"][0] == "`image`, `tabular`, `sequence`"
    assert rows["autoencoder.hidden"][0] == "list of whole number, ≥ 1"
    assert "to [section](#evaluationthresholds)" in rows["evaluation.thresholds"][0]
    assert rows["gan.ema_decay"][2].startswith("Decay of the moving average")
    assert [key for key, cells in rows.items() if not cells[2]] == []


def test_defaults_that_follow_a_choice_are_told() -> None:
    page = reference()
    assert "- `objective: wasserstein`: `gamma: 0.0`, `interpolation_penalty: 10.0`" in page
    assert "- `network: conv` and `space: data`: `normalization: group`\n" in page


def test_links_lead_to_headings() -> None:
    page = reference()
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    anchors = {heading.lower().replace(".", "").replace("*", "") for heading in headings}
    assert set(re.findall(r"\(#(\w+)\)", page)) <= anchors
