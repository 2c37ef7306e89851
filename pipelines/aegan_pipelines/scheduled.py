"""Schedules that are on a cluster: found, switched on and off, deleted, run at once."""

from __future__ import annotations

import re

from aegan_pipelines import cluster, submission
from aegan_pipelines.refusals import ClusterError
from aegan_pipelines.rest import Api, Json

MARK = re.compile(r"^aegan schedule; group=(?P<group>\S+); fingerprint=(?P<fingerprint>\w+)$")
ENABLED = "ENABLED"


def existing(api: Api, namespace: str) -> list[Json]:
    """All schedules of the namespace."""
    return list(cluster.pages(api, "/recurringruns", "recurringRuns", namespace=namespace))


def group_of(item: Json) -> str | None:
    """The group of the file that made a schedule; None for one that no file made."""
    match = MARK.match(str(item.get("description") or ""))
    return match["group"] if match else None


def delete(api: Api, item: Json) -> None:
    """Delete a schedule; runs that it started go on."""
    api.delete(f"/recurringruns/{item['recurring_run_id']}", propagation_policy="ORPHAN")


def set_enabled(api: Api, item: Json, enabled: bool) -> None:
    """Let a schedule fire, or not."""
    api.act(f"/recurringruns/{item['recurring_run_id']}:{'enable' if enabled else 'disable'}")


def run_now(api: Api, item: Json, namespace: str) -> str:
    """Start what a schedule starts, now; returns the run's id."""
    kept = ("experiment_id", "pipeline_version_reference", "pipeline_spec", "runtime_config")
    body = {key: item[key] for key in (*kept, "service_account") if item.get(key)}
    if "pipeline_version_reference" in body:
        body.pop("pipeline_spec", None)
    body["display_name"] = submission.run_name(str(item["display_name"]))
    return str(cluster.create_run(api, body, namespace)["run_id"])


def named(there: list[Json], name: str) -> list[Json]:
    """The schedules of a name that we made.

    Raises:
        ClusterError: there is none.
    """
    found = [item for item in there if item.get("display_name") == name and group_of(item)]
    if not found:
        known = sorted({str(item["display_name"]) for item in there if group_of(item)})
        raise ClusterError(f"no schedule {name!r}; there are: {', '.join(known) or 'none'}", 404)
    return found
