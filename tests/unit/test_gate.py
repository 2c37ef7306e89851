"""The better sampler is chosen, and nothing that misses a threshold passes."""

from __future__ import annotations

import json
import math

import pytest

from aegan.config import Bound
from aegan.evaluation.gate import choose, judge


def _repeats(distances: list[float], coverage: float) -> list[dict[str, float]]:
    return [{"frechet_distance": distance, "coverage": coverage} for distance in distances]


# Each of these has the sample variance 0.01, so that the noise of a gap between two of them is
# 2 √(0.01/3 + 0.01/3) = 0.163.
AROUND_1 = [0.9, 1.0, 1.1]
JUST_WITHIN = [1.06, 1.16, 1.26]
JUST_BEYOND = [1.07, 1.17, 1.27]
NOISE = 2 * math.sqrt(0.02 / 3)


@pytest.mark.parametrize("names", [("gan", "mixture"), ("mixture", "gan")])
def test_the_lower_distance_wins_if_the_gap_exceeds_the_noise(names: tuple[str, str]) -> None:
    better, worse = names
    scores = {better: _repeats(AROUND_1, 0.1), worse: _repeats(JUST_BEYOND, 0.9)}
    for order in (scores, dict(reversed(scores.items()))):
        verdict = choose(order)
        assert verdict["selected"] == better
        assert verdict["reason"] == (
            f"its Fréchet distance on validation data is lower by 0.17 (noise {NOISE:.2g})"
        )


@pytest.mark.parametrize("coverages", [(0.1, 0.9), (0.9, 0.1)])
def test_the_coverage_decides_within_the_noise(coverages: tuple[float, float]) -> None:
    scores = {
        "gan": _repeats(AROUND_1, coverages[0]),
        "mixture": _repeats(JUST_WITHIN, coverages[1]),
    }
    for order in (scores, dict(reversed(scores.items()))):
        verdict = choose(order)
        assert verdict["selected"] == ("gan" if coverages[0] > coverages[1] else "mixture")
        assert "differ by 0.16, within their noise of 0.16" in verdict["reason"]
        assert "its coverage is not lower" in verdict["reason"]


def test_of_three_only_those_within_the_noise_are_compared_by_coverage() -> None:
    scores = {
        "gan": _repeats(AROUND_1, 0.5),
        "mixture": _repeats(JUST_WITHIN, 0.6),
        "prior": _repeats(JUST_BEYOND, 0.9),
    }
    assert choose(scores)["selected"] == "mixture"


def test_the_first_of_two_equals_is_chosen() -> None:
    scores = {name: _repeats(AROUND_1, 0.5) for name in ("gan", "mixture")}
    assert choose(scores)["selected"] == "gan"


def test_repeats_without_any_spread_have_no_noise() -> None:
    scores = {"gan": _repeats([1.0] * 3, 0.9), "mixture": _repeats([1.0 - 1e-9] * 3, 0.1)}
    assert choose(scores)["selected"] == "mixture"


def test_the_mean_of_every_score_is_reported() -> None:
    scores = {"gan": _repeats(AROUND_1, 0.5), "mixture": _repeats(JUST_WITHIN, 0.25)}
    found = choose(scores)["validation_scores"]
    assert found["gan"] == pytest.approx({"frechet_distance": 1.0, "coverage": 0.5})
    assert found["mixture"] == pytest.approx({"frechet_distance": 1.16, "coverage": 0.25})


@pytest.mark.parametrize("broken", [[math.nan] * 3, [0.9, 1.0, math.nan]])
@pytest.mark.parametrize("names", [("gan", "mixture"), ("mixture", "gan")])
def test_a_sampler_whose_distance_is_no_number_is_not_chosen(
    names: tuple[str, str], broken: list[float]
) -> None:
    good, bad = names
    scores = {bad: _repeats(broken, 0.9), good: _repeats([50.0, 60.0, 70.0], 0.1)}
    for order in (scores, dict(reversed(scores.items()))):
        assert choose(order)["selected"] == good


@pytest.mark.parametrize(
    ("value", "bound", "passed"),
    [
        (0.5, Bound(max=0.5), True),
        (0.5000001, Bound(max=0.5), False),
        (0.5, Bound(min=0.5), True),
        (0.4999999, Bound(min=0.5), False),
        (0.5, Bound(min=0.4, max=0.6), True),
        (0.3, Bound(min=0.4, max=0.6), False),
        (0.7, Bound(min=0.4, max=0.6), False),
        (0.0, Bound(min=0), True),
        (-0.1, Bound(min=0), False),
        (-1.0, Bound(max=0), True),
        (0.1, Bound(max=0), False),
        (math.nan, Bound(max=0.5), False),
        (math.nan, Bound(min=0.5), False),
        (math.inf, Bound(min=0.5), False),
        (-math.inf, Bound(max=0.5), False),
    ],
)
def test_a_score_must_lie_within_its_bounds(value: float, bound: Bound, passed: bool) -> None:
    verdict = judge({"coverage": value}, {"coverage": bound})
    assert verdict["passed"] is passed
    [check] = verdict["checks"]
    assert check["passed"] is passed
    assert (check["metric"], check["min"], check["max"]) == ("coverage", bound.min, bound.max)
    assert check["value"] == (value if math.isfinite(value) else None)
    json.dumps(verdict, allow_nan=False)


def test_one_missed_threshold_is_enough_and_all_are_reported() -> None:
    scores = {"recall": 0.9, "coverage": 0.2, "frechet_distance": 3.0, "density": 0.1}
    thresholds = {
        "recall": Bound(min=0.5),
        "coverage": Bound(min=0.5),
        "frechet_distance": Bound(max=5),
    }
    verdict = judge(scores, thresholds)
    assert not verdict["passed"]
    assert [(check["metric"], check["passed"]) for check in verdict["checks"]] == [
        ("coverage", False),
        ("frechet_distance", True),
        ("recall", True),
    ]


def test_without_thresholds_everything_passes() -> None:
    assert judge({"coverage": 0.0}, {}) == {"passed": True, "checks": []}
