"""Distances between sets, held to closed forms, to constructed sets and to a slow twin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import linalg

from aegan.evaluation import metrics
from aegan.evaluation.metrics import frechet_distance, manifold_scores

Array = np.ndarray[Any, Any]

FAR = 30.0  # beyond all neighbours of points that scatter by about 1


def _normal(rows: int = 300, columns: int = 4, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(rows, columns))


def _with_moments(mean: Array, covariance: Array, seed: int = 0) -> Array:
    """[300, D] rows whose sample mean and covariance are these, not only nearly."""
    rows = _normal(columns=len(mean), seed=seed)
    rows -= rows.mean(axis=0)
    whitened = rows @ linalg.inv(linalg.cholesky(np.cov(rows, rowvar=False)))
    return whitened @ linalg.cholesky(covariance) + mean


def _covariance(size: int, seed: int) -> Array:
    root = _normal(size, size, seed)
    return root @ root.T + 0.1 * np.eye(size)


# --- Fréchet distance


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_distance_of_a_set_to_itself_is_zero(scale: float) -> None:
    rows = _normal() * scale
    # A difference of traces; each is about the number of columns times the scale squared.
    assert abs(frechet_distance(rows, rows)) < 1e-12 * 4 * scale**2
    assert abs(frechet_distance(rows, rows[::-1])) < 1e-12 * 4 * scale**2


def test_a_shift_costs_its_squared_length() -> None:
    assert frechet_distance(_normal(), _normal() + np.array([3, 0, -4, 0])) == pytest.approx(25)


def test_a_scaling_costs_the_squared_difference_of_deviations() -> None:
    """For covariances Σ and s²Σ the formula is (s - 1)² tr Σ, whatever Σ is."""
    rows = _with_moments(np.zeros(3), _covariance(3, seed=1))
    assert frechet_distance(rows, 3 * rows) == pytest.approx(4 * np.trace(_covariance(3, seed=1)))


def test_independent_columns_add_up() -> None:
    """(1 - 3)² + (2 - 1)² for the deviations, 1² + 2² for the means."""
    first = _with_moments(np.array([0.0, 0.0]), np.diag([1.0, 4.0]), seed=1)
    second = _with_moments(np.array([1.0, -2.0]), np.diag([9.0, 1.0]), seed=2)
    assert frechet_distance(first, second) == pytest.approx(10)


def test_any_two_gaussians_agree_with_the_matrix_square_root() -> None:
    means, covariances = (
        [_normal(1, 5, seed)[0] for seed in (1, 2)],
        [_covariance(5, 3), _covariance(5, 4)],
    )
    sets = [
        _with_moments(m, c, seed)
        for seed, (m, c) in enumerate(zip(means, covariances, strict=True))
    ]
    cross = linalg.sqrtm(covariances[0] @ covariances[1])
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(
        covariances[0] + covariances[1] - 2 * np.real(cross)
    )
    assert frechet_distance(*sets) == pytest.approx(expected)


def test_the_distance_is_symmetric() -> None:
    first, second = _normal(seed=1) * [1, 2, 3, 4], _normal(200, seed=2) + 1
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))


def test_moving_and_turning_both_sets_changes_nothing() -> None:
    first, second = _normal(seed=1) * [1, 2, 3, 4], _normal(seed=2)
    turn = linalg.qr(_normal(4, 4, seed=3))[0]
    moved = frechet_distance(first @ turn + 100, second @ turn + 100)
    assert moved == pytest.approx(frechet_distance(first, second))


def test_a_set_without_spread_is_its_mean() -> None:
    """Two collapsed samplers: nothing is left but the distance of the points."""
    first, second = np.full((10, 2), 1.0), np.full((20, 2), 2.0)
    assert frechet_distance(first, second) == pytest.approx(2)
    assert frechet_distance(first, first) == 0


def test_one_column_and_fewer_rows_than_columns_are_fine() -> None:
    assert frechet_distance(_normal(columns=1), 2 + _normal(columns=1)) == pytest.approx(4)
    few = _normal(5, 40)
    # Squared rounding of the roots of 36 eigenvalues that are zero.
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-5)
    assert frechet_distance(few, few + 1) == pytest.approx(40, abs=1e-5)


def test_single_precision_is_not_lost_far_from_the_origin() -> None:
    first, second = (_normal(seed=seed).astype(np.float32) for seed in (1, 2))
    moved = frechet_distance(first + np.float32(1024), second + np.float32(1024))
    # Adding 1024 rounds each value by at most 2⁻¹⁴, and the result by about as much.
    assert moved == pytest.approx(frechet_distance(first, second), rel=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_distance_of_what_is_not_finite_is_not_a_number(value: float) -> None:
    broken = _normal()
    broken[5, 2] = value
    assert math.isnan(frechet_distance(_normal(), broken))
    assert math.isnan(frechet_distance(broken, _normal()))


# --- Precision, recall, density, coverage


def _slow_scores(real: Array, fake: Array, neighbours: int) -> dict[str, float]:
    """The definitions of the two papers, point by point."""

    def radius(points: Array, index: int) -> float:
        others = np.delete(points, index, axis=0)
        return float(np.sort(np.linalg.norm(others - points[index], axis=1))[neighbours - 1])

    def inside(point: Array, centres: Array, radii: list[float]) -> list[bool]:
        return [
            bool(np.linalg.norm(point - centre) <= r)
            for centre, r in zip(centres, radii, strict=True)
        ]

    real_radii = [radius(real, index) for index in range(len(real))]
    fake_radii = [radius(fake, index) for index in range(len(fake))]
    balls = np.array([inside(point, real, real_radii) for point in fake])  # [M, N]
    return {
        "precision": np.mean(balls.any(axis=1)),
        "recall": np.mean([any(inside(point, fake, fake_radii)) for point in real]),
        "density": balls.sum() / (neighbours * len(fake)),
        "coverage": np.mean(balls.any(axis=0)),
    }


@pytest.mark.parametrize("neighbours", [1, 3, 5])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.4, 0.0), (1.5, 0.5)])
def test_scores_are_those_of_the_definitions(neighbours: int, scale: float, shift: float) -> None:
    real, fake = _normal(60, 3, 1), _normal(45, 3, 2) * scale + shift
    expected = _slow_scores(real, fake, neighbours)
    assert 0 < expected["coverage"] < 1, "sets that tell good scores from bad"
    assert manifold_scores(real, fake, neighbours) == pytest.approx(expected)


def _check(scores: dict[str, float], precision: float, recall: float, coverage: float) -> None:
    found = (scores["precision"], scores["recall"], scores["coverage"])
    assert found == (precision, recall, coverage)


@pytest.mark.parametrize("neighbours", [1, 5])
def test_a_set_is_all_that_it_can_be_of_itself(neighbours: int) -> None:
    scores = manifold_scores(_normal(), _normal(), neighbours)
    _check(scores, precision=1, recall=1, coverage=1)
    # Each ball holds its own centre and k others, the last just on its edge: rounding may drop it.
    assert 1 <= scores["density"] <= (neighbours + 1) / neighbours + 1e-9


def test_sets_far_apart_have_nothing_in_common() -> None:
    scores = manifold_scores(_normal(seed=1), _normal(seed=2) + FAR, 5)
    assert scores == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_a_missed_mode_costs_recall_and_coverage() -> None:
    """The samples are one of two equal clusters, point for point."""
    cluster = _normal(100)
    real = np.concatenate([cluster, _normal(100, seed=1) + FAR])
    scores = manifold_scores(real, cluster, 5)
    _check(scores, precision=1, recall=0.5, coverage=0.5)
    assert 1 <= scores["density"] <= 6 / 5 + 1e-9


def test_an_invented_mode_costs_precision_and_density() -> None:
    cluster = _normal(100)
    fake = np.concatenate([cluster, _normal(100, seed=1) + FAR])
    scores = manifold_scores(cluster, fake, 5)
    _check(scores, precision=0.5, recall=1, coverage=1)
    assert 1 / 2 <= scores["density"] <= 6 / 10 + 1e-9


def test_a_sampler_that_repeats_one_example_has_precision_only() -> None:
    real = _normal(200)
    scores = manifold_scores(real, np.repeat(real[:1], 200, axis=0), 5)
    holding = _slow_scores(real, np.repeat(real[:1], 6, axis=0), 5)["coverage"]
    assert scores["precision"] == 1
    assert scores["recall"] <= 1 / 200
    assert scores["coverage"] == pytest.approx(holding)
    assert holding < 0.1


def test_the_two_sets_may_differ_in_size() -> None:
    scores = manifold_scores(_normal(50), np.repeat(_normal(50), 7, axis=0)[:301], 5)
    assert scores["precision"] == 1
    assert scores["coverage"] > 0.8


@pytest.mark.parametrize("rows_at_once", [1, 7, 299, 300])
def test_the_size_of_the_chunks_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    real, fake = _normal(seed=1), _normal(250, seed=2) * 1.2
    whole = manifold_scores(real, fake, 5)
    monkeypatch.setattr(metrics, "ROWS_AT_ONCE", rows_at_once)
    assert manifold_scores(real, fake, 5) == whole


def test_scores_do_not_depend_on_where_the_origin_is() -> None:
    """A power of two and a grid keep the moved values exact in float32."""
    real, fake = (np.round(_normal(seed=seed) * 2**8) / 2**8 for seed in (1, 2))
    assert manifold_scores(real + 2**12, fake + 2**12, 5) == manifold_scores(real, fake, 5)


def test_samples_that_are_not_numbers_are_like_nothing() -> None:
    broken = np.full((200, 4), np.nan)
    scores = manifold_scores(_normal(), broken, 5)
    assert scores == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
