"""When a schedule fires, for people to read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from itertools import count as icount

from aegan_pipelines.cron import clock_change, parse_cron, zone
from aegan_pipelines.rest import Json
from aegan_pipelines.schedule_file import Schedule


def next_fires(
    trigger: Json, now: datetime, *, created: str | None = None, count: int = 3
) -> list[datetime]:
    """When a trigger of the API fires next, in UTC, as Kubeflow's controller reckons.

    By its source (scheduledworkflow/util, periodic_schedule.go and cron_schedule.go) an interval counts
    from the last time; before the first, from the start, or without one from the creation. A schedule
    that is new and whose start is past is late, and fires at once.

    Args:
        trigger: of a schedule.
        now: the present.
        created: `created_at` of a schedule that is there, which is taken to have fired whenever it
            should have; None for one that would be made now.
        count: of times, at most.

    Raises:
        ConfigError: the expression is of a kind that we never write, such as @daily.
    """
    cron, periodic = trigger.get("cron_schedule"), trigger.get("periodic_schedule")
    bounds = cron or periodic or {}
    start, end = _moment(bounds.get("start_time")), _moment(bounds.get("end_time"))
    times: Iterator[datetime]
    if not bounds:
        return []
    if cron:
        text = cron["cron"]
        # Of five fields the server reads the first as seconds, and lets the day of the week be any.
        of_cron = parse_cron(text if len(text.split()) != 5 else f"{text} *")
        times = of_cron.after(max(now, start or now))
        first = next(of_cron.after(start), None) if start else None
    else:
        step = timedelta(seconds=int((periodic or {})["interval_second"]))
        first = (start or _moment(created) or now).replace(microsecond=0) + step
        is_far_behind = created is None and first + step <= now
        times = _every(step, now + step if is_far_behind else first, now)
    if created is None and first is not None and first <= now:
        times = chain([now], times)
    return [time for time in islice(times, count) if end is None or time <= end]


def _every(step: timedelta, first: datetime, now: datetime) -> Iterator[datetime]:
    """The times after now, of those that begin with the first."""
    missed = max(0, (now - first) // step + 1)
    return (first + step * number for number in icount(missed))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def zone_warning(schedule: Schedule, now: datetime) -> str | None:
    """What to tell about a zone that changes its clocks, if it matters."""
    if schedule.cron is None or len(parse_cron(schedule.cron).hours) == 24:
        return None
    change = clock_change(zone(schedule.timezone), now)
    if change is None:
        return None
    return (
        f"{schedule.name}: {schedule.timezone} changes its clocks about {change:%Y-%m-%d}; the cluster"
        " counts in UTC, so apply this file again after that"
    )
