"""Runs whose root is a volume of the cluster's, which this machine does not see."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from aegan_pipelines.cli import main
from click.testing import CliRunner, Result

from tests.conftest import tiny
from tests.kfp_server import KfpServer
from tests.kfp_server.nodes import task_details

ROOT = "/mnt/aegan-that-only-pods-see"
STAGES = ["normalize", "train-autoencoder", "train-gan", "evaluate", "publish"]

pytestmark = pytest.mark.usefixtures("no_surroundings", "compiled_once")


@pytest.fixture
def server(kfp_server: KfpServer) -> KfpServer:
    kfp_server.runs.executes = False
    return kfp_server


def command(server: KfpServer, folder: Path, *arguments: str) -> Result:
    volumes = [{"claim": "aegan-root", "mount_path": ROOT}]
    config = folder / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny(compute={"volumes": volumes})))
    name, *more = arguments
    given = [name, str(config), "--root", ROOT, "--host", server.url, *more]
    done = CliRunner().invoke(main, given, env={"AEGAN_CONTEXT": "/dev/null"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done


def step(name: str, state: str) -> dict[str, Any]:
    times = {"start_time": f"2030-01-01T10:0{STAGES.index(name)}:00Z"}
    if state != "RUNNING":
        times["end_time"] = "2030-01-01T11:00:00Z"
    return {"display_name": name, "state": state, "state_history": [{"state": state}]} | times


def executed(server: KfpServer, done: list[str], state: str = "SUCCEEDED") -> threading.Thread:
    """Let the next run do these steps, each seen at work and done by who asks for it; then end it."""

    def seen(run: dict[str, Any], steps: list[dict[str, Any]]) -> None:
        run["run_details"] = {"task_details": task_details(run, steps)}
        before = len(server.calls(f"GET .*/runs/{run['run_id']}"))
        while len(server.calls(f"GET .*/runs/{run['run_id']}")) < before + 2:
            time.sleep(0.01)

    def work() -> None:
        while not server.runs.items:
            time.sleep(0.01)
        (run,) = server.runs.items.values()
        server.runs.set_state(run, "RUNNING")
        finished: list[dict[str, Any]] = []
        for name in done:
            seen(run, [*finished, step(name, "RUNNING")])
            finished.append(step(name, "SUCCEEDED" if name != done[-1] else state))
        run["run_details"] = {"task_details": task_details(run, finished)}
        server.runs.set_state(run, state)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    from aegan_pipelines import following

    monkeypatch.setattr(following, "SHORTEST_POLL_SECONDS", 0.02)


@pytest.mark.parametrize("how", ["--wait", "--follow"])
@pytest.mark.parametrize(
    ("done", "code", "said"),
    [
        (STAGES, 0, f"published  a model, into {ROOT} (by the run's steps"),
        (STAGES[:-1], 3, "published  nothing: the gate rejected this model (by the run's steps"),
    ],
)
def test_the_steps_tell_how_a_run_ended_whose_record_cannot_be_read(
    server: KfpServer, tmp_path: Path, how: str, done: list[str], code: int, said: str
) -> None:
    working = executed(server, done)
    began = time.monotonic()
    ended = command(server, tmp_path, "submit", how)
    working.join(10)
    assert ended.exit_code == code, ended.output
    assert said in ended.stdout
    assert time.monotonic() - began < 15  # no waiting for a record that cannot come
    told = ended.stderr.splitlines()
    for name in done:
        lines = [line for line in told if line.startswith(name.replace("-", "_") + " ")]
        assert [line.split()[1:] for line in lines] == (
            [["started"], ["done"]] * (how == "--follow")
        )
    notes = [line for line in told if f"{ROOT} is not on this machine" in line]
    assert len(notes) == (how == "--follow")
    assert not Path(ROOT).exists()


def test_programs_are_told_the_same(server: KfpServer, tmp_path: Path) -> None:
    executed(server, STAGES)
    ended = command(server, tmp_path, "submit", "--wait", "--json")
    facts = json.loads(ended.stdout)
    assert (facts["state"], facts["status"], facts["record"]) == ("SUCCEEDED", "published", None)


def test_a_step_that_failed_is_named(server: KfpServer, tmp_path: Path) -> None:
    executed(server, STAGES[:3], "FAILED")
    ended = command(server, tmp_path, "submit", "--wait")
    assert ended.exit_code == 1
    assert "train_gan         failed: the logs of its pods say why" in ended.stderr


def test_the_trials_of_a_sweep_are_told_of_once_and_as_steps(
    server: KfpServer, tmp_path: Path
) -> None:
    def end() -> None:
        while not server.runs.items:
            time.sleep(0.01)
        (run,) = server.runs.items.values()
        steps = [step("publish", "SUCCEEDED")]
        run["run_details"] = {"task_details": task_details(run, steps)}
        server.runs.set_state(run, "SUCCEEDED")

    threading.Thread(target=end, daemon=True).start()
    ended = command(server, tmp_path, "sweep", "--grid", "gan.gamma=0.1,1", "--follow")
    assert ended.exit_code == 0, ended.output
    assert ended.stderr.count("is not on this machine") == 1
    assert "publish           done" in ended.stderr


def test_what_is_known_of_a_run_says_that_its_root_is_elsewhere(
    server: KfpServer, tmp_path: Path
) -> None:
    command(server, tmp_path, "submit")
    (run_id,) = server.runs.items
    there = ["--host", server.url]
    shown = CliRunner().invoke(main, ["runs", "show", run_id, *there])
    assert f"note      no details of its stages, only their states: {ROOT} is not" in shown.stdout
    logs = CliRunner().invoke(main, ["runs", "logs", run_id, *there])
    assert (logs.exit_code, "the run's root cannot be opened from here" in logs.stderr) == (1, True)
    assert f"kubectl logs -n kubeflow -l pipeline/runid={run_id}" in logs.stderr
