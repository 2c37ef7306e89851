"""Copies are found, and what was drawn afresh is not taken for a copy."""

from __future__ import annotations

import numpy as np
import pytest

from aegan.data.shards import Shards
from aegan.evaluation.memorization import memorization


def draw(rows: int, seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, *(shape or (6,)))).astype(np.float32)


TRAIN, HELDOUT = draw(6000, 1), draw(1500, 2)


def test_fresh_samples_are_as_near_to_training_as_chance_has_it() -> None:
    found = memorization(draw(1000, 3), TRAIN, HELDOUT)
    assert found["expected"] == pytest.approx(0.8)
    assert abs(found["nearest_to_training"] - 0.8) < 1.5 * found["noise"]
    assert found["exact_copies"] == 0
    assert (found["samples"], found["training_rows"], found["heldout_rows"]) == (1000, 6000, 1500)


def test_the_noise_is_that_of_the_share_over_many_splits() -> None:
    shares, noises = [], []
    for seed in range(40):
        everything = np.random.default_rng(seed).permutation(draw(500, 1))
        found = memorization(draw(200, 2), everything[:400], everything[400:])
        shares.append(found["nearest_to_training"])
        noises.append(found["noise"])
    assert np.std(shares) == pytest.approx(np.mean(noises) / 2, rel=0.4)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_copies_are_counted(share: float) -> None:
    samples = draw(1000, 3)
    copied = int(share * 1000)
    samples[:copied] = TRAIN[1000 : 1000 + copied]
    found = memorization(samples, TRAIN, HELDOUT)
    assert found["exact_copies"] == share
    assert found["excess"] == pytest.approx(share, abs=0.15)


def test_copies_with_a_little_noise_are_found_and_not_called_exact() -> None:
    samples = TRAIN[:1000] + 0.01 * draw(1000, 4)
    found = memorization(samples, TRAIN, HELDOUT)
    assert found["nearest_to_training"] > 0.99
    assert found["exact_copies"] == 0


def test_samples_that_are_all_the_same_prove_little() -> None:
    same = np.repeat(draw(1, 3), 1000, axis=0)
    found = memorization(same, TRAIN, HELDOUT)
    assert found["noise"] == pytest.approx(2 * np.sqrt(0.8 * 0.2))


def test_it_is_the_same_far_from_the_origin_and_from_several_shards() -> None:
    samples = draw(300, 3, 4, 4, 1)
    train, heldout = draw(1000, 1, 4, 4, 1), draw(500, 2, 4, 4, 1)
    expected = memorization(samples, train, heldout)
    shards = Shards([train[:300], train[300:]])
    assert memorization(samples, shards, heldout) == expected
    moved = memorization(samples + 100, train + 100, heldout + 100)
    assert moved["nearest_to_training"] == pytest.approx(expected["nearest_to_training"], abs=0.01)
