"""Making a cluster's schedules what a file says, so that two are never active and none is lost.

The API cannot change a recurring run, and names are not unique. What we make carries a mark in its
description: the file's group, and a fingerprint of all that it does. A schedule whose fingerprint is
not the file's is replaced: the new one is made paused, the old one deleted (its runs live on:
propagation ORPHAN), the new one enabled. Each step depends only on what is there, so that whoever is
killed between two of them has to do nothing but apply again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from aegan.config import Config
from aegan.config_file import load_config
from aegan.errors import AeganError, ConfigError
from aegan_pipelines import cluster, submission
from aegan_pipelines.connection import Context
from aegan_pipelines.refusals import ClusterError
from aegan_pipelines.rest import Api, Json
from aegan_pipelines.schedule_file import LATEST, PINNED, Schedule, ScheduleFile

MARK = re.compile(r"^aegan schedule; group=(?P<group>\S+); fingerprint=(?P<fingerprint>\w+)$")
ENABLED = "ENABLED"


@dataclass(frozen=True)
class Wanted:
    """A schedule of the file, ready to be made."""

    schedule: Schedule
    config: Config
    version: str  # name, or `latest`
    package: bytes
    body: Json  # without ids that only the cluster knows
    mark: str


@dataclass
class Change:
    """What is to be done about one name.

    Attributes:
        action: create, replace, enable, pause, nothing, orphan.
        current: the schedule that is right already, though it may be paused or not.
        stale: schedules that must go.
    """

    action: str
    name: str
    wanted: Wanted | None = None
    current: Json | None = None
    stale: list[Json] = field(default_factory=list)


def prepare(schedule: Schedule, group: str, context: Context, now: datetime) -> Wanted:
    """Compile and fingerprint; reaches nothing.

    Raises:
        ConfigError: its configuration is wrong, or no root is known.
    """
    config = load_config(schedule.config, schedule.set)
    root = schedule.root or context.root or ""
    if not root.startswith(("gs://", "/")):
        raise ConfigError(
            f"schedule {schedule.name}: no root that pods can reach: expected root: gs://bucket/path"
            " in the schedule, --root, or `root` of the context file"
        )
    package = submission.compiled(config)
    version = submission.version_name(package) if schedule.version == PINNED else schedule.version
    body: Json = {
        "display_name": schedule.name,
        "trigger": schedule.trigger(now),
        "max_concurrency": str(schedule.concurrency),
        "no_catchup": not schedule.catch_up,
        "runtime_config": {"parameters": {"root": root} | schedule.parameters},
    }
    if account := context.service_account or config.compute.service_account:
        body["service_account"] = account
    experiment = context.experiment or config.name
    facts = json.dumps([body, f"aegan-{config.name}", version, experiment], sort_keys=True)
    fingerprint = hashlib.sha256(facts.encode()).hexdigest()[:16]
    mark = f"aegan schedule; group={group}; fingerprint={fingerprint}"
    return Wanted(schedule, config, version, package, body | {"description": mark}, mark)


def existing(api: Api, namespace: str) -> list[Json]:
    """All schedules of the namespace."""
    return list(cluster.pages(api, "/recurringruns", "recurringRuns", namespace=namespace))


def plan(wanted: Iterable[Wanted], group: str, there: list[Json]) -> list[Change]:
    """What is to be done; schedules of the group that the file does not name come last.

    Raises:
        AeganError: a name is taken by a schedule that is not ours.
    """
    changes = []
    named = set()
    for want in wanted:
        name = want.schedule.name
        named.add(name)
        same = [item for item in there if item.get("display_name") == name]
        foreign = [item for item in same if group_of(item) != group]
        if foreign:
            raise AeganError(
                f"there is a schedule {name} that this file did not make"
                f" ({foreign[0]['recurring_run_id']}); delete it, or choose another name or group"
            )
        right = [item for item in same if item.get("description") == want.mark]
        # An active one is kept in place of its paused twin, so that no time is missed.
        right.sort(key=lambda item: (item.get("status") != ENABLED, str(item.get("created_at"))))
        stale = [item for item in same if item not in right[:1]]
        current = right[0] if right else None
        changes.append(Change(_action(want, current, stale), name, want, current, stale))
    for item in there:
        if group_of(item) == group and item.get("display_name") not in named:
            changes.append(Change("orphan", str(item["display_name"]), stale=[item]))
    return changes


def _action(want: Wanted, current: Json | None, stale: list[Json]) -> str:
    if stale:
        return "replace"
    if current is None:
        return "create"
    active = current.get("status") == ENABLED
    if active == want.schedule.paused:
        return "pause" if active else "enable"
    return "nothing"


def group_of(item: Json) -> str | None:
    """The group of the file that made a schedule; None for one that no file made."""
    match = MARK.match(str(item.get("description") or ""))
    return match["group"] if match else None


def carry_out(api: Api, change: Change, context: Context, *, prune: bool = False) -> None:
    """Do what a change says.

    Args:
        api: of the cluster.
        change: of the plan.
        context: namespace and experiment.
        prune: whether orphans are deleted, too.
    """
    if change.wanted is None:
        for item in change.stale if prune else ():
            delete(api, item)
        return
    want, current = change.wanted, change.current
    if want.schedule.version in (PINNED, LATEST):  # of the latter, it is the latest from here on
        submission.upload_package(api, want.config, want.package, context.namespace or "")
    if current is None:
        current = _create_paused(api, want, context)
    for item in change.stale:
        delete(api, item)
    active = current.get("status") == ENABLED
    if active == want.schedule.paused:
        set_enabled(api, current, not want.schedule.paused)


def _create_paused(api: Api, want: Wanted, context: Context) -> Json:
    namespace = context.namespace or ""
    pipeline_id = cluster.ensure_pipeline(api, f"aegan-{want.config.name}", namespace)
    reference = {"pipeline_id": pipeline_id}
    if want.version != LATEST:
        path = f"/pipelines/{pipeline_id}/versions"
        version = cluster.find(api, path, "pipeline_versions", want.version)
        if version is None:
            raise ConfigError(
                f"schedule {want.schedule.name}: aegan-{want.config.name} has no version named"
                f" {want.version!r}; expected pinned, latest, or a version's name"
            )
        reference["pipeline_version_id"] = version["pipeline_version_id"]
    experiment = cluster.ensure_experiment(api, context.experiment or want.config.name, namespace)
    made = {
        "experiment_id": experiment,
        "pipeline_version_reference": reference,
        "mode": "DISABLE",
    }

    def look() -> Json | None:
        there = existing(api, namespace)
        return next((item for item in there if item.get("description") == want.mark), None)

    body = want.body | made | ({"namespace": namespace} if namespace else {})
    return api.create("/recurringruns", body, look)


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


def prepare_all(file: ScheduleFile, context: Context, now: datetime) -> list[Wanted]:
    """All schedules of a file; the first that is wrong ends it, before anything was changed."""
    return [prepare(schedule, file.group, context, now) for schedule in file.schedules]
