"""Gaussian mixtures with full covariances, fitted by expectation-maximisation (Dempster et al. 1977).

The log density of a Gaussian is linear in the products of two coordinates, in the coordinates and in 1,
and their weighted sums are all that the next means and covariances are made of. So an iteration is two
matrix products for each block of rows, four times as fast as a component at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from aegan.latent import Mixture
from aegan.narration import narrate

Array = np.ndarray[Any, Any]

MOST_ITERATIONS = 20  # more gain nothing in the scores of samples
LEAST_GAIN = 1e-3  # in the mean log likelihood, for another iteration to be worth it
REGULARISATION = 1e-4  # added to every variance, in whitened units
MOST_HELD_OUT = 10_000  # rows that say how much wider a mixture should be
WIDEST = 1.5  # times; a few strange rows ask for more
BLOCK_BYTES = 32 * 2**20  # of the products of one block of rows


def fit_mixture(whitened: Array, components: int, seed: int) -> Mixture:
    """Fit a mixture of Gaussians with full covariances.

    Args:
        whitened: rows [N, D].
        components: wanted; fewer are used where there are not 5 rows for each.
        seed: of the first means, which are chosen among the rows by k-means++.
    """
    from sklearn.cluster import kmeans_plusplus

    possible = max(1, min(components, len(whitened) // 5))
    if possible < components:
        narrate("train_gan", "warning", f"{possible} mixture components for {len(whitened)} codes")
    narrate("train_gan", "info", f"fitting {possible} Gaussians to {len(whitened):,} codes")
    # Unlike k-means, which adds up in the order threads finish, this starts the same every time.
    means, _ = kmeans_plusplus(whitened, possible, random_state=seed)
    size = whitened.shape[1]
    # So narrow that each row belongs to the nearest.
    narrow = np.broadcast_to(REGULARISATION * np.eye(size), (possible, size, size))
    found, before = (np.full(possible, 1 / possible), means.astype(np.float64), narrow), -np.inf
    for _ in range(MOST_ITERATIONS):
        sums, likelihood = _expectation(whitened, *found)
        found = _maximisation(sums, size)
        if abs(likelihood - before) < LEAST_GAIN:
            break
        before = likelihood
    weights, means, covariances = found
    factors = np.linalg.cholesky(covariances)
    return Mixture(*(a.astype(np.float32) for a in (np.log(weights), means, factors)))


def fit_class_mixtures(whitened: Array, labels: Array, components: int, seed: int) -> Mixture:
    """A mixture of each class, stacked into one whose weights depend on the class.

    Args:
        whitened: [N, D] float32.
        labels: [N] int32 class numbers, at least two rows of each.
        components: wanted in all; each class gets its share of them, and at least one.
        seed: of the initialisation.
    """
    counts = np.bincount(labels)
    shares = [max(1, round(components * count / len(labels))) for count in counts]
    parts = [fit_mixture(whitened[labels == c], n, seed) for c, n in enumerate(shares)]
    ends = np.cumsum([len(part.means) for part in parts])
    log_weights = np.full((len(parts), ends[-1]), -np.inf, np.float32)
    for row, part, end in zip(log_weights, parts, ends, strict=True):
        row[end - len(part.means) : end] = part.log_weights
    means = np.concatenate([part.means for part in parts])
    return Mixture(log_weights, means, np.concatenate([part.factors for part in parts]))


def widened(mixture: Mixture, held_out: Array, labels: Array | None = None) -> Mixture:
    """The mixture with its deviations times what makes rows most likely that it was not fitted to.

    Those that it was fitted to lie nearer to its means than others do, the more so the fewer there are
    for each component. The factor is found by expectation-maximisation, too.

    Args:
        mixture: to widen.
        held_out: rows [M, D], distributed as those that it was fitted to.
        labels: [M], class numbers of the rows, where the mixture's weights depend on the class.

    Returns:
        One whose factors are from 1 to `WIDEST` times as large.
    """
    from scipy.special import softmax

    if not len(held_out):
        return mixture
    every = -(-len(held_out) // MOST_HELD_OUT)  # the first ones may all be of one class
    rows, size = held_out[::every], mixture.means.shape[1]
    log_weights = mixture.log_weights
    if labels is not None:
        log_weights = log_weights[labels[::every]]
    factors = mixture.factors.astype(np.float64)
    heights = -np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    alike = np.ones(len(factors)), mixture.means.astype(np.float64)
    coefficients = _coefficients(*alike, factors @ factors.transpose(0, 2, 1))
    densities = np.concatenate([(coefficients @ products).T for products in _products(rows)])
    distances = np.maximum(0.0, 2 * (heights - densities) - size * np.log(2 * np.pi))  # squared
    factor = 1.0
    for _ in range(MOST_ITERATIONS):
        rated = log_weights + heights - 0.5 * distances / factor**2
        variance = np.mean(np.sum(softmax(rated, axis=1) * distances, axis=1)) / size
        factor = min(max(1.0, float(np.sqrt(variance))), WIDEST)
    # Rounded, it is almost surely the same on other machines, whose codes differ in their last bits.
    factor = round(factor, 3)
    text = f"draws from Gaussians {factor} times as wide, as validation data says"
    narrate("train_gan", "info", text)
    return replace(mixture, factors=(factor * mixture.factors).astype(np.float32))


def _expectation(
    rows: Array, weights: Array, means: Array, covariances: Array
) -> tuple[Array, float]:
    """Sums [K, F] of what each component is responsible for, and the mean log likelihood."""
    coefficients = _coefficients(weights, means, covariances)
    sums, likelihood = np.zeros_like(coefficients), 0.0
    for products in _products(rows):
        densities = coefficients @ products
        highest = densities.max(axis=0)
        responsibilities = np.exp(densities - highest)
        total = responsibilities.sum(axis=0)
        responsibilities /= total
        sums += responsibilities @ products.T
        likelihood += float(np.sum(np.log(total) + highest))
    return sums, likelihood / len(rows)


def _maximisation(sums: Array, size: int) -> tuple[Array, Array, Array]:
    """Weights [K], means [K, D] and covariances [K, D, D] by those sums."""
    counts = sums[:, -1] + 10 * np.finfo(np.float64).eps  # of a component without any row, too
    means = sums[:, -1 - size : -1] / counts[:, None]
    i, j = np.triu_indices(size)
    covariances = np.empty((len(sums), size, size))
    covariances[:, i, j] = sums[:, : len(i)] / counts[:, None] - means[:, i] * means[:, j]
    covariances[:, j, i] = covariances[:, i, j]
    return counts / counts.sum(), means, covariances + REGULARISATION * np.eye(size)


def _coefficients(weights: Array, means: Array, covariances: Array) -> Array:
    """What the products of a row are multiplied by for its log densities: [K, F]."""
    size = means.shape[1]
    precisions = np.linalg.inv(covariances)
    along = np.einsum("kij,kj->ki", precisions, means)
    i, j = np.triu_indices(size)
    quadratic = precisions[:, i, j] * np.where(i == j, -0.5, -1.0)
    _, log_determinants = np.linalg.slogdet(covariances)
    constant = np.log(weights) - 0.5 * (
        size * np.log(2 * np.pi) + log_determinants + np.sum(along * means, axis=1)
    )
    return np.concatenate([quadratic, along, constant[:, None]], axis=1)


def _products(rows: Array) -> Iterator[Array]:
    """For blocks of rows: products x_i x_j (i ≤ j), x and 1, [F = D(D+1)/2 + D + 1, rows]."""
    size = rows.shape[1]
    ends = np.cumsum(np.arange(size, 0, -1))
    features = int(ends[-1]) + size + 1
    block = max(1, BLOCK_BYTES // (8 * features))
    for first in range(0, len(rows), block):
        columns = np.ascontiguousarray(rows[first : first + block].T, np.float64)
        products = np.empty((features, columns.shape[1]))
        for i, end in enumerate(ends):
            np.multiply(columns[i], columns[i:], out=products[end - (size - i) : end])
        products[-1 - size : -1], products[-1] = columns, 1.0
        yield products
