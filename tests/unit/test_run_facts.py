"""What is told of a run: its steps among the nodes of its workflow, and what the server leaves open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from aegan_pipelines import submission
from aegan_pipelines.cli import main
from aegan_pipelines.credentials import Credentials
from aegan_pipelines.following import follow
from aegan_pipelines.refusals import ClusterError
from aegan_pipelines.rest import Api
from aegan_pipelines.run_steps import steps
from click.testing import CliRunner, Result

from aegan.config_file import validate
from aegan.sweep import Trial
from tests.conftest import tiny
from tests.kfp_server import KfpServer
from tests.kfp_server.bodies import EPOCH
from tests.kfp_server.nodes import task_details

CONFIG = validate(tiny(), "tiny")
RUN = {"run_id": "r", "display_name": "tiny 1", "created_at": "2030-01-01T10:00:00Z"}

pytestmark = pytest.mark.usefixtures("no_surroundings")


def spec_of(package: bytes) -> dict[str, Any]:
    return dict(next(yaml.safe_load_all(package)))


def step(name: str, minute: int, *states: str) -> dict[str, Any]:
    """A step that began in this minute, and what became of its attempts."""
    history = [{"state": s} for state in states for s in dict.fromkeys(("RUNNING", state))]
    times = {"start_time": f"2030-01-01T10:{minute:02}:00Z"}
    if states[-1] != "RUNNING":
        times["end_time"] = f"2030-01-01T10:{minute + 1:02}:00Z"
    return {"display_name": name, "state": states[-1], "state_history": history} | times


def told(spec: dict[str, Any], *nodes: dict[str, Any]) -> list[tuple[str, str]]:
    return list(steps({"run_details": {"task_details": list(nodes)}}, spec).items())


def command(server: KfpServer, *arguments: str) -> Result:
    environment = {"AEGAN_HOST": server.url, "AEGAN_CONTEXT": "/dev/null"}
    done = CliRunner().invoke(main, ["runs", *arguments], env=environment)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done


@pytest.fixture
def run_id(kfp_server: KfpServer, tmp_path: Path) -> str:
    kfp_server.runs.executes = False
    spec = spec_of(submission.compiled(CONFIG))
    body: dict[str, Any] = {"display_name": "tiny 1", "pipeline_spec": spec}
    body["runtime_config"] = {"parameters": {"root": str(tmp_path / "root")}}
    return str(kfp_server.runs.create(json.dumps(body).encode())["run_id"])


def test_steps_are_told_once_in_their_order_and_other_nodes_are_not() -> None:
    spec = spec_of(submission.compiled(CONFIG))
    nodes = task_details(
        RUN,
        [
            step("normalize", 1, "SUCCEEDED"),
            step("train-autoencoder", 3, "FAILED", "FAILED", "SUCCEEDED"),
            step("train-gan", 7, "FAILED", "RUNNING"),
        ],
    )
    names = [node["display_name"] for node in nodes]
    assert {"root", "root-driver", "train-gan-driver", "executor", "executor(1)"} <= set(names)
    assert names.count("executor") == 3
    expected = [
        ("normalize", "SUCCEEDED"),
        ("train-autoencoder", "SUCCEEDED"),
        ("train-gan", "RUNNING"),
    ]
    assert told(spec, *nodes) == expected
    groups = {"start_time": "2030-01-01T10:00:00Z", "state": "RUNNING"}
    others = [{"display_name": f"{name}-1"} | groups for name in ("exit-handler", "condition")]
    assert told(spec, *nodes, *others) == expected


def test_a_step_whose_driver_failed_has_failed() -> None:
    spec = spec_of(submission.compiled(CONFIG))
    driver = {"display_name": "train-gan-driver", "state": "FAILED", "start_time": "2030-01-01"}
    whole = {"display_name": "train-gan", "state": "RUNTIME_STATE_UNSPECIFIED"}
    assert told(spec, whole, driver) == [("train-gan", "FAILED")]
    assert told(spec, whole, driver | {"state": "SUCCEEDED"}) == []
    assert told(spec, driver | {"display_name": "root-driver"}) == []


def test_the_trials_of_a_sweep_are_told_as_their_stages_and_the_worst_of_each() -> None:
    trials = [Trial(number, {}, {}) for number in range(1, 4)]
    package = submission.compiled_sweep(CONFIG, trials, "frechet_distance", 2)
    states = ("SUCCEEDED", "RUNNING", "SUCCEEDED")
    first = [step("trial-step", n, state) for n, state in enumerate(states)]
    nodes = [n for s in first for n in task_details(RUN, [s])]
    second = task_details(RUN, [step("trial-step-2", 5, "SUCCEEDED")])
    assert told(spec_of(package), *second, *nodes) == [
        ("normalize", "RUNNING"),
        ("train_autoencoder", "SUCCEEDED"),
    ]


def test_a_run_that_goes_on_has_no_end_whatever_time_the_server_sends(
    kfp_server: KfpServer, run_id: str
) -> None:
    assert kfp_server.runs.items[run_id]["finished_at"] == EPOCH
    shown = command(kfp_server, "show", run_id)
    assert "state     PENDING" in shown.stdout
    assert "1970" not in shown.stdout
    assert json.loads(command(kfp_server, "show", run_id, "--json").stdout)["finished_at"] is None
    (row,) = json.loads(command(kfp_server, "list", "--json").stdout)
    assert (row["finished_at"], row["error"]) == (None, None)
    kfp_server.runs.set_state(kfp_server.runs.items[run_id], "SUCCEEDED")
    assert "finished  20" in command(kfp_server, "show", run_id).stdout
    (row,) = json.loads(command(kfp_server, "list", "--json").stdout)
    assert row["finished_at"].startswith("20")


def test_a_run_that_the_server_cannot_read_is_told_with_its_reason(
    kfp_server: KfpServer, run_id: str
) -> None:
    kfp_server.runs.spoil(run_id)
    listed = command(kfp_server, "list").stdout
    assert listed.startswith(f"{run_id}  -  ")
    assert "error: Failed to convert" in listed
    message = f"the server cannot read run {run_id}: Failed to convert .* runtime config. Look at"

    def sleep(_: float) -> None:
        raise AssertionError("waited for what will not come")

    with pytest.raises(ClusterError, match=message):
        follow(Api(kfp_server.url, Credentials()), run_id, lambda *_: None, sleep=sleep)
    done = command(kfp_server, "show", run_id)
    assert (done.exit_code, "the server cannot read run" in done.stderr) == (1, True)
