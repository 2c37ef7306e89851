"""Executing a run: the submitted package under kfp.local, its tasks read from the log as it grows."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.kfp_server.bodies import Json, now
from tests.kfp_server.specs import pipeline_spec

DRIVER = Path(__file__).with_name("driver.py")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
TASK = re.compile(
    r"(?:Executing task|Task) '?(?P<name>[\w-]+)'?(?:$| finished with status (?P<end>\w+))"
)
STATES = {"SUCCESS": "SUCCEEDED", "FAILURE": "FAILED", None: "RUNNING"}


class Execution:
    """One run at work. Its process group ends with `terminate`."""

    def __init__(self, run_id: str, spec: Json, parameters: Json, environment: dict[str, str]):
        self._scratch = tempfile.TemporaryDirectory(
            prefix="kfp-server-", ignore_cleanup_errors=True
        )
        self.lines: list[str] = []
        self.tasks: dict[str, Json] = {}
        path = Path(self._scratch.name) / "pipeline.yaml"
        path.write_text(_as_on_a_cluster(spec, run_id), "utf-8")
        command = [sys.executable, "-P", str(DRIVER), str(path), json.dumps(parameters)]
        self._process = subprocess.Popen(
            [*command, self._scratch.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | {"PYTHONUNBUFFERED": "1", "TMPDIR": self._scratch.name} | environment,
            start_new_session=True,
        )

    def wait(self, changed: Callable[[], None]) -> bool:
        """Follow to the end; whether it succeeded."""
        for line in self._process.stdout or ():
            self.lines.append(line)
            if match := TASK.search(COLOURS.sub("", line)):
                self._note(match["name"], STATES.get(match["end"], "FAILED"))
                changed()
        succeeded = self._process.wait() == 0
        self.terminate()  # steps that outlived their driver
        self._scratch.cleanup()
        return succeeded

    def _note(self, name: str, state: str) -> None:
        """A task as the API shows it; what is run again is a new task of the same name."""
        task = self.tasks.setdefault(
            name, {"task_id": name, "display_name": name, "create_time": now(), "start_time": now()}
        )
        task["state"] = state
        if state != "RUNNING":
            task["end_time"] = now()
        task.setdefault("state_history", []).append({"update_time": now(), "state": state})

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _as_on_a_cluster(spec: Json, run_id: str) -> str:
    """The spec with the run's id in place of its placeholder, and retries that do not wait.

    On a cluster the placeholder is the run's id (driver.go); kfp.local makes up one of its own.
    """
    tree: Any = json.loads(
        json.dumps(pipeline_spec(spec)).replace("{{$.pipeline_job_uuid}}", run_id)
    )
    for component in (tree["root"], *tree.get("components", {}).values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            if "retryPolicy" in task:
                task["retryPolicy"] |= {"backoffDuration": "0s", "backoffMaxDuration": "1s"}
    return str(yaml.safe_dump(tree))
