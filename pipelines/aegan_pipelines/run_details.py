"""What a run's root says about it: its stages, their progress, its record, told as events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aegan.config_file import from_json, with_parameters
from aegan.digests import read_json
from aegan.errors import AeganError, ConfigError, describe
from aegan.narration import duration
from aegan.stages.progress import PROGRESS
from aegan.stages.stage import FAILURE, STAGES, read_result, stage_keys
from aegan.stages.trial import trial_run
from aegan.store import Store, open_store
from aegan.sweep import read_trials, trial_config
from aegan_pipelines.rest import Json

Show = Callable[[str, str, str], None]

POLL_SECONDS = 1.0
RECORD_PATIENCE_SECONDS = 20.0


@dataclass
class Seen:
    """What a stage was last seen at."""

    starts: int = 0
    progress: str = ""
    failed: str = ""
    lines: list[list[str]] = field(default_factory=list)
    over: bool = False


def details_of(parameters: dict[str, Any], run_id: str, show: Show) -> Details | SweepDetails:
    """What the bucket says about a run, of one model or of a sweep."""
    if parameters.get("trials"):
        return SweepDetails(parameters, run_id, show)
    return Details(parameters, run_id, show)


class SweepDetails:
    """What the bucket says about the trials of a sweep: each is like a run of its own."""

    def __init__(self, parameters: dict[str, Any], run_id: str, show: Show):
        """As for `Details`; stages carry the number of their trial."""
        self._own = Details(parameters, run_id, show)
        self._trials: dict[int, Details] = {}
        for trial in () if self._own.blind else read_trials(str(parameters["trials"])):
            config = trial_config(str(parameters.get("config", "")), trial)
            name, tell = trial_run(run_id, trial.number), _of_trial(trial.number, show)
            self._trials[trial.number] = Details(parameters | {"config": config}, name, tell)

    @property
    def blind(self) -> bool:
        """Whether no trial's stages can be looked at from here."""
        return all(trial.blind for trial in self._trials.values())

    def look(self) -> bool:
        """Tell what is new; whether anything was."""
        changed = [trial.look() for trial in self._trials.values()]
        return any(changed)

    def record(self, *, wait: bool, sleep: Callable[[float], None]) -> Json | None:
        """The sweep's record."""
        self.look()
        return self._own.record(wait=wait, sleep=sleep)

    def logs(self) -> list[tuple[str, str, str, str]]:
        """All that is kept of what the stages said: stage and trial, time, event, text."""
        if self._own.blind:
            return self._own.logs()
        return [
            (f"{stage}#{number}", at, event, text)
            for number, trial in self._trials.items()
            for stage, at, event, text in trial.logs()
        ]


def _of_trial(number: int, show: Show) -> Show:
    return lambda stage, event, text: show(f"{stage}#{number}", event, text)


class Details:
    """What the bucket says about one run."""

    def __init__(self, parameters: dict[str, Any], run_id: str, show: Show):
        """Take the run's parameters, its id, and who is told."""
        self._show, self._run_id = show, run_id
        self._config = str(parameters.get("config", ""))
        self._source = str(parameters.get("data_source", ""))
        self._fresh = str(parameters.get("fresh", ""))
        self._store: Store | None = None
        self._seen: dict[str, Seen] = {}
        root = str(parameters.get("root", ""))
        if root.startswith("/") and not Path(root).is_dir():
            note = f"no details of its stages, only their states: {root} is not on this machine"
            show("run", "info", note)
            return
        try:
            self._store = open_store(root)
        except AeganError as error:
            self._give_up(error)

    @property
    def blind(self) -> bool:
        """Whether the stages cannot be looked at from here."""
        return self._store is None

    def look(self) -> bool:
        """Tell what is new; whether anything was."""
        if self._store is None:
            return False
        try:
            began = read_json(self._store, f"runs/{self._run_id}/began.json")
            if "dataset_key" not in began:
                return False
            keys = self._keys(began["dataset_key"])
            changed = False
            for stage in STAGES:  # one after the other: what comes later has not begun
                changed |= self._look_at(stage, keys[stage], str(began["started"]))
                if not self._seen[stage].over:
                    break
            return changed
        except (AeganError, ValueError, KeyError) as error:
            self._give_up(error)
            return False

    def _keys(self, dataset: str) -> dict[str, str]:
        """Of all stages, as the steps see the configuration."""
        return stage_keys(from_json(with_parameters(self._config, self._source)), dataset)

    def _look_at(self, stage: str, key: str, since: str) -> bool:
        assert self._store is not None
        seen = self._seen.setdefault(stage, Seen())
        if seen.over:
            return False
        place, changed = f"stages/{stage}/{key}", False
        result = read_result(f"{self._store.uri}/{place}")
        page = read_json(self._store, f"{place}/{PROGRESS}")
        starts = [start for start in page.get("starts", []) if _at(start) >= _at(since)]
        for number in range(seen.starts + 1, len(starts) + 1):
            self._show(stage, "start", f"again, attempt {number}" if number > 1 else "")
            changed = True
        if starts:
            changed |= self._tell(stage, seen, page, since)
        seen.starts = len(starts)
        changed |= self._tell_failure(stage, seen, place, since)
        # What an earlier run left is not what a run that wants everything anew will use.
        if result is not None and self._fresh in ("", result.fresh):
            if _at(result.finished) < _at(since):
                self._show(stage, "reused", f"inputs unchanged since {result.finished}")
            elif not any(line[1] == "done" for line in seen.lines):
                self._show(stage, "done", f"in {duration(result.seconds)}")
            seen.over = changed = True
        return changed

    def _tell_failure(self, stage: str, seen: Seen, place: str, since: str) -> bool:
        """Tell of an attempt that failed; the cluster may make another."""
        assert self._store is not None
        failure = read_json(self._store, f"{place}/{FAILURE}")
        if not failure or failure["at"] == seen.failed or _at(failure["at"]) < _at(since):
            return False
        seen.failed = str(failure["at"])
        self._show(stage, "error", str(failure["error"]))
        return True

    def _tell(self, stage: str, seen: Seen, page: Json, since: str) -> bool:
        lines = [line for line in page.get("lines", []) if _at(line[0]) >= _at(since)]
        new = [line for line in lines if line not in seen.lines and line[1] != "start"]
        for _, event, text in new:
            self._show(stage, event, text)
        changed = bool(new) or page.get("progress", "") != seen.progress
        over = any(event == "done" for _, event, _ in new)
        if page.get("progress") and page["progress"] != seen.progress and not over:
            self._show(stage, "progress", page["progress"])
        seen.lines, seen.progress = lines, str(page.get("progress", ""))
        return changed

    def record(self, *, wait: bool, sleep: Callable[[float], None]) -> Json | None:
        """The run's record. It may come a little later than the state, of which it was the last act."""
        self.look()
        patience = RECORD_PATIENCE_SECONDS if wait else 0.0
        while self._store is not None:
            try:
                record = read_json(self._store, f"runs/{self._run_id}/run.json")
            except AeganError as error:
                self._give_up(error)
                break
            if record:
                return record
            if patience <= 0:
                break
            sleep(POLL_SECONDS)
            patience -= POLL_SECONDS
        return None

    def logs(self) -> list[tuple[str, str, str, str]]:
        """All that is kept of what the stages said: stage, time, event, text."""
        store = self._store
        if store is None:
            raise AeganError(
                "the run's root cannot be opened from here, and its stages' lines lie there"
            )
        began = read_json(store, f"runs/{self._run_id}/began.json")
        found = []
        if "error" in began:
            found.append(("normalize", str(began.get("started")), "error", str(began["error"])))
        if "dataset_key" in began:
            for stage, key in self._keys(began["dataset_key"]).items():
                place = f"stages/{stage}/{key}"
                page = read_json(store, f"{place}/{PROGRESS}")
                found += [(stage, str(a), str(e), str(t)) for a, e, t in page.get("lines", [])]
                failure = read_json(store, f"{place}/{FAILURE}")
                if failure:
                    found.append((stage, str(failure["at"]), "error", str(failure["error"])))
        return found

    def _give_up(self, error: Exception) -> None:
        """Say once that details are not to be had from here."""
        self._store = None
        is_of_another = isinstance(error, ConfigError)
        reason = "its configuration is of another version" if is_of_another else describe(error)
        self._show("run", "warning", f"no details of its stages: {reason}")


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
