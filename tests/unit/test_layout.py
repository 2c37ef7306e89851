"""The house as a whole: nothing importable at the root, what is shipped."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from aegan_components.image import IMAGE

import aegan
from aegan.config_file import load_config, preset_names

ROOT = Path(__file__).parents[2]
TEMPLATES = {"report.html.j2", "comparison.html.j2", "model_card.md.j2"}


def test_nothing_at_the_root_is_importable() -> None:
    assert not list(ROOT.glob("*.py"))
    assert not list(ROOT.glob("*/__init__.py")) or [
        p.parent.name for p in ROOT.glob("*/__init__.py")
    ] == ["tests"]


def test_typed_markers_presets_and_all_templates_are_shipped() -> None:
    for package in ("aegan", "aegan_components", "aegan_pipelines"):
        assert (resources.files(package) / "py.typed").is_file()
    templates = {path.relative_to(ROOT / "src" / "aegan") for path in ROOT.glob("src/**/*.j2")}
    assert {path.name for path in templates} == TEMPLATES
    assert all((resources.files("aegan") / str(path)).is_file() for path in templates)
    assert {"digits", "fashion-mnist"} <= set(preset_names())


def test_the_default_image_carries_the_packages_version() -> None:
    assert load_config("digits").compute.image == IMAGE
    assert IMAGE.endswith(f":{aegan.__version__}")


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_names_its_command_and_the_scores_it_reached(preset: str) -> None:
    text = (resources.files("aegan") / "presets" / f"{preset}.yaml").read_text("utf-8")
    header = text.split("name:")[0]
    assert f"aegan run {preset}" in header
    for score in ("seconds", "MSE", "Fréchet", "precision", "recall", "coverage"):
        assert score in header
