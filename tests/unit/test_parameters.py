"""Parameters of a single run: set from the command line, checked before anything is uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from aegan_pipelines.cli import main
from click.testing import CliRunner, Result

from tests.conftest import tiny
from tests.kfp_server import KfpServer

GRID = ("--grid", "gan.gamma=0.1,1")

pytestmark = pytest.mark.usefixtures("no_surroundings", "compiled_once")


def command(server: KfpServer, folder: Path, name: str, *more: str) -> Result:
    server.runs.executes = False
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tiny()))
    where = ["--root", "gs://bucket/root", "--host", server.url]
    given = [name, str(folder / "tiny.yaml"), *where, *more]
    return CliRunner().invoke(main, given, env={"AEGAN_CONTEXT": "/dev/null"})


def given(server: KfpServer) -> list[dict[str, Any]]:
    return [run["runtime_config"]["parameters"] for run in server.runs.items.values()]


@pytest.mark.parametrize("name", [("submit",), ("sweep", *GRID)], ids=["submit", "sweep"])
def test_runs_with_different_parameters_share_one_version(
    kfp_server: KfpServer, tmp_path: Path, name: tuple[str, ...]
) -> None:
    for image in ("registry.example.com/aegan:1", "registry.example.com/aegan:2"):
        more = ("--parameter", f"image={image}", "--parameter", "data_source=gs://b/x=y")
        done = command(kfp_server, tmp_path, *name, *more)
        assert done.exit_code == 0, done.output
    found = [run["pipeline_version_reference"] for run in kfp_server.runs.items.values()]
    assert found[0] == found[1]
    assert len(kfp_server.pipelines.versions) == 1
    same = {"root": "gs://bucket/root", "data_source": "gs://b/x=y"}
    images = ("registry.example.com/aegan:1", "registry.example.com/aegan:2")
    assert given(kfp_server) == [same | {"image": image} for image in images]


def test_all_that_is_wrong_is_told_before_anything_is_uploaded(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    texts = ("imagee=x", "accelerator_count=one", "accelerator=", "root=gs://other")
    more = [part for text in texts for part in ("--parameter", text)]
    done = command(kfp_server, tmp_path, "submit", *more)
    assert done.exit_code == 1
    first, *lines = done.stderr.splitlines()
    assert first == "error: the pipeline cannot be run with these parameters:"
    assert [line.split(": ")[0].strip() for line in lines] == [
        "parameters.imagee",
        "parameters.root",
        "parameters.accelerator",
        "the parameter accelerator_count is 'one'",
    ]
    assert not kfp_server.calls("POST")
    done = command(kfp_server, tmp_path, "sweep", *GRID, "--parameter", "trials=[]")
    assert "parameters.trials: no such parameter; expected one of accelerator, " in done.stderr
    assert not kfp_server.calls("POST")


def test_what_is_no_parameter_or_has_no_cluster_is_wrong_usage(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    done = command(kfp_server, tmp_path, "submit", "--parameter", "image")
    assert (done.exit_code, "--parameter image: expected NAME=VALUE" in done.stderr) == (2, True)
    local = ["sweep", str(tmp_path / "tiny.yaml"), *GRID, "--parameter", "image=x:1"]
    done = CliRunner().invoke(main, local)
    assert (done.exit_code, "--parameter: for a sweep on a cluster" in done.stderr) == (2, True)
