"""Publishing to and loading from a bucket, and being killed while publishing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aegan
from aegan.digests import to_json
from aegan.errors import AeganError, IntegrityError
from aegan.registry import Registry
from aegan.stages import evaluate, publish, record, train_autoencoder
from aegan.store import open_store
from tests.conftest import make_stages, tiny
from tests.versions import key_pair

PUBLISH = """
import json, sys
from aegan.stages import publish
config, root, *uris = json.loads(sys.argv[1])
print("ready", flush=True)
publish.run(config, root, *uris)
"""


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = str(tmp_path_factory.mktemp("stages"))
    return make_stages(tiny(), root) | {"root": root}


def arguments(stages: dict[str, Any]) -> list[str]:
    names = ("normalize", "train_autoencoder", "train_gan", "evaluate")
    return [stages["config"], stages["root"], *(stages[name].uri for name in names)]


def test_the_whole_pipeline_works_in_a_bucket(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = np.random.default_rng(0).integers(0, 256, (400, 8, 8)).astype(np.uint8)
    np.save(tmp_path / "images.npy", source)
    open_store(bucket).write("data/images.npy", (tmp_path / "images.npy").read_bytes())
    stages = make_stages(tiny(data={"source": f"{bucket}/data/images.npy"}), bucket)
    stages["root"] = bucket
    result = publish.run(*arguments(stages), run_id="test-run")
    written = record.run(stages["config"], bucket, "test-run", "SUCCEEDED", "")
    assert written["status"] == "published"
    assert json.loads(open_store(bucket).read("runs/test-run/run.json") or b"") == written

    model = aegan.load(f"{bucket}/models/tiny@champion")
    assert result.summary["uri"].endswith(model.version)
    assert model.sample(5, seed=1).shape == (5, 8, 8, 1)

    cached = next((tmp_path / "cache" / "aegan").glob("*/serving/autoencoder/1/saved_model.pb"))
    cached.write_bytes(b"tampered with")
    again = aegan.load(f"{bucket}/models/tiny@champion")  # fetched anew
    assert np.array_equal(again.sample(5, seed=1), model.sample(5, seed=1))

    name = f"models/tiny/versions/{model.version}/serving/autoencoder/1/saved_model.pb"
    open_store(bucket).write(name, b"tampered with")
    cached.write_bytes(b"tampered with")
    with pytest.raises(IntegrityError, match="changed: serving/autoencoder/1/saved_model.pb"):
        aegan.load(f"{bucket}/models/tiny@champion")


def test_publishing_again_reuses_the_version_and_leaves_the_alias_alone(
    stages: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    first = publish.run(*arguments(stages))
    registry = Registry(stages["root"])
    before = registry.versions("tiny")
    second = publish.run(*arguments(stages))
    assert second.summary == first.summary
    assert registry.versions("tiny") == before
    assert registry.resolve("tiny", "champion")[0] == first.summary["version"]

    # Another model took the alias since: that these inputs come again is no reason to take it back.
    time.sleep(1.1)  # versions are named by the second
    other = publish.run(*arguments(stages), fresh="other").summary["version"]
    open_store(stages["root"]).write(
        f"stages/publish/{Path(first.uri).name}/stage.json", to_json(asdict(first))
    )
    capfd.readouterr()
    assert publish.run(*arguments(stages)).summary == first.summary
    assert registry.resolve("tiny", "champion")[0] == other
    assert f"tiny@champion is {other} since " in capfd.readouterr().err

    open_store(stages["root"]).delete("models/tiny/aliases/champion.json")
    publish.run(*arguments(stages))  # nobody has it: take it
    assert registry.resolve("tiny", "champion")[0] == first.summary["version"]


def test_a_retry_of_a_fresh_run_finds_what_the_run_did_before(stages: dict[str, Any]) -> None:
    first = publish.run(*arguments(stages), fresh="run-1")
    assert publish.run(*arguments(stages), fresh="run-1") == first
    time.sleep(1.1)  # versions are named by the second
    assert publish.run(*arguments(stages), fresh="run-2") != first
    config, root, *uris = arguments(stages)
    once = train_autoencoder.run(config, root, uris[0], fresh="run-1")
    assert once.attempt != stages["train_autoencoder"].attempt
    assert once.summary == stages["train_autoencoder"].summary  # the same weights
    assert train_autoencoder.run(config, root, uris[0], fresh="run-1") == once


def test_a_version_is_signed_where_the_configuration_says_so(
    stages: dict[str, Any], tmp_path: Path
) -> None:
    private, public = key_pair(tmp_path / "key")
    config, *others = arguments(stages)
    tree = json.loads(config)
    tree["publish"] |= {"sign": str(tmp_path / "none.key"), "alias": "signed"}
    registry = Registry(stages["root"])
    before = registry.versions("tiny")
    with pytest.raises(AeganError, match=r"cannot read the key .*none\.key"):
        publish.run(json.dumps(tree), *others)
    assert registry.versions("tiny") == before
    tree["publish"]["sign"] = str(private)
    version = publish.run(json.dumps(tree), *others).summary["version"]
    assert registry.resolve("tiny", "signed")[0] == version
    registry.verify("tiny", version, trust=aegan.Trust([public]))


def test_a_reused_version_that_was_deleted_is_published_anew(stages: dict[str, Any]) -> None:
    first = publish.run(*arguments(stages))
    store = open_store(stages["root"])
    store.delete(f"models/tiny/versions/{first.summary['version']}")
    time.sleep(1.1)  # versions are named by the second
    second = publish.run(*arguments(stages))
    assert second.summary["version"] != first.summary["version"]
    assert (
        aegan.load(f"{stages['root']}/models/tiny@champion").version == (second.summary["version"])
    )


def test_what_the_gate_rejected_cannot_be_published(stages: dict[str, Any]) -> None:
    thresholds = {"thresholds": {"reconstruction_mse": {"max": 1e-9}}}
    rejected = make_stages(tiny(evaluation=thresholds), stages["root"])
    assert rejected["evaluate"].summary["verdict"] == "rejected"
    before = Registry(stages["root"]).versions("tiny")
    with pytest.raises(AeganError, match="the gate rejected this model"):
        publish.run(*arguments(rejected | {"root": stages["root"]}))
    assert Registry(stages["root"]).versions("tiny") == before


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03, 0.06, 0.1, 0.2])
def test_killed_while_publishing_readers_see_the_old_version_or_the_new(
    stages: dict[str, Any], delay: float
) -> None:
    root = stages["root"]
    registry = Registry(root)
    publish.run(*arguments(stages))
    old = registry.resolve("tiny", "champion")[0]
    known = set(registry.versions("tiny"))
    # Same inputs but for the seed of nothing: another publication of the same evaluation.
    open_store(root).delete(f"stages/publish/{Path(publish_uri(stages)).name}")
    command = [sys.executable, "-c", PUBLISH, json.dumps(arguments(stages))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    current = registry.resolve("tiny", "champion")[0]
    assert current == old or current in set(registry.versions("tiny")) - known
    for version in registry.versions("tiny"):  # whatever is visible is whole
        registry.fetch("tiny", version, Path(os.devnull))
    result = publish.run(*arguments(stages))  # the same command goes on
    assert registry.resolve("tiny", "champion")[0] == result.summary["version"]


def publish_uri(stages: dict[str, Any]) -> str:
    return publish.run(*arguments(stages)).uri


def test_a_changed_output_of_a_stage_is_named_before_it_is_used(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    stages = make_stages(tiny(), root)
    encoder = Path(stages["train_autoencoder"].uri) / stages["train_autoencoder"].attempt
    (encoder / "keras" / "encoder.keras").write_bytes(b"other")
    config = json.loads(stages["config"])
    config["evaluation"]["neighbours"] = 4  # so that nothing is reused
    uris = [stages[name].uri for name in ("normalize", "train_autoencoder", "train_gan")]
    with pytest.raises(IntegrityError, match="keras/encoder.keras is changed.*--no-cache"):
        evaluate.run(json.dumps(config), root, *uris)


def test_outputs_of_which_a_file_is_gone_are_made_again(tmp_path: Path) -> None:
    stages = make_stages(tiny(), str(tmp_path))
    before = stages["train_autoencoder"]
    (Path(before.uri) / before.attempt / "keras" / "encoder.keras").unlink()
    config, root, *uris = arguments(stages | {"root": str(tmp_path)})
    after = train_autoencoder.run(config, root, uris[0])
    assert after.attempt != before.attempt
    assert after.summary == before.summary
