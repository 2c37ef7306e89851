"""The model card: `README.md` of a published version, with Hugging Face's front matter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

import yaml

import aegan
from aegan.config import Config
from aegan.config_training import Training
from aegan.narration import duration
from aegan.samplers import GAN, TITLES
from aegan.versions import installed_version, source_revision

SCORES = {
    "reconstruction_mse": "reconstruction MSE",
    "reconstruction_mse_ratio_to_pca": "reconstruction MSE relative to PCA",
    "frechet_distance": "Fréchet distance",
    "frechet_distance_ratio_to_gaussian": "Fréchet distance relative to one Gaussian",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
}
"""What people call the scores of the headline."""
RECONSTRUCTION = ("reconstruction_mse", "reconstruction_mse_ratio_to_pca")
KINDS = {"image": "images", "tabular": "table rows", "sequence": "sequences"}
MOST_CLASSES = 20


def model_card(
    settings: Config,
    dataset: Mapping[str, Any],
    metrics: Mapping[str, Any],
    verdict: Mapping[str, Any],
    *,
    costs: Mapping[str, Mapping[str, Any]],
    run_key: str,
) -> str:
    """What the model is, what it was trained on, how good it is, and what it must not be used for.

    Args:
        settings: the configuration.
        dataset: `dataset.json`.
        metrics: `metrics.json`.
        verdict: `verdict.json`.
        costs: of the trainings, by title; see `aegan.stages.training_stage.cost`.
        run_key: of the run; its records name it.
    """
    import jinja2

    source = (resources.files("aegan") / "model_card.md.j2").read_text("utf-8")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"duration": duration, "percent": _percent, "short": _short}
    classes = dataset["classes"] if settings.gan.conditional else []
    return environment.from_string(source).render(
        front_matter=_yaml(front_matter(settings, dataset, metrics)),
        settings=settings,
        alias=settings.publish.alias,
        kinds=KINDS[settings.data.kind],
        dataset=dataset,
        data_name=_data_name(settings),
        rows={split: f"{part['rows']:,}" for split, part in dataset["splits"].items()},
        sampler=TITLES[verdict["selected"]],
        reason=verdict["reason"],
        checks=verdict["checks"],
        classes=classes[:MOST_CLASSES],
        more_classes=max(0, len(classes) - MOST_CLASSES),
        trainings=_trainings(settings, costs, used_gan=verdict["selected"] == GAN),
        scores=[(SCORES[key], metrics["headline"][key]) for key in SCORES],
        baselines=[
            (TITLES[key], metrics["generation"][key])
            for key in TITLES
            if key in metrics["generation"]
        ],
        metrics=metrics,
        memory=metrics["memorization"],
        provenance=_provenance(settings, dataset, run_key),
    )


def front_matter(
    settings: Config, dataset: Mapping[str, Any], metrics: Mapping[str, Any]
) -> dict[str, Any]:
    """What Hugging Face's hub reads of a card: tags, and the scores as `model-index`."""
    kind = settings.data.kind
    tags = [
        "aegan",
        "autoencoder",
        "gan",
        "generative",
        "anomaly-detection",
        "synthetic-data",
        kind,
    ]
    tree: dict[str, Any] = {"library_name": "aegan", "tags": tags}
    task = "other"
    if kind == "image":
        tree["pipeline_tag"] = task = "unconditional-image-generation"
    headline = metrics["headline"]
    data = {
        "name": _data_name(settings),
        "type": _data_name(settings),
        "split": "test",
        "args": {"sha256": dataset["data_digest"]},
    }
    generation = tuple(key for key in SCORES if key not in RECONSTRUCTION)
    results = [
        {
            "task": {"type": type_, "name": name},
            "dataset": data,
            "metrics": [
                {"type": key, "name": SCORES[key], "value": float(headline[key])}
                for key in keys
                # null where a score was no number
                if headline[key] is not None and math.isfinite(headline[key])
            ],
        }
        for type_, name, keys in (
            ("feature-extraction", "reconstruction", RECONSTRUCTION),
            (task, f"generation of {KINDS[kind]}", generation),
        )
    ]
    results = [result for result in results if result["metrics"]]
    return tree | {"model-index": [{"name": settings.name, "results": results}]}


def _trainings(
    settings: Config, costs: Mapping[str, Mapping[str, Any]], *, used_gan: bool
) -> list[dict[str, str]]:
    """How both models were trained, as rows of a table."""
    autoencoder, gan = settings.autoencoder, settings.gan
    gan_title = f"{gan.objective.replace('_', '-')}, on {_space(settings)}, {gan.prior} prior"
    return [
        _training(
            "autoencoder", f"{autoencoder.kind}, mean {autoencoder.error} error", autoencoder, costs
        ),
        _training("GAN", gan_title + ("" if used_gan else " (not published)"), gan, costs),
    ]


def _training(
    title: str, objective: str, section: Training, costs: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    batch = "full batch" if section.batch == "full" else f"batches of {section.batch_size}"
    cost = costs[title]
    devices = f"{cost['gpus']} GPUs" if cost["gpus"] else f"{cost['cpu_cores']} CPU cores"
    return {
        "title": title,
        "network": f"{section.network}, {section.hidden}",
        "objective": objective,
        "descent": f"{section.optimizer}, {section.learning_rate:g}, {section.schedule}; {batch}",
        "budget": f"{section.steps:,} steps",
        "took": f"{duration(cost['seconds'])} on {devices}",
    }


def _space(settings: Config) -> str:
    return "codes" if settings.gan.space == "latent" else "the data"


def _provenance(
    settings: Config, dataset: Mapping[str, Any], run_key: str
) -> list[tuple[str, str]]:
    return [
        ("aegan", aegan.__version__),
        ("code revision", source_revision() or "not recorded"),
        ("TensorFlow", installed_version("tensorflow") or "not recorded"),
        ("run key, as in `runs/<run id>/run.json`", f"`{run_key}`"),
        ("configuration, SHA-256", f"`{settings.digest()}`"),
        ("data, SHA-256", f"`{dataset['data_digest']}`"),
        ("format of this version", str(dataset["schema_version"])),
    ]


def _data_name(settings: Config) -> str:
    """The last part of the source's path: the whole may tell of places that readers need not know."""
    return PurePosixPath(settings.data.source.rstrip("/")).name or "data"


def _yaml(tree: dict[str, Any]) -> str:
    class Plain(yaml.SafeDumper):
        """Repeats what stands twice, which not every reader understands as an alias."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump(tree, Dumper=Plain, sort_keys=False, allow_unicode=True).rstrip()


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _short(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.4g}"
