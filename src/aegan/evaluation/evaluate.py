"""Score what was trained, beside baselines that say what a score is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aegan import export
from aegan.batches import in_batches
from aegan.config import Config
from aegan.data.dataset import Dataset
from aegan.evaluation import gate
from aegan.evaluation.features import feature_extractor
from aegan.evaluation.memorization import memorization
from aegan.evaluation.metrics import frechet_distance, manifold_scores
from aegan.narration import narrate
from aegan.samplers import GAUSSIAN, candidates
from aegan.thresholds import Quantiles, quantiles

Array = np.ndarray[Any, Any]

REPEATS = 3
SHOWN = 64
MOST_MEMORIES = 2000  # samples that are looked for among the training examples


@dataclass(frozen=True)
class Evaluation:
    """Everything the report shows.

    Attributes:
        metrics: the scores, as written to metrics.json.
        verdict: choice and gate, as written to verdict.json.
        samples: [64, *shape] raw, of the selected sampler.
        originals: [≤ 16, *shape] raw, of the test split.
        reconstructions: of the originals.
        scores: quantiles of the anomaly scores of the validation split.
    """

    metrics: dict[str, Any]
    verdict: dict[str, Any]
    samples: Array
    originals: Array
    reconstructions: Array
    scores: Quantiles


def evaluate(config: Config, dataset: Dataset, autoencoder: Path, gan: Path) -> Evaluation:
    """Score the exported models, exactly as they would be published.

    Args:
        config: the run's configuration.
        dataset: of the run.
        autoencoder: outputs of train_autoencoder.
        gan: outputs of train_gan.
    """
    model = export.load_saved(autoencoder / "serving" / "autoencoder" / "1")
    reconstruction = _reconstruction(config, dataset, model)
    narrate("evaluate", "info", f"reconstruction MSE {reconstruction['reconstruction_mse']:.5f}")

    extract, features = feature_extractor(dataset, config)
    narrate("evaluate", "info", features)
    samplers = {
        name: _sampler(gan / "candidates" / name, dataset)
        for name in (*candidates(config), GAUSSIAN)
    }
    choice = _choose(config, dataset, samplers, extract)
    narrate("evaluate", "info", f"selected the {choice['selected']}: {choice['reason']}")
    rows = _test_scores(config, dataset, samplers, extract, model)

    selected = rows[choice["selected"]]
    headline = reconstruction | selected
    headline["frechet_distance_ratio_to_gaussian"] = selected["frechet_distance"] / max(
        rows["gaussian"]["frechet_distance"], 1e-12
    )
    verdict = choice | gate.judge(headline, config.evaluation.thresholds)
    metrics = {
        "headline": headline,
        "generation": rows,
        "features": features,
        "examples_compared": min(config.evaluation.samples, dataset.rows("test")),
        "neighbours": config.evaluation.neighbours,
        "memorization": _memorization(config, dataset, samplers[choice["selected"]]),
    }
    originals = dataset.normalizer.invert(dataset.features("test")[:16])
    return Evaluation(
        metrics,
        verdict,
        samplers[choice["selected"]](SHOWN, _seeds(config)[0], raw=True),
        originals,
        model.reconstruct(originals).numpy(),
        _validation_scores(dataset, model),
    )


def _validation_scores(dataset: Dataset, model: Any) -> Quantiles:
    """Anomaly scores of examples that were not trained on, as a consumer would get them."""
    raw = dataset.normalizer.invert(dataset.features("validation"))
    return quantiles(in_batches(model.score, raw))


def _reconstruction(config: Config, dataset: Dataset, model: Any) -> dict[str, float]:
    """Test error of the autoencoder and of PCA with as many components as it has codes."""
    from sklearn.decomposition import PCA

    test = dataset.features("test")
    error = float(np.mean(in_batches(model.score, dataset.normalizer.invert(test))))
    train = dataset.features("train").reshape(dataset.rows("train"), -1)
    components = min(config.autoencoder.latent_size, *train.shape)
    solver = "covariance_eigh" if train.shape[1] <= 4096 else "randomized"
    pca = PCA(components, svd_solver=solver, random_state=config.seed).fit(train)
    flat = test.reshape(len(test), -1)
    pca_error = float(np.mean((pca.inverse_transform(pca.transform(flat)) - flat) ** 2))
    return {
        "reconstruction_mse": error,
        "pca_reconstruction_mse": pca_error,
        "reconstruction_mse_ratio_to_pca": error / max(pca_error, 1e-12),
    }


def _sampler(folder: Path, dataset: Dataset) -> Callable[..., Array]:
    import tensorflow as tf

    saved = export.load_saved(folder)

    def sample(count: int, seed: int, *, raw: bool = False) -> Array:
        examples = saved.sample(tf.constant(count), tf.constant(seed)).numpy()
        return np.asarray(examples if raw else dataset.normalizer.apply(examples))

    return sample


def _choose(
    config: Config,
    dataset: Dataset,
    samplers: dict[str, Callable[..., Array]],
    extract: Callable[[Array], Array],
) -> dict[str, Any]:
    count = min(config.evaluation.samples, dataset.rows("validation"))
    real = extract(_draw(dataset, "validation", count, config))
    scores = {
        name: [
            _scores(real, extract(samplers[name](count, seed)), config)
            for seed in _seeds(config)[1:]
        ]
        for name in candidates(config)
    }
    return gate.choose(scores)


def _test_scores(
    config: Config,
    dataset: Dataset,
    samplers: dict[str, Callable[..., Array]],
    extract: Callable[[Array], Array],
    model: Any,
) -> dict[str, dict[str, float]]:
    """Scores against the test split: of each sampler, of real data and of reconstructions."""
    test = _draw(dataset, "test", config.evaluation.samples, config)
    count = len(test)
    real = extract(test)
    reconstructed = in_batches(model.reconstruct, dataset.normalizer.invert(test))
    rivals = {name: sample(count, _seeds(config)[0]) for name, sample in samplers.items()}
    rivals["real_train"] = _draw(dataset, "train", count, config)
    rivals["reconstructions"] = dataset.normalizer.apply(reconstructed)
    return {name: _scores(real, extract(examples), config) for name, examples in rivals.items()}


def _memorization(
    config: Config, dataset: Dataset, sample: Callable[..., Array]
) -> dict[str, float]:
    """Of the sampler that was chosen; the validation split is as random as the training split."""
    samples = sample(min(config.evaluation.samples, MOST_MEMORIES), _seeds(config)[0])
    found = memorization(samples, dataset.stored("train"), dataset.stored("validation"))
    share, expected = found["nearest_to_training"], found["expected"]
    text = f"{share:.1%} of samples lie nearest to a training example, expected {expected:.1%}"
    narrate("evaluate", "info", f"{text} ± {found['noise']:.1%}")
    return found


def _draw(dataset: Dataset, split: str, count: int, config: Config) -> Array:
    """At most `count` rows of a split, drawn without order: sources are often sorted by class."""
    features = dataset.features(split)
    rows = np.random.Generator(np.random.Philox(config.seed)).permutation(len(features))[:count]
    drawn: Array = features[np.sort(rows)]
    return drawn


def _seeds(config: Config) -> list[int]:
    """Seeds of samples: one for the test scores, then one for each repeat on validation data."""
    return [(config.seed + i) % 2**31 for i in range(REPEATS + 1)]


def _scores(real: Array, fake: Array, config: Config) -> dict[str, float]:
    distance = frechet_distance(real, fake)
    # A small training split yields fewer rows than k for the floor; then fewer neighbours.
    neighbours = min(config.evaluation.neighbours, len(real) - 1, len(fake) - 1)
    return {"frechet_distance": distance} | manifold_scores(real, fake, neighbours)
