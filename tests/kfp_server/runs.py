"""Runs: created, executed, terminated, archived, deleted."""

from __future__ import annotations

import copy
import threading

from tests.kfp_server import specs
from tests.kfp_server.bodies import (
    EPOCH,
    Json,
    invalid,
    new_id,
    not_found,
    now,
    parse,
    unconverted,
)
from tests.kfp_server.execution import Execution
from tests.kfp_server.experiments import Experiments
from tests.kfp_server.listing import page
from tests.kfp_server.nodes import task_details
from tests.kfp_server.pipelines import Pipelines

FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
SERVER_OWNED = ("run_id", "state", "state_history", "run_details", "created_at", "finished_at")


class Runs:
    """What /runs holds.

    Attributes:
        executes: whether runs are really executed; without, they stay PENDING until a test sets them.
        environment: added to that of executed runs.
    """

    def __init__(self, experiments: Experiments, pipelines: Pipelines) -> None:
        self.items: dict[str, Json] = {}
        self.executes = True
        self.environment: dict[str, str] = {}
        self._experiments, self._pipelines = experiments, pipelines
        self._executions: dict[str, Execution] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.RLock()

    def create(self, raw: bytes) -> Json:
        body = parse(raw, "V2beta1Run")
        if not body.get("display_name"):
            raise invalid("The run name is empty. Please specify a valid name")
        body = {key: value for key, value in body.items() if key not in SERVER_OWNED}
        body["experiment_id"] = self._experiments.of_run(body.get("experiment_id"))
        return self.start(body)

    def start(self, body: Json) -> Json:
        """A run of a checked body, also for recurring runs."""
        spec = self.source(body)
        parameters = (body.get("runtime_config") or {}).get("parameters") or {}
        specs.check_parameters(spec, parameters)
        run = body | {"run_id": new_id(), "created_at": now(), "storage_state": "AVAILABLE"}
        run |= {"scheduled_at": run["created_at"], "state_history": []}
        self.items[run["run_id"]] = run
        self.set_state(run, "PENDING")
        if self.executes:
            self._execute(run, spec, parameters)
        return copy.deepcopy(run)

    def source(self, body: Json) -> Json:
        """The spec that a body means: inline or by reference, one of the two (api_converter.go)."""
        inline, reference = body.get("pipeline_spec"), body.get("pipeline_version_reference")
        if bool(inline) == bool(reference):
            raise invalid("Either a pipeline spec or a pipeline version reference is required")
        if inline:
            return specs.check_spec(inline)
        version = self._pipelines.resolve(reference or {})
        # A run that was started from "the newest" says which one that was.
        body["pipeline_version_reference"] = {
            "pipeline_id": version["pipeline_id"],
            "pipeline_version_id": version["pipeline_version_id"],
        }
        return dict(version["pipeline_spec"])

    def _execute(self, run: Json, spec: Json, parameters: Json) -> None:
        execution = Execution(run["run_id"], spec, parameters, self.environment)
        self._executions[run["run_id"]] = execution
        self.set_state(run, "RUNNING")

        def changed() -> None:
            steps = [copy.deepcopy(task) for task in execution.tasks.values()]
            run["run_details"] = {"task_details": task_details(run, steps)}

        def follow() -> None:
            succeeded = execution.wait(changed)
            with self._lock:
                if run["state"] not in FINAL:
                    # Also what was terminated: its deadline has passed (report_server.go, Argo's phase).
                    self.set_state(run, "SUCCEEDED" if succeeded else "FAILED")

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        self._threads.append(thread)

    def set_state(self, run: Json, state: str) -> None:
        run["state"] = state
        run["state_history"] = [*run["state_history"], {"update_time": now(), "state": state}]
        # api_converter.go, toApiRun: also sent of a run that has not finished.
        run["finished_at"] = now() if state in FINAL else EPOCH

    def spoil(self, identity: str) -> None:
        """Let it be one that cannot be converted: its ids are left (api_converter.go, toApiRun)."""
        kept = {key: self.items[identity][key] for key in ("run_id", "experiment_id")}
        self.items[identity] = kept | unconverted("Failed to parse runtime config")

    def get(self, identity: str) -> Json:
        if identity not in self.items:
            raise not_found("Run", identity)
        return self.items[identity]

    def list(self, query: dict[str, str]) -> Json:
        experiment, namespace = query.get("experiment_id"), query.get("namespace", "")
        there = (
            run
            for run in self.items.values()
            if experiment in (None, "", run["experiment_id"])
            and self._experiments.holds(run, namespace)
        )
        return page(there, query, "runs")

    def terminate(self, identity: str) -> Json:
        """Only what has not ended can be told to (run_store.go, TerminateRun: row not affected).

        A report that comes before the end notes CANCELING, and no exit handler runs any more.
        """
        with self._lock:
            run = self.get(identity)
            if run["state"] in FINAL:
                raise invalid(f"Failed to terminate run {identity}. Row not affected")
            self.set_state(run, "CANCELING")
            if identity in self._executions:
                self._executions[identity].terminate()
            else:
                self.set_state(run, "FAILED")
        return {}

    def set_archived(self, identity: str, archived: bool) -> Json:
        self.get(identity)["storage_state"] = "ARCHIVED" if archived else "AVAILABLE"
        return {}

    def delete(self, identity: str) -> Json:
        """The workflow goes with the run (resource_manager.go, DeleteRun)."""
        self.get(identity)
        if identity in self._executions:
            self._executions[identity].terminate()
        del self.items[identity]
        return {}

    def log(self, identity: str) -> str:
        """What the run's steps printed; for tests."""
        return "".join(self._executions[identity].lines)

    def close(self) -> None:
        for execution in self._executions.values():
            execution.terminate()
        for thread in self._threads:
            thread.join(timeout=10)
