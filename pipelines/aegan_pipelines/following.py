"""Following a run: its state from the server, its stages from the bucket, told as events.

The server says whether a run is at work and how it ended. What the stages do is read from the bucket,
where each leaves its progress (see `aegan.stages.progress`): that works with any server, also for what
Kubeflow's cache skipped. A root that cannot be read from here, such as a volume of the cluster's, costs
the progress, not the following: then the server's word on the steps is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from aegan_pipelines import cluster, run_steps
from aegan_pipelines.rest import Api, Json
from aegan_pipelines.run_details import Show, details_of

SHORTEST_POLL_SECONDS, LONGEST_POLL_SECONDS = 1.0, 10.0


class Ended(NamedTuple):
    """How a run ended.

    Attributes:
        state: as the server says.
        status: published, rejected, failed, cancelled; where nothing tells which, the state.
        record: what its last step wrote, if it can be read.
    """

    state: str
    status: str
    record: Json | None


def follow(
    api: Api, run_id: str, show: Show, *, sleep: Callable[[float], None] = time.sleep
) -> Ended:
    """Poll until the run has ended; details are told to `show` as they come.

    Args:
        api: of the cluster.
        run_id: of the run.
        show: is told each event: stage, kind, text.
        sleep: waits so many seconds.
    """
    run = cluster.get_run(api, run_id)
    spec = cluster.spec_of(api, run)
    details = details_of(cluster.defaults(spec) | cluster.parameters(run), run_id, show)
    state, pause, told = "", SHORTEST_POLL_SECONDS, dict[str, str]()
    while True:
        changed = details.look()
        if (now := cluster.state_of(run)) != state:
            state, changed = now, True
            if state not in cluster.FINAL_STATES:
                show("run", "info", state.lower())
        steps = run_steps.steps(run, spec)
        if details.blind:
            changed |= run_steps.tell(steps, told, show)
            told = steps
        if state in cluster.FINAL_STATES:
            record = details.record(wait=state != "CANCELED", sleep=sleep)
            status = str(record["status"]) if record else run_steps.outcome(state, steps)
            return Ended(state, status, record)
        pause = SHORTEST_POLL_SECONDS if changed else min(pause * 1.5, LONGEST_POLL_SECONDS)
        sleep(pause)
        run = cluster.get_run(api, run_id)
