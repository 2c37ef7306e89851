"""When a schedule fires, for people to read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

from aegan_pipelines.cron import clock_change, parse_cron, zone
from aegan_pipelines.rest import Json
from aegan_pipelines.schedule_file import Schedule


def next_fires(trigger: Json, now: datetime, count: int = 3) -> list[datetime]:
    """When a trigger of the API fires next, in UTC.

    An interval counts from its start; from now, if it has none, which is right for a new schedule.
    """
    cron, periodic = trigger.get("cron_schedule"), trigger.get("periodic_schedule")
    bounds = cron or periodic or {}
    start, end = _moment(bounds.get("start_time")), _moment(bounds.get("end_time"))
    if cron:
        times = parse_cron(cron["cron"]).after(max(now, start or now))
    else:
        step = timedelta(seconds=int((periodic or {})["interval_second"]))
        first = start or now
        missed = max(0, (now - first) // step)
        times = (first + step * number for number in range(missed + 1, missed + 1 + count))
    return [time for time in islice(times, count) if end is None or time <= end]


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
