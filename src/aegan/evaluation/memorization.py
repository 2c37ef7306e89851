"""Whether samples are copies of training examples, judged by examples that nobody trained on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aegan.data.shards import Shards

Array = np.ndarray[Any, Any]

ROWS_AT_ONCE = 4096  # of the training split, so that memory stays flat


def memorization(
    samples: Array, train: Array | Shards, heldout: Array | Shards
) -> dict[str, float]:
    """The share of samples whose nearest real example is one of the training split.

    A sampler that learnt the distribution and no examples is as near to those it was trained on as to
    others of the same origin: the expected share is then N / (N + M). One that copies reaches 1. This is
    the holdout-based share of Platzer and Reutterer 2021, for sets of different sizes; see also Meehan
    et al. 2020. Distances are Euclidean, in normalised units, so that it is blind to a copy that was
    shifted or redrawn.

    Args:
        samples: [S, ...] float32, normalised.
        train: [N, ...] float32, normalised.
        heldout: [M, ...] float32, normalised, split off at random from the same source.

    Returns:
        `nearest_to_training`: the share, ties count half; `expected`; `noise`: two standard errors of
        the share, if it is the expected one; `excess`: (share - expected) / (1 - expected), the share of
        copies if all others are as expected; `exact_copies`: the share of samples that equal a training
        example; and the numbers of `samples`, `training_rows` and `heldout_rows`.
    """
    flat = samples.reshape(len(samples), -1)
    to_train, nearest = _nearest(flat, train)
    to_heldout, other = _nearest(flat, heldout)
    share = float(np.mean((to_train < to_heldout) + 0.5 * (to_train == to_heldout)))
    expected = len(train) / (len(train) + len(heldout))
    # Samples with one nearest example in common count for less than as many that are independent.
    owners = np.where(to_train <= to_heldout, nearest, len(train) + other)
    _, counts = np.unique(owners, return_counts=True)
    noise = 2 * math.sqrt(expected * (1 - expected) * float(np.sum(counts**2))) / len(flat)
    order = np.argsort(nearest, kind="stable")
    found = np.empty_like(flat)
    found[order] = np.asarray(train[nearest[order]]).reshape(flat.shape)
    return {
        "nearest_to_training": share,
        "expected": expected,
        "noise": noise,
        "excess": (share - expected) / (1 - expected),
        "exact_copies": float((found == flat).all(axis=1).mean()),
        "samples": len(flat),
        "training_rows": len(train),
        "heldout_rows": len(heldout),
    }


def _nearest(points: Array, rows: Array | Shards) -> tuple[Array, Array]:
    """Squared distance of each point [S, D] to its nearest row, and the number of that row: [S] each."""
    # From a difference of squares, which loses its digits far from the origin.
    centre = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    points = points - centre
    squares = (points * points).sum(axis=1)
    distances = np.full(len(points), np.inf, np.float32)
    numbers = np.zeros(len(points), np.int64)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = np.asarray(rows[start : start + ROWS_AT_ONCE]).reshape(-1, points.shape[1]) - centre
        apart = squares[:, np.newaxis] + (some * some).sum(axis=1) - 2 * (points @ some.T)
        index = apart.argmin(axis=1)
        least = np.maximum(apart[np.arange(len(points)), index], 0)
        nearer = least < distances
        distances[nearer], numbers[nearer] = least[nearer], start + index[nearer]
    return distances, numbers
