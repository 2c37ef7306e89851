"""Gaussian mixtures fitted to codes, beside scikit-learn's."""

from __future__ import annotations

import tracemalloc
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from aegan import mixtures
from aegan.latent import Mixture

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


def log_likelihood(mixture: Mixture, rows: Array) -> float:
    """By SciPy's densities."""
    parts = [
        np.exp(weight) * multivariate_normal(mean, factor @ factor.T).pdf(rows)
        for weight, mean, factor in zip(*vars(mixture).values(), strict=True)
    ]
    return float(np.log(np.sum(parts, axis=0)).mean())


def test_a_mixture_of_few_rows_is_widened_to_what_other_rows_say() -> None:
    rows = clusters(6000)
    fitted, held_out = mixtures.fit_mixture(rows[:400], 12, 0), rows[400:]

    found = mixtures.widened(fitted, held_out)

    def scaled(factor: float) -> Mixture:
        return replace(fitted, factors=factor * fitted.factors)

    factors = np.arange(1.0, 1.5, 0.01)
    best = factors[np.argmax([log_likelihood(scaled(f), held_out) for f in factors])]
    assert best > 1.05
    np.testing.assert_allclose(found.factors, best * fitted.factors, rtol=0.011)
    np.testing.assert_array_equal(found.means, fitted.means)


def test_a_mixture_of_many_rows_and_one_without_others_stay_as_they_are() -> None:
    rows = clusters(20_000)
    fitted = mixtures.fit_mixture(rows[:10_000], 8, 0)

    np.testing.assert_allclose(
        mixtures.widened(fitted, rows[10_000:]).factors, fitted.factors, rtol=0.01
    )
    assert mixtures.widened(fitted, rows[:0]) is fitted
    # Narrower it never becomes, and a few strange rows do not blow it up.
    np.testing.assert_array_equal(mixtures.widened(fitted, fitted.means).factors, fitted.factors)
    strange = np.concatenate([rows[:50], np.full((2, 6), 100.0)])
    np.testing.assert_allclose(
        mixtures.widened(fitted, strange).factors, 1.5 * fitted.factors, rtol=1e-6
    )


def test_of_many_rows_in_order_those_of_every_part_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = clusters(6000)
    fitted = mixtures.fit_mixture(rows[:400], 12, 0)
    ordered = rows[400:][np.argsort(rows[400:, 0], kind="stable")]
    monkeypatch.setattr(mixtures, "MOST_HELD_OUT", 1400)

    found = mixtures.widened(fitted, ordered)

    np.testing.assert_array_equal(found.factors, mixtures.widened(fitted, ordered[::4]).factors)
    labels = np.arange(len(ordered)) % 2
    of_classes = replace(fitted, log_weights=np.stack([fitted.log_weights] * 2))
    np.testing.assert_array_equal(
        mixtures.widened(of_classes, ordered, labels).factors, found.factors
    )


def test_where_weights_depend_on_the_class_rows_are_rated_by_their_own() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(2000) % 2
    rows = (rng.normal(size=(2000, 2)) + 4 * labels[:, None]).astype(np.float32)
    of_classes = Mixture(
        np.log(np.array([[1, 1e-9], [1e-9, 1]], np.float32)),
        np.array([[0, 0], [4, 4]], np.float32),
        np.array([np.eye(2) / 1.2] * 2, np.float32),
    )

    right = mixtures.widened(of_classes, rows, labels)
    wrong = mixtures.widened(of_classes, rows, 1 - labels)

    np.testing.assert_allclose(right.factors[0], np.eye(2), atol=0.02)
    np.testing.assert_allclose(wrong.factors[0], 1.5 * np.eye(2) / 1.2, rtol=1e-6)
    np.testing.assert_array_equal(right.log_weights, of_classes.log_weights)


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
