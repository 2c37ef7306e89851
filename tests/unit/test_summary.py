"""Texts about runs and versions, also where scores or aliases are not what they should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aegan_pipelines.cli import main
from aegan_pipelines.summary import missed_lines, scores
from click.testing import CliRunner, Result

from aegan.digests import to_json
from aegan.narration import moment
from aegan.registry import Registry

ROW = dict.fromkeys(("frechet_distance", "precision", "recall", "coverage"), float("nan"))
METRICS = {
    "headline": {"reconstruction_mse": 0.5, "pca_reconstruction_mse": float("inf")},
    "generation": {"gan": ROW},
}
LONG = "a" + 62 * "b"


def publish(root: Path, name: str) -> str:
    folder = root / f"of-{name}"
    (folder / "report").mkdir(parents=True)
    (folder / "report/metrics.json").write_bytes(to_json(METRICS))
    (folder / "report/verdict.json").write_bytes(to_json({"selected": "gan", "passed": True}))
    registry = Registry(str(root))
    version = registry.publish(name, folder)
    registry.set_alias(name, "champion", version, "test: ü")
    return version


def models(*arguments: str) -> Result:
    done = CliRunner().invoke(main, ["models", *arguments])
    assert done.exit_code == 0, done.output
    return done


def test_a_score_that_was_not_finite_is_a_dash(tmp_path: Path) -> None:
    lines = scores(json.loads(to_json(METRICS)), {"selected": "gan"})
    assert lines[1].split() == ["autoencoder", "0.50000"]
    assert lines[2].split()[-1] == "-"
    assert lines[-1].split() == ["GAN", "(selected)", "-", "-", "-", "-"]
    assert len(lines[-1]) == len(lines[-2])
    publish(tmp_path, "m")
    assert lines[-1] in models("show", f"{tmp_path}/models/m").stdout
    check = {"metric": "recall", "value": None, "min": 0.5, "max": None, "passed": False}
    [missed] = missed_lines({"checks": [check]})
    assert missed == "threshold missed: recall is not a finite number, expected at least 0.5"


def test_another_alias_that_is_damaged_does_not_hide_a_version(tmp_path: Path) -> None:
    version = publish(tmp_path, "m")
    (tmp_path / "models/m/aliases/broken.json").write_text("{")
    done = models("show", f"{tmp_path}/models/m", "--json")
    assert "aliases/broken.json is not a valid alias" in done.stderr
    assert "test: ü" in done.stdout  # as it was written, not escaped
    facts: dict[str, Any] = json.loads(done.stdout)
    assert (facts["version"], list(facts["aliases"])) == (version, ["champion"])
    assert "broken.json" in facts["damaged_aliases"][0]


def test_long_names_keep_their_distance(tmp_path: Path) -> None:
    versions = {name: publish(tmp_path, name) for name in ("short", LONG)}
    listed = models("list", "--root", str(tmp_path)).stdout.splitlines()
    assert [line.split() for line in listed] == [
        [name, versions[name], "champion"] for name in (LONG, "short")
    ]
    assert len({line.index("champion") for line in listed}) == 1


@pytest.mark.parametrize(
    "text",
    ["2026-01-01T10:00:00Z", "2026-01-01T11:00:00.123456+01:00", "2026-01-01T10:00:00.1+00:00"],
)
def test_times_are_told_in_one_way(text: str) -> None:
    assert moment(text) == "2026-01-01 10:00:00Z"
    assert moment(None) == "-"
