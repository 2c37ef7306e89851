"""Times as people write them, in UTC as the server reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest
from aegan_pipelines.cron import clock_change, parse_cron, parse_interval, to_utc, zone
from aegan_pipelines.schedule_times import next_fires

from aegan.errors import ConfigError
from tests.kfp_server.recurring import check_cron

WINTER, SUMMER = datetime(2030, 1, 15, 12, tzinfo=UTC), datetime(2030, 7, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("30 0 3 * * *", "30 0 3 * * *"),
        ("*/20 * * * *", "0 0,20,40 * * * *"),
        ("0 9-17/4 * * mon-fri", "0 0 9,13,17 * * 1,2,3,4,5"),
        ("0 0 1 jan,JUL ?", "0 0 0 1 1,7 *"),
        ("5 4 * * 7", "0 5 4 * * 0"),
        ("5 4 * * 0-6", "0 5 4 * * *"),
        ("10/25 0 * * *", "0 10,35 0 * * *"),
    ],
)
def test_five_fields_and_six_become_six_that_the_server_takes(text: str, written: str) -> None:
    assert str(parse_cron(text)) == written
    assert parse_cron(written) == parse_cron(text)
    check_cron(written)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 3 * *", "has 4 fields: expected minute, hour"),
        ("0 24 * * *", "'24' is no hour: expected 0 to 23"),
        ("61 3 * * *", "is no minute"),
        ("0 3 0 * *", "is no day of month"),
        ("0 3 * foo *", "'foo' is no month"),
        ("0 5-3 * * *", "is no hour"),
        ("0 3 * * */0", "is no day of week"),
        ("@daily", "has 1 fields"),
    ],
)
def test_a_wrong_expression_names_its_field(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("*", r"\*")):
        parse_cron(text)


@pytest.mark.parametrize(
    ("text", "where", "now", "written"),
    [
        ("0 3 * * *", "Europe/Berlin", WINTER, "0 0 2 * * *"),
        ("0 3 * * *", "Europe/Berlin", SUMMER, "0 0 1 * * *"),
        ("0 1 * * mon", "Europe/Berlin", SUMMER, "0 0 23 * * 0"),
        ("30 22 * * fri", "America/New_York", WINTER, "0 30 3 * * 6"),
        ("0 9 * * *", "Asia/Kolkata", WINTER, "0 30 3 * * *"),
        ("15 9 1 * *", "Asia/Kolkata", WINTER, "0 45 3 1 * *"),
        ("15,45 9 * * *", "Asia/Kolkata", WINTER, None),
        ("0,30 * * * *", "Asia/Kolkata", WINTER, "0 0,30 * * * *"),
        ("0 0,12 * * *", "Europe/Berlin", WINTER, "0 0 11,23 * * *"),
        ("0 0 1 * *", "Europe/Berlin", WINTER, None),
        ("0 0,12 * * mon", "Europe/Berlin", WINTER, None),
        ("0 0 1 * *", "UTC", WINTER, "0 0 0 1 * *"),
    ],
)
def test_zones_are_converted_or_refused(
    text: str, where: str, now: datetime, written: str | None
) -> None:
    if written is None:
        with pytest.raises(ConfigError, match="give the times in UTC, or split the schedule"):
            to_utc(parse_cron(text), zone(where), now)
        return
    converted = to_utc(parse_cron(text), zone(where), now)
    assert str(converted) == written
    # Whatever the fields say: the times are the same moments.
    there = list(islice(parse_cron(text).after(now.astimezone(zone(where))), 3))
    assert list(islice(converted.after(now), 3)) == [moment.astimezone(UTC) for moment in there]


def test_the_clocks_that_change_are_known() -> None:
    change = clock_change(zone("Europe/Berlin"), WINTER)
    assert change is not None
    assert (change.month, change.day) in ((3, 31), (4, 1))
    assert clock_change(zone("Asia/Kolkata"), WINTER) is None
    with pytest.raises(ConfigError, match="no time zone named 'Berlin'"):
        zone("Berlin")


def test_next_fires_keep_to_start_and_end() -> None:
    cron = {"cron": "0 0 3 * * *", "end_time": "2030-01-17T03:00:00Z"}
    assert [t.day for t in next_fires({"cron_schedule": cron}, WINTER)] == [16, 17]
    cron = {"cron": "0 0 0 29 2 *"}
    assert [t.year for t in next_fires({"cron_schedule": cron}, WINTER)] == [2032]
    periodic = {"interval_second": "21600", "start_time": "2030-01-16T05:00:00Z"}
    times = next_fires({"periodic_schedule": periodic}, WINTER)
    assert [(t.day, t.hour) for t in times] == [(16, 11), (16, 17), (16, 23)]
    either = {"cron": "0 0 0 1 * 1"}  # the first, or a Monday
    assert [t.day for t in next_fires({"cron_schedule": either}, WINTER)] == [21, 28, 1]


@pytest.mark.parametrize(
    ("start", "created", "hours"),
    [
        # periodic_schedule.go: the last time, or the start, or the creation, and the interval
        (None, None, [18, 24, 30]),
        (None, "2030-01-15T10:00:00.75Z", [16, 22, 28]),
        (None, "2030-01-13T07:00:00Z", [13, 19, 25]),
        (None, "2030-01-15T06:00:00Z", [18, 24, 30]),
        ("2030-01-15T05:00:00Z", "2030-01-15T10:00:00Z", [17, 23, 29]),
        ("2030-01-15T14:00:00Z", "2030-01-15T10:00:00Z", [20, 26, 32]),
        # new, and its start is past: late, so at once; after one interval in step, after more from now
        ("2030-01-15T05:00:00Z", None, [12, 17, 23]),
        ("2030-01-14T05:00:00Z", None, [12, 18, 24]),
        ("2030-01-15T07:00:00Z", None, [13, 19, 25]),
    ],
)
def test_an_interval_counts_from_where_the_controller_counts(
    start: str | None, created: str | None, hours: list[int]
) -> None:
    periodic = {"interval_second": "21600"} | ({"start_time": start} if start else {})
    times = next_fires({"periodic_schedule": periodic}, WINTER, created=created)
    midnight = WINTER.replace(hour=0)
    assert [(time - midnight).total_seconds() / 3600 for time in times] == hours


def test_a_cron_of_others_is_read_as_the_server_reads_it() -> None:
    hourly = {"cron": "0 3 * * *"}  # at second 0 of minute 3
    times = next_fires({"cron_schedule": hourly}, WINTER, created="2030-01-01T00:00:00Z")
    assert [(t.hour, t.minute) for t in times] == [(12, 3), (13, 3), (14, 3)]
    late = {"cron": "0 0 3 * * *", "start_time": "2030-01-10T00:00:00Z"}
    assert [t.hour for t in next_fires({"cron_schedule": late}, WINTER)] == [12, 3, 3]
    assert next_fires({}, WINTER) == []


def test_intervals_have_units() -> None:
    assert [parse_interval(text) for text in ("90s", "30m", "6h", "1d", "2w")] == [
        90,
        1800,
        21600,
        86400,
        1209600,
    ]
    with pytest.raises(ConfigError, match="such as 30m, 6h or 1d"):
        parse_interval("6")
