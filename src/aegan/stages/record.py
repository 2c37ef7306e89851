"""The exit handler: whatever happened, say so in `<root>/runs/<run id>/run.json`."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from aegan.config import Config
from aegan.config_file import from_json
from aegan.digests import read_json, to_json
from aegan.narration import narrate, utc_now
from aegan.stages.stage import FAILURE, read_result, stage_keys
from aegan.store import Store, open_store
from aegan.versions import installed_version


def run(config: str, root: str, run_id: str, state: str, message: str) -> dict[str, Any]:
    """Collect what each stage left behind into one record.

    Args:
        config: canonical JSON of the configuration.
        root: folder or bucket path where everything of this project lies.
        run_id: of the pipeline run.
        state: of the steps before, in the words of what runs them; see `_status`.
        message: Kubeflow's own error message, if any.

    Returns:
        The record: `status` is published, rejected, failed or cancelled.
    """
    store = open_store(root)
    began = read_json(store, f"runs/{run_id}/began.json")
    return write(store, collect(config, store, run_id, began, state, message))


def write(store: Store, record: dict[str, Any]) -> dict[str, Any]:
    """Write a record to its place and say where that is; returns it."""
    place = f"runs/{record['run_id']}/run.json"
    store.write(place, to_json(record))
    narrate("record", "record", f"{store.uri}/{place}")
    return record


def note_published(store: Store, run_id: str, facts: dict[str, Any]) -> None:
    """Leave in a run's folder that it came to its end, for what nothing else can witness."""
    store.write(f"runs/{run_id}/published.json", to_json(facts | {"at": utc_now()}))


def collect(
    config: str, store: Store, run_id: str, began: dict[str, Any], state: str, message: str
) -> dict[str, Any]:
    """The record; `began` is what `normalize` noted of the run."""
    settings = from_json(config)
    published = read_json(store, f"runs/{run_id}/published.json")
    stages, error = _stages(store, settings, began, heed_failures=not published)
    status = "published" if published else _status(state, stages)
    return {
        "run_id": run_id,
        "name": settings.name,
        "status": status,
        "state": state,
        "error": error or message or None if status in ("failed", "cancelled") else None,
        "started": began.get("started"),
        "finished": utc_now(),
        "run_key": began.get("run_key"),
        "data_digest": began.get("data_digest"),
        "config": json.loads(config),
        "stages": stages,
        "model": published.get("uri"),
        "alias": settings.publish.alias,
        "versions": _versions(),
    }


def _stages(
    store: Store, settings: Config, began: dict[str, Any], *, heed_failures: bool
) -> tuple[dict[str, Any], str | None]:
    """What this run finished, and the error of the first stage that failed in it.

    Where a run came to its end, a failure is of an attempt before, or of another run of the same stage.
    """
    if "error" in began:
        return {}, f"normalize: {began['error']}"
    if "dataset_key" not in began:
        return {}, None
    started = datetime.fromisoformat(began["started"])
    stages: dict[str, Any] = {}
    for stage, key in stage_keys(settings, began["dataset_key"]).items():
        place = f"stages/{stage}/{key}"
        failure = read_json(store, f"{place}/{FAILURE}")
        if heed_failures and failure and datetime.fromisoformat(failure["at"]) >= started:
            return stages, f"{stage}: {failure['error']}"
        result = read_result(f"{store.uri}/{place}")
        if result is None or began.get("fresh", "") not in ("", result.fresh):
            break
        reused = datetime.fromisoformat(result.finished) < started
        stages[stage] = {
            "uri": result.uri,
            "outputs": f"{result.uri}/{result.attempt}",
            "seconds": result.seconds,
            "finished": result.finished,
            "reused": reused,
            "summary": result.summary,
        }
    return stages, None


def _status(state: str, stages: dict[str, Any]) -> str:
    """How a run ended that did not publish.

    Kubeflow's word for success is SUCCEEDED or COMPLETE by its release, and RUNNING where it did not
    keep up; FAILED may be of an attempt that was made again, or of a step before those that an
    earlier run did. So the outputs are believed first.
    """
    if state.startswith("CANCEL"):
        return "cancelled"
    judged = stages.get("evaluate", {"reused": True})
    rejected = judged.get("summary", {}).get("verdict") == "rejected"
    return "rejected" if rejected and not (state == "FAILED" and judged["reused"]) else "failed"


def _versions() -> dict[str, str]:
    from platform import python_version

    packages = ("aegan", "tensorflow", "keras", "kfp", "numpy")
    found = {name: version for name in packages if (version := installed_version(name))}
    return {"python": python_version(), **found}
