"""Which sampler is published, and whether anything is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aegan.config import Bound, MetricName


def choose(scores: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Choose the best sampler from repeated scores on validation data.

    The lowest Fréchet distance wins if the gap to the others is larger than twice its standard error
    over the repeats; of those within that noise, the highest coverage does.

    Args:
        scores: by sampler, one mapping for each repeat, with `frechet_distance` and `coverage`.

    Returns:
        `selected`, the `reason` in words, and the mean scores.
    """
    means = {
        name: {key: float(np.mean([r[key] for r in repeats])) for key in repeats[0]}
        for name, repeats in scores.items()
    }
    # A sampler with a distance that is not a number is as far as can be.
    distances = {name: means[name]["frechet_distance"] for name in means}
    distances = {name: d if math.isfinite(d) else math.inf for name, d in distances.items()}
    best, second = sorted(distances, key=distances.__getitem__)[:2]
    gap, noise = distances[second] - distances[best], _noise(scores[best], scores[second])
    if gap > noise:
        reason = (
            f"its Fréchet distance on validation data is lower by {gap:.3g} (noise {noise:.2g})"
        )
    else:
        near = [
            name
            for name in distances
            if distances[name] - distances[best] <= _noise(scores[best], scores[name])
        ]
        best = max(near, key=lambda name: means[name]["coverage"])
        reason = (
            f"Fréchet distances on validation data differ by {gap:.3g}, within their noise of"
            f" {noise:.2g}, and its coverage is not lower"
        )
    return {"selected": best, "reason": reason, "validation_scores": means}


def _noise(*repeats: Sequence[Mapping[str, float]]) -> float:
    """Twice the standard error of the gap between the mean distances of two samplers."""
    errors = [np.var([r["frechet_distance"] for r in x], ddof=1) / len(x) for x in repeats]
    return 2 * math.sqrt(sum(error for error in errors if math.isfinite(error)))


def judge(scores: Mapping[str, float], thresholds: Mapping[MetricName, Bound]) -> dict[str, Any]:
    """Compare scores with thresholds; a score that is not a finite number misses every threshold.

    Returns:
        `passed`, and a check for each threshold with `metric`, `value`, `min`, `max`, `passed`.
    """
    checks = []
    for name, bound in sorted(thresholds.items()):
        value = scores[name]
        passed = (
            math.isfinite(value)
            and (bound.max is None or value <= bound.max)
            and (bound.min is None or value >= bound.min)
        )
        shown = value if math.isfinite(value) else None
        checks.append(
            {"metric": name, "value": shown, "min": bound.min, "max": bound.max, "passed": passed}
        )
    return {"passed": all(check["passed"] for check in checks), "checks": checks}
