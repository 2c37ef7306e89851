"""Commands that are called wrongly exit with 2, and columns keep their distance."""

from __future__ import annotations

import pytest
from aegan_pipelines import cli_schedule
from aegan_pipelines.cli import main
from click.testing import CliRunner

MODEL = "gs://bucket/models/shirts"


@pytest.mark.usefixtures("no_surroundings")
@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["runs", "list"], "no cluster is known: give --host URL"),
        (["runs", "list", "--host", "ftp://x"], "--host ftp://x: expected an address such as"),
        (["score", MODEL, "x.npy", "-o", "o.json"], "expected a name ending in .parquet or .npz"),
        (["score", MODEL, "x.npy", "-o", "gs://b/o.npz"], "expected a local file or folder"),
        (["sample", MODEL, "-o", "gs://b/o.npz"], "expected a local file or folder"),
        (["sample", MODEL, "-o", "o.txt"], "expected a name ending in .png, .npz or .parquet"),
        (["compile", "digits", "-o", "p.txt"], "expected a name ending in .yaml"),
        (["sweep", "digits", "--grid", "seed=1,2", "--metric", "fid"], "no such metric"),
        (["submit", "digits", "--host", "http://127.0.0.1:9/@"], "without a user or password"),
        (["models", "serve-manifest", MODEL, "--name", "A"], "is not a valid Kubernetes name"),
    ],
)
def test_wrong_usage_exits_with_2(command: list[str], message: str) -> None:
    done = CliRunner().invoke(main, command)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Usage: " in done.stderr


def test_names_of_schedules_keep_their_distance(capsys: pytest.CaptureFixture[str]) -> None:
    long = 63 * "a"
    cli_schedule._print_rows([("active", long, "next soon"), ("paused", "b", "")])
    assert capsys.readouterr().out == f"active    {long}  next soon\npaused    b\n"
