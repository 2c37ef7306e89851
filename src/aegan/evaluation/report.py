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
from aegan.evaluation.evaluate import Evaluation

Array = np.ndarray[Any, Any]

MOST_PICTURE_BYTES = 300_000  # Kubeflow's viewer takes pages up to a megabyte
MOST_VALUES = 2_000_000
ROW = 8  # pictures in a row
COLUMNS = ("frechet_distance", "precision", "recall", "density", "coverage")


def render(
    config: Config,
    dataset: Dataset,
    evaluation: Evaluation,
    histories: dict[str, Sequence[dict[str, float]]],
) -> str:
    """HTML that shows the verdict, samples, scores beside their baselines, and loss curves.

    Args:
        config: the run's configuration.
        dataset: of the run.
        evaluation: what was measured.
        histories: records of both trainings, by title.
    """
    import jinja2

    source = (resources.files("aegan.evaluation") / "report.html.j2").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["short"] = _short
    metrics, verdict = evaluation.metrics, evaluation.verdict
    names = _names(config)
    pictures, num_samples = _picture(evaluation.samples)
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
        num_samples=num_samples,
        samples=figures.data_uri(pictures),
        reconstructions=figures.data_uri(_picture(pairs)[0]),
        curves=figures.data_uri(figures.curves(histories)),
    )


def _names(config: Config) -> dict[str, str]:
    where = "on codes" if config.gan.space == "latent" else "on the data"
    recipe = f"{config.gan.objective.replace('_', '-')}, {config.gan.prior} prior"
    return samplers.TITLES | {samplers.GAN: f"GAN {where} ({recipe})"}


def _picture(examples: Array) -> tuple[bytes, int]:
    """A PNG of a bounded size, and how many examples it shows: fewer rows, then fewer pixels."""
    if examples.ndim != 4:
        examples = examples[: 2 * ROW]
    while True:
        if examples.ndim != 4:
            picture = figures.series(examples)
        elif examples.size <= MOST_VALUES:
            picture = figures.grid_png(examples, columns=ROW)
        else:
            picture = None  # not worth trying: compressing takes long
        if picture is not None and len(picture) <= MOST_PICTURE_BYTES:
            return picture, len(examples)
        if len(examples) > ROW or examples.ndim != 4:
            examples = examples[: len(examples) // 2]
        else:
            examples = examples[:, ::2, ::2]


def _alternate(first: Array, second: Array) -> Array:
    return np.stack([first, second], axis=1).reshape(-1, *first.shape[1:])


def _short(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 10 else f"{value:.4g}"
