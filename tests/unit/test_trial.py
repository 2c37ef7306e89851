"""One step of one trial: what is done once, what is tried again, and what has failed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from aegan.config_file import validate
from aegan.narration import utc_now
from aegan.stages import trial
from aegan.store import open_store
from aegan.sweep import Trial, to_text
from tests.conftest import tiny

Step = Callable[..., str]


class KilledError(BaseException):
    """What no step catches, as nothing survives SIGKILL."""


@pytest.fixture
def work() -> list[Any]:
    """What the stage does, attempt by attempt: an exception is raised, all else is the result."""
    return []


@pytest.fixture
def step(work: list[Any], root: str, monkeypatch: pytest.MonkeyPatch) -> Step:
    def stage(*_: Any, fresh: str) -> Any:
        outcome = work.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return SimpleNamespace(uri=outcome, attempt="a", seconds=1.0, finished=utc_now())

    for name, (_, sections) in trial.STEPS.items():
        monkeypatch.setitem(trial.STEPS, name, (stage, sections))
    config, trials = validate(tiny(), "test").to_json(), to_text([Trial(1, {}, {})])

    def run(name: str, attempts: int = 2) -> str:
        return trial.run(config, root, "run", trials, 1, name, attempts=attempts)

    return run


def state(root: str) -> dict[str, Any]:
    return trial.read_trial(open_store(root), "run", 1) or {}


def test_what_is_killed_at_every_attempt_has_failed(step: Step, work: list[Any], root: str) -> None:
    work += ["uri", KilledError(), KilledError()]
    assert step("normalize") == trial.DONE
    for _ in range(2):
        with pytest.raises(KilledError):
            step("train_autoencoder")
    assert step("train_autoencoder") == trial.FAILED
    assert state(root)["error"].startswith("train_autoencoder: killed at each of 2 attempt(s)")
    assert step("train_gan") == trial.FAILED
    assert set(state(root)["stages"]) == {"normalize"}


def test_what_is_killed_once_goes_on(step: Step, work: list[Any], root: str) -> None:
    work += [KilledError(), "uri", "another"]
    with pytest.raises(KilledError):
        step("normalize")
    assert step("normalize") == trial.DONE
    assert step("train_autoencoder", attempts=1) == trial.DONE
    assert state(root)["attempts"] == {"normalize": 2, "train_autoencoder": 1}


def test_what_was_done_is_done_though_its_step_was_killed_after_it(
    step: Step, work: list[Any], root: str
) -> None:
    work += ["uri"]
    for _ in range(3):
        assert step("normalize", attempts=1) == trial.DONE
    assert state(root)["error"] is None


def test_an_error_is_the_trials_result_at_once(step: Step, work: list[Any], root: str) -> None:
    work += [ValueError("no such thing")]
    assert step("normalize") == trial.FAILED
    assert "no such thing" in state(root)["error"]
    assert step("normalize") == trial.FAILED
