"""Thresholds of anomaly scores keep their promise about false alarms."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from aegan.errors import DataError
from aegan.thresholds import MOST_RANKS, Quantiles, quantiles


@pytest.mark.parametrize("count", [99, 20_000])
@pytest.mark.parametrize("false_alarm", [0.01, 0.05, 0.3])
def test_the_share_of_false_alarms_is_nearly_and_at_most_what_was_asked(
    count: int, false_alarm: float
) -> None:
    random = np.random.default_rng(0)
    shares = []
    for _ in range(300 if count < 1000 else 20):
        known = quantiles(random.exponential(size=count).astype(np.float32))
        new = random.exponential(size=10_000)
        shares.append((new > known.threshold(false_alarm)).mean())
    assert np.mean(shares) == pytest.approx(false_alarm, rel=0.12)


def test_few_scores_are_all_kept_and_many_are_thinned() -> None:
    few = quantiles(np.array([3.0, 1.0, 2.0]))
    assert (few.examples, few.ranks, few.scores) == (3, [1, 2, 3], [3.0, 2.0, 1.0])
    many = quantiles(np.arange(1_000_000, dtype=np.float32))
    assert len(many.ranks) <= MOST_RANKS
    assert many.ranks[:20] == list(range(1, 21))
    # Where ranks are missing, the threshold is that of fewer false alarms.
    asked = many.threshold(0.2)
    assert 0.19 < (np.arange(1_000_000) > asked).mean() <= 0.2


def test_they_survive_the_way_through_json() -> None:
    known = quantiles(np.random.default_rng(1).random(50))
    assert Quantiles(**json.loads(known.to_json())) == known


def test_a_tenth_of_nine_is_the_largest() -> None:
    assert quantiles(np.arange(9.0)).threshold(0.1) == 8.0


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan"), "a", None, [0.1]])
def test_what_is_no_share_is_refused(share: Any) -> None:
    with pytest.raises(DataError, match="expected a number between 0 and 1"):
        quantiles(np.arange(9.0)).threshold(share)


def test_too_few_examples_for_so_small_a_share_say_what_they_can_tell() -> None:
    with pytest.raises(DataError, match=r"9 validation examples cannot tell.*at least 1/10"):
        quantiles(np.arange(9.0)).threshold(0.01)
