"""What stands in the way of a plan, told before anything is changed: the part that needs the cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from aegan.errors import AeganError, ConfigError
from aegan.narration import moment
from aegan_pipelines import cluster, schedule_parameters, scheduled, scheduling
from aegan_pipelines.rest import Api, Json
from aegan_pipelines.schedule_entries import Wanted, missing_version
from aegan_pipelines.schedule_file import LATEST, PINNED
from aegan_pipelines.schedule_times import next_fires
from aegan_pipelines.schedule_versions import Standing
from aegan_pipelines.scheduled import group_of
from aegan_pipelines.scheduling import Change


def survey(
    api: Api, wanted: list[Wanted], group: str, namespace: str, now: datetime
) -> tuple[list[Change], list[AeganError]]:
    """The plan, and what stands in its way; only reads."""
    there, stand = scheduled.existing(api, namespace), scheduling.standings(api, wanted, namespace)
    changes = scheduling.plan(wanted, group, there, stand)
    return changes, obstacles(changes, group, there, stand, now)


def obstacles(
    changes: list[Change],
    group: str,
    there: list[Json],
    stand: Mapping[str, Standing],
    now: datetime,
) -> list[AeganError]:
    """All of them, in the order of the file."""
    found: list[AeganError] = list(_unreadable(there))
    latest: dict[str, Wanted] = {}
    for change in changes:
        if (want := change.wanted) is None:
            continue
        found += _foreign(change.name, group, there)
        found += _of_version(want, stand[change.name])
        # One that is there and has come to its end is left as it is.
        if change.current is None and not next_fires(want.body["trigger"], now, count=1):
            found.append(_never(want))
        if want.version == LATEST:
            other = latest.setdefault(want.pipeline, want)
            if other.digest != want.digest:
                found.append(_two_latest(other, want))
    return found


def _unreadable(there: list[Json]) -> Iterator[AeganError]:
    """One that may be of this file: made again, there would be two."""
    for item in there:
        if (reason := cluster.unreadable(item)) is not None:
            yield AeganError(
                f"schedule {item['recurring_run_id']} cannot be read by the server ({reason}), so"
                " nothing is known of it; delete it in Kubeflow's pages, then apply again"
            )


def _foreign(name: str, group: str, there: list[Json]) -> Iterator[AeganError]:
    same = (item for item in there if item.get("display_name") == name)
    foreign = next((item for item in same if group_of(item) != group), None)
    if foreign is not None:
        yield AeganError(
            f"{name}: there is a schedule {name} that this file did not make"
            f" ({foreign['recurring_run_id']}); delete it, or choose another name or group"
        )


def _of_version(want: Wanted, standing: Standing) -> Iterator[AeganError]:
    if want.schedule.version in (PINNED, LATEST):
        return
    if standing.version is None:
        yield missing_version(want)
        return
    declared = schedule_parameters.of_spec(standing.version.get("pipeline_spec") or {})
    for mistake in schedule_parameters.mistakes(declared, want.schedule.parameters, None):
        yield ConfigError(f"{want.schedule.name}: {mistake}")


def _never(want: Wanted) -> ConfigError:
    """Of a date that does not come, Kubeflow's controller reads the year 1, and fires at once."""
    schedule = want.schedule
    when = f"cron {schedule.cron!r}" if schedule.cron else f"every {schedule.every}"
    bounds = {"after": schedule.start, "before": schedule.end}
    told = [f" {word} {moment(m)}" for word, m in bounds.items() if m]
    return ConfigError(
        f"{schedule.name}: {when}{' and'.join(told)} never fires: correct the times, or take the"
        " schedule out of the file"
    )


def _two_latest(one: Wanted, two: Wanted) -> ConfigError:
    return ConfigError(
        f"{two.schedule.name}: it and {one.schedule.name} both run the latest version of {two.pipeline},"
        " which can be one configuration only; give them the same config and set, pin one, or give"
        " its configuration another name"
    )
