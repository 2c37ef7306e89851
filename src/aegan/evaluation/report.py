"""The report: one self-contained HTML page, small enough for Kubeflow's viewer."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np

import aegan
from aegan import samplers
from aegan.config import Config
from aegan.data.dataset import SPLITS, Dataset
from aegan.evaluation import figures
from aegan.evaluation.comparison import short
from aegan.evaluation.evaluate import Evaluation
from aegan.narration import duration

Array = np.ndarray[Any, Any]

COLUMNS = ("frechet_distance", "precision", "recall", "density", "coverage")


def render(
    config: Config,
    dataset: Dataset,
    evaluation: Evaluation,
    histories: dict[str, Sequence[dict[str, float]]],
    costs: dict[str, dict[str, Any]],
) -> str:
    """HTML that shows the verdict, samples, scores beside their baselines, and how training went.

    Args:
        config: the run's configuration.
        dataset: of the run.
        evaluation: what was measured.
        histories: records of both trainings, by title.
        costs: what they took, by title; see `aegan.stages.training_stage.cost`.
    """
    import jinja2

    source = (resources.files("aegan.evaluation") / "report.html.j2").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"short": short, "duration": duration}
    metrics, verdict = evaluation.metrics, evaluation.verdict
    names = _names(config)
    pictures, num_samples = figures.picture(evaluation.samples)
    pairs = _alternate(evaluation.originals, evaluation.reconstructions)
    return environment.from_string(source).render(
        name=config.name,
        seed=config.seed,
        version=aegan.__version__,
        data_digest=dataset.digest,
        shape=list(dataset.shape),
        rows={split: f"{dataset.rows(split):,}" for split in SPLITS},
        verdict=verdict,
        names=names,
        headline=metrics["headline"],
        latent_size=config.autoencoder.latent_size,
        method=config.normalize.method,
        table=[(key, metrics["generation"][key]) for key in names if key in metrics["generation"]],
        columns=COLUMNS,
        compared=f"{metrics['examples_compared']:,}",
        features=metrics["features"],
        neighbours=metrics["neighbours"],
        memorization=metrics["memorization"],
        num_samples=num_samples,
        samples=figures.data_uri(pictures),
        reconstructions=figures.data_uri(figures.picture(pairs)[0]),
        costs=costs,
        steps={title: f"{int(history[-1]['step']):,}" for title, history in histories.items()},
        curves=figures.data_uri(figures.curves(histories)),
    )


def _names(config: Config) -> dict[str, str]:
    where = "on codes" if config.gan.space == "latent" else "on the data"
    recipe = f"{config.gan.objective.replace('_', '-')}, {config.gan.prior} prior"
    return samplers.TITLES | {samplers.GAN: f"GAN {where} ({recipe})"}


def _alternate(first: Array, second: Array) -> Array:
    return np.stack([first, second], axis=1).reshape(-1, *first.shape[1:])
