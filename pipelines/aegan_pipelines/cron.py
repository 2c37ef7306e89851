"""Times to run at: cron expressions as people write them, in UTC as Kubeflow reads them.

People write five fields, minute first, in their own time zone. Kubeflow wants six, seconds first, in
UTC; given five it takes the first for seconds, and `0 3 * * *` fires every hour. So everything is
parsed here, converted, and written out in six fields.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aegan.errors import ConfigError

FIELDS = ("second", "minute", "hour", "day of month", "month", "day of week")
LIMITS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
MONTH_NAMES = "janfebmaraprmayjunjulaugsepoctnovdec"
MONTHS = {MONTH_NAMES[3 * number : 3 * number + 3]: number + 1 for number in range(12)}
DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
ITEM = re.compile(r"^(?P<low>\*|\?|\w+)(-(?P<high>\w+))?(/(?P<step>\d+))?$")
MOST_DAYS = 366 * 5


@dataclass(frozen=True)
class Cron:
    """A set of times: the values of each field; None for a day or month that is not restricted."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None
    months: frozenset[int] | None
    weekdays: frozenset[int] | None

    def __str__(self) -> str:
        """Six fields."""
        fields = (self.seconds, self.minutes, self.hours, self.days, self.months, self.weekdays)
        return " ".join(map(_written, fields, (60, 60, 24, None, None, None)))

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The times after a moment, in order, in the zone of the moment; ends after five years."""
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        times = list(
            itertools.product(sorted(self.hours), sorted(self.minutes), sorted(self.seconds))
        )
        for date in (day + timedelta(days=number) for number in range(MOST_DAYS)):
            if not self._is_on(date):
                continue
            for hour, minute, second in times:
                found = date.replace(hour=hour, minute=minute, second=second)
                if found > moment:
                    yield found

    def _is_on(self, date: datetime) -> bool:
        """If both days are restricted, either will do: cron's old custom, and that of the server."""
        if self.months is not None and date.month not in self.months:
            return False
        by_day = None if self.days is None else date.day in self.days
        by_weekday = None if self.weekdays is None else date.isoweekday() % 7 in self.weekdays
        if by_day is not None and by_weekday is not None:
            return by_day or by_weekday
        return by_day is not False and by_weekday is not False


def parse_cron(text: str) -> Cron:
    """Read five fields (minute first) or six (seconds first).

    Raises:
        ConfigError: it is not valid; names the field.
    """
    words = text.split()
    if len(words) not in (5, 6):
        raise ConfigError(
            f"cron {text!r} has {len(words)} fields: expected minute, hour, day of month, month and day"
            ' of week, such as "0 3 * * *", or these with seconds before them'
        )
    words = words if len(words) == 6 else ["0", *words]
    sets = [_read(text, number, word) for number, word in enumerate(words)]
    weekdays = sets[5] and frozenset(day % 7 for day in sets[5])  # 7 is Sunday, too
    if weekdays is not None and len(weekdays) == 7:
        weekdays = None
    seconds, minutes, hours = (s if s is not None else frozenset() for s in sets[:3])
    return Cron(seconds, minutes, hours, sets[3], sets[4], weekdays)


def _read(text: str, number: int, word: str) -> frozenset[int] | None:
    low, high = LIMITS[number]
    if word in ("*", "?") and number >= 3:
        return None
    found: set[int] = set()
    for item in word.lower().split(","):
        match = ITEM.match(item)
        if match is None:
            raise _wrong(text, number, item)
        first, last = match["low"], match["high"]
        start = low if first in ("*", "?") else _number(text, number, first)
        end = _number(text, number, last) if last else start
        if first in ("*", "?") or (match["step"] and not last):
            end = high if number != 5 else 6
        step = int(match["step"] or 1)
        if not low <= start <= end <= high or step < 1:
            raise _wrong(text, number, item)
        found |= set(range(start, end + 1, step))
    return frozenset(found)


def _number(text: str, number: int, word: str) -> int:
    names = {4: MONTHS, 5: DAYS}.get(number, {})
    if word in names:
        return names[word]
    if not word.isdigit():
        raise _wrong(text, number, word)
    return int(word)


def _wrong(text: str, number: int, item: str) -> ConfigError:
    low, high = LIMITS[number]
    return ConfigError(
        f"cron {text!r}: {item!r} is no {FIELDS[number]}: expected {low} to {high}, *, or such as"
        f" {low}-{high}, */2 or {low},{high}"
    )


def _written(values: frozenset[int] | None, count: int | None) -> str:
    if values is None or len(values) == count:
        return "*"
    return ",".join(map(str, sorted(values)))


def zone(name: str) -> ZoneInfo:
    """The time zone of a name such as Europe/Berlin."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"no time zone named {name!r}: expected a name such as UTC or Europe/Berlin"
        ) from None


def to_utc(cron: Cron, where: ZoneInfo, now: datetime) -> Cron:
    """The same times in UTC, by the zone's present distance from it.

    Raises:
        ConfigError: no cron expression in UTC means the same.
    """
    offset = now.astimezone(where).utcoffset() or timedelta()
    late = round(offset.total_seconds() / 60)  # minutes
    if late == 0:
        return cron
    hours_late, minutes_late = divmod(late, 60)
    minutes, borrowed = _shifted(cron.minutes, minutes_late, 60)
    every_hour = len(cron.hours) == 24
    if len(borrowed) > 1 and not every_hour:
        raise _not_in_utc(where)
    borrow = -min(borrowed)
    hours, carried = _shifted(cron.hours, hours_late + borrow, 24)
    days_matter = cron.days or cron.months or cron.weekdays
    if not days_matter:
        return Cron(cron.seconds, minutes, hours, None, None, None)
    if len(carried) > 1 or len(borrowed) > 1:
        raise _not_in_utc(where)
    carry = min(carried)
    if carry == 0:
        return Cron(cron.seconds, minutes, hours, cron.days, cron.months, cron.weekdays)
    if cron.days or cron.months or cron.weekdays is None:
        raise _not_in_utc(where)
    weekdays = frozenset((day + carry) % 7 for day in cron.weekdays)
    return Cron(cron.seconds, minutes, hours, None, None, weekdays)


def _shifted(values: frozenset[int], late: int, size: int) -> tuple[frozenset[int], set[int]]:
    """Values less `late`, within a day or an hour, and by how many of these they left it."""
    return frozenset((v - late) % size for v in values), {(v - late) // size for v in values}


def _not_in_utc(where: ZoneInfo) -> ConfigError:
    return ConfigError(
        f"in UTC these times of {where.key} fall on different days or months, which one cron expression"
        " cannot say: give the times in UTC, or split the schedule in two"
    )


def clock_change(where: ZoneInfo, now: datetime) -> datetime | None:
    """When within a year the zone's distance from UTC changes, if it does."""
    offset = now.astimezone(where).utcoffset()
    for number in range(1, 367):
        moment = now.astimezone(UTC) + timedelta(days=number)
        if moment.astimezone(where).utcoffset() != offset:
            return moment
    return None


def parse_interval(text: str) -> int:
    """Seconds of a text such as 90s, 30m, 6h, 1d, 1w."""
    match = re.match(r"^(\d+)\s*([smhdw])$", text.strip())
    if match is None or int(match[1]) == 0:
        raise ConfigError(f"every: {text!r}: expected a number and a unit, such as 30m, 6h or 1d")
    return int(match[1]) * UNITS[match[2]]
