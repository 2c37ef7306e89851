"""How a followed run is told of and left."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from aegan_pipelines import cli_cluster, following
from aegan_pipelines.credentials import Credentials
from aegan_pipelines.rest import Api

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
        (False, "CANCELED", "the run is CANCELED"),
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


@pytest.mark.parametrize(
    ("state", "record", "code", "said"),
    [
        (
            "SUCCEEDED",
            None,
            1,
            "its record cannot be read from here: whether it published is not known",
        ),
        ("CANCELED", None, 1, "CANCELED: no step left an error"),
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
    monkeypatch.setattr(following, "follow", lambda *_: (state, record))
    with pytest.raises(SystemExit) as caught:
        cli_cluster.finish(None, "r", "/root", quiet=True, facts=None)
    assert caught.value.code == code
    assert said in capsys.readouterr().err
