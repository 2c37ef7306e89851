"""Recurring runs: created, enabled, disabled, deleted; never updated, and their names are not unique."""

from __future__ import annotations

import copy
import re

from tests.kfp_server import specs
from tests.kfp_server.bodies import Json, invalid, new_id, not_found, now, parse, unconverted
from tests.kfp_server.experiments import Experiments
from tests.kfp_server.listing import page
from tests.kfp_server.runs import FINAL, Runs

FIELD = re.compile(r"^(\*|\?|\w+(-\w+)?)(/\d+)?(,(\*|\?|\w+(-\w+)?)(/\d+)?)*$")
DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
LIMITS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
POLICIES = ("DELETE_PROPAGATION_POLICY_UNSPECIFIED", "FOREGROUND", "BACKGROUND", "ORPHAN")


class RecurringRuns:
    """What /recurringruns holds."""

    def __init__(self, experiments: Experiments, runs: Runs) -> None:
        self.items: dict[str, Json] = {}
        self._experiments, self._runs = experiments, runs

    def create(self, raw: bytes) -> Json:
        body = parse(raw, "V2beta1RecurringRun")
        if not body.get("display_name"):
            raise invalid("Recurring run name is empty. Please specify a valid name")
        concurrency = int(body.get("max_concurrency") or 0)
        if not 1 <= concurrency <= 10:  # job_server.go
            raise invalid(
                "The max concurrency of the recurring run is out of range. Support 1-10."
                f" Received {concurrency}."
            )
        _check_trigger(body.get("trigger") or {})
        body["experiment_id"] = self._experiments.of_run(body.get("experiment_id"))
        # A reference without a version stays one: each run takes the newest (2.17, job_server.go).
        spec = self._runs.source(copy.deepcopy(body))
        parameters = (body.get("runtime_config") or {}).get("parameters") or {}
        specs.check_parameters(spec, parameters)
        mode = body.pop("mode", None) or "DISABLE"
        item = body | {"recurring_run_id": new_id(), "created_at": now(), "updated_at": now()}
        item |= {"max_concurrency": str(concurrency)}
        item |= {"status": "ENABLED" if mode == "ENABLE" else "DISABLED"}
        self.items[item["recurring_run_id"]] = item
        return item

    def spoil(self, identity: str) -> None:
        """Let it be one that cannot be converted: its id is left (api_converter.go)."""
        error = unconverted("Runtime config was not parsed correctly")
        self.items[identity] = {"recurring_run_id": identity} | error

    def get(self, identity: str) -> Json:
        if identity not in self.items:
            raise not_found("Job", identity)
        return self.items[identity]

    def list(self, query: dict[str, str]) -> Json:
        experiment, namespace = query.get("experiment_id"), query.get("namespace", "")
        there = (
            item
            for item in self.items.values()
            if experiment in (None, "", item.get("experiment_id"))
            and self._experiments.holds(item, namespace)
        )
        return page(there, query, "recurringRuns")

    def set_enabled(self, identity: str, enabled: bool) -> Json:
        """Doing it twice is no error (resource_manager.go, ChangeJobMode)."""
        item = self.get(identity)
        item |= {"status": "ENABLED" if enabled else "DISABLED", "updated_at": now()}
        return {}

    def delete(self, identity: str, policy: str) -> Json:
        """Unless told to orphan them, its workflows go with it: #7421, #12574."""
        if policy not in POLICIES:
            raise invalid(f"propagation_policy {policy!r} is none of {POLICIES}")
        self.get(identity)
        if policy != "ORPHAN":
            for run in self._runs.items.values():
                if run.get("recurring_run_id") == identity and run["state"] not in FINAL:
                    self._runs.terminate(run["run_id"])
        del self.items[identity]
        return {}

    def fire(self, identity: str) -> Json | None:
        """What the controller does when the time has come; for tests.

        Nothing while disabled, or while as many runs as may be at once have not ended.
        """
        item = self.get(identity)
        live = [
            run
            for run in self._runs.items.values()
            if run.get("recurring_run_id") == identity and run["state"] not in FINAL
        ]
        if item["status"] != "ENABLED" or len(live) >= int(item["max_concurrency"]):
            return None
        kept = ("experiment_id", "pipeline_version_reference", "pipeline_spec", "runtime_config")
        body = {key: copy.deepcopy(item[key]) for key in kept if key in item}
        body |= {"display_name": f"Run of {item['display_name']}", "recurring_run_id": identity}
        return self._runs.start(body)


def _check_trigger(trigger: Json) -> None:
    """Exactly one schedule, which is valid (job_server.go, validateRecurringRun…)."""
    cron, periodic = trigger.get("cron_schedule"), trigger.get("periodic_schedule")
    if bool(cron) == bool(periodic):
        raise invalid("a recurring run needs a cron schedule or a periodic schedule")
    if cron:
        check_cron(cron.get("cron") or "")
    if periodic and int(periodic.get("interval_second") or 0) < 1:
        raise invalid("Found invalid period schedule interval. Set at interval to least 1 second.")


def check_cron(text: str) -> None:
    """robfig/cron v1, Parse: five or six fields, *seconds first*; the day of the week may be missing.

    So `0 3 * * *` is second 0 of minute 3 of every hour, not three o'clock.
    """
    where = f"Schedule cron is not a supported format: {text!r}"
    if text.startswith("@"):
        if text not in DESCRIPTORS and not re.match(r"^@every \d+[smh]", text):
            raise invalid(where)
        return
    fields = text.split()
    if not 5 <= len(fields) <= 6:
        raise invalid(f"{where}: Expected 5 to 6 fields, found {len(fields)}")
    for field, (low, high) in zip(fields, LIMITS, strict=False):
        numbers = [int(n) for n in re.findall(r"(?<![/\d])\d+", field)]
        if not FIELD.match(field) or any(not low <= n <= high for n in numbers):
            raise invalid(f"{where}: {field!r}")
