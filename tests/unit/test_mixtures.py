"""Gaussian mixtures fitted to codes, beside scikit-learn's."""

from __future__ import annotations

import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from aegan import mixtures

Array = np.ndarray[Any, Any]


def clusters(rows: int = 3000, size: int = 6) -> Array:
    """Rows of eight Gaussians of their own shapes, whitened about."""
    rng = np.random.default_rng(0)
    means, shapes = rng.normal(size=(8, size)), rng.normal(size=(8, size, size)) / 3
    of = rng.integers(8, size=rows)
    found = means[of] + np.einsum("nij,nj->ni", shapes[of], rng.normal(size=(rows, size)))
    return (found - found.mean(axis=0)) / found.std(axis=0)


@pytest.mark.parametrize("components", [1, 12])
def test_the_fit_is_scikit_learns(components: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixtures, "BLOCK_BYTES", 70_000)  # several blocks, and a ragged one
    rows = clusters()
    theirs = GaussianMixture(
        components, init_params="k-means++", reg_covar=1e-4, max_iter=20, random_state=3
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(rows)

    ours = mixtures.fit_mixture(rows, components, 3)

    factors = np.linalg.cholesky(theirs.covariances_)
    np.testing.assert_allclose(np.exp(ours.log_weights), theirs.weights_, rtol=1e-5)
    np.testing.assert_allclose(ours.means, theirs.means_, atol=1e-5)
    np.testing.assert_allclose(ours.factors, factors, atol=1e-5)


def test_a_component_of_equal_rows_is_a_point_and_nothing_fails() -> None:
    rows = np.concatenate([clusters(200), np.full((50, 6), 9.0)])

    found = mixtures.fit_mixture(rows, 5, 0)

    point = np.argmin(np.abs(found.means - 9).sum(axis=1))
    np.testing.assert_allclose(found.means[point], 9.0, atol=1e-5)
    np.testing.assert_allclose(found.factors[point], np.eye(6) * 1e-2, atol=1e-5)
    assert np.all(np.isfinite(found.log_weights))


def test_memory_does_not_grow_with_the_rows() -> None:
    def peak(rows: Array) -> int:
        tracemalloc.start()
        mixtures.fit_mixture(rows, 4, 0)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    rows = np.tile(clusters(2000, 24), (30, 1)).astype(np.float32)
    few, many = peak(rows[:30_000]), peak(rows)

    # k-means++ keeps a few numbers of each row; 325 products of a row would be 2,600 bytes.
    assert many - few < 400 * 30_000
