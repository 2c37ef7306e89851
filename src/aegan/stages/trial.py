"""One step of one trial of a sweep. It does not fail: what goes wrong is the trial's result.

    <root>/runs/<run id>/began.json               when the sweep began
    <root>/runs/<run id>/trials/<n>/trial.json    settings, stages so far, the error if there was one
    <root>/runs/<run id>/trials/<n>/began.json    as of a run
    <root>/runs/<run id>/turns/…                  who is at work on what several trials share

A step that failed would end the loop that all trials are in; an exception becomes a record instead,
and the steps after it find it and do nothing. Only what kills a process fails a step: it is tried again,
until what has been killed too often is the trial's result, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from aegan.config import Config
from aegan.config_file import from_json
from aegan.digests import read_json, to_json
from aegan.errors import AeganError, PreconditionError, describe
from aegan.narration import in_trial, narrate, utc_now
from aegan.stages import evaluate, normalize, train_autoencoder, train_gan
from aegan.stages.stage import StageResult
from aegan.stages.turns import turn
from aegan.store import Store, check_writable, open_store
from aegan.sweep import Trial, read_trials, trial_config

STEPS: dict[str, tuple[Callable[..., StageResult], tuple[str, ...]]] = {
    "normalize": (normalize.run, ("seed", "data", "normalize")),
    "train_autoencoder": (train_autoencoder.run, ("seed", "data", "normalize", "autoencoder")),
    "train_gan": (train_gan.run, ("seed", "data", "normalize", "autoencoder", "gan")),
    "evaluate": (evaluate.run, ()),
}
"""By stage: what does it, and the sections that trials must have in common to share its outputs."""

DONE, FAILED = "done", "failed"


def run(
    config: str,
    root: str,
    run_id: str,
    trials: str,
    number: int,
    stage: str,
    *,
    attempts: int,
    fresh: str = "",
) -> str:
    """Do one stage of a trial, or reuse it; returns `done` or `failed`.

    Args:
        config: canonical JSON of the configuration without the grid.
        root: folder or bucket path where everything of this project lies.
        run_id: of the sweep's pipeline run.
        trials: all trials, from `aegan.sweep.to_text`.
        number: of the trial.
        stage: a key of STEPS.
        attempts: at the stage; if all of them were killed, one more finds the trial to have failed.
        fresh: empty to reuse what is there already, else see `run_stage`.

    Raises:
        StoreError: the root cannot be written to, so that nothing can be recorded.
    """
    trial = read_trials(trials)[number - 1]
    store = open_store(root)
    if stage == "normalize":
        _begin(store, run_id)
    state: dict[str, Any] = {"number": number, "settings": trial.settings}
    state |= {"stages": {}, "attempts": {}, "error": None}
    state |= read_trial(store, run_id, number) or {}
    if state["error"]:
        return FAILED
    if stage in state["stages"]:  # and its step was killed before it could say so
        return DONE
    with in_trial(number):
        try:
            _begin_attempt(store, run_id, state, stage, attempts)
            state["stages"][stage] = _do(store, config, run_id, trial, stage, state, fresh)
        except Exception as error:
            text = describe(error)
            if not getattr(error, "aegan_explained", False):
                narrate(stage, "error", text)
            state["error"] = f"{stage}: {text}"
    store.write(_place(run_id, number), to_json(state))
    return FAILED if state["error"] else DONE


def read_trial(store: Store, run_id: str, number: int) -> dict[str, Any] | None:
    """What a trial has come to; None if it has not begun."""
    return read_json(store, _place(run_id, number)) or None


def trial_run(run_id: str, number: int) -> str:
    """The id of a trial as a run of its own."""
    return f"{run_id}/trials/{number}"


def _place(run_id: str, number: int) -> str:
    return f"runs/{trial_run(run_id, number)}/trial.json"


def _begin(store: Store, run_id: str) -> None:
    """Note that the sweep began; the first of its trials does."""
    check_writable(store)
    with contextlib.suppress(PreconditionError):
        began = to_json({"run_id": run_id, "started": utc_now()})
        store.write(f"runs/{run_id}/began.json", began, if_generation=0)
    narrate("sweep", "run", run_id)


def _begin_attempt(
    store: Store, run_id: str, state: dict[str, Any], stage: str, attempts: int
) -> None:
    """Count an attempt before it can be killed."""
    before = state["attempts"].get(stage, 0)
    if before >= attempts:
        raise AeganError(
            f"killed at each of {before} attempt(s), without an error of its own, most often for memory"
            f" (or by a node that went): give the step more (compute.stages.{stage}.memory), or leave"
            " these values out of --grid"
        )
    state["attempts"][stage] = before + 1
    store.write(_place(run_id, state["number"]), to_json(state))


def _do(
    store: Store,
    config: str,
    run_id: str,
    trial: Trial,
    stage: str,
    state: dict[str, Any],
    fresh: str,
) -> dict[str, Any]:
    own = trial_config(config, trial)
    work, _ = STEPS[stage]
    inputs = [state["stages"][name]["uri"] for name in STEPS if name in state["stages"]]
    if stage == "normalize":
        inputs = [trial_run(run_id, trial.number)]
    place = f"runs/{run_id}/turns/{_shared(from_json(own), stage)}.json"
    with turn(store, place, worker=f"trial {trial.number}"):  # of its attempts, one is at work
        began = utc_now()  # what another trial made while this one waited is reused
        result = work(own, store.uri, *inputs, fresh=fresh)
    return {
        "uri": result.uri,
        "outputs": f"{result.uri}/{result.attempt}",
        "seconds": result.seconds,
        "reused": datetime.fromisoformat(result.finished) < datetime.fromisoformat(began),
    }


def _shared(config: Config, stage: str) -> str:
    """A name for what all trials make that agree in what the stage depends on."""
    return f"{stage}-{config.digest(*STEPS[stage][1])[:32]}"
