"""KServe takes what serves a version, and its pods satisfy Pod Security."""

from __future__ import annotations

import json

import jsonschema
import pytest

from tests.kubernetes_objects import serving_pod, violations
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
