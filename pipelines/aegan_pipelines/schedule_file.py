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
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from aegan.errors import ConfigError
from aegan_pipelines.cron import Cron, parse_cron, parse_interval, to_utc, zone

PINNED, LATEST = "pinned", "latest"


class Schedule(BaseModel):
    """One entry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
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

    @model_validator(mode="after")
    def _possible(self) -> Schedule:
        if (self.cron is None) == (self.every is None):
            raise ValueError("give `cron` or `every`, one of them")
        if self.cron is not None:
            to_utc(parse_cron(self.cron), zone(self.timezone), datetime.now(UTC))
        if self.every is not None:
            parse_interval(self.every)
        if self.start and self.end and self.start >= self.end:
            raise ValueError("`end` must be after `start`")
        if {"config", "root"} & set(self.parameters):
            raise ValueError("give config and root beside `parameters`, not in it")
        return self

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


class ScheduleFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")] = "default"
    schedules: list[Schedule]

    @model_validator(mode="after")
    def _unique(self) -> ScheduleFile:
        names = [schedule.name for schedule in self.schedules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {twice[0]!r} stands twice")
        return self


def read_schedules(path: Path) -> ScheduleFile:
    """Read and check a file; a configuration's path is relative to it.

    Raises:
        ConfigError: names every mistake.
    """
    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the schedules of {path}: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected `schedules:` with a list of them")
    try:
        found = ScheduleFile.model_validate(tree)
    except ValidationError as error:
        lines = [_explained(dict(item)) for item in error.errors()]
        raise ConfigError(
            f"{path}: {len(lines)} wrong in this schedule file:\n  " + "\n  ".join(lines)
        ) from None
    entries = [_beside(schedule, path.parent) for schedule in found.schedules]
    return found.model_copy(update={"schedules": entries})


def _beside(schedule: Schedule, folder: Path) -> Schedule:
    near = folder / schedule.config
    is_file = near.is_file() or near.suffix in (".yaml", ".yml")
    return schedule.model_copy(update={"config": str(near)}) if is_file else schedule


def _explained(item: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in item["loc"]) or "the whole"
    if item["type"] == "extra_forbidden":
        return f"{where}: no such setting; expected of {', '.join(Schedule.model_fields)}"
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] in ("value_error", "missing"):
        return f"{where}: {message}"
    return f"{where}: {message}, received {item['input']!r}"
