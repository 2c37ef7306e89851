"""From which anomaly score on an example is one, by how often examples like the known ones score higher.

The largest of n validation scores is exceeded by a new example of the same kind with a probability of at
most 1/(n + 1), the k-th largest with k/(n + 1) (split conformal prediction: Vovk et al. 2005). What is
kept of the scores is a list of pairs of such a rank k and the score at it.
"""

from __future__ import annotations

import numbers
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aegan.digests import to_json
from aegan.errors import DataError

Array = np.ndarray[Any, Any]

MOST_RANKS = 2000


@dataclass(frozen=True)
class Quantiles:
    """Scores of validation examples.

    Attributes:
        split: the examples are of.
        examples: how many there were.
        ranks: counted from 1 at the largest score, rising; all of them if there are few.
        scores: at the ranks.
    """

    split: str
    examples: int
    ranks: list[int]
    scores: list[float]

    def to_json(self) -> bytes:
        """Canonical JSON, for `scores.json`."""
        return to_json(asdict(self))

    def threshold(self, false_alarm: float) -> float:
        """The score that at most this share of examples like the validation examples exceed.

        Raises:
            DataError: it is no share, or there were too few examples to tell.
        """
        if not isinstance(false_alarm, numbers.Real) or not 0 < false_alarm < 1:
            raise DataError(
                f"the share of false alarms is {false_alarm!r}: expected a number between 0 and 1"
            )
        # Rounded, so that 0.1 of 10 ranks is one rank, although 0.1 is a little more than a tenth.
        rank = int(np.floor(round(false_alarm * (self.examples + 1), 9)))
        if rank < 1:
            raise DataError(
                f"{self.examples} validation examples cannot tell a threshold for a share of false"
                f" alarms of {false_alarm:g}: expected at least 1/{self.examples + 1}"
            )
        return self.scores[int(np.searchsorted(self.ranks, rank, side="right")) - 1]


def quantiles(scores: Array, split: str = "validation") -> Quantiles:
    """Keep what matters of scores [N]: all of them, or the ranks that are a factor apart."""
    falling = np.sort(scores.astype(np.float64))[::-1]
    ranks = np.arange(1, len(falling) + 1)
    if len(ranks) > MOST_RANKS:
        ranks = np.unique(np.geomspace(1, len(falling), MOST_RANKS).round().astype(int))
    return Quantiles(split, len(falling), ranks.tolist(), falling[ranks - 1].tolist())
