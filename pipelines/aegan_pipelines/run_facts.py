"""What is known of a run on a cluster, from the server and from the run's root."""

from __future__ import annotations

from typing import Any

from aegan.errors import AeganError
from aegan.narration import duration, moment
from aegan_pipelines import cluster
from aegan_pipelines.rest import Api
from aegan_pipelines.run_details import details_of
from aegan_pipelines.run_steps import steps
from aegan_pipelines.summary import sweep_lines


def run_facts(api: Api, run_id: str) -> dict[str, Any]:
    """Facts of a run; `record` is what its last step wrote, or None, `note` why it is missing."""
    run = cluster.get_run(api, run_id)
    spec = cluster.spec_of(api, run)
    given = cluster.defaults(spec) | cluster.parameters(run)
    notes: list[str] = []
    details = details_of(given, run_id, lambda _stage, _event, text: notes.append(text))
    record = None
    try:
        record = details.record(wait=False, sleep=lambda _: None)
    except (AeganError, ValueError) as error:
        notes.append(str(error))
    keys = ("run_id", "display_name", "created_at", "recurring_run_id")
    return {
        **{key: run.get(key) for key in keys},
        "state": cluster.state_of(run),
        "finished_at": cluster.finished_at(run),
        "error": (run.get("error") or {}).get("message"),
        "link": cluster.link(api, run_id),
        "root": given.get("root"),
        "tasks": [{"name": name, "state": state} for name, state in steps(run, spec).items()],
        "record": record,
        "note": next((note for note in notes if note.startswith("no details")), None),
    }


def describe_run(facts: dict[str, Any]) -> str:
    """Facts for a person to read."""
    lines = [
        f"{facts['display_name']}",
        f"run       {facts['run_id']}",
        f"state     {facts['state']}",
        f"created   {moment(facts['created_at'])}",
        f"root      {facts['root']}",
        f"link      {facts['link']}",
    ]
    if facts["finished_at"]:
        lines.insert(4, f"finished  {moment(facts['finished_at'])}")
    lines += [f"step      {task['name']}: {task['state']}" for task in facts["tasks"]]
    record = facts["record"] or {}
    for stage, done in record.get("stages", {}).items():
        how = "reused" if done["reused"] else f"in {duration(done['seconds'])}"
        lines.append(f"stage     {stage}: {how}")
    lines += sweep_lines(record["sweep"]) if "sweep" in record else []
    if record:
        lines.append(f"outcome   {record['status']}")
    if record.get("model"):
        lines.append(f"published {record['model']} as {record['alias']}")
    for text in (record.get("error"), facts["error"]):
        if text:
            lines.append(f"error     {text}")
    if facts["note"]:
        lines.append(f"note      {facts['note']}")
    return "\n".join(lines)
