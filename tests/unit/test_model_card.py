"""The card says what the model is, and its front matter is what Hugging Face's hub reads."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from aegan.config_file import validate
from aegan.data.schema import SCHEMA_VERSION
from aegan.model_card import front_matter, model_card
from tests.conftest import tiny
from tests.make_version import VERSIONS

COST = {"seconds": 75.0, "gpus": 0, "cpu_cores": 2, "device_hours": 0.04}


@pytest.fixture(scope="module")
def version() -> Path:
    (folder,) = (VERSIONS / str(SCHEMA_VERSION) / "models" / "tiny" / "versions").iterdir()
    return folder


def parts(version: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    names = ("preprocess/dataset.json", "report/metrics.json", "report/verdict.json")
    dataset, metrics, verdict = (json.loads((version / name).read_bytes()) for name in names)
    return dataset, metrics, verdict


def card(version: Path, metrics: dict[str, Any] | None = None, **sections: Any) -> str:
    dataset, its_metrics, verdict = parts(version)
    costs = {"autoencoder": COST, "GAN": COST}
    settings = validate(tiny(**sections), "test")
    return model_card(
        settings, dataset, metrics or its_metrics, verdict, costs=costs, run_key="k" * 32
    )


def split(text: str) -> tuple[dict[str, Any], str]:
    opening, matter, body = text.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(matter), body


def test_the_published_card_has_the_scores_of_metrics_json_in_its_front_matter(
    version: Path,
) -> None:
    matter, _ = split((version / "README.md").read_text("utf-8"))
    _, metrics, _ = parts(version)
    assert matter["library_name"] == "aegan"
    assert {"autoencoder", "gan", "image"} <= set(matter["tags"])
    (entry,) = matter["model-index"]
    assert entry["name"] == "tiny"
    found = {
        metric["type"]: metric["value"]
        for result in entry["results"]
        for metric in result["metrics"]
    }
    assert found.items() <= metrics["headline"].items()
    assert {"reconstruction_mse", "frechet_distance", "coverage"} <= set(found)
    for result in entry["results"]:
        assert result["task"]["type"]
        assert {"name", "type"} <= set(result["dataset"])
        assert all(isinstance(metric["value"], float) for metric in result["metrics"])


def test_the_front_matter_has_no_aliases_of_yaml(version: Path) -> None:
    text = card(version).split("---\n")[1]
    assert "&id" not in text
    assert "*id" not in text


def test_a_score_that_is_no_number_is_left_out_of_the_index_and_shown_as_missing(
    version: Path,
) -> None:
    metrics = copy.deepcopy(parts(version)[1])
    metrics["headline"]["frechet_distance"] = None
    settings = validate(tiny(), "test")
    results = front_matter(settings, parts(version)[0], metrics)["model-index"][0]["results"]
    assert "frechet_distance" not in [m["type"] for m in results[1]["metrics"]]
    assert "| Fréchet distance | – |" in card(version, metrics)


def test_it_tells_of_data_recipe_memorisation_limits_misuse_and_provenance(version: Path) -> None:
    text = card(version)
    dataset, _, verdict = parts(version)
    for heading in (
        "Intended use",
        "Data",
        "Training",
        "Scores",
        "Memorisation",
        "Limits",
        "Misuse",
        "Provenance",
    ):
        assert f"\n## {heading}\n" in text
    for fact in (
        dataset["data_digest"],
        validate(tiny(), "test").digest(),
        "k" * 32,
        "synthetic",
        verdict["reason"],
        "1:15 on 2 CPU cores",
        "No thresholds were set",
        "code revision",
    ):
        assert fact in text, fact


def test_classes_are_named_only_where_samples_of_them_can_be_had(version: Path) -> None:
    assert "sample(n, label=…)`: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9." in card(
        version, gan={"conditional": True}
    )
    assert "label=" not in card(version)


def test_copies_beyond_chance_are_said_aloud(version: Path) -> None:
    metrics = copy.deepcopy(parts(version)[1])
    memory = metrics["memorization"]
    memory |= {"expected": 0.8, "noise": 0.02, "nearest_to_training": 0.81}
    assert "more than chance" not in card(version, metrics)
    memory["nearest_to_training"] = 0.9
    assert "**This is more than chance explains**" in card(version, metrics)


def test_the_place_of_the_data_is_not_told(version: Path) -> None:
    text = card(version, data={"source": "gs://secret-bucket/people/faces.npz"})
    assert "faces.npz" in text
    assert "secret-bucket" not in text
