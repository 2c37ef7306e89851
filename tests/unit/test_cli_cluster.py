"""How a followed run is told of and left."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from aegan_pipelines import cli_cluster, following, submission
from aegan_pipelines.cli import main
from aegan_pipelines.credentials import Credentials
from aegan_pipelines.rest import Api
from click.testing import CliRunner

from tests.kfp_server import KfpServer
from tests.unit.test_kfp_server import compiler, writer


@pytest.fixture
def run_id(kfp_server: KfpServer, tmp_path: Any) -> str:
    import yaml

    kfp_server.runs.executes = False
    compiler.Compiler().compile(writer, str(tmp_path / "writer.yaml"))
    spec = yaml.safe_load((tmp_path / "writer.yaml").read_text())
    body = {"display_name": "x", "pipeline_spec": spec}
    body["runtime_config"] = {"parameters": {"path": "x"}}
    return str(kfp_server.runs.create(json.dumps(body).encode())["run_id"])


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (None, "PENDING", "the run goes on; to end it: aegan runs cancel"),
        (True, "PENDING", "the run goes on"),
        (False, "FAILED", "the run is CANCELED"),  # the word of the server, and ours
    ],
)
def test_ctrl_c_asks_on_a_terminal_and_leaves_the_run_elsewhere(
    kfp_server: KfpServer,
    run_id: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: bool | None,
    state: str,
    said: str,
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    def confirm(*_: Any, **__: Any) -> bool:
        assert answer is not None, "asked where nobody can answer"
        return answer

    monkeypatch.setattr(following, "follow", interrupted)
    monkeypatch.setattr(cli_cluster.click, "confirm", confirm)
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: answer is not None, raising=False)
    api = Api(kfp_server.url, Credentials())
    with pytest.raises(SystemExit) as caught:
        cli_cluster.finish(api, run_id, "/root", quiet=False, facts=None)
    assert caught.value.code == 130
    assert kfp_server.runs.items[run_id]["state"] == state
    assert said in capsys.readouterr().err


def test_ctrl_c_before_the_server_answered_says_what_may_have_begun(
    kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    command = ["submit", "digits", "--root", "gs://b/r", "--host", kfp_server.url]
    monkeypatch.setattr(submission, "submit", interrupted)
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 130
    assert "a run may have begun, see `aegan runs list`" in done.stderr
    monkeypatch.setattr(cli_cluster, "open_cluster", interrupted)
    done = CliRunner().invoke(main, command)
    assert (done.exit_code, done.stderr) == (130, "interrupted\n")


def test_runs_are_cancelled_and_told_of_in_json(kfp_server: KfpServer, run_id: str) -> None:
    there = ["--host", kfp_server.url, "--json"]
    done = CliRunner().invoke(main, ["runs", "cancel", run_id, *there])
    assert json.loads(done.stdout) == {"run_id": run_id, "state": "CANCELED"}
    done = CliRunner().invoke(main, ["runs", "resume", run_id, *there])
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["link"] == f"{kfp_server.url}/#/runs/details/{facts['run_id']}"
    done = CliRunner().invoke(main, ["runs", "logs", run_id, *there[:2]])
    assert f"kubectl logs -n kubeflow -l pipeline/runid={run_id}" in done.stderr


@pytest.mark.parametrize(
    ("state", "record", "code", "said"),
    [
        (
            "SUCCEEDED",
            None,
            1,
            "its record cannot be read from here: whether it published is not known",
        ),
        ("CANCELED", None, 1, "CANCELED: its record cannot be read from here"),
        (
            "FAILED",
            {"status": "failed", "error": "train_gan: too hot"},
            1,
            "FAILED: train_gan: too hot",
        ),
    ],
)
def test_what_did_not_publish_says_why_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    state: str,
    record: Any,
    code: int,
    said: str,
) -> None:
    status = record["status"] if record else state.lower()
    ended = following.Ended(state, status, record)
    monkeypatch.setattr(following, "follow", lambda *_: ended)
    with pytest.raises(SystemExit) as caught:
        cli_cluster.finish(None, "r", "/root", quiet=True, facts=None)
    assert caught.value.code == code
    assert said in capsys.readouterr().err
