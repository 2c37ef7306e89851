"""What a run is called whose end the server tells in a word of its own."""

from __future__ import annotations

import pytest
from aegan_pipelines.cluster import state_of


@pytest.mark.parametrize(
    ("history", "state"),
    [
        (["PENDING", "RUNNING", "FAILED"], "FAILED"),
        (["RUNNING", "CANCELING", "FAILED"], "CANCELED"),
        (["RUNNING", "CANCELING", "FAILED", "FAILED"], "CANCELED"),
        (["RUNNING", "CANCELING"], "CANCELED"),  # its end is not noted yet
        (["CANCELING", "FAILED", "RUNNING", "FAILED"], "FAILED"),  # tried again elsewhere
        ([], "FAILED"),
    ],
)
def test_a_failed_run_that_was_told_to_end_was_cancelled(history: list[str], state: str) -> None:
    run = {"state": "FAILED", "state_history": [{"state": entry} for entry in history]}
    assert state_of(run) == state


def test_a_run_without_a_state_has_none() -> None:
    assert state_of({}) == ""
