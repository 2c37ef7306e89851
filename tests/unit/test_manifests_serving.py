"""KServe takes what serves a version, and its pods satisfy Pod Security."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest
from aegan_pipelines.serving import TENSORFLOW_SERVING

from tests.kubernetes_objects import serving_pod, violations
from tests.locks import locked
from tests.unit.test_manifests import SCHEMAS, SERVING, build, pytestmark

__all__ = ["pytestmark"]  # skips these tests, too, where there is no kubectl


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
