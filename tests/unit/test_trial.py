"""One step of one trial: what is done once, what is tried again, and what has failed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from aegan.config import MetricName
from aegan.config_file import validate
from aegan.digests import to_json
from aegan.narration import utc_now
from aegan.stages import compare, trial
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


@pytest.mark.parametrize("judged", [False, True])
def test_a_sweep_that_ended_before_its_best_was_judged_says_so(root: str, judged: bool) -> None:
    store, config = open_store(root), validate(tiny(), "test").to_json()
    trials = to_text([Trial(1, {"gan.gamma": 0.1}, {}), Trial(2, {"gan.gamma": 1.0}, {})])
    outputs = {"uri": f"{root}/o", "outputs": f"{root}/o/a", "seconds": 1.0, "reused": False}
    one = {"stages": dict.fromkeys(trial.STEPS, outputs), "error": None}
    two = {"stages": {"normalize": outputs}, "error": "train_autoencoder: killed"}
    for number, found in enumerate((one, two), 1):
        store.write(f"runs/run/trials/{number}/trial.json", to_json(found))
    headline = dict.fromkeys(get_args(MetricName), 1.0)
    store.write("o/a/report/metrics.json", to_json({"headline": headline}))
    verdict = {"passed": True, "selected": "gan", "validation_scores": {"gan": {}}}
    store.write("o/a/report/verdict.json", to_json(verdict))
    if judged:
        compare.best_of(config, root, "run", trials, "frechet_distance")
    message = "Task exit-handler-1 failed."
    ended = compare.run_record(config, root, "run", trials, "frechet_distance", "FAILED", message)
    assert (ended["status"], ended["sweep"]["best"]) == ("failed", 1)
    if judged:
        assert ended["error"] == message
    else:
        assert "the best trial was not judged, because steps ended" in ended["error"]
        assert "trial 2 (gan.gamma=1.0), in train_autoencoder: train_aut" in ended["error"]


def test_an_error_is_the_trials_result_at_once(step: Step, work: list[Any], root: str) -> None:
    work += [ValueError("no such thing")]
    assert step("normalize") == trial.FAILED
    assert "no such thing" in state(root)["error"]
    assert step("normalize") == trial.FAILED
