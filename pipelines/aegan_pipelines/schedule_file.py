"""`schedules.yaml`: what should run when. Every mistake is told before anything is changed.

group: shirts                 # files of different groups do not see each other's schedules
schedules:
  - name: shirts-nightly
    config: shirts.yaml       # beside this file, or a preset
    set: [gan.steps=8000]
    cron: "0 3 * * *"         # five fields, or six with seconds; or every: 6h
    timezone: Europe/Berlin
    start: 2026-01-01T00:00:00Z
    end: 2027-01-01T00:00:00Z
    concurrency: 1
    catch_up: false           # whether to make up for times that were missed
    paused: false
    root: gs://bucket/aegan
    parameters: {fresh: ""}
    version: pinned           # this configuration as it is now; or a version's name; or latest: what
                              # was uploaded last when it fires, which is this configuration if
                              # nothing was uploaded after the file was applied

Mistakes are collected, here and by who reads on (`schedule_entries`, `schedule_obstacles`), so that a
person sees them all at once; `refuse` tells them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from aegan.config_file import parse_yaml
from aegan.errors import AeganError, ConfigError
from aegan.narration import moment
from aegan_pipelines.cron import Cron, parse_cron, parse_interval, to_utc, zone

PINNED, LATEST = "pinned", "latest"
NAME = r"^[a-z][a-z0-9-]{0,62}$"


class Schedule(BaseModel):
    """One entry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=NAME)]
    config: str
    set: list[str] = []
    cron: str | None = None
    every: str | None = None
    timezone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    concurrency: Annotated[int, Field(ge=1, le=10)] = 1
    catch_up: bool = False
    paused: bool = False
    root: str | None = None
    parameters: dict[str, str] = {}
    version: str = PINNED

    @field_validator("start", "end")
    @classmethod
    def _aware(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment.tzinfo is None:
            raise ValueError("a time needs its zone, such as 2026-01-01T00:00:00Z")
        return moment

    @field_validator("cron", "every", "timezone")
    @classmethod
    def _readable(cls, text: str | None, info: Any) -> str | None:
        if text is not None:
            {"cron": parse_cron, "every": parse_interval, "timezone": zone}[info.field_name](text)
        return text

    @field_validator("parameters")
    @classmethod
    def _beside(cls, parameters: dict[str, str]) -> dict[str, str]:
        if {"config", "root"} & set(parameters):
            raise ValueError("give config and root beside `parameters`, not in it")
        return parameters

    def utc_cron(self, now: datetime) -> Cron | None:
        """The cron expression in UTC, if it is one."""
        if self.cron is None:
            return None
        return to_utc(parse_cron(self.cron), zone(self.timezone), now)

    def trigger(self, now: datetime) -> dict[str, Any]:
        """As the API takes it."""
        bounds = {"start_time": self.start, "end_time": self.end}
        written = {k: f"{v.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for k, v in bounds.items() if v}
        cron = self.utc_cron(now)
        if cron is not None:
            return {"cron_schedule": {"cron": str(cron)} | written}
        seconds = str(parse_interval(self.every or ""))
        return {"periodic_schedule": {"interval_second": seconds} | written}


@dataclass(frozen=True)
class ScheduleFile:
    """The whole file.

    Attributes:
        path: where it was read.
        group: whose schedules these are.
        schedules: the entries that can be understood.
        mistakes: of all the others, and of the file.
    """

    path: Path
    group: str
    schedules: list[Schedule]
    mistakes: list[AeganError]


class _Top(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Annotated[str, Field(pattern=NAME)] = "default"
    schedules: list[Any]


def read_schedules(path: Path) -> ScheduleFile:
    """Read a file, mistakes and all; a configuration's path is relative to it.

    Raises:
        ConfigError: there is nothing that could be read as a schedule file.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the schedules of {path}: {error}") from None
    tree = parse_yaml(text, str(path))
    if not isinstance(tree, dict) or not isinstance(tree.get("schedules"), list):
        raise ConfigError(f"{path}: expected `schedules:` with a list of them")
    group, mistakes = "default", list[AeganError]()
    try:
        group = _Top.model_validate(tree).group
    except ValidationError as error:
        mistakes += [_explained("", dict(item), _Top) for item in error.errors()]
    schedules = []
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in tree["schedules"]]
    for number, entry in enumerate(tree["schedules"]):
        name = str(names[number] or f"schedules.{number}")
        wrong = list(_mistakes_of(entry, name))
        mistakes += wrong
        if not wrong:
            schedules.append(_near(Schedule.model_validate(entry), path.parent))
    for name in sorted({str(name) for name in names if name and names.count(name) > 1}):
        uses = names.count(name)
        mistakes.append(ConfigError(f"{name}: is used by {uses} schedules; give each its own name"))
    return ScheduleFile(path, group, schedules, mistakes)


def refuse(path: Path, mistakes: list[AeganError]) -> None:
    """Tell all mistakes at once.

    Raises:
        ConfigError: there are any.
    """
    if mistakes:
        lines = [str(mistake).replace("\n", "\n  ") for mistake in mistakes]
        raise ConfigError(
            f"{path}: {len(lines)} mistake{'s' if len(lines) > 1 else ''} in this schedule file;"
            " nothing was changed:\n  " + "\n  ".join(lines)
        )


def _mistakes_of(entry: Any, name: str) -> Iterator[AeganError]:
    """What is wrong with an entry: settings, and what settings that are right say together."""
    wrong: set[str] = set()
    try:
        Schedule.model_validate(entry)
    except ValidationError as error:
        for item in error.errors():
            wrong.add(str(next(iter(item["loc"]), "")))
            yield _explained(f"{name}: ", dict(item), Schedule)
    if not isinstance(entry, dict):
        return
    kept = {str(key): value for key, value in entry.items() if str(key) not in wrong}
    schedule = Schedule.model_validate({"name": "unnamed", "config": "digits"} | kept)
    if not {"cron", "every"} & wrong and (schedule.cron is None) == (schedule.every is None):
        received = "both" if schedule.cron else "neither"
        yield ConfigError(
            f"{name}: expected exactly one of `cron` and `every`, received {received}"
        )
    if schedule.start and schedule.end and schedule.start >= schedule.end:
        yield ConfigError(
            f"{name}: `end` must be after `start`, received {moment(schedule.end)} and"
            f" {moment(schedule.start)}"
        )
    if "timezone" not in wrong:
        try:
            schedule.utc_cron(datetime.now(UTC))
        except ConfigError as error:
            yield ConfigError(f"{name}: {error}")


def _near(schedule: Schedule, folder: Path) -> Schedule:
    near = folder / schedule.config
    is_file = near.is_file() or near.suffix in (".yaml", ".yml")
    return schedule.model_copy(update={"config": str(near)}) if is_file else schedule


def _explained(prefix: str, item: dict[str, Any], model: type[BaseModel]) -> ConfigError:
    where = prefix + (".".join(str(part) for part in item["loc"]) or "top level")
    if item["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields)
        return ConfigError(f"{where}: no such setting; expected one of {known}")
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] in ("value_error", "missing"):
        return ConfigError(f"{where}: {message}")
    if item["type"] == "string_type":
        return ConfigError(f"{where}: expected text, in quotes, received {item['input']!r}")
    return ConfigError(
        f"{where}: not what this setting takes: {message}, received {item['input']!r}"
    )
