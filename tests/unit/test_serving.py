"""`aegan models serve-manifest` prints what KServe takes, for one version and no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from aegan_pipelines.cli import main
from click.testing import CliRunner

from aegan.registry import Registry
from tests.kubernetes_objects import serving_pod, violations

SCHEMA = Path(__file__).parents[1] / "data" / "schemas" / "inference-service.json"
TENSORFLOW = {
    "modelFormat": {"name": "tensorflow"},
    "protocolVersion": "v1",
    "runtimeVersion": "2.21.0",
}


def publish(root: str, folder: Path, *files: str) -> str:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("x")
    registry = Registry(root)
    version = registry.publish("shirts", folder)
    registry.set_alias("shirts", "champion", version, "test")
    return version


def printed(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(main, ["models", "serve-manifest", *arguments])
    assert done.exit_code == 0, done.output
    tree = yaml.safe_load(done.stdout)
    jsonschema.validate(tree, json.loads(SCHEMA.read_text("utf-8")))
    assert violations(serving_pod(tree["spec"]["predictor"])) == []
    return tree


@pytest.mark.parametrize(
    ("options", "folder", "expected"),
    [
        (
            [],
            "serving/autoencoder",
            TENSORFLOW,
        ),
        (
            ["--part", "generator"],
            "serving/generator",
            TENSORFLOW,
        ),
        (
            ["--runtime", "onnx"],
            "onnx",
            {
                "modelFormat": {"name": "onnx"},
                "protocolVersion": "v2",
                "runtime": "kserve-tritonserver",
                "runtimeVersion": None,
            },
        ),
    ],
)
def test_an_alias_becomes_the_immutable_uri_of_the_version(
    bucket: str, tmp_path: Path, options: list[str], folder: str, expected: dict[str, Any]
) -> None:
    files = [f"{name}/1/x" for name in ("serving/autoencoder", "serving/generator", "onnx/encode")]
    version = publish(bucket, tmp_path / "version", *files)
    tree = printed(f"{bucket}/models/shirts", *options)
    model = tree["spec"]["predictor"]["model"]
    assert model["storageUri"] == f"{bucket}/models/shirts/versions/{version}/{folder}"
    assert {key: model.get(key) for key in expected} == expected
    assert tree["metadata"]["name"] == "shirts"
    annotations = tree["metadata"]["annotations"]
    assert annotations["aegan/version"] == version
    assert annotations["aegan/digest"].startswith(version.rsplit("-", 1)[-1])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--name", name) for name in ("Bad_Name", "7up", "ends-", "a.b", "x" * 64, "a b")),
        *(("--service-account", name) for name in ("Reader", "a_b", "")),
    ],
)
def test_a_name_that_kubernetes_does_not_take_is_refused(option: str, value: str) -> None:
    command = ["models", "serve-manifest", "gs://bucket/models/shirts", option, value]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    what = option[2:].replace("-", " ")
    assert f"{value!r} is not a valid Kubernetes {what}: expected lower-case" in done.stderr
    # What is expected is what is checked.
    assert ("hyphens and dots" in done.stderr) == (what == "service account")
    assert done.stdout == ""


def test_name_and_account_can_be_chosen(bucket: str, tmp_path: Path) -> None:
    version = publish(bucket, tmp_path / "version", "serving/autoencoder/1/x")
    options = ["--name", "other", "--service-account", "reader"]
    tree = printed(f"{bucket}/models/shirts@{version}", *options)
    assert tree["metadata"]["name"] == "other"
    assert tree["spec"]["predictor"]["serviceAccountName"] == "reader"


@pytest.mark.parametrize(
    ("place", "options", "message"),
    [
        ("folder", [], "lies in a folder, which no cluster can read"),
        ("bucket", ["--runtime", "onnx"], "expected a newer version, or --runtime tensorflow\n"),
        ("bucket", ["--part", "generator"], "has no serving/generator: it was published before"),
        ("bucket", ["--part", "generator"], "expected a newer version\n"),
    ],
)
def test_what_cannot_be_served_is_refused(
    place: str, options: list[str], message: str, bucket: str, tmp_path: Path
) -> None:
    root = bucket if place == "bucket" else str(tmp_path / "root")
    publish(root, tmp_path / "version", "serving/autoencoder/1/x")
    command = ["models", "serve-manifest", f"{root}/models/shirts", *options]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stdout == ""
