"""Distances between two sets of feature vectors, [N, D] and [M, D]."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

ROWS_AT_ONCE = 1000  # of a distance matrix, so that memory stays flat


def frechet_distance(first: Array, second: Array) -> float:
    """Squared Fréchet distance between Gaussians fitted to both sets.

    ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½), Dowson and Landau 1982; on Inception features this is FID
    (Heusel et al. 2017). Biased upwards for few rows: compare only values of the same sizes.
    NaN if a feature is not finite.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return math.nan
    mean_gap = first.mean(axis=0) - second.mean(axis=0)
    cov_1, cov_2 = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (first, second))
    # tr (Σ₁Σ₂)^½ = tr (Σ₁^½ Σ₂ Σ₁^½)^½, whose argument is symmetric and so has real roots.
    values, vectors = np.linalg.eigh(cov_1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ cov_2 @ root)
    trace = np.trace(cov_1) + np.trace(cov_2) - 2 * np.sqrt(np.maximum(cross, 0)).sum()
    return float(mean_gap @ mean_gap + trace)


def manifold_scores(real: Array, fake: Array, neighbours: int) -> dict[str, float]:
    """Precision, recall, density and coverage of `fake` against `real`.

    The manifold of a set is the union of balls around its points, each as large as the distance to
    the k-th nearest other point. Precision and recall: Kynkäänniemi et al. 2019; density and
    coverage: Naeem et al. 2020.

    Args:
        real: [N, D], N > neighbours.
        fake: [M, D], M > neighbours.
        neighbours: k.
    """
    # Squared distances come from a difference of squares: far from the origin it loses its digits.
    centre = real.mean(axis=0, dtype=np.float64)
    real, fake = ((x - centre).astype(np.float32) for x in (real, fake))
    real_radii = _radii(real, neighbours)
    fake_radii = _radii(fake, neighbours)
    inside_real = np.zeros(len(fake), np.int64)  # balls of real points that hold each fake one
    recalled, covered = 0, 0
    for start in range(0, len(real), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        distances = _squared_distances(real[rows], fake)
        inside = distances <= real_radii[rows, np.newaxis]
        inside_real += inside.sum(axis=0)
        covered += int(inside.any(axis=1).sum())
        recalled += int((distances <= fake_radii[np.newaxis]).any(axis=1).sum())
    return {
        "precision": float((inside_real > 0).mean()),
        "recall": recalled / len(real),
        "density": float(inside_real.mean()) / neighbours,
        "coverage": covered / len(real),
    }


def _radii(points: Array, neighbours: int) -> Array:
    """Squared distance of each point to its k-th nearest other point: [N]."""
    radii = np.empty(len(points), np.float32)
    for start in range(0, len(points), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        distances = _squared_distances(points[rows], points)
        # The point itself is the nearest, so the k-th other one has the index k.
        radii[rows] = np.partition(distances, neighbours, axis=1)[:, neighbours]
    return radii


def _squared_distances(a: Array, b: Array) -> Array:
    squares = (a * a).sum(axis=1)[:, np.newaxis] + (b * b).sum(axis=1)[np.newaxis]
    distances: Array = np.maximum(squares - 2 * (a @ b.T), 0)
    return distances
