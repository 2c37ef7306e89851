"""Making a cluster's schedules what a file says, so that two are never active and none is lost.

The API cannot change a recurring run, and names are not unique. What we make carries a mark in its
description: the file's group, and a fingerprint of all that it does. A schedule whose fingerprint is
not the file's is replaced: the new one is made paused, the old one deleted (its runs live on:
propagation ORPHAN), the new one enabled. What a schedule of `latest` runs is not in its fingerprint:
if that is not the file's configuration, the configuration is uploaded again (`update`). Each step
depends only on what is there, so that whoever is killed between two of them has to do nothing but
apply again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aegan_pipelines import cluster, submission
from aegan_pipelines.context import Context
from aegan_pipelines.rest import Api, Json
from aegan_pipelines.schedule_entries import Wanted, missing_version
from aegan_pipelines.schedule_file import LATEST, PINNED
from aegan_pipelines.schedule_versions import Standing, look_up, make_newest
from aegan_pipelines.scheduled import ENABLED, delete, existing, group_of, set_enabled


@dataclass
class Change:
    """What is to be done about one name.

    Attributes:
        action: create, replace, update (what `latest` runs), enable, pause, nothing, orphan.
        current: the schedule that is right already, though it may be paused or not.
        stale: schedules that must go.
    """

    action: str
    name: str
    wanted: Wanted | None = None
    current: Json | None = None
    stale: list[Json] = field(default_factory=list)


def standings(api: Api, wanted: Iterable[Wanted], namespace: str) -> dict[str, Standing]:
    """How the version of each schedule stands on the server, by the schedule's name; only reads."""
    return {
        want.schedule.name: look_up(
            api,
            want.pipeline,
            None if want.version == LATEST else want.version,
            want.digest,
            namespace,
        )
        for want in wanted
    }


def plan(
    wanted: list[Wanted], group: str, there: list[Json], stand: Mapping[str, Standing]
) -> list[Change]:
    """What is to be done; schedules of the group that the file does not name come last.

    What stands in its way is told by `schedule_obstacles`.
    """
    changes = []
    named = set()
    for want in wanted:
        name = want.schedule.name
        named.add(name)
        same = [i for i in there if i.get("display_name") == name and group_of(i) == group]
        right = [item for item in same if _is_right(item, want, stand[name])]
        # An active one is kept in place of its paused twin, so that no time is missed.
        right.sort(key=lambda item: (item.get("status") != ENABLED, str(item.get("created_at"))))
        stale = [item for item in same if item not in right[:1]]
        current = right[0] if right else None
        action = _action(want, current, stale, stand[name])
        changes.append(Change(action, name, want, current, stale))
    for item in there:
        if group_of(item) == group and item.get("display_name") not in named:
            changes.append(Change("orphan", str(item["display_name"]), stale=[item]))
    return changes


def _is_right(item: Json, want: Wanted, standing: Standing) -> bool:
    """Whether a schedule does what is wanted; not if its version was deleted and uploaded anew."""
    if item.get("description") != want.mark:
        return False
    carried = (item.get("pipeline_version_reference") or {}).get("pipeline_version_id")
    if want.version == LATEST or not carried:
        return True
    return standing.version is not None and standing.version["pipeline_version_id"] == carried


def _action(want: Wanted, current: Json | None, stale: list[Json], standing: Standing) -> str:
    if current is None:
        return "replace" if stale else "create"
    if want.version == LATEST and not standing.newest:
        return "update"
    if stale:
        return "replace"
    active = current.get("status") == ENABLED
    if active == want.schedule.paused:
        return "pause" if active else "enable"
    return "nothing"


def carry_out(api: Api, changes: list[Change], context: Context, *, prune: bool = False) -> None:
    """Do what a plan says.

    Args:
        api: of the cluster.
        changes: the whole plan.
        context: namespace and experiment.
        prune: whether orphans are deleted, too.
    """
    _upload(api, [change.wanted for change in changes if change.wanted], context)
    for change in changes:
        if change.wanted is not None:
            _settle(api, change, change.wanted, context)
        elif prune:
            for item in change.stale:
                delete(api, item)


def _upload(api: Api, wanted: list[Wanted], context: Context) -> None:
    """Those that are pinned go first: what is uploaded last is what `latest` means.

    One of `latest` that fires between two uploads runs what was uploaded until then.
    """
    namespace = context.namespace or ""
    for want in (want for want in wanted if want.schedule.version == PINNED):
        submission.upload_package(api, want.config, want.package, namespace)
    for want in (want for want in wanted if want.schedule.version == LATEST):
        submission.check_size(want.package)
        pipeline_id = cluster.ensure_pipeline(api, want.pipeline, namespace)
        make_newest(api, pipeline_id, want.digest, want.package)


def _settle(api: Api, change: Change, want: Wanted, context: Context) -> None:
    current = change.current
    if current is None:
        current = _create_paused(api, change, want, context)
    for item in change.stale:
        delete(api, item)
    active = current.get("status") == ENABLED
    if active == want.schedule.paused:
        set_enabled(api, current, not want.schedule.paused)


def _create_paused(api: Api, change: Change, want: Wanted, context: Context) -> Json:
    namespace = context.namespace or ""
    pipeline_id = cluster.ensure_pipeline(api, want.pipeline, namespace)
    reference = {"pipeline_id": pipeline_id}
    if want.version != LATEST:
        path = f"/pipelines/{pipeline_id}/versions"
        version = cluster.find(api, path, "pipeline_versions", want.version)
        if version is None:  # it was there when the plan was made
            raise missing_version(want)
        reference["pipeline_version_id"] = version["pipeline_version_id"]
    experiment = cluster.ensure_experiment(api, context.experiment or want.config.name, namespace)
    made = {
        "experiment_id": experiment,
        "pipeline_version_reference": reference,
        "mode": "DISABLE",
    }

    stale = {item["recurring_run_id"] for item in change.stale}

    def look() -> Json | None:
        alike = (i for i in existing(api, namespace) if i.get("description") == want.mark)
        return next((i for i in alike if i["recurring_run_id"] not in stale), None)

    body = want.body | made | ({"namespace": namespace} if namespace else {})
    return api.create("/recurringruns", body, look)
