"""KServe takes what serves a version, and its pods satisfy Pod Security."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest
from aegan_pipelines.serving import TENSORFLOW_SERVING

from tests.kubernetes_objects import serving_pod, violations
from tests.locks import locked
from tests.unit.test_manifests import ROOT, SCHEMAS, SERVING, build, pytestmark

__all__ = ["pytestmark"]  # skips these tests, too, where there is no kubectl

GUIDES = ["manifests/serving/champion/inference-service.yaml", "docs/exports.md"]


@pytest.mark.parametrize("name", SERVING)
def test_serving_is_valid_scales_and_serves_a_fixed_version(name: str) -> None:
    (tree,) = build(name)
    jsonschema.validate(tree, json.loads((SCHEMAS / "inference-service.json").read_text()))
    predictor = tree["spec"]["predictor"]
    assert 0 < predictor["minReplicas"] < predictor["maxReplicas"]
    assert "/versions/" in predictor["model"]["storageUri"]
    assert predictor["model"]["storageUri"].endswith("/serving/autoencoder")
    assert predictor.get("canaryTrafficPercent") == (10 if name.endswith("canary") else None)
    assert violations(serving_pod(predictor)) == []


def test_tensorflow_serving_is_not_older_than_what_wrote_the_model() -> None:
    """TensorFlow reads what the same or an older minor version wrote; KServe's own is 2.6."""
    (tree,) = build("serving/champion")
    served = tree["spec"]["predictor"]["model"]["runtimeVersion"]
    assert served == TENSORFLOW_SERVING
    numbers = [
        [int(number) for number in re.findall(r"\d+", version)[:2]]
        for version in (served, locked("cpu")["tensorflow-cpu"])
    ]
    assert numbers[0] >= numbers[1]


@pytest.mark.parametrize("path", GUIDES)
def test_samples_are_asked_for_as_tensorflow_serving_takes_scalars(path: str) -> None:
    """`instances` are rows of a batch, and the arguments of `sample` are no batch."""
    text = (ROOT / path).read_text("utf-8")
    (body,) = re.findall(r'\{"signature_name": ?"sample".*?\}\}', text)
    assert json.loads(body)["inputs"].keys() == {"num", "seed"}
    assert "`outputs`" in text


@pytest.mark.parametrize("path", GUIDES)
def test_it_is_said_how_it_scales_without_knative(path: str) -> None:
    text = (ROOT / path).read_text("utf-8")
    assert "scaleMetric: cpu" in text
    assert "serverless" in text
