"""The entries of a schedule file, compiled and ready to be made; nothing is reached for that."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from aegan.config import Config
from aegan.config_file import load_config
from aegan.errors import AeganError, ConfigError
from aegan_pipelines import schedule_parameters, submission
from aegan_pipelines.context import Context
from aegan_pipelines.platforms import check_root
from aegan_pipelines.rest import Json
from aegan_pipelines.schedule_file import LATEST, PINNED, Schedule, ScheduleFile


@dataclass(frozen=True)
class Wanted:
    """A schedule of the file, ready to be made."""

    schedule: Schedule
    config: Config
    version: str  # name, or `latest`
    package: bytes
    body: Json  # without ids that only the cluster knows
    mark: str

    @property
    def pipeline(self) -> str:
        """Name of the pipeline that the schedule runs a version of."""
        return f"aegan-{self.config.name}"

    @property
    def digest(self) -> str:
        """Name of the version that the package is uploaded as."""
        return submission.version_name(self.package)


def prepare_all(
    file: ScheduleFile, context: Context, now: datetime
) -> tuple[list[Wanted], list[AeganError]]:
    """The schedules of a file that can be compiled, and all mistakes that show without a cluster."""
    wanted, mistakes = [], list(file.mistakes)
    for schedule in file.schedules:
        wrong: list[AeganError] = []
        root = schedule.root or context.root or ""
        if not root.startswith(("gs://", "/")):
            wrong.append(
                ConfigError(
                    f"no root that pods can reach, received {root!r}: expected root: gs://bucket/path in"
                    " the schedule, --root, or `root` of the context file"
                )
            )
        try:
            want = prepare(schedule, file.group, root, context, now)
        except AeganError as error:
            wrong.append(error)
        else:
            wanted.append(want)
            if root.startswith("/"):
                try:
                    check_root(want.config, root)
                except ConfigError as error:
                    wrong.append(error)
            if schedule.version in (PINNED, LATEST):
                declared = schedule_parameters.of_package(want.package)
                wrong += schedule_parameters.mistakes(declared, schedule.parameters, want.config)
        mistakes += [ConfigError(f"{schedule.name}: {error}") for error in wrong]
    return wanted, mistakes


def prepare(schedule: Schedule, group: str, root: str, context: Context, now: datetime) -> Wanted:
    """Compile and fingerprint; reaches nothing.

    Raises:
        AeganError: its configuration is wrong, or its package too large.
    """
    config = load_config(schedule.config, schedule.set)
    package = submission.compiled(config)
    submission.check_size(package)
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


def missing_version(want: Wanted) -> ConfigError:
    """The server has no version of the name that a schedule gives."""
    return ConfigError(
        f"{want.schedule.name}: {want.pipeline} has no version named {want.version!r}; expected pinned,"
        " latest, or a version's name"
    )
