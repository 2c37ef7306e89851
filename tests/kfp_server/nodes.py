"""The nodes of a run's workflow, which is what the API shows as its tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from tests.kfp_server.bodies import EPOCH, Json


def task_details(run: Json, steps: Iterable[Json]) -> list[Json]:
    """Every node of the Argo workflow, sorted by its id (api_converter.go, toModelTasks).

    Args:
        run: that the workflow is of.
        steps: each with `display_name`, `state`, `state_history` and its times.
    """
    nodes = [*_root(run), *(node for step in steps for node in _step(step))]
    workflow = f"{run['display_name']}-x7k2p".replace(" ", "-").lower()
    ids = {hashlib.sha1(f"{workflow}{node['path']}".encode()).hexdigest(): node for node in nodes}
    return [
        {
            "run_id": run["run_id"],
            "task_id": f"{workflow}-{identity[:10]}",
            "display_name": node["path"].rsplit(".", 1)[-1] or workflow,
            "create_time": run["created_at"],  # of the workflow, whatever the node
            "start_time": node["start_time"],
            "end_time": node.get("end_time", EPOCH),
            "state": node["state"],
        }
        for identity, node in sorted(ids.items())
    ]


def _root(run: Json) -> Iterator[Json]:
    """The workflow itself, the driver of the root, and the root (argocompiler/argo.go, dag.go)."""
    times = {"start_time": run["created_at"]}
    yield {"path": "", "state": "RUNNING"} | times
    yield {"path": ".root-driver", "state": "SUCCEEDED", "end_time": run["created_at"]} | times
    yield {"path": ".root", "state": "RUNNING"} | times


def _step(step: Json) -> Iterator[Json]:
    """Its driver, a group named after it, and in that its pod, `executor` (argocompiler/container.go).

    What is tried again is a node Retry of this name, around a pod for each attempt.
    """
    name, start = step["display_name"], {"start_time": step["start_time"]}
    yield {"path": f".{name}-driver", "state": "SUCCEEDED", "end_time": step["start_time"]} | start
    whole = {key: step[key] for key in ("state", "end_time") if key in step} | start
    yield {"path": f".{name}"} | whole
    yield {"path": f".{name}.executor"} | whole
    attempts = sum(entry["state"] == "RUNNING" for entry in step["state_history"])
    for number in range(attempts if attempts > 1 else 0):
        state = whole if number == attempts - 1 else {"state": "FAILED"} | start
        yield {"path": f".{name}.executor({number})"} | state
