"""Stage 5: assemble what passed the gate into a version, publish it, point the alias at it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from aegan import mlflow_flavour
from aegan.config import Config
from aegan.config_file import from_json
from aegan.digests import to_json
from aegan.errors import AeganError, IntegrityError, RegistryError
from aegan.model_card import model_card
from aegan.narration import moment, narrate
from aegan.registry import Registry
from aegan.signatures import check_key
from aegan.stages.record import note_published
from aegan.stages.stage import (
    StageResult,
    explaining,
    fetch_outputs,
    key_of,
    run_key,
    run_stage,
    stage_keys,
)
from aegan.store import open_store
from aegan.transfer_progress import transfers_told


def run(
    config: str,
    root: str,
    dataset_uri: str,
    autoencoder_uri: str,
    gan_uri: str,
    evaluation_uri: str,
    *,
    fresh: str = "",
    run_id: str = "",
) -> StageResult:
    """Publish a version and move the alias to it; the summary holds the version and its URI.

    A version that these very inputs were published as earlier is reused, and the alias left alone.

    Args:
        config: canonical JSON of the configuration.
        root: folder or bucket path where everything of this project lies.
        dataset_uri: what `normalize` returned.
        autoencoder_uri: what `train_autoencoder` returned.
        gan_uri: what `train_gan` returned.
        evaluation_uri: what `evaluate` returned.
        fresh: empty to reuse what is there already, else see `run_stage`.
        run_id: of the pipeline run, if it is one: its record will tell that this was done.
    """
    settings = from_json(config)
    registry = Registry(root)
    key = stage_keys(settings, key_of(dataset_uri))["publish"]

    reused = True

    def work(output: Path) -> dict[str, Any]:
        nonlocal reused
        reused = False
        uris = (dataset_uri, autoencoder_uri, gan_uri, evaluation_uri)
        version = _publish(registry, settings, uris)
        facts = {"version": version, "uri": registry.uri(settings.name, version)}
        (output / "published.json").write_bytes(to_json(facts))
        return facts

    def exists(found: StageResult) -> bool:
        try:
            registry.manifest(settings.name, found.summary["version"])
        except (RegistryError, IntegrityError):
            return False
        return True

    with explaining(root, "publish", key):
        result = run_stage(root, "publish", key, work, fresh=fresh, usable=exists)
        if reused:
            _look_at_alias(registry, settings, result.summary["version"])
        if run_id:
            note_published(open_store(root), run_id, result.summary)
        return result


def _publish(registry: Registry, settings: Config, uris: Iterable[str]) -> str:
    """Make a version of the stages' outputs, signed if it is to be, and give it the alias."""
    if settings.publish.sign:
        check_key(Path(settings.publish.sign))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        inputs = [fetch_outputs(uri, scratch) for uri in uris]
        version_folder = scratch / "version"
        _assemble(settings, inputs, version_folder)
        with transfers_told("publish", narrate):
            version = registry.publish(settings.name, version_folder)
    if settings.publish.sign:
        registry.sign(settings.name, version, settings.publish.sign)
    _set_alias(registry, settings, version)
    return version


def _set_alias(registry: Registry, settings: Config, version: str) -> None:
    alias = settings.publish.alias
    registry.set_alias(settings.name, alias, version, "passed the gate")
    narrate("publish", "info", f"{settings.name}@{alias} is {version}")


def _look_at_alias(registry: Registry, settings: Config, version: str) -> None:
    """A version that was published earlier does not take the alias from one that has it since."""
    alias = settings.publish.alias
    current = registry.aliases(settings.name).get(alias)
    if current is None:
        _set_alias(registry, settings, version)
    elif current.version != version:
        narrate("publish", "info", f"{version} was published earlier, and is not published again")
        since = f"{current.version} since {moment(current.at)}"
        narrate("publish", "info", f"{settings.name}@{alias} is {since}, left alone")


def _assemble(settings: Config, inputs: list[Path], version: Path) -> None:
    dataset, autoencoder, gan, evaluation = inputs
    report = evaluation / "report"
    verdict = json.loads((report / "verdict.json").read_text("utf-8"))
    if not verdict["passed"]:
        raise AeganError(
            "the gate rejected this model; see the report, and lower evaluation.thresholds only if"
            " the model is good enough for its use"
        )
    shutil.copytree(autoencoder / "serving", version / "serving")
    shutil.copytree(
        gan / "candidates" / verdict["selected"], version / "serving" / "generator" / "1"
    )
    shutil.copytree(autoencoder / "keras", version / "keras")
    shutil.copytree(autoencoder / "litert", version / "litert")
    shutil.copytree(autoencoder / "onnx", version / "onnx")
    shutil.copytree(gan / "onnx" / verdict["selected"], version / "onnx", dirs_exist_ok=True)
    if verdict["selected"] == "gan":
        shutil.copytree(gan / "keras", version / "keras", dirs_exist_ok=True)
    (version / "preprocess").mkdir()
    for name in ("dataset.json", "normalizer.json"):
        shutil.copy(dataset / name, version / "preprocess")
    shutil.copy(gan / "whitening.npz", version / "preprocess")
    mixture = gan / "mixtures" / f"{verdict['selected']}.npz"
    shutil.copy(mixture, version / "preprocess" / "mixture.npz")
    shutil.copy(evaluation / "scores.json", version / "preprocess")
    shutil.copytree(report, version / "report")
    text = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
    (version / "config.yaml").write_text(text, "utf-8")
    metrics = json.loads((report / "metrics.json").read_text("utf-8"))
    description = json.loads((dataset / "dataset.json").read_text("utf-8"))
    mlflow_flavour.write(description, version)
    costs = {
        "autoencoder": json.loads((autoencoder / "cost.json").read_text("utf-8")),
        "GAN": json.loads((gan / "cost.json").read_text("utf-8")),
    }
    key = run_key(settings, description["data_digest"])
    card = model_card(settings, description, metrics, verdict, costs=costs, run_key=key)
    (version / "README.md").write_text(card, "utf-8")
